/* Shared by the charts: columns, ranges, axes. */
#ifndef SY_TUI_PLOT_INT_H
#define SY_TUI_PLOT_INT_H

#include "tui/plot.h"

struct sy__column {
    int64_t first, end; /* rows */
    float lo, hi;       /* of finite values */
    double line;        /* average up to its last row, or of its rows; NaN: none */
    bool bad;           /* something in it is not finite */
};

/* w columns of x0..x1; owned; NULL without memory. */
struct sy__column *sy__columns(const struct sy_pyramid *p, const struct sy_x_axis *x, double x0,
                               double x1, int w);

struct sy__range {
    double lo, hi;
    bool log;
};
double sy__range_at(const struct sy__range *r, double v); /* 0 at lo, 1 at hi */

int sy__label_columns(struct sy_rect frame); /* for labels of y with their axis; 0: none */
/* Labels of y before the area, and x's in the frame's lower line. */
void sy__y_axis(const struct sy__range *range, enum sy_unit unit, const struct sy_theme *look,
                struct sy_grid *g, struct sy_rect frame, struct sy_rect area);
void sy__x_ticks(double x0, double x1, enum sy_x_kind kind, const char *readout,
                 const struct sy_theme *look, struct sy_grid *g, struct sy_rect frame,
                 struct sy_rect area);
void sy__cursor(int column, const struct sy_theme *look, struct sy_grid *g, struct sy_rect area);
/* Marks of a plot in its area, and the text of the one at the cursor (marks.c). */
void sy__marks(const struct sy_plot *p, const struct sy_theme *look, struct sy_grid *g,
               struct sy_rect area);
/* Cell column of x in the area, or -1. */
int sy__column_of(double x, double x0, double x1, int w);

#endif
