/* Attention by plain loops, one task a (sequence, key-value head): says what is meant, until the blocked kernels
 * take its place (whoever brings them replaces this file whole). */
#include "cpu/attention.h"

#include "base/pool.h"
#include "cpu/math.h"

#include <math.h>
#include <string.h>

static bool visible(const struct sy_attn *a, int64_t b, int64_t t, int64_t s)
{
    const int32_t *doc_k = a->doc_k ? a->doc_k : a->doc;
    const int64_t len = a->len ? a->len[b] : a->s;
    if (s >= len || (a->doc && a->doc[b * a->t + t] != doc_k[b * a->s + s]))
        return false;
    return a->mask == SY_ATTN_FULL || s <= t + len - a->t ||
           (a->mask == SY_ATTN_PREFIX && s < a->prefix[b]);
}

static float dot(const float *a, const float *b, int64_t n)
{
    float lane[16] = {0}, s = 0;
    for (int64_t i = 0; i < n; i++)
        lane[i & 15] += a[i] * b[i];
    for (int i = 0; i < 16; i++)
        s += lane[i];
    return s;
}

static void axpy(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void forward_row(const struct sy_attn *a, int64_t b, int64_t t, int64_t h, int64_t g)
{
    const float *q = a->q + (b * a->t + t) * a->ldq + h * a->d;
    float *o = a->o + (b * a->t + t) * a->ldo + h * a->d, top = -INFINITY, sum = 0;
    memset(o, 0, (size_t)a->d * sizeof *o);
    for (int64_t s = 0; s < a->s; s++) {
        if (!visible(a, b, t, s))
            continue;
        const float x = a->scale * dot(q, a->k + (b * a->s + s) * a->ldk + g * a->d, a->d);
        const float next = x > top ? x : top, shrink = sy_expf(top - next), p = sy_expf(x - next);
        for (int64_t i = 0; i < a->d && shrink < 1; i++)
            o[i] *= shrink;
        axpy(o, p, a->v + (b * a->s + s) * a->ldv + g * a->d, a->d);
        sum = sum * shrink + p;
        top = next;
    }
    for (int64_t i = 0; i < a->d && sum > 0; i++)
        o[i] /= sum;
    if (a->lse)
        a->lse[(b * a->h + h) * a->t + t] = sum > 0 ? top + sy_logf(sum) : -INFINITY;
}

static void backward_row(const struct sy_attn *a, int64_t b, int64_t t, int64_t h, int64_t g)
{
    const int64_t at = (b * a->t + t) * a->ldo + h * a->d, d = a->d;
    const float *q = a->q + (b * a->t + t) * a->ldq + h * d, *go = a->d_o + at;
    float *dq = a->dq + (b * a->t + t) * a->lddq + h * d;
    const float lse = a->lse[(b * a->h + h) * a->t + t], all = dot(go, a->o + at, d);
    memset(dq, 0, (size_t)d * sizeof *dq);
    for (int64_t s = 0; s < a->s; s++) {
        if (!visible(a, b, t, s))
            continue;
        const float *k = a->k + (b * a->s + s) * a->ldk + g * d;
        const float *v = a->v + (b * a->s + s) * a->ldv + g * d;
        const float p = sy_expf(a->scale * dot(q, k, d) - lse);
        const float ds = p * (dot(go, v, d) - all) * a->scale;
        axpy(a->dv + (b * a->s + s) * a->lddv + g * d, p, go, d);
        axpy(a->dk + (b * a->s + s) * a->lddk + g * d, ds, q, d);
        axpy(dq, ds, k, d);
    }
}

static void forward_task(void *ctx, int64_t task)
{
    const struct sy_attn *a = ctx;
    const int64_t b = task / a->g, g = task % a->g, share = a->h / a->g;
    for (int64_t h = g * share; h < (g + 1) * share; h++)
        for (int64_t t = 0; t < a->t; t++)
            forward_row(a, b, t, h, g);
}

static void backward_task(void *ctx, int64_t task)
{
    const struct sy_attn *a = ctx;
    const int64_t b = task / a->g, g = task % a->g, share = a->h / a->g;
    for (int64_t s = 0; s < a->s; s++) {
        memset(a->dk + (b * a->s + s) * a->lddk + g * a->d, 0, (size_t)a->d * sizeof(float));
        memset(a->dv + (b * a->s + s) * a->lddv + g * a->d, 0, (size_t)a->d * sizeof(float));
    }
    for (int64_t h = g * share; h < (g + 1) * share; h++)
        for (int64_t t = 0; t < a->t; t++)
            backward_row(a, b, t, h, g);
}

void sy_attention(const struct sy_attn *a)
{
    struct sy_attn own = *a;
    sy_pool_run(a->b * a->g, forward_task, &own);
}

void sy_attention_backward(const struct sy_attn *a)
{
    struct sy_attn own = *a;
    sy_pool_run(a->b * a->g, backward_task, &own);
}
