/* Portable SIMD for the kernel families: native vectors, and 16 virtual lanes on top of them.
 *
 * Two levels:
 *   vf, vi, vm  a native vector of SY_W floats / int32 / a comparison's mask.  SY_W is 16
 *               (AVX-512), 8 (AVX2) or 4 (SSE2, and any other machine through GNU vectors).  + - *
 *               / work on vf and + - * << >> & | ^ ~ on vi as operators.  For elementwise code,
 *               where the width does not show in the result.
 *   v16f        16 floats as SY_P = 16 / SY_W native vectors, for everything that reduces: its lane
 *               j holds elements j, j+16, ... in every set.  Functions v16_*, no operators.  (GNU
 *               vectors of 64 bytes would do for both, but gcc 12 lowers their comparisons to
 *               scalar code and copies them through the stack where the machine's registers are
 *               narrower: 10 times slower.)
 *
 * Exactness (cpu/cpu.h): include only from sources compiled with -ffp-contract=off.
 *  1. No function here uses FMA, an approximate instruction (rcpps, rsqrtps) or a libm call.
 *  2. v16_sum and v16_hmax combine lanes in one tree: j with j+8, then +4, +2, +1.
 *  3. Lanes never depend on each other, so a partial vector gives the bits of a full one.
 *  4. Bits of a NaN (sign, payload) are not part of the promise.
 *
 * vf_max(a, b) is a > b ? a : b and vf_min(a, b) is a < b ? a : b: where an operand is NaN the
 * result is b.  So vf_max(limit, x) passes a NaN in x on, and vf_max(x, limit) drops it;
 * vf_maxn and vf_minn propagate a NaN from either side.
 *
 * exp, log, tanh, ...: cpu/kern/vec_math.h.
 */
#ifndef SY_CPU_KERN_VEC_H
#define SY_CPU_KERN_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SY_W 16
#define SY_VEC_AVX512 1
#elif defined(__AVX2__)
#define SY_W 8
#define SY_VEC_AVX2 1
#else
#define SY_W 4
#if defined(__SSE2__)
#define SY_VEC_SSE2 1
#endif
#endif
#define SY_P (16 / SY_W)

#define SY_INLINE static inline __attribute__((always_inline, unused))

typedef float vf __attribute__((vector_size(4 * SY_W)));
typedef int32_t vi __attribute__((vector_size(4 * SY_W)));
typedef uint32_t vu __attribute__((vector_size(4 * SY_W)));
typedef double vd __attribute__((vector_size(4 * SY_W))); /* SY_W / 2 doubles */
typedef float vf_any __attribute__((vector_size(4 * SY_W), aligned(4), may_alias));
typedef int32_t vi_any __attribute__((vector_size(4 * SY_W), aligned(4), may_alias));
#if defined(SY_VEC_AVX512)
typedef __mmask16 vm;
#else
typedef vi vm; /* each lane 0 or -1 */
#endif

/* Load, store, constants. */

SY_INLINE vf vf_load(const float *p)
{
    return *(const vf_any *)p;
}
SY_INLINE void vf_store(float *p, vf v)
{
    *(vf_any *)p = v;
}
SY_INLINE vi vi_load(const int32_t *p)
{
    return *(const vi_any *)p;
}
SY_INLINE void vi_store(int32_t *p, vi v)
{
    *(vi_any *)p = v;
}
SY_INLINE vf vf_zero(void)
{
    return (vf){0};
}
SY_INLINE vi vi_set1(int32_t x)
{
    return x - (vi){0};
}
SY_INLINE vi vf_bits(vf x)
{
    return (vi)x;
}
SY_INLINE vf vi_bits(vi x)
{
    return (vf)x;
}

SY_INLINE vf vf_set1(float x)
{
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_set1_ps(x);
#elif defined(SY_VEC_AVX2)
    return (vf)_mm256_set1_ps(x);
#else
    return (vf){x, x, x, x};
#endif
}

/* The first n lanes (any n: <= 0 none, >= SY_W all), the others `fill`. */
SY_INLINE vf vf_load_part(const float *p, int64_t n, float fill)
{
    if (n >= SY_W)
        return vf_load(p);
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)(n > 0 ? (1u << n) - 1 : 0),
                                    p);
#else
    float t[SY_W];
    for (int j = 0; j < SY_W; j++)
        t[j] = j < n ? p[j] : fill;
    return vf_load(t);
#endif
}

SY_INLINE void vf_store_part(float *p, int64_t n, vf v)
{
    if (n >= SY_W) {
        vf_store(p, v);
        return;
    }
#if defined(SY_VEC_AVX512)
    _mm512_mask_storeu_ps(p, (__mmask16)(n > 0 ? (1u << n) - 1 : 0), (__m512)v);
#else
    for (int j = 0; j < SY_W; j++)
        if (j < n)
            p[j] = v[j];
#endif
}

