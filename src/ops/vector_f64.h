/* Vectors in double by plain loops, for reference paths: elements in their order, so the bits are
 * those of any compiler. */
#ifndef SY_OPS_VECTOR_F64_H
#define SY_OPS_VECTOR_F64_H

#include <stdint.h>

static inline double sy__dot_f64(const double *a, const double *b, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

/* y += a x */
static inline void sy__axpy_f64(double *y, double a, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

#endif
