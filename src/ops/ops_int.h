/* Shared inside ops/ and moe/: declarations of every row's functions, and small tools for them. */
#ifndef SY_OPS_OPS_INT_H
#define SY_OPS_OPS_INT_H

#include "ops/op.h"

/* Attribute `dim` with this value: all dimensions. */
#define SY_DIM_ALL (-1000)

#define SY_OP(id, name, inputs, attrs, outputs, flags, infer, run, vjp, cost, doc)                 \
    int sy__infer_##infer(struct sy_infer *x);                                                     \
    int sy__run_##run(const struct sy_run *x);                                                     \
    int sy__vjp_##vjp(struct sy_vjp *x);                                                           \
    void sy__cost_##cost(struct sy_cost *c);
#include "ops/ops.def"
#undef SY_OP

/* Normalize a dimension in place: -1..-n count from the end.  Error RANGE names op and shape. */
int sy__dim(struct sy_infer *x, int64_t *dim, const struct sy_tensor *t);
/* Errors with the op's name, input's name and its actual shape or dtype. */
int sy__want_dtype(struct sy_infer *x, int input, enum sy_dtype dtype);
int sy__want_float(struct sy_infer *x, int input);  /* f32 or f64 */
int sy__want_ndim(struct sy_infer *x, int input, int ndim);
int sy__same_dtype(struct sy_infer *x, int a, int b);
/* `op: reason: a is (..), b is (..)` listing every input with its shape. */
int sy__shape_error(struct sy_infer *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* f(ctx, begin, end) over [0, n) in blocks of `grain`, on the pool; inline when one block. */
typedef void (*sy_range_fn)(void *ctx, int64_t begin, int64_t end);
void sy__parallel(int64_t n, int64_t grain, sy_range_fn f, void *ctx);

#endif
