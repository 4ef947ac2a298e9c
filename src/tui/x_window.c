/* The stretch of steps, tokens or time that charts show, and their x axis.  See panel_int.h. */
#include "tui/panel_int.h"

#include <math.h>
#include <string.h>

static const struct sy__feed *find_x_feed(const struct sy__run *r, const char *name)
{
    for (int i = 0; i < r->nfeeds; i++)
        if (!strcmp(r->feeds[i]->name, name))
            return r->feeds[i];
    return NULL;
}

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

/* Until the rows that it needs are there, by steps. */
struct sy_x_axis sy__x_axis(const struct sy_panel *p, struct sy__run *r)
{
    const struct sy_pyramid *rows = NULL;
    if (p->x_kind != SY_X_STEP)
        rows = sy__feed_rows(find_x_feed(r, p->x_kind == SY_X_TIME ? "time" : "tokens"), 0);
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
