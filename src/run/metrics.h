/* Metrics of a run: named series of rows (step, value[width]), appended by the trainer, read by
 * anyone.  Held in memory in chunks; one interface, so that a store on disk can stand behind it.
 *
 *  1. One writer (the trainer), any number of readers; a lock held for a copy of one row.
 *  2. Steps of a series ascend strictly.
 *  3. A new chunk is taken every SY_METRICS_CHUNK rows, so most steps allocate nothing.  The first
 *     of a series has room for 16 rows, then 64, 256 and all: there may be 100,000 series of few
 *     rows.
 *  4. Only the newest chunks stay once a store or packed_rows.h has the rows (sy_metrics_forget):
 *     older ones come from there, vectors as halves.
 */
#ifndef SY_RUN_METRICS_H
#define SY_RUN_METRICS_H

#include "switchyard/err.h"
#include "switchyard/series.h"

#include <stdbool.h>
#include <stdint.h>

#define SY_METRICS_CHUNK 1024

struct sy_metrics;

struct sy_metrics *sy_metrics_new(struct sy_err *err); /* owned */
void sy_metrics_free(struct sy_metrics *m);
/* Number of the series of this name, made at first sight.  SHAPE when it exists with another
 * width. */
int sy_metrics_series(struct sy_metrics *m, const char *name, int width, struct sy_err *err);
/* The same of a series of which is said what it is, from now on; the other is a SY_SERIES_VALUE. */
int sy_metrics_declare(struct sy_metrics *m, const char *name, int width,
                       const struct sy_series_what *what, struct sy_err *err);
/* Append.  Out of memory: the row is lost, the run goes on, sy_metrics_lost counts it. */
void sy_metrics_add(struct sy_metrics *m, int series, int64_t step, const float *values);
int64_t sy_metrics_lost(const struct sy_metrics *m);

int sy_metrics_count(struct sy_metrics *m);                        /* series */
const char *sy_metrics_name(struct sy_metrics *m, int series);     /* valid as long as m */
int sy_metrics_width(struct sy_metrics *m, int series);
struct sy_series_what sy_metrics_what(struct sy_metrics *m, int series);
int sy_metrics_find(struct sy_metrics *m, const char *name);       /* or -1 */
/* The one of this kind and place that bears the kind's name (load.1), or the first; or -1. */
int sy_metrics_find_what(struct sy_metrics *m, const struct sy_series_what *what);
int64_t sy_metrics_rows(struct sy_metrics *m, int series);
/* Copy rows first..first+n-1 of one column; returns how many there were. */
int64_t sy_metrics_read(struct sy_metrics *m, int series, int column, int64_t first, int64_t n,
                        int64_t *steps, float *values);
/* The same with all columns: values[n * width]. */
int64_t sy_metrics_copy(struct sy_metrics *m, int series, int64_t first, int64_t n, int64_t *steps,
                        float *values);
/* Rows up to a step are elsewhere as well: their chunks go, but for the newest ones. */
void sy_metrics_forget(struct sy_metrics *m, int series, int64_t step);
/* Rows of this number and those behind it are here; 0: all. */
int64_t sy_metrics_first(struct sy_metrics *m, int series);
/* May rows behind this step, or the newest up to it, be among those that are not here any more? */
bool sy_metrics_is_gone(struct sy_metrics *m, int series, int64_t step);
/* Where the others are.  Called on the threads of readers, one at a time; another, or its end,
 * waits for a reader that is there.  after, at: as sy_store_after and sy_store_at; -1: they cannot
 * be read. */
struct sy_metrics_archive {
    int64_t (*after)(void *ctx, const char *name, int width, int64_t after, int64_t n,
                     int64_t *steps, float *values);
    int (*at)(void *ctx, const char *name, int width, int64_t step, int64_t *found, float *values);
    void *ctx;
};
/* Returns the previous one, which the caller must look after: its rows may be nowhere else. */
struct sy_metrics_archive sy_metrics_set_archive(struct sy_metrics *m,
                                                 const struct sy_metrics_archive *archive);
/* no more, if it is still that of ctx */
void sy_metrics_drop_archive(struct sy_metrics *m, const void *ctx);
struct sy_metrics_archive sy_metrics_archive_of(struct sy_metrics *m); /* all NULL: none */
/* Rows behind a step, oldest first, at most n, all columns, wherever they are; how many. */
int64_t sy_metrics_rows_after(struct sy_metrics *m, int series, int64_t after, int64_t n,
                              int64_t *steps, float *values);
/* The newest row up to a step, wherever it is: its step, or -1. */
int64_t sy_metrics_at(struct sy_metrics *m, int series, int64_t step, float *values);
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
