/* Shared inside workbench/. */
#ifndef SY_WORKBENCH_WORKBENCH_INT_H
#define SY_WORKBENCH_WORKBENCH_INT_H

#include "workbench/workbench.h"

#include "repl/line.h"
#include "tui/scroll.h"

#define SY_POPUP_MAX 400

struct sy_workbench {
    const struct sy_workbench_client *client;
    struct sy_panel *panel; /* these two outlive a close */
    struct sy_scroll *scroll;
    int64_t printed; /* lines of the scrollback that the normal screen has */
    struct sy_grid grid;
    struct sy_rect scroll_at; /* where the scrollback was drawn */
    struct sy_look look;
    bool coloured;          /* the line that is typed */
    bool open, ended, away; /* away: stopped or in the background: the terminal is not ours */
    bool gone;              /* for ever: the terminal was closed */
    enum sy_workbench_end end;

    bool relayout, redraw_panel, redraw_scroll, redraw_input; /* what the next compose draws */
    double next_frame, next_scroll;                           /* not before; seconds */
    double next_drain;                                        /* the same for captured output */
    double pace;                                              /* between two frames now */
    int input_rows, cursor_x, cursor_y;
    int again;      /* frames that come even when no run lives */
    bool busy, dim; /* dim: it shows */
    double busy_since;
    int busy_told; /* seconds in the status line; -1: nothing */
    void (*answer)(const char *text);
    bool filtering, told; /* told: a message came with this key */

    char *popup[SY_POPUP_MAX]; /* candidates of a completion; owned */
    int popup_count, popup_more;
    bool popup_new; /* came with this key */
};
extern struct sy_workbench sy__workbench;

/* compose.c */
void sy__compose(double now);       /* draw what is due and show it */
double sy__compose_due(double now); /* seconds until something is due; negative: nothing is */
int sy__popup_set(char *const *words, int n);
void sy__popup_close(void);

/* client.c */
void sy__choose_look(void); /* by the environment and what the terminal can do */

/* keys.c */
void sy__act_on_panes(void); /* the panel's mode and Readline's keymap agree again */

/* child.c: the line in an editor; NULL: unchanged.  Owned. */
char *sy__edit_outside(const char *text);

void sy__drain(void); /* workbench.c: captured output, at most 64 KiB of it */

#endif
