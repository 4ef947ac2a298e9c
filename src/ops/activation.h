/* Activations in double, by enum sy_activation: value, and derivative in *slope.  For reference
 * paths. */
#ifndef SY_OPS_ACTIVATION_H
#define SY_OPS_ACTIVATION_H

double sy__act_f64(int act, double x, double *slope);

#endif
