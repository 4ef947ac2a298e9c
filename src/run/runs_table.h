/* The table of runs, as `switchyard runs` and runs() print it. */
#ifndef SY_RUN_RUNS_TABLE_H
#define SY_RUN_RUNS_TABLE_H

#include "base/str.h"

#include <stdint.h>

#define SY_RUNS_CELLS 12 /* of a run's sparkline there */

/* Append n values (n >= 0) as at most `cells` blocks: each is the largest of an equal stretch, so
 * that no spike is hidden; ! where one of it is no finite number. */
void sy_sparkline(struct sy_str *out, const double *values, int64_t n, int cells);

struct sy_runs_row {
    const char *name, *state; /* safe for a terminal; borrowed */
    int64_t step, steps;
    double loss, val_loss; /* NaN: none */
    double bytes;          /* negative: none */
    const char *spark;
};
/* Append the row, or the heads of its columns; 80 columns, but for long names. */
void sy_runs_row(struct sy_str *out, const struct sy_runs_row *row);
void sy_runs_head(struct sy_str *out);

#endif
