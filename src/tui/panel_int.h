/* The panel from inside: layout.c (what is where), views.c (what is drawn there), panel_actions.c
 * (what keys do), status_line.c (header, status line, help), panel.c (runs, updates). */
#ifndef SY_TUI_PANEL_INT_H
#define SY_TUI_PANEL_INT_H

#include "tui/feed.h"
#include "tui/heatmap.h"
#include "tui/panel.h"
#include "tui/plot_int.h"

enum sy__view {
    SY__LOSS,
    SY__EXPERTS,
    SY__SPEED,
    SY__ROUTER,
    SY__GRAD,
    SY__MEMORY,
    SY__LR,
    SY__OVER_TIME, /* load of the selected layer's experts */
    SY__TRACE,     /* a text by the experts of the selected layer */
    SY__VIEWS
};

enum sy__heat {
    SY__HEAT_LOAD,
    SY__HEAT_GATE,
    SY__HEAT_DROP,
    SY__HEAT_CHANGE,
    SY__HEAT_SOURCE, /* of the selected layer: sources by experts */
    SY__HEAT_IMPORTANCE,
    SY__HEATS
};

#define SY__SLOTS 12
struct sy__slot {
    struct sy_rect r;
    enum sy__view view;
    char series[48]; /* of a filter's chart; "": the view */
};

/* What the heatmap shows, and of which step; read anew when any of it changes. */
struct sy__table {
    const struct sy__run *run;
    enum sy__heat mode;
    int64_t step, base; /* that was asked for; of the rows they are compared with */
    int64_t shown; /* that the rows are of: the newest up to it at which there are any; or -1 */
    int rows, cols, layer; /* layer: that is selected */
    double at;    /* when it was read */
    bool missing; /* the run has no such series */
    bool whole;   /* a layer's figure stands for its experts */
    float *v;     /* owned */
    size_t room;
};

/* Rows of load.N at times: slot = (step / stride) % n. */
struct sy__times {
    const struct sy__run *run;
    int layer, width, n; /* layer: place in run->layers */
    int64_t stride;
    int64_t *bucket, *found; /* [n] owned; step / stride, step of the row; -1 */
    float *v;                /* [n][width] owned */
};

/* The tokens' experts in the selected layer, and of which step. */
struct sy__traced {
    const struct sy__run *run;
    int series, n;        /* -1: there is none; n: tokens */
    int64_t asked, found; /* the step that was asked for; of the row, or -1 */
    float *v;             /* [n] owned */
    size_t room;
};

struct sy__memory {
    double at;
    int n;
    struct sy_pyramid *used;            /* owned; megabytes, a row a second */
    double live, most, resident, total; /* bytes */
    bool fixed;                         /* tests: these numbers, not this process' */
};

struct sy_panel {
    struct sy_theme look;
    int w, h, input_rows;
    double split; /* 0: the layout's own */
    struct sy_areas areas;
    struct sy__slot slots[SY__SLOTS];
    int nslots, focus; /* focus: a slot */

    struct sy__run **runs; /* owned */
    int nruns, front;
    int busy; /* seconds that a chunk runs, and 1; 0: none does */
    bool use_board, overlay, only_panes;
    uint64_t board_version;
    char wanted[65];  /* run to be selected when it comes */
    char (*over)[65]; /* owned; names to be overlaid; none: all */
    int nover;

    /* what panel_actions.c changes */
    bool pane_mode, one, full, help, fit;
    bool menu;        /* of an expert's verbs (experts_menu.c) */
    int expert, verb; /* of it, from 0 */
    bool follow;
    double x0, x1; /* when not fit; in units of x_kind of the run in front */
    enum sy_x_kind x_kind;
    int64_t cursor; /* a step; -1: none */
    bool log[SY__VIEWS];
    bool cloud;
    int smooth, losses; /* losses: the page of losses apart (losses.c); -1: the first */
    bool choices; /* router health: how it chooses, in place of its loads */
    enum sy__heat heat;
    int layer;          /* place in layers */
    int64_t base;       /* step that changes are shown since; -1: the first */
    enum sy__view only; /* view of the slot that has the focus when there is but one */
    enum sy__view swapped[SY__VIEWS]; /* view shown where the layout has this one */
    char filter[48];
    int found; /* series that fit it */

