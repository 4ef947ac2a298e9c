/* Dots within cells: 2 x 4 to a cell with braille, 2 x 2 with quadrant blocks, 1 x 3 with ASCII, in
 * two layers.  Layer tui.  Where the front layer has a dot, its cell shows the front alone; so a
 * line stays a line before the cloud of what it averages. */
#ifndef SY_TUI_CANVAS_H
#define SY_TUI_CANVAS_H

#include "tui/grid.h"

enum sy_canvas_layer { SY_BACK, SY_FRONT };

struct sy_canvas {
    int cw, ch; /* cells */
    int w, h;   /* dots */
    int dx, dy; /* dots to a cell */
    enum sy_symbols symbols;
    struct sy_canvas_cell {
        uint8_t dots[2];
        struct sy_pen pen[2];
    } * cell; /* owned */
};

int sy_canvas_init(struct sy_canvas *c, const struct sy_theme *look, int cells_w, int cells_h);
void sy_canvas_free(struct sy_canvas *c);
void sy_canvas_dot(struct sy_canvas *c, enum sy_canvas_layer layer, int x, int y,
                   struct sy_pen pen);
void sy_canvas_column(struct sy_canvas *c, enum sy_canvas_layer layer, int x, int y0, int y1,
                      struct sy_pen pen);
void sy_canvas_line(struct sy_canvas *c, enum sy_canvas_layer layer, int x0, int y0, int x1, int y1,
                    struct sy_pen pen);
/* Put all cells that have dots. */
void sy_canvas_put(const struct sy_canvas *c, struct sy_grid *g, int x, int y);

#endif
