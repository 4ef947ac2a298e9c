/* Shared inside ops/ and moe/: declarations of every row's functions, and small tools for them. */
#ifndef SY_OPS_OPS_INT_H
#define SY_OPS_OPS_INT_H

#include "base/rng.h"
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

/* Rows without a gradient hold NULL there; the suffix says why (see the head of ops.def). */
#define sy__vjp_none_integer NULL
#define sy__vjp_none_backward NULL
#define sy__vjp_none_step NULL
#define sy__vjp_none_view NULL
#define sy__vjp_none_random NULL
#define sy__vjp_none_linalg NULL

/* Normalize a dimension in place: -1..-n count from the end.  Error RANGE names op and shape. */
int sy__dim(struct sy_infer *x, int64_t *dim, const struct sy_tensor *t);
/* Errors with the op's name, input's name and its actual shape or dtype. */
int sy__want_dtype(struct sy_infer *x, int input, enum sy_dtype dtype);
int sy__want_float(struct sy_infer *x, int input);  /* f32 or f64 */
int sy__want_ndim(struct sy_infer *x, int input, int ndim);
int sy__same_dtype(struct sy_infer *x, int a, int b);
/* in[input] is of in[like]'s dtype, or lies packed and in[like] is f32.  See sy__mat. */
int sy__want_weight(struct sy_infer *x, int like, int input);
/* `op: reason: a is (..), b is (..)` listing every input with its shape. */
int sy__shape_error(struct sy_infer *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Of at most two dimensions. */
static inline void sy__meta(struct sy_meta *m, enum sy_dtype dtype, int ndim, int64_t d0,
                            int64_t d1)
{
    m->dtype = dtype;
    m->ndim = ndim;
    m->shape[0] = d0;
    m->shape[1] = d1;
}

/* What dropout and draw_key put out as their key, i64 (3). */
struct sy_rng sy__saved_key(const struct sy_tensor *t);

/* ---- inputs that are read through packing (marked ~ in ops.def) ---- */

/* Not the f32 elements themselves: bf16 and the stored dtypes. */
static inline bool sy__is_packed(const struct sy_tensor *t)
{
    enum sy_form form = sy_dtype_form(t->dtype);
    return form != SY_FORM_F32 && form != SY_FORM_COUNT;
}
/* The matrix (f32 or packed) whose row 0 begins with element `first` of t, rows ld apart. */
struct sy_mat sy__mat(const struct sy_tensor *t, int64_t first, int64_t ld, bool trans);

/* f(ctx, begin, end) over [0, n) in blocks of `grain`, on the pool; inline when one block. */
typedef void (*sy_range_fn)(void *ctx, int64_t begin, int64_t end);
void sy__parallel(int64_t n, int64_t grain, sy_range_fn f, void *ctx);

/* Up to three inputs walked together in the row-major order of `shape`, inputs broadcast to it and
 * neighbouring dimensions merged where all strides allow.  Outputs are always contiguous. */
#define SY_ITER_IN 3
struct sy__iter {
    int ndim, nin;
    int64_t total;
    int64_t shape[SY_MAX_DIMS];
    int64_t stride[SY_ITER_IN][SY_MAX_DIMS];
};
/* A run of n elements: output elements at.., input i's elements at offset[i] + j * stride[i]. */
struct sy__span {
    int64_t at, n;
    int64_t offset[SY_ITER_IN], stride[SY_ITER_IN];
};
typedef void (*sy__span_fn)(void *ctx, const struct sy__span *s);

void sy__iter_init(struct sy__iter *it, int ndim, const int64_t *shape, int nin,
                   struct sy_tensor *const *in);
/* On the pool, in pieces of `grain` elements. */
void sy__iter_run(const struct sy__iter *it, int64_t grain, sy__span_fn f, void *ctx);
#define SY_GRAIN 32768 /* elements of a task of a plain map */

/* A contiguous tensor seen along one dimension: element (o, i, s) at (o * n + i) * inner + s. */
struct sy__lines {
    int64_t outer, n, inner;
};
struct sy__lines sy__lines_of(int ndim, const int64_t *shape, int64_t dim);

/* Operations along one dimension (lines.c): rows() computes dense rows of every operand, in[i] of
 * in[i].n elements each; an output without data comes as NULL. */
#define SY_LINE_IN 3
#define SY_LINE_OUT 2
struct sy__line_operand {
    void *data;
    int64_t n;   /* elements of a line */
    size_t size; /* bytes of an element */
};
struct sy__line_work {
    struct sy__lines l; /* n is not looked at */
    int nin, nout;
    struct sy__line_operand in[SY_LINE_IN], out[SY_LINE_OUT];
    void (*rows)(void *ctx, int64_t rows, const void *const *in, void *const *out);
    void *ctx;
};
struct sy__line_operand sy__line_operand(const struct sy_tensor *t, int64_t n); /* t may be NULL */
int sy__lines_run(const struct sy__line_work *w, const char *name, struct sy_err *err);

/* NumPy's rule; error SHAPE.  Sets out->ndim and shape only. */
int sy__broadcast(struct sy_infer *x, struct sy_meta *out);

/* y (outer, inner) = sums of x (outer, n, inner); scratch as sy__sum_scratch says.  Integers give
 * i64. */
void sy__sum_lines(enum sy_dtype dtype, const void *x, struct sy__lines l, void *scratch, void *y);
size_t sy__sum_scratch(struct sy__lines l);

/* Element i of indices (i32, i64, u8 or bool) at p. */
static inline int64_t sy__index_at(enum sy_dtype dtype, const void *p, int64_t i)
{
    return dtype == SY_I32   ? ((const int32_t *)p)[i]
           : dtype == SY_I64 ? ((const int64_t *)p)[i]
                             : ((const uint8_t *)p)[i];
}

/* Elements of t in row-major order to `to` (same dtype). */
void sy__copy_dense(const struct sy_tensor *t, void *to);

#endif
