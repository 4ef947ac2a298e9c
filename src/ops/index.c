/* Operations that read or write where an index tensor says.  Indices are i32, i64 or u8, count from
 * 0, and are checked when the operation runs: `op: index 300 is out of range: V is 256`.
 *
 *  1. Adding into the same place happens in ascending order of the index tensor, whatever the
 *     threads: scatter_add gives a line to one task, embedding_backward a row of the result.
 */
#include "ops/build.h"
#include "ops/ops_int.h"

#include <stdatomic.h>
#include <string.h>

static bool is_index(enum sy_dtype d)
{
    return d == SY_I32 || d == SY_I64 || d == SY_U8;
}

static int want_index(struct sy_infer *x, int input)
{
    char name[24];
    enum sy_dtype d = x->in[input]->dtype;
    if (is_index(d))
        return 0;
    return sy_err_set(x->err, SY_E_DTYPE, "%s: %s is %s, must be i32, i64 or u8", x->op->name,
                      sy_op_input_name(x->op, input, name), sy_dtype_name(d));
}

/* An error for the first index of t that is not in 0..n-1.  `base` is what users count from: 0 for
 * token ids, 1 for places. */
static int check_range(const struct sy_tensor *t, int64_t n, int base, const char *op,
                       const char *what, struct sy_err *err)
{
    const void *p = sy_data(t);
    int64_t count = sy_tensor_count(t);
    for (int64_t i = 0; i < count; i++) {
        int64_t v = sy__index_at(t->dtype, p, i);
        if (v < 0 || v >= n)
            return base ? sy_err_set(err, SY_E_RANGE,
                                     "%s: index %lld is outside 1..%lld: %s is %lld", op,
                                     (long long)v + 1, (long long)n, what, (long long)n)
                        : sy_err_set(err, SY_E_RANGE, "%s: index %lld is out of range: %s is %lld",
                                     op, (long long)v, what, (long long)n);
    }
    return 0;
}

/* ---- gather, scatter_add: along a dimension, the other dimensions equal ---- */

struct along {
    enum sy_dtype dtype, index;
    size_t size;
    int64_t n, m; /* elements of a line on the long side, indices of a line */
};

static int same_beside(struct sy_infer *x, const struct sy_tensor *a, const struct sy_tensor *b,
                       int64_t dim)
{
    bool fits = a->ndim == b->ndim;
    for (int d = 0; fits && d < a->ndim; d++)
        fits = d == dim || a->shape[d] == b->shape[d];
    return fits ? 0 : sy__shape_error(x, "shapes differ beside dimension %lld", (long long)dim + 1);
}

int sy__infer_gather(struct sy_infer *x)
{
    int64_t *dim = &x->attrs->i[0];
    if (want_index(x, 1) || sy__dim(x, dim, x->in[0]) || same_beside(x, x->in[0], x->in[1], *dim))
        return -1;
    sy_meta_like(&x->out[0], x->in[1]);
    x->out[0].dtype = x->in[0]->dtype;
    return 0;
}

static void gather_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct along *c = ctx;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < c->m; i++) {
            int64_t at = r * c->n + sy__index_at(c->index, in[1], r * c->m + i);
            memcpy((char *)out[0] + (size_t)(r * c->m + i) * c->size,
                   (const char *)in[0] + (size_t)at * c->size, c->size);
        }
}

int sy__run_gather(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0], *index = x->in[1];
    int64_t dim = x->attrs->i[0];
    struct sy__lines l = sy__lines_of(index->ndim, index->shape, dim);
    struct along c = {t->dtype, index->dtype, sy_dtype_size(t->dtype), t->shape[dim], l.n};
    struct sy__line_work w = {.l = l,
                              .nin = 2,
                              .nout = 1,
                              .in = {sy__line_operand(t, c.n), sy__line_operand(index, c.m)},
                              .out = {sy__line_operand(x->out[0], c.m)},
                              .rows = gather_rows,
                              .ctx = &c};
    if (check_range(index, c.n, 1, "gather", "the dimension", x->err))
        return -1;
    return sy__lines_run(&w, "gather", x->err);
}

int sy__vjp_gather(struct sy_vjp *x)
{
    int64_t dim = x->attrs->i[0];
    struct sy_attrs a = {.i = {dim, x->in[0]->shape[dim]}};
    x->din[0] = sy_b_apply(SY_OP_SCATTER_ADD_, &a, 2, x->in[1], x->dout[0]);
    return 0;
}

