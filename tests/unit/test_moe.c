/* Properties of mixtures of experts that hold for any numbers: dispatch is a sort, capacity drops
 * exactly the overflow, one expert is a dense layer, the names of experts do not matter, and the
 * parts compose to the whole. */
#include "base/mem.h"
#include "ops/build.h"
#include "ops/ops_int.h"
#include "unit/tap.h"

#include <math.h>
#include <string.h>

static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static struct sy_tensor *random_f32(int ndim, int64_t a, int64_t b, int64_t c)
{
    int64_t shape[3] = {a, b, c};
    struct sy_tensor *t = sy_tensor_empty(SY_F32, ndim, shape, NULL);
    for (int64_t i = 0; i < sy_tensor_count(t); i++)
        sy_tensor_set(t, i, (double)draw(2001) / 1000.0 - 1.0);
    return sy_scope_own(t);
}

/* K different experts for each token, or with probability 1/8 none. */
static struct sy_tensor *random_choice(int64_t n, int64_t k, int64_t e, bool gaps)
{
    struct sy_tensor *t = sy_scope_own(sy_tensor_empty(SY_I32, 2, (int64_t[]){n, k}, NULL));
    int32_t *x = sy_data(t);
    for (int64_t i = 0; i < n * k; i++) {
        bool again = true;
        while (again) {
            x[i] = gaps && !draw(8) ? -1 : (int32_t)draw((uint32_t)e);
            again = false;
            for (int64_t j = i / k * k; j < i; j++)
                again |= x[j] == x[i] && x[i] >= 0;
        }
    }
    return t;
}

struct routing {
    struct sy_tensor *out[SY_MAX_OUT];
    const int32_t *rows, *pos, *offsets;
};

static struct routing dispatch(struct sy_tensor *expert, int64_t experts, int64_t capacity)
{
    struct routing r = {0};
    struct sy_attrs a = {.i = {experts, capacity}};
    if (sy_b_apply_all(SY_OP_MOE_DISPATCH_, &a, &expert, 1, r.out))
        return r;
    r.rows = sy_data(r.out[0]);
    r.pos = sy_data(r.out[1]);
    r.offsets = sy_data(r.out[2]);
    return r;
}

static bool same(const struct sy_tensor *a, const struct sy_tensor *b)
{
    return a && b && sy_tensor_same_shape(a, b) &&
           !memcmp(sy_data(a), sy_data(b), sy_tensor_bytes(a));
}

static double distance(const struct sy_tensor *a, const struct sy_tensor *b)
{
    double worst = 0;
    for (int64_t i = 0; i < sy_tensor_count(a); i++)
        worst = fmax(worst, fabs(sy_tensor_get(a, i) - sy_tensor_get(b, i)));
    return worst;
}

/* ---- dispatch ---- */

static void test_sorted(int64_t n, int64_t k, int64_t e, bool gaps)
{
    struct sy_tensor *choice = random_choice(n, k, e, gaps);
    const int32_t *expert = sy_data(choice);
    struct routing r = dispatch(choice, e, 0);
    bool inverse = true, sorted = r.offsets[0] == 0, stable = true;
    int64_t chosen = 0;
    for (int64_t i = 0; i < n * k; i++) {
        chosen += expert[i] >= 0;
        if (expert[i] < 0)
            inverse &= r.pos[i] == -1;
        else
            inverse &= r.rows[r.pos[i]] == i / k && r.pos[i] >= r.offsets[expert[i]] &&
                       r.pos[i] < r.offsets[expert[i] + 1];
    }
    for (int64_t x = 0; x < e; x++)
        for (int64_t s = r.offsets[x]; s + 1 < r.offsets[x + 1]; s++)
            stable &= r.rows[s] <= r.rows[s + 1];
    sorted &= r.offsets[e] == chosen;
    for (int64_t s = chosen; s < n * k; s++)
        sorted &= r.rows[s] == -1;
    tap_ok(inverse && sorted && stable, "dispatch of %d x %d to %d experts is a stable sort%s",
           (int)n, (int)k, (int)e, gaps ? " (some tokens choose less)" : "");
}

