/* Elementwise operations: shapes, dtypes and gradients.  The loops are in elementwise_loops.c.
 *
 * Gradients of broadcast operands are summed back to the operand's shape (sy_b_sum_to). */
#include "ops/build.h"
#include "ops/ops_int.h"

/* ---- infer ---- */

static bool is_float(enum sy_dtype d)
{
    return d == SY_F32 || d == SY_F64;
}

/* Inputs (all of one dtype, by promotion) must be numbers; bool counts when `with_bool`. */
static int want_number(struct sy_infer *x, int input, bool with_bool)
{
    char name[24];
    enum sy_dtype d = x->in[input]->dtype;
    if (d != SY_BF16 && (d != SY_BOOL || with_bool))
        return 0;
    return sy_err_set(x->err, SY_E_DTYPE, "%s: %s is %s: cast it first", x->op->name,
                      sy_op_input_name(x->op, input, name), sy_dtype_name(d));
}

static int broadcast(struct sy_infer *x, bool with_bool)
{
    if (want_number(x, 0, with_bool))
        return -1;
    x->out[0].dtype = x->in[0]->dtype;
    return sy__broadcast(x, &x->out[0]);
}

int sy__infer_broadcast(struct sy_infer *x)
{
    return broadcast(x, false);
}
int sy__infer_broadcast_any(struct sy_infer *x)
{
    return broadcast(x, true);
}

int sy__infer_broadcast_float(struct sy_infer *x)
{
    return sy__want_float(x, 0) ? -1 : broadcast(x, false);
}

int sy__infer_divide(struct sy_infer *x)
{
    if (broadcast(x, true))
        return -1;
    if (!is_float(x->out[0].dtype))
        x->out[0].dtype = SY_F32;
    return 0;
}

int sy__infer_compare(struct sy_infer *x)
{
    if (broadcast(x, true))
        return -1;
    x->out[0].dtype = SY_BOOL;
    return 0;
}

int sy__infer_like_float(struct sy_infer *x)
{
    return sy__want_float(x, 0) ? -1 : sy__infer_like(x);
}

int sy__infer_like_number(struct sy_infer *x)
{
    return want_number(x, 0, false) ? -1 : sy__infer_like(x);
}

int sy__infer_clamp(struct sy_infer *x)
{
    const double *f = x->attrs->f;
    if (!(f[0] <= f[1]))
        return sy_err_set(x->err, SY_E_RANGE, "clamp: lo is above hi: lo is %g, hi is %g", f[0],
                          f[1]);
    return sy__infer_like_number(x);
}

int sy__infer_like_bool(struct sy_infer *x)
{
    if (want_number(x, 0, true))
        return -1;
    sy_meta_like(&x->out[0], x->in[0]);
    x->out[0].dtype = SY_BOOL;
    return 0;
}

int sy__infer_where(struct sy_infer *x)
{
    if (sy__want_dtype(x, 0, SY_BOOL) || sy__same_dtype(x, 1, 2))
        return -1;
    x->out[0].dtype = x->in[1]->dtype;
    return sy__broadcast(x, &x->out[0]);
}

/* ---- gradients: two operands ---- */

/* din[i] = g summed to input i's shape, when wanted. */
static void give_grad(struct sy_vjp *x, int i, struct sy_tensor *g)
{
    x->din[i] = sy_b_sum_to(g, x->in[i]);
}

int sy__vjp_add(struct sy_vjp *x)
{
    for (int i = 0; i < 2; i++)
        if (x->want[i])
            give_grad(x, i, x->dout[0]);
    return 0;
}

int sy__vjp_sub(struct sy_vjp *x)
{
    if (x->want[0])
        give_grad(x, 0, x->dout[0]);
    if (x->want[1])
        give_grad(x, 1, sy_b_neg(sy_b_sum_to(x->dout[0], x->in[1])));
    return 0;
}

int sy__vjp_mul(struct sy_vjp *x)
{
    for (int i = 0; i < 2; i++)
        if (x->want[i])
            give_grad(x, i, sy_b_mul(x->dout[0], x->in[1 - i]));
    return 0;
}

/* y = a/b: da = dy/b, db = -da*y */
int sy__vjp_div(struct sy_vjp *x)
{
    struct sy_tensor *g = sy_b_div(x->dout[0], x->in[1]);
    if (x->want[0])
        give_grad(x, 0, g);
    if (x->want[1])
        give_grad(x, 1, sy_b_neg(sy_b_mul(g, x->out[0])));
    return 0;
}

/* y = a - floor(a/b) b: da = dy, db = -floor(a/b) dy */
int sy__vjp_mod(struct sy_vjp *x)
{
    if (x->want[0])
        give_grad(x, 0, x->dout[0]);
    if (x->want[1])
        give_grad(
            x, 1,
            sy_b_neg(sy_b_mul(x->dout[0], sy_b_apply(SY_OP_IDIV_, NULL, 2, x->in[0], x->in[1]))));
    return 0;
}

