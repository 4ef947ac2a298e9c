/* Reductions along one dimension or over everything.
 *
 *  1. Along the last dimension: 16 lanes and a fixed tree (cpu/cpu.h).  Along another dimension: one
 *     chain in ascending order for every result, in chunks of CHUNK rows that depend on the shape
 *     only; chunks are then added in ascending order.  Everything: rows of BLOCK elements, whose
 *     sums are summed likewise.
 */
#include "ops/build.h"
#include "ops/ops_int.h"

#include <math.h>
#include <string.h>

#define BLOCK 32768 /* elements of a partial sum over everything */
#define CHUNK 256   /* rows of a partial sum along a dimension that is not the last */

/* ---- shapes ---- */

/* Output shape of a reduction by attributes dim (0) and keep (1). */
static int reduced(struct sy_infer *x, struct sy_meta *m)
{
    const struct sy_tensor *t = x->in[0];
    int64_t *dim = &x->attrs->i[0];
    bool keep = x->attrs->i[1];
    sy_meta_like(m, t);
    if (*dim == SY_DIM_ALL) {
        m->ndim = keep ? t->ndim : 0;
        for (int d = 0; d < m->ndim; d++)
            m->shape[d] = 1;
        return 0;
    }
    if (sy__dim(x, dim, t))
        return -1;
    m->shape[*dim] = 1;
    if (!keep) {
        for (int64_t d = *dim; d + 1 < t->ndim; d++)
            m->shape[d] = t->shape[d + 1];
        m->ndim--;
    }
    return 0;
}

static struct sy__lines lines(const struct sy_tensor *t, int64_t dim)
{
    if (dim == SY_DIM_ALL)
        return (struct sy__lines){1, sy_tensor_count(t), 1};
    return sy__lines_of(t->ndim, t->shape, dim);
}

/* Rows of partial sums: blocks of everything, or chunks of rows of `inner` columns. */
static int64_t pieces(const struct sy__lines *l)
{
    int64_t size = l->inner == 1 ? BLOCK : CHUNK;
    bool split = l->inner == 1 ? l->outer == 1 && l->n > BLOCK : l->n >= 2 * CHUNK;
    return split ? (l->n + size - 1) / size : 1;
}

size_t sy__sum_scratch(struct sy__lines l)
{
    int64_t n = pieces(&l);
    return n > 1 ? (size_t)(n * l.outer * l.inner) * sizeof(double) : 0;
}

int sy__infer_reduce(struct sy_infer *x)
{
    enum sy_dtype d = x->in[0]->dtype;
    if (d == SY_BF16)
        return sy__want_float(x, 0);
    if (reduced(x, &x->out[0]))
        return -1;
    if (d != SY_F32 && d != SY_F64)
        x->out[0].dtype = SY_I64;
    x->scratch = sy__sum_scratch(lines(x->in[0], x->attrs->i[0]));
    return 0;
}

/* ---- sums ---- */

#define ROW_SUM(fn, T, A)                                                                          \
    static A fn(const T *x, int64_t n)                                                             \
    {                                                                                              \
        A lane[16] = {0};                                                                          \
        int64_t i = 0;                                                                             \
        for (; i + 16 <= n; i += 16)                                                               \
            for (int j = 0; j < 16; j++)                                                           \
                lane[j] += (A)x[i + j];                                                            \
        for (int j = 0; i + j < n; j++)                                                            \
            lane[j] += (A)x[i + j];                                                                \
        for (int h = 8; h > 0; h /= 2)                                                             \
            for (int j = 0; j < h; j++)                                                            \
                lane[j] += lane[j + h];                                                            \
        return lane[0];                                                                            \
    }
ROW_SUM(row_sum_f32, float, float)
ROW_SUM(row_sum_f64, double, double)
ROW_SUM(row_sum_i32, int32_t, int64_t)
ROW_SUM(row_sum_i64, int64_t, int64_t)
ROW_SUM(row_sum_u8, uint8_t, int64_t)

/* y[j] = sum over r of x[r * inner + j] */
#define COL_SUM(fn, T, A)                                                                          \
    static void fn(const T *restrict x, int64_t rows, int64_t inner, int64_t from, int64_t to,     \
                   A *restrict y)                                                                  \
    {                                                                                              \
        memset(y + from, 0, (size_t)(to - from) * sizeof *y);                                      \
        for (int64_t r = 0; r < rows; r++)                                                         \
            for (int64_t j = from; j < to; j++)                                                    \
                y[j] += (A)x[r * inner + j];                                                       \
    }
