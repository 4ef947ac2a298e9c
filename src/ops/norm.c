/* RMS norm and layer norm over the last dimension, with the statistics kept for the backward pass.
 *
 *     rmsnorm    y = x rstd w                   rstd = 1 / sqrt(mean(x^2) + eps)
 *     layernorm  y = (x - mean) rstd w + b      rstd = 1 / sqrt(var(x) + eps)
 *
 * Gradients of w and b are sums over all rows.  Rows are cut into at most PARTS blocks by shape;
 * each block sums into its own partial, and the partials are added in the order of blocks. Source:
 * Zhang & Sennrich 2019 (RMSNorm); Ba et al. 2016 (layer norm).
 */
#include "cpu/cpu.h"
#include "cpu/kern_row.h"
#include "ops/build.h"
#include "ops/ops_int.h"

#include <math.h>
#include <string.h>

enum { PARTS = 48 };

/* Inputs in the order of their rows in ops.def; of the backward operations R_ of rmsnorm, L_ of
 * layernorm, which begin alike. */
enum { X, W, B };
enum { R_DY, R_X, R_RSTD, R_W };
enum { L_DY = R_DY, L_X = R_X, L_MEAN, L_RSTD, L_W };

struct norm {
    const struct sy_row_kernels *row;
    bool layer, f64;
    double eps;
    int64_t rows, c, grain;
    const void *x, *w, *b, *dy;
    void *y, *mean, *rstd;
    void *dx, *dw, *db; /* dw, db NULL: not wanted */
    float *parts;       /* (blocks, 2, c) partial dw and db */
};

/* ---- shapes ---- */

static int want_vector(struct sy_infer *x, int i)
{
    char name[24];
    const struct sy_tensor *t = x->in[X], *w = x->in[i];
    if (!w)
        return 0;
    if (sy__same_dtype(x, X, i))
        return -1;
    if (w->ndim == 1 && w->shape[0] == t->shape[t->ndim - 1])
        return 0;
    return sy__shape_error(x, "%s must have the size of the last dimension of x",
                           sy_op_input_name(x->op, i, name));
}

static int infer_norm(struct sy_infer *x, int statistics)
{
    if (sy__want_float(x, X))
        return -1;
    if (x->in[X]->ndim < 1)
        return sy__shape_error(x, "x must have a dimension");
    sy_meta_like(&x->out[0], x->in[X]);
    for (int i = 1; i <= statistics; i++) {
        sy_meta_like(&x->out[i], x->in[X]);
        x->out[i].ndim--;
    }
    return 0;
}

int sy__infer_rmsnorm(struct sy_infer *x)
{
    return infer_norm(x, 1) || want_vector(x, W) ? -1 : 0;
}

int sy__infer_layernorm(struct sy_infer *x)
{
    return infer_norm(x, 2) || want_vector(x, W) || want_vector(x, B) ? -1 : 0;
}

static int64_t block_rows(int64_t rows)
{
    int64_t block = (rows + PARTS - 1) / PARTS;
    return block < 16 ? 16 : block;
}

/* dx dw (db) */
static int infer_back(struct sy_infer *x, int vectors)
{
    const struct sy_tensor *t = x->in[R_X];
    const int64_t c = t->shape[t->ndim - 1], rows = sy_rows(t), block = block_rows(rows);
    sy_meta_like(&x->out[0], t);
    for (int i = 1; i <= vectors; i++)
        x->out[i] = (struct sy_meta){.dtype = t->dtype, .ndim = 1, .shape = {c}};
    x->reuse[0] = 1;
    x->always = 1; /* the kernels write dx */
    x->scratch = (size_t)((rows + block - 1) / block * 2 * c) * sizeof(float);
    return 0;
}

int sy__infer_rmsnorm_backward(struct sy_infer *x)
{
    return infer_back(x, 1);
}
int sy__infer_layernorm_backward(struct sy_infer *x)
{
    return infer_back(x, 2);
}

/* ---- forward ---- */

