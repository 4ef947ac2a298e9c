/* Elementwise loops and their run functions: one line an operation and element type.
 *
 *  1. An output may be the same memory as any input that is read in the output's own order: every
 *     element is read before it is written, and nothing is read twice.
 *  2. f32 goes through the kernel table, strided operands in small dense pieces; f64 (REPL,
 *     gradient checks) and integers are plain loops over the C library.
 *  3. Integers wrap around.
 */
#include "ops/ops_int.h"

#include "cpu/cpu.h"
#include "cpu/kern_map.h"

#include <math.h>
#include <string.h>

struct map;
typedef void (*loop_fn)(const struct map *m, const struct sy__span *s);

struct map {
    loop_fn loop;
    const void *in[SY_ITER_IN];
    void *y;
    const double *f; /* the operation's real attributes */
};

static void map_span(void *ctx, const struct sy__span *s)
{
    const struct map *m = ctx;
    m->loop(m, s);
}

/* Inputs from `first` on are operands; loops are indexed by the dtype of the last. */
static int run_map(const struct sy_run *x, int nin, const loop_fn loops[SY_DTYPE_COUNT],
                   int64_t grain)
{
    struct sy__iter it;
    struct map m = {loops[x->in[nin - 1]->dtype], {0}, sy_data(x->out[0]), x->attrs->f};
    for (int i = 0; i < nin; i++)
        m.in[i] = sy_data(x->in[i]);
    sy__iter_init(&it, x->out[0]->ndim, x->out[0]->shape, nin, x->in);
    sy__iter_run(&it, grain, map_span, &m);
    return 0;
}

#define EACH for (int64_t i = 0; i < s->n; i++)

/* y = EXPR(a) */
#define LOOP1(fn, T, R, EXPR)                                                                      \
    static void fn(const struct map *m, const struct sy__span *s)                                  \
    {                                                                                              \
        const double *f = m->f;                                                                    \
        const T *pa = (const T *)m->in[0] + s->offset[0];                                          \
        R *y = (R *)m->y + s->at;                                                                  \
        int64_t sa = s->stride[0];                                                                 \
        (void)f;                                                                                   \
        if (sa == 1)                                                                               \
            EACH                                                                                   \
            {                                                                                      \
                T a = pa[i];                                                                       \
                y[i] = (R)(EXPR);                                                                  \
            }                                                                                      \
        else                                                                                       \
            EACH                                                                                   \
            {                                                                                      \
                T a = pa[i * sa];                                                                  \
                y[i] = (R)(EXPR);                                                                  \
            }                                                                                      \
    }

