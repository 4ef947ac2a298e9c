/* softmax, log_softmax and cumsum along any dimension: rows of f32 through the kernels, f64 plain.
 */
#include "ops/build.h"
#include "ops/ops_int.h"

#include "cpu/cpu.h"
#include "cpu/kern_row.h"

#include <math.h>

struct row_ctx {
    enum sy_dtype dtype;
    int64_t n;
    bool reverse;
};
typedef void (*rows_fn)(void *ctx, int64_t rows, const void *const *in, void *const *out);

static int run_rows(const struct sy_run *x, int nin, const char *name, rows_fn rows)
{
    const struct sy_tensor *t = x->in[0];
    int64_t dim = x->attrs->i[0];
    struct sy__lines l = sy__lines_of(t->ndim, t->shape, dim);
    struct row_ctx c = {t->dtype, l.n, x->attrs->i[1]};
    struct sy__line_work w = {.l = l, .nin = nin, .nout = 1, .rows = rows, .ctx = &c};
    if (!l.n)
        return 0;
    for (int i = 0; i < nin; i++)
        w.in[i] = sy__line_operand(x->in[i], l.n);
    w.out[0] = sy__line_operand(x->out[0], l.n);
    return sy__lines_run(&w, name, x->err);
}

int sy__infer_along_float(struct sy_infer *x)
{
    if (sy__want_float(x, 0) || sy__dim(x, &x->attrs->i[0], x->in[0]))
        return -1;
    return sy__infer_like(x);
}

/* ---- softmax ---- */

static double max_of(const double *x, int64_t n)
{
    double m = x[0];
    for (int64_t i = 1; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static void softmax_f64(double *y, const double *x, int64_t n)
{
    double m = max_of(x, n), sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += y[i] = exp(x[i] - m);
    for (int64_t i = 0; i < n; i++)
        y[i] /= sum;
}

static void softmax_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    if (c->dtype == SY_F32) {
        sy_cpu()->row->softmax(out[0], c->n, in[0], c->n, rows, c->n);
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        softmax_f64((double *)out[0] + r * c->n, (const double *)in[0] + r * c->n, c->n);
}

/* dx = y (dy - <y, dy>) */
static void softmax_back_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    int64_t n = c->n;
    if (c->dtype == SY_F32) {
        sy_cpu()->row->softmax_back(out[0], n, in[1], n, in[0], n, rows, n, false);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const double *y = (const double *)in[0] + r * n, *dy = (const double *)in[1] + r * n;
        double *dx = (double *)out[0] + r * n, dot = 0;
        for (int64_t i = 0; i < n; i++)
            dot += y[i] * dy[i];
        for (int64_t i = 0; i < n; i++)
            dx[i] = y[i] * (dy[i] - dot);
    }
}

int sy__run_softmax(const struct sy_run *x)
{
    return run_rows(x, 1, "softmax", softmax_rows);
}
int sy__run_softmax_backward(const struct sy_run *x)
{
    return run_rows(x, 2, "softmax", softmax_back_rows);
}

int sy__vjp_softmax(struct sy_vjp *x)
{
    x->din[0] = sy_b_apply(SY_OP_SOFTMAX_BACKWARD_, x->attrs, 2, x->out[0], x->dout[0]);
    return 0;
}

/* ---- log_softmax ---- */

static void log_softmax_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    int64_t n = c->n;
    if (c->dtype == SY_F32) {
        sy_cpu()->row->log_softmax(out[0], n, in[0], n, rows, n);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const double *x = (const double *)in[0] + r * n;
        double *y = (double *)out[0] + r * n, m = max_of(x, n), sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += exp(x[i] - m);
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] - m - log(sum);
    }
}

/* dx = dy - exp(y) sum(dy) */
static void log_softmax_back_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    int64_t n = c->n;
    if (c->dtype == SY_F32) {
        sy_cpu()->row->log_softmax_back(out[0], n, in[1], n, in[0], n, rows, n, false);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const double *y = (const double *)in[0] + r * n, *dy = (const double *)in[1] + r * n;
        double *dx = (double *)out[0] + r * n, sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += dy[i];
        for (int64_t i = 0; i < n; i++)
            dx[i] = dy[i] - exp(y[i]) * sum;
    }
}

int sy__run_log_softmax(const struct sy_run *x)
{
    return run_rows(x, 1, "log_softmax", log_softmax_rows);
}
int sy__run_log_softmax_backward(const struct sy_run *x)
{
    return run_rows(x, 2, "log_softmax", log_softmax_back_rows);
}

int sy__vjp_log_softmax(struct sy_vjp *x)
{
    x->din[0] = sy_b_apply(SY_OP_LOG_SOFTMAX_BACKWARD_, x->attrs, 2, x->out[0], x->dout[0]);
    return 0;
}

/* ---- cumsum: one chain, ascending (or descending); of f32 in double, for a long one would stand
 * still where its sum is 2^24 times what is added ---- */

#define CUMSUM(fn, T, A, R)                                                                        \
    static void fn(const T *x, R *y, int64_t n, bool reverse)                                      \
    {                                                                                              \
        A sum = 0;                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                          \
            int64_t at = reverse ? n - 1 - i : i;                                                  \
            sum += (A)x[at];                                                                       \
            y[at] = (R)sum;                                                                        \
        }                                                                                          \
    }
CUMSUM(cumsum_f32, float, double, float)
CUMSUM(cumsum_f64, double, double, double)
CUMSUM(cumsum_i32, int32_t, uint64_t, int64_t) /* wraps */
CUMSUM(cumsum_i64, int64_t, uint64_t, int64_t)
CUMSUM(cumsum_u8, uint8_t, uint64_t, int64_t)

static void cumsum_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    const struct row_ctx *c = ctx;
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * c->n;
        switch (c->dtype) {
        case SY_F32:
            cumsum_f32((const float *)in[0] + at, (float *)out[0] + at, c->n, c->reverse);
            break;
        case SY_F64:
            cumsum_f64((const double *)in[0] + at, (double *)out[0] + at, c->n, c->reverse);
            break;
        case SY_I32:
            cumsum_i32((const int32_t *)in[0] + at, (int64_t *)out[0] + at, c->n, c->reverse);
            break;
        case SY_I64:
            cumsum_i64((const int64_t *)in[0] + at, (int64_t *)out[0] + at, c->n, c->reverse);
            break;
        default:
            cumsum_u8((const uint8_t *)in[0] + at, (int64_t *)out[0] + at, c->n, c->reverse);
            break;
        }
    }
}

int sy__infer_cumsum(struct sy_infer *x)
{
    enum sy_dtype d = x->in[0]->dtype;
    if (d == SY_BF16)
        return sy__want_float(x, 0);
    if (sy__dim(x, &x->attrs->i[0], x->in[0]))
        return -1;
    sy__infer_like(x);
    x->out[0].dtype = d == SY_F32 || d == SY_F64 ? d : SY_I64;
    return 0;
}

int sy__run_cumsum(const struct sy_run *x)
{
    return run_rows(x, 1, "cumsum", cumsum_rows);
}

int sy__vjp_cumsum(struct sy_vjp *x)
{
    struct sy_attrs a = {.i = {x->attrs->i[0], !x->attrs->i[1]}};
    x->din[0] = sy_b_apply(SY_OP_CUMSUM_, &a, 1, x->dout[0]);
    return 0;
}
