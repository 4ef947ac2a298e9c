/* Metrics of a run: named series of rows (step, value[width]), appended by the trainer, read by
 * anyone.  Held in memory in chunks; one interface, so that a store on disk can stand behind it.
 *
 *  1. One writer (the trainer), any number of readers; a lock held for a copy of one row.
 *  2. Steps of a series ascend strictly.
 *  3. A new chunk is taken every SY_METRICS_CHUNK rows, so most steps allocate nothing.
 */
#ifndef SY_RUN_METRICS_H
#define SY_RUN_METRICS_H

#include "switchyard/err.h"

#include <stdint.h>

#define SY_METRICS_CHUNK 1024

struct sy_metrics;

struct sy_metrics *sy_metrics_new(struct sy_err *err); /* owned */
void sy_metrics_free(struct sy_metrics *m);
/* Number of the series of this name, made at first sight.  SHAPE when it exists with another width. */
int sy_metrics_series(struct sy_metrics *m, const char *name, int width, struct sy_err *err);
/* Append.  Out of memory: the row is lost, the run goes on, sy_metrics_lost counts it. */
void sy_metrics_add(struct sy_metrics *m, int series, int64_t step, const float *values);
int64_t sy_metrics_lost(const struct sy_metrics *m);

int sy_metrics_count(struct sy_metrics *m);                        /* series */
const char *sy_metrics_name(struct sy_metrics *m, int series);     /* valid as long as m */
int sy_metrics_width(struct sy_metrics *m, int series);
int sy_metrics_find(struct sy_metrics *m, const char *name);       /* or -1 */
int64_t sy_metrics_rows(struct sy_metrics *m, int series);
/* Copy rows first..first+n-1 of one column; returns how many there were. */
int64_t sy_metrics_read(struct sy_metrics *m, int series, int column, int64_t first, int64_t n,
                        int64_t *steps, float *values);
/* The same with all columns: values[n * width]. */
int64_t sy_metrics_copy(struct sy_metrics *m, int series, int64_t first, int64_t n, int64_t *steps,
                        float *values);
/* Number of the first row with a step greater than this; the count of rows when there is none. */
int64_t sy_metrics_after(struct sy_metrics *m, int series, int64_t step);
/* Newest row into values[width]; its step, or -1 when there is none. */
int64_t sy_metrics_last(struct sy_metrics *m, int series, float *values);
/* Drop all rows with a step greater than this (rewind). */
void sy_metrics_truncate(struct sy_metrics *m, int64_t step);
/* The smallest step of all truncations that came after number *seen (from 0), which is set to their
 * count; INT64_MAX: there were none. */
int64_t sy_metrics_cut(struct sy_metrics *m, uint64_t *seen);

#endif
