/* Cross entropy, alone and fused with the head; the weighted ones take a weight a row.
 *
 *     loss = mean over rows with target >= 0 of  lse(logits) - logits[target]     (nats a token)
 *            with weights of  weight * (lse(logits) - logits[target])
 *            with smooth s, z  (1-s) (lse - logits[target]) + s (lse - mean of logits) + z lse^2
 *
 * head_loss never holds the N x V logits: it goes through x in blocks of rows.  For each block the
 * logits (rows, V) become, where they lie, (softmax - onehot) / count, of which dx and dw take
 * their share at once; so the forward pass delivers the gradients for dloss = 1, and the backward
 * pass only scales them.
 *
 *  1. Rows of a block depend on V only.  dw is one chain over all rows, ascending.
 *  2. Row losses are summed in double in row order.
 *  3. No row with a target: loss 0 and zero gradients.
 *  4. A row of weight 0 is not looked at; with all weights 1 the bits are those without weights.
 *  5. plain is the loss without smooth and z: what is compared with an evaluation.
 *
 * Smoothing: Szegedy et al. 2016, section 7 (toward the uniform distribution over V); z: Chowdhery
 * et al. 2022, section 5.
 */
#include "cpu/cpu.h"
#include "cpu/kern_map.h"
#include "cpu/kern_row.h"
#include "ops/build.h"
#include "ops/ops_int.h"

#include <math.h>
#include <string.h>

enum { WHOLE_MAX = 4096 }; /* columns of a whole row in a product's task (cpu/gemm.h) */

/* Inputs and outputs in the order of their rows in ops.def: of cross_entropy, of its gradient (B_),
 * and of head_loss (H_).  Weights are inputs of the weighted ones only. */
enum { LOGITS, TARGETS, WEIGHTS };
enum { LOSS, LOSSES };
enum { B_DLOSS, B_LOGITS, B_TARGETS, B_WEIGHTS };
enum { H_X, H_W, H_TARGETS, H_WEIGHTS };
enum { H_LOSS, H_DX, H_DW, H_PLAIN, H_LOSSES };
enum { SMOOTH, Z }; /* attributes */

static void *data_of(const struct sy_tensor *t)
{
    return t ? sy_data(t) : NULL;
}

static int want_targets(struct sy_infer *x, int i, int64_t n)
{
    if (sy__want_dtype(x, i, SY_I32) || sy__want_ndim(x, i, 1))
        return -1;
    return x->in[i]->shape[0] == n ? 0 : sy__shape_error(x, "one target for each row is needed");
}

/* Number of rows that count, or -1: a target is out of range. */
static int64_t count_targets(const struct sy_run *x, const char *op,
                             const struct sy_tensor *targets, int64_t classes)
{
    const int32_t *t = sy_data(targets);
    int64_t count = 0;
    for (int64_t i = 0; i < targets->shape[0]; i++) {
        if (t[i] >= classes)
            return sy_err_set(x->err, SY_E_RANGE,
                              "%s: target %d of row %lld is out of range: V is %lld", op, t[i],
                              (long long)i, (long long)classes);
        count += t[i] >= 0;
    }
    return count;
}

/* Row losses (n) -> their mean over count rows, into the scalar y. */
static void store_mean(struct sy_tensor *y, const void *losses, int64_t n, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum +=
            y->dtype == SY_F64 ? ((const double *)losses)[i] : (double)((const float *)losses)[i];
    sum = count ? sum / (double)count : 0;
    if (y->dtype == SY_F64)
        *(double *)sy_data(y) = sum;
    else
        *(float *)sy_data(y) = (float)sum;
}

/* ---- rows of logits ---- */

struct rows {
    void *logits;     /* (rows, v); with grad they become (softmax - onehot) scale */
    const void *from; /* copied to logits first, unless NULL */
    void *loss, *lse; /* (rows), or NULL */
    void *plain;      /* (rows), or NULL: loss without smooth and z */
    double smooth, z;
    const int32_t *target;
    const void *weight; /* (rows), or NULL: all 1 */
    int64_t v;
    double scale;
    bool grad;
};

static void *step_by(void *p, int64_t n)
{
    return p ? (float *)p + n : NULL;
}

/* Target and weight of row i, f64 or f32; a weight of 0 is no target. */
static int32_t target_of(const struct rows *r, int64_t i, enum sy_dtype dtype, double *weight)
{
    *weight = !r->weight          ? 1
              : dtype == SY_F64 ? ((const double *)r->weight)[i]
                                : (double)((const float *)r->weight)[i];
    return *weight != 0 ? r->target[i] : -1;
}

