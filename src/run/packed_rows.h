/* The older rows of a run that has no store, packed in memory (series_codec.h).  Layer run.
 *
 *  1. One writer, which is that of the metrics; readers come by way of sy_metrics_rows_after and
 *     _at.
 *  2. A row is packed first and forgotten by the metrics then, so it is always somewhere; without
 *     memory it stays.
 *  3. Nothing is taken out again: such a run cannot be rewound.  Once it gets a store, that writes
 *     what is here (sy_store_attach), and the packed rows go. */
#ifndef SY_RUN_PACKED_ROWS_H
#define SY_RUN_PACKED_ROWS_H

#include "run/metrics.h"

struct sy_packed_rows;

/* The archive of m from now on.  Owned; freed before m.  NULL: MEMORY. */
struct sy_packed_rows *sy_packed_rows_new(struct sy_metrics *m, struct sy_err *err);
void sy_packed_rows_free(struct sy_packed_rows *a);
/* Pack what is old enough: all but the newest few thousand rows of each series. */
void sy_packed_rows_pack(struct sy_packed_rows *a);

#endif
