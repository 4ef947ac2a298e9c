/* Attention as operations: checks, the call of cpu/attention.h in f32, of attention_f64.h in f64.
 *
 *     o[b,t,h] = sum over visible s of softmax(scale <q[b,t,h], k[b,s,g]> + bias) v[b,s,g]
 *     g = h / (H / G)
 *
 * Which keys a query sees: cpu/attention.h.  A query that sees none gives zeros.  What is dropped
 * is decided by a key that is an input (draw_key): an operation that does not drop draws nothing,
 * and so changes no other's draws.
 */
#include "ops/attention_f64.h"
#include "ops/build.h"
#include "ops/ops_int.h"

#include <math.h>
#include <string.h>

/* Inputs and outputs in the order of their rows in ops.def; what masks stands together in both. */
enum { Q, K, V, PREFIX, DOC, DOC_K, LEN, BIAS, KEY, INPUTS };
enum { O, LSE };
enum {
    B_DO,
    B_Q,
    B_K,
    B_V,
    B_O,
    B_LSE,
    B_PREFIX,
    B_DOC,
    B_DOC_K,
    B_LEN,
    B_BIAS,
    B_KEY,
    B_INPUTS
};
enum { DQ, DK, DV, DBIAS };
enum { SCALE, DROP }; /* attributes */

/* ---- shapes ---- */

static int want_i32(struct sy_infer *x, int i, int64_t b, int64_t t)
{
    char name[24];
    const struct sy_tensor *a = x->in[i];
    if (!a)
        return 0;
    if (sy__want_dtype(x, i, SY_I32))
        return -1;
    if (a->ndim == (t ? 2 : 1) && a->shape[0] == b && (!t || a->shape[1] == t))
        return 0;
    return sy__shape_error(x, t ? "%s must be (%lld, %lld)" : "%s must be (%lld)",
                           sy_op_input_name(x->op, i, name), (long long)b, (long long)t);
}

static int check_heads(struct sy_infer *x)
{
    const struct sy_tensor *q = x->in[Q], *k = x->in[K], *v = x->in[V];
    if (k->shape[0] != q->shape[0] || k->shape[3] != q->shape[3] || !sy_tensor_same_shape(k, v))
        return sy__shape_error(x, "k and v must be (B, S, G, D) with B and D of q");
    if (k->shape[2] < 1 || q->shape[2] % k->shape[2])
        return sy__shape_error(x, "%lld query heads cannot share %lld key-value heads",
                               (long long)q->shape[2], (long long)k->shape[2]);
    return 0;
}

static int check_mask(struct sy_infer *x)
{
    const struct sy_tensor *q = x->in[Q], *k = x->in[K];
    const int64_t b = q->shape[0], t = q->shape[1], s = k->shape[1], mask = x->attrs->i[0];
    if (mask < SY_ATTN_FULL || mask > SY_ATTN_PREFIX)
        return sy_err_set(x->err, SY_E_RANGE,
                          "attention: mask is %lld, must be 0 (full), 1 (causal) or 2 (prefix)",
                          (long long)mask);
    if (want_i32(x, PREFIX, b, 0) || want_i32(x, DOC, b, t) || want_i32(x, DOC_K, b, s) ||
        want_i32(x, LEN, b, 0))
        return -1;
    if (mask == SY_ATTN_PREFIX && !x->in[PREFIX])
        return sy__shape_error(x, "the prefix mask needs prefix (B)");
    if (x->in[DOC_K] && !x->in[DOC])
        return sy__shape_error(x, "doc_k needs doc");
    if (x->in[DOC] && !x->in[DOC_K] && s != t)
        return sy__shape_error(x, "with keys of another length, doc needs doc_k (B, S)");
    return 0;
}

static int check_bias(struct sy_infer *x)
{
    const struct sy_tensor *q = x->in[Q], *bias = x->in[BIAS];
    const int64_t t = q->shape[1], s = x->in[K]->shape[1], most = t > s ? t : s;
    if (!bias)
        return 0;
    if (sy__same_dtype(x, Q, BIAS) || sy__want_ndim(x, BIAS, 2))
        return -1;
    if (bias->shape[0] == q->shape[2] && bias->shape[1] % 2 && bias->shape[1] >= 2 * most - 1)
        return 0;
    return sy__shape_error(x, "bias must be (H, 2R-1) with R at least %lld", (long long)most);
}

