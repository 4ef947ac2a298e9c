/* Programs against eager execution: the same bits for random graphs, with gradients, in place, and
 * with an arena that is filled with NaN before each run (so that nothing reads what it did not
 * write). */
#include "unit/tap.h"

#include "base/mem.h"
#include "base/rng.h"
#include "ops/build.h"
#include "switchyard/graph.h"

#include <math.h>
#include <string.h>

#define SIDE 12
#define LEAVES 4
#define NODES 40

static struct sy_rng rng = {.seed = 7, .purpose = SY_RNG_USER};
static uint64_t draws;

static int64_t below(uint64_t n) { return (int64_t)sy_rng_below(&rng, draws++, n); }

static struct sy_tensor *random_leaf(void)
{
    int64_t shape[2] = {SIDE, SIDE};
    struct sy_tensor *t = sy_tensor_empty(SY_F32, 2, shape, NULL);
    sy_rng_fill_uniform(&rng, draws, sy_tensor_data(t), SIDE * SIDE);
    draws += SIDE * SIDE;
    sy_tensor_set_requires_grad(t, true);
    return t;
}

/* One random operation over tensors made so far; the same choices again for the same `choice`. */
static struct sy_tensor *random_op(struct sy_tensor **have, int n, const int64_t choice[4])
{
    struct sy_tensor *a = have[choice[1] % n], *b = have[choice[2] % n];
    switch (choice[0]) {
    case 0: return sy_b_add(a, b);
    case 1: return sy_b_sub(a, b);
    case 2: return sy_b_mul(a, b);
    case 3: return sy_b_apply(SY_OP_SIGMOID_, NULL, 1, a);
    case 4: return sy_b_apply(SY_OP_TANH_, NULL, 1, b);
    case 5: return sy_b_swap(a, 0, 1);
    case 6: return sy_b_apply(SY_OP_MATMUL_, NULL, 2, a, sy_b_apply(SY_OP_SIGMOID_, NULL, 1, b));
    case 7: return sy_b_sub(a, sy_b_sum(b, 1, true));
    default: return sy_b_neg(a);
    }
}

/* Scalar of a graph with these choices over the leaves. */
static struct sy_tensor *expression(struct sy_tensor **leaves, int64_t choices[NODES][4])
{
    struct sy_tensor *have[LEAVES + NODES];
    memcpy(have, leaves, LEAVES * sizeof *have);
    for (int i = 0; i < NODES; i++) {
        struct sy_tensor *t = random_op(have, LEAVES + i, choices[i]);
        have[LEAVES + i] = t ? sy_b_apply(SY_OP_TANH_, NULL, 1, t) : NULL; /* stay bounded */
    }
    struct sy_tensor *sum = have[LEAVES];
    for (int i = 1; i < NODES; i++)
        sum = sy_b_add(sum, have[LEAVES + i]);
    struct sy_attrs all;
    sy_op_default_attrs(sy_op_get(SY_OP_SUM_), &all);
    return sy_b_apply(SY_OP_SUM_, &all, 1, sum);
}

static bool same_bits(const void *a, const struct sy_tensor *b)
{
    return b && sy_tensor_contiguous(b) && !memcmp(a, sy_tensor_data(b), sy_tensor_bytes(b));
}

