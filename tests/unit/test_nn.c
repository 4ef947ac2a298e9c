/* Operations of decoders and of mixtures, one example each, all put to the same questions:
 *
 *   1. f64: gradients agree with central differences.
 *   2. f32: result and gradients agree with f64.
 *   3. f32: the same bits on ref, avx2 and avx512, and with 1, 2 and 3 threads.
 */
#include "base/mem.h"
#include "base/pool.h"
#include "cpu/cpu.h"
#include "ops/build.h"
#include "ops/ops_int.h"
#include "switchyard/graph.h"
#include "unit/tap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { IN = 12 };

struct input {
    int ndim;
    int64_t shape[4];
    char kind; /* 'x' normal, wants a gradient; 'c' normal, constant; 'i' i32 from the example's
                  list */
    const int32_t *ints;
};

struct example {
    const char *name;
    enum sy_opcode op;
    struct input in[IN];
    struct sy_attrs attrs;
};

static const int32_t positions[] = {3, 0, 9, 100, 7};
static const int32_t positions2[] = {3, 0, 9, 100, 7, 3, 1, 9, 101, 5};
static const int32_t prefix[] = {2, 5};
static const int32_t doc[] = {0, 0, 1, 1, 1, 4, 4, 4, 4, 5};
static const int32_t doc_k[] = {0, 0, 1, 1, 1, 1, 2, 4, 4, 4, 5, 5, 6, 7};
static const int32_t len[] = {7, 6};
static const int32_t targets[] = {3, -1, 0, 6, 2, -1, 5};
/* 6 tokens, K 2, 4 experts of which expert 2 has nothing; choice 1 of token 4 is dropped */
static const int32_t rows[] = {0, 2, 5, 1, 2, 3, 4, 5, 0, 1, 3, -1};
static const int32_t pos[] = {0, 8, 3, 9, 4, 1, 5, 10, 6, -1, 7, 2};
static const int32_t offsets[] = {0, 3, 8, 8, 11};
static const int32_t gather_rows[] = {4, 0, -1, 4, 2, 0, 0};

#define X(n, ...)                                                                                  \
    {                                                                                              \
        n, {__VA_ARGS__}, 'x', NULL                                                                \
    }
#define I(list, n, ...)                                                                            \
    {                                                                                              \
        n, {__VA_ARGS__}, 'i', list                                                                \
    }
#define ROUTED I(rows, 1, 12), I(pos, 2, 6, 2), I(offsets, 1, 5)