static struct sy_tensor *select_where(struct sy_tensor *c, struct sy_tensor *a, struct sy_tensor *b)
{
    return sy_b_apply(SY_OP_WHERE_, NULL, 3, c, a, b);
}

/* y = a^b: da = b a^(b-1) dy; db = y log(a) dy where a > 0, else 0 */
int sy__vjp_pow(struct sy_vjp *x)
{
    struct sy_tensor *a = x->in[0], *b = x->in[1], *dy = x->dout[0];
    if (x->want[0]) {
        struct sy_tensor *less = sy_b_sub(b, sy_b_const(b, 1));
        struct sy_tensor *slope = sy_b_mul(b, sy_b_apply(SY_OP_POW_, NULL, 2, a, less));
        give_grad(x, 0, sy_b_mul(dy, slope));
    }
    if (x->want[1]) {
        struct sy_tensor *zero = sy_b_const(a, 0);
        struct sy_tensor *g = sy_b_mul(x->out[0], sy_b_apply(SY_OP_LOG_, NULL, 1, a));
        g = select_where(sy_b_apply(SY_OP_GT_, NULL, 2, a, zero), g, zero);
        give_grad(x, 1, sy_b_mul(dy, g));
    }
    return 0;
}

/* A tie's gradient goes to a. */
static int vjp_extreme(struct sy_vjp *x, enum sy_opcode a_wins)
{
    struct sy_tensor *c = sy_b_apply(a_wins, NULL, 2, x->in[0], x->in[1]);
    struct sy_tensor *zero = sy_b_const(x->dout[0], 0);
    if (x->want[0])
        give_grad(x, 0, select_where(c, x->dout[0], zero));
    if (x->want[1])
        give_grad(x, 1, select_where(c, zero, x->dout[0]));
    return 0;
}

int sy__vjp_maximum(struct sy_vjp *x)
{
    return vjp_extreme(x, SY_OP_GE_);
}
int sy__vjp_minimum(struct sy_vjp *x)
{
    return vjp_extreme(x, SY_OP_LE_);
}

int sy__vjp_where(struct sy_vjp *x)
{
    struct sy_tensor *zero = sy_b_const(x->dout[0], 0);
    if (x->want[1])
        give_grad(x, 1, select_where(x->in[0], x->dout[0], zero));
    if (x->want[2])
        give_grad(x, 2, select_where(x->in[0], zero, x->dout[0]));
    return 0;
}

/* ---- gradients: one operand ---- */

static int give_times(struct sy_vjp *x, struct sy_tensor *slope)
{
    x->din[0] = sy_b_mul(x->dout[0], slope);
    return 0;
}

int sy__vjp_neg(struct sy_vjp *x)
{
    x->din[0] = sy_b_neg(x->dout[0]);
    return 0;
}

int sy__vjp_exp(struct sy_vjp *x)
{
    return give_times(x, x->out[0]);
}

int sy__vjp_log(struct sy_vjp *x)
{
    x->din[0] = sy_b_div(x->dout[0], x->in[0]);
    return 0;
}

/* Gradients that a kernel computes from the input, or from the output. */
#define BY_INPUT(name, NAME)                                                                       \
    int sy__vjp_##name(struct sy_vjp *x)                                                           \
    {                                                                                              \
        x->din[0] = sy_b_apply(SY_OP_##NAME##_BACKWARD_, x->attrs, 2, x->in[0], x->dout[0]);       \
        return 0;                                                                                  \
    }
#define BY_OUTPUT(name, NAME)                                                                      \
    int sy__vjp_##name(struct sy_vjp *x)                                                           \
    {                                                                                              \
        x->din[0] = sy_b_apply(SY_OP_##NAME##_BACKWARD_, NULL, 2, x->out[0], x->dout[0]);          \
        return 0;                                                                                  \
    }

BY_INPUT(abs, ABS)
BY_INPUT(square, SQUARE)
BY_INPUT(relu, RELU)
BY_INPUT(relu2, RELU2)
BY_INPUT(clamp, CLAMP)
BY_INPUT(log1p, LOG1P)
BY_INPUT(sin, SIN)
BY_INPUT(cos, COS)
BY_INPUT(erf, ERF)
BY_INPUT(softplus, SOFTPLUS)
BY_INPUT(silu, SILU)
BY_INPUT(gelu, GELU)
BY_INPUT(gelu_tanh, GELU_TANH)
BY_OUTPUT(sqrt, SQRT)
BY_OUTPUT(rsqrt, RSQRT)
BY_OUTPUT(reciprocal, RECIPROCAL)
BY_OUTPUT(tanh, TANH)
BY_OUTPUT(sigmoid, SIGMOID)
