/* Shared by experts.c and experts_f64.c: one call, with everything found.  Pointers are float or
 * double by the operation's dtype; names and formulas are in the head of experts.c. */
#ifndef SY_MOE_EXPERTS_INT_H
#define SY_MOE_EXPERTS_INT_H

#include "moe/moe_int.h"

struct sy__experts {
    int64_t n, c, k, r, e, f; /* r: slots; `used` of them hold a token */
    int64_t used;
    int act; /* enum sy_activation */
    enum sy_precision precision;
    const void *x, *gates;               /* (N,C), (N,K) */
    const int32_t *rows, *pos, *offsets; /* moe_int.h */
    /* (E,F,C); (E,F,C) or NULL: plain experts; (E,C,F) */
    const struct sy_tensor *t_act, *t_mul, *t_down;
    const void *w_act, *w_mul, *w_down; /* their elements, where they are not packed */
    void *g, *u;                         /* (R,F), (R,F) or NULL */
    void *h;                             /* (R,F) workspace; backward: t, then hs */
    void *y;                             /* (R,C) workspace */
    void *out;                           /* (N,C) */
    struct sy_gemm_problem *problem;     /* E, backward 3E */
    const void *dout;                    /* backward */
    void *gate_slot, *dgate_slot;        /* (R) */
    void *dx, *dgates;                   /* NULL: not wanted */
    void *dw_act, *dw_mul, *dw_down;     /* NULL: not wanted */
};

/* The same in double, by plain loops: the reference that gradients are checked against. */
void sy__experts_f64(const struct sy__experts *m);
void sy__experts_backward_f64(const struct sy__experts *m);

#endif