static const struct example examples[] = {
    {"rmsnorm", SY_OP_RMSNORM_, {X(3, 2, 3, 37), X(1, 37)}, {.f = {1e-6}}},
    {"rmsnorm of many rows", SY_OP_RMSNORM_, {X(2, 300, 5), X(1, 5)}, {.f = {1e-6}}},
    {"rmsnorm without w", SY_OP_RMSNORM_, {X(1, 20)}, {.f = {1e-5}}},
    {"layernorm", SY_OP_LAYERNORM_, {X(2, 5, 37), X(1, 37), X(1, 37)}, {.f = {1e-5}}},
    {"layernorm of many rows", SY_OP_LAYERNORM_, {X(2, 300, 5), X(1, 5), X(1, 5)}, {.f = {1e-5}}},
    {"layernorm without w", SY_OP_LAYERNORM_, {X(2, 5, 6)}, {.f = {1e-5}}},
    {"rope", SY_OP_ROPE_, {X(4, 2, 20, 2, 8)}, {.f = {10000}, .i = {1, 0}}},
    {"rope interleaved",
     SY_OP_ROPE_,
     {X(4, 2, 5, 2, 8), I(positions, 1, 5)},
     {.f = {1000}, .i = {0, 0}}},
    {"rope partial",
     SY_OP_ROPE_,
     {X(4, 2, 5, 2, 9), I(positions2, 2, 2, 5)},
     {.f = {1000}, .i = {1, 4}}},
    {"attention causal",
     SY_OP_ATTENTION_,
     {X(4, 2, 5, 4, 8), X(4, 2, 5, 2, 8), X(4, 2, 5, 2, 8)},
     {.i = {1}}},
    {"attention full, other length",
     SY_OP_ATTENTION_,
     {X(4, 2, 5, 2, 8), X(4, 2, 7, 2, 8), X(4, 2, 7, 2, 8)},
     {.i = {0}, .f = {0.5}}},
    {"attention prefix",
     SY_OP_ATTENTION_,
     {X(4, 2, 5, 2, 8), X(4, 2, 7, 1, 8), X(4, 2, 7, 1, 8), I(prefix, 1, 2)},
     {.i = {2}}},
    {"attention documents",
     SY_OP_ATTENTION_,
     {X(4, 2, 5, 2, 8), X(4, 2, 5, 2, 8), X(4, 2, 5, 2, 8), {0}, I(doc, 2, 2, 5)},
     {.i = {1}}},
    {"attention across documents",
     SY_OP_ATTENTION_,
     {X(4, 2, 5, 2, 8),
      X(4, 2, 7, 2, 8),
      X(4, 2, 7, 2, 8),
      {0},
      I(doc, 2, 2, 5),
      I(doc_k, 2, 2, 7)},
     {.i = {0}}},
    {"attention len",
     SY_OP_ATTENTION_,
     {X(4, 2, 5, 2, 8), X(4, 2, 9, 2, 8), X(4, 2, 9, 2, 8), {0}, {0}, {0}, I(len, 1, 2)},
     {.i = {1}}},
    {"swiglu", SY_OP_SWIGLU_, {X(2, 5, 7), X(2, 5, 7)}, {.i = {0}}},
    {"geglu", SY_OP_SWIGLU_, {X(2, 5, 7), X(2, 5, 7)}, {.i = {1}}},
    {"geglu tanh", SY_OP_SWIGLU_, {X(2, 5, 7), X(2, 5, 7)}, {.i = {2}}},
    {"reglu", SY_OP_SWIGLU_, {X(2, 5, 7), X(2, 5, 7)}, {.i = {3}}},
    {"relu2glu", SY_OP_SWIGLU_, {X(2, 5, 7), X(2, 5, 7)}, {.i = {4}}},
    {"cross_entropy", SY_OP_CROSS_ENTROPY_, {X(2, 7, 9), I(targets, 1, 7)}, {.i = {0}}},
    {"head_loss", SY_OP_HEAD_LOSS_, {X(2, 7, 12), X(2, 9, 12), I(targets, 1, 7)}, {.i = {0}}},
    {"moe_experts swiglu",
     SY_OP_MOE_EXPERTS_,
     {X(2, 6, 5), X(2, 6, 2), ROUTED, X(3, 4, 7, 5), X(3, 4, 5, 7), X(3, 4, 7, 5)},
     {.i = {0}}},
    {"moe_experts wide C",
     SY_OP_MOE_EXPERTS_,
     {X(2, 6, 40), X(2, 6, 2), ROUTED, X(3, 4, 33, 40), X(3, 4, 40, 33), X(3, 4, 33, 40)},
     {.i = {1}}},
    {"moe_experts plain gelu",
     SY_OP_MOE_EXPERTS_,
     {X(2, 6, 5), X(2, 6, 2), ROUTED, X(3, 4, 7, 5), X(3, 4, 5, 7)},
     {.i = {1}}},
    {"moe_experts plain relu",
     SY_OP_MOE_EXPERTS_,
     {X(2, 6, 5), X(2, 6, 2), ROUTED, X(3, 4, 7, 5), X(3, 4, 5, 7)},
     {.i = {3}}},
    {"moe_matmul", SY_OP_MOE_MATMUL_, {X(2, 12, 5), I(offsets, 1, 5), X(3, 4, 6, 5)}, {.i = {0}}},
    {"moe_gather", SY_OP_MOE_GATHER_, {X(2, 5, 6), I(gather_rows, 1, 7)}, {.i = {0}}},
    {"moe_combine", SY_OP_MOE_COMBINE_, {X(2, 12, 5), X(2, 6, 2), I(pos, 2, 6, 2)}, {.i = {0}}},
};

