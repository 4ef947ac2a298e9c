/* Inside cpu/avx512: packing with the operand's own vectors.
 *
 * Before including, define
 *     KSTEP                 values of k in a lane: 1, or 2 for bf16 pairs
 *     CONVERT(v)            for KSTEP 1: what becomes of 16 loaded floats
 *     JOIN(even, odd)       for KSTEP 2: 16 lanes of pairs from the vectors of two stored k rows
 *     NARROW(low, high)     for KSTEP 2: 16 lanes of pairs from 32 neighbouring floats
 * Stored rows along k are copied a vector at a time, in groups of 8 steps so that reading goes
 * along the stored rows; stored rows along the lanes are transposed in registers, 16 x 16 lanes.
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

enum { GROUP = 8 };

/* n steps of one panel. */
static inline __attribute__((always_inline)) void
copy_group(uint32_t *out, const int width, const float *const (*row)[2], int64_t p, int64_t used,
           const int n)
{
    const __mmask16 m0 = mask_of(used), m1 = mask_of(used - 16);
    for (int g = 0; g < n; g++) {
        const float *even = row[g][0] + p, *odd = row[g][1] ? row[g][1] + p : NULL;
        _mm512_store_si512(out + g * width, copy_lanes(even, odd, m0));
        if (width > 16)
            _mm512_store_si512(out + g * width + 16,
                               copy_lanes(even + 16, odd ? odd + 16 : NULL, m1));
    }
}

/* The panels of a group of n steps, kl steps apart. */
static inline __attribute__((always_inline)) void
copy_panels(uint32_t *out, const int width, const float *const (*row)[2], int step, int64_t np,
            int64_t kl, const int n)
{
    for (int64_t p = 0; p < np; p += step, out += kl * width)
        copy_group(out, width, row, p, np - p < step ? np - p : step, n);
}

static inline __attribute__((always_inline)) void
copy_width(uint32_t *dst, const int width, int step, const struct sy__strip *s)
{
    const int64_t kl = (s->kc + KSTEP - 1) / KSTEP;
    for (int64_t k = 0; k < kl; k += GROUP) {
        const int n = (int)(kl - k < GROUP ? kl - k : GROUP);
        const float *row[GROUP][2];
        for (int g = 0; g < n; g++) {
            const int64_t kk = (k + g) * KSTEP;
            const bool pair = KSTEP == 2 && kk + 1 < s->kc;
            row[g][0] = sy__mat_row(s->mat, s->k0 + kk) + s->p0;
            row[g][1] = pair ? sy__mat_row(s->mat, s->k0 + kk + 1) + s->p0 : NULL;
        }
        if (n == GROUP && (KSTEP == 1 || row[n - 1][1]))
            copy_panels(dst + k * width, width, (const float *const(*)[2])row, step, s->np, kl,
                        GROUP);
        else
            copy_panels(dst + k * width, width, (const float *const(*)[2])row, step, s->np, kl, n);
    }
}

static void pack_copy(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    if (width == 16)
        copy_width(dst, 16, step, s);
    else
        copy_width(dst, 32, step, s);
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

/* n floats of k of 16 stored rows, from row[i] + k on. */
static inline __attribute__((always_inline)) void
transpose_block(uint32_t *out, const int width, const float *const *row, int64_t k, int64_t n)
{
    __m512i r[16];
    for (int i = 0; i < 16; i++)
        r[i] = row_lanes(row[i] + k, n);
    transpose16(r);
    if (n >= 16 * KSTEP) {
        for (int i = 0; i < 16; i++)
            _mm512_store_si512(out + i * width, r[i]);
        return;
    }
    for (int i = 0; i < 16; i++)
        if (i * KSTEP < n)
            _mm512_store_si512(out + i * width, r[i]);
}

/* 16 lanes of a panel; where fewer rows exist, the last one stands in for the others. */
static inline __attribute__((always_inline)) void
transpose_lanes(uint32_t *out, const int width, const struct sy__strip *s, int64_t p, int64_t rows)
{
    const float *row[16];
    for (int64_t i = 0; i < 16; i++)
        row[i] = sy__mat_row(s->mat, s->p0 + p + (i < rows ? i : rows - 1)) + s->k0;
    int64_t k = 0;
    for (; k + 16 * KSTEP <= s->kc; k += 16 * KSTEP, out += 16 * width)
        transpose_block(out, width, row, k, 16 * KSTEP);
    if (k < s->kc)
        transpose_block(out, width, row, k, s->kc - k);
}

static void pack_transpose(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    const int64_t kl = (s->kc + KSTEP - 1) / KSTEP;
    for (int64_t p = 0; p < s->np; p += step, dst += kl * width) {
        const int64_t used = s->np - p < step ? s->np - p : step;
        if (width == 16) {
            transpose_lanes(dst, 16, s, p, used);
            continue;
        }
        transpose_lanes(dst, 32, s, p, used);
        if (used > 16)
            transpose_lanes(dst + 16, 32, s, p + 16, used - 16);
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
