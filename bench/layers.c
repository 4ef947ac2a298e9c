/* bench/layers: time of each operation of a training step, forward and backward, at the shapes of
 * the benchmark models, against the FMA peak measured in the same run.
 *
 *     bench/layers [shapes, "R1 R2 R3 R5"] [fp32|bf16] [rounds, 15] [operations, "moe"]
 *
 * Figures are the best decile of the rounds; with SWITCHYARD_THREADS=1 they are processor time,
 * which a busy machine disturbs less.  "raw" is the experts' grouped products alone: what
 * moe_experts adds to them (activation, gates, sums) is the difference.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "cpu/cpu.h"
#include "ops/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct shape {
    const char *name;
    int64_t l, c, h, b, e, k, f, t, v;
};

static const struct shape shapes[] = {{"R1", 6, 384, 6, 16, 8, 2, 1024, 256, 256},
                                      {"R2", 4, 256, 4, 16, 64, 8, 128, 256, 256},
                                      {"R3", 6, 256, 4, 16, 64, 1, 1024, 256, 256},
                                      {"R4", 6, 384, 6, 16, 1, 1, 1024, 256, 256},
                                      {"R5", 4, 128, 4, 12, 8, 2, 256, 64, 256}};

enum { MAX_CALLS = 32, MAX_ROUNDS = 200 };

struct call {
    const struct sy_op *op; /* NULL: run raw products */
    struct sy_attrs attrs;
    struct sy_tensor *in[SY_MAX_IN], *out[SY_MAX_OUT];
    void *scratch;
    struct sy_gemm_problem *raw[3];
    int count[3];
    char name[40];
    double flops, times; /* FLOPs of a call; calls in a step */
    double seconds[MAX_ROUNDS];
};

static struct call calls[MAX_CALLS];
static int ncalls;
static enum sy_precision precision;
static const char *only = "";
static uint64_t state = 1;

static struct sy_tensor *floats(int ndim, int64_t a, int64_t b, int64_t c, int64_t d)
{
    struct sy_tensor *t = sy_tensor_empty(SY_F32, ndim, (int64_t[]){a, b, c, d}, NULL);
    float *x = sy_data(t);
    for (int64_t i = 0; i < sy_tensor_count(t); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
    return t;
}

static struct sy_tensor *ints(int64_t n, int64_t k, int below)
{
    struct sy_tensor *t = sy_tensor_empty(SY_I32, k ? 2 : 1, (int64_t[]){n, k}, NULL);
    int32_t *x = sy_data(t);
    for (int64_t i = 0; i < sy_tensor_count(t); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (int32_t)((state >> 33) % (uint64_t)below);
    }
    return t;
}

/* Infer, and allot outputs and scratch; takes[i]: output i lies where input takes[i] - 1 does. */
static struct call *add(enum sy_opcode code, const char *suffix, const struct sy_attrs *attrs,
                        struct sy_tensor *const *in, int nin, const int8_t *takes, double times)
{
    struct call *c = &calls[ncalls++];
    struct sy_err err = SY_ERR_INIT;
    memset(c, 0, sizeof *c);
    c->op = sy_op_get(code);
    sy_op_default_attrs(c->op, &c->attrs);
    if (attrs)
        c->attrs = *attrs;
    c->attrs.precision = precision;
    memcpy(c->in, in, (size_t)nin * sizeof *in);
    c->times = times;
    snprintf(c->name, sizeof c->name, "%s%s", c->op->name, suffix);
    struct sy_infer x = {.op = c->op,
                         .nin = sy_op_inputs(c->op, NULL),
                         .in = c->in,
                         .attrs = &c->attrs,
                         .err = &err};
    if (c->op->infer(&x)) {
        printf("%s\n", err.msg);
        exit(1);
    }
    for (int i = 0; i < sy_op_outputs(c->op); i++)
        c->out[i] = takes && takes[i]
                        ? c->in[takes[i] - 1]
                        : sy_tensor_empty(x.out[i].dtype, x.out[i].ndim, x.out[i].shape, NULL);
    c->scratch = x.scratch ? sy_alloc(x.scratch) : NULL;
    struct sy_node node = {
        .op = c->op, .attrs = c->attrs, .nin = x.nin, .nout = sy_op_outputs(c->op)};
    memcpy(node.in, c->in, sizeof node.in);
    memcpy(node.out, c->out, sizeof node.out);
    struct sy_cost cost = {.node = &node};
    c->op->cost(&cost);
    c->flops = cost.flops;
    return c;
}

static void run(struct call *c)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_run r = {.attrs = &c->attrs,
                       .nin = SY_MAX_IN,
                       .nout = SY_MAX_OUT,
                       .in = c->in,
                       .out = c->out,
                       .scratch = c->scratch,
                       .err = &err};
    struct sy_gemm_opts opts = {.precision = precision};
    for (int i = 0; i < 3 && !c->op; i++)
        sy_gemm_grouped(c->raw[i], c->count[i], &opts);
    if (c->op && c->op->run(&r)) {
        printf("%s\n", err.msg);
        exit(1);
    }
}