/* Comparisons (ordered: false with a NaN, except ne) and selection. */

#if defined(SY_VEC_AVX512)
#define VEC_CMP(op, code) ((vm)_mm512_cmp_ps_mask((__m512)a, (__m512)b, code))
#elif defined(SY_VEC_AVX2)
#define VEC_CMP(op, code) ((vm)_mm256_cmp_ps((__m256)a, (__m256)b, code))
#else
#define VEC_CMP(op, code) ((vm)(a op b))
#endif
SY_INLINE vm vf_lt(vf a, vf b)
{
    return VEC_CMP(<, _CMP_LT_OQ);
}
SY_INLINE vm vf_le(vf a, vf b)
{
    return VEC_CMP(<=, _CMP_LE_OQ);
}
SY_INLINE vm vf_gt(vf a, vf b)
{
    return VEC_CMP(>, _CMP_GT_OQ);
}
SY_INLINE vm vf_ge(vf a, vf b)
{
    return VEC_CMP(>=, _CMP_GE_OQ);
}
SY_INLINE vm vf_eq(vf a, vf b)
{
    return VEC_CMP(==, _CMP_EQ_OQ);
}
SY_INLINE vm vf_ne(vf a, vf b)
{
    return VEC_CMP(!=, _CMP_NEQ_UQ);
}
#undef VEC_CMP
SY_INLINE vm vf_isnan(vf a)
{
    return vf_ne(a, a);
}

SY_INLINE vm vi_eq(vi a, vi b)
{
#if defined(SY_VEC_AVX512)
    return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b);
#else
    return (vm)(a == b);
#endif
}

SY_INLINE vm vi_lt(vi a, vi b)
{
#if defined(SY_VEC_AVX512)
    return _mm512_cmplt_epi32_mask((__m512i)a, (__m512i)b);
#else
    return (vm)(a < b);
#endif
}

SY_INLINE vm vm_and(vm a, vm b)
{
    return (vm)(a & b);
}
SY_INLINE vm vm_or(vm a, vm b)
{
    return (vm)(a | b);
}
SY_INLINE vm vm_not(vm a)
{
    return (vm)~a;
}

/* Bit j is lane j's truth. */
SY_INLINE uint32_t vm_mask(vm m)
{
#if defined(SY_VEC_AVX512)
    return m;
#elif defined(SY_VEC_AVX2)
    return (uint32_t)_mm256_movemask_ps((__m256)m);
#elif defined(SY_VEC_SSE2)
    return (uint32_t)_mm_movemask_ps((__m128)m);
#else
    return (uint32_t)((m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8));
#endif
}
SY_INLINE bool vm_any(vm m)
{
    return vm_mask(m) != 0;
}

/* m ? a : b */
SY_INLINE vf vf_sel(vm m, vf a, vf b)
{
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a);
#elif defined(SY_VEC_AVX2)
    return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m);
#else
    return (vf)((m & (vi)a) | (~m & (vi)b));
#endif
}

SY_INLINE vi vi_sel(vm m, vi a, vi b)
{
    return (vi)vf_sel(m, (vf)a, (vf)b);
}

/* m ? a : 0 */
SY_INLINE vf vf_keep(vm m, vf a)
{
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_maskz_mov_ps(m, (__m512)a);
#else
    return (vf)(m & (vi)a);
#endif
}

/* Elementary operations; all exact in the sense of IEEE 754. */

SY_INLINE vf vf_max(vf a, vf b)
{
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(SY_VEC_AVX2)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(SY_VEC_SSE2)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return vf_sel(vf_gt(a, b), a, b);
#endif
}

SY_INLINE vf vf_min(vf a, vf b)
{
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(SY_VEC_AVX2)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(SY_VEC_SSE2)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return vf_sel(vf_lt(a, b), a, b);
#endif
}

SY_INLINE vf vf_maxn(vf a, vf b)
{
    return vf_sel(vf_isnan(a), a, vf_max(a, b));
}
SY_INLINE vf vf_minn(vf a, vf b)
{
    return vf_sel(vf_isnan(a), a, vf_min(a, b));
}

SY_INLINE vf vf_sqrt(vf a)
{
#if defined(SY_VEC_AVX512)
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(SY_VEC_AVX2)
    return (vf)_mm256_sqrt_ps((__m256)a);
#elif defined(SY_VEC_SSE2)
    return (vf)_mm_sqrt_ps((__m128)a);
#else
    for (int j = 0; j < SY_W; j++)
        a[j] = __builtin_sqrtf(a[j]);
    return a;
#endif
}