static const float *in_at(const void *p, int64_t i)
{
    return (const float *)p + i;
}
static float *out_at(void *p, int64_t i)
{
    return p ? (float *)p + i : NULL;
}

static void forward_f32(void *ctx, int64_t begin, int64_t end)
{
    const struct norm *m = ctx;
    const int64_t c = m->c, from = begin * c;
    if (m->layer)
        m->row->layer_norm(out_at(m->y, from), c, out_at(m->mean, begin), out_at(m->rstd, begin),
                           in_at(m->x, from), c, m->w, m->b, (float)m->eps, end - begin, c);
    else
        m->row->rms_norm(out_at(m->y, from), c, out_at(m->rstd, begin), in_at(m->x, from), c, m->w,
                         (float)m->eps, end - begin, c);
}

static void forward_row_f64(const struct norm *m, int64_t r)
{
    const double *x = (const double *)m->x + r * m->c, *w = m->w, *b = m->b;
    double *y = (double *)m->y + r * m->c, mean = 0, square = 0;
    for (int64_t i = 0; m->layer && i < m->c; i++)
        mean += x[i] / (double)m->c;
    for (int64_t i = 0; i < m->c; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)m->c;
    const double rstd = 1 / sqrt(square + m->eps);
    for (int64_t i = 0; i < m->c; i++)
        y[i] = (x[i] - mean) * rstd * (w ? w[i] : 1) + (b ? b[i] : 0);
    if (m->mean)
        ((double *)m->mean)[r] = mean;
    if (m->rstd)
        ((double *)m->rstd)[r] = rstd;
}

static void forward_f64(void *ctx, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++)
        forward_row_f64(ctx, r);
}

static void *data_of(const struct sy_tensor *t)
{
    return t ? sy_data(t) : NULL;
}

static int64_t row_grain(int64_t c)
{
    int64_t rows = 16384 / (c > 0 ? c : 1);
    return rows < 4 ? 4 : rows;
}

static int run_forward(struct norm *m, const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[X];
    m->row = sy_cpu()->row;
    m->eps = x->attrs->f[0];
    m->rows = sy_rows(t);
    m->c = t->shape[t->ndim - 1];
    m->x = sy_data(t);
    m->w = data_of(x->in[W]);
    m->y = sy_data(x->out[0]);
    sy__parallel(m->rows, row_grain(m->c), t->dtype == SY_F64 ? forward_f64 : forward_f32, m);
    return 0;
}

int sy__run_rmsnorm(const struct sy_run *x)
{
    struct norm m = {.rstd = data_of(x->out[1])};
    return run_forward(&m, x);
}

int sy__run_layernorm(const struct sy_run *x)
{
    struct norm m = {.layer = true,
                     .b = data_of(x->in[B]),
                     .mean = data_of(x->out[1]),
                     .rstd = data_of(x->out[2])};
    return run_forward(&m, x);
}

/* ---- backward ---- */

static void backward_f32(void *ctx, int64_t begin, int64_t end)
{
    const struct norm *m = ctx;
    const int64_t c = m->c, from = begin * c;
    float *dw = m->parts + begin / m->grain * 2 * c, *db = dw + c;
    memset(dw, 0, (size_t)(2 * c) * sizeof *dw);
    if (m->layer)
        m->row->layer_norm_back(out_at(m->dx, from), c, dw, db, in_at(m->dy, from), c,
                                in_at(m->x, from), c, m->w, in_at(m->mean, begin),
                                in_at(m->rstd, begin), end - begin, c, false);
    else
        m->row->rms_norm_back(out_at(m->dx, from), c, dw, in_at(m->dy, from), c, in_at(m->x, from),
                              c, m->w, in_at(m->rstd, begin), end - begin, c, false);
}

static void add_parts(const struct norm *m, float *to, int64_t offset)
{
    const int64_t blocks = (m->rows + m->grain - 1) / m->grain;
    if (!to)
        return;
    memset(to, 0, (size_t)m->c * sizeof *to);
    m->row->col_sum(to, m->parts + offset, 2 * m->c, NULL, blocks, m->c);
}

