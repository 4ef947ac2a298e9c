/* Philox4x32-10 (Salmon et al. 2011) on native vectors: 16 blocks at a time, word-major.
 *
 * Key: the seed.  Counter: block number, purpose, step low, step high.  (A stream of its own beside
 * sy_rng_block: there a caller draws word by word, here 64 words belong to one group.) */
#ifndef SY_CPU_KERN_PHILOX_H
#define SY_CPU_KERN_PHILOX_H

#include "base/rng.h"
#include "cpu/kern/vec.h"

/* Low and high halves of the 64-bit products of unsigned lanes. */
SY_INLINE vi philox_mul(vi a, uint32_t m, vi *hi)
{
    const vi k = vi_set1((int32_t)m);
#if defined(SY_VEC_AVX512)
    __m512i even = _mm512_mul_epu32((__m512i)a, (__m512i)k);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), (__m512i)k);
    *hi = (vi)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
    return (vi)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
#elif defined(SY_VEC_AVX2)
    __m256i even = _mm256_mul_epu32((__m256i)a, (__m256i)k);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), (__m256i)k);
    *hi = (vi)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    return (vi)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
#elif defined(SY_VEC_SSE2)
    const __m128i low = _mm_set_epi32(0, -1, 0, -1);
    __m128i even = _mm_mul_epu32((__m128i)a, (__m128i)k);
    __m128i odd = _mm_mul_epu32(_mm_srli_epi64((__m128i)a, 32), (__m128i)k);
    *hi = (vi)_mm_or_si128(_mm_srli_epi64(even, 32), _mm_andnot_si128(low, odd));
    return (vi)_mm_or_si128(_mm_and_si128(low, even), _mm_slli_epi64(odd, 32));
#else
    vi lo;
    for (int j = 0; j < SY_W; j++) {
        uint64_t p = (uint64_t)(uint32_t)a[j] * (uint32_t)k[j];
        lo[j] = (int32_t)(uint32_t)p;
        (*hi)[j] = (int32_t)(uint32_t)(p >> 32);
    }
    return lo;
#endif
}

/* w[16 * word + j]: word of block 16 * group + j. */
SY_INLINE void philox_words(const struct sy_rng *r, uint64_t group, int32_t w[64])
{
    for (int part = 0; part < 16; part += SY_W) {
        vi c0, c1 = vi_set1((int32_t)r->purpose), hi0, hi1;
        vi c2 = vi_set1((int32_t)(uint32_t)r->step);
        vi c3 = vi_set1((int32_t)(uint32_t)(r->step >> 32));
        for (int j = 0; j < SY_W; j++)
            c0[j] = (int32_t)((uint32_t)group * 16 + (uint32_t)(part + j));
        uint32_t k0 = (uint32_t)r->seed, k1 = (uint32_t)(r->seed >> 32);
        for (int round = 0; round < 10; round++) {
            vi lo0 = philox_mul(c0, 0xD2511F53u, &hi0);
            vi lo1 = philox_mul(c2, 0xCD9E8D57u, &hi1);
            c0 = hi1 ^ c1 ^ (int32_t)k0;
            c2 = hi0 ^ c3 ^ (int32_t)k1;
            c1 = lo1;
            c3 = lo0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        vi_store(w + part, c0);
        vi_store(w + 16 + part, c1);
        vi_store(w + 32 + part, c2);
        vi_store(w + 48 + part, c3);
    }
}

#endif
