/* Line charts over pyramids: the envelope (minimum to maximum of what falls into a column), the
 * moving average before it, events, a cursor.  Layer tui; pure: the same plot and look give the
 * same cells.
 *
 *  1. Every row that is in the range of x is in what is drawn: a column queries the pyramid for all
 *     of its rows.
 *  2. What lies above the range of y is marked at the top, what is not finite by a line of its own.
 *  3. The range of y is that of the averages and of the envelope without what stands alone for a
 *     column or two; it moves in quarters of a tick, so that a growing curve does not tremble. */
#ifndef SY_TUI_PLOT_H
#define SY_TUI_PLOT_H

#include "run/source.h"
#include "run/pyramid.h"
#include "tui/grid.h"
#include "tui/ticks.h"

enum sy_x_kind { SY_X_STEP, SY_X_TOKENS, SY_X_TIME, SY_X_FLOPS, SY_X_COUNT };

/* x of a run's steps.  p: tokens so far (TOKENS, FLOPS), or seconds of each step (TIME); scale:
 * FLOPs a token. */
struct sy_x_axis {
    enum sy_x_kind kind;
    const struct sy_pyramid *p;
    double scale;
};
double sy_x_of_step(const struct sy_x_axis *a, int64_t step);
/* The first step whose x is at least this. */
int64_t sy_x_to_step(const struct sy_x_axis *a, double x);
const char *sy_x_name(enum sy_x_kind kind); /* "step" */
enum sy_unit sy_x_unit(enum sy_x_kind kind);

struct sy_plot_line {
    const struct sy_pyramid *p;     /* NULL: nothing yet */
    const struct sy_pyramid *valid; /* marked points, or NULL */
    struct sy_x_axis x;
    int colour;        /* number of the curve */
    bool cloud;        /* the envelope */
    const char *label; /* for the legend of several */
};

struct sy_plot {
    const char *title;
    const struct sy_plot_line *lines; /* drawn in this order; the last is in front */
    int n;
    const struct sy_mark *marks; /* of the run in front */
    int nmarks;
    double x0, x1;
    enum sy_x_kind x_kind;
    enum sy_unit y_unit;
    bool log, zero, focus; /* zero: the range of y has 0 in it */
    int64_t cursor;        /* a step; -1: none */
};
void sy_plot_draw(const struct sy_plot *plot, const struct sy_theme *look, struct sy_grid *g,
                  struct sy_rect r);
/* The inside of a plot's frame in which x0 to x1 lie (the labels of y stand before it). */
struct sy_rect sy_plot_inside(struct sy_rect r);

/* A chart of one row or more without a frame: from the smallest to the largest of it. */
void sy_strip_draw(const struct sy_pyramid *p, const struct sy_x_axis *x, double x0, double x1,
                   int colour, const struct sy_theme *look, struct sy_grid *g, struct sy_rect r);

/* Parts of a whole over each other: the whole's mean in a column, cut by the parts' sums there. */
#define SY_PARTS_MAX 4
struct sy_stack {
    const char *title;
    const struct sy_pyramid *whole, *part[SY_PARTS_MAX];
    const char *names[SY_PARTS_MAX], *shorts[SY_PARTS_MAX];
    int n;
    struct sy_x_axis x;
    double x0, x1;
    enum sy_unit y_unit;
    bool focus;
    int64_t cursor;
};
void sy_stack_draw(const struct sy_stack *s, const struct sy_theme *look, struct sy_grid *g,
                   struct sy_rect r);

#endif