static void one_graph(int number, bool add_grads)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_scope scope;
    struct sy_tensor *leaves[LEAVES], *eager[LEAVES], *traced[LEAVES];
    int64_t choices[NODES][4];
    static float grads[LEAVES][SIDE * SIDE];
    float *to[LEAVES];
    for (int i = 0; i < NODES; i++)
        for (int j = 0; j < 4; j++)
            choices[i][j] = below(j ? 1000 : 9);
    for (int i = 0; i < LEAVES; i++) {
        leaves[i] = random_leaf();
        to[i] = grads[i];
    }
    memset(grads, 0, sizeof grads);

    sy_scope_begin(&scope, &err);
    struct sy_tensor *y = expression(leaves, choices);
    double value = y ? sy_tensor_get(y, 0) : 0;
    int rc = y ? sy_grad(y, leaves, LEAVES, eager, &err) : -1;
    sy_scope_end(&scope);
    tap_ok(!rc, "graph %d: eager gradients %s", number, err.msg);

    struct sy_graph *g = sy_graph_new(&err);
    sy_scope_begin(&scope, &err);
    sy_graph_begin(g, &err);
    y = expression(leaves, choices);
    rc = y ? sy_grad(y, leaves, LEAVES, traced, &err) : -1;
    sy_graph_end(g);
    struct sy_program_spec spec = {.outputs = &y, .noutputs = 1, .grads = traced, .grad_to = to,
                                   .ngrads = LEAVES, .add_grads = add_grads};
    struct sy_program *p = rc ? NULL : sy_program_new(g, &spec, &err);
    tap_ok(p != NULL, "graph %d: planned %s", number, err.msg);
    void *arena = sy_alloc(sy_program_bytes(p));
    sy_program_attach(p, arena, &err);
    for (int pass = 0; pass < 2; pass++) {
        memset(arena, 0xff, sy_program_bytes(p)); /* NaN everywhere */
        if (add_grads)
            memset(grads, 0, sizeof grads);
        rc |= sy_program_run(p, 1, 1, &err);
    }
    tap_ok(!rc && sy_tensor_get(y, 0) == value, "graph %d: value %g is eager's %g", number,
           sy_tensor_get(y, 0), value);
    bool same = true;
    for (int i = 0; i < LEAVES; i++)
        same &= eager[i] ? same_bits(grads[i], eager[i]) : traced[i] == NULL;
    tap_ok(same, "graph %d: gradients have eager's bits%s", number, add_grads ? " (added)" : "");
    tap_ok(sy_program_bytes(p) < (size_t)NODES * 6 * SIDE * SIDE * 4,
           "graph %d: the arena (%zu bytes) is smaller than all buffers together", number,
           sy_program_bytes(p));
    uint64_t before = sy_mem_count();
    for (int pass = 0; pass < 20; pass++)
        sy_program_run(p, 1, 1, &err);
    tap_ok(sy_mem_count() == before, "graph %d: running allocates nothing", number);
    for (int i = 0; i < LEAVES; i++) {
        sy_tensor_unref(eager[i]);
        sy_tensor_unref(traced[i]);
    }
    sy_scope_end(&scope);
    sy_program_free(p);
    sy_graph_free(g);
    for (int i = 0; i < LEAVES; i++)
        sy_tensor_unref(leaves[i]);
    sy_free(arena);
}

static void test_errors(void)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t shape[2] = {2, 3}, other[2] = {3, 2};
    struct sy_graph *g = sy_graph_new(&err), *h = sy_graph_new(&err);
    tap_ok(sy_graph_input(g, "x", SY_F32, 2, shape, &err) ==
               sy_graph_input(g, "x", SY_F32, 2, shape, &err),
           "an input of the same name is the same tensor");
    tap_ok(!sy_graph_input(g, "x", SY_F32, 2, other, &err) && err.code == SY_E_SHAPE,
           "another shape is refused: %s", err.msg);
    err.code = SY_E_OK;
    sy_graph_begin(g, &err);
    tap_ok(sy_graph_begin(h, &err) && err.code == SY_E_STATE, "one trace at a time: %s", err.msg);
    sy_graph_end(g);
    err.code = SY_E_OK;
    struct sy_tensor *x = sy_tensor_zeros(SY_F32, 2, shape, NULL);
    tap_ok(sy_tensor_backward(x, &err) && err.code == SY_E_SHAPE, "backward of a matrix: %s",
           err.msg);
    sy_tensor_unref(x);
    sy_graph_free(g);
    sy_graph_free(h);
}

int main(void)
{
    size_t live = (one_graph(0, false), sy_mem_live()); /* scratch of this thread stays */
    for (int i = 1; i < 24; i++)
        one_graph(i, i % 3 == 2);
    test_errors();
    tap_ok(sy_mem_live() == live, "everything was freed: %zu bytes live, %zu after the first",
           sy_mem_live(), live);
    return tap_done();
}