static void weighted_f32(const struct rows *r, int64_t i)
{
    double weight;
    const int32_t target = target_of(r, i, SY_F32, &weight);
    float *loss = step_by(r->loss, i);
    sy_cpu()->row->cross_entropy(loss, step_by(r->lse, i), step_by(r->logits, i * r->v), r->v,
                                 &target, (float)(r->scale * weight), r->grad, 1, r->v);
    if (loss)
        *loss *= (float)weight;
}

/* With smooth and z: what the kernel leaves, softmax - onehot, is turned into their gradient. */
static void shaped_f32(const struct rows *r, int64_t i)
{
    const struct sy_map_kernels *map = sy_cpu()->map;
    double weight;
    float *x = step_by(r->logits, i * r->v), sum = 0, lse = 0, loss = 0;
    const int32_t target = target_of(r, i, SY_F32, &weight);
    const float by = (float)weight, scale = (float)(r->scale * weight), smooth = (float)r->smooth;
    sy_cpu()->row->sum(&sum, x, r->v, 1, r->v);
    sy_cpu()->row->cross_entropy(&loss, &lse, x, r->v, &target, scale, r->grad, 1, r->v);
    const float even = target < 0 ? 0 : lse - sum / (float)r->v, z = (float)r->z * lse;
    if (r->plain)
        *(float *)step_by(r->plain, i) = loss * by;
    if (r->loss)
        *(float *)step_by(r->loss, i) = ((1 - smooth) * loss + smooth * even + z * lse) * by;
    if (!r->grad || target < 0)
        return;
    map->binary_vs[SY_BINARY_MUL](x, x, 1 + 2 * z, r->v);
    map->binary_vs[SY_BINARY_ADD](x, x, -smooth * scale / (float)r->v, r->v);
    x[target] += scale * (2 * z + smooth);
}

static void rows_f32(void *ctx, int64_t begin, int64_t end)
{
    const struct rows *r = ctx;
    if (r->from)
        memcpy(step_by(r->logits, begin * r->v), (const float *)r->from + begin * r->v,
               (size_t)((end - begin) * r->v) * sizeof(float));
    if (r->weight || r->smooth != 0 || r->z != 0) {
        for (int64_t i = begin; i < end; i++)
            (r->smooth != 0 || r->z != 0 ? shaped_f32 : weighted_f32)(r, i);
        return;
    }
    sy_cpu()->row->cross_entropy(step_by(r->loss, begin), step_by(r->lse, begin),
                                 step_by(r->logits, begin * r->v), r->v, r->target + begin,
                                 (float)r->scale, r->grad, end - begin, r->v);
}

static void row_f64(const struct rows *r, int64_t i)
{
    double *x = (double *)r->logits + i * r->v, top = -HUGE_VAL, sum = 0, all = 0, weight;
    const int32_t t = target_of(r, i, SY_F64, &weight);
    for (int64_t j = 0; j < r->v; j++)
        top = fmax(top, x[j]), all += x[j];
    for (int64_t j = 0; j < r->v; j++)
        sum += exp(x[j] - top);
    const double lse = top + log(sum), even = r->smooth / (double)r->v;
    if (r->plain)
        ((double *)r->plain)[i] = t < 0 ? 0 : weight * (lse - x[t]);
    if (r->loss)
        ((double *)r->loss)[i] =
            t < 0 ? 0
                  : weight * (lse - (1 - r->smooth) * x[t] - even * all + r->z * lse * lse);
    if (r->lse)
        ((double *)r->lse)[i] = t < 0 ? 0 : lse;
    const double much = 1 + 2 * r->z * lse, scale = t < 0 ? 0 : r->scale * weight;
    for (int64_t j = 0; r->grad && j < r->v; j++)
        x[j] = t < 0 ? 0 : (exp(x[j] - lse) * much - (j == t) * (1 - r->smooth) - even) * scale;
}

static void rows_f64(void *ctx, int64_t begin, int64_t end)
{
    const struct rows *r = ctx;
    if (r->from)
        memcpy((double *)r->logits + begin * r->v, (const double *)r->from + begin * r->v,
               (size_t)((end - begin) * r->v) * sizeof(double));
    for (int64_t i = begin; i < end; i++)
        row_f64(r, i);
}