int sy__infer_scatter_add(struct sy_infer *x)
{
    int64_t *dim = &x->attrs->i[0], n = x->attrs->i[1];
    enum sy_dtype d = x->in[1]->dtype;
    if (want_index(x, 0) || sy__dim(x, dim, x->in[0]))
        return -1;
    if (!sy_tensor_same_shape(x->in[0], x->in[1]))
        return sy__shape_error(x, "shapes differ");
    if (d == SY_BF16 || d == SY_BOOL)
        return sy__want_float(x, 1);
    if (n < 0)
        return sy_err_set(x->err, SY_E_RANGE, "scatter_add: n is %lld, must be at least 0",
                          (long long)n);
    sy_meta_like(&x->out[0], x->in[1]);
    x->out[0].shape[*dim] = n;
    return 0;
}

#define SCATTER(T)                                                                                 \
    for (int64_t r = 0; r < rows; r++)                                                             \
        for (int64_t i = 0; i < c->m; i++)                                                         \
    ((T *)out[0])[r * c->n + sy__index_at(c->index, in[0], r * c->m + i)] +=                       \
        ((const T *)in[1])[r * c->m + i]

static void scatter_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct along *c = ctx;
    memset(out[0], 0, (size_t)(rows * c->n) * c->size);
    switch (c->dtype) {
    case SY_F32:
        SCATTER(float);
        break;
    case SY_F64:
        SCATTER(double);
        break;
    case SY_I32:
        SCATTER(uint32_t);
        break;
    case SY_I64:
        SCATTER(uint64_t);
        break;
    default:
        SCATTER(uint8_t);
        break;
    }
}

int sy__run_scatter_add(const struct sy_run *x)
{
    const struct sy_tensor *index = x->in[0], *t = x->in[1];
    int64_t dim = x->attrs->i[0];
    struct sy__lines l = sy__lines_of(index->ndim, index->shape, dim);
    struct along c = {t->dtype, index->dtype, sy_dtype_size(t->dtype), x->attrs->i[1], l.n};
    struct sy__line_work w = {.l = l,
                              .nin = 2,
                              .nout = 1,
                              .in = {sy__line_operand(index, c.m), sy__line_operand(t, c.m)},
                              .out = {sy__line_operand(x->out[0], c.n)},
                              .rows = scatter_rows,
                              .ctx = &c};
    if (check_range(index, c.n, 1, "scatter_add", "n", x->err))
        return -1;
    return sy__lines_run(&w, "scatter_add", x->err);
}

int sy__vjp_scatter_add(struct sy_vjp *x)
{
    struct sy_attrs a = {.i = {x->attrs->i[0]}};
    x->din[1] = sy_b_apply(SY_OP_GATHER_, &a, 2, x->dout[0], x->in[0]);
    return 0;
}

/* ---- rows by index: embedding (ids of any shape), index_select (a list) ---- */

/* A row is one run of elements. */
static bool whole_rows(const struct sy_tensor *w)
{
    int64_t dense = 1;
    for (int d = w->ndim - 1; d > 0; dense *= w->shape[d--])
        if (w->shape[d] != 1 && w->stride[d] != dense)
            return false;
    return true;
}

static int infer_rows(struct sy_infer *x, int ids)
{
    const struct sy_tensor *w = x->in[1 - ids], *t = x->in[ids];
    struct sy_meta *m = &x->out[0];
    if (want_index(x, ids))
        return -1;
    if (!w->ndim)
        return sy__shape_error(x, "a scalar has no rows");
    if (sy_dtype_stored(w->dtype) && !whole_rows(w))
        return sy__shape_error(x, "rows of %s must be whole", sy_dtype_name(w->dtype));
    m->dtype = sy_dtype_stored(w->dtype) ? SY_F32 : w->dtype;
    m->ndim = t->ndim + w->ndim - 1;
    if (m->ndim > SY_MAX_DIMS)
        return sy__shape_error(x, "the result would have %d dimensions", m->ndim);
    memcpy(m->shape, t->shape, (size_t)t->ndim * sizeof *m->shape);
    memcpy(m->shape + t->ndim, w->shape + 1, (size_t)(w->ndim - 1) * sizeof *m->shape);
    return 0;
}

