/* Attention against a key-value cache, for generation: the one operation that writes into an input.
 *
 * T new tokens stand at positions len-T .. len-1: their keys and values are written into the caches
 * there, then query t attends to keys 0 .. len-T+t; bias (H, 2R-1) as attention has it, R at least
 * S.  A decode program runs it once a layer and
 * reads the caches nowhere else, so the write is safe; there is no gradient. */
#include "ops/op.h"
#include "ops/ops_int.h"

#include "cpu/attention.h"

#include <math.h>
#include <string.h>

enum { Q, K, V, CACHE_K, CACHE_V, LEN, BIAS };

int sy__infer_attention_cached(struct sy_infer *x)
{
    for (int i = Q; i <= CACHE_V; i++)
        if (sy__want_dtype(x, i, SY_F32) || sy__want_ndim(x, i, 4))
            return -1;
    if (sy__want_dtype(x, LEN, SY_I32) || sy__want_ndim(x, LEN, 1))
        return -1;
    const int64_t *q = x->in[Q]->shape, *k = x->in[K]->shape, *c = x->in[CACHE_K]->shape;
    if (!sy_tensor_same_shape(x->in[K], x->in[V]) ||
        !sy_tensor_same_shape(x->in[CACHE_K], x->in[CACHE_V]) || q[0] != k[0] || q[1] != k[1] ||
        q[3] != k[3] || c[0] != k[0] || c[2] != k[2] || c[3] != k[3] || q[2] % k[2] ||
        x->in[LEN]->shape[0] != q[0])
        return sy__shape_error(x, "queries, keys and caches do not fit");
    const struct sy_tensor *bias = x->in[BIAS];
    if (bias && (sy__want_dtype(x, BIAS, SY_F32) || sy__want_ndim(x, BIAS, 2)))
        return -1;
    if (bias && (bias->shape[0] != q[2] || bias->shape[1] < 2 * c[1] - 1 || !(bias->shape[1] % 2)))
        return sy__shape_error(x, "bias must be (H, 2R-1) with R at least that of the caches");
    sy_meta_like(&x->out[0], x->in[Q]);
    return 0;
}

int sy__run_attention_cached(const struct sy_run *x)
{
    const struct sy_tensor *q = x->in[Q], *k = x->in[K], *c = x->in[CACHE_K];
    const struct sy_tensor *bias = x->in[BIAS];
    const int32_t *len = sy_data(x->in[LEN]);
    const double scale = x->attrs->f[0];
    int64_t B = q->shape[0], T = q->shape[1], H = q->shape[2], D = q->shape[3];
    int64_t S = c->shape[1], G = c->shape[2], row = G * D;
    for (int64_t b = 0; b < B; b++) {
        if (len[b] < T || len[b] > S)
            return sy_err_set(x->err, SY_E_RANGE,
                              "attention_cached: len is %d, must be from %lld to %lld", len[b],
                              (long long)T, (long long)S);
        int64_t at = (b * S + len[b] - T) * row;
        size_t bytes = (size_t)(T * row) * sizeof(float);
        memcpy((float *)sy_data(c) + at, (const float *)sy_data(k) + b * T * row, bytes);
        memcpy((float *)sy_data(x->in[CACHE_V]) + at,
               (const float *)sy_data(x->in[V]) + b * T * row, bytes);
    }
    struct sy_attn a = {.b = B, .t = T, .s = S, .h = H, .g = G, .d = D,
                        .q = sy_data(q), .k = sy_data(c), .v = sy_data(x->in[CACHE_V]),
                        .ldq = H * D, .ldk = row, .ldv = row, .ldo = H * D,
                        .scale = (float)(scale != 0 ? scale : 1 / sqrt((double)D)),
                        .mask = SY_ATTN_CAUSAL, .len = len,
                        .bias = bias ? sy_data(bias) : NULL,
                        .reach = bias ? (bias->shape[1] + 1) / 2 : 0,
                        .o = sy_data(x->out[0])};
    return sy_attention(&a) ? 0
                            : sy_err_set(x->err, SY_E_MEMORY, "attention_cached: out of memory");
}
