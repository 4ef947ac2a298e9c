/* One column of a series for drawing: its values and, for every power of two of rows, their (min,
 * max, sum, count), so that any stretch of it is summed up in O(log n), and a value that stands
 * alone among millions is in the maximum of every stretch that holds it.  Layer run.
 *
 *  1. Rows are numbered from 0; their steps ascend strictly.  Steps are kept as arithmetic
 *     progressions: a run that records every step takes one.
 *  2. A node over 2^k rows exists when all its rows do, and never changes; so cutting off the end
 *     is only forgetting.
 *  3. The moving average is over all finite values, before any thinning, and debiased:
 *     m_t = b m_(t-1) + (1-b) x_t, w_t the same of ones, ema = m/w (Kingma & Ba 2015, section 3).
 *     Its state is kept every 2^SY_PYRAMID_BASE rows.
 *  4. Values that are not finite are counted, and are in no minimum, maximum, sum or average. */
#ifndef SY_RUN_PYRAMID_H
#define SY_RUN_PYRAMID_H

#include "switchyard/err.h"

#include <stddef.h>
#include <stdint.h>

#define SY_PYRAMID_BASE 4 /* rows of the smallest node: 2^4 */

struct sy_pyramid;

struct sy_extent {
    float min, max; /* of finite values; +inf and -inf when there are none */
    double sum;
    int64_t count, bad; /* finite, not finite */
};

struct sy_pyramid *sy_pyramid_new(double decay,
                                  struct sy_err *err); /* owned; decay 0: no average */
void sy_pyramid_free(struct sy_pyramid *p);
/* Append n rows; value i at values[i * stride].  -1: out of memory (some may have been added). */
int sy_pyramid_add(struct sy_pyramid *p, const int64_t *steps, const float *values, int64_t n,
                   int64_t stride);
void sy_pyramid_cut(struct sy_pyramid *p, int64_t rows); /* keep this many */
/* Another decay: averages are computed anew, from all rows. */
void sy_pyramid_set_decay(struct sy_pyramid *p, double decay);
double sy_pyramid_decay(const struct sy_pyramid *p);

int64_t sy_pyramid_rows(const struct sy_pyramid *p);
int64_t sy_pyramid_step(const struct sy_pyramid *p, int64_t row);
float sy_pyramid_value(const struct sy_pyramid *p, int64_t row);
/* Average up to and with this row; NaN before the first finite value. */
double sy_pyramid_ema(const struct sy_pyramid *p, int64_t row);
/* The first row with a step >= this; rows when there is none. */
int64_t sy_pyramid_find(const struct sy_pyramid *p, int64_t step);
/* Rows a..b-1 summed up; limits are brought into range. */
struct sy_extent sy_pyramid_query(const struct sy_pyramid *p, int64_t a, int64_t b);
size_t sy_pyramid_bytes(const struct sy_pyramid *p);

#endif
