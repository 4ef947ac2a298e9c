/* Elementwise kernels on contiguous arrays, one table for each instruction set (cpu/cpu.h: same
 * bits in each).
 *
 *  1. An output may be the same array as an input (in place), but may not overlap it otherwise.
 *  2. Any n >= 0, any alignment of the elements' own size.
 *  3. Element i depends on the inputs' elements i only, so a caller may cut the range anywhere.
 *
 * A function is one row of a list below and one or two expressions in cpu/kern/map.c.
 */
#ifndef SY_CPU_KERN_MAP_H
#define SY_CPU_KERN_MAP_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, name, what the derivative is computed from): X input, Y output, C constant.
 * gelu is x Phi(x); gelu_tanh its approximation by tanh; relu2 is relu squared; round goes to the
 * nearest, ties to even.  silu, gelu at -inf give NaN, as they do elsewhere. */
#define SY_UNARY_MAP(U)                                                                            \
    U(NEG, neg, C)                                                                                 \
    U(ABS, abs, X)                                                                                 \
    U(SIGN, sign, C)                                                                               \
    U(FLOOR, floor, C)                                                                             \
    U(CEIL, ceil, C)                                                                               \
    U(TRUNC, trunc, C)                                                                             \
    U(ROUND, round, C)                                                                             \
    U(SQUARE, square, X)                                                                           \
    U(SQRT, sqrt, Y)                                                                               \
    U(RSQRT, rsqrt, Y)                                                                             \
    U(RECIP, recip, Y)                                                                             \
    U(EXP, exp, Y)                                                                                 \
    U(LOG, log, X)                                                                                 \
    U(LOG1P, log1p, X)                                                                             \
    U(SIN, sin, X)                                                                                 \
    U(COS, cos, X)                                                                                 \
    U(TANH, tanh, Y)                                                                               \
    U(ERF, erf, X)                                                                                 \
    U(SIGMOID, sigmoid, Y)                                                                         \
    U(SOFTPLUS, softplus, X)                                                                       \
    U(RELU, relu, X)                                                                               \
    U(RELU2, relu2, X)                                                                             \
    U(SILU, silu, X)                                                                               \
    U(GELU, gelu, X)                                                                               \
    U(GELU_TANH, gelu_tanh, X)

enum sy_unary {
#define SY_U(NAME, name, needs) SY_UNARY_##NAME,
    SY_UNARY_MAP(SY_U)
#undef SY_U
        SY_UNARY_COUNT
};

/* max and min propagate a NaN from either side; pow is sy_powf. */
#define SY_BINARY_MAP(B)                                                                           \
    B(ADD, add) B(SUB, sub) B(MUL, mul) B(DIV, div) B(POW, pow) B(MAX, max) B(MIN, min)

enum sy_binary {
#define SY_B(NAME, name) SY_BINARY_##NAME,
    SY_BINARY_MAP(SY_B)
#undef SY_B
        SY_BINARY_COUNT
};

#define SY_COMPARE_MAP(C) C(EQ, ==) C(NE, !=) C(LT, <) C(LE, <=) C(GT, >) C(GE, >=)

enum sy_compare {
#define SY_C(NAME, op) SY_COMPARE_##NAME,
    SY_COMPARE_MAP(SY_C)
#undef SY_C
        SY_COMPARE_COUNT
};

struct sy_map_kernels {
    /* y = f(x) */
    void (*unary[SY_UNARY_COUNT])(float *y, const float *x, int64_t n);
    /* dx = dy f'(x), or dx += ... (add).  Reads x or y as SY_UNARY_MAP says, the other may be NULL.
     * dx may be dy, and, without add, x or y. */
    void (*unary_back[SY_UNARY_COUNT])(float *dx, const float *dy, const float *x, const float *y,
                                       int64_t n, bool add);
    /* y = a op b; one scalar: vs a[i] op b, sv a op b[i] */
    void (*binary[SY_BINARY_COUNT])(float *y, const float *a, const float *b, int64_t n);
    void (*binary_vs[SY_BINARY_COUNT])(float *y, const float *a, float b, int64_t n);
    void (*binary_sv[SY_BINARY_COUNT])(float *y, float a, const float *b, int64_t n);
    /* y = 0 or 1 */
    void (*compare[SY_COMPARE_COUNT])(uint8_t *y, const float *a, const float *b, int64_t n);
    void (*compare_vs[SY_COMPARE_COUNT])(uint8_t *y, const float *a, float b, int64_t n);

    void (*where)(float *y, const uint8_t *c, const float *a, const float *b, int64_t n);
    void (*fill)(float *y, float a, int64_t n);
    void (*copy)(float *y, const float *x, int64_t n);
    void (*scale)(float *y, const float *x, float a, int64_t n);            /* y = a x */
    void (*affine)(float *y, const float *x, float a, float b, int64_t n);  /* y = a x + b */
    void (*axpy)(float *y, float a, const float *x, int64_t n);             /* y += a x */
    void (*muladd)(float *y, const float *a, const float *b, int64_t n);    /* y += a b */
    void (*clamp)(float *y, const float *x, float lo, float hi, int64_t n); /* passes NaN on */

    /* Conversions.  To bf16: nearest even, NaN stays NaN.  To i32: toward zero, NaN and what does
     * not fit give INT32_MIN. */
    void (*f32_to_bf16)(uint16_t *y, const float *x, int64_t n);
    void (*bf16_to_f32)(float *y, const uint16_t *x, int64_t n);
    void (*f32_to_i32)(int32_t *y, const float *x, int64_t n);
    void (*i32_to_f32)(float *y, const int32_t *x, int64_t n);
    void (*u8_to_f32)(float *y, const uint8_t *x, int64_t n);
    void (*f32_to_f64)(double *y, const float *x, int64_t n);
    void (*f64_to_f32)(float *y, const double *x, int64_t n);

    /* y = x / (1 - p) or 0, the latter with probability p (0 <= p < 1).  Element i is decided by
     * (r, first + i) alone, so the backward pass is the same call on dy. */
    void (*dropout)(float *y, const float *x, const struct sy_rng *r, uint64_t first, float p,
                    int64_t n);
};

extern const struct sy_map_kernels sy__map_ref, sy__map_avx2, sy__map_avx512;

/* Names for messages and tests. */
extern const char *const sy_unary_names[SY_UNARY_COUNT];
extern const char sy_unary_needs[SY_UNARY_COUNT]; /* 'X', 'Y' or 'C' */

#endif
