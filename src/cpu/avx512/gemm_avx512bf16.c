/* Matrix product, AVX-512 set with bf16 dot products: two products a lane and step.
 * Built with -mavx512bf16; chosen when the CPU has it.
 */
#include "cpu/avx512/gemm512.h"

#include <immintrin.h>

#define MAC(acc, a, b)                                                                             \
    _mm512_dpbf16_ps(acc, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b))
#include "cpu/avx512/tile512.h"

/* Word i of a lane pair comes from `even` (words 0..15) and `odd` (words 16..31) in turn. */
static inline __m512i join(__m512 even, __m512 odd)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

#define KSTEP 2
#define JOIN(even, odd) join(even, odd)
#define NARROW(low, high) (__m512i)_mm512_cvtne2ps_pbh(high, low)
#include "cpu/avx512/pack512.h"

static double peak(int64_t rounds)
{
    const __m512 x = _mm512_castsi512_ps(
        (__m512i)_mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f)));
#define START(i) __m512 c##i = _mm512_set1_ps((float)i);
#define STEP(i) c##i = MAC(c##i, x, x);
#define TOTAL(i) sum = _mm512_add_ps(sum, c##i);
    ROWS(START)
    for (int64_t r = 0; r < rounds; r++) {
        ROWS(STEP)
    }
    __m512 sum = _mm512_setzero_ps();
    ROWS(TOTAL)
    volatile float sink = _mm512_cvtss_f32(sum);
    (void)sink;
    return MR * 64.0 * (double)rounds;
}

const struct sy_gemm_kernels sy__gemm_avx512bf16 = {
    .mr = 14, .aw = 16, .nr = 32, .pairs = true,
    .pack = {sy__pack512_fp32, pack_any},
    .tile = {sy__tile512_fp32, tile_any},
    .peak = {sy__peak512_fp32, peak},
};