static void backward_row_f64(const struct norm *m, int64_t r)
{
    const int64_t c = m->c;
    const double *dy = (const double *)m->dy + r * c, *x = (const double *)m->x + r * c, *w = m->w;
    const double rstd = ((const double *)m->rstd)[r];
    const double mean = m->mean ? ((const double *)m->mean)[r] : 0;
    double *dx = (double *)m->dx, *dw = m->dw, *db = m->db, sum = 0, product = 0;
    for (int64_t i = 0; i < c; i++) {
        double n = (x[i] - mean) * rstd, d = dy[i] * (w ? w[i] : 1);
        sum += m->layer ? d / (double)c : 0;
        product += d * n / (double)c;
        if (dw)
            dw[i] += dy[i] * n;
        if (db)
            db[i] += dy[i];
    }
    for (int64_t i = 0; i < c; i++)
        dx[r * c + i] = rstd * (dy[i] * (w ? w[i] : 1) - sum - (x[i] - mean) * rstd * product);
}

static void backward_f64(const struct norm *m)
{
    if (m->dw)
        memset(m->dw, 0, (size_t)m->c * sizeof(double));
    if (m->db)
        memset(m->db, 0, (size_t)m->c * sizeof(double));
    for (int64_t r = 0; r < m->rows; r++)
        backward_row_f64(m, r);
}

static int run_backward(struct norm *m, const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[R_X];
    m->row = sy_cpu()->row;
    m->rows = sy_rows(t);
    m->c = t->shape[t->ndim - 1];
    m->grain = block_rows(m->rows);
    m->dy = sy_data(x->in[R_DY]);
    m->x = sy_data(t);
    m->dx = data_of(x->out[0]);
    m->dw = data_of(x->out[1]);
    m->parts = x->scratch;
    if (t->dtype == SY_F64) {
        backward_f64(m);
        return 0;
    }
    sy__parallel(m->rows, m->grain, backward_f32, m);
    add_parts(m, m->dw, 0);
    add_parts(m, m->db, m->c);
    return 0;
}

int sy__run_rmsnorm_backward(const struct sy_run *x)
{
    struct norm m = {.rstd = sy_data(x->in[R_RSTD]), .w = data_of(x->in[R_W])};
    return run_backward(&m, x);
}

int sy__run_layernorm_backward(const struct sy_run *x)
{
    struct norm m = {.layer = true,
                     .mean = sy_data(x->in[L_MEAN]),
                     .rstd = sy_data(x->in[L_RSTD]),
                     .w = data_of(x->in[L_W]),
                     .db = data_of(x->out[2])};
    return run_backward(&m, x);
}

/* ---- gradients ---- */

int sy__vjp_rmsnorm(struct sy_vjp *x)
{
    struct sy_tensor *d[SY_MAX_OUT];
    struct sy_tensor *in[] = {
        [R_DY] = x->dout[0], [R_X] = x->in[X], [R_RSTD] = x->out[1], [R_W] = x->in[W]};
    if (!x->dout[0])
        return 0; /* rstd is not for use */
    if (sy_b_apply_all(SY_OP_RMSNORM_BACKWARD_, NULL, in, R_W + 1, d))
        return -1;
    x->din[X] = d[0];
    x->din[W] = d[1];
    return 0;
}

int sy__vjp_layernorm(struct sy_vjp *x)
{
    struct sy_tensor *d[SY_MAX_OUT];
    struct sy_tensor *in[] = {[L_DY] = x->dout[0],
                              [L_X] = x->in[X],
                              [L_MEAN] = x->out[1],
                              [L_RSTD] = x->out[2],
                              [L_W] = x->in[W]};
    if (!x->dout[0])
        return 0;
    if (sy_b_apply_all(SY_OP_LAYERNORM_BACKWARD_, NULL, in, L_W + 1, d))
        return -1;
    x->din[X] = d[0];
    x->din[W] = d[1];
    x->din[B] = d[2];
    return 0;
}