static void each_rows(struct rows *r, int64_t n, enum sy_dtype dtype)
{
    int64_t grain = 8192 / (r->v > 0 ? r->v : 1);
    sy__parallel(n, grain < 1 ? 1 : grain, dtype == SY_F64 ? rows_f64 : rows_f32, r);
}

/* Weights (N) of x's dtype.  They are data: what would need their gradient is refused. */
static int want_weights(struct sy_infer *x, int i, int64_t n)
{
    const struct sy_tensor *w = x->in[i];
    if (sy__same_dtype(x, 0, i) || sy__want_ndim(x, i, 1))
        return -1;
    if (w->shape[0] != n)
        return sy__shape_error(x, "one weight for each row is needed");
    if (w->requires_grad)
        return sy_err_set(x->err, SY_E_UNSUPPORTED,
                          "%s: no gradient flows to weights, and these want one", x->op->name);
    return 0;
}

/* ---- cross_entropy (logits (N,V), targets (N), weights (N)?) -> loss, losses (N) ---- */

static int check_shape(struct sy_infer *x)
{
    const double smooth = x->attrs->f[SMOOTH], z = x->attrs->f[Z];
    if (!(smooth >= 0 && smooth < 1))
        return sy_err_set(x->err, SY_E_RANGE, "%s: smooth is %g, must be at least 0 and below 1",
                          x->op->name, smooth);
    if (!(z >= 0 && z < HUGE_VAL))
        return sy_err_set(x->err, SY_E_RANGE, "%s: z is %g, must be at least 0", x->op->name, z);
    return 0;
}

int sy__infer_cross_entropy(struct sy_infer *x)
{
    const struct sy_tensor *logits = x->in[LOGITS];
    if (check_shape(x))
        return -1;
    if (sy__want_float(x, LOGITS) || sy__want_ndim(x, LOGITS, 2) ||
        want_targets(x, TARGETS, logits->shape[0]))
        return -1;
    sy__meta(&x->out[LOSS], logits->dtype, 0, 0, 0);
    sy__meta(&x->out[LOSSES], logits->dtype, 1, logits->shape[0], 0);
    x->always = 1 << LOSSES;
    return 0;
}

int sy__infer_weighted_cross_entropy(struct sy_infer *x)
{
    return sy__infer_cross_entropy(x) || want_weights(x, WEIGHTS, x->in[LOGITS]->shape[0]) ? -1 : 0;
}

/* For an operation whose weights, if it has any, are input i. */
static const void *weights_of(const struct sy_run *x, int i)
{
    return x->nin > i ? sy_data(x->in[i]) : NULL;
}

int sy__run_cross_entropy(const struct sy_run *x)
{
    const struct sy_tensor *logits = x->in[LOGITS];
    const int64_t n = logits->shape[0], v = logits->shape[1];
    const int64_t count = count_targets(x, "cross_entropy", x->in[TARGETS], v);
    struct rows r = {.logits = sy_data(logits),
                     .loss = sy_data(x->out[LOSSES]),
                     .target = sy_data(x->in[TARGETS]),
                     .weight = weights_of(x, WEIGHTS),
                     .smooth = x->attrs->f[SMOOTH],
                     .z = x->attrs->f[Z],
                     .v = v};
    if (count < 0)
        return -1;
    each_rows(&r, n, logits->dtype);
    if (x->out[LOSS])
        store_mean(x->out[LOSS], r.loss, n, count);
    return 0;
}

int sy__vjp_cross_entropy(struct sy_vjp *x)
{
    if (x->dout[LOSS]) /* losses are not for use */
        x->din[LOGITS] = sy_b_apply(SY_OP_CROSS_ENTROPY_BACKWARD_, x->attrs, 3, x->dout[LOSS],
                                    x->in[LOGITS], x->in[TARGETS]);
    return 0;
}

int sy__vjp_weighted_cross_entropy(struct sy_vjp *x)
{
    if (x->dout[LOSS])
        x->din[LOGITS] = sy_b_apply(SY_OP_WEIGHTED_CROSS_ENTROPY_BACKWARD_, x->attrs, 4,
                                    x->dout[LOSS], x->in[LOGITS], x->in[TARGETS], x->in[WEIGHTS]);
    return 0;
}

/* ---- CROSS_ENTROPY_BACKWARD (dloss, logits, targets, weights?) -> dlogits ---- */

int sy__infer_cross_entropy_backward(struct sy_infer *x)
{
    sy_meta_like(&x->out[0], x->in[B_LOGITS]);
    x->reuse[0] = 1 + B_LOGITS;
    return 0;
}

