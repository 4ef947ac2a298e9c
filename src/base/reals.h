/* Doubles in order and in comparison. */
#ifndef SY_BASE_REALS_H
#define SY_BASE_REALS_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Of qsort: the least first.  There is no NaN among them. */
static inline int sy_rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v (n), n > 0, without NaN. */
static inline double sy_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, sy_rising);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

/* A NaN is the same as another. */
static inline bool sy_same_real(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

#endif
