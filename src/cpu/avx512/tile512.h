/* Inside cpu/avx512: the 14 x 32 tile, shared by fp32 and bf16 dot products.
 *
 * Before including, define MAC(acc, a, b), the vector operation of one step.  28 accumulators, two
 * vectors of B and one broadcast element of A fill the 32 registers; a row of A costs one broadcast
 * load, which the load units do without an arithmetic slot.  Heights 1..14 and widths of one or two
 * vectors are separate functions, so that an edge costs what it computes; the last vector is always
 * masked on its way from and to C.
 */
#ifndef SY_CPU_TILE512_H
#define SY_CPU_TILE512_H

#include "cpu/gemm_int.h"

#include <immintrin.h>

enum { MR = 14, AW = 16, NR = 32 };

#define ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)

#define ROW_LOAD(i)                                                                                \
    __m512 c##i##0 = _mm512_setzero_ps(), c##i##1 = c##i##0;                                       \
    if (load && mr > i) {                                                                          \
        c##i##0 = two ? _mm512_loadu_ps(c + i * ldc) : _mm512_maskz_loadu_ps(m, c + i * ldc);      \
        if (two)                                                                                   \
            c##i##1 = _mm512_maskz_loadu_ps(m, c + i * ldc + 16);                                  \
    }
#define ROW_MAC(i)                                                                                 \
    if (mr > i) {                                                                                  \
        __m512 x = _mm512_set1_ps(af[i]);                                                          \
        c##i##0 = MAC(c##i##0, x, b0);                                                             \
        if (two)                                                                                   \
            c##i##1 = MAC(c##i##1, x, b1);                                                         \
    }
#define ROW_STORE(i)                                                                               \
    if (mr > i) {                                                                                  \
        if (two) {                                                                                 \
            _mm512_storeu_ps(c + i * ldc, c##i##0);                                                \
            _mm512_mask_storeu_ps(c + i * ldc + 16, m, c##i##1);                                   \
        } else {                                                                                   \
            _mm512_mask_storeu_ps(c + i * ldc, m, c##i##0);                                        \
        }                                                                                          \
    }

static inline __attribute__((always_inline)) void tile(const int mr, const bool two, int64_t kl,
                                                       const float *af, const float *bf, float *c,
                                                       int64_t ldc, __mmask16 m, bool load,
                                                       const struct sy__fetch *fetch)
{
    const char *write = fetch ? (const char *)fetch->c : NULL;
    const char *written = fetch ? (const char *)(fetch->c + fetch->c_rows * ldc) : NULL;
    const char *read = fetch ? fetch->run[0].at : (const char *)bf;
    const char *end = fetch ? fetch->run[0].end : NULL;
    int run = 0;
    ROWS(ROW_LOAD)
    for (int64_t k = 0; k < kl; k++, af += AW, bf += NR) {
        if (write < written) {
            _mm_prefetch(write, _MM_HINT_T1);
            _mm_prefetch(write + 64, _MM_HINT_T1);
            write += ldc * (int64_t)sizeof *c;
        }
        _mm_prefetch(read, _MM_HINT_T1);
        read += 64;
        if (read == end) {
            run++;
            read = fetch->run[run].at;
            end = fetch->run[run].end;
        }
        __m512 b0 = _mm512_load_ps(bf), b1 = two ? _mm512_load_ps(bf + 16) : b0;
        ROWS(ROW_MAC)
        (void)b1;
    }
    ROWS(ROW_STORE)
}

typedef void (*tile_fn)(int64_t kl, const float *a, const float *b, float *c, int64_t ldc,
                        __mmask16 m, bool load, const struct sy__fetch *fetch);

#define TILE_FN(mr, two, name)                                                                     \
    static void name(int64_t kl, const float *a, const float *b, float *c, int64_t ldc,           \
                     __mmask16 m, bool load, const struct sy__fetch *fetch)                        \
    {                                                                                              \
        tile(mr, two, kl, a, b, c, ldc, m, load, fetch);                                           \
    }
#define TILE_PAIR(i)                                                                               \
    TILE_FN(i + 1, false, tile_##i##_1)                                                            \
    TILE_FN(i + 1, true, tile_##i##_2)
ROWS(TILE_PAIR)

#define TILE_ROW(i) {tile_##i##_1, tile_##i##_2},
static const tile_fn tiles[MR][2] = {ROWS(TILE_ROW)};

static void tile_any(int64_t kl, const uint32_t *a, const uint32_t *b, float *c, int64_t ldc,
                     int mr, int nc, bool load, const struct sy__fetch *fetch)
{
    int last = nc > 16 ? nc - 16 : nc;
    tiles[mr - 1][nc > 16](kl, (const float *)a, (const float *)b, c, ldc,
                           (__mmask16)((1u << last) - 1), load, fetch);
}

#endif