static void test_capacity(void)
{
    enum { N = 100, K = 3, E = 5, CAP = 30 };
    struct sy_tensor *choice = random_choice(N, K, E, false);
    const int32_t *expert = sy_data(choice);
    struct routing all = dispatch(choice, E, 0), r = dispatch(choice, E, CAP);
    int64_t overflow = 0, dropped = 0;
    bool full = true, order = true;
    for (int e = 0; e < E; e++) {
        int64_t had = all.offsets[e + 1] - all.offsets[e];
        overflow += had > CAP ? had - CAP : 0;
        full &= r.offsets[e + 1] - r.offsets[e] == (had > CAP ? CAP : had);
    }
    for (int i = 0; i < N * K; i++) {
        dropped += r.pos[i] < 0;
        /* nobody who comes later (by choice, then by token) has a slot where an earlier one was
         * dropped */
        for (int j = 0; j < N * K && r.pos[i] < 0; j++)
            order &= !(expert[j] == expert[i] && r.pos[j] >= 0 &&
                       (j % K > i % K || (j % K == i % K && j > i)));
    }
    tap_ok(overflow > 0 && dropped == overflow && full, "a capacity drops the overflow: %d",
           (int)overflow);
    tap_ok(order, "first choices are served before second ones, earlier tokens before later ones");
    struct sy_tensor *drops = sy_b_apply(SY_OP_MOE_DROPS_, NULL, 1, r.out[1]);
    tap_ok(fabs(sy_tensor_get(drops, 0) - (double)overflow / (N * K)) < 1e-6,
           "moe_drops counts them");
}

static void test_load(void)
{
    enum { N = 24, K = 2, E = 4 };
    struct sy_tensor *choice = random_choice(N, K, E, true);
    struct sy_attrs one = {.i = {E, 1}}, three = {.i = {E, 3}};
    struct sy_tensor *load = sy_b_apply(SY_OP_MOE_LOAD_, &one, 1, choice);
    struct sy_tensor *parts = sy_b_apply(SY_OP_MOE_LOAD_, &three, 1, choice);
    struct routing r = dispatch(choice, E, 0);
    double sum = 0, sums[3] = {0};
    bool counts = true;
    for (int e = 0; e < E; e++) {
        sum += sy_tensor_get(load, e);
        counts &=
            fabs(sy_tensor_get(load, e) * r.offsets[E] - (r.offsets[e + 1] - r.offsets[e])) < 1e-4;
        for (int g = 0; g < 3; g++)
            sums[g] += sy_tensor_get(parts, g * E + e);
    }
    tap_ok(fabs(sum - 1) < 1e-6 && counts, "moe_load is the fraction of choices");
    tap_ok(fabs(sums[0] - 1) < 1e-6 && fabs(sums[1] - 1) < 1e-6 && fabs(sums[2] - 1) < 1e-6,
           "moe_load of groups: each sums to 1");
}

/* ---- experts ---- */

enum { N = 50, C = 24, F = 40, E = 6, K = 2 };

static struct sy_tensor *experts(struct sy_tensor *x, struct sy_tensor *gates,
                                 const struct routing *r, struct sy_tensor *up,
                                 struct sy_tensor *down, struct sy_tensor *gate)
{
    struct sy_attrs a = {.i = {0}};
    return sy_b_apply(SY_OP_MOE_EXPERTS_, &a, 8, x, gates, r->out[0], r->out[1], r->out[2], up,
                      down, gate);
}

static void test_one_expert(void)
{
    struct sy_tensor *x = random_f32(2, N, C, 0), *gates = random_f32(2, N, 1, 0);
    struct sy_tensor *up = random_f32(3, 1, F, C), *gate = random_f32(3, 1, F, C),
                     *down = random_f32(3, 1, C, F);
    struct routing r = dispatch(random_choice(N, 1, 1, false), 1, 0);
    struct sy_tensor *out = experts(x, gates, &r, up, down, gate);
    struct sy_tensor *u =
        sy_b_apply(SY_OP_LINEAR_, NULL, 2, x, sy_b_reshape(up, 2, (int64_t[]){F, C}));
    struct sy_tensor *g =
        sy_b_apply(SY_OP_LINEAR_, NULL, 2, x, sy_b_reshape(gate, 2, (int64_t[]){F, C}));
    struct sy_tensor *h = sy_b_apply(SY_OP_SWIGLU_, NULL, 2, g, u);
    struct sy_tensor *y =
        sy_b_apply(SY_OP_LINEAR_, NULL, 2, h, sy_b_reshape(down, 2, (int64_t[]){C, F}));
    tap_ok(same(out, sy_b_mul(y, gates)), "one expert is the dense layer, bit for bit");
}

