/* A grid of character cells: what everything on the screen is drawn into, on a terminal or not.
 * Layer tui, knows no terminal.
 *
 *  1. A cell has one character of width 1 or 2 and up to SY_MARKS combining marks.  The right half
 *     of a wide character is a cell with ch 0.  No half is ever left alone: what overwrites one
 *     half makes the other a space.
 *  2. Everything that is put passes a sanitizer: control characters, DEL, C1, bidi controls and
 *     invalid UTF-8 become U+FFFD ('?' in ASCII looks), so no cell can move a terminal's cursor.
 *  3. Drawing outside the grid does nothing. */
#ifndef SY_TUI_GRID_H
#define SY_TUI_GRID_H

#include "base/cells.h"
#include "base/str.h"
#include "switchyard/err.h"
#include "tui/theme.h"

#include <stddef.h>
#include <stdint.h>

#define SY_MARKS 3

struct sy_cell {
    uint32_t ch;             /* code point; 0: right half of a wide character */
    uint32_t mark[SY_MARKS]; /* combining; 0 ends */
    struct sy_pen pen;
};

struct sy_rect {
    int x, y, w, h;
};

struct sy_grid {
    int w, h;
    struct sy_cell *cell; /* owned; [h][w] */
    bool light;           /* what a pen without colours stands on; for pictures */
};

/* All spaces.  0, or -1 (MEMORY) with the grid as it was. */
int sy_grid_resize(struct sy_grid *g, int w, int h, struct sy_err *err); /* start from {0} */
void sy_grid_free(struct sy_grid *g);
struct sy_cell *sy_grid_at(struct sy_grid *g, int x, int y); /* NULL outside */

void sy_grid_fill(struct sy_grid *g, struct sy_rect r, uint32_t ch, struct sy_pen pen);
/* One character; a combining one goes to the cell before x. */
void sy_grid_put(struct sy_grid *g, int x, int y, uint32_t ch, struct sy_pen pen);
/* Text from x on, at most `columns` of them; returns the columns used.  What does not fit is cut at
 * a character's border. */
int sy_grid_text(struct sy_grid *g, int x, int y, int columns, const char *text, struct sy_pen pen);
int sy_grid_textn(struct sy_grid *g, int x, int y, int columns, const char *text, size_t n,
                  struct sy_pen pen);

bool sy_cell_equal(const struct sy_cell *a, const struct sy_cell *b);
/* The next stretch of row y, from *x0 on, in which two grids of one size differ: *x0 to *x1 - 1,
 * whole characters.  false: there is no more. */
bool sy_grid_changed(const struct sy_grid *old, const struct sy_grid *now, int y, int *x0, int *x1);

/* Write the grid to out: text (trailing spaces cut), text with ANSI colours, a picture, or the form
 * of the golden screens (text, then runs of pens). */
enum sy_dump { SY_DUMP_TEXT, SY_DUMP_ANSI, SY_DUMP_SVG, SY_DUMP_GOLDEN };
void sy_grid_write(const struct sy_grid *g, enum sy_dump form, struct sy_str *out);

#endif
