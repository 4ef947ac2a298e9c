/* Row kernels of blocked attention (cpu/kern_attn.h).  Compiled once for each instruction set. */
#include "cpu/kern_attn.h"

#include "cpu/kern/isa.h"
#include "cpu/kern/vec_math.h"

#define MINUS_INF (-__builtin_inff())

/* Lanes i.. of a row that are seen. */
SY_INLINE vm seen(const struct sy_attn_view *v, int64_t i)
{
    static const int32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const int64_t left = v->limit - i;
    if (left >= SY_W && v->doc_k)
        return vi_eq(vi_load(v->doc_k + i), vi_set1(v->doc));
    vm m = vi_lt(vi_load(lane), vi_set1(left < 0 ? 0 : left > 16 ? 16 : (int32_t)left));
    if (!v->doc_k)
        return m;
    int32_t doc[SY_W];
    for (int j = 0; j < SY_W; j++)
        doc[j] = j < left ? v->doc_k[i + j] : 0;
    return vm_and(m, vi_eq(vi_load(doc), vi_set1(v->doc)));
}

/* Lanes i.. of what is added to the scores; zeros behind the last key that is seen. */
SY_INLINE vf bias_at(const struct sy_attn_view *v, int64_t i)
{
    return vf_load_part(v->bias + i, v->limit - i, 0.0f);
}

/* s = scale s + bias, -inf where unseen; the largest, or `top` if that is larger. */
SY_INLINE float scaled_top(float *s, int64_t n, const struct sy_attn_view *v, float top,
                           const bool biased)
{
    const vf scale = vf_set1(v->scale), none = vf_set1(MINUS_INF);
    v16f a = v16_set1(top);
    for (int64_t i = 0; i < n; i += 16)
        for (int k = 0; k < SY_P; k++) {
            const int64_t at = i + k * SY_W;
            vf x = vf_load(s + at) * scale;
            if (biased)
                x = x + bias_at(v, at);
            if (v->doc_k || at + SY_W > v->limit)
                x = vf_sel(seen(v, at), x, none);
            vf_store(s + at, x);
            a.p[k] = vf_max(x, a.p[k]);
        }
    return v16_hmax(a);
}

SY_INLINE float forward_row(float *s, int64_t n, const struct sy_attn_view *v, float *top,
                            float *sum, const bool biased)
{
    const float old = *top, now = scaled_top(s, n, v, old, biased);
    const vf shift = vf_set1(now == MINUS_INF ? 0.0f : now);
    v16f a = v16_zero();
    for (int64_t i = 0; i < n; i += 16)
        for (int k = 0; k < SY_P; k++) {
            const int64_t at = i + k * SY_W;
            vf e = vf_exp(vf_load(s + at) - shift);
            vf_store(s + at, e);
            a.p[k] = a.p[k] + e;
        }
    float fade = 1.0f;
    if (now != old) {
        float lanes[SY_W];
        vf_store(lanes, vf_exp(vf_set1(old) - vf_set1(now)));
        fade = lanes[0];
    }
    *top = now;
    *sum = *sum * fade + v16_sum(a);
    return fade;
}

/* A loop for each: what has no bias pays nothing for it. */
static float forward(float *s, int64_t n, const struct sy_attn_view *v, float *top, float *sum)
{
    return v->bias ? forward_row(s, n, v, top, sum, true) : forward_row(s, n, v, top, sum, false);
}

SY_INLINE void backward_row(float *s, float *dp, int64_t n, const struct sy_attn_view *v, float lse,
                            float delta, const bool biased)
{
    const vf scale = vf_set1(v->scale), shift = vf_set1(lse), mean = vf_set1(delta);
    for (int64_t i = 0; i < n; i += SY_W) {
        vf x = vf_load(s + i) * scale;
        if (biased)
            x = x + bias_at(v, i);
        vf p = vf_exp(x - shift);
        vf dx = p * (vf_load(dp + i) - mean), d = dx * scale;
        if (v->doc_k || i + SY_W > v->limit) {
            vm m = seen(v, i);
            p = vf_keep(m, p);
            d = vf_keep(m, d);
            dx = vf_keep(m, dx);
        }
        vf_store(s + i, p);
        vf_store(dp + i, d);
        if (biased) {
            const int64_t left = v->limit - i;
            vf_store_part(v->dbias + i, left, vf_load_part(v->dbias + i, left, 0.0f) + dx);
        }
    }
}

static void backward(float *s, float *dp, int64_t n, const struct sy_attn_view *v, float lse,
                     float delta)
{
    if (v->bias)
        backward_row(s, dp, n, v, lse, delta, true);
    else
        backward_row(s, dp, n, v, lse, delta, false);
}

static void scale(float *x, int64_t n, float by)
{
    for (int64_t i = 0; i < n; i += SY_W)
        vf_store_part(x + i, n - i, vf_load_part(x + i, n - i, 0.0f) * vf_set1(by));
}

static void divide(float *x, int64_t n, float by)
{
    for (int64_t i = 0; i < n; i += SY_W)
        vf_store_part(x + i, n - i, vf_load_part(x + i, n - i, 0.0f) / vf_set1(by));
}

static float dot(const float *x, const float *y, int64_t n)
{
    v16f a = v16_zero();
    for (int64_t i = 0; i < n; i += 16)
        a = v16_muladd(v16_load_part(x + i, n - i, 0.0f), v16_load_part(y + i, n - i, 0.0f), a);
    return v16_sum(a);
}

static float lse(float top, float sum)
{
    float lanes[SY_W];
    if (sum == 0)
        return MINUS_INF;
    vf_store(lanes, vf_log(vf_set1(sum)));
    return top + lanes[0];
}

const struct sy_attn_kernels SY_KERN(sy__attn) = {
    .forward = forward,
    .backward = backward,
    .scale = scale,
    .divide = divide,
    .dot = dot,
    .lse = lse,
};