    bool dirty, loading;
    double now; /* of the update */
    int scrolled;
    char message[256];
    struct sy_request *asked; /* what the action at hand asks of the caller; NULL: none acts */
    struct sy__table table;
    struct sy__times times;
    struct sy__memory memory;
    struct sy__traced traced;
};

extern const double sy__decays[4];

static inline struct sy__run *sy__front(const struct sy_panel *p)
{
    return p->nruns ? p->runs[p->front] : NULL;
}

/* layout.c */
void sy__layout(struct sy_panel *p);
bool sy__shows(const struct sy_panel *p, enum sy__view view);

/* views.c */
void sy__want(struct sy_panel *p);       /* feeds of all that is shown */
/* Has the run rows of how its routers choose (router health's other page)? */
bool sy__has_choices(const struct sy__run *r);
bool sy__views_read(struct sy_panel *p); /* heatmaps' rows; true: changed */
void sy__views_draw(struct sy_panel *p, struct sy_grid *g);
bool sy__x_known(const struct sy_panel *p, enum sy_x_kind kind);

/* losses.c */
#define SY__LOSS_PARTS 7 /* of a page: with the whole as many as there are colours */
struct sy__loss_page {
    const struct sy__part *parts; /* of the run in front */
    int n, from, of;              /* parts from + 1 to from + n; n 0: the whole alone */
    const char *title;
};
int sy__loss_pages(const struct sy__run *r);
/* The first page of sy_panel_find_losses's number; -1: the run has none. */
int sy__loss_first_page(const struct sy__run *r, int losses);
const char *sy__losses_name(int losses);
int sy__loss_page_number(const struct sy_panel *p);
struct sy__loss_page sy__loss_page(const struct sy_panel *p);
int sy__loss_title(const struct sy__loss_page *page, char *out, size_t size); /* its bytes */
void sy__losses_want(struct sy_panel *p, struct sy__run *r, double decay);
/* The parts' curves, at most SY__LOSS_PARTS; how many. */
int sy__losses_lines(const struct sy_panel *p, struct sy__run *r, struct sy_plot_line *out);

/* visible_range.c */
enum sy_unit sy__unit_of(enum sy_series_kind kind);
void sy__x_window(const struct sy_panel *p, const struct sy__run *r, double *x0, double *x1);
struct sy__of sy__x_of(enum sy_x_kind kind); /* the series that x is read from */
struct sy_x_axis sy__x_axis(const struct sy_panel *p, struct sy__run *r);

/* experts_view.c */
bool sy__table_read(struct sy_panel *p);
void sy__experts_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g);
int sy__experts_row_at(const struct sy_panel *p, const struct sy__slot *slot, int y); /* or -1 */
void sy__heat_free(struct sy_panel *p);

/* experts_menu.c.  Opens it, or says why not. */
const char *sy__menu_open(struct sy_panel *p);
int sy__menu_expert(const struct sy_panel *p); /* from 0; -1: it is not open */
void sy__menu_move(struct sy_panel *p, int experts, int lines);
/* The line that does it, as far as it is known; false: there is no expert. */
bool sy__menu_line(const struct sy_panel *p, char *out, size_t size);
void sy__menu_draw(const struct sy_panel *p, struct sy_grid *g);

/* over_time_view.c */
bool sy__times_read(struct sy_panel *p, const struct sy__slot *slot);
void sy__over_time_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g);

/* trace_view.c */
bool sy__traced_read(struct sy_panel *p);
void sy__trace_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g);
void sy__traced_free(struct sy_panel *p);

/* process_memory.c */
bool sy__memory_read(struct sy_panel *p, double now);
void sy__memory_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g);

/* status_line.c */
void sy__bars_draw(struct sy_panel *p, struct sy_grid *g);
void sy__help_draw(struct sy_panel *p, struct sy_grid *g);
void sy__welcome_draw(struct sy_panel *p, struct sy_grid *g);

#endif