static int check_drop(struct sy_infer *x)
{
    const struct sy_tensor *key = x->in[KEY];
    const double p = x->attrs->f[DROP];
    if (!(p >= 0 && p < 1))
        return sy_err_set(x->err, SY_E_RANGE,
                          "attention: drop is %g, must be at least 0 and below 1", p);
    if (p > 0 && !key)
        return sy__shape_error(x, "drop = %g needs a key", p);
    if (!key)
        return 0;
    if (sy__want_dtype(x, KEY, SY_I64) || sy__want_ndim(x, KEY, 1))
        return -1;
    return key->shape[0] == 3 ? 0 : sy__shape_error(x, "key must be (3)");
}

int sy__infer_attention(struct sy_infer *x)
{
    const struct sy_tensor *q = x->in[Q];
    for (int i = Q; i <= V; i++)
        if (sy__want_float(x, i) || sy__same_dtype(x, Q, i) || sy__want_ndim(x, i, 4))
            return -1;
    if (check_heads(x) || check_mask(x) || check_bias(x) || check_drop(x))
        return -1;
    sy_meta_like(&x->out[O], q);
    x->out[LSE] = (struct sy_meta){
        .dtype = q->dtype, .ndim = 3, .shape = {q->shape[0], q->shape[2], q->shape[1]}};
    return 0;
}

int sy__infer_attention_backward(struct sy_infer *x)
{
    sy_meta_like(&x->out[DQ], x->in[B_Q]);
    sy_meta_like(&x->out[DK], x->in[B_K]);
    sy_meta_like(&x->out[DV], x->in[B_V]);
    x->always = 1 << DQ | 1 << DK | 1 << DV;
    sy__meta(&x->out[DBIAS], x->in[B_Q]->dtype, 1, 1, 0); /* without bias: stands for nothing */
    if (x->in[B_BIAS]) {
        sy_meta_like(&x->out[DBIAS], x->in[B_BIAS]);
        x->scratch = (size_t)x->in[B_Q]->shape[0] * sy_tensor_bytes(x->in[B_BIAS]);
        x->always |= 1 << DBIAS;
    }
    return 0;
}

/* ---- calls ---- */

static void *data_of(const struct sy_tensor *t)
{
    return t ? sy_data(t) : NULL;
}

/* Dimensions, masks, index lists, what is dropped; in: Q to V, masks: PREFIX to KEY. */
static struct sy_attn describe(const struct sy_run *x, struct sy_tensor *const *in,
                               struct sy_tensor *const *masks)
{
    const struct sy_tensor *q = in[Q], *k = in[K];
    const int64_t h = q->shape[2], g = k->shape[2], d = q->shape[3];
    const struct sy_tensor *bias = masks[BIAS - PREFIX], *key = masks[KEY - PREFIX];
    const double scale = x->attrs->f[SCALE];
    return (struct sy_attn){.b = q->shape[0],
                            .t = q->shape[1],
                            .s = k->shape[1],
                            .h = h,
                            .g = g,
                            .d = d,
                            .ldq = h * d,
                            .ldk = g * d,
                            .ldv = g * d,
                            .ldo = h * d,
                            .lddq = h * d,
                            .lddk = g * d,
                            .lddv = g * d,
                            .scale = (float)(scale != 0 ? scale : 1 / sqrt((double)d)),
                            .mask = (enum sy_attn_mask)x->attrs->i[0],
                            .prefix = data_of(masks[PREFIX - PREFIX]),
                            .doc = data_of(masks[DOC - PREFIX]),
                            .doc_k = data_of(masks[DOC_K - PREFIX]),
                            .len = data_of(masks[LEN - PREFIX]),
                            .bias = q->dtype == SY_F32 ? data_of(bias) : NULL,
                            .reach = bias ? (bias->shape[1] + 1) / 2 : 0,
                            .drop = key ? sy__saved_key(key) : (struct sy_rng){0},
                            .rate = key ? (float)x->attrs->f[DROP] : 0,
                            .precision = (enum sy_precision)x->attrs->precision};
}

static double scale64(const struct sy_run *x, int64_t d)
{
    return x->attrs->f[SCALE] != 0 ? x->attrs->f[SCALE] : 1 / sqrt((double)d);
}

static int no_scratch(const struct sy_run *x)
{
    return sy_err_set(
        x->err, SY_E_MEMORY,
        "attention: out of memory: a thread's packed keys, values and queries do not fit");
}

int sy__run_attention(const struct sy_run *x)
{
    struct sy_attn a = describe(x, x->in, x->in + PREFIX);
    if (x->in[Q]->dtype == SY_F64) {
        struct sy__attention_f64 m = {.a = a,
                                .scale = scale64(x, a.d),
                                .bias = data_of(x->in[BIAS]),
                                .q = sy_data(x->in[Q]),
                                .k = sy_data(x->in[K]),
                                .v = sy_data(x->in[V]),
                                .o = sy_data(x->out[O]),
                                .lse = data_of(x->out[LSE])};
        return sy__attention_f64(&m) ? 0 : no_scratch(x);
    }
    a.q = sy_data(x->in[Q]);
    a.k = sy_data(x->in[K]);
    a.v = sy_data(x->in[V]);
    a.o = sy_data(x->out[O]);
    a.lse = data_of(x->out[LSE]);
    return sy_attention(&a) ? 0 : no_scratch(x);
}

