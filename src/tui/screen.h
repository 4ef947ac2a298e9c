/* The terminal: a grid goes in, the fewest bytes come out.  Layer tui; screen.c is the only file
 * that knows curses.
 *
 *     usable? -> open -> show ... show -> close
 *                  |  <- suspend/resume ->  |
 *                  restore (from a signal handler, at any time)
 *
 *  1. One thread, but for sy_screen_restore.  Nothing is ever read here: keys are Readline's.
 *  2. Nothing else writes to the terminal while the screen is open and not suspended.
 *  3. Ctrl-Z and Ctrl-\ are the terminal's signals; Ctrl-C is a key like others (as a signal it
 *     would overtake what was typed before it, or take it away). */
#ifndef SY_TUI_SCREEN_H
#define SY_TUI_SCREEN_H

#include "switchyard/err.h"
#include "tui/grid.h"

#include <stdbool.h>

/* Can a screen be opened on this terminal: are both ends one, is TERM known, has it a cursor? */
bool sy_screen_usable(int in, int out);
/* The descriptors are borrowed until close.  IO, UNSUPPORTED. */
int sy_screen_open(int in, int out, struct sy_err *err);
void sy_screen_close(void);

int sy_screen_colours(void); /* that the terminal has: 0, 8, 256 ... */
int sy_screen_colours_of(int fd); /* the same of a terminal that is not opened */
void sy_screen_size(int *w, int *h);
void sy_screen_resize(void); /* after SIGWINCH: ask the terminal again */
/* Make the terminal look like the grid, with the cursor at x, y (x < 0: hidden). */
void sy_screen_show(const struct sy_grid *g, int x, int y);
void sy_screen_repaint(void); /* let the next show draw everything anew */
void sy_screen_bell(void);
void sy_screen_mouse(bool on);

/* The terminal as it was found, to stop or for another program; and back. */
void sy_screen_suspend(void);
void sy_screen_resume(void);
/* Before a fatal end: async-signal-safe; once; a no-op while suspended or closed. */
void sy_screen_restore(void);

#endif
