/* The workbench's panel: header, charts, heatmaps, status line, drawn into a grid.  Layer tui: sees
 * runs through run/source.h only; knows no terminal, no keys and no Lua.
 *
 *  1. One thread (the screen's) calls all of it.  Runs are read by copies that never make a trainer
 *     wait longer than one row.
 *  2. sy_panel_update says whether anything would look different; nothing is drawn when it says no.
 *  3. The rest of the screen (scrollback, prompt) is the caller's: draw leaves those areas alone.
 *
 *      loop:  if (sy_panel_update(p, sy_now(), budget)) { sy_panel_draw(p, &grid); show(grid); }
 *      key:   sy_panel_action(p, SY_ACT_ZOOM_IN, &request)
 */
#ifndef SY_TUI_PANEL_H
#define SY_TUI_PANEL_H

#include "switchyard/err.h"
#include "tui/grid.h"
#include "tui/theme.h"

#include <stdbool.h>
#include <stdint.h>

struct sy_panel;
struct sy_source; /* run/source.h */

struct sy_panel *sy_panel_new(const struct sy_theme *look, struct sy_err *err); /* owned */
void sy_panel_free(struct sy_panel *p);
void sy_panel_set_look(struct sy_panel *p, const struct sy_theme *look);

/* What it shows: these runs (a reference to each is taken; n 0: none), or, until the first
 * call, all runs of this process (run/source.h), as they come and go. */
int sy_panel_set_sources(struct sy_panel *p, struct sy_source *const *list, int n,
                         struct sy_err *err);
/* Is a run of this name among them? */
bool sy_panel_has(struct sy_panel *p, const char *run);
/* The run in front, by name (false: none is called so), and its name ("": no run). */
bool sy_panel_select(struct sy_panel *p, const char *run);
const char *sy_panel_selected(const struct sy_panel *p);
/* Curves of these runs over that of the run in front (n 0: of one run again). */
int sy_panel_overlay(struct sy_panel *p, const char *const *runs, int n, struct sy_err *err);

/* ---- layout ---- */

struct sy_areas {
    struct sy_rect header;     /* one row */
    struct sy_rect panes;      /* h 0: no room */
    struct sy_rect rule;       /* one row, "scrollback"; h 0: none */
    struct sy_rect scrollback; /* the caller's */
    struct sy_rect input;      /* the caller's; as many rows as asked for, if there is room */
    struct sy_rect status;     /* one row; h 0: none */
};
/* For a screen of w x h with input_rows for the prompt.  Works for any size from 1 x 1. */
void sy_panel_layout(struct sy_panel *p, int w, int h, int input_rows);
const struct sy_areas *sy_panel_areas(const struct sy_panel *p);
/* Share of the height for panes, 0.1 to 0.9 (0: by the layout's own). */
void sy_panel_set_split(struct sy_panel *p, double share);

/* ---- drawing ---- */

/* Read what is new, for at most about `budget` seconds (a stored run of many points arrives over
 * several calls).  true: draw. */
bool sy_panel_update(struct sy_panel *p, double now, double budget);
/* Into a grid of the layout's size: header, panes, rule, status; with `help` shown, the overlay.
 * The caller's areas stay as they are, but for the overlay. */
void sy_panel_draw(struct sy_panel *p, struct sy_grid *g);
/* true while more rows of a stored run wait for the next update. */
bool sy_panel_loading(const struct sy_panel *p);

/* Seen at the right of the status line until the next message (NULL: none). */
void sy_panel_message(struct sy_panel *p, const char *text);
/* Seen in the status line: keys act on panes; the scrollback is scrolled up by so many rows. */
/* Seen in the status line: a chunk runs, for so many seconds (-1: none does). */
void sy_panel_set_busy(struct sy_panel *p, int seconds);
/* There is no prompt to leave pane mode for: the hints say what leaves instead. */
void sy_panel_set_only_panes(struct sy_panel *p);
void sy_panel_set_pane_mode(struct sy_panel *p, bool on);
bool sy_panel_pane_mode(const struct sy_panel *p);
void sy_panel_set_scrolled(struct sy_panel *p, int rows);

/* ---- actions (tui/panel_keys.def) ---- */

enum sy_action {
    SY_ACT_NONE,
#define SY_KEY(action, map, name, keys, shown, help) SY_ACT_##action,
#include "tui/panel_keys.def"
#undef SY_KEY
    SY_ACT_COUNT
};

enum sy_map { SY_MAP_PANE, SY_MAP_PROMPT };
struct sy_key {
    enum sy_action action;
    enum sy_map map;
    const char *name;  /* of Readline's function */
    const char *keys;  /* Readline's notation, separated by spaces */
    const char *shown; /* for people */
    const char *help;
};
/* All keys in the order of panel_keys.def; *n of them.  Borrowed, never freed. */
const struct sy_key *sy_keys(int *n);

/* What the caller is asked to do. */
enum sy_request_kind {
    SY_REQ_NONE,   /* nothing (the panel may want a drawing: sy_panel_update tells) */
    SY_REQ_PAUSE,  /* pause run `run` */
    SY_REQ_RESUME, /* resume it */
    SY_REQ_MARK,   /* a note in its journal; step: where the cursor is, or the newest */
    SY_REQ_FILTER, /* read a text, then sy_panel_filter */
    SY_REQ_LEAVE,  /* back to the prompt (sy_panel_set_pane_mode(p, false) was done) */
    SY_REQ_PLAIN,  /* plain screen */
    SY_REQ_SCROLL, /* step: pages; down is positive */
    SY_REQ_CLEAR,  /* an empty view of the scrollback */
    SY_REQ_EDITOR, /* the line in an editor */
    SY_REQ_TYPE    /* `text` to the prompt, to be entered there */
};
struct sy_request {
    enum sy_request_kind kind;
    char run[65];
    int64_t step;
    char text[192];
    bool said; /* the status line tells what was done */
};
/* Do it; *req says what is left for the caller.  false: no such action here (the key is not ours).
 */
bool sy_panel_action(struct sy_panel *p, enum sy_action a, struct sy_request *req);
/* Charts of all series whose names contain the text, in place of the panels; "" or NULL: panels. */
int sy_panel_filter(struct sy_panel *p, const char *text, struct sy_err *err);
/* What the table of experts shows (load, gate ...), and which losses are apart (all, objectives,
 * sources, teacher), by name: its number, or -1; all names, for people, borrowed for ever. */
int sy_panel_find_heat(const char *name);
const char *sy_panel_heats(void);
void sy_panel_heat(struct sy_panel *p, int heat);
int sy_panel_find_losses(const char *name);
const char *sy_panel_losses_names(void);
/* STATE: the run in front has no such losses. */
int sy_panel_losses(struct sy_panel *p, int losses, struct sy_err *err);
/* Show or hide the list of keys. */
void sy_panel_show_help(struct sy_panel *p, bool on);
bool sy_panel_help(const struct sy_panel *p);
/* Is something drawn over the areas of others: the list of keys, or a menu? */
bool sy_panel_over(const struct sy_panel *p);
/* A click at x, y of the screen: focus, or the cursor of a chart.  false: not on a pane. */
bool sy_panel_click(struct sy_panel *p, int x, int y);

#endif
