/* Optimizer kernels (cpu/kern_optim.h): memory-bound, one pass each. */
#include "cpu/kern_optim.h"

#include "cpu/kern/isa.h"
#include "cpu/kern/vec.h"

struct adamw_vec {
    vf scale, beta1, beta2, rest1, rest2, keep, step, root, eps;
};

SY_INLINE void adamw_step(const struct adamw_vec *c, float *p, const float *g, float *m, float *v,
                          int64_t n)
{
    vf gr = vf_load_part(g, n, 0.0f) * c->scale;
    vf mo = vf_load_part(m, n, 0.0f) * c->beta1 + gr * c->rest1;
    vf ve = vf_load_part(v, n, 0.0f) * c->beta2 + gr * gr * c->rest2;
    vf pa = vf_load_part(p, n, 0.0f) * c->keep - c->step * mo / (vf_sqrt(ve) * c->root + c->eps);
    vf_store_part(m, n, mo);
    vf_store_part(v, n, ve);
    vf_store_part(p, n, pa);
}

static void adamw(float *p, const float *g, float *m, float *v, int64_t n, const struct sy_adamw *a)
{
    const struct adamw_vec c = {
        .scale = vf_set1(a->grad_scale),
        .beta1 = vf_set1(a->beta1),
        .beta2 = vf_set1(a->beta2),
        .rest1 = vf_set1(1.0f - a->beta1),
        .rest2 = vf_set1(1.0f - a->beta2),
        .keep = vf_set1((float)(1.0 - (double)a->lr * (double)a->decay)),
        .step = vf_set1((float)((double)a->lr / a->correct1)),
        .root = vf_set1((float)(1.0 / __builtin_sqrt(a->correct2))),
        .eps = vf_set1(a->eps),
    };
    int64_t i = 0;
    for (; i + SY_W <= n; i += SY_W)
        adamw_step(&c, p + i, g + i, m + i, v + i, SY_W);
    if (i < n)
        adamw_step(&c, p + i, g + i, m + i, v + i, n - i);
}

struct sgd_vec {
    vf scale, mu;
    int nesterov;
};

/* What lr multiplies; m is written. */
SY_INLINE vf sgd_direction(const struct sgd_vec *c, const float *g, float *m, int64_t n)
{
    vf d = vf_load_part(g, n, 0.0f) * c->scale;
    vf mo = c->mu * vf_load_part(m, n, 0.0f) + d;
    vf_store_part(m, n, mo);
    return c->nesterov ? d + c->mu * mo : mo;
}

static void sgd(float *p, const float *g, float *m, int64_t n, const struct sy_sgd *a)
{
    const struct sgd_vec c = {vf_set1(a->grad_scale), vf_set1(a->momentum), a->nesterov};
    const vf keep = vf_set1((float)(1.0 - (double)a->lr * (double)a->decay)), lr = vf_set1(a->lr);
    for (int64_t i = 0; i < n; i += SY_W) {
        vf d = sgd_direction(&c, g + i, m + i, n - i);
        vf_store_part(p + i, n - i, vf_load_part(p + i, n - i, 0.0f) * keep - lr * d);
    }
}

static void momentum(float *g, float *m, int64_t n, const struct sy_sgd *a)
{
    const struct sgd_vec c = {vf_set1(a->grad_scale), vf_set1(a->momentum), a->nesterov};
    for (int64_t i = 0; i < n; i += SY_W)
        vf_store_part(g + i, n - i, sgd_direction(&c, g + i, m + i, n - i));
}

static void second(float *g, float *v, int64_t n, float beta, float scale, float tiny)
{
    const vf s = vf_set1(scale), b = vf_set1(beta), rest = vf_set1(1.0f - beta), e = vf_set1(tiny);
    for (int64_t i = 0; i < n; i += SY_W) {
        vf d = vf_load_part(g + i, n - i, 0.0f) * s;
        vf ve = vf_load_part(v + i, n - i, 1.0f) * b + (d * d + e) * rest;
        vf_store_part(v + i, n - i, ve);
        vf_store_part(g + i, n - i, d / vf_sqrt(ve));
    }
}

static void mix(float *y, float b, const float *x, float a, int64_t n)
{
    const vf vb = vf_set1(b), va = vf_set1(a);
    for (int64_t i = 0; i < n; i += SY_W)
        vf_store_part(y + i, n - i,
                      vf_load_part(y + i, n - i, 0.0f) * vb +
                          vf_load_part(x + i, n - i, 0.0f) * va);
}

static void outer(float *y, const float *x, float a, int64_t n)
{
    const vf va = vf_set1(a);
    for (int64_t i = 0; i < n; i += SY_W)
        vf_store_part(y + i, n - i,
                      vf_load_part(y + i, n - i, 0.0f) * va * vf_load_part(x + i, n - i, 0.0f));
}

/* Each sum is a chain of its own, so the order is the caller's. */
static void add_each_square(double *sum, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += (double)x[i] * (double)x[i];
}

static void scale(float *x, float a, int64_t n)
{
    const vf s = vf_set1(a);
    for (int64_t i = 0; i < n; i += SY_W)
        vf_store_part(x + i, n - i, vf_load_part(x + i, n - i, 0.0f) * s);
}

static int64_t first_bad(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] - x[i] == 0.0f))
            return i;
    return -1;
}

/* 16 lanes of double, as 2 * SY_P native vectors. */
SY_INLINE void widen(vf x, vd *lo, vd *hi)
{
#if defined(SY_VEC_AVX512)
    *lo = (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
    *hi = (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1));
#elif defined(SY_VEC_AVX2)
    *lo = (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
    *hi = (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
#elif defined(SY_VEC_SSE2)
    *lo = (vd)_mm_cvtps_pd((__m128)x);
    *hi = (vd)_mm_cvtps_pd(_mm_movehl_ps((__m128)x, (__m128)x));
#else
    for (int j = 0; j < SY_W / 2; j++) {
        (*lo)[j] = (double)x[j];
        (*hi)[j] = (double)x[j + SY_W / 2];
    }
#endif
}

SY_INLINE void add_squares(vd acc[2 * SY_P], const float *x, int64_t m)
{
#define SQUARE(k)                                                                                  \
    {                                                                                              \
        vd lo, hi;                                                                                 \
        widen(vf_load_part(x + (k)*SY_W, m - (k)*SY_W, 0.0f), &lo, &hi);                           \
        acc[2 * (k)] += lo * lo;                                                                   \
        acc[2 * (k) + 1] += hi * hi;                                                               \
    }
    VEC_EACH(SQUARE)
#undef SQUARE
}

/* The square of a finite float is finite in double and so is any sum of them that fits in memory:
 * the check costs nothing until it fails. */
static double sumsq(const float *x, int64_t n, int64_t *bad)
{
    vd acc[2 * SY_P] = {0};
    double t[16];
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        add_squares(acc, x + i, 16);
    if (i < n)
        add_squares(acc, x + i, n - i);
    memcpy(t, acc, sizeof t);
    for (int h = 8; h > 0; h /= 2)
        for (int j = 0; j < h; j++)
            t[j] += t[j + h];
    if (bad)
        *bad = t[0] - t[0] == 0.0 ? -1 : first_bad(x, n);
    return t[0];
}

const struct sy_optim_kernels SY_KERN(sy__optim) = {
    .adamw = adamw,
    .sgd = sgd,
    .momentum = momentum,
    .second = second,
    .scale = scale,
    .mix = mix,
    .outer = outer,
    .add_squares = add_each_square,
    .sumsq = sumsq,
};
