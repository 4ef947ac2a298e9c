/* Gated activations: swiglu and its relatives, act(g) u in one pass forward and one backward.
 * Source: Shazeer 2020, "GLU variants improve Transformer". */
#include "ops/activation.h"

#include "cpu/cpu.h"
#include "cpu/kern_row.h"
#include "ops/build.h"
#include "ops/ops_int.h"

#include <math.h>

enum { GRAIN = 1 << 14 }; /* elements of a task */

double sy__act_f64(int act, double x, double *slope)
{
    const double r = 0.79788456080286535588; /* sqrt(2 / pi) */
    double s, phi;
    switch ((enum sy_activation)act) {
    case SY_ACTIVATION_SILU:
        s = 1 / (1 + exp(-x));
        *slope = s * (1 + x * (1 - s));
        return x * s;
    case SY_ACTIVATION_GELU:
        phi = 0.5 * (1 + erf(x * 0.70710678118654752440));
        *slope = phi + x * r / 2 * exp(-x * x / 2);
        return x * phi;
    case SY_ACTIVATION_GELU_TANH:
        s = tanh(r * (x + 0.044715 * x * x * x));
        *slope = 0.5 * (1 + s) + 0.5 * x * (1 - s * s) * r * (1 + 3 * 0.044715 * x * x);
        return 0.5 * x * (1 + s);
    case SY_ACTIVATION_RELU:
        *slope = x > 0;
        return x > 0 ? x : 0;
    case SY_ACTIVATION_RELU2:
    case SY_ACTIVATION_COUNT:
        break;
    }
    *slope = x > 0 ? 2 * x : 0;
    return x > 0 ? x * x : 0;
}

int sy__want_activation(struct sy_infer *x)
{
    const int64_t act = x->attrs->i[0];
    if (act >= 0 && act < SY_ACTIVATION_COUNT)
        return 0;
    return sy_err_set(x->err, SY_E_RANGE, "%s: act is %lld, must be 0 to %d", x->op->name,
                      (long long)act, SY_ACTIVATION_COUNT - 1);
}

struct glu {
    const struct sy_attrs *attrs;
    const void *dy, *g, *u;
    void *y, *dg, *du;
};

/* ---- swiglu (g, u; act) -> y ---- */

int sy__infer_swiglu(struct sy_infer *x)
{
    if (sy__want_float(x, 0) || sy__same_dtype(x, 0, 1))
        return -1;
    if (!sy_tensor_same_shape(x->in[0], x->in[1]))
        return sy__shape_error(x, "shapes differ");
    if (sy__want_activation(x))
        return -1;
    sy_meta_like(&x->out[0], x->in[0]);
    x->reuse[0] = 1;
    return 0;
}

static void glu_f32(void *ctx, int64_t begin, int64_t end)
{
    const struct glu *a = ctx;
    const int64_t n = end - begin;
    sy_cpu()->row->glu[a->attrs->i[0]]((float *)a->y + begin, n, (const float *)a->g + begin, n,
                                       (const float *)a->u + begin, n, 1, n);
}

static void glu_f64(void *ctx, int64_t begin, int64_t end)
{
    const struct glu *a = ctx;
    const double *g = a->g, *u = a->u;
    double *y = a->y, slope;
    for (int64_t i = begin; i < end; i++)
        y[i] = sy__act_f64((int)a->attrs->i[0], g[i], &slope) * u[i];
}

int sy__run_swiglu(const struct sy_run *x)
{
    struct glu a = {
        .attrs = x->attrs, .g = sy_data(x->in[0]), .u = sy_data(x->in[1]), .y = sy_data(x->out[0])};
    sy__parallel(sy_tensor_count(x->in[0]), GRAIN, x->in[0]->dtype == SY_F64 ? glu_f64 : glu_f32,
                 &a);
    return 0;
}

int sy__vjp_swiglu(struct sy_vjp *x)
{
    struct sy_tensor *d[SY_MAX_OUT], *in[3] = {x->dout[0], x->in[0], x->in[1]};
    if (sy_b_apply_all(SY_OP_SWIGLU_BACKWARD_, x->attrs, in, 3, d))
        return -1;
    x->din[0] = d[0];
    x->din[1] = d[1];
    return 0;
}

/* ---- SWIGLU_BACKWARD (dy, g, u; act) -> dg, du ---- */

int sy__infer_swiglu_backward(struct sy_infer *x)
{
    sy_meta_like(&x->out[0], x->in[1]);
    sy_meta_like(&x->out[1], x->in[2]);
    x->reuse[0] = 1 + 1;
    x->reuse[1] = 1 + 2;
    x->always = 3; /* the kernel writes both */
    return 0;
}

static void glu_back_f32(void *ctx, int64_t begin, int64_t end)
{
    const struct glu *a = ctx;
    const int64_t n = end - begin;
    sy_cpu()->row->glu_back[a->attrs->i[0]](
        (float *)a->dg + begin, n, (float *)a->du + begin, n, (const float *)a->dy + begin, n,
        (const float *)a->g + begin, n, (const float *)a->u + begin, n, 1, n);
}

static void glu_back_f64(void *ctx, int64_t begin, int64_t end)
{
    const struct glu *a = ctx;
    const double *dy = a->dy, *g = a->g, *u = a->u;
    double *dg = a->dg, *du = a->du, slope;
    for (int64_t i = begin; i < end; i++) {
        double d = dy[i], mul = u[i], value = sy__act_f64((int)a->attrs->i[0], g[i], &slope);
        dg[i] = d * mul * slope;
        du[i] = d * value;
    }
}

int sy__run_swiglu_backward(const struct sy_run *x)
{
    struct glu a = {.attrs = x->attrs,
                    .dy = sy_data(x->in[0]),
                    .g = sy_data(x->in[1]),
                    .u = sy_data(x->in[2]),
                    .dg = sy_data(x->out[0]),
                    .du = sy_data(x->out[1])};
    sy__parallel(sy_tensor_count(x->in[0]), GRAIN,
                 x->in[0]->dtype == SY_F64 ? glu_back_f64 : glu_back_f32, &a);
    return 0;
}
