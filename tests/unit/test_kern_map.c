/* Elementwise kernels: error against double precision, and equal bits in all kernel sets at all
 * sizes and alignments. */
#include "unit/kern_sets.h"

#include "base/rng.h"
#include "cpu/math.h"

enum { N = 4099, GUARD = 32 };

static double d_neg(double x)
{
    return -x;
}
static double d_sign(double x)
{
    return x != x ? x : (x > 0) - (x < 0);
}
static double d_square(double x)
{
    return x * x;
}
static double d_rsqrt(double x)
{
    return 1 / sqrt(x);
}
static double d_recip(double x)
{
    return 1 / x;
}
static double d_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double d_softplus(double x)
{
    return x > 40 ? x : log1p(exp(x));
}
static double d_relu(double x)
{
    return x < 0 ? 0 : x;
}
static double d_relu2(double x)
{
    return x < 0 ? 0 : x * x;
}
static double d_silu(double x)
{
    return x / (1 + exp(-x));
}
static double d_gelu(double x)
{
    return 0.5 * x * erfc(-x * 0.70710678118654752);
}
static double d_gelu_tanh(double x)
{
    return x / (1 + exp(-2 * 0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

/* Reference, error bound in ulp, range it holds on.  Derivatives are checked by differences of the
 * reference on [-6, 6], or [0.1, 6] where the function needs it. */
static const struct row {
    enum sy_unary op;
    double (*f)(double);
    double bound, lo, hi;
} rows[] = {
    {SY_UNARY_NEG, d_neg, 0, -1e38, 1e38},
    {SY_UNARY_ABS, fabs, 0, -1e38, 1e38},
    {SY_UNARY_SIGN, d_sign, 0, -1e38, 1e38},
    {SY_UNARY_FLOOR, floor, 0, -1e38, 1e38},
    {SY_UNARY_CEIL, ceil, 0, -1e38, 1e38},
    {SY_UNARY_TRUNC, trunc, 0, -1e38, 1e38},
    {SY_UNARY_ROUND, nearbyint, 0, -1e38, 1e38},
    {SY_UNARY_SQUARE, d_square, 0.51, -1e18, 1e18},
    {SY_UNARY_SQRT, sqrt, 0.51, 0, 1e38},
    {SY_UNARY_RSQRT, d_rsqrt, 1.51, 1e-38, 1e38},
    {SY_UNARY_RECIP, d_recip, 0.51, -1e38, 1e38},
    {SY_UNARY_EXP, exp, 1.1, -110, 90},
    {SY_UNARY_LOG, log, 1.0, 0, 1e38},
    {SY_UNARY_LOG1P, log1p, 3, -0.99, 1e38},
    {SY_UNARY_SIN, sin, 0.51, -1e6, 1e6},
    {SY_UNARY_COS, cos, 0.51, -1e6, 1e6},
    {SY_UNARY_TANH, tanh, 1.5, -1e38, 1e38},
    {SY_UNARY_ERF, erf, 3, -1e38, 1e38},
    {SY_UNARY_SIGMOID, d_sigmoid, 2.5, -1e38, 1e38},
    {SY_UNARY_SOFTPLUS, d_softplus, 4, -1e38, 1e38},
    {SY_UNARY_RELU, d_relu, 0, -1e38, 1e38},
    {SY_UNARY_RELU2, d_relu2, 0.51, -1e18, 1e18},
    {SY_UNARY_SILU, d_silu, 4, -80, 1e38},
    {SY_UNARY_GELU, d_gelu, 16, -5, 1e38},
    {SY_UNARY_GELU_TANH, d_gelu_tanh, 14, -3, 1e38},
};

/* Half of the samples of any exponent, half spread over the middle. */
static void accuracy(const struct row *r)
{
    static float x[100000], y[100000];
    const int n = 100000;
    double worst = 0, at = 0;
    fill_any(x, n / 2, 3);
    fill_range(x + n / 2, n / 2, 5, r->lo < -20 ? -20 : r->lo, r->hi > 20 ? 20 : r->hi);
    sy_cpu()->map->unary[r->op](y, x, n);
    for (int i = 0; i < n; i++) {
        double v = (double)x[i], u = ulps(y[i], r->f(v));
        if ((v != v || (v >= r->lo && v <= r->hi)) && u > worst) {
            worst = u;
            at = v;
        }
    }
    tap_ok(worst <= r->bound, "%s: %.3f ulp at %.9g, bound %g", sy_unary_names[r->op], worst, at,
           r->bound);
}

static void derivative(const struct row *r)
{
    static float x[600], y[600], dy[600], dx[600];
    static double want[600];
    const int n = 600;
    const double h = 1e-5;
    fill_range(x, n, 11, r->lo >= 0 || r->lo == -0.99 ? 0.1 : -6, 6);
    fill_range(dy, n, 12, -2, 2);
    fill_range(dx, n, 13, -1, 1);
    sy_cpu()->map->unary[r->op](y, x, n);
    for (int i = 0; i < n; i++) {
        if (fabs((double)x[i]) < 0.05)
            x[i] = 0.05f; /* kinks and the pole of 1/x */
        double v = (double)x[i];
        want[i] = (double)dx[i] + (double)dy[i] * (r->f(v + h) - r->f(v - h)) / (2 * h);
    }
    sy_cpu()->map->unary[r->op](y, x, n);
    char needs = sy_unary_needs[r->op];
    sy_cpu()->map->unary_back[r->op](dx, dy, needs == 'X' ? x : NULL, needs == 'Y' ? y : NULL, n,
                                     true);
    tap_ok(near(dx, want, n, 2e-5), "%s: derivative", sy_unary_names[r->op]);
}

struct buf {
    float f[N + GUARD];
    uint8_t u8[N + GUARD];
    uint16_t u16[N + GUARD];
    int32_t i32[N + GUARD];
    double f64[N + GUARD];
};

static float in_a[N + GUARD], in_b[N + GUARD], in_c[N + GUARD];
static uint8_t in_u8[N + GUARD];

/* Everything of the table, number `what`, on n elements at offset `off`; 0 when there is none. */
static int run(const struct sy_map_kernels *k, int what, struct buf *o, int64_t n, int off)
{
    const float *a = in_a + off, *b = in_b + off;
    float *y = o->f + off;
    memset(o, 0, sizeof *o);
    for (int i = 0; i < N + GUARD; i++)
        o->f[i] = in_c[i];
    if (what < SY_UNARY_COUNT)
        return k->unary[what](y, a, n), 1;
    what -= SY_UNARY_COUNT;
    if (what < 2 * SY_UNARY_COUNT)
        return k->unary_back[what / 2](y, b, a, a, n, what & 1), 1;
    what -= 2 * SY_UNARY_COUNT;
    if (what < SY_BINARY_COUNT)
        return k->binary[what](y, a, b, n), 1;
    what -= SY_BINARY_COUNT;
    if (what < SY_BINARY_COUNT)
        return k->binary_vs[what](y, a, 1.25f, n), 1;
    what -= SY_BINARY_COUNT;
    if (what < SY_BINARY_COUNT)
        return k->binary_sv[what](y, 1.25f, b, n), 1;
    what -= SY_BINARY_COUNT;
    if (what < SY_COMPARE_COUNT)
        return k->compare[what](o->u8 + off, a, b, n), 1;
    what -= SY_COMPARE_COUNT;
    if (what < SY_COMPARE_COUNT)
        return k->compare_vs[what](o->u8 + off, a, 1.0f, n), 1;
    what -= SY_COMPARE_COUNT;
    const struct sy_rng r = {42, SY_RNG_DROPOUT, 7};
    switch (what) {
    case 0:
        return k->where(y, in_u8 + off, a, b, n), 1;
    case 1:
        return k->fill(y, 2.5f, n), 1;
    case 2:
        return k->copy(y, a, n), 1;
    case 3:
        return k->scale(y, a, 0.3f, n), 1;
    case 4:
        return k->affine(y, a, 0.3f, 0.7f, n), 1;
    case 5:
        return k->axpy(y, 0.3f, a, n), 1;
    case 6:
        return k->muladd(y, a, b, n), 1;
    case 7:
        return k->clamp(y, a, -1.0f, 2.0f, n), 1;
    case 8:
        return k->f32_to_bf16(o->u16 + off, a, n), 1;
    case 9:
        return k->bf16_to_f32(y, (const uint16_t *)in_u8 + off, n / 2), 1;
    case 10:
        return k->f32_to_i32(o->i32 + off, a, n), 1;
    case 11:
        return k->i32_to_f32(y, (const int32_t *)(const void *)b, n), 1;
    case 12:
        return k->u8_to_f32(y, in_u8 + off, n), 1;
    case 13:
        return k->f32_to_f64(o->f64 + off, a, n), 1;
    case 14:
        return k->dropout(y, a, &r, 1000 + (uint64_t)off, 0.25f, n), 1;
    case 15:
        return k->unary[SY_UNARY_EXP](y, y, n), 1; /* in place */
    case 16:
        return k->binary[SY_BINARY_SUB](y, a, y, n), 1; /* in place */
    default:
        return 0;
    }
}

static int same_buf(const struct buf *a, const struct buf *b)
{
    return same(a->f, b->f, N + GUARD) && !memcmp(a->u8, b->u8, sizeof a->u8) &&
           !memcmp(a->u16, b->u16, sizeof a->u16) && !memcmp(a->i32, b->i32, sizeof a->i32) &&
           (memcmp(a->f64, b->f64, sizeof a->f64) == 0 || !isfinite(a->f64[0]));
}

/* Every kernel of the set against ref's on every n, and ref's on n against ref's on all N: a
 * partial vector gives the bits of a whole one, and nothing is written behind the end. */
static void parity(int set)
{
    static struct buf want, got;
    const struct sy_kernels *k = kern_set(set);
    if (!k) {
        tap_skip("kernel set %d", set);
        return;
    }
    int ok = 1, what = 0;
    for (; ok && run(&sy__map_ref, what, &want, N, 0); what++)
        for (int64_t n = 0; ok && n <= N; n += n < 67 ? 1 : N - 67) {
            int off = (int)(n % 3);
            run(&sy__map_ref, what, &want, n, off);
            run(k->map, what, &got, n, off);
            ok = same_buf(&want, &got);
            for (int64_t i = 0; ok && i < GUARD - off; i++)
                ok = !memcmp(got.f + off + n + i, in_c + off + n + i, sizeof(float));
            if (!ok)
                tap_note("kernel %d, n %d", what, (int)n);
        }
    tap_ok(ok, "%s: the same bits as ref, %d kernels", k->name, what);
}

/* A sub-range equals the range's part. */
static void cut(void)
{
    static struct buf all;
    int ok = 1;
    for (int what = 0; ok && what < SY_UNARY_COUNT; what++) {
        run(&sy__map_ref, what, &all, N, 0);
        for (int i = 0; ok && i < 200; i++) {
            float y;
            sy__map_ref.unary[what](&y, in_a + i, 1);
            ok = same(&y, all.f + i, 1);
        }
    }
    tap_ok(ok, "one element gives the bits of a range");
}

static void powers(void)
{
    static const float v[] = {0.0f, -0.0f,  1.0f,   -1.0f,      2.0f,        -2.0f,    3.0f,
                              0.5f, -0.5f,  1e30f,  -1e30f,     16777217.0f, INFINITY, -INFINITY,
                              NAN,  1e-40f, 0.999f, 8388609.0f, 1.0001f,     80.0f};
    const int n = sizeof v / sizeof *v;
    double worst = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double want = pow((double)v[i], (double)v[j]);
            float got = sy_powf(v[i], v[j]);
            double u = ulps(got, want);
            if (!signbit(want) != !signbit(got) && want == want)
                u = HUGE_VAL;
            if (u > 0.6)
                tap_note("pow(%g, %g) = %.9g, not %.9g", (double)v[i], (double)v[j], (double)got,
                         want);
            worst = u > worst ? u : worst;
        }
    static float a[20000], b[20000];
    fill_range(a, 20000, 1, 0.01, 30);
    fill_range(b, 20000, 2, -20, 20);
    for (int i = 0; i < 20000; i++)
        worst = fmax(worst, ulps(sy_powf(a[i], b[i]), pow((double)a[i], (double)b[i])));
    tap_ok(worst <= 0.51, "pow: %.4f ulp, special cases as in C", worst);
}

static void doubles(void)
{
    double e = 0, l = 0, s = 0;
    for (int i = 0; i < 100000; i++) {
        double x = -700 + 1400 * (double)(mix((uint64_t)i) >> 11) * 0x1p-53;
        double y = exp(x), sn, cs;
        e = fmax(e, fabs(sy_exp(x) / y - 1));
        l = fmax(l, fabs(sy_log(y) - log(y)) / fmax(1e-3, fabs(log(y))));
        sy_sincos(x * 1000, &sn, &cs);
        s = fmax(s, fmax(fabs(sn - sin(x * 1000)), fabs(cs - cos(x * 1000))));
    }
    tap_ok(e < 1e-15 && l < 1e-15 && s < 1e-15, "double exp %.2g, log %.2g, sin and cos %.2g", e, l,
           s);
    tap_ok(sy_exp(-740) > 0 && sy_exp(-750) == 0 && sy_exp(1000) > 1e308 && sy_log(0) < -1e308 &&
               fabs(sy_log(0x1p-1074) / log(0x1p-1074) - 1) < 1e-15,
           "double exp and log at the ends of the range");
}

static void scalars(void)
{
    float x[64], y[64];
    int ok = 1;
    fill_any(x, 64, 99);
    for (int i = 0; i < 64; i++)
        y[i] = sy_expf(x[i]);
    float z[64];
    sy_cpu()->map->unary[SY_UNARY_EXP](z, x, 64);
    ok &= same(y, z, 64);
    for (int i = 0; i < 64; i++)
        y[i] = sy_tanhf(x[i]);
    sy_cpu()->map->unary[SY_UNARY_TANH](z, x, 64);
    ok &= same(y, z, 64);
    tap_ok(ok, "a scalar function gives the bits of a vector's lane");
}

static void conversions(void)
{
    static const float x[] = {1.0f, 0x1.01p0f, 0x1.03p0f, 0x1.010002p0f,
                              NAN,  INFINITY,  3.4e38f,   -0.0f};
    static const uint16_t want[] = {0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x7fc0, 0x7f80, 0x7f80, 0x8000};
    uint16_t y[8];
    int32_t z[4];
    const float v[] = {2.9f, -2.9f, 1e10f, NAN};
    sy_cpu()->map->f32_to_bf16(y, x, 8);
    tap_ok(!memcmp(y, want, sizeof y), "bf16: nearest even, NaN kept");
    sy_cpu()->map->f32_to_i32(z, v, 4);
    tap_ok(z[0] == 2 && z[1] == -2 && z[2] == INT32_MIN && z[3] == INT32_MIN, "i32: toward zero");
}

/* Words by sy_philox (base/rng.h) against the kernel's own. */
static void dropout(void)
{
    static float x[N], y[N], z[N];
    const struct sy_rng r = {0x123456789abcdef0u, SY_RNG_DROPOUT, 0x1234500000077u};
    int kept = 0, ok = 1;
    for (int i = 0; i < N; i++)
        x[i] = 1.0f;
    sy_cpu()->map->dropout(y, x, &r, 0, 0.25f, N);
    for (int i = 0; i < N; i++) {
        const uint32_t counter[4] = {(uint32_t)(i / 64 * 16 + i % 16), r.purpose, (uint32_t)r.step,
                                     (uint32_t)(r.step >> 32)};
        const uint32_t key[2] = {(uint32_t)r.seed, (uint32_t)(r.seed >> 32)};
        uint32_t w[4];
        sy_philox(counter, key, w);
        int keep = w[i % 64 / 16] >= 0x40000000u;
        kept += keep;
        ok &= y[i] == (keep ? 1.0f / 0.75f : 0.0f);
    }
    tap_ok(ok, "dropout: the words of Philox4x32-10");
    tap_ok(abs(kept - N * 3 / 4) < 140, "dropout: %d of %d kept at p = 1/4", kept, N);
    sy_cpu()->map->dropout(z, x + 77, &r, 77, 0.25f, N - 77);
    tap_ok(same(z, y + 77, N - 77), "dropout: an element depends on its index only");
}

int main(void)
{
    fill_any(in_a, N + GUARD, 1);
    fill_any(in_b, N + GUARD, 2);
    fill_range(in_c, N + GUARD, 3, -3, 3);
    for (int i = 0; i < N + GUARD; i++)
        in_u8[i] = (uint8_t)(mix((uint64_t)i) & 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        accuracy(rows + i);
        derivative(rows + i);
    }
    tap_ok(sizeof rows / sizeof *rows == SY_UNARY_COUNT, "every unary function is checked");
    for (int s = 0; s < SETS; s++)
        parity(s);
    cut();
    powers();
    doubles();
    scalars();
    conversions();
    dropout();
    return tap_done();
}