/* ---- making inputs ---- */

static double normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*state >> 40) / 16777216.0;
    }
    return sum - 6;
}

static int make_inputs(const struct example *x, enum sy_dtype dtype, struct sy_tensor **in)
{
    uint64_t state = 42;
    int nin = 0;
    for (int i = 0; i < IN; i++) {
        const struct input *s = &x->in[i];
        in[i] = NULL;
        if (!s->kind)
            continue;
        nin = i + 1;
        in[i] = sy_tensor_empty(s->kind == 'i' ? SY_I32 : dtype, s->ndim, s->shape, NULL);
        for (int64_t j = 0; j < sy_tensor_count(in[i]);
             j++) /* through float: equal in both dtypes */
            sy_tensor_set(in[i], j, s->kind == 'i' ? s->ints[j] : (double)(float)normal(&state));
        sy_tensor_set_requires_grad(in[i], s->kind == 'x');
    }
    return nin;
}

static void drop(struct sy_tensor **t, int n)
{
    for (int i = 0; i < n; i++) {
        sy_tensor_unref(t[i]);
        t[i] = NULL;
    }
}

/* Scalar: output 0 weighted by fixed numbers and summed.  Borrowed from the innermost scope. */
static struct sy_tensor *evaluate(const struct example *x, struct sy_tensor **in, int nin,
                                  struct sy_tensor **y)
{
    struct sy_tensor *out[SY_MAX_OUT];
    uint64_t state = 7;
    if (sy_b_apply_all(x->op, &x->attrs, in, nin, out))
        return NULL;
    *y = out[0];
    struct sy_tensor *w = sy_tensor_empty(out[0]->dtype, out[0]->ndim, out[0]->shape, NULL);
    for (int64_t j = 0; j < sy_tensor_count(w); j++)
        sy_tensor_set(w, j, (double)(float)normal(&state));
    return sy_b_sum(sy_b_mul(out[0], sy_scope_own(w)), SY_DIM_ALL, false);
}

/* y and grads (of 'x' inputs) owned by the caller. */
static int gradients(const struct example *x, struct sy_tensor **in, int nin, struct sy_tensor **y,
                     struct sy_tensor **grads)
{
    struct sy_scope scope;
    struct sy_err err = SY_ERR_INIT;
    memset(grads, 0, IN * sizeof *grads);
    sy_scope_begin(&scope, &err);
    struct sy_tensor *loss = evaluate(x, in, nin, y);
    int rc = loss ? sy_grad(loss, in, nin, grads, &err) : -1;
    *y = rc ? NULL : sy_tensor_ref(*y);
    sy_scope_end(&scope);
    if (rc)
        tap_note("%s: %s", x->name, err.msg);
    return rc;
}

/* ---- questions ---- */

static double value(const struct example *x, struct sy_tensor **in, int nin)
{
    struct sy_scope scope;
    struct sy_tensor *y;
    sy_scope_begin(&scope, NULL);
    struct sy_tensor *loss = evaluate(x, in, nin, &y);
    double v = loss ? sy_tensor_get(loss, 0) : (double)NAN;
    sy_scope_end(&scope);
    return v;
}

static double difference(const struct example *x, struct sy_tensor **in, int nin, int i, int64_t j)
{
    const double h = 1e-5, at = sy_tensor_get(in[i], j);
    sy_tensor_set(in[i], j, at + h);
    double up = value(x, in, nin);
    sy_tensor_set(in[i], j, at - h);
    double down = value(x, in, nin);
    sy_tensor_set(in[i], j, at);
    return (up - down) / (2 * h);
}

