/* What a parameter begins with: numbers that are pure functions of (seed, key, element).
 *
 *  1. The same bits on every machine and for any number of threads: plain C, no BLAS.
 *  2. SY_INIT_TRUNCATED: a normal of deviation `scale` whose draws beyond two deviations are drawn
 *     again, as in Fedus et al. 2021, section 2.4; its own deviation is 0.8796 of `scale`.
 *  3. SY_INIT_ORTHOGONAL: each matrix of the last two dimensions has orthonormal rows, or columns
 *     where it has more rows, times `scale`: a normal matrix, orthogonalized (Saxe et al. 2013). */
#ifndef SY_TENSOR_INIT_H
#define SY_TENSOR_INIT_H

#include "tensor/tensor.h"

enum sy_init {
    SY_INIT_ZEROS,
    SY_INIT_ONES,
    SY_INIT_NORMAL,     /* scale: deviation */
    SY_INIT_TRUNCATED,  /* scale: deviation before the cut */
    SY_INIT_UNIFORM,    /* scale: from -scale to scale */
    SY_INIT_ORTHOGONAL, /* scale: gain */
    SY_INIT_COUNT
};

/* "zeros", "ones", "normal", ... */
const char *sy_init_name(enum sy_init form);
/* Fill a contiguous f32 tensor.  0, or -1 with MEMORY or SHAPE (orthogonal: no matrix). */
int sy_init_fill(struct sy_tensor *t, enum sy_init form, double scale, uint64_t seed, uint64_t key,
                 struct sy_err *err);

#endif