/* The sequences' gradients of bias (B, H, 2R-1) -> their sum, in order. */
static void add_up(struct sy_tensor *dbias, const float *parts, int64_t b)
{
    float *y = sy_data(dbias);
    const int64_t n = sy_tensor_count(dbias);
    memset(y, 0, sy_tensor_bytes(dbias));
    for (; b > 0; b--, parts += n)
        for (int64_t i = 0; i < n; i++)
            y[i] += parts[i];
}

int sy__run_attention_backward(const struct sy_run *x)
{
    struct sy_tensor *const *in = x->in;
    struct sy_attn a = describe(x, in + B_Q, in + B_PREFIX);
    if (in[B_DO]->dtype == SY_F64) {
        struct sy__attention_f64 m = {.a = a,
                                .scale = scale64(x, a.d),
                                .bias = data_of(in[B_BIAS]),
                                .d_o = sy_data(in[B_DO]),
                                .q = sy_data(in[B_Q]),
                                .k = sy_data(in[B_K]),
                                .v = sy_data(in[B_V]),
                                .o_in = sy_data(in[B_O]),
                                .lse_in = sy_data(in[B_LSE]),
                                .dq = sy_data(x->out[DQ]),
                                .dk = sy_data(x->out[DK]),
                                .dv = sy_data(x->out[DV]),
                                .dbias = in[B_BIAS] ? sy_data(x->out[DBIAS]) : NULL};
        for (int i = DQ; i <= (in[B_BIAS] ? DBIAS : DV); i++)
            memset(sy_data(x->out[i]), 0, sy_tensor_bytes(x->out[i]));
        return sy__attention_backward_f64(&m) ? 0 : no_scratch(x);
    }
    a.d_o = sy_data(in[B_DO]);
    a.q = sy_data(in[B_Q]);
    a.k = sy_data(in[B_K]);
    a.v = sy_data(in[B_V]);
    a.o = sy_data(in[B_O]);
    a.lse = sy_data(in[B_LSE]);
    a.dq = sy_data(x->out[DQ]);
    a.dk = sy_data(x->out[DK]);
    a.dv = sy_data(x->out[DV]);
    a.dbias = in[B_BIAS] ? x->scratch : NULL;
    if (!sy_attention_backward(&a))
        return no_scratch(x);
    if (in[B_BIAS])
        add_up(x->out[DBIAS], x->scratch, a.b);
    return 0;
}

/* ---- gradient and cost ---- */

int sy__vjp_attention(struct sy_vjp *x)
{
    struct sy_tensor *d[SY_MAX_OUT];
    struct sy_tensor *in[B_INPUTS] = {
        [B_DO] = x->dout[O],        [B_Q] = x->in[Q],         [B_K] = x->in[K],
        [B_V] = x->in[V],           [B_O] = x->out[O],        [B_LSE] = x->out[LSE],
        [B_DOC] = x->in[DOC],       [B_DOC_K] = x->in[DOC_K], [B_LEN] = x->in[LEN],
        [B_PREFIX] = x->in[PREFIX], [B_BIAS] = x->in[BIAS],   [B_KEY] = x->in[KEY],
    };
    if (!x->dout[O])
        return 0; /* lse is not for use */
    if (sy_b_apply_all(SY_OP_ATTENTION_BACKWARD_, x->attrs, in, B_INPUTS, d))
        return -1;
    x->din[Q] = d[DQ];
    x->din[K] = d[DK];
    x->din[V] = d[DV];
    if (x->in[BIAS])
        x->din[BIAS] = d[DBIAS];
    return 0;
}

/* Two products of T x S x D a head; causal masks leave half of it. */
static double products(const struct sy_node *n, const struct sy_tensor *q,
                       const struct sy_tensor *k)
{
    const double pairs = (double)q->shape[1] * (double)k->shape[1] * (n->attrs.i[0] ? 0.5 : 1.0);
    return 4.0 * (double)(q->shape[0] * q->shape[2] * q->shape[3]) * pairs;
}

void sy__cost_attention(struct sy_cost *c)
{
    c->flops = products(c->node, c->node->in[Q], c->node->in[K]);
}

void sy__cost_attention_backward(struct sy_cost *c)
{
    c->flops = 2 * products(c->node, c->node->in[B_Q], c->node->in[B_K]);
}
