/* Matrix product, reference set: the specification in plain C (see cpu/gemm_int.h).
 *
 * fmaf() is the fused multiply-add of the C library, in hardware where the CPU has it, so the bits
 * are those of the other sets.
 */
#include "cpu/gemm_int.h"

#include "base/float_bits.h"

#include <math.h>
#include <string.h>

enum { MR = 4, NR = 32 };

static uint32_t load_bits(const float *x, bool bf16)
{
    return bf16 ? sy__bf16_bits(sy_bits_of(*x)) : sy_bits_of(*x);
}

static void pack(uint32_t *dst, int width, int step, const struct sy__strip *s, bool bf16)
{
    for (int64_t p = 0; p < s->np; p += step) {
        int64_t used = s->np - p < step ? s->np - p : step;
        for (int64_t k = 0; k < s->kc; k++, dst += width) {
            for (int64_t i = 0; i < width; i++) {
                int64_t lane = s->p0 + p + i, kk = s->k0 + k;
                dst[i] = i >= used    ? 0
                         : s->along_k ? load_bits(sy__mat_row(s->mat, kk) + lane, bf16)
                                      : load_bits(sy__mat_row(s->mat, lane) + kk, bf16);
            }
        }
    }
}

static void pack_fp32(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    pack(dst, width, step, s, false);
}

static void pack_bf16(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    pack(dst, width, step, s, true);
}

static void tile(int64_t kl, const uint32_t *a, const uint32_t *b, float *c, int64_t ldc, int mr,
                 int nc, bool load, const struct sy__fetch *fetch)
{
    (void)fetch;
    for (int i = 0; i < mr; i++) {
        float acc[NR];
        for (int j = 0; j < NR; j++)
            acc[j] = load && j < nc ? c[i * ldc + j] : 0.0f;
        for (int64_t k = 0; k < kl; k++) {
            float x, y[NR];
            memcpy(&x, a + k * MR + i, sizeof x);
            memcpy(y, b + k * NR, sizeof y);
            for (int j = 0; j < nc; j++)
                acc[j] = fmaf(x, y[j], acc[j]);
        }
        for (int j = 0; j < nc; j++)
            c[i * ldc + j] = acc[j];
    }
}

static double peak(int64_t rounds)
{
    float acc[16] = {0};
    volatile float sink, one = 0.999f;
    float x = one;
    for (int64_t r = 0; r < rounds; r++)
        for (int j = 0; j < 16; j++)
            acc[j] = fmaf(acc[j], x, x);
    for (int j = 0; j < 16; j++)
        sink = acc[j];
    (void)sink;
    return 32.0 * (double)rounds;
}

const struct sy_gemm_kernels sy__gemm_ref = {
    .mr = MR, .aw = MR, .nr = NR, .pairs = false,
    .pack = {pack_fp32, pack_bf16},
    .tile = {tile, tile},
    .peak = {peak, peak},
};
