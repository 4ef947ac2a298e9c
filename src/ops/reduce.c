/* Reductions along one dimension or over everything.
 *
 *  1. Along the last dimension: 16 lanes and a fixed tree (cpu/cpu.h).  Along another dimension:
 *     one chain in ascending order for every result, in chunks of CHUNK rows that depend on the
 *     shape only; chunks are then added in ascending order.  Everything: rows of BLOCK elements,
 *     whose sums are summed likewise.
 */
#include "ops/build.h"
#include "ops/ops_int.h"

#include "cpu/cpu.h"
#include "cpu/kern_row.h"

#include <math.h>
#include <string.h>

#define BLOCK 32768 /* elements of a partial sum over everything */
#define CHUNK 256   /* rows of a partial sum along a dimension that is not the last */

/* Integer attributes in the order of ops.def; CORRECTION is var's. */
enum { DIM, KEEP, CORRECTION };

/* ---- shapes ---- */

/* Output shape of a reduction. */
static int reduced(struct sy_infer *x, struct sy_meta *m)
{
    const struct sy_tensor *t = x->in[0];
    int64_t *dim = &x->attrs->i[DIM];
    bool keep = x->attrs->i[KEEP];
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
    x->scratch = sy__sum_scratch(lines(x->in[0], x->attrs->i[DIM]));
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
ROW_SUM(row_sum_i32, int32_t, uint64_t) /* wraps */
ROW_SUM(row_sum_i64, int64_t, uint64_t)
ROW_SUM(row_sum_u8, uint8_t, uint64_t)

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
COL_SUM(col_sum_i32, int32_t, uint64_t)
COL_SUM(col_sum_i64, int64_t, uint64_t)
COL_SUM(col_sum_u8, uint8_t, uint64_t)

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
    case SY_F32:
        *(float *)y = row_sum_f32(x, n);
        break;
    case SY_F64:
        *(double *)y = row_sum_f64(x, n);
        break;
    case SY_I32:
        *(int64_t *)y = (int64_t)row_sum_i32(x, n);
        break;
    case SY_I64:
        *(int64_t *)y = (int64_t)row_sum_i64(x, n);
        break;
    default:
        *(int64_t *)y = (int64_t)row_sum_u8(x, n);
        break;
    }
}

static void col_sum(enum sy_dtype dtype, const void *x, int64_t rows, int64_t inner, int64_t from,
                    int64_t to, void *y)
{
    switch (dtype) {
    case SY_F32:
        col_sum_f32(x, rows, inner, from, to, y);
        break;
    case SY_F64:
        col_sum_f64(x, rows, inner, from, to, y);
        break;
    case SY_I32:
        col_sum_i32(x, rows, inner, from, to, y);
        break;
    case SY_I64:
        col_sum_i64(x, rows, inner, from, to, y);
        break;
    default:
        col_sum_u8(x, rows, inner, from, to, y);
        break;
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
    struct summing second = {whole ? dtype : SY_I64, scratch, y, out, out,
                             {l.outer, n, l.inner},  1,       n};
    sum_to(&second);
}

int sy__run_sum(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0];
    sy__sum_lines(t->dtype, sy_data(t), lines(t, x->attrs->i[DIM]), x->scratch, sy_data(x->out[0]));
    return 0;
}