COL_SUM(col_sum_f32, float, float)
COL_SUM(col_sum_f64, double, double)
COL_SUM(col_sum_i32, int32_t, int64_t)
COL_SUM(col_sum_i64, int64_t, int64_t)
COL_SUM(col_sum_u8, uint8_t, int64_t)

struct summing {
    enum sy_dtype dtype;
    const char *x;
    char *y;
    size_t size, out_size;
    struct sy__lines l;
    int64_t pieces, piece; /* rows of partial results an outer index, elements (rows) of each */
};

static void row_sum(enum sy_dtype dtype, const void *x, int64_t n, void *y)
{
    switch (dtype) {
    case SY_F32: *(float *)y = row_sum_f32(x, n); break;
    case SY_F64: *(double *)y = row_sum_f64(x, n); break;
    case SY_I32: *(int64_t *)y = row_sum_i32(x, n); break;
    case SY_I64: *(int64_t *)y = row_sum_i64(x, n); break;
    default: *(int64_t *)y = row_sum_u8(x, n); break;
    }
}

static void col_sum(enum sy_dtype dtype, const void *x, int64_t rows, int64_t inner, int64_t from,
                    int64_t to, void *y)
{
    switch (dtype) {
    case SY_F32: col_sum_f32(x, rows, inner, from, to, y); break;
    case SY_F64: col_sum_f64(x, rows, inner, from, to, y); break;
    case SY_I32: col_sum_i32(x, rows, inner, from, to, y); break;
    case SY_I64: col_sum_i64(x, rows, inner, from, to, y); break;
    default: col_sum_u8(x, rows, inner, from, to, y); break;
    }
}

/* Task unit: one (outer, piece). */
static void sum_pieces(void *ctx, int64_t begin, int64_t end)
{
    const struct summing *s = ctx;
    for (int64_t u = begin; u < end; u++) {
        int64_t first = u % s->pieces * s->piece;
        int64_t n = s->l.n - first < s->piece ? s->l.n - first : s->piece;
        const char *x = s->x + (size_t)((u / s->pieces * s->l.n + first) * s->l.inner) * s->size;
        char *y = s->y + (size_t)(u * s->l.inner) * s->out_size;
        if (s->l.inner == 1)
            row_sum(s->dtype, x, n, y);
        else
            col_sum(s->dtype, x, n, s->l.inner, 0, s->l.inner, y);
    }
}

/* x (outer, n, inner) -> y (outer, pieces, inner) */
static void sum_to(const struct summing *s)
{
    int64_t work = s->piece * s->l.inner;
    struct summing copy = *s;
    sy__parallel(s->l.outer * s->pieces, SY_GRAIN / (work + 1) + 1, sum_pieces, &copy);
}

void sy__sum_lines(enum sy_dtype dtype, const void *x, struct sy__lines l, void *scratch, void *y)
{
    bool whole = dtype == SY_F32 || dtype == SY_F64;
    size_t size = sy_dtype_size(dtype), out = whole ? size : sizeof(int64_t);
    int64_t n = pieces(&l);
    int64_t piece = n == 1 ? l.n : l.inner == 1 ? BLOCK : CHUNK;
    struct summing first = {dtype, x, n == 1 ? y : scratch, size, out, l, n, piece};
    sum_to(&first);
    if (n == 1)
        return;
    struct summing second = {whole ? dtype : SY_I64, scratch, y, out, out, {l.outer, n, l.inner}, 1, n};
    sum_to(&second);
}

int sy__run_sum(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0];
    sy__sum_lines(t->dtype, sy_data(t), lines(t, x->attrs->i[0]), x->scratch, sy_data(x->out[0]));
    return 0;
}

/* A gradient of the reduced shape, spread over x's shape. */
static struct sy_tensor *spread(struct sy_vjp *x, struct sy_tensor *g)
{
    const struct sy_tensor *t = x->in[0];
    int64_t dim = x->attrs->i[0], shape[SY_MAX_DIMS];
    memcpy(shape, t->shape, sizeof shape);
    for (int d = 0; d < t->ndim; d++)
        if (dim == SY_DIM_ALL || d == dim)
            shape[d] = 1;
    if (g && !(g->ndim == t->ndim && !memcmp(g->shape, shape, (size_t)t->ndim * sizeof *shape)))
        g = sy_b_reshape(g, t->ndim, shape);
    return g;
}

int sy__vjp_sum(struct sy_vjp *x)
{
    const struct sy_tensor *t = x->in[0];
    x->din[0] = sy_b_expand(spread(x, x->dout[0]), t->ndim, t->shape);
    return 0;
}
