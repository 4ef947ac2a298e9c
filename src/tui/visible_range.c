/* The stretch of steps, tokens or time that charts show, and their x axis.  See panel_int.h. */
#include "tui/panel_int.h"

#include <math.h>
#include <string.h>

/* x of the newest step of all that is shown. */
static double newest_x(const struct sy_panel *p)
{
    double x = 0;
    for (int i = 0; i < p->nruns; i++) {
        struct sy__run *r = p->runs[i];
        if (i != p->front && !r->over)
            continue;
        struct sy_x_axis a = sy__x_axis(p, r);
        double at = sy_x_of_step(&a, r->status.step);
        x = at > x ? at : x;
    }
    return x;
}

struct sy__of sy__x_of(enum sy_x_kind kind)
{
    return kind == SY_X_TIME ? sy__of_kind(SY_SERIES_SECONDS, SY__SUM)
                             : sy__of_name("tokens", SY__FIRST);
}

/* Until the rows that it needs are there, by steps. */
struct sy_x_axis sy__x_axis(const struct sy_panel *p, struct sy__run *r)
{
    const struct sy_pyramid *rows = NULL;
    if (p->x_kind != SY_X_STEP)
        rows = sy__feed_rows(sy__find_feed(r, sy__x_of(p->x_kind)), 0);
    if (!rows)
        return (struct sy_x_axis){SY_X_STEP, NULL, 1};
    return (struct sy_x_axis){p->x_kind, rows,
                              p->x_kind == SY_X_FLOPS ? r->status.flops_per_token : 1};
}

/* The whole run: while it goes on the end moves on in strides of a 32nd or so, that what is drawn
 * does not change with every step. */
void sy__x_window(const struct sy_panel *p, const struct sy__run *r, double *x0, double *x1)
{
    double newest = newest_x(p);
    if (!p->fit) {
        double by = p->follow && newest > 0 ? newest - p->x1 : 0;
        *x0 = p->x0 + by;
        *x1 = p->x1 + by;
        return;
    }
    *x0 = 0;
    *x1 = newest > 0 ? newest : 1;
    if (r && r->status.live && newest > 0) {
        double stride = exp2(floor(log2(newest)) - 5);
        *x1 = ceil(newest / stride) * stride;
    }
}

enum sy_unit sy__unit_of(enum sy_series_kind kind)
{
    return !strcmp(sy_series_row(kind)->unit, "share") ? SY_UNIT_PERCENT : SY_UNIT_PLAIN;
}
