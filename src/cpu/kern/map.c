/* Elementwise kernels (cpu/kern_map.h).  Compiled once for each instruction set.
 *
 * Each loop is the same: whole native vectors, then one partial vector through the same
 * expression (idle lanes compute on `fill` and are not stored). */
#include "cpu/kern_map.h"

#include "cpu/kern/isa.h"
#include "cpu/kern/map_math.h"
#include "cpu/kern/philox.h"

/* In-place use is allowed, so the compiler must not test for it at run time and fall back. */
#if defined(__clang__)
#define MAP_VECTORIZE _Pragma("clang loop vectorize(assume_safety)")
#else
#define MAP_VECTORIZE _Pragma("GCC ivdep")
#endif

/* BODY uses LD(pointer) for the vector at i; its value is stored to y + i. */
#define MAP_LOOP(y, n, ...)                                                                        \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; i + SY_W <= (n); i += SY_W) {                                                       \
            const int64_t m = SY_W;                                                                \
            vf_store((y) + i, (__VA_ARGS__));                                                      \
            (void)m;                                                                               \
        }                                                                                          \
        const int64_t m = (n)-i;                                                                   \
        if (m > 0)                                                                                 \
            vf_store_part((y) + i, m, (__VA_ARGS__));                                              \
    } while (0)
#define LD(p) vf_load_part((p) + i, m, 1.0f)

