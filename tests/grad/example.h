/* Examples of operations: what the gradient test and the ISA-parity test walk through.
 *
 * A row of examples.def is
 *
 *     {SY_OP_MUL_, "3x4 4", .big = "65x100 100"},
 *     {SY_OP_CLAMP_, "3x4", F(-0.5, 0.5)},             I(..) integers, F(..) reals as in ops.def's
 *                                                      slots; with neither, the row's defaults
 *
 * The string lists the inputs: sizes joined by x ("." is a scalar, "-" an absent input), then
 * optionally a colon and letters:
 *
 *     (none)  floats of either sign, 0.1 <= |v| <= 2        p   positive floats, 0.5 .. 2
 *     d       floats, all different and 0.05 apart          u   floats in 0 .. 1
 *     iN      i32 in 0 .. N-1                               b   bool
 *     cN      i32: 0 .. N-1 counted up, over and over       z   zeros
 *
 * Floats have the dtype under test.  An operation that exists in f32 only is tried in f32, by
 * larger differences.
 */
#ifndef SY_TESTS_GRAD_EXAMPLE_H
#define SY_TESTS_GRAD_EXAMPLE_H

#include "ops/op.h"

struct example {
    enum sy_opcode op;
    const char *in;
    bool ints, reals; /* set by I and F: i and f count, zeros where one is missing */
    int64_t i[14];
    double f[4];
    const char *big;  /* inputs for the parity test: larger, odd sizes */
    unsigned frozen;  /* bit k: no gradient is promised for float input k */
    unsigned skip;    /* bit k: output k takes no part (a statistic saved for the backward pass) */
    double tolerance; /* instead of the test's */
};

extern const struct example examples[];
extern const int example_count;

/* Owned inputs (NULL: absent); returns how many, or -1. */
int example_inputs(const struct example *e, const char *text, enum sy_dtype dtype,
                   struct sy_tensor **in, struct sy_err *err);
/* Fresh, reproducible state of random operations; then apply.  Owned outputs; returns 0 or -1. */
int example_apply(const struct example *e, struct sy_tensor *const *in, int nin,
                  struct sy_tensor **out, struct sy_err *err);
/* A reproducible cotangent of t's shape and dtype, owned. */
struct sy_tensor *example_cotangent(const struct sy_tensor *t, int output, struct sy_err *err);
/* Scalar sum over float outputs of <out, cotangent>, owned; recorded where outputs want
 * gradients. */
struct sy_tensor *example_loss(const struct example *e, struct sy_tensor *const *out,
                               struct sy_err *err);
bool example_is_float(const struct sy_tensor *t); /* f32 or f64; false for NULL */
void example_release(struct sy_tensor **t, int n);

#endif