int sy__infer_embedding(struct sy_infer *x)
{
    return sy__want_ndim(x, 0, 2) ? -1 : infer_rows(x, 1);
}

int sy__infer_index_select(struct sy_infer *x)
{
    return sy__want_ndim(x, 1, 1) ? -1 : infer_rows(x, 1);
}

struct row_copy {
    const char *from;
    char *to;
    size_t bytes;
    enum sy_dtype index;
    const void *ids;
};

static void copy_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct row_copy *c = ctx;
    for (int64_t i = begin; i < end; i++)
        memcpy(c->to + (size_t)i * c->bytes,
               c->from + (size_t)sy__index_at(c->index, c->ids, i) * c->bytes, c->bytes);
}

struct row_decode {
    struct sy_packed from;
    int64_t first, stride, n; /* elements: of the table's first row, between rows, of a row */
    float *to;
    enum sy_dtype index;
    const void *ids;
};

static void decode_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct row_decode *c = ctx;
    for (int64_t i = begin; i < end; i++)
        sy_form_decode(c->to + i * c->n, &c->from,
                       c->first + sy__index_at(c->index, c->ids, i) * c->stride, c->n);
}

static void select_stored(const struct sy_run *x, int64_t n)
{
    const struct sy_tensor *w = x->in[0], *ids = x->in[1];
    struct row_decode c = {sy_packed(w), w->offset, w->stride[0], n, sy_data(x->out[0]),
                           ids->dtype,   sy_data(ids)};
    sy__parallel(sy_tensor_count(ids), 32768 / (n + 1) + 1, decode_rows, &c);
}

static int select_rows(const struct sy_run *x, const char *op, const char *what)
{
    const struct sy_tensor *w = x->in[0], *ids = x->in[1];
    int64_t n = 1;
    for (int d = 1; d < w->ndim; d++)
        n *= w->shape[d];
    if (check_range(ids, w->shape[0], !strcmp(op, "index_select"), op, what, x->err))
        return -1;
    if (sy_dtype_stored(w->dtype)) {
        select_stored(x, n);
        return 0;
    }
    const size_t bytes = (size_t)n * sy_dtype_size(w->dtype);
    struct row_copy c = {sy_data(w), sy_data(x->out[0]), bytes, ids->dtype, sy_data(ids)};
    sy__parallel(sy_tensor_count(ids), (int64_t)(131072 / (bytes + 1)) + 1, copy_rows, &c);
    return 0;
}

int sy__run_embedding(const struct sy_run *x)
{
    return select_rows(x, "embedding", "V");
}
int sy__run_index_select(const struct sy_run *x)
{
    return select_rows(x, "index_select", "dimension 1");
}

/* For both: x's gradient as rows (n, all the rest). */
int sy__vjp_embedding(struct sy_vjp *x)
{
    struct sy_tensor *w = x->in[0], *ids = x->in[1];
    int64_t n = w->shape[0], width = n ? sy_tensor_count(w) / n : 0;
    struct sy_attrs a = {.i = {n}};
    struct sy_tensor *dy = sy_b_reshape(x->dout[0], 2, (int64_t[2]){sy_tensor_count(ids), width});
    x->din[0] = sy_b_reshape_like(sy_b_apply(SY_OP_EMBEDDING_BACKWARD_, &a, 2, ids, dy), w);
    return 0;
}

int sy__vjp_index_select(struct sy_vjp *x)
{
    return sy__vjp_embedding(x);
}

/* ids (any shape, N in all), dy (N, C) -> dw (n, C); scratch: the tokens of each row, in order. */
int sy__infer_embedding_backward(struct sy_infer *x)
{
    if (want_index(x, 0) || sy__want_float(x, 1) || sy__want_ndim(x, 1, 2))
        return -1;
    if (x->in[1]->shape[0] != sy_tensor_count(x->in[0]))
        return sy__shape_error(x, "rows differ");
    sy_meta_like(&x->out[0], x->in[1]);
    x->out[0].shape[0] = x->attrs->i[0];
    x->scratch = (size_t)(x->attrs->i[0] + 1 + x->in[1]->shape[0]) * sizeof(int64_t);
    return 0;
}

struct row_sums {
    enum sy_dtype dtype;
    const int64_t *first, *token; /* tokens of row v: token[first[v] .. first[v + 1]) */
    const void *dy;
    void *dw;
    int64_t width;
};