/* y = EXPR(a, b) */
#define LOOP2(fn, T, R, EXPR)                                                                      \
    static void fn(const struct map *m, const struct sy__span *s)                                  \
    {                                                                                              \
        const double *f = m->f;                                                                    \
        const T *pa = (const T *)m->in[0] + s->offset[0];                                          \
        const T *pb = (const T *)m->in[1] + s->offset[1];                                          \
        R *y = (R *)m->y + s->at;                                                                  \
        int64_t sa = s->stride[0], sb = s->stride[1];                                              \
        (void)f;                                                                                   \
        if (sa == 1 && sb == 1) {                                                                  \
            EACH                                                                                   \
            {                                                                                      \
                T a = pa[i], b = pb[i];                                                            \
                y[i] = (R)(EXPR);                                                                  \
            }                                                                                      \
        } else if (sa == 1 && sb == 0) {                                                           \
            T b = *pb;                                                                             \
            EACH                                                                                   \
            {                                                                                      \
                T a = pa[i];                                                                       \
                y[i] = (R)(EXPR);                                                                  \
            }                                                                                      \
        } else if (sa == 0 && sb == 1) {                                                           \
            T a = *pa;                                                                             \
            EACH                                                                                   \
            {                                                                                      \
                T b = pb[i];                                                                       \
                y[i] = (R)(EXPR);                                                                  \
            }                                                                                      \
        } else {                                                                                   \
            EACH                                                                                   \
            {                                                                                      \
                T a = pa[i * sa], b = pb[i * sb];                                                  \
                y[i] = (R)(EXPR);                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#define GRAIN_LIGHT SY_GRAIN /* additions and the like */
#define GRAIN_HEAVY 8192     /* exp and the like */

/* ---- f32: by the kernels, on contiguous pieces ---- */

#define PIECE 256

/* n <= PIECE elements of input i from element `from` of the span on: in place, or gathered in buf.
 */
static const float *dense(const struct map *m, const struct sy__span *s, int i, int64_t from,
                          int64_t n, float *buf)
{
    int64_t stride = s->stride[i];
    const float *p = (const float *)m->in[i] + s->offset[i] + from * stride;
    if (stride == 1)
        return p;
    for (int64_t j = 0; j < n; j++)
        buf[j] = p[j * stride];
    return buf;
}

static void unary_f32(const struct map *m, const struct sy__span *s, enum sy_unary u)
{
    float buf[PIECE], *y = (float *)m->y + s->at;
    void (*f)(float *, const float *, int64_t) = sy_cpu()->map->unary[u];
    int64_t step = s->stride[0] == 1 ? s->n : PIECE;
    for (int64_t i = 0; i < s->n; i += step) {
        int64_t n = s->n - i < step ? s->n - i : step;
        f(y + i, dense(m, s, 0, i, n, buf), n);
    }
}

/* a: the forward's input or output, as the kernel wants; b: the gradient */
static void unary_back_f32(const struct map *m, const struct sy__span *s, enum sy_unary u)
{
    float bufa[PIECE], bufb[PIECE], *y = (float *)m->y + s->at;
    bool plain = s->stride[0] == 1 && s->stride[1] == 1;
    int64_t step = plain ? s->n : PIECE;
    for (int64_t i = 0; i < s->n; i += step) {
        int64_t n = s->n - i < step ? s->n - i : step;
        const float *a = dense(m, s, 0, i, n, bufa), *b = dense(m, s, 1, i, n, bufb);
        sy_cpu()->map->unary_back[u](y + i, b, a, a, n, false);
    }
}

static void binary_f32(const struct map *m, const struct sy__span *s, enum sy_binary op)
{
    const struct sy_map_kernels *k = sy_cpu()->map;
    float bufa[PIECE], bufb[PIECE], *y = (float *)m->y + s->at;
    const float *pa = (const float *)m->in[0] + s->offset[0];
    const float *pb = (const float *)m->in[1] + s->offset[1];
    int64_t sa = s->stride[0], sb = s->stride[1];
    if (sa == 1 && sb == 0) {
        k->binary_vs[op](y, pa, *pb, s->n);
        return;
    }
    if (sa == 0 && sb == 1) {
        k->binary_sv[op](y, *pa, pb, s->n);
        return;
    }
    int64_t step = sa == 1 && sb == 1 ? s->n : PIECE;
    for (int64_t i = 0; i < s->n; i += step) {
        int64_t n = s->n - i < step ? s->n - i : step;
        const float *a = dense(m, s, 0, i, n, bufa), *b = dense(m, s, 1, i, n, bufb);
        k->binary[op](y + i, a, b, n);
    }
}

static void compare_f32(const struct map *m, const struct sy__span *s, enum sy_compare op)
{
    const struct sy_map_kernels *k = sy_cpu()->map;
    float bufa[PIECE], bufb[PIECE];
    uint8_t *y = (uint8_t *)m->y + s->at;
    if (s->stride[0] == 1 && s->stride[1] == 0) {
        k->compare_vs[op](y, (const float *)m->in[0] + s->offset[0],
                          ((const float *)m->in[1])[s->offset[1]], s->n);
        return;
    }
    int64_t step = s->stride[0] == 1 && s->stride[1] == 1 ? s->n : PIECE;
    for (int64_t i = 0; i < s->n; i += step) {
        int64_t n = s->n - i < step ? s->n - i : step;
        const float *a = dense(m, s, 0, i, n, bufa), *b = dense(m, s, 1, i, n, bufb);
        k->compare[op](y + i, a, b, n);
    }
}

#define KERN(fn, family, index)                                                                    \
    static void fn(const struct map *m, const struct sy__span *s)                                  \
    {                                                                                              \
        family(m, s, index);                                                                       \
    }

#define FLOAT_LOOPS(name) {[SY_F32] = name##_f32, [SY_F64] = name##_f64}
#define ALL_LOOPS(name)                                                                            \
    {[SY_F32] = name##_f32, [SY_F64] = name##_f64, [SY_I32] = name##_i32,                          \
     [SY_I64] = name##_i64, [SY_U8] = name##_u8,   [SY_BOOL] = name##_u8}

/* Of `operands` inputs, by the loops of its name: FLOAT_LOOPS or ALL_LOOPS. */
#define RUN(name, operands, LOOPS, grain)                                                          \
    int sy__run_##name(const struct sy_run *x)                                                     \
    {                                                                                              \
        static const loop_fn loops[SY_DTYPE_COUNT] = LOOPS(name);                                  \
        return run_map(x, operands, loops, grain);                                                 \
    }

/* ---- a and b in, the same type out ---- */

#define BINARY_FLOATS(name, NAME, E64)                                                             \
    KERN(name##_f32, binary_f32, SY_BINARY_##NAME)                                                 \
    LOOP2(name##_f64, double, double, E64)

#define BINARY_INTS(name, R, EXPR)                                                                 \
    LOOP2(name##_i32, int32_t, R, EXPR)                                                            \
    LOOP2(name##_i64, int64_t, R, EXPR)                                                            \
    LOOP2(name##_u8, uint8_t, R, EXPR)

/* Integer arithmetic in u64: wrapping, never undefined. */
#define ARITHMETIC(name, NAME, op)                                                                 \
    BINARY_FLOATS(name, NAME, a op b)                                                              \
    LOOP2(name##_i32, int32_t, int32_t, (uint64_t)a op(uint64_t) b)                                \
    LOOP2(name##_i64, int64_t, int64_t, (uint64_t)a op(uint64_t) b)                                \
    LOOP2(name##_u8, uint8_t, uint8_t, (uint64_t)a op(uint64_t) b)                                 \
    RUN(name, 2, ALL_LOOPS, GRAIN_LIGHT)

ARITHMETIC(add, ADD, +)
ARITHMETIC(sub, SUB, -)
ARITHMETIC(mul, MUL, *)

BINARY_FLOATS(div, DIV, a / b)
BINARY_INTS(div, float, (double)a / (double)b) /* integers divide to f32 */
RUN(div, 2, ALL_LOOPS, GRAIN_LIGHT)

BINARY_FLOATS(pow, POW, pow(a, b))
RUN(pow, 2, FLOAT_LOOPS, GRAIN_HEAVY)

/* Lua's % and //, whose integers must not be divided by 0: looked at before. */
static double mod_double(double a, double b)
{
    double m = fmod(a, b);
    return m > 0 ? b < 0 ? m + b : m : m < 0 && b > 0 ? m + b : m;
}

static float mod_float(float a, float b)
{
    float m = fmodf(a, b);
    return m > 0 ? b < 0 ? m + b : m : m < 0 && b > 0 ? m + b : m;
}

static int64_t mod_int(int64_t a, int64_t b)
{
    if (b == -1) /* the smallest integer has no quotient */
        return 0;
    int64_t m = a % b;
    return m != 0 && (m ^ b) < 0 ? m + b : m;
}

static int64_t idiv_int(int64_t a, int64_t b)
{
    if (b == -1)
        return (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b != 0 && (a ^ b) < 0);
}

LOOP2(mod_f32, float, float, mod_float(a, b))
LOOP2(mod_f64, double, double, mod_double(a, b))
LOOP2(mod_i32, int32_t, int32_t, mod_int(a, b))
LOOP2(mod_i64, int64_t, int64_t, mod_int(a, b))
LOOP2(mod_u8, uint8_t, uint8_t, mod_int(a, b))
LOOP2(idiv_f32, float, float, floorf(a / b))
LOOP2(idiv_f64, double, double, floor(a / b))
LOOP2(idiv_i32, int32_t, int32_t, idiv_int(a, b))
LOOP2(idiv_i64, int64_t, int64_t, idiv_int(a, b))
LOOP2(idiv_u8, uint8_t, uint8_t, idiv_int(a, b))

static int no_zeros(const struct sy_run *x, const char *name)
{
    const struct sy_tensor *b = x->in[1];
    int64_t n = b->dtype == SY_F32 || b->dtype == SY_F64 ? 0 : sy_tensor_count(b);
    for (int64_t i = 0; i < n; i++)
        if (sy_tensor_get(b, i) == 0)
            return sy_err_set(x->err, SY_E_RANGE, "%s: integers divided by 0: element %lld of b",
                              name, (long long)i + 1);
    return 0;
}

#define DIVISION(name)                                                                             \
    int sy__run_##name(const struct sy_run *x)                                                     \
    {                                                                                              \
        static const loop_fn loops[SY_DTYPE_COUNT] = ALL_LOOPS(name);                              \
        return no_zeros(x, #name) ? -1 : run_map(x, 2, loops, GRAIN_HEAVY);                        \
    }
DIVISION(mod)
DIVISION(idiv)

#define EXTREME(name, NAME, op)                                                                    \
    BINARY_FLOATS(name, NAME, a op b || a != a ? a : b)                                            \
    LOOP2(name##_i32, int32_t, int32_t, a op b ? a : b)                                            \
    LOOP2(name##_i64, int64_t, int64_t, a op b ? a : b)                                            \
    LOOP2(name##_u8, uint8_t, uint8_t, a op b ? a : b)                                             \
    RUN(name, 2, ALL_LOOPS, GRAIN_LIGHT)

EXTREME(maximum, MAX, >=)
EXTREME(minimum, MIN, <=)

#define COMPARE(name, NAME, op)                                                                    \
    KERN(name##_f32, compare_f32, SY_COMPARE_##NAME)                                               \
    LOOP2(name##_f64, double, uint8_t, a op b)                                                     \
    BINARY_INTS(name, uint8_t, a op b)                                                             \
    RUN(name, 2, ALL_LOOPS, GRAIN_LIGHT)

COMPARE(eq, EQ, ==)
COMPARE(ne, NE, !=)
COMPARE(lt, LT, <)
COMPARE(le, LE, <=)
COMPARE(gt, GT, >)
COMPARE(ge, GE, >=)

/* ---- one in, the same type out ---- */

#define UNARY(name, NAME, grain, E64)                                                              \
    KERN(name##_f32, unary_f32, SY_UNARY_##NAME)                                                   \
    LOOP1(name##_f64, double, double, E64)                                                         \
    RUN(name, 1, FLOAT_LOOPS, grain)

#define UNARY_ALL(name, NAME, E64, EINT, EU8)                                                      \
    KERN(name##_f32, unary_f32, SY_UNARY_##NAME)                                                   \
    LOOP1(name##_f64, double, double, E64)                                                         \
    LOOP1(name##_i32, int32_t, int32_t, EINT)                                                      \
    LOOP1(name##_i64, int64_t, int64_t, EINT)                                                      \
    LOOP1(name##_u8, uint8_t, uint8_t, EU8)                                                        \
    RUN(name, 1, ALL_LOOPS, GRAIN_LIGHT)

UNARY_ALL(neg, NEG, -a, 0 - (uint64_t)a, 0 - (uint64_t)a)
UNARY_ALL(abs, ABS, fabs(a), a < 0 ? 0 - (uint64_t)a : (uint64_t)a, a)
UNARY_ALL(square, SQUARE, a *a, (uint64_t)a *(uint64_t)a, (uint64_t)a *(uint64_t)a)
UNARY_ALL(relu, RELU, a < 0 ? 0 : a, a < 0 ? 0 : a, a)
UNARY_ALL(sign, SIGN, a > 0 ? 1 : a < 0 ? -1 : a, a > 0 ? 1 : a < 0 ? -1 : 0, a != 0)

UNARY(exp, EXP, GRAIN_HEAVY, exp(a))
UNARY(log, LOG, GRAIN_HEAVY, log(a))
UNARY(log1p, LOG1P, GRAIN_HEAVY, log1p(a))
UNARY(sqrt, SQRT, GRAIN_LIGHT, sqrt(a))
UNARY(rsqrt, RSQRT, GRAIN_LIGHT, 1.0 / sqrt(a))
UNARY(sin, SIN, GRAIN_HEAVY, sin(a))
UNARY(cos, COS, GRAIN_HEAVY, cos(a))
UNARY(erf, ERF, GRAIN_HEAVY, erf(a))
UNARY(tanh, TANH, GRAIN_HEAVY, tanh(a))
UNARY(sigmoid, SIGMOID, GRAIN_HEAVY, 1.0 / (1.0 + exp(-a)))
UNARY(softplus, SOFTPLUS, GRAIN_HEAVY, a > 30 ? a : log1p(exp(a)))
UNARY(relu2, RELU2, GRAIN_LIGHT, a < 0 ? 0 : a * a)
UNARY(silu, SILU, GRAIN_HEAVY, a / (1.0 + exp(-a)))
UNARY(reciprocal, RECIP, GRAIN_LIGHT, 1.0 / a)
UNARY(floor, FLOOR, GRAIN_LIGHT, floor(a))
UNARY(ceil, CEIL, GRAIN_LIGHT, ceil(a))
UNARY(trunc, TRUNC, GRAIN_LIGHT, trunc(a))
UNARY(round, ROUND, GRAIN_LIGHT, rint(a))

/* GELU: x Phi(x); its approximation by tanh (Hendrycks & Gimpel 2016). */
#define GELU_C 0.7978845608028654 /* sqrt(2 / pi) */
#define GELU_K 0.044715
#define PDF_C 0.3989422804014327 /* 1 / sqrt(2 pi) */

static double gelu_inner(double a)
{
    return GELU_C * (a + GELU_K * a * a * a);
}
static double phi(double a)
{
    return 0.5 * erfc(-a * 0.70710678118654752);
}

UNARY(gelu, GELU, GRAIN_HEAVY, a *phi(a))
UNARY(gelu_tanh, GELU_TANH, GRAIN_HEAVY, 0.5 * a * (1.0 + tanh(gelu_inner(a))))

LOOP1(clamp_f32, float, float, a<(float)f[0] ? (float)f[0] : a>(float) f[1] ? (float)f[1] : a)
LOOP1(clamp_f64, double, double, a<f[0] ? f[0] : a> f[1] ? f[1] : a)
LOOP1(clamp_i32, int32_t, int32_t, (double)a<f[0] ? f[0] : (double)a> f[1] ? f[1] : a)
LOOP1(clamp_i64, int64_t, int64_t,
      (double)a<f[0] ? (int64_t)f[0] : (double)a> f[1] ? (int64_t)f[1] : a)
LOOP1(clamp_u8, uint8_t, uint8_t, (double)a<f[0] ? f[0] : (double)a> f[1] ? f[1] : a)
RUN(clamp, 1, ALL_LOOPS, GRAIN_LIGHT)

LOOP1(not_f32, float, uint8_t, a == 0)
LOOP1(not_f64, double, uint8_t, a == 0)
LOOP1(not_i32, int32_t, uint8_t, a == 0)
LOOP1(not_i64, int64_t, uint8_t, a == 0)
LOOP1(not_u8, uint8_t, uint8_t, a == 0)
RUN(not, 1, ALL_LOOPS, GRAIN_LIGHT)

/* ---- backward kernels: a is the forward's input (or output, where said), b the gradient ---- */

static double silu_slope(double a)
{
    double s = 1.0 / (1.0 + exp(-a));
    return s * (1.0 + a * (1.0 - s));
}

static double gelu_slope(double a)
{
    return phi(a) + a * PDF_C * exp(-0.5 * a * a);
}

static double gelu_tanh_slope(double a)
{
    double t = tanh(gelu_inner(a));
    return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * GELU_C * (1 + 3 * GELU_K * a * a);
}

#define BACKWARD(name, NAME, grain, E64)                                                           \
    KERN(name##_backward_f32, unary_back_f32, SY_UNARY_##NAME)                                     \
    LOOP2(name##_backward_f64, double, double, E64)                                                \
    RUN(name##_backward, 2, FLOAT_LOOPS, grain)

BACKWARD(abs, ABS, GRAIN_LIGHT, a > 0 ? b : a < 0 ? -b : 0)
BACKWARD(square, SQUARE, GRAIN_LIGHT, 2 * a * b)
BACKWARD(relu, RELU, GRAIN_LIGHT, a > 0 ? b : 0)
BACKWARD(relu2, RELU2, GRAIN_LIGHT, a > 0 ? 2 * a * b : 0)
BACKWARD(sqrt, SQRT, GRAIN_LIGHT, b * 0.5 / a)            /* a: output */
BACKWARD(rsqrt, RSQRT, GRAIN_LIGHT, b * -0.5 * a * a * a) /* a: output */
BACKWARD(reciprocal, RECIP, GRAIN_LIGHT, -b *a *a)        /* a: output */
BACKWARD(log1p, LOG1P, GRAIN_LIGHT, b / (1.0 + a))
BACKWARD(sin, SIN, GRAIN_HEAVY, b *cos(a))
BACKWARD(cos, COS, GRAIN_HEAVY, -b *sin(a))
BACKWARD(tanh, TANH, GRAIN_LIGHT, b *(1.0 - a * a)) /* a: output */
BACKWARD(erf, ERF, GRAIN_HEAVY, b * 1.1283791670955126 * exp(-a * a))
BACKWARD(sigmoid, SIGMOID, GRAIN_LIGHT, b *a *(1.0 - a)) /* a: output */
BACKWARD(softplus, SOFTPLUS, GRAIN_HEAVY, b / (1.0 + exp(-a)))
BACKWARD(silu, SILU, GRAIN_HEAVY, b *silu_slope(a))
BACKWARD(gelu, GELU, GRAIN_HEAVY, b *gelu_slope(a))
BACKWARD(gelu_tanh, GELU_TANH, GRAIN_HEAVY, b *gelu_tanh_slope(a))

LOOP2(clamp_backward_f32, float, float, (double)a >= f[0] && (double)a <= f[1] ? b : 0)
LOOP2(clamp_backward_f64, double, double, a >= f[0] && a <= f[1] ? b : 0)
RUN(clamp_backward, 2, FLOAT_LOOPS, GRAIN_LIGHT)

/* ---- where(c, a, b) ---- */

#define LOOP_WHERE(fn, T)                                                                          \
    static void fn(const struct map *m, const struct sy__span *s)                                  \
    {                                                                                              \
        const uint8_t *pc = (const uint8_t *)m->in[0] + s->offset[0];                              \
        const T *pa = (const T *)m->in[1] + s->offset[1];                                          \
        const T *pb = (const T *)m->in[2] + s->offset[2];                                          \
        T *y = (T *)m->y + s->at;                                                                  \
        int64_t sc = s->stride[0], sa = s->stride[1], sb = s->stride[2];                           \
        EACH y[i] = pc[i * sc] ? pa[i * sa] : pb[i * sb];                                          \
    }

LOOP_WHERE(where_1, uint8_t)
LOOP_WHERE(where_2, uint16_t)
LOOP_WHERE(where_4, uint32_t)
LOOP_WHERE(where_8, uint64_t)

int sy__run_where(const struct sy_run *x)
{
    static const loop_fn loops[SY_DTYPE_COUNT] = {
        [SY_F32] = where_4, [SY_F64] = where_8, [SY_BF16] = where_2, [SY_I32] = where_4,
        [SY_I64] = where_8, [SY_U8] = where_1,  [SY_BOOL] = where_1};
    return run_map(x, 3, loops, GRAIN_LIGHT);
}
