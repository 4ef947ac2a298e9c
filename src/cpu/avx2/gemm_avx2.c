/* Matrix product, AVX2 set: a 6 x 16 tile (12 accumulators, 2 vectors of B, a broadcast element of
 * A), bf16 by rounding at packing.  Heights 1..6 are separate functions; a tile with fewer than 16
 * columns goes through a full one on the stack, since masked stores are slow on many CPUs.
 */
#include "cpu/gemm_int.h"

#include <immintrin.h>
#include <string.h>

enum { MR = 6, AW = 8, NR = 16 };

#define ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define ROW_LOAD(i)                                                                                \
    __m256 c##i##0 = _mm256_setzero_ps(), c##i##1 = c##i##0;                                       \
    if (load && mr > i) {                                                                          \
        c##i##0 = _mm256_loadu_ps(c + i * ldc);                                                    \
        c##i##1 = _mm256_loadu_ps(c + i * ldc + 8);                                                \
    }
#define ROW_MAC(i)                                                                                 \
    if (mr > i) {                                                                                  \
        __m256 x = _mm256_broadcast_ss(a + i);                                                     \
        c##i##0 = _mm256_fmadd_ps(x, b0, c##i##0);                                                 \
        c##i##1 = _mm256_fmadd_ps(x, b1, c##i##1);                                                 \
    }
#define ROW_STORE(i)                                                                               \
    if (mr > i) {                                                                                  \
        _mm256_storeu_ps(c + i * ldc, c##i##0);                                                    \
        _mm256_storeu_ps(c + i * ldc + 8, c##i##1);                                                \
    }

static inline __attribute__((always_inline)) void tile(const int mr, int64_t kl, const float *a,
                                                       const float *b, float *c, int64_t ldc,
                                                       bool load, const struct sy__fetch *fetch)
{
    const char *write = fetch ? (const char *)fetch->c : NULL;
    const char *written = fetch ? (const char *)(fetch->c + fetch->c_rows * ldc) : NULL;
    const char *read = fetch ? fetch->run[0].at : (const char *)b;
    const char *end = fetch ? fetch->run[0].end : NULL;
    int run = 0;
    ROWS(ROW_LOAD)
    for (int64_t k = 0; k < kl; k++, a += AW, b += NR) {
        if (write < written) {
            _mm_prefetch(write, _MM_HINT_T0);
            write += ldc * (int64_t)sizeof *c;
        }
        _mm_prefetch(read, _MM_HINT_T1);
        read += 64;
        if (read == end) {
            run++;
            read = fetch->run[run].at;
            end = fetch->run[run].end;
        }
        __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
        ROWS(ROW_MAC)
    }
    ROWS(ROW_STORE)
}

typedef void (*tile_fn)(int64_t kl, const float *a, const float *b, float *c, int64_t ldc,
                        bool load, const struct sy__fetch *fetch);

#define TILE_FN(i)                                                                                 \
    static void tile_##i(int64_t kl, const float *a, const float *b, float *c, int64_t ldc,       \
                         bool load, const struct sy__fetch *fetch)                                 \
    {                                                                                              \
        tile(i + 1, kl, a, b, c, ldc, load, fetch);                                                \
    }
ROWS(TILE_FN)

#define TILE_ROW(i) tile_##i,
static const tile_fn tiles[MR] = {ROWS(TILE_ROW)};

static void tile_any(int64_t kl, const uint32_t *a, const uint32_t *b, float *c, int64_t ldc,
                     int mr, int nc, bool load, const struct sy__fetch *fetch)
{
    float edge[MR * NR];
    if (nc == NR) {
        tiles[mr - 1](kl, (const float *)a, (const float *)b, c, ldc, load, fetch);
        return;
    }
    memset(edge, 0, sizeof edge);
    for (int i = 0; load && i < mr; i++)
        memcpy(edge + i * NR, c + i * ldc, (size_t)nc * sizeof *c);
    tiles[mr - 1](kl, (const float *)a, (const float *)b, edge, NR, load, fetch);
    for (int i = 0; i < mr; i++)
        memcpy(c + i * ldc, edge + i * NR, (size_t)nc * sizeof *c);
}

/* sy__bf16_bits on 8 lanes. */
static inline __m256i round_bf16(__m256i u)
{
    __m256i mag = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    __m256i nan = _mm256_cmpgt_epi32(mag, _mm256_set1_epi32(0x7f800000));
    __m256i tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), mag);
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x00400000));
    __m256i sign = _mm256_and_si256(u, _mm256_set1_epi32((int)0x80000000u));
    r = _mm256_blendv_epi8(r, quiet, nan);
    r = _mm256_blendv_epi8(r, sign, tiny);
    return _mm256_and_si256(r, _mm256_set1_epi32((int)0xffff0000u));
}