int sy__run_cross_entropy_backward(const struct sy_run *x)
{
    const struct sy_tensor *logits = x->in[B_LOGITS];
    const int64_t n = logits->shape[0], v = logits->shape[1];
    const int64_t count = count_targets(x, "cross_entropy", x->in[B_TARGETS], v);
    struct rows r = {.logits = sy_data(x->out[0]),
                     .target = sy_data(x->in[B_TARGETS]),
                     .weight = weights_of(x, B_WEIGHTS),
                     .smooth = x->attrs->f[SMOOTH],
                     .z = x->attrs->f[Z],
                     .v = v,
                     .grad = true};
    if (count < 0)
        return -1;
    r.from = r.logits == sy_data(logits) ? NULL : sy_data(logits);
    r.scale = count ? sy_tensor_get(x->in[B_DLOSS], 0) / (double)count : 0;
    each_rows(&r, n, logits->dtype);
    return 0;
}

/* ---- head_loss (x (N,C), w (V,C), targets (N), weights (N)?) -> loss, dx, dw ---- */

static int64_t block_rows(int64_t v)
{
    int64_t rows = ((int64_t)1 << 24) / v / 64 * 64; /* at most 64 MiB of logits */
    return rows < 128 ? 128 : rows > 1024 ? 1024 : rows;
}

static bool shaped(const struct sy_attrs *attrs)
{
    return attrs->f[SMOOTH] != 0 || attrs->f[Z] != 0;
}

int sy__infer_head_loss(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[H_X], *w = x->in[H_W];
    if (check_shape(x) || sy__want_float(x, H_X) || sy__want_ndim(x, H_X, 2) ||
        sy__want_weight(x, H_X, H_W) ||
        sy__want_ndim(x, H_W, 2) || want_targets(x, H_TARGETS, t->shape[0]))
        return -1;
    if (w->shape[1] != t->shape[1] || w->shape[0] < 1)
        return sy__shape_error(x, "w must be (V, C) with C of x");
    const int64_t block = block_rows(w->shape[0]), n = t->shape[0];
    sy__meta(&x->out[H_LOSS], t->dtype, 0, 0, 0);
    sy_meta_like(&x->out[H_DX], t);
    sy_meta_like(&x->out[H_DW], w);
    if (sy__is_packed(w)) /* which is only read: stands for nothing */
        sy__meta(&x->out[H_DW], t->dtype, 1, 1, 0);
    sy__meta(&x->out[H_PLAIN], t->dtype, 0, 0, 0);
    sy__meta(&x->out[H_LOSSES], t->dtype, 1, n, 0);
    x->scratch = (size_t)((n < block ? n : block) * w->shape[0] + n) * sy_dtype_size(t->dtype);
    if (shaped(x->attrs))
        x->scratch += (size_t)n * sy_dtype_size(t->dtype);
    return 0;
}

int sy__infer_weighted_head_loss(struct sy_infer *x)
{
    return sy__infer_head_loss(x) || want_weights(x, H_WEIGHTS, x->in[H_X]->shape[0]) ? -1 : 0;
}

struct head {
    int64_t c, v;
    enum sy_precision precision;
    const void *x, *w;
    struct sy_mat mat; /* w as f32 products read it */
    void *dx, *dw;    /* NULL: not wanted */
    struct rows rows; /* of the block in work */
};

static void rows_done(void *ctx, int problem, int64_t row0, int64_t rows, int64_t col0,
                      int64_t cols)
{
    (void)problem;
    (void)col0;
    (void)cols;
    rows_f32(ctx, row0, row0 + rows);
}

static void block_f32(struct head *h, int64_t first, int64_t n)
{
    const bool whole = h->v <= WHOLE_MAX;
    const float *x = (const float *)h->x + first * h->c;
    float *logits = h->rows.logits, *dx = step_by(h->dx, first * h->c);
    struct sy_gemm_opts opts = {.precision = h->precision}, fused = opts;
    if (whole)
        fused = (struct sy_gemm_opts){h->precision, true, rows_done, &h->rows};
    struct sy_gemm_problem p = {.m = n,
                                .n = h->v,
                                .k = h->c,
                                .a = {.data = x, .ld = h->c},
                                .b = h->mat,
                                .c = logits,
                                .ldc = h->v};
    p.b.trans = true;
    sy_gemm(&p, &fused);
    if (!whole)
        each_rows(&h->rows, n, SY_F32);
    struct sy_gemm_problem back[2] = {{.m = n,
                                       .n = h->c,
                                       .k = h->v,
                                       .a = {.data = logits, .ld = h->v},
                                       .b = h->mat,
                                       .c = dx,
                                       .ldc = h->c},
                                      {.m = h->v,
                                       .n = h->c,
                                       .k = n,
                                       .a = {.data = logits, .ld = h->v, .trans = true},
                                       .b = {.data = x, .ld = h->c},
                                       .c = h->dw,
                                       .ldc = h->c,
                                       .accumulate = first > 0}};
    sy_gemm_grouped(h->dx ? back : back + 1, (h->dx != NULL) + (h->dw != NULL), &opts);
}