static void finite_differences(const struct example *x)
{
    struct sy_tensor *in[IN], *grads[IN], *y = NULL;
    int nin = make_inputs(x, SY_F64, in), bad = gradients(x, in, nin, &y, grads) ? 1 : 0;
    for (int i = 0; i < nin && !bad; i++) {
        int64_t n = in[i] && x->in[i].kind == 'x' ? sy_tensor_count(in[i]) : 0;
        bad += n && !grads[i];
        for (int64_t j = 0; j < n && grads[i]; j += 1 + n / 40) {
            double want = difference(x, in, nin, i, j), got = sy_tensor_get(grads[i], j);
            if (!(fabs(want - got) <= 1e-6 + 1e-5 * fabs(want)) && !bad++)
                tap_note("%s: input %d [%lld]: gradient %g, difference %g", x->name, i,
                         (long long)j, got, want);
        }
    }
    tap_ok(!bad, "%s: gradients in f64 are finite differences", x->name);
    sy_tensor_unref(y);
    drop(grads, IN);
    drop(in, IN);
}

/* Largest difference, relative to the largest value. */
static double distance(const struct sy_tensor *a, const struct sy_tensor *b)
{
    double most = 0, off = 0;
    if (!a || !b)
        return a == b ? 0 : (double)INFINITY;
    for (int64_t j = 0; j < sy_tensor_count(a); j++) {
        most = fmax(most, fabs(sy_tensor_get(a, j)));
        double d = fabs(sy_tensor_get(a, j) - sy_tensor_get(b, j));
        off = d <= off ? off : d; /* NaN stays */
    }
    return off / fmax(most, 1e-3);
}

static void against_f64(const struct example *x)
{
    struct sy_tensor *in[2][IN], *grads[2][IN], *y[2] = {0};
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        int nin = make_inputs(x, i ? SY_F64 : SY_F32, in[i]);
        rc |= gradients(x, in[i], nin, &y[i], grads[i]);
    }
    double worst = rc ? (double)INFINITY : distance(y[1], y[0]);
    for (int i = 0; i < IN && !rc; i++)
        worst = fmax(worst, distance(grads[1][i], grads[0][i]));
    tap_ok(worst < 1e-5, "%s: f32 agrees with f64 (%.1e)", x->name, worst);
    for (int i = 0; i < 2; i++) {
        sy_tensor_unref(y[i]);
        drop(grads[i], IN);
        drop(in[i], IN);
    }
}

static bool same_bits(const struct sy_tensor *a, const struct sy_tensor *b)
{
    return a == b || (a && b && !memcmp(sy_data(a), sy_data(b), sy_tensor_bytes(a)));
}

static void same_everywhere(const struct example *x)
{
    static const struct {
        const char *isa;
        int threads;
    } ways[] = {{"ref", 1}, {"ref", 3}, {"avx2", 2}, {"avx512", 1}, {"avx512", 3}};
    struct sy_tensor *in[IN], *grads[2][IN] = {0}, *y[2] = {0};
    int nin = make_inputs(x, SY_F32, in);
    bool same = true;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        const int at = w > 0;
        if (sy_cpu_force(ways[w].isa, NULL))
            continue; /* a machine without it */
        sy_pool_set_threads(ways[w].threads, NULL);
        same &= !gradients(x, in, nin, &y[at], grads[at]);
        for (int i = 0; i < IN && at; i++)
            same &= same_bits(grads[0][i], grads[1][i]);
        same &= !at || same_bits(y[0], y[1]);
        if (!same)
            tap_note("%s: differs with %s, %d threads", x->name, ways[w].isa, ways[w].threads);
        if (at) {
            drop(grads[1], IN);
            drop(y + 1, 1);
        }
    }
    tap_ok(same, "%s: the same bits on every ISA and number of threads", x->name);
    drop(grads[0], IN);
    drop(y, 1);
    drop(in, IN);
}

int main(void)
{
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        finite_differences(&examples[i]);
        against_f64(&examples[i]);
    }
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        same_everywhere(&examples[i]);
    return tap_done();
}
