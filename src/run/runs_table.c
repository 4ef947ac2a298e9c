/* See runs_table.h. */
#include "run/runs_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define COLUMNS "%-16s %-8s %13s %7s %7s %9s  %s"
#define CELLS_MOST 256

/* The largest of a cell's stretch; NaN where one of it is not finite. */
static double cell_value(const double *values, int64_t n, int cell, int cells)
{
    double v = -(double)INFINITY;
    for (int64_t k = cell * n / cells; k < (cell + 1) * n / cells; k++) {
        if (!isfinite(values[k]))
            return (double)NAN;
        v = fmax(v, values[k]);
    }
    return v;
}

void sy_sparkline(struct sy_str *out, const double *values, int64_t n, int cells)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double value[CELLS_MOST], low = (double)INFINITY, high = -(double)INFINITY;
    cells = cells > CELLS_MOST ? CELLS_MOST : cells;
    cells = n < cells ? (int)n : cells;
    for (int i = 0; i < cells; i++) {
        value[i] = cell_value(values, n, i, cells);
        low = fmin(low, value[i]); /* the other where one is NaN */
        high = fmax(high, value[i]);
    }
    for (int i = 0; i < cells; i++) {
        bool fine = isfinite(value[i]);
        int level = fine && high > low ? (int)((value[i] - low) / (high - low) * 8) : 0;
        sy_str_puts(out, fine ? blocks[level < 7 ? level : 7] : "!");
    }
}

static void number_text(char out[16], double v)
{
    if (isnan(v))
        snprintf(out, 16, "-");
    else
        snprintf(out, 16, "%.3f", v);
}

void sy_runs_row(struct sy_str *out, const struct sy_runs_row *row)
{
    char step[48], loss[16], val[16], size[16] = "-";
    snprintf(step, sizeof step, "%" PRId64 "/%" PRId64, row->step, row->steps);
    number_text(loss, row->loss);
    number_text(val, row->val_loss);
    if (row->bytes >= 0)
        sy_human_bytes(row->bytes, size);
    sy_str_printf(out, COLUMNS, row->name, row->state, step, loss, val, size, row->spark);
}

void sy_runs_head(struct sy_str *out)
{
    sy_str_printf(out, COLUMNS, "run", "state", "step", "loss", "val", "size", "loss, options");
}
