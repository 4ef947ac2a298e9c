/* Activations by their number (enum sy_activation). */
#ifndef SY_OPS_ACTIVATION_H
#define SY_OPS_ACTIVATION_H

#include "ops/op.h"

/* The operation's attribute act, its first, is one; or RANGE. */
int sy__want_activation(struct sy_infer *x);
/* In double, for reference paths: value, and derivative in *slope. */
double sy__act_f64(int act, double x, double *slope);

#endif