/* ---- the experts' products alone ---- */

struct side {
    const float *p;
    int64_t ld, each; /* each: elements from one expert to the next, 0: by slots */
    const int32_t *rows;
    bool trans;
};

static struct sy_mat mat(struct side s, int64_t e, int64_t first)
{
    const float *p = s.rows ? s.p : s.p + (s.each ? e * s.each : first * s.ld);
    return (struct sy_mat){
        .data = p, .ld = s.ld, .rows = s.rows ? s.rows + first : NULL, .trans = s.trans};
}

/* by_slots: m counts slots, else k does. */
static struct sy_gemm_problem *products(const struct shape *s, const int32_t *offsets,
                                        bool by_slots, int64_t m, int64_t n, int64_t k,
                                        struct side a, struct side b, float *c)
{
    struct sy_gemm_problem *p = sy_calloc((size_t)(3 * s->e), sizeof *p);
    for (int64_t e = 0; e < s->e; e++) {
        int64_t first = offsets[e], count = offsets[e + 1] - first;
        p[e] = (struct sy_gemm_problem){.m = by_slots ? count : m,
                                        .n = n,
                                        .k = by_slots ? k : count,
                                        .a = mat(a, e, first),
                                        .b = mat(b, e, first),
                                        .c = c + (by_slots ? first : e * m) * n,
                                        .ldc = n};
    }
    return p;
}

/* fwd, bwd: the calls of moe_experts whose products these are. */
static void add_raw(const struct shape *s, const struct call *fwd, const struct call *bwd)
{
    struct sy_tensor *const *in =
        bwd->in; /* dout x gates rows pos offsets g u w_up w_down w_gate */
    const int64_t c = s->c, f = s->f, w = c * f;
    const int32_t *rows = sy_data(in[3]), *offsets = sy_data(in[5]);
    float *g = sy_data(fwd->out[1]), *u = sy_data(fwd->out[2]), *h = bwd->scratch,
          *y = fwd->scratch;
    struct side x = {sy_data(in[1]), c, 0, rows, false}, dout = {sy_data(in[0]), c, 0, rows, false};
    struct side up = {sy_data(in[8]), c, w, NULL, false},
                down = {sy_data(in[9]), f, w, NULL, false};
    struct side gate = {sy_data(in[10]), c, w, NULL, false}, hs = {h, f, 0, NULL, false};
    struct side gs = {g, f, 0, NULL, false}, us = {u, f, 0, NULL, false};
    struct side gate_t = gate, down_t = down, dout_t = dout, gs_t = gs, us_t = us;
    gate_t.trans = down_t.trans = dout_t.trans = gs_t.trans = us_t.trans = true;
    struct call *a = &calls[ncalls++];
    memset(a, 0, sizeof *a);
    strcpy(a->name, "  raw products");
    a->flops = fwd->flops;
    a->raw[0] = products(s, offsets, true, 0, f, c, x, gate_t, g);
    for (int64_t e = 0; e < s->e; e++) {
        a->raw[0][e].dual_b = (struct sy_mat){.data = up.p + e * w, .ld = c, .trans = true};
        a->raw[0][e].dual_c = u + offsets[e] * f;
    }
    a->raw[1] = products(s, offsets, true, 0, c, f, hs, down_t, y);
    a->count[0] = a->count[1] = (int)s->e;
    struct call *b = &calls[ncalls++];
    memset(b, 0, sizeof *b);
    strcpy(b->name, "  raw products backward");
    b->flops = bwd->flops;
    b->raw[0] = products(s, offsets, true, 0, f, c, dout, down, h);
    b->raw[1] = products(s, offsets, false, c, f, 0, dout_t, hs, sy_data(bwd->out[3]));
    struct sy_gemm_problem *p1 =
        products(s, offsets, false, f, c, 0, gs_t, x, sy_data(bwd->out[4]));
    struct sy_gemm_problem *p2 =
        products(s, offsets, false, f, c, 0, us_t, x, sy_data(bwd->out[2]));
    memcpy(b->raw[1] + s->e, p1, (size_t)s->e * sizeof *p1);
    memcpy(b->raw[1] + 2 * s->e, p2, (size_t)s->e * sizeof *p2);
    b->raw[2] = products(s, offsets, true, 0, c, f, gs, gate, y);
    for (int64_t e = 0; e < s->e; e++) {
        b->raw[2][e].k2 = f;
        b->raw[2][e].a2 = (struct sy_mat){.data = u + offsets[e] * f, .ld = f};
        b->raw[2][e].b2 = (struct sy_mat){.data = up.p + e * w, .ld = c};
    }
    b->count[0] = b->count[2] = (int)s->e;
    b->count[1] = 3 * (int)s->e;
}