/* Expert e becomes expert (e + 1) % E. */
static struct sy_tensor *rotated(struct sy_tensor *w)
{
    struct sy_tensor *t = sy_scope_own(sy_tensor_empty(SY_F32, 3, w->shape, NULL));
    size_t each = sy_tensor_bytes(w) / E;
    for (size_t e = 0; e < E; e++)
        memcpy((char *)sy_data(t) + (e + 1) % E * each, (char *)sy_data(w) + e * each, each);
    return t;
}

static void test_names_of_experts(void)
{
    struct sy_tensor *x = random_f32(2, N, C, 0), *gates = random_f32(2, N, K, 0);
    struct sy_tensor *up = random_f32(3, E, F, C), *gate = random_f32(3, E, F, C),
                     *down = random_f32(3, E, C, F), *choice = random_choice(N, K, E, false);
    struct routing r = dispatch(choice, E, 0);
    struct sy_tensor *out = experts(x, gates, &r, up, down, gate);
    int32_t *expert = sy_data(choice);
    for (int i = 0; i < N * K; i++)
        expert[i] = (expert[i] + 1) % E;
    struct routing r2 = dispatch(choice, E, 0);
    tap_ok(same(out, experts(x, gates, &r2, rotated(up), rotated(down), rotated(gate))),
           "experts in another order give the same bits");
}

static void test_pieces(int64_t capacity)
{
    struct sy_tensor *x = random_f32(2, N, C, 0), *gates = random_f32(2, N, K, 0);
    struct sy_tensor *up = random_f32(3, E, F, C), *gate = random_f32(3, E, F, C),
                     *down = random_f32(3, E, C, F);
    struct routing r = dispatch(random_choice(N, K, E, true), E, capacity);
    struct sy_tensor *xs = sy_b_apply(SY_OP_MOE_GATHER_, NULL, 2, x, r.out[0]);
    struct sy_tensor *g = sy_b_apply(SY_OP_MOE_MATMUL_, NULL, 3, xs, r.out[2], gate);
    struct sy_tensor *u = sy_b_apply(SY_OP_MOE_MATMUL_, NULL, 3, xs, r.out[2], up);
    struct sy_tensor *h = sy_b_apply(SY_OP_SWIGLU_, NULL, 2, g, u);
    struct sy_tensor *y = sy_b_apply(SY_OP_MOE_MATMUL_, NULL, 3, h, r.out[2], down);
    struct sy_tensor *out = sy_b_apply(SY_OP_MOE_COMBINE_, NULL, 3, y, gates, r.out[1]);
    tap_ok(same(out, experts(x, gates, &r, up, down, gate)),
           "gather, matmul, swiglu, matmul, combine are moe_experts, bit for bit (capacity %d)",
           (int)capacity);
}

static void test_identity(void)
{
    struct sy_tensor *x = random_f32(2, N, C, 0);
    struct sy_tensor *gates = sy_scope_own(sy_tensor_empty(SY_F32, 2, (int64_t[]){N, K}, NULL));
    for (int i = 0; i < N * K; i++)
        sy_tensor_set(gates, i, 0.5);
    struct routing r = dispatch(random_choice(N, K, E, false), E, 0);
    struct sy_tensor *xs = sy_b_apply(SY_OP_MOE_GATHER_, NULL, 2, x, r.out[0]);
    tap_ok(distance(sy_b_apply(SY_OP_MOE_COMBINE_, NULL, 3, xs, gates, r.out[1]), x) < 1e-6,
           "combine undoes gather when gates sum to 1");
    struct sy_attrs n = {.i = {N}};
    struct sy_tensor *back = sy_b_apply(SY_OP_MOE_SCATTER_, &n, 2, xs, r.out[0]);
    tap_ok(distance(back, sy_b_add(x, x)) < 1e-6, "scatter sums the K copies of gather");
}

