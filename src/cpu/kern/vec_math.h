/* exp, log, tanh, ... on vectors: our own, so that every instruction set and every libm gives the
 * same bits.
 *
 * One sequence of exactly rounded operations each, no FMA.  Polynomials: Chebyshev fits of the
 * named quotient over the stated range, coefficients rounded to f32; argument reductions as in
 * Cephes (Moshier) and Muller, "Elementary Functions", ch. 11.
 *
 *                error bound       range, special values
 *   vf_exp       1 ulp             exact 0 below -103.98, inf above 88.73, gradual underflow
 *   vf_log       1 ulp             denormals; 0 -> -inf, negative -> NaN
 *   vf_tanh      2 ulp             odd, -0 kept
 *   vf_sigmoid   3 ulp             gradual underflow for x < -87
 *   vf_erf       4 ulp             odd
 *   vf_phi       4 ulp for x > -1, then growing with x*x (exp(-x*x/2) of a rounded square)
 *
 * All pass NaN on.  (Measured over all floats or a dense grid: tests/unit/test_kern_map.c.)
 */
#ifndef SY_CPU_KERN_VEC_MATH_H
#define SY_CPU_KERN_VEC_MATH_H

#include "cpu/kern/vec.h"

/* x = k ln 2 + r, |r| <= ln(2)/2;  e^r = 1 + r + r*r*P(r);  times 2^k in two steps, so that a
 * denormal result is rounded once. */
SY_INLINE vf vf_exp(vf x)
{
    const vf magic = vf_set1(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    x = vf_max(vf_set1(-104.0f), x);
    x = vf_min(vf_set1(89.0f), x);
    vf t = x * 1.44269504f + magic;
    vf k = t - magic;
    vf r = x - k * 0.693359375f; /* exact: 9 bits times an integer below 2^8 */
    r = r - k * -2.12194440e-4f;
    vf p = r * 1.392622478e-03f + 8.363212459e-03f;
    p = p * r + 4.166655615e-02f;
    p = p * r + 1.666657627e-01f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)k); /* one rounding: the same bits */
#else
    vi n = (vi)((vu)t - (vu)magic); /* unsigned: a NaN's bits may wrap */
    vi h = n >> 1;
    return p * (vf)(((vu)h + 127) << 23) * (vf)(((vu)n - (vu)h + 127) << 23);
#endif
}