/* ---- a layer ---- */

static struct sy_tensor *choose(const struct shape *s)
{
    struct sy_tensor *t = ints(s->b * s->t, s->k, (int)s->e);
    int32_t *x = sy_data(t);
    for (int64_t i = 0; i < s->b * s->t; i++) /* K different ones */
        for (int64_t j = 1; j < s->k; j++)
            x[i * s->k + j] = (int32_t)((x[i * s->k] + j * (1 + x[i * s->k + j] % 2)) % s->e);
    return t;
}

static void add_experts(const struct shape *s)
{
    const int64_t n = s->b * s->t;
    struct sy_attrs a = {.i = {s->e}}, swiglu = {.i = {0}};
    static const int8_t takes[SY_MAX_OUT] = {0, 0, 0, 0, 0, 7, 8};
    struct sy_tensor *expert = choose(s);
    struct call *d = add(SY_OP_MOE_DISPATCH_, "", &a, &expert, 1, NULL, (double)s->l);
    run(d);
    struct sy_tensor *in[8] = {floats(2, n, s->c, 0, 0),
                               floats(2, n, s->k, 0, 0),
                               d->out[0],
                               d->out[1],
                               d->out[2],
                               floats(3, s->e, s->f, s->c, 0),
                               floats(3, s->e, s->c, s->f, 0),
                               floats(3, s->e, s->f, s->c, 0)};
    struct call *f = add(SY_OP_MOE_EXPERTS_, "", &swiglu, in, 8, NULL, (double)s->l);
    struct sy_tensor *back[11] = {floats(2, n, s->c, 0, 0),
                                  in[0],
                                  in[1],
                                  in[2],
                                  in[3],
                                  in[4],
                                  f->out[1],
                                  f->out[2],
                                  in[5],
                                  in[6],
                                  in[7]};
    struct call *b = add(SY_OP_MOE_EXPERTS_BACKWARD_, "", &swiglu, back, 11, takes, (double)s->l);
    add_raw(s, f, b);
}