/* The first n of 8 floats, the others zero. */
static inline __m256i load_lanes(const float *x, int64_t n, bool bf16)
{
    __m256i u;
    if (n >= 8) {
        u = _mm256_castps_si256(_mm256_loadu_ps(x));
    } else {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        __m256i m = _mm256_cmpgt_epi32(_mm256_set1_epi32(n > 0 ? (int)n : 0), lane);
        u = n > 0 ? _mm256_castps_si256(_mm256_maskload_ps(x, m)) : _mm256_setzero_si256();
    }
    return bf16 ? round_bf16(u) : u;
}

static inline __attribute__((always_inline)) void
pack_copy(uint32_t *dst, int width, int step, const struct sy__strip *s, const bool bf16)
{
    enum { GROUP = 8 };
    for (int64_t k = 0; k < s->kc; k += GROUP) {
        const int n = (int)(s->kc - k < GROUP ? s->kc - k : GROUP);
        const float *row[GROUP];
        for (int g = 0; g < n; g++)
            row[g] = sy__mat_row(s->mat, s->k0 + k + g) + s->p0;
        uint32_t *out = dst + k * width;
        for (int64_t p = 0; p < s->np; p += step, out += s->kc * width) {
            int64_t used = s->np - p < step ? s->np - p : step;
            for (int g = 0; g < n; g++)
                for (int v = 0; v < width; v += 8)
                    _mm256_store_si256((__m256i *)(void *)(out + g * width + v),
                                       load_lanes(row[g] + p + v, used - v, bf16));
        }
    }
}

static inline void transpose8(__m256i v[8])
{
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_castsi256_ps(v[i]);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_castps_si256(_mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        v[i + 4] = _mm256_castps_si256(_mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

static inline __attribute__((always_inline)) void
pack_transpose(uint32_t *dst, int width, int step, const struct sy__strip *s, const bool bf16)
{
    for (int64_t p = 0; p < s->np; p += step, dst += s->kc * width) {
        int64_t used = s->np - p < step ? s->np - p : step;
        for (int v = 0; v < width; v += 8) {
            const float *row[8];
            int rows = (int)(used - v < 0 ? 0 : used - v > 8 ? 8 : used - v);
            for (int i = 0; i < rows; i++)
                row[i] = sy__mat_row(s->mat, s->p0 + p + v + i) + s->k0;
            for (int64_t k = 0; k < s->kc; k += 8) {
                __m256i r[8];
                for (int i = 0; i < 8; i++)
                    r[i] = i < rows ? load_lanes(row[i] + k, s->kc - k, bf16)
                                    : _mm256_setzero_si256();
                transpose8(r);
                for (int i = 0; i < 8 && k + i < s->kc; i++)
                    _mm256_store_si256((__m256i *)(void *)(dst + (k + i) * width + v), r[i]);
            }
        }
    }
}

static void pack_fp32(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    if (s->along_k)
        pack_copy(dst, width, step, s, false);
    else
        pack_transpose(dst, width, step, s, false);
}

static void pack_bf16(uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    if (s->along_k)
        pack_copy(dst, width, step, s, true);
    else
        pack_transpose(dst, width, step, s, true);
}

/* Twelve chains: rows of two, as in the tile. */
static double peak(int64_t rounds)
{
    const __m256 x = _mm256_set1_ps(0.999f);
#define START(i) __m256 c##i = _mm256_set1_ps((float)i), d##i = _mm256_set1_ps((float)i + 9);
#define STEP(i)                                                                                    \
    c##i = _mm256_fmadd_ps(c##i, x, x);                                                            \
    d##i = _mm256_fmadd_ps(d##i, x, x);
#define TOTAL(i) sum = _mm256_add_ps(sum, _mm256_add_ps(c##i, d##i));
    ROWS(START)
    for (int64_t r = 0; r < rounds; r++) {
        ROWS(STEP)
    }
    __m256 sum = _mm256_setzero_ps();
    ROWS(TOTAL)
    volatile float sink = _mm256_cvtss_f32(sum);
    (void)sink;
    return 12 * 16.0 * (double)rounds;
}

const struct sy_gemm_kernels sy__gemm_avx2 = {
    .mr = MR, .aw = AW, .nr = NR, .pairs = false,
    .pack = {pack_fp32, pack_bf16},
    .tile = {tile_any, tile_any},
    .peak = {peak, peak},
};
