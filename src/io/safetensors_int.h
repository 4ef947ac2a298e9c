/* What the reader and the writer of safetensors share.  Layer: io. */
#ifndef SY_IO_SAFETENSORS_INT_H
#define SY_IO_SAFETENSORS_INT_H

#include "io/io_int.h"

#define SY_ST_HEADER_MAX ((uint64_t)100 << 20) /* bytes of JSON; the format's own limit */
#define SY_ST_META "__metadata__"

/* Sort pointers by less(a, b), in place, n log n for any input (heap sort). */
void sy__sort(const struct sy_array **list, int64_t n,
              int (*compare)(const struct sy_array *, const struct sy_array *));
int sy__compare_names(const struct sy_array *a, const struct sy_array *b);

#endif
