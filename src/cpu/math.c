/* Scalar elementary functions (cpu/math.h).  f32: one lane of the vector code.  Double: our own,
 * since libm's results differ between versions and CPUs; series with the terms that 1e-17 needs. */
#include "cpu/math.h"

#include "cpu/kern/vec_math.h"

#include <math.h>

float sy_expf(float x)
{
    return SY_LANE(vf_exp, x);
}
float sy_logf(float x)
{
    return SY_LANE(vf_log, x);
}
float sy_tanhf(float x)
{
    return SY_LANE(vf_tanh, x);
}
float sy_sigmoidf(float x)
{
    return SY_LANE(vf_sigmoid, x);
}
float sy_erff(float x)
{
    return SY_LANE(vf_erf, x);
}
float sy_phif(float x)
{
    return SY_LANE(vf_phi, x);
}

static double from_bits(uint64_t u)
{
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

static uint64_t to_bits(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

/* c[0] + c[1] z + ... + c[n-1] z^(n-1) */
static double poly(const double *c, int n, double z)
{
    double p = c[n - 1];
    for (int i = n - 2; i >= 0; i--)
        p = p * z + c[i];
    return p;
}

static const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */

double sy_exp(double x)
{
    static const double c[] = {1.0,
                               1.0,
                               1.0 / 2,
                               1.0 / 6,
                               1.0 / 24,
                               1.0 / 120,
                               1.0 / 720,
                               1.0 / 5040,
                               1.0 / 40320,
                               1.0 / 362880,
                               1.0 / 3628800,
                               1.0 / 39916800,
                               1.0 / 479001600,
                               1.0 / 6227020800};
    if (x != x)
        return x;
    if (x > 710.0)
        return HUGE_VAL;
    if (x < -746.0)
        return 0.0;
    double t = x * 1.4426950408889634 + magic;
    double k = t - magic;
    double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    int64_t n = (int64_t)k, h = n >> 1;
    double p = poly(c, (int)(sizeof c / sizeof *c), r);
    return p * from_bits((uint64_t)(h + 1023) << 52) * from_bits((uint64_t)(n - h + 1023) << 52);
}

/* x = 2^e m;  log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172. */
double sy_log(double x)
{
    static const double c[] = {2.0,      2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11,
                               2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23};
    if (!(x > 0.0))
        return x == 0.0 ? -HUGE_VAL : (double)NAN;
    if (x > 1.7976931348623157e308)
        return x;
    int64_t e = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e = -54;
    }
    int64_t b = (int64_t)(to_bits(x) - 0x3fe6a09e667f3bcdu);
    e += b >> 52;
    double m = from_bits(((uint64_t)b & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
    double s = (m - 1.0) / (m + 1.0), k = (double)e;
    return k * 6.93147180369123816490e-01 +
           (s * poly(c, (int)(sizeof c / sizeof *c), s * s) + k * 1.90821492927058770002e-10);
}

/* x - k pi/2 with pi/2 in three parts, the first two of 33 bits: exact products for |k| < 2^20. */
void sy_sincos(double x, double *s, double *c)
{
    static const double sc[] = {
        -1.0 / 6,        1.0 / 120,        -1.0 / 5040,         1.0 / 362880,
        -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368e3, 1.0 / 355687428096e3};
    static const double cc[] = {-1.0 / 2,           1.0 / 24,           -1.0 / 720,
                                1.0 / 40320,        -1.0 / 3628800,     1.0 / 479001600,
                                -1.0 / 87178291200, 1.0 / 20922789888e3};
    if (!(fabs(x) < 1.6e6))
        x = fmod(x, 6.283185307179586); /* NaN for infinities */
    double t = x * 0.63661977236758134 + magic;
    double k = t - magic;
    double r = x - k * 1.57079632673412561417e+00;
    r = r - k * 6.07710050630396597660e-11;
    r = r - k * 2.02226624879595063154e-21;
    double z = r * r;
    double sn = r + r * z * poly(sc, (int)(sizeof sc / sizeof *sc), z);
    double cs = 1.0 + z * poly(cc, (int)(sizeof cc / sizeof *cc), z);
    uint64_t q = x == x ? (uint64_t)(int64_t)k & 3 : 0;
    double a = q & 1 ? cs : sn, b = q & 1 ? sn : cs;
    *s = q & 2 ? -a : a;
    *c = (q + 1) & 2 ? -b : b;
}

float sy_sinf(float x)
{
    double s, c;
    sy_sincos((double)x, &s, &c);
    return x == 0.0f ? x : (float)s;
}

float sy_cosf(float x)
{
    double s, c;
    sy_sincos((double)x, &s, &c);
    return (float)c;
}

/* C11 F.10.4.4 */
float sy_powf(float a, float b)
{
    if (a == 1.0f || b == 0.0f)
        return 1.0f;
    if (a != a || b != b)
        return a + b;
    float m = fabsf(a);
    bool whole = fabsf(b) >= 0x1p23f || (float)(int32_t)b == b;
    bool odd = fabsf(b) < 0x1p24f && whole && ((int32_t)b & 1);
    float sign = signbit(a) && odd ? -1.0f : 1.0f;
    if (isinf(b))
        return m == 1.0f ? 1.0f : (m < 1.0f) == (b > 0.0f) ? 0.0f : HUGE_VALF;
    if (m == 0.0f || isinf(m))
        return sign * ((m == 0.0f) == (b > 0.0f) ? 0.0f : HUGE_VALF);
    if (a < 0.0f && !whole)
        return NAN;
    return sign * (float)sy_exp((double)b * sy_log((double)m));
}
