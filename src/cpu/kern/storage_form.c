/* Decoding of storage forms (cpu/storage_form.h), compiled for every instruction set.  All
 * in integers and exact products, so that the bits are the same everywhere (of a NaN too). */
#include "cpu/storage_form.h"

#include "base/float_bits.h"
#include "cpu/kern/isa.h"
#include "cpu/kern/vec.h"

#include <string.h>

enum { BLOCK = 32 };

static inline uint16_t half_at(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}

/* ---- a vector of small integers ---- */

SY_INLINE vi load_u16(const unsigned char *p)
{
#if defined(SY_VEC_AVX512)
    return (vi)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)(const void *)p));
#elif defined(SY_VEC_AVX2)
    return (vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)(const void *)p));
#else
    int32_t v[SY_W];
    for (int i = 0; i < SY_W; i++)
        v[i] = half_at(p + 2 * i);
    return vi_load(v);
#endif
}

SY_INLINE vi load_i8(const unsigned char *p)
{
#if defined(SY_VEC_AVX512)
    return (vi)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u *)(const void *)p));
#elif defined(SY_VEC_AVX2)
    return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i_u *)(const void *)p));
#else
    int32_t v[SY_W];
    for (int i = 0; i < SY_W; i++)
        v[i] = (int8_t)p[i];
    return vi_load(v);
#endif
}

/* ---- halves ---- */

/* A normal number changes its bias, and infinity and NaN change it twice; a subnormal one becomes
 * 2^-14 + itself, from which 2^-14 is taken. */
SY_INLINE vf from_f16(vi h)
{
    const vi rebias = vi_set1((127 - 15) << 23), mag = (h & vi_set1(0x7fff)) << 13;
    const vf small = vi_bits(mag + vi_set1(113 << 23)) - vf_set1(0x1p-14f);
    const vm finite = vi_lt(mag, vi_set1(31 << 23));
    const vi bits = mag + rebias + vi_sel(finite, vi_set1(0), rebias);
    const vi value = vi_sel(vi_lt(mag, vi_set1(1 << 23)), vf_bits(small), bits);
    return vi_bits(value | (h & vi_set1(0x8000)) << 16);
}

static void decode_f32(float *dst, const unsigned char *data, const unsigned char *beside,
                       int64_t n)
{
    (void)beside;
    memcpy(dst, data, (size_t)n * sizeof *dst);
}

static void decode_bf16(float *dst, const unsigned char *data, const unsigned char *beside,
                        int64_t n)
{
    int64_t i = 0;
    (void)beside;
    for (; i + SY_W <= n; i += SY_W)
        vf_store(dst + i, vi_bits(load_u16(data + 2 * i) << 16));
    for (; i < n; i++)
        dst[i] = sy_float_of_bf16(half_at(data + 2 * i));
}

/* As many of them as a vector has. */
SY_INLINE vf load_f16(const unsigned char *p)
{
#if defined(SY_VEC_AVX512)
    /* the CPU's conversion makes NaN quiet: those keep their bits by the other way */
    const __m256i h = _mm256_loadu_si256((const __m256i_u *)(const void *)p);
    const __m256i mag = _mm256_and_si256(h, _mm256_set1_epi16(0x7fff));
    if (__builtin_expect(_mm256_cmpgt_epi16_mask(mag, _mm256_set1_epi16(0x7c00)) == 0, 1))
        return (vf)_mm512_cvtph_ps(h);
#endif
    return from_f16(load_u16(p));
}

static void decode_f16(float *dst, const unsigned char *data, const unsigned char *beside,
                       int64_t n)
{
    int64_t i = 0;
    (void)beside;
    for (; i + SY_W <= n; i += SY_W)
        vf_store(dst + i, load_f16(data + 2 * i));
    for (; i < n; i++)
        dst[i] = sy_float_of_half(half_at(data + 2 * i));
}

/* ---- blocks ---- */

static void decode_q8_0(float *dst, const unsigned char *data, const unsigned char *beside,
                        int64_t blocks)
{
    (void)beside;
    for (int64_t b = 0; b < blocks; b++, data += 2 + BLOCK, dst += BLOCK) {
        const vf d = vf_set1(sy_float_of_half(half_at(data)));
        for (int i = 0; i < BLOCK; i += SY_W)
            vf_store(dst + i, d * vi_to_float(load_i8(data + 2 + i)));
    }
}

/* Twice the values of codes 0..15, 8 and above with the sign: 0 1 2 3 4 6 8 12. */
SY_INLINE vf e2m1_doubled(vi code)
{
#if defined(SY_VEC_AVX512)
    const __m512 table = _mm512_setr_ps(0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 6.0f, 8.0f, 12.0f, -0.0f,
                                        -1.0f, -2.0f, -3.0f, -4.0f, -6.0f, -8.0f, -12.0f);
    return (vf)_mm512_permutexvar_ps((__m512i)code, table);
#elif defined(SY_VEC_AVX2)
    const __m256 table = _mm256_setr_ps(0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 6.0f, 8.0f, 12.0f);
    const vf mag = (vf)_mm256_permutevar8x32_ps(table, (__m256i)code);
    return vi_bits(vf_bits(mag) | (code & vi_set1(8)) << 28);
#else
    static const float table[16] = {0.0f,  1.0f,  2.0f,  3.0f,  4.0f,  6.0f,  8.0f,  12.0f,
                                    -0.0f, -1.0f, -2.0f, -3.0f, -4.0f, -6.0f, -8.0f, -12.0f};
    vf v;
    for (int i = 0; i < SY_W; i++)
        v[i] = table[code[i]];
    return v;
#endif
}

/* Half of 2^(e - 127): 2^-128 and 2^-127 are subnormal. */
static float half_scale(unsigned char e)
{
    return sy_float_of(e == 255 ? 0x7fc00000 : e > 1 ? (uint32_t)(e - 1) << 23 : 0x200000u << e);
}

/* Two codes a byte, the low nibble's first. */
static void split_nibbles(unsigned char *code, const unsigned char *data)
{
#if defined(__SSE2__)
    const __m128i all = _mm_loadu_si128((const __m128i_u *)(const void *)data);
    const __m128i mask = _mm_set1_epi8(15), low = _mm_and_si128(all, mask);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(all, 4), mask);
    _mm_storeu_si128((__m128i_u *)(void *)code, _mm_unpacklo_epi8(low, high));
    _mm_storeu_si128((__m128i_u *)(void *)(code + 16), _mm_unpackhi_epi8(low, high));
#else
    for (int i = 0; i < BLOCK / 2; i++)
        code[2 * i] = data[i] & 15, code[2 * i + 1] = data[i] >> 4;
#endif
}

static void decode_mxfp4(float *dst, const unsigned char *data, const unsigned char *beside,
                         int64_t blocks)
{
    for (int64_t b = 0; b < blocks; b++, data += BLOCK / 2, dst += BLOCK) {
        const vf d = vf_set1(half_scale(beside[b]));
        unsigned char code[BLOCK];
        split_nibbles(code, data);
        for (int i = 0; i < BLOCK; i += SY_W)
            vf_store(dst + i, d * e2m1_doubled(load_i8(code + i)));
    }
}

const struct sy_form_kernels SY_KERN(sy__form) = {{
    [SY_FORM_F32] = decode_f32,
    [SY_FORM_BF16] = decode_bf16,
    [SY_FORM_F16] = decode_f16,
    [SY_FORM_Q8_0] = decode_q8_0,
    [SY_FORM_MXFP4] = decode_mxfp4,
}};
