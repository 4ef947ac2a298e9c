/* Attention in double, by its definition (cpu/attention.h): for f64 tensors, and what the blocked
 * kernels are compared with. */
#ifndef SY_OPS_ATTENTION_F64_H
#define SY_OPS_ATTENTION_F64_H

#include "cpu/attention.h"

struct sy__attention_f64 {
    struct sy_attn a; /* its pointers to floats are not read */
    double scale;
    const double *bias; /* or NULL */
    const double *q, *k, *v, *d_o, *o_in, *lse_in;
    double *o, *lse, *dq, *dk, *dv, *dbias; /* gradients are added to; dbias is summed over B */
};

/* False: there was no memory for a row. */
bool sy__attention_f64(const struct sy__attention_f64 *m);
bool sy__attention_backward_f64(const struct sy__attention_f64 *m);

#endif
