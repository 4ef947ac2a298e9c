/* Elementwise loops and their run functions: one line an operation and element type.
 *
 *  1. An output may be the same memory as any input that is read in the output's own order: every
 *     element is read before it is written, and nothing is read twice.
 *  2. f32 goes through our own elementary functions, so that its bits are the same everywhere; f64
 *     (REPL, gradient checks) uses the C library.
 *  3. Integers wrap around.
 */
#include "ops/ops_int.h"

#include "cpu/math.h"

#include <math.h>

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
            EACH { T a = pa[i]; y[i] = (R)(EXPR); }                                                \
        else                                                                                       \
            EACH { T a = pa[i * sa]; y[i] = (R)(EXPR); }                                           \
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
            EACH { T a = pa[i], b = pb[i]; y[i] = (R)(EXPR); }                                     \
        } else if (sa == 1 && sb == 0) {                                                           \
            T b = *pb;                                                                             \
            EACH { T a = pa[i]; y[i] = (R)(EXPR); }                                                \
        } else if (sa == 0 && sb == 1) {                                                           \
            T a = *pa;                                                                             \
            EACH { T b = pb[i]; y[i] = (R)(EXPR); }                                                \
        } else {                                                                                   \
            EACH { T a = pa[i * sa], b = pb[i * sb]; y[i] = (R)(EXPR); }                           \
        }                                                                                          \
    }

#define GRAIN_LIGHT SY_GRAIN /* additions and the like */
#define GRAIN_HEAVY 8192     /* exp and the like */

/* ---- a and b in, the same type out ---- */