static void add_layer(const struct shape *s)
{
    const int64_t n = s->b * s->t, d = s->c / s->h;
    struct sy_tensor *x = floats(2, n, s->c, 0, 0), *dy = floats(2, n, s->c, 0, 0);
    struct sy_tensor *norm[2] = {x, floats(1, s->c, 0, 0, 0)};
    struct call *c = add(SY_OP_RMSNORM_, "", NULL, norm, 2, NULL, 2 * (double)s->l);
    struct sy_tensor *norm_back[4] = {dy, x, c->out[1], norm[1]};
    add(SY_OP_RMSNORM_BACKWARD_, "", NULL, norm_back, 4, NULL, 2 * (double)s->l);
    struct sy_tensor *lin[2] = {x, floats(2, 3 * s->c, s->c, 0, 0)};
    add(SY_OP_LINEAR_, " (qkv)", NULL, lin, 2, NULL, (double)s->l);
    struct sy_tensor *q = floats(4, s->b, s->t, s->h, d), *rope[1] = {q};
    add(SY_OP_ROPE_, " (q or k)", NULL, rope, 1, NULL, 4 * (double)s->l);
    struct sy_tensor *att[3] = {q, floats(4, s->b, s->t, s->h, d), floats(4, s->b, s->t, s->h, d)};
    c = add(SY_OP_ATTENTION_, "", NULL, att, 3, NULL, (double)s->l);
    struct sy_tensor *att_back[6] = {
        floats(4, s->b, s->t, s->h, d), q, att[1], att[2], c->out[0], c->out[1]};
    add(SY_OP_ATTENTION_BACKWARD_, "", NULL, att_back, 6, NULL, (double)s->l);
    struct sy_tensor *sum[2] = {x, dy};
    add(SY_OP_ADD_, " (residual)", NULL, sum, 2, NULL, 4 * (double)s->l);
    add_experts(s);
    struct sy_tensor *head[3] = {x, floats(2, s->v, s->c, 0, 0), ints(n, 0, (int)s->v)};
    add(SY_OP_HEAD_LOSS_, "", NULL, head, 3, NULL, 1);
}

/* Is measured: named so; raw products belong to moe. */
static bool wanted(const struct call *c)
{
    return strstr(c->name, only) || (!c->op && strstr("moe", only));
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double seconds(void)
{
    struct timespec t;
    if (sy_pool_threads() > 1)
        return sy_now();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void measure(const struct shape *s, int rounds)
{
    double peak = 0, total = 0;
    ncalls = 0;
    add_layer(s);
    for (int r = -1; r < rounds; r++) {
        double p = sy_cpu_peak(precision == SY_PREC_BF16);
        peak = p > peak ? p : peak;
        for (int i = 0; i < ncalls; i++) {
            double t = seconds();
            if (wanted(&calls[i]))
                run(&calls[i]);
            if (r >= 0)
                calls[i].seconds[r] = seconds() - t;
        }
    }
    printf("\n%s  L %d C %d H %d B %d T %d E %d K %d F %d  %s  peak %.0f GFLOP/s, %d threads\n",
           s->name, (int)s->l, (int)s->c, (int)s->h, (int)s->b, (int)s->t, (int)s->e, (int)s->k,
           (int)s->f, precision == SY_PREC_BF16 ? "bf16" : "fp32", peak / 1e9, sy_pool_threads());
    printf("%-28s %10s %9s %7s %10s\n", "operation", "ms", "GFLOP/s", "peak", "ms a step");
    for (int i = 0; i < ncalls; i++) {
        struct call *c = &calls[i];
        if (!wanted(c))
            continue;
        qsort(c->seconds, (size_t)rounds, sizeof *c->seconds, by_value);
        double t = c->seconds[rounds / 10];
        total += t * c->times;
        printf("%-28s %10.3f", c->name, t * 1e3);
        if (c->flops > 0)
            printf(" %9.1f %6.1f%%", c->flops / t / 1e9, 100 * c->flops / t / peak);
        else
            printf(" %17s", "");
        if (c->times > 0)
            printf(" %10.1f", t * c->times * 1e3);
        printf("\n");
    }
    printf("%-28s %38.1f\n", "sum", total * 1e3);
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "R1 R2 R3 R5";
    int rounds = argc > 3 ? atoi(argv[3]) : 15;
    only = argc > 4 ? argv[4] : "";
    precision = argc > 2 && !strcmp(argv[2], "bf16") ? SY_PREC_BF16 : SY_PREC_FP32;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strstr(which, shapes[i].name))
            measure(&shapes[i], rounds);
    return 0;
}