SY_INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}
SY_INLINE vf vf_neg(vf a)
{
    return (vf)((vi)a ^ INT32_MIN);
}
SY_INLINE vi vf_signbit(vf a)
{
    return (vi)a & INT32_MIN;
} /* 0 or 0x80000000 */
/* Magnitude of a, sign of s. */
SY_INLINE vf vf_copysign(vf a, vf s)
{
    return (vf)(((vi)a & 0x7fffffff) | vf_signbit(s));
}

/* Toward zero; NaN and what int32 cannot hold give INT32_MIN. */
SY_INLINE vi vf_to_int(vf a)
{
#if defined(SY_VEC_AVX512)
    return (vi)_mm512_cvttps_epi32((__m512)a);
#elif defined(SY_VEC_AVX2)
    return (vi)_mm256_cvttps_epi32((__m256)a);
#elif defined(SY_VEC_SSE2)
    return (vi)_mm_cvttps_epi32((__m128)a);
#else
    vi r;
    for (int j = 0; j < SY_W; j++)
        r[j] = a[j] >= -0x1p31f && a[j] < 0x1p31f ? (int32_t)a[j] : INT32_MIN;
    return r;
#endif
}

/* Round to nearest even. */
SY_INLINE vf vi_to_float(vi a)
{
    return __builtin_convertvector(a, vf);
}

/* Logical shift right. */
SY_INLINE vi vi_shr(vi a, int bits)
{
    return (vi)((vu)a >> (uint32_t)bits);
}

/* 16 virtual lanes. */

typedef struct {
    vf p[SY_P];
} v16f;

#if SY_P == 1
#define VEC_EACH(DO) DO(0)
#elif SY_P == 2
#define VEC_EACH(DO) DO(0) DO(1)
#else
#define VEC_EACH(DO) DO(0) DO(1) DO(2) DO(3)
#endif

#define VEC_LIFT1(name, f)                                                                         \
    SY_INLINE v16f name(v16f a)                                                                    \
    {                                                                                              \
        v16f r;                                                                                    \
        VEC_EACH(f)                                                                                \
        return r;                                                                                  \
    }
#define VEC_LIFT2(name, f)                                                                         \
    SY_INLINE v16f name(v16f a, v16f b)                                                            \
    {                                                                                              \
        v16f r;                                                                                    \
        VEC_EACH(f)                                                                                \
        return r;                                                                                  \
    }
#define VEC_LIFT3(name, f)                                                                         \
    SY_INLINE v16f name(v16f a, v16f b, v16f c)                                                    \
    {                                                                                              \
        v16f r;                                                                                    \
        VEC_EACH(f)                                                                                \
        return r;                                                                                  \
    }
#define VEC_ADD(i) r.p[i] = a.p[i] + b.p[i];
#define VEC_SUB(i) r.p[i] = a.p[i] - b.p[i];
#define VEC_MUL(i) r.p[i] = a.p[i] * b.p[i];
#define VEC_DIV(i) r.p[i] = a.p[i] / b.p[i];
#define VEC_MAX(i) r.p[i] = vf_max(a.p[i], b.p[i]);
#define VEC_MIN(i) r.p[i] = vf_min(a.p[i], b.p[i]);
#define VEC_MAXN(i) r.p[i] = vf_maxn(a.p[i], b.p[i]);
#define VEC_MINN(i) r.p[i] = vf_minn(a.p[i], b.p[i]);
#define VEC_SQRT(i) r.p[i] = vf_sqrt(a.p[i]);
#define VEC_ABS(i) r.p[i] = vf_abs(a.p[i]);
#define VEC_NEG(i) r.p[i] = vf_neg(a.p[i]);
#define VEC_MULADD(i) r.p[i] = a.p[i] * b.p[i] + c.p[i];
VEC_LIFT2(v16_add, VEC_ADD)
VEC_LIFT2(v16_sub, VEC_SUB)
VEC_LIFT2(v16_mul, VEC_MUL)
VEC_LIFT2(v16_div, VEC_DIV)
VEC_LIFT2(v16_max, VEC_MAX)
VEC_LIFT2(v16_min, VEC_MIN)
VEC_LIFT2(v16_maxn, VEC_MAXN)
VEC_LIFT2(v16_minn, VEC_MINN)
VEC_LIFT1(v16_sqrt, VEC_SQRT)
VEC_LIFT1(v16_abs, VEC_ABS)
VEC_LIFT1(v16_neg, VEC_NEG)
VEC_LIFT3(v16_muladd, VEC_MULADD) /* a * b, rounded, + c */

SY_INLINE v16f v16_set1(float x)
{
    v16f r;
#define VEC_SET(i) r.p[i] = vf_set1(x);
    VEC_EACH(VEC_SET)
#undef VEC_SET
    return r;
}
SY_INLINE v16f v16_zero(void)
{
    return v16_set1(0.0f);
}