static void block_f64(struct head *h, int64_t first, int64_t n)
{
    const double *x = (const double *)h->x + first * h->c;
    sy_gemm_f64(n, h->v, h->c, x, h->c, false, h->w, h->c, true, h->rows.logits, h->v, false);
    each_rows(&h->rows, n, SY_F64);
    if (h->dx)
        sy_gemm_f64(n, h->c, h->v, h->rows.logits, h->v, false, h->w, h->c, false,
                    (double *)h->dx + first * h->c, h->c, false);
    if (h->dw)
        sy_gemm_f64(h->v, h->c, n, h->rows.logits, h->v, true, x, h->c, false, h->dw, h->c,
                    first > 0);
}

int sy__run_head_loss(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[H_X], *w = x->in[H_W];
    const int64_t n = t->shape[0], v = w->shape[0], block = block_rows(v);
    const int64_t count = count_targets(x, "head_loss", x->in[H_TARGETS], v);
    const size_t size = sy_dtype_size(t->dtype);
    struct head h = {.c = t->shape[1],
                     .v = v,
                     .precision = (enum sy_precision)x->attrs->precision,
                     .x = sy_data(t),
                     .w = sy_data(w),
                     .mat = sy__mat(w, 0, w->stride[0], false),
                     .dx = data_of(x->out[H_DX]),
                     .dw = sy__is_packed(w) ? NULL : data_of(x->out[H_DW])};
    const char *weight = weights_of(x, H_WEIGHTS);
    char *losses = (char *)x->scratch + (size_t)((n < block ? n : block) * v) * size;
    char *plain = shaped(x->attrs) ? losses + (size_t)n * size : losses;
    if (count < 0)
        return -1;
    if (h.dw && !n)
        memset(h.dw, 0, sy_tensor_bytes(w));
    for (int64_t first = 0; first < n; first += block) {
        h.rows = (struct rows){.logits = x->scratch,
                               .loss = losses + (size_t)first * size,
                               .plain = plain == losses ? NULL : plain + (size_t)first * size,
                               .smooth = x->attrs->f[SMOOTH],
                               .z = x->attrs->f[Z],
                               .target = (const int32_t *)sy_data(x->in[H_TARGETS]) + first,
                               .weight = weight ? weight + (size_t)first * size : NULL,
                               .v = v,
                               .scale = count ? 1 / (double)count : 0,
                               .grad = h.dx || h.dw};
        (size == sizeof(double) ? block_f64 : block_f32)(&h, first,
                                                         n - first < block ? n - first : block);
    }
    if (x->out[H_LOSS])
        store_mean(x->out[H_LOSS], losses, n, count);
    if (x->out[H_PLAIN])
        store_mean(x->out[H_PLAIN], plain, n, count);
    if (x->out[H_LOSSES] && n)
        memcpy(sy_data(x->out[H_LOSSES]), plain, (size_t)n * size);
    return 0;
}

int sy__vjp_head_loss(struct sy_vjp *x)
{
    if (!x->dout[H_LOSS])
        return 0; /* dx, dw and plain are not for use */
    if (x->want[H_X])
        x->din[H_X] = sy_b_scale(x->out[H_DX], x->dout[H_LOSS]);
    if (x->want[H_W])
        x->din[H_W] = sy_b_scale(x->out[H_DW], x->dout[H_LOSS]);
    return 0;
}

/* The three products, for training: the row cannot know who reads dx and dw. */
void sy__cost_head_loss(struct sy_cost *c)
{
    const struct sy_tensor *x = c->node->in[H_X], *w = c->node->in[H_W];
    c->flops = 6.0 * (double)x->shape[0] * (double)w->shape[0] * (double)w->shape[1];
}