/* A plan lets dg and du take the place of g and u: then the kernel must not see a difference. */
static void test_in_place(void)
{
    struct sy_tensor *x = random_f32(2, N, C, 0), *gates = random_f32(2, N, K, 0);
    struct sy_tensor *up = random_f32(3, E, F, C), *gate = random_f32(3, E, F, C),
                     *down = random_f32(3, E, C, F), *out[SY_MAX_OUT], *apart[SY_MAX_OUT];
    struct routing r = dispatch(random_choice(N, K, E, true), E, 9);
    struct sy_tensor *in[8] = {x, gates, r.out[0], r.out[1], r.out[2], up, down, gate};
    struct sy_attrs a = {.i = {0}};
    sy_b_apply_all(SY_OP_MOE_EXPERTS_, &a, in, 8, out);
    struct sy_tensor *back[SY_MAX_IN] = {random_f32(2, N, C, 0),
                                         x,
                                         gates,
                                         r.out[0],
                                         r.out[1],
                                         r.out[2],
                                         out[1],
                                         out[2],
                                         up,
                                         down,
                                         gate};
    sy_b_apply_all(SY_OP_MOE_EXPERTS_BACKWARD_, &a, back, 11, apart);
    const struct sy_op *op = sy_op_get(SY_OP_MOE_EXPERTS_BACKWARD_);
    struct sy_infer infer = {.op = op, .nin = 11, .in = back, .attrs = &a};
    struct sy_tensor *here[SY_MAX_OUT] = {[5] = out[1], [6] = out[2]};
    op->infer(&infer);
    for (int i = 0; i < 5; i++)
        here[i] = sy_scope_own(sy_tensor_empty(SY_F32, apart[i]->ndim, apart[i]->shape, NULL));
    struct sy_run run = {.attrs = &a, .nin = 11, .nout = 7, .in = back, .out = here};
    run.scratch = sy_alloc(infer.scratch);
    bool equal = !op->run(&run);
    for (int i = 0; i < 5; i++)
        equal &= same(here[i], apart[i]);
    here[0] = here[2] = here[3] = here[4] = NULL; /* only the gates' gradient is wanted */
    equal &= !op->run(&run);
    sy_free(run.scratch);
    tap_ok(equal,
           "backward in the place of g and u gives the same bits, and runs with outputs left out");
}

/* ---- mistakes ---- */

static void test_mistakes(struct sy_scope *scope)
{
    struct sy_err err = SY_ERR_INIT, *before = scope->err;
    struct sy_tensor *choice = random_choice(N, K, E, false);
    scope->err = &err;
    struct routing bad = dispatch(choice, E - 1, 0);
    tap_ok(!bad.rows && err.code == SY_E_RANGE, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    struct routing r = dispatch(choice, E, 0);
    struct sy_tensor *x = random_f32(2, N, C, 0), *gates = random_f32(2, N, K, 0);
    experts(x, gates, &r, random_f32(3, E, F, C + 1), random_f32(3, E, C, F), NULL);
    tap_ok(err.code == SY_E_SHAPE, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    int32_t *rows = sy_data(r.out[0]);
    rows[3] = N;
    experts(x, gates, &r, random_f32(3, E, F, C), random_f32(3, E, C, F), NULL);
    tap_ok(err.code == SY_E_RANGE, "%s", err.msg);
    scope->err = before;
}

int main(void)
{
    struct sy_scope scope;
    struct sy_err err = SY_ERR_INIT;
    sy_scope_begin(&scope, &err);
    test_sorted(50, 2, 7, false);
    test_sorted(33, 4, 5, true);
    test_sorted(1, 1, 3, false);
    test_capacity();
    test_load();
    test_one_expert();
    test_names_of_experts();
    test_pieces(0);
    test_pieces(9);
    test_identity();
    test_in_place();
    test_mistakes(&scope);
    tap_ok(!err.code, "no error on the way: %s", err.msg);
    sy_scope_end(&scope);
    return tap_done();
}
