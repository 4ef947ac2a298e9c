/* Heatmaps: a table of values as coloured cells, or characters of a ramp.  Layer tui; pure.
 *
 *  1. With 256 colours a cell shows two rows (a half block); without, one.
 *  2. What colours say, characters say too: dead entries have a cross, overloaded ones a '!',
 *     disabled ones a dash.
 *  3. Where there are more entries than room, neighbours share a cell, which shows the largest (of
 *     a change: the one that changed most; a dead one among them keeps its cross). */
#ifndef SY_TUI_HEATMAP_H
#define SY_TUI_HEATMAP_H

#include "tui/grid.h"

#define SY_HEAT_DISABLED (-1.0f) /* an expert that someone disabled */

struct sy_heat {
    const float *v; /* [rows][cols]; NaN: not known; where `dead`: SY_HEAT_DISABLED */
    int rows, cols;
    double lo, hi;   /* the ramp's ends */
    bool diverging;  /* around 0: -hi .. hi */
    bool dead, over; /* mark 0 as dead, and what is disabled; what is over `limit` */
    double limit;
    /* NULL: rows have none */
    void (*row_label)(const void *ctx, int row, char out[32]);
    const void *ctx;
    bool number_columns;  /* above, when there is room */
    int selected;         /* row, or -1 */
    int cursor;           /* column, or -1 */
    bool stretch;         /* rows fill the height, if unevenly */
};
void sy_heat_draw(const struct sy_heat *h, const struct sy_theme *look, struct sy_grid *g,
                  struct sy_rect r);
/* The part of r that values are drawn in: without labels. */
struct sy_rect sy_heat_inside(const struct sy_heat *h, struct sy_rect r);
/* Which row (from 0) is shown at y, or -1. */
int sy_heat_row_at(const struct sy_heat *h, const struct sy_theme *look, struct sy_rect r, int y);

#endif
