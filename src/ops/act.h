/* Activations in double, by enum sy_act: value, and derivative in *slope.  For reference paths. */
#ifndef SY_OPS_ACT_H
#define SY_OPS_ACT_H

double sy__act_f64(int act, double x, double *slope);

#endif
