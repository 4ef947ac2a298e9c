/* Inside cpu/avx512: packing with the operand's own vectors.
 *
 * Before including, define
 *     KSTEP                 values of k in a lane: 1, or 2 for bf16 pairs
 *     CONVERT(v)            for KSTEP 1: what becomes of 16 loaded floats
 *     JOIN(even, odd)       for KSTEP 2: 16 lanes of pairs from the vectors of two stored k rows
 *     NARROW(low, high)     for KSTEP 2: 16 lanes of pairs from 32 neighbouring floats
 * Stored rows along k are copied a vector at a time, in groups of 8 steps so that reading goes along
 * the stored rows; stored rows along the lanes are transposed in registers, 16 x 16 lanes.
 */
#ifndef SY_CPU_PACK512_H
#define SY_CPU_PACK512_H

#include "cpu/gemm_int.h"

#include <immintrin.h>

static __mmask16 mask_of(int64_t n)
{
    return n >= 16 ? (__mmask16)0xffff : n <= 0 ? (__mmask16)0 : (__mmask16)((1u << n) - 1);
}

/* 16 lanes of one step, k rows already resolved. */
static inline __attribute__((always_inline)) __m512i copy_lanes(const float *even, const float *odd,
                                                                __mmask16 m)
{
    __m512 e = _mm512_maskz_loadu_ps(m, even);
#if KSTEP == 1
    (void)odd;
    return _mm512_castps_si512(CONVERT(e));
#else
    __m512 o = odd ? _mm512_maskz_loadu_ps(m, odd) : _mm512_setzero_ps();
    return JOIN(e, o);
#endif
}

static void pack_copy(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    enum { GROUP = 8 };
    const int64_t kl = (s->kc + KSTEP - 1) / KSTEP;
    for (int64_t k = 0; k < kl; k += GROUP) {
        const int n = (int)(kl - k < GROUP ? kl - k : GROUP);
        const float *row[GROUP][2];
        for (int g = 0; g < n; g++) {
            int64_t kk = (k + g) * KSTEP;
            row[g][0] = sy__mat_row(s->mat, s->k0 + kk) + s->p0;
            row[g][1] = KSTEP == 2 && kk + 1 < s->kc ? sy__mat_row(s->mat, s->k0 + kk + 1) + s->p0
                                                     : NULL;
        }
        uint32_t *out = dst + k * width;
        for (int64_t p = 0; p < s->np; p += step, out += kl * width) {
            int64_t used = s->np - p < step ? s->np - p : step;
            for (int v = 0; v < width; v += 16) {
                __mmask16 m = mask_of(used - v);
                for (int g = 0; g < n; g++) {
                    const float *odd = row[g][1] ? row[g][1] + p + v : NULL;
                    _mm512_store_si512(out + g * width + v,
                                       copy_lanes(row[g][0] + p + v, odd, m));
                }
            }
        }
    }
}

/* r[i] = 16 lanes of steps k.. of one stored row; afterwards r[j] = step j of 16 stored rows. */
static inline __attribute__((always_inline)) void transpose16(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Up to 16 lanes from a stored row at k; n floats of it exist. */
static inline __attribute__((always_inline)) __m512i row_lanes(const float *x, int64_t n)
{
#if KSTEP == 1
    return _mm512_castps_si512(CONVERT(_mm512_maskz_loadu_ps(mask_of(n), x)));
#else
    __m512 low = _mm512_maskz_loadu_ps(mask_of(n), x);
    __m512 high = _mm512_maskz_loadu_ps(mask_of(n - 16), x + 16);
    return NARROW(low, high);
#endif
}

static inline __attribute__((always_inline)) void
transpose_block(uint32_t *out, int width, const float *const *row, int rows, int64_t k, int64_t n)
{
    __m512i r[16];
    if (rows == 16 && n >= 16 * KSTEP) {
        for (int i = 0; i < 16; i++)
            r[i] = row_lanes(row[i] + k, 16 * KSTEP);
    } else {
        for (int i = 0; i < 16; i++)
            r[i] = i < rows ? row_lanes(row[i] + k, n) : _mm512_setzero_si512();
    }
    transpose16(r);
    const int64_t steps = (n + KSTEP - 1) / KSTEP;
    if (steps >= 16) {
        for (int i = 0; i < 16; i++)
            _mm512_store_si512(out + i * width, r[i]);
        return;
    }
    for (int i = 0; i < 16; i++)
        if (i < steps)
            _mm512_store_si512(out + i * width, r[i]);
}

static void pack_transpose(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    const int64_t kl = (s->kc + KSTEP - 1) / KSTEP;
    for (int64_t p = 0; p < s->np; p += step, dst += kl * width) {
        int64_t used = s->np - p < step ? s->np - p : step;
        for (int v = 0; v < width; v += 16) {
            const float *row[16];
            int rows = (int)(used - v < 0 ? 0 : used - v > 16 ? 16 : used - v);
            for (int i = 0; i < rows; i++)
                row[i] = sy__mat_row(s->mat, s->p0 + p + v + i) + s->k0;
            for (int64_t k = 0; k < kl; k += 16)
                transpose_block(dst + k * width + v, width, row, rows, k * KSTEP,
                                s->kc - k * KSTEP);
        }
    }
}

static void pack_any(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    if (s->along_k)
        pack_copy(dst, width, step, s);
    else
        pack_transpose(dst, width, step, s);
}

#endif