#define BINARY_FLOATS(name, E32, E64)                                                              \
    LOOP2(name##_f32, float, float, E32)                                                           \
    LOOP2(name##_f64, double, double, E64)

#define BINARY_INTS(name, R, EXPR)                                                                 \
    LOOP2(name##_i32, int32_t, R, EXPR)                                                            \
    LOOP2(name##_i64, int64_t, R, EXPR)                                                            \
    LOOP2(name##_u8, uint8_t, R, EXPR)

#define RUN2_FLOATS(name, grain)                                                                   \
    int sy__run_##name(const struct sy_run *x)                                                     \
    {                                                                                              \
        static const loop_fn loops[SY_DTYPE_COUNT] = {[SY_F32] = name##_f32,                       \
                                                      [SY_F64] = name##_f64};                      \
        return run_map(x, 2, loops, grain);                                                        \
    }

#define RUN2_ALL(name)                                                                             \
    int sy__run_##name(const struct sy_run *x)                                                     \
    {                                                                                              \
        static const loop_fn loops[SY_DTYPE_COUNT] = {                                             \
            [SY_F32] = name##_f32, [SY_F64] = name##_f64, [SY_I32] = name##_i32,                   \
            [SY_I64] = name##_i64, [SY_U8] = name##_u8,   [SY_BOOL] = name##_u8};                  \
        return run_map(x, 2, loops, GRAIN_LIGHT);                                                  \
    }

/* Integer arithmetic in u64: wrapping, never undefined. */
#define ARITHMETIC(name, op)                                                                       \
    BINARY_FLOATS(name, a op b, a op b)                                                            \
    LOOP2(name##_i32, int32_t, int32_t, (uint64_t)a op (uint64_t)b)                                \
    LOOP2(name##_i64, int64_t, int64_t, (uint64_t)a op (uint64_t)b)                                \
    LOOP2(name##_u8, uint8_t, uint8_t, (uint64_t)a op (uint64_t)b)                                 \
    RUN2_ALL(name)

ARITHMETIC(add, +)
ARITHMETIC(sub, -)
ARITHMETIC(mul, *)

BINARY_FLOATS(div, a / b, a / b)
BINARY_INTS(div, float, (double)a / (double)b) /* integers divide to f32 */
RUN2_ALL(div)

BINARY_FLOATS(pow, sy_powf(a, b), pow(a, b))
RUN2_FLOATS(pow, GRAIN_HEAVY)

#define EXTREME(name, op)                                                                          \
    BINARY_FLOATS(name, a op b || a != a ? a : b, a op b || a != a ? a : b)                        \
    LOOP2(name##_i32, int32_t, int32_t, a op b ? a : b)                                            \
    LOOP2(name##_i64, int64_t, int64_t, a op b ? a : b)                                            \
    LOOP2(name##_u8, uint8_t, uint8_t, a op b ? a : b)                                             \
    RUN2_ALL(name)

EXTREME(maximum, >=)
EXTREME(minimum, <=)

#define COMPARE(name, op)                                                                          \
    LOOP2(name##_f32, float, uint8_t, a op b)                                                      \
    LOOP2(name##_f64, double, uint8_t, a op b)                                                     \
    BINARY_INTS(name, uint8_t, a op b)                                                             \
    RUN2_ALL(name)

COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

/* ---- one in, the same type out ---- */

#define UNARY_FLOATS(name, E32, E64)                                                               \
    LOOP1(name##_f32, float, float, E32)                                                           \
    LOOP1(name##_f64, double, double, E64)

#define UNARY(name, grain, E32, E64)                                                               \
    UNARY_FLOATS(name, E32, E64)                                                                   \
    int sy__run_##name(const struct sy_run *x)                                                     \
    {                                                                                              \
        static const loop_fn loops[SY_DTYPE_COUNT] = {[SY_F32] = name##_f32,                       \
                                                      [SY_F64] = name##_f64};                      \
        return run_map(x, 1, loops, grain);                                                        \
    }

#define UNARY_ALL(name, E32, E64, EINT)                                                            \
    UNARY_FLOATS(name, E32, E64)                                                                   \
    LOOP1(name##_i32, int32_t, int32_t, EINT)                                                      \
    LOOP1(name##_i64, int64_t, int64_t, EINT)                                                      \
    LOOP1(name##_u8, uint8_t, uint8_t, EINT)                                                       \
    int sy__run_##name(const struct sy_run *x)                                                     \
    {                                                                                              \
        static const loop_fn loops[SY_DTYPE_COUNT] = {                                             \
            [SY_F32] = name##_f32, [SY_F64] = name##_f64, [SY_I32] = name##_i32,                   \
            [SY_I64] = name##_i64, [SY_U8] = name##_u8,   [SY_BOOL] = name##_u8};                  \
        return run_map(x, 1, loops, GRAIN_LIGHT);                                                  \
    }

UNARY_ALL(neg, -a, -a, 0 - (uint64_t)a)
UNARY_ALL(abs, fabsf(a), fabs(a), a < 0 ? 0 - (uint64_t)a : (uint64_t)a)
UNARY_ALL(square, a *a, a *a, (uint64_t)a *(uint64_t)a)
UNARY_ALL(relu, a < 0 ? 0 : a, a < 0 ? 0 : a, a < 0 ? 0 : a)
UNARY_ALL(sign, a > 0 ? 1 : a < 0 ? -1 : a, a > 0 ? 1 : a < 0 ? -1 : a, a > 0 ? 1 : a < 0 ? -1 : 0)
UNARY_ALL(clamp, a < (float)f[0] ? (float)f[0] : a > (float)f[1] ? (float)f[1] : a,
          a < f[0] ? f[0] : a > f[1] ? f[1] : a,
          (double)a < f[0] ? f[0] : (double)a > f[1] ? f[1] : (double)a)

UNARY(exp, GRAIN_HEAVY, sy_expf(a), exp(a))
UNARY(log, GRAIN_HEAVY, sy_logf(a), log(a))
UNARY(sqrt, GRAIN_LIGHT, sqrtf(a), sqrt(a))
UNARY(rsqrt, GRAIN_LIGHT, 1.0f / sqrtf(a), 1.0 / sqrt(a))
UNARY(sin, GRAIN_HEAVY, sy_sinf(a), sin(a))
UNARY(cos, GRAIN_HEAVY, sy_cosf(a), cos(a))
UNARY(erf, GRAIN_HEAVY, sy_erff(a), erf(a))
UNARY(tanh, GRAIN_HEAVY, sy_tanhf(a), tanh(a))
UNARY(sigmoid, GRAIN_HEAVY, sy_sigmoidf(a), 1.0 / (1.0 + exp(-a)))
UNARY(silu, GRAIN_HEAVY, a *sy_sigmoidf(a), a / (1.0 + exp(-a)))
UNARY(reciprocal, GRAIN_LIGHT, 1.0f / a, 1.0 / a)
UNARY(floor, GRAIN_LIGHT, floorf(a), floor(a))
UNARY(ceil, GRAIN_LIGHT, ceilf(a), ceil(a))
UNARY(round, GRAIN_LIGHT, rintf(a), rint(a))

/* GELU: x Phi(x); its approximation by tanh (Hendrycks & Gimpel 2016). */
#define GELU_C 0.7978845608028654 /* sqrt(2 / pi) */
#define GELU_K 0.044715
#define PDF_C 0.3989422804014327 /* 1 / sqrt(2 pi) */

static float gelu_inner_f32(float a) { return (float)GELU_C * (a + (float)GELU_K * a * a * a); }
static double gelu_inner_f64(double a) { return GELU_C * (a + GELU_K * a * a * a); }
static double phi_f64(double a) { return 0.5 * erfc(-a * 0.70710678118654752); }

UNARY(gelu, GRAIN_HEAVY, a *sy_phif(a), a *phi_f64(a))
UNARY(gelu_tanh, GRAIN_HEAVY, 0.5f * a * (1.0f + sy_tanhf(gelu_inner_f32(a))),
      0.5 * a * (1.0 + tanh(gelu_inner_f64(a))))

int sy__run_logical_not(const struct sy_run *x);
LOOP1(not_f32, float, uint8_t, a == 0)
LOOP1(not_f64, double, uint8_t, a == 0)
LOOP1(not_i32, int32_t, uint8_t, a == 0)
LOOP1(not_i64, int64_t, uint8_t, a == 0)
LOOP1(not_u8, uint8_t, uint8_t, a == 0)
int sy__run_logical_not(const struct sy_run *x)
{
    static const loop_fn loops[SY_DTYPE_COUNT] = {[SY_F32] = not_f32, [SY_F64] = not_f64,
                                                  [SY_I32] = not_i32, [SY_I64] = not_i64,
                                                  [SY_U8] = not_u8,   [SY_BOOL] = not_u8};
    return run_map(x, 1, loops, GRAIN_LIGHT);
}

/* ---- backward kernels: a is the forward's input (or output, where said), b the gradient ---- */

static float silu_slope_f32(float a)
{
    float s = sy_sigmoidf(a);
    return s * (1.0f + a * (1.0f - s));
}

static double silu_slope_f64(double a)
{
    double s = 1.0 / (1.0 + exp(-a));
    return s * (1.0 + a * (1.0 - s));
}

static float gelu_slope_f32(float a)
{
    return sy_phif(a) + a * ((float)PDF_C * sy_expf(-0.5f * a * a));
}
static double gelu_slope_f64(double a) { return phi_f64(a) + a * PDF_C * exp(-0.5 * a * a); }

static float gelu_tanh_slope_f32(float a)
{
    float t = sy_tanhf(gelu_inner_f32(a));
    float inner = (float)GELU_C * (1.0f + (float)(3 * GELU_K) * a * a);
    return 0.5f * (1.0f + t) + 0.5f * a * (1.0f - t * t) * inner;
}

static double gelu_tanh_slope_f64(double a)
{
    double t = tanh(gelu_inner_f64(a));
    return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * GELU_C * (1 + 3 * GELU_K * a * a);
}

#define BACKWARD(name, grain, E32, E64)                                                            \
    BINARY_FLOATS(name, E32, E64)                                                                  \
    RUN2_FLOATS(name, grain)

BACKWARD(abs_backward, GRAIN_LIGHT, a > 0 ? b : a < 0 ? -b : 0, a > 0 ? b : a < 0 ? -b : 0)
BACKWARD(relu_backward, GRAIN_LIGHT, a > 0 ? b : 0, a > 0 ? b : 0)
BACKWARD(clamp_backward, GRAIN_LIGHT, (double)a >= f[0] && (double)a <= f[1] ? b : 0,
         a >= f[0] && a <= f[1] ? b : 0)
BACKWARD(tanh_backward, GRAIN_LIGHT, b *(1.0f - a * a), b *(1.0 - a * a))    /* a: output */
BACKWARD(sigmoid_backward, GRAIN_LIGHT, b *a *(1.0f - a), b *a *(1.0 - a)) /* a: output */
BACKWARD(silu_backward, GRAIN_HEAVY, b *silu_slope_f32(a), b *silu_slope_f64(a))
BACKWARD(gelu_backward, GRAIN_HEAVY, b *gelu_slope_f32(a), b *gelu_slope_f64(a))
BACKWARD(gelu_tanh_backward, GRAIN_HEAVY, b *gelu_tanh_slope_f32(a), b *gelu_tanh_slope_f64(a))

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
