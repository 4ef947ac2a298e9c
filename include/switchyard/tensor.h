/* Tensors: a dtype, a shape, and a view of counted storage.
 *
 *  1. A tensor is *shared*: sy_tensor_ref / sy_tensor_unref.  Its storage is counted apart, so
 *     views (narrow, permute, ...) share bytes.  Tensors of one graph belong to one thread at a
 *     time.
 *  2. Strides are in elements and never negative; 0 is a broadcast dimension.
 *  3. In a trace a tensor may have no bytes yet: sy_tensor_data is NULL until a program is planned.
 *  4. At most SY_MAX_DIMS dimensions; a scalar has 0.
 */
#ifndef SWITCHYARD_TENSOR_H
#define SWITCHYARD_TENSOR_H

#include "switchyard/dtype.h"
#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY_MAX_DIMS 8

struct sy_tensor;

/* New contiguous tensor, bytes undefined (empty) or zero (zeros).  Owned by the caller.
 * Errors: RANGE (dimensions), MEMORY (says how many bytes). */
struct sy_tensor *sy_tensor_empty(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                  struct sy_err *err);
struct sy_tensor *sy_tensor_zeros(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                  struct sy_err *err);
/* A 0-dimensional tensor holding v. */
struct sy_tensor *sy_tensor_scalar(enum sy_dtype dtype, double v, struct sy_err *err);
struct sy_tensor *sy_tensor_ref(struct sy_tensor *t); /* NULL gives NULL; returns t */
void sy_tensor_unref(struct sy_tensor *t);            /* NULL is fine */

enum sy_dtype sy_tensor_dtype(const struct sy_tensor *t); /* of its elements */
int sy_tensor_ndim(const struct sy_tensor *t);            /* 0..SY_MAX_DIMS */
int64_t sy_tensor_dim(const struct sy_tensor *t, int dim); /* negative counts from the end */
const int64_t *sy_tensor_shape(const struct sy_tensor *t);   /* [ndim] elements; borrowed from t */
const int64_t *sy_tensor_strides(const struct sy_tensor *t); /* [ndim] likewise */
int64_t sy_tensor_count(const struct sy_tensor *t);          /* elements */
size_t sy_tensor_bytes(const struct sy_tensor *t);           /* count * dtype size */
void *sy_tensor_data(const struct sy_tensor *t);             /* first element, or NULL in a trace */
/* Row-major without gaps, from its first element on: `count` elements at sy_tensor_data. */
bool sy_tensor_contiguous(const struct sy_tensor *t);
/* As many dimensions, each as long; dtypes and strides may differ. */
bool sy_tensor_same_shape(const struct sy_tensor *a, const struct sy_tensor *b);

/* Whether operations on it are kept for gradients; set it on a leaf, before it is used.  Not while
 * another thread uses t. */
bool sy_tensor_requires_grad(const struct sy_tensor *t);
void sy_tensor_set_requires_grad(struct sy_tensor *t, bool on);
struct sy_tensor *sy_tensor_grad(const struct sy_tensor *t); /* borrowed, or NULL */

/* Element i in row-major order of the logical shape, converted to double. */
double sy_tensor_get(const struct sy_tensor *t, int64_t i);
/* The same of an integer, exactly. */
int64_t sy_tensor_get_int(const struct sy_tensor *t, int64_t i);
/* The same element becomes v: rounded to nearest (floats), cut to a whole number, which the dtype
 * must hold (integers), or v != 0 (bool).  All who share the storage see it. */
void sy_tensor_set(struct sy_tensor *t, int64_t i, double v);
/* "(4, 3)"; for messages. Writes at most n bytes. */
char *sy_shape_text(int ndim, const int64_t *shape, char *out, size_t n);

#endif
