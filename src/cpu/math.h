/* Scalar elementary functions: the same bits as one lane of the vector kernels
 * (cpu/kern/vec_math.h), on every machine and with every libm.  For set-up code and the plain C
 * parts of the engine; loops over arrays go through sy_cpu()->map.
 *
 *   sy_expf .. sy_erff, sy_phif   f32, error bounds in cpu/kern/vec_math.h
 *   sy_powf      1 ulp, special cases as C's powf; through double
 *   sy_sincos    double, absolute error < 1e-15 * max(1, |x|/1e3); |x| up to 1e9 (beyond it the
 *                argument is reduced by fmod first: deterministic, no accuracy promised)
 */
#ifndef SY_CPU_MATH_H
#define SY_CPU_MATH_H

float sy_expf(float x);
float sy_logf(float x);
float sy_tanhf(float x);
float sy_sigmoidf(float x);
float sy_erff(float x);
float sy_phif(float x); /* standard normal distribution function */
float sy_powf(float a, float b);
float sy_sinf(float x);
float sy_cosf(float x);
void sy_sincos(double x, double *s, double *c);
double sy_exp(double x); /* double precision, ~1 ulp, |error| < 1e-15 relative */
double sy_log(double x);

#endif