/* A gradient of the reduced shape, spread over x's shape. */
static struct sy_tensor *spread(struct sy_vjp *x, struct sy_tensor *g)
{
    const struct sy_tensor *t = x->in[0];
    int64_t dim = x->attrs->i[DIM], shape[SY_MAX_DIMS];
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

/* ---- mean ---- */

int sy__infer_reduce_float(struct sy_infer *x)
{
    return sy__want_float(x, 0) ? -1 : sy__infer_reduce(x);
}

static int64_t reduced_count(const struct sy_tensor *t, int64_t dim)
{
    return dim == SY_DIM_ALL ? sy_tensor_count(t) : t->shape[dim];
}

int sy__run_mean(const struct sy_run *x)
{
    int64_t count = sy_tensor_count(x->out[0]), n = reduced_count(x->in[0], x->attrs->i[DIM]);
    float *y = sy_data(x->out[0]);
    double *yd = sy_data(x->out[0]);
    sy__run_sum(x);
    for (int64_t i = 0; i < count; i++)
        if (x->in[0]->dtype == SY_F32)
            y[i] /= (float)n;
        else
            yd[i] /= (double)n;
    return 0;
}

int sy__vjp_mean(struct sy_vjp *x)
{
    const struct sy_tensor *t = x->in[0];
    double n = (double)reduced_count(t, x->attrs->i[DIM]);
    struct sy_tensor *g = sy_b_mul(x->dout[0], sy_b_const(x->dout[0], 1 / n));
    x->din[0] = sy_b_expand(spread(x, g), t->ndim, t->shape);
    return 0;
}

/* ---- rows: largest, smallest, where, product, variance, log of the sum of exponentials ---- */

struct row_ctx {
    enum sy_dtype dtype;
    int64_t n;
    double correction;
};

/* One function for every element type: BODY sees T *x (a row of n) and must set `r`. */
#define ROWS_TYPE(fn, T, R, BODY)                                                                  \
    static void fn(const struct row_ctx *c, int64_t rows, const void *in, void *out)               \
    {                                                                                              \
        for (int64_t row = 0; row < rows; row++) {                                                 \
            const T *x = (const T *)in + row * c->n;                                               \
            R r;                                                                                   \
            BODY;                                                                                  \
            ((R *)out)[row] = r;                                                                   \
        }                                                                                          \
    }

#define KERNEL_F32(name)                                                                           \
    static void name##_f32(const struct row_ctx *c, int64_t rows, const void *in, void *out)       \
    {                                                                                              \
        sy_cpu()->row->name(out, in, c->n, rows, c->n);                                            \
    }

/* name##_f32 is there already */
#define ROWS_ALL(name, RD, RI, RL, RU, BODY)                                                       \
    ROWS_TYPE(name##_f64, double, RD, BODY)                                                        \
    ROWS_TYPE(name##_i32, int32_t, RI, BODY)                                                       \
    ROWS_TYPE(name##_i64, int64_t, RL, BODY)                                                       \
    ROWS_TYPE(name##_u8, uint8_t, RU, BODY)                                                        \
    static void name##_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)      \
    {                                                                                              \
        const struct row_ctx *c = ctx;                                                             \
        switch (c->dtype) {                                                                        \
        case SY_F32:                                                                               \
            name##_f32(c, rows, in[0], out[0]);                                                    \
            break;                                                                                 \
        case SY_F64:                                                                               \
            name##_f64(c, rows, in[0], out[0]);                                                    \
            break;                                                                                 \
        case SY_I32:                                                                               \
            name##_i32(c, rows, in[0], out[0]);                                                    \
            break;                                                                                 \
        case SY_I64:                                                                               \
            name##_i64(c, rows, in[0], out[0]);                                                    \
            break;                                                                                 \
        default:                                                                                   \
            name##_u8(c, rows, in[0], out[0]);                                                     \
            break;                                                                                 \
        }                                                                                          \
    }

/* NaN wins. */
#define PICK(op)                                                                                   \
    r = x[0];                                                                                      \
    for (int64_t i = 1; i < c->n; i++)                                                             \
        if (x[i] op r || x[i] != x[i])                                                             \
    r = x[i]
/* NaN wins, as in PICK; of equal ones the first does. */
#define PICK_INDEX(op)                                                                             \
    r = 0;                                                                                         \
    for (int64_t i = 1; i < c->n; i++)                                                             \
        if (x[r] == x[r] && (x[i] op x[r] || x[i] != x[i]))                                        \
    r = (int32_t)i

#define SAME double, int32_t, int64_t, uint8_t
#define INDEX int32_t, int32_t, int32_t, int32_t
#define ROWS_LIST(name, list, BODY) ROWS_ALL_(name, list, BODY)
#define ROWS_ALL_(name, ...) ROWS_ALL(name, __VA_ARGS__)
KERNEL_F32(max)
KERNEL_F32(min)
KERNEL_F32(argmax)
ROWS_TYPE(argmin_f32, float, int32_t, PICK_INDEX(<))
ROWS_LIST(max, SAME, PICK(>))
ROWS_LIST(min, SAME, PICK(<))
ROWS_LIST(argmax, INDEX, PICK_INDEX(>))
ROWS_LIST(argmin, INDEX, PICK_INDEX(<))

ROWS_TYPE(prod_f32, float, float, r = 1; for (int64_t i = 0; i < c->n; i++) r *= x[i])
ROWS_TYPE(prod_f64, double, double, r = 1; for (int64_t i = 0; i < c->n; i++) r *= x[i])

static void prod_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    if (c->dtype == SY_F32)
        prod_f32(c, rows, in[0], out[0]);
    else
        prod_f64(c, rows, in[0], out[0]);
}

ROW_SUM(row_sum_wide, float, double)

/* Two passes, sums in 16 lanes of double: a mean in float is too far off where it is large. */
#define VARIANCE(fn, T, row_sum_fn)                                                                \
    static T fn(const T *x, int64_t n, double correction)                                          \
    {                                                                                              \
        double mean = row_sum_fn(x, n) / (double)n, lane[16] = {0};                                \
        for (int64_t i = 0; i < n; i++) {                                                          \
            double d = (double)x[i] - mean;                                                        \
            lane[i % 16] += d * d;                                                                 \
        }                                                                                          \
        return (T)(row_sum_f64(lane, 16) / ((double)n - correction));                              \
    }
VARIANCE(variance_f32, float, row_sum_wide)
VARIANCE(variance_f64, double, row_sum_f64)
ROWS_TYPE(var_f32, float, float, r = variance_f32(x, c->n, c->correction))
ROWS_TYPE(var_f64, double, double, r = variance_f64(x, c->n, c->correction))

static void var_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    if (c->dtype == SY_F32)
        var_f32(c, rows, in[0], out[0]);
    else
        var_f64(c, rows, in[0], out[0]);
}

static double lse_f64(const double *x, int64_t n)
{
    double m = x[0], s = 0;
    for (int64_t i = 1; i < n; i++)
        m = x[i] > m || x[i] != x[i] ? x[i] : m;
    if (isinf(m))
        return m;
    for (int64_t i = 0; i < n; i++)
        s += exp(x[i] - m);
    return m + log(s);
}
ROWS_TYPE(logsumexp_f64, double, double, r = lse_f64(x, c->n))

static void logsumexp_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    if (c->dtype == SY_F32)
        sy_cpu()->row->logsumexp(out[0], in[0], c->n, rows, c->n);
    else
        logsumexp_f64(c, rows, in[0], out[0]);
}

static int run_rows(const struct sy_run *x, const char *name,
                    void (*rows)(void *, int64_t, const void *const *, void *const *))
{
    const struct sy_tensor *t = x->in[0];
    struct sy__lines l = lines(t, x->attrs->i[DIM]);
    struct row_ctx c = {t->dtype, l.n, (double)x->attrs->i[CORRECTION]};
    struct sy__line_work w = {.l = l,
                              .nin = 1,
                              .nout = 1,
                              .in = {sy__line_operand(t, l.n)},
                              .out = {sy__line_operand(x->out[0], 1)},
                              .rows = rows,
                              .ctx = &c};
    return sy__lines_run(&w, name, x->err);
}

int sy__run_max(const struct sy_run *x)
{
    return run_rows(x, "max", max_rows);
}
int sy__run_min(const struct sy_run *x)
{
    return run_rows(x, "min", min_rows);
}
int sy__run_argmax(const struct sy_run *x)
{
    return run_rows(x, "argmax", argmax_rows);
}
int sy__run_argmin(const struct sy_run *x)
{
    return run_rows(x, "argmin", argmin_rows);
}
int sy__run_prod(const struct sy_run *x)
{
    return run_rows(x, "prod", prod_rows);
}
int sy__run_var(const struct sy_run *x)
{
    return run_rows(x, "var", var_rows);
}
int sy__run_logsumexp(const struct sy_run *x)
{
    return run_rows(x, "logsumexp", logsumexp_rows);
}

static int not_empty(struct sy_infer *x)
{
    char text[128];
    const struct sy_tensor *t = x->in[0];
    if (reduced_count(t, x->attrs->i[DIM]) > 0)
        return 0;
    return sy_err_set(x->err, SY_E_SHAPE, "%s: nothing to choose from: x is %s", x->op->name,
                      sy_shape_text(t->ndim, t->shape, text, sizeof text));
}

int sy__infer_extreme(struct sy_infer *x)
{
    if (x->in[0]->dtype == SY_BF16)
        return sy__want_float(x, 0);
    return reduced(x, &x->out[0]) || not_empty(x) ? -1 : 0;
}

int sy__infer_extreme_index(struct sy_infer *x)
{
    if (sy__infer_extreme(x))
        return -1;
    int64_t n = reduced_count(x->in[0], x->attrs->i[DIM]);
    if (n > INT32_MAX)
        return sy_err_set(x->err, SY_E_RANGE, "%s: %lld elements: indices are i32", x->op->name,
                          (long long)n);
    x->out[0].dtype = SY_I32;
    return 0;
}

int sy__infer_rows_float(struct sy_infer *x)
{
    return sy__want_float(x, 0) || reduced(x, &x->out[0]) || not_empty(x) ? -1 : 0;
}

int sy__infer_var(struct sy_infer *x)
{
    if (sy__infer_rows_float(x))
        return -1;
    int64_t n = reduced_count(x->in[0], x->attrs->i[DIM]), c = x->attrs->i[CORRECTION];
    if (c < 0 || n <= c)
        return sy_err_set(x->err, SY_E_RANGE, "var: correction is %lld, of %lld elements",
                          (long long)c, (long long)n);
    return 0;
}

/* The gradient goes to the element that was picked: the first, where several are equal. */
static int vjp_pick(struct sy_vjp *x, enum sy_opcode which)
{
    struct sy_tensor *t = x->in[0];
    int64_t dim = x->attrs->i[DIM], all = sy_tensor_count(t);
    struct sy_tensor *line = dim == SY_DIM_ALL ? sy_b_reshape(t, 1, &all) : t;
    dim = dim == SY_DIM_ALL ? 0 : dim;
    struct sy_attrs a = {.i = {[DIM] = dim, [KEEP] = true}};
    struct sy_tensor *at = sy_b_apply(which, &a, 1, line);
    struct sy_tensor *g = at ? sy_b_reshape_like(x->dout[0], at) : NULL;
    struct sy_attrs b = {.i = {dim, line ? line->shape[dim] : 0}};
    x->din[0] = sy_b_reshape_like(sy_b_apply(SY_OP_SCATTER_ADD_, &b, 2, at, g), t);
    return 0;
}

int sy__vjp_max(struct sy_vjp *x)
{
    return vjp_pick(x, SY_OP_ARGMAX_);
}
int sy__vjp_min(struct sy_vjp *x)
{
    return vjp_pick(x, SY_OP_ARGMIN_);
}

/* The product of the others: y / x; where x alone is 0 the product of those that are not, where
 * another is 0 as well, 0. */
int sy__vjp_prod(struct sy_vjp *x)
{
    struct sy_tensor *t = x->in[0], *zero = sy_b_const(t, 0), *one = sy_b_const(t, 1);
    struct sy_attrs over = {.i = {[DIM] = x->attrs->i[DIM], [KEEP] = true}};
    struct sy_attrs type = {.i = {t->dtype}};
    struct sy_tensor *is_zero = sy_b_apply(SY_OP_EQ_, NULL, 2, t, zero);
    struct sy_tensor *others = sy_b_apply(SY_OP_WHERE_, NULL, 3, is_zero, one, t);
    struct sy_tensor *count =
        sy_b_apply(SY_OP_SUM_, &over, 1, sy_b_apply(SY_OP_CAST_, &type, 1, is_zero));
    struct sy_tensor *single = sy_b_apply(SY_OP_EQ_, NULL, 2, count, one);
    struct sy_tensor *rest =
        sy_b_mul(spread(x, x->dout[0]), sy_b_apply(SY_OP_PROD_, &over, 1, others));
    struct sy_tensor *at_zero = sy_b_apply(SY_OP_WHERE_, NULL, 3, single, rest, zero);
    struct sy_tensor *beside = sy_b_div(spread(x, sy_b_mul(x->dout[0], x->out[0])), others);
    x->din[0] = sy_b_apply(SY_OP_WHERE_, NULL, 3, is_zero, at_zero, beside);
    return 0;
}

/* 2 (x - mean) / (n - correction) */
int sy__vjp_var(struct sy_vjp *x)
{
    struct sy_attrs a = {.i = {[DIM] = x->attrs->i[DIM], [KEEP] = true}};
    double n = (double)(reduced_count(x->in[0], x->attrs->i[DIM]) - x->attrs->i[CORRECTION]);
    struct sy_tensor *centred = sy_b_sub(x->in[0], sy_b_apply(SY_OP_MEAN_, &a, 1, x->in[0]));
    struct sy_tensor *g = sy_b_mul(x->dout[0], sy_b_const(x->dout[0], 2 / n));
    x->din[0] = sy_b_mul(centred, spread(x, g));
    return 0;
}

int sy__vjp_logsumexp(struct sy_vjp *x)
{
    struct sy_tensor *y = spread(x, x->out[0]);
    struct sy_tensor *share = sy_b_apply(SY_OP_EXP_, NULL, 1, sy_b_sub(x->in[0], y));
    x->din[0] = sy_b_mul(share, spread(x, x->dout[0]));
    return 0;
}
