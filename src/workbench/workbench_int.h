/* Shared inside workbench/. */
#ifndef SY_WORKBENCH_WORKBENCH_INT_H
#define SY_WORKBENCH_WORKBENCH_INT_H

#include "workbench/workbench.h"

#include "repl/line.h"
#include "tui/scroll.h"

#define SY_POPUP_MAX 400

struct sy__popup { /* candidates of a completion */
    char *word[SY_POPUP_MAX]; /* owned */
    int count, more;
    bool fresh; /* came with this key */
};

struct sy__question { /* that stands in place of the prompt */
    void (*answer)(const char *text); /* NULL: there is none */
    bool filtering; /* it is the panel's filter, which is seen while it is typed */
};

enum sy__terminal {
    SY__CLOSED,
    SY__OURS,
    SY__AWAY, /* we are stopped or in the background: it is another's */
    SY__GONE  /* for ever: it was closed */
};

struct sy__busy { /* with a chunk */
    bool on, dim;  /* dim: it shows */
    double since;
    int told; /* seconds in the status line; -1: nothing */
};

struct sy__draining { /* of captured output */
    double next; /* not before; seconds */
};

struct sy_workbench {
    const struct sy_workbench_client *client;
    struct sy_panel *panel; /* these two outlive a close */
    struct sy_scroll *scroll;
    int64_t printed; /* lines of the scrollback that the normal screen has */
    struct sy_grid grid;
    struct sy_rect scroll_at; /* where the scrollback was drawn */
    struct sy_theme look;
    bool coloured;          /* the line that is typed */
    enum sy__terminal terminal;
    enum sy_workbench_end end;

    bool relayout, redraw_panel, redraw_scroll, redraw_input; /* what the next compose draws */
    double next_frame, next_scroll;                           /* not before; seconds */
    struct sy__draining draining;
    double pace;                                              /* between two frames now */
    int input_rows, cursor_x, cursor_y;
    int again;      /* frames that come even when no run lives */
    struct sy__busy busy;
    bool told; /* a message came with this key */
    struct sy__question question;
    struct sy__popup popup;
};
/* The one of the program: for what the client calls (workbench.h), which passes it on. */
extern struct sy_workbench sy__workbench;

/* compose.c */
void sy__compose(struct sy_workbench *d, double now); /* draw what is due and show it */
/* Seconds until something is due; negative: nothing is. */
double sy__compose_due(struct sy_workbench *d, double now);
int sy__popup_set(struct sy_workbench *d, char *const *words, int n);
void sy__popup_close(struct sy_workbench *d);

/* client.c */
/* What is printed may have the look's colours, or none. */
void sy__tell_pens(const struct sy_workbench *d, bool any);
void sy__choose_look(struct sy_workbench *d); /* by the environment and what the terminal can do */

/* key_actions.c */
/* The panel's mode and Readline's keymap agree again. */
void sy__act_on_panes(struct sy_workbench *d);

/* child.c: the line in an editor; NULL: unchanged.  Owned. */
char *sy__edit_outside(struct sy_workbench *d, const char *text);

/* state.c */
void sy__drain(struct sy_workbench *d); /* captured output, at most 64 KiB of it */

#endif
