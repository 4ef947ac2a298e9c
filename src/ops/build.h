/* Building expressions in C (for vjp functions): every builder returns a tensor *borrowed* from
 * the innermost scope, or NULL; NULL in gives NULL out and the scope's first error stays.  So
 * expressions compose without a check or an unref between them:
 *
 *     x->din[0] = sy_b_neg(sy_b_mul(x->dout[0], x->in[1]));
 */
#ifndef SY_OPS_BUILD_H
#define SY_OPS_BUILD_H

#include "ops/op.h"

struct sy_scope {
    struct sy_scope *outer;
    struct sy_tensor **tensors;
    int count;
    size_t room;
    struct sy_err *err;
};
void sy_scope_begin(struct sy_scope *s, struct sy_err *err);
void sy_scope_end(struct sy_scope *s); /* unrefs all that it holds */
/* Give an owned tensor to the innermost scope; returns it. */
struct sy_tensor *sy_scope_own(struct sy_tensor *t);

/* Apply with `nin` inputs and optional attributes (NULL: the row's defaults); output 0. */
struct sy_tensor *sy_b_apply(enum sy_opcode code, const struct sy_attrs *attrs, int nin, ...);
/* All outputs, borrowed; returns 0 or -1. */
int sy_b_apply_all(enum sy_opcode code, const struct sy_attrs *attrs, struct sy_tensor *const *in,
                   int nin, struct sy_tensor **out);

struct sy_tensor *sy_b_add(struct sy_tensor *a, struct sy_tensor *b);
struct sy_tensor *sy_b_sub(struct sy_tensor *a, struct sy_tensor *b);
struct sy_tensor *sy_b_mul(struct sy_tensor *a, struct sy_tensor *b);
struct sy_tensor *sy_b_div(struct sy_tensor *a, struct sy_tensor *b);
struct sy_tensor *sy_b_neg(struct sy_tensor *a);
/* A constant of t's dtype, 0-dimensional. */
struct sy_tensor *sy_b_const(const struct sy_tensor *t, double v);
/* x * factor; x itself when factor is the constant 1 (the seed of a backward pass). */
struct sy_tensor *sy_b_scale(struct sy_tensor *x, struct sy_tensor *factor);
/* Sum x over the dimensions that broadcasting added, so that it has `like`'s shape. */
struct sy_tensor *sy_b_sum_to(struct sy_tensor *x, const struct sy_tensor *like);
struct sy_tensor *sy_b_reshape(struct sy_tensor *x, int ndim, const int64_t *shape);
struct sy_tensor *sy_b_reshape_like(struct sy_tensor *x, const struct sy_tensor *like);
struct sy_tensor *sy_b_permute(struct sy_tensor *x, const int *order);
struct sy_tensor *sy_b_swap(struct sy_tensor *x, int dim0, int dim1);
struct sy_tensor *sy_b_sum(struct sy_tensor *x, int dim, bool keep);
struct sy_tensor *sy_b_expand(struct sy_tensor *x, int ndim, const int64_t *shape);

#endif