SY_INLINE v16f v16_load(const float *p)
{
    v16f r;
#define VEC_LD(i) r.p[i] = vf_load(p + (i)*SY_W);
    VEC_EACH(VEC_LD)
#undef VEC_LD
    return r;
}

SY_INLINE void v16_store(float *p, v16f a)
{
#define VEC_ST(i) vf_store(p + (i)*SY_W, a.p[i]);
    VEC_EACH(VEC_ST)
#undef VEC_ST
}

/* The first n of 16 lanes, the others `fill` (the neutral value of what follows). */
SY_INLINE v16f v16_load_part(const float *p, int64_t n, float fill)
{
    v16f r;
#define VEC_LD(i) r.p[i] = vf_load_part(p + (i)*SY_W, n - (i)*SY_W, fill);
    VEC_EACH(VEC_LD)
#undef VEC_LD
    return r;
}

SY_INLINE void v16_store_part(float *p, int64_t n, v16f a)
{
#define VEC_ST(i) vf_store_part(p + (i)*SY_W, n - (i)*SY_W, a.p[i]);
    VEC_EACH(VEC_ST)
#undef VEC_ST
}

/* Lanes < n from a, the others from b. */
SY_INLINE v16f v16_first(int64_t n, v16f a, v16f b)
{
#if defined(SY_VEC_AVX512)
    b.p[0] = vf_sel((vm)(n >= 16 ? 0xffff : n > 0 ? (1u << n) - 1 : 0), a.p[0], b.p[0]);
    return b;
#else
    float t[16];
    v16_store(t, b);
    v16_store_part(t, n, a);
    return v16_load(t);
#endif
}

/* The four vectors of four lanes that the tree's first steps leave: lane j op lane j+8, then op
 * j+4. */
#define VEC_FOLD(name, op)                                                                         \
    SY_INLINE float name(v16f a)                                                                   \
    {                                                                                              \
        float t[16];                                                                               \
        v16_store(t, a);                                                                           \
        for (int h = 8; h > 0; h /= 2)                                                             \
            for (int j = 0; j < h; j++)                                                            \
                t[j] = op(t[j], t[j + h]);                                                         \
        return t[0];                                                                               \
    }

#if defined(__SSE2__)
#if defined(SY_VEC_AVX512)
#define VEC_FOLD4(op)                                                                              \
    __m256 l = _mm512_castps512_ps256((__m512)a.p[0]);                                             \
    __m256 h = _mm512_extractf32x8_ps((__m512)a.p[0], 1);                                          \
    __m128 x = op(op(_mm256_castps256_ps128(l), _mm256_castps256_ps128(h)),                        \
                  op(_mm256_extractf128_ps(l, 1), _mm256_extractf128_ps(h, 1)));
#elif defined(SY_VEC_AVX2)
#define VEC_FOLD4(op)                                                                              \
    __m256 l = (__m256)a.p[0], h = (__m256)a.p[1];                                                 \
    __m128 x = op(op(_mm256_castps256_ps128(l), _mm256_castps256_ps128(h)),                        \
                  op(_mm256_extractf128_ps(l, 1), _mm256_extractf128_ps(h, 1)));
#else
#define VEC_FOLD4(op)                                                                              \
    __m128 x = op(op((__m128)a.p[0], (__m128)a.p[2]), op((__m128)a.p[1], (__m128)a.p[3]));
#endif
#undef VEC_FOLD
#define VEC_FOLD(name, op)                                                                         \
    SY_INLINE float name(v16f a)                                                                   \
    {                                                                                              \
        VEC_FOLD4(op)                                                                              \
        x = op(x, _mm_movehl_ps(x, x));                                                            \
        x = op(x, _mm_shuffle_ps(x, x, 1));                                                        \
        return _mm_cvtss_f32(x);                                                                   \
    }
VEC_FOLD(v16_sum, _mm_add_ps)
VEC_FOLD(v16_hmax, _mm_max_ps) /* a lane's NaN may get lost: see v16_any_nan */
VEC_FOLD(v16_hmin, _mm_min_ps)
#else
#define VEC_FADD(a, b) ((a) + (b))
#define VEC_FMAX(a, b) ((a) > (b) ? (a) : (b))
#define VEC_FMIN(a, b) ((a) < (b) ? (a) : (b))
VEC_FOLD(v16_sum, VEC_FADD)
VEC_FOLD(v16_hmax, VEC_FMAX)
VEC_FOLD(v16_hmin, VEC_FMIN)
#endif

SY_INLINE bool v16_any_nan(v16f a)
{
    uint32_t any = 0;
#define VEC_NAN(i) any |= vm_mask(vf_isnan(a.p[i]));
    VEC_EACH(VEC_NAN)
#undef VEC_NAN
    return any != 0;
}

#endif
