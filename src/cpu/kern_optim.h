/* Optimizer kernels on flat fp32 buffers, one table for each instruction set: one pass over memory
 * each. In-place, elementwise (a caller may cut the range anywhere), except the sums.
 */
#ifndef SY_CPU_KERN_OPTIM_H
#define SY_CPU_KERN_OPTIM_H

#include <stdint.h>

/* g' = grad_scale g;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2;
 * p = p (1 - lr decay) - lr / correct1 * m / (sqrt(v) / sqrt(correct2) + eps)
 * correct1 = 1 - beta1^t, correct2 = 1 - beta2^t, t from 1.
 * Source: Kingma & Ba 2015, alg. 1; Loshchilov & Hutter 2019, alg. 2. */
struct sy_adamw {
    float lr, beta1, beta2, eps, decay, grad_scale;
    double correct1, correct2;
};

/* g' = grad_scale g;  m = momentum m + g';  p = p (1 - lr decay) - lr (nesterov ? g' + momentum m :
 * m).  Source: Sutskever et al. 2013; Loshchilov & Hutter 2019, alg. 1 (decoupled decay). */
struct sy_sgd {
    float lr, momentum, decay, grad_scale;
    int nesterov;
};

struct sy_optim_kernels {
    void (*adamw)(float *p, const float *g, float *m, float *v, int64_t n,
                  const struct sy_adamw *a);
    void (*sgd)(float *p, const float *g, float *m, int64_t n, const struct sy_sgd *a);
    /* m and g' as above; g becomes what sgd multiplies lr by. */
    void (*momentum)(float *g, float *m, int64_t n, const struct sy_sgd *a);
    /* g' = scale g;  v = beta v + (1 - beta) (g'^2 + tiny);  g = g' / sqrt(v) */
    void (*second)(float *g, float *v, int64_t n, float beta, float scale, float tiny);
    void (*scale)(float *x, float a, int64_t n);
    void (*mix)(float *y, float b, const float *x, float a, int64_t n); /* y = b y + a x */
    void (*outer)(float *y, const float *x, float a, int64_t n);        /* y = a y x */
    void (*add_squares)(double *sum, const float *x, int64_t n);        /* sum += x^2, each */
    /* Sum of squares in double over 16 lanes; `bad` (may be NULL) gets the index of the first
     * element that is not finite, or -1.  Whole-buffer sums: cut into blocks by shape, add in
     * order. */
    double (*sumsq)(const float *x, int64_t n, int64_t *bad);
};

extern const struct sy_optim_kernels sy__optim_ref, sy__optim_avx2, sy__optim_avx512;

#endif