/* x = 2^e m, sqrt(1/2) <= m < sqrt(2);  log(1+r) = r - r*r/2 + r*r*r*P(r). */
SY_INLINE vf vf_log(vf x)
{
    const vf inf = vf_set1(__builtin_inff());
    vm tiny = vf_lt(x, vf_set1(0x1p-126f));
    vf m = vf_sel(tiny, x * 0x1p23f, x);
    vi bits = (vi)((vu)m - 0x3f3504f3); /* unsigned: wraps for x < 0, sorted out below */
    vf e = vi_to_float(bits >> 23) - vf_keep(tiny, vf_set1(23.0f));
    vf r = vi_bits((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
    vf z = r * r;
    vf p = r * 6.972518563e-02f - 1.148121208e-01f;
    p = p * r + 1.168578491e-01f;
    p = p * r - 1.242552325e-01f;
    p = p * r + 1.424900740e-01f;
    p = p * r - 1.666780710e-01f;
    p = p * r + 2.000071704e-01f;
    p = p * r - 2.499999702e-01f;
    p = p * r + 3.333333135e-01f;
    vf y = p * (r * z);
    y = y + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    y = (r + y) + e * 0.693359375f;
    y = vf_sel(vf_eq(x, vf_zero()), vf_neg(inf), y);
    y = vf_sel(vf_lt(x, vf_zero()), vf_set1(__builtin_nanf("")), y);
    return vf_sel(vf_lt(x, inf), y, vf_sel(vf_isnan(x), x, inf));
}

/* |x| < 0.625: x + x^3 P(x^2); else 1 - 2 / (exp(2|x|) + 1). */
SY_INLINE vf vf_tanh(vf x)
{
    vf a = vf_abs(x);
    vf z = x * x;
    vf p = z * -6.096714176e-03f + 2.099717967e-02f;
    p = p * z - 5.385090783e-02f;
    p = p * z + 1.333276927e-01f;
    p = p * z - 3.333332837e-01f;
    p = p * z * x + x;
    vf big = 1.0f - 2.0f / (vf_exp(a + a) + 1.0f);
    return vf_copysign(vf_sel(vf_lt(a, vf_set1(0.625f)), p, big), x);
}

/* e = exp(-|x|): 1 / (1 + e), or e / (1 + e) for x < 0, which underflows gradually. */
SY_INLINE vf vf_sigmoid(vf x)
{
    vf e = vf_exp(vf_neg(vf_abs(x)));
    return vf_sel(vf_lt(x, vf_zero()), e, vf_set1(1.0f)) / (e + 1.0f);
}

/* exp(z*z) erfc(z) for 0 <= z <= 10, as t P(t), t = 1 / (1 + 25/64 z).  25/64: among the exact
 * fractions the one whose polynomial has small coefficients, so that little cancels. */
SY_INLINE vf vf_erfcx(vf z)
{
    vf t = 1.0f / (z * 0.390625f + 1.0f);
    vf p = t * 5.008849502e-02f - 1.974968463e-01f;
    p = p * t + 2.085180730e-01f;
    p = p * t - 1.709666848e-02f;
    p = p * t + 1.412201226e-01f;
    p = p * t + 1.718248427e-01f;
    p = p * t + 2.018710375e-01f;
    p = p * t + 2.207048982e-01f;
    p = p * t + 2.203660756e-01f;
    return p * t;
}

SY_INLINE vf vf_erf(vf x)
{
    vf a = vf_abs(x);
    vf z = x * x;
    vf p = z * 7.875874871e-05f - 8.016864303e-04f;
    p = p * z + 5.189087242e-03f;
    p = p * z - 2.685421146e-02f;
    p = p * z + 1.128359437e-01f;
    p = p * z - 3.761262596e-01f;
    p = p * z + 1.128379107e+00f;
    a = vf_min(vf_set1(10.0f), a); /* inf * 0 below */
    vf big = 1.0f - vf_erfcx(a) * vf_exp(vf_neg(a * a));
    return vf_copysign(vf_sel(vf_lt(a, vf_set1(1.0f)), p * x, big), x);
}

/* Phi(x), the standard normal's distribution function, from `gauss` = exp(-x*x/2). */
SY_INLINE vf vf_phi_from(vf x, vf gauss)
{
    vf z = vf_min(vf_set1(20.0f), vf_abs(x) * 0.707106781f);
    vf h = 0.5f * (vf_erfcx(z) * gauss);
    return vf_sel(vf_lt(x, vf_zero()), h, 1.0f - h);
}
SY_INLINE vf vf_gauss(vf x)
{
    return vf_exp(x * x * -0.5f);
}
SY_INLINE vf vf_phi(vf x)
{
    return vf_phi_from(x, vf_gauss(x));
}

/* u = 1 + x rounded; log(u) corrected by x / (u - 1) for what the rounding lost (Kahan). */
SY_INLINE vf vf_log1p(vf x)
{
    vf u = x + 1.0f;
    vf y = vf_log(u) * (x / (u - 1.0f));
    vm plain = vm_or(vf_eq(u, vf_set1(1.0f)), vf_eq(x, vf_set1(__builtin_inff())));
    return vf_sel(plain, x, y);
}

/* One lane's value of a vector function, for scalars inside kernels. */
#define SY_LANE(f, x) (f(vf_set1(x))[0])

SY_INLINE vf vf_floor(vf x)
{
    vf t = vi_to_float(vf_to_int(x));
    t = t - vf_keep(vf_gt(t, x), vf_set1(1.0f));
    return vf_sel(vf_lt(vf_abs(x), vf_set1(0x1p23f)), vf_copysign(t, x), x);
}
SY_INLINE vf vf_ceil(vf x)
{
    return vf_neg(vf_floor(vf_neg(x)));
}
SY_INLINE vf vf_trunc(vf x)
{
    vf t = vi_to_float(vf_to_int(x));
    return vf_sel(vf_lt(vf_abs(x), vf_set1(0x1p23f)), vf_copysign(t, x), x);
}
/* To nearest, ties to even. */
SY_INLINE vf vf_rint(vf x)
{
    vf t = vf_abs(x) + 0x1p23f;
    t = t - 0x1p23f;
    return vf_sel(vf_lt(vf_abs(x), vf_set1(0x1p23f)), vf_copysign(t, x), x);
}

#define VEC_EXP(i) r.p[i] = vf_exp(a.p[i]);
#define VEC_LOG(i) r.p[i] = vf_log(a.p[i]);
#define VEC_TANH(i) r.p[i] = vf_tanh(a.p[i]);
#define VEC_SIGMOID(i) r.p[i] = vf_sigmoid(a.p[i]);
VEC_LIFT1(v16_exp, VEC_EXP)
VEC_LIFT1(v16_log, VEC_LOG)
VEC_LIFT1(v16_tanh, VEC_TANH)
VEC_LIFT1(v16_sigmoid, VEC_SIGMOID)

#endif
