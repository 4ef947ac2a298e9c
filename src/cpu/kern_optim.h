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

/* g' = grad_scale g + decay p;  m = momentum m + g';  p -= lr (nesterov ? g' + momentum m : m).
 * momentum 0: m may be NULL. */
struct sy_sgd {
    float lr, momentum, decay, grad_scale;
    int nesterov;
};

struct sy_optim_kernels {
    void (*adamw)(float *p, const float *g, float *m, float *v, int64_t n,
                  const struct sy_adamw *a);
    void (*sgd)(float *p, const float *g, float *m, int64_t n, const struct sy_sgd *a);
    void (*scale)(float *x, float a, int64_t n);
    /* Sum of squares in double over 16 lanes; `bad` (may be NULL) gets the index of the first
     * element that is not finite, or -1.  Whole-buffer sums: cut into blocks by shape, add in
     * order. */
    double (*sumsq)(const float *x, int64_t n, int64_t *bad);
};

extern const struct sy_optim_kernels sy__optim_ref, sy__optim_avx2, sy__optim_avx512;

#endif