#define MAP_UNARY(NAME, name, needs)                                                               \
    static void unary_##name(float *y, const float *x, int64_t n)                                  \
    {                                                                                              \
        MAP_LOOP(y, n, f_##name(LD(x)));                                                           \
    }
SY_UNARY_MAP(MAP_UNARY)

#define NEED_X_X(p) LD(p)
#define NEED_X_Y(p) vf_zero()
#define NEED_X_C(p) vf_zero()
#define NEED_Y_X(p) vf_zero()
#define NEED_Y_Y(p) LD(p)
#define NEED_Y_C(p) vf_zero()
#define MAP_BACK(NAME, name, needs)                                                                \
    static void back_##name(float *dx, const float *dy, const float *x, const float *y, int64_t n, \
                            bool add)                                                              \
    {                                                                                              \
        (void)x, (void)y;                                                                          \
        if (add)                                                                                   \
            MAP_LOOP(dx, n, LD(dx) + LD(dy) * d_##name(NEED_X_##needs(x), NEED_Y_##needs(y)));     \
        else                                                                                       \
            MAP_LOOP(dx, n, LD(dy) * d_##name(NEED_X_##needs(x), NEED_Y_##needs(y)));              \
    }
SY_UNARY_MAP(MAP_BACK)

SY_INLINE vf b_add(vf a, vf b)
{
    return a + b;
}
SY_INLINE vf b_sub(vf a, vf b)
{
    return a - b;
}
SY_INLINE vf b_mul(vf a, vf b)
{
    return a * b;
}
SY_INLINE vf b_div(vf a, vf b)
{
    return a / b;
}
SY_INLINE vf b_max(vf a, vf b)
{
    return vf_maxn(a, b);
}
SY_INLINE vf b_min(vf a, vf b)
{
    return vf_minn(a, b);
}
SY_INLINE vf b_pow(vf a, vf b)
{
    for (int j = 0; j < SY_W; j++)
        a[j] = sy_powf(a[j], b[j]);
    return a;
}

#define MAP_BINARY(NAME, name)                                                                     \
    static void binary_##name(float *y, const float *a, const float *b, int64_t n)                 \
    {                                                                                              \
        MAP_LOOP(y, n, b_##name(LD(a), LD(b)));                                                    \
    }                                                                                              \
    static void binary_sv_##name(float *y, float a, const float *b, int64_t n)                     \
    {                                                                                              \
        const vf s = vf_set1(a);                                                                   \
        MAP_LOOP(y, n, b_##name(s, LD(b)));                                                        \
    }                                                                                              \
    static void array_scalar_##name(float *y, const float *a, float b, int64_t n)                  \
    {                                                                                              \
        const vf s = vf_set1(b);                                                                   \
        MAP_LOOP(y, n, b_##name(LD(a), s));                                                        \
    }
SY_BINARY_MAP(MAP_BINARY)

/* The powers that people write: exact, or as exact as sqrt and division are. */
static void array_scalar_pow_quick(float *y, const float *a, float b, int64_t n)
{
    if (b == 2.0f)
        MAP_LOOP(y, n, LD(a) * LD(a));
    else if (b == 1.0f)
        MAP_LOOP(y, n, LD(a));
    else if (b == -1.0f)
        MAP_LOOP(y, n, 1.0f / LD(a));
    else
        array_scalar_pow(y, a, b, n);
}

#define MAP_COMPARE(NAME, op)                                                                      \
    static void compare_##NAME(uint8_t *y, const float *a, const float *b, int64_t n)              \
    {                                                                                              \
        MAP_VECTORIZE                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = a[i] op b[i];                                                                   \
    }                                                                                              \
    static void compare_vs_##NAME(uint8_t *y, const float *a, float b, int64_t n)                  \
    {                                                                                              \
        MAP_VECTORIZE                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = a[i] op b;                                                                      \
    }
SY_COMPARE_MAP(MAP_COMPARE)

static void where(float *y, const uint8_t *c, const float *a, const float *b, int64_t n)
{
    MAP_VECTORIZE
    for (int64_t i = 0; i < n; i++) {
        float u = a[i], v = b[i];
        y[i] = c[i] ? u : v;
    }
}

static void fill(float *y, float a, int64_t n)
{
    const vf s = vf_set1(a);
    MAP_LOOP(y, n, s);
}

static void copy(float *y, const float *x, int64_t n)
{
    if (n > 0)
        memmove(y, x, (size_t)n * sizeof *y);
}

static void affine(float *y, const float *x, float a, float b, int64_t n)
{
    const vf s = vf_set1(a), t = vf_set1(b);
    MAP_LOOP(y, n, s * LD(x) + t);
}

static void scale(float *y, const float *x, float a, int64_t n)
{
    const vf s = vf_set1(a);
    MAP_LOOP(y, n, s * LD(x));
}

static void axpy(float *y, float a, const float *x, int64_t n)
{
    const vf s = vf_set1(a);
    MAP_LOOP(y, n, LD(y) + s * LD(x));
}

static void muladd(float *y, const float *a, const float *b, int64_t n)
{
    MAP_LOOP(y, n, LD(y) + LD(a) * LD(b));
}

static void clamp(float *y, const float *x, float lo, float hi, int64_t n)
{
    const vf l = vf_set1(lo), h = vf_set1(hi);
    MAP_LOOP(y, n, vf_min(h, vf_max(l, LD(x))));
}

static void f32_to_bf16(uint16_t *y, const float *x, int64_t n)
{
    MAP_VECTORIZE
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        uint32_t r = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
        y[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? quiet : r);
    }
}

static void bf16_to_f32(float *y, const uint16_t *x, int64_t n)
{
    MAP_VECTORIZE
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        memcpy(y + i, &u, sizeof u);
    }
}

static void f32_to_i32(int32_t *y, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + SY_W <= n; i += SY_W)
        vi_store(y + i, vf_to_int(vf_load(x + i)));
    if (i < n) {
        vi r = vf_to_int(vf_load_part(x + i, n - i, 0.0f));
        memcpy(y + i, &r, (size_t)(n - i) * sizeof *y);
    }
}

#define MAP_CONVERT(name, to, from)                                                                \
    static void name(to *y, const from *x, int64_t n)                                              \
    {                                                                                              \
        MAP_VECTORIZE                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = (to)x[i];                                                                       \
    }
MAP_CONVERT(i32_to_f32, float, int32_t)
MAP_CONVERT(u8_to_f32, float, uint8_t)
MAP_CONVERT(f32_to_f64, double, float)
MAP_CONVERT(f64_to_f32, float, double)

/* Elements 64 g .. 64 g + 63 take the 64 words of Philox blocks 16 g .. 16 g + 15, laid out
 * word-major: element 64 g + 16 w + j has word w of block 16 g + j. */
static void dropout(float *y, const float *x, const struct sy_rng *r, uint64_t first, float p,
                    int64_t n)
{
    const vf s = vf_set1(1.0f / (1.0f - p));
    const vi cut = vi_set1((int32_t)((uint32_t)((double)p * 0x1p32) ^ 0x80000000u));
    int32_t w[64];
    int64_t i = 0;
    while (i < n) {
        uint64_t at = first + (uint64_t)i;
        int64_t from = (int64_t)(at % 64), len = 64 - from < n - i ? 64 - from : n - i;
        philox_words(r, at / 64, w);
        float *yi = y + i;
        const float *xi = x + i;
        const int32_t *wi = w + from;
        for (int64_t j = 0; j < len; j += SY_W) {
            int32_t t[SY_W] = {0};
            const int32_t *words = wi + j;
            if (len - j < SY_W) {
                memcpy(t, words, (size_t)(len - j) * sizeof *t);
                words = t;
            }
            vm drop = vi_lt(vi_load(words) ^ INT32_MIN, cut); /* unsigned word < p 2^32 */
            vf_store_part(yi + j, len - j,
                          vf_keep(vm_not(drop), s * vf_load_part(xi + j, len - j, 0.0f)));
        }
        i += len;
    }
}

#define MAP_ROW_UNARY(NAME, name, needs) [SY_UNARY_##NAME] = unary_##name,
#define MAP_ROW_BACK(NAME, name, needs) [SY_UNARY_##NAME] = back_##name,
#define MAP_ROW_BINARY(NAME, name) [SY_BINARY_##NAME] = binary_##name,
#define MAP_ROW_SV(NAME, name) [SY_BINARY_##NAME] = binary_sv_##name,
#define MAP_ROW_COMPARE(NAME, op) [SY_COMPARE_##NAME] = compare_##NAME,
#define MAP_ROW_COMPARE_VS(NAME, op) [SY_COMPARE_##NAME] = compare_vs_##NAME,

const struct sy_map_kernels SY_KERN(sy__map) = {
    .unary = {SY_UNARY_MAP(MAP_ROW_UNARY)},
    .unary_back = {SY_UNARY_MAP(MAP_ROW_BACK)},
    .binary = {SY_BINARY_MAP(MAP_ROW_BINARY)},
    .binary_vs = {array_scalar_add, array_scalar_sub, array_scalar_mul, array_scalar_div,
                  array_scalar_pow_quick, array_scalar_max, array_scalar_min},
    .binary_sv = {SY_BINARY_MAP(MAP_ROW_SV)},
    .compare = {SY_COMPARE_MAP(MAP_ROW_COMPARE)},
    .compare_vs = {SY_COMPARE_MAP(MAP_ROW_COMPARE_VS)},
    .where = where,
    .fill = fill,
    .copy = copy,
    .scale = scale,
    .affine = affine,
    .axpy = axpy,
    .muladd = muladd,
    .clamp = clamp,
    .f32_to_bf16 = f32_to_bf16,
    .bf16_to_f32 = bf16_to_f32,
    .f32_to_i32 = f32_to_i32,
    .i32_to_f32 = i32_to_f32,
    .u8_to_f32 = u8_to_f32,
    .f32_to_f64 = f32_to_f64,
    .f64_to_f32 = f64_to_f32,
    .dropout = dropout,
};
