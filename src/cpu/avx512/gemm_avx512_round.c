/* Matrix product, AVX-512 set without dot products: bf16 by rounding at packing. */
#include "cpu/avx512/gemm512.h"

#include <immintrin.h>

/* sy__bf16_bits on 16 lanes. */
static inline __m512 round_bf16(__m512 v)
{
    const __m512i u = _mm512_castps_si512(v), top = _mm512_set1_epi32((int)0xffff0000u);
    __m512i mag = _mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff));
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmpgt_epi32_mask(mag, _mm512_set1_epi32(0x7f800000));
    __mmask16 tiny = _mm512_cmplt_epi32_mask(mag, _mm512_set1_epi32(0x00800000));
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x00400000));
    r = _mm512_mask_and_epi32(r, tiny, u, _mm512_set1_epi32((int)0x80000000u));
    return _mm512_castsi512_ps(_mm512_and_si512(r, top));
}

#define KSTEP 1
#define CONVERT(v) round_bf16(v)
#include "cpu/avx512/pack512.h"

void sy__pack512_round(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    pack_any(dst, width, step, s);
}

const struct sy_gemm_kernels sy__gemm_avx512 = {
    .mr = 14, .aw = 16, .nr = 32, .pairs = false,
    .pack = {sy__pack512_fp32, sy__pack512_round},
    .tile = {sy__tile512_fp32, sy__tile512_fp32},
    .peak = {sy__peak512_fp32, sy__peak512_fp32},
};
