/* Shared by the tests of the kernel families: the sets that this CPU can run, inputs, comparisons.
 */
#ifndef SY_TESTS_KERN_SETS_H
#define SY_TESTS_KERN_SETS_H

#include "cpu/cpu.h"
#include "cpu/kern_map.h"
#include "cpu/kern_optim.h"
#include "cpu/kern_row.h"
#include "unit/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 3 };

/* The sets by name, ref first; NULL where the CPU lacks one. */
static inline const struct sy_kernels *kern_set(int i)
{
    static const char *const names[SETS] = {"ref", "avx2", "avx512"};
    return sy_cpu_force(names[i], NULL) == 0 ? sy_cpu() : NULL;
}

/* A 64-bit mixer (splitmix64's) as a reproducible source. */
static inline uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Uniform in [lo, hi). */
static inline void fill_range(float *x, int64_t n, uint64_t seed, double lo, double hi)
{
    for (int64_t i = 0; i < n; i++)
        x[i] =
            (float)(lo + (hi - lo) * ((double)(mix(seed * 1000003 + (uint64_t)i) >> 11) * 0x1p-53));
}

/* Bits of every kind: all exponents, zeros, infinities, NaN. */
static inline void fill_any(float *x, int64_t n, uint64_t seed)
{
    static const float special[] = {0.0f,    -0.0f,     1.0f,       -1.0f,     INFINITY, -INFINITY,
                                    NAN,     0x1p-149f, -0x1p-149f, 0x1p-126f, 88.8f,    -103.9f,
                                    3.4e38f, -3.4e38f,  0.5f,       2.5f};
    for (int64_t i = 0; i < n; i++) {
        uint64_t h = mix(seed * 7919 + (uint64_t)i);
        uint32_t u = (uint32_t)h;
        if (h >> 61 == 0)
            x[i] = special[(h >> 40) & 15];
        else if (h >> 63)
            memcpy(x + i, &u, sizeof u);
        else
            x[i] = (float)((double)(int32_t)u * 0x1p-27); /* -16 .. 16 */
    }
}

/* Equal bits, where one NaN is as good as another. */
static inline int same(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(a[i] != a[i] && b[i] != b[i])) {
            tap_note("element %d: %.9g and %.9g", (int)i, (double)a[i], (double)b[i]);
            return 0;
        }
    return 1;
}

/* Error of got in units of the last place of want as f32. */
static inline double ulps(float got, double want)
{
    if (want != want || got != got)
        return want != want && got != got ? 0 : HUGE_VAL;
    float w = (float)want;
    if (w == got)
        return 0;
    if (isinf(w) || isinf(got))
        return HUGE_VAL;
    int e;
    frexp(want, &e);
    return fabs((double)got - want) / ldexp(1.0, (e < -125 ? -125 : e) - 24);
}

/* Largest error relative to tolerance * (1 + |want|). */
static inline int near(const float *got, const double *want, int64_t n, double tolerance)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * (1.0 + fabs(want[i])))) {
            tap_note("element %d: %.9g, not %.9g", (int)i, (double)got[i], want[i]);
            return 0;
        }
    return 1;
}

#endif
