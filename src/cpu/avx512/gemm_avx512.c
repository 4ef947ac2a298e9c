/* Matrix product, AVX-512 set: fp32 (and bf16 as rounded fp32 where the CPU has no dot products).
 * The tile is in tile512.h, packing in pack512.h.
 */
#include "cpu/avx512/gemm512.h"

#define MAC(acc, a, b) _mm512_fmadd_ps(a, b, acc)
#include "cpu/avx512/tile512.h"

#define KSTEP 1
#define CONVERT(v) (v)
#include "cpu/avx512/pack512.h"

void sy__pack512_fp32(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    pack_any(dst, width, step, s);
}

void sy__tile512_fp32(int64_t kl, const uint32_t *a, const uint32_t *b, float *c, int64_t ldc,
                      int mr, int nc, bool load, const struct sy__fetch *fetch)
{
    tile_any(kl, a, b, c, ldc, mr, nc, load, fetch);
}

double sy__peak512_fp32(int64_t rounds)
{
    const __m512 x = _mm512_set1_ps(0.999f);
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
    return MR * 32.0 * (double)rounds;
}