#define SUM_ROWS(T)                                                                                \
    for (int64_t v = begin; v < end; v++) {                                                        \
        T *restrict to = (T *)c->dw + v * c->width;                                                \
        memset(to, 0, (size_t)c->width * sizeof *to);                                              \
        for (int64_t i = c->first[v]; i < c->first[v + 1]; i++) {                                  \
            const T *restrict from = (const T *)c->dy + c->token[i] * c->width;                    \
            for (int64_t j = 0; j < c->width; j++)                                                 \
                to[j] += from[j];                                                                  \
        }                                                                                          \
    }

static void sum_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct row_sums *c = ctx;
    if (c->dtype == SY_F32) {
        SUM_ROWS(float)
    } else {
        SUM_ROWS(double)
    }
}

/* Counting sort: first[v] = start of v's tokens, tokens ascending. */
static void sort_ids(const struct sy_tensor *ids, int64_t n, int64_t *first, int64_t *token)
{
    int64_t count = sy_tensor_count(ids), sum = 0;
    const void *p = sy_data(ids);
    memset(first, 0, (size_t)(n + 1) * sizeof *first);
    for (int64_t i = 0; i < count; i++)
        first[sy__index_at(ids->dtype, p, i)]++;
    for (int64_t v = 0; v <= n; v++) {
        int64_t own = first[v];
        first[v] = sum;
        sum += own;
    }
    for (int64_t i = 0; i < count; i++)
        token[first[sy__index_at(ids->dtype, p, i)]++] = i;
    for (int64_t v = n; v > 0; v--) /* first[v] now is the end of v: shift back */
        first[v] = first[v - 1];
    first[0] = 0;
}

int sy__run_embedding_backward(const struct sy_run *x)
{
    int64_t n = x->attrs->i[0], *first = x->scratch, *token = first + n + 1;
    const struct sy_tensor *dy = x->in[1];
    if (check_range(x->in[0], n, 0, "embedding_backward", "V", x->err))
        return -1;
    sort_ids(x->in[0], n, first, token);
    struct row_sums c = {dy->dtype, first, token, sy_data(dy), sy_data(x->out[0]), dy->shape[1]};
    sy__parallel(n, n / 64 + 1, sum_rows, &c);
    return 0;
}

/* ---- one_hot, bincount ---- */

static int infer_classes(struct sy_infer *x)
{
    if (want_index(x, 0))
        return -1;
    if (x->attrs->i[0] < 1)
        return sy_err_set(x->err, SY_E_RANGE, "%s: n is %lld, must be at least 1", x->op->name,
                          (long long)x->attrs->i[0]);
    return 0;
}

int sy__infer_one_hot(struct sy_infer *x)
{
    struct sy_meta *m = &x->out[0];
    if (infer_classes(x))
        return -1;
    sy_meta_like(m, x->in[0]);
    if (m->ndim == SY_MAX_DIMS)
        return sy__shape_error(x, "no room for another dimension");
    m->dtype = SY_F32;
    m->shape[m->ndim++] = x->attrs->i[0];
    return 0;
}

int sy__run_one_hot(const struct sy_run *x)
{
    const struct sy_tensor *ids = x->in[0];
    int64_t n = x->attrs->i[0], count = sy_tensor_count(ids);
    float *y = sy_data(x->out[0]);
    if (check_range(ids, n, 0, "one_hot", "n", x->err))
        return -1;
    memset(y, 0, (size_t)(count * n) * sizeof *y);
    for (int64_t i = 0; i < count; i++)
        y[i * n + sy__index_at(ids->dtype, sy_data(ids), i)] = 1;
    return 0;
}

int sy__infer_bincount(struct sy_infer *x)
{
    if (infer_classes(x))
        return -1;
    x->out[0] = (struct sy_meta){SY_F32, 1, {x->attrs->i[0]}};
    return 0;
}

int sy__run_bincount(const struct sy_run *x)
{
    const struct sy_tensor *ids = x->in[0];
    int64_t n = x->attrs->i[0], count = sy_tensor_count(ids);
    float *y = sy_data(x->out[0]);
    if (check_range(ids, n, 0, "bincount", "n", x->err))
        return -1;
    memset(y, 0, (size_t)n * sizeof *y);
    for (int64_t i = 0; i < count; i++)
        y[sy__index_at(ids->dtype, sy_data(ids), i)] += 1; /* exact to 2^24 */
    return 0;
}
