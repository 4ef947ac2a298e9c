/* bench/gemm: matrix products and attention against the FMA peak measured in the same run, and
 * against OpenBLAS.
 *
 *     bench/gemm [seconds a figure, 0.3 [products | experts | attention | stored]]
 *
 * Rounds of all competitors and of the peak's measurement alternate, and every figure is the best
 * decile of its rounds, so a machine that is busy elsewhere falsifies the shares less than the
 * rates.  OpenBLAS takes its kernels from OPENBLAS_CORETYPE when that is set: unset it to see its
 * best.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "cpu/attention.h"
#include "cpu/cpu.h"
#include "cpu/storage_form.h"
#include "cpu/gemm.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void openblas_set_num_threads(int n);

static double budget = 0.3;
static uint64_t seed = 1;

static float *random_floats(int64_t n)
{
    float *x = sy_alloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(int32_t)(seed >> 40) * 0x1p-23f - 0.5f;
    }
    return x;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which a share of the others lies. */
static double quantile(double *v, int n, double share)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n ? v[(int)(share * (n - 1) + 0.5)] : 0;
}

/* -- measuring --------------------------------------------------------------------------------- */

struct job {
    void (*run)(void *ctx);
    void *ctx;
};

enum { MAX_ROUNDS = 400 };

/* Seconds of each job, taken in turn; fp32 peak in FLOP/s beside them. */
static void measure(const struct job *jobs, int n, double *seconds, double *peak, int bf16)
{
    static double t[8][MAX_ROUNDS], top[MAX_ROUNDS];
    int rounds = 0, tops = 0;
    for (int i = 0; i < n; i++)
        jobs[i].run(jobs[i].ctx);
    for (double stop = sy_now() + budget * n;
         rounds < 3 || (sy_now() < stop && rounds < MAX_ROUNDS); rounds++) {
        for (int i = 0; i < n; i++) {
            double start = sy_now();
            jobs[i].run(jobs[i].ctx);
            t[i][rounds] = sy_now() - start;
        }
        if (peak && rounds % 8 == 0)
            top[tops++] = sy_cpu_peak(bf16);
    }
    for (int i = 0; i < n; i++)
        seconds[i] = quantile(t[i], rounds, 0.1);
    if (peak)
        *peak = quantile(top, tops, 0.9);
}

/* -- products ---------------------------------------------------------------------------------- */

struct product {
    struct sy_gemm_problem p;
    struct sy_gemm_opts o;
};

static void run_product(void *ctx)
{
    struct product *x = ctx;
    sy_gemm(&x->p, &x->o);
}

static void run_blas(void *ctx)
{
    const struct sy_gemm_problem *p = &((struct product *)ctx)->p;
    cblas_sgemm(CblasRowMajor, p->a.trans ? CblasTrans : CblasNoTrans,
                p->b.trans ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1,
                p->a.data, (int)p->a.ld, p->b.data, (int)p->b.ld, 0, p->c, (int)p->ldc);
}

static void bench_product(const char *name, int64_t m, int64_t n, int64_t k, bool ta, bool tb)
{
    struct product x[2];
    float *a = random_floats(m * k), *b = random_floats(k * n), *c = random_floats(m * n);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        x[bf16] = (struct product){.p = {.m = m, .n = n, .k = k, .c = c, .ldc = n}};
        x[bf16].p.a = (struct sy_mat){.data = a, .ld = ta ? m : k, .trans = ta};
        x[bf16].p.b = (struct sy_mat){.data = b, .ld = tb ? k : n, .trans = tb};
        x[bf16].o.precision = bf16 ? SY_PREC_BF16 : SY_PREC_FP32;
    }
    const struct job jobs[] = {{run_product, &x[0]}, {run_product, &x[1]}, {run_blas, &x[0]}};
    double s[3], peak, flops = 2.0 * (double)m * (double)n * (double)k;
    measure(jobs, 3, s, &peak, 0);
    printf("%-26s %5d %5d %5d  %7.1f %4.0f%%   %7.1f %4.0f%%   %7.1f   %5.2f\n", name, (int)m,
           (int)n, (int)k, flops / s[0] * 1e-9, 100 * flops / s[0] / peak, flops / s[1] * 1e-9,
           50 * flops / s[1] / peak, flops / s[2] * 1e-9, s[2] / s[0]);
    fflush(stdout);
    sy_free(a), sy_free(b), sy_free(c);
}

static void products(void)
{
    printf("%-26s %5s %5s %5s  %7s %5s   %7s %5s   %7s   %s\n", "product", "m", "n", "k", "fp32",
           "peak", "bf16", "2peak", "BLAS", "times BLAS");
    for (int64_t n = 64; n <= 2048; n *= 2)
        bench_product("square", n, n, n, false, false);
    bench_product("square, B transposed", 1024, 1024, 1024, false, true);
    bench_product("square, A transposed", 1024, 1024, 1024, true, false);
    bench_product("R1 projection", 4096, 384, 384, false, true);
    bench_product("R1 projection dx", 4096, 384, 384, false, false);
    bench_product("R1 projection dw", 384, 384, 4096, true, false);
    bench_product("R1 head", 4096, 256, 384, false, true);
    bench_product("R1 router", 4096, 8, 384, false, true);
    bench_product("R5 projection", 768, 128, 128, false, true);
    bench_product("R5 projection dw", 128, 128, 768, true, false);
    bench_product("one row", 1, 1024, 384, false, true);
    bench_product("8 rows", 8, 1024, 384, false, false);
}

/* -- grouped ----------------------------------------------------------------------------------- */

struct group {
    struct sy_gemm_problem p[64];
    int count;
    struct sy_gemm_opts o;
};

static void run_group(void *ctx)
{
    struct group *g = ctx;
    sy_gemm_grouped(g->p, g->count, &g->o);
}

struct experts {
    const char *name;
    int64_t tokens, e, rows, c, f;
    bool trans; /* weights stored (out, in) */
};

enum step { UP, DOWN, DW_UP, DX_UP, STEPS };

/* A group for one of the products of an expert layer; rows are about `rows` for each expert. */
static void fill(struct group *g, const struct experts *x, enum step step, float *tok, float *hid,
                 float *w, float *w2, float *out, float *out2, int32_t *rows)
{
    int64_t at = 0;
    g->count = (int)x->e;
    for (int64_t e = 0; e < x->e; e++) {
        const int64_t n = x->rows + (e % 2 ? -1 : 1) * (e / 2 * x->rows / (2 * x->e)),
                      cf = x->c * x->f;
        struct sy_gemm_problem *p = &g->p[e];
        struct sy_mat up = {.data = w + e * cf, .ld = x->trans ? x->c : x->f, .trans = x->trans};
        struct sy_mat gate = {
            .data = w2 + e * cf, .ld = x->trans ? x->c : x->f, .trans = x->trans};
        struct sy_mat h = {.data = hid + at * x->f, .ld = x->f};
        *p = (struct sy_gemm_problem){.m = n, .n = x->f, .k = x->c, .ldc = x->f};
        if (step == UP) {
            p->a = (struct sy_mat){.data = tok, .ld = x->c, .rows = rows + at};
            p->b = up, p->dual_b = gate;
            p->c = out + at * x->f, p->dual_c = out2 + at * x->f;
        } else if (step == DOWN) {
            p->n = p->ldc = x->c, p->k = x->f;
            p->a = h, p->b = gate;
            p->b.ld = x->trans ? x->f : x->c;
            p->c = out + at * x->c;
        } else if (step == DW_UP) { /* (C, F) = tokens^T · hidden */
            p->m = x->c, p->k = n;
            p->a = (struct sy_mat){.data = tok, .ld = x->c, .rows = rows + at, .trans = true};
            p->b = h;
            p->c = out + e * cf;
        } else { /* dx = dgate · gate^T + dup · up^T */
            p->n = p->ldc = x->c, p->k = p->k2 = x->f;
            p->a = h, p->a2 = h;
            p->b = gate, p->b2 = up;
            p->b.trans = p->b2.trans = !x->trans;
            p->c = out + at * x->c;
        }
        at += n;
    }
}

static double group_flops(const struct group *g)
{
    double f = 0;
    for (int i = 0; i < g->count; i++) {
        const struct sy_gemm_problem *p = &g->p[i];
        f += 2.0 * (double)p->m * (double)p->n * (double)(p->k + p->k2) * (p->dual_c ? 2 : 1);
    }
    return f;
}

static void bench_experts(const struct experts *x)
{
    static const char *const names[] = {"gate and up", "down", "dW up", "dx of both"};
    const int64_t slots = 2 * x->e * x->rows, cf = x->c * x->f;
    const int64_t outs = slots * x->f > x->e * cf ? slots * x->f : x->e * cf;
    float *tok = random_floats(x->tokens * x->c), *hid = random_floats(slots * x->f);
    float *w = random_floats(x->e * cf), *w2 = random_floats(x->e * cf);
    float *out = random_floats(outs), *out2 = random_floats(outs);
    int32_t *rows = sy_alloc((size_t)slots * sizeof *rows);
    for (int64_t i = 0; i < slots; i++)
        rows[i] = (int32_t)((i * 7 / 5 + i % 3) % x->tokens);
    for (int step = 0; step < STEPS; step++) {
        static struct group g[2];
        static struct product dense;
        for (int b = 0; b < 2; b++) {
            fill(&g[b], x, (enum step)step, tok, hid, w, w2, out, out2, rows);
            g[b].o = (struct sy_gemm_opts){.precision = b ? SY_PREC_BF16 : SY_PREC_FP32};
        }
        /* a dense product of the same FLOPs and kind: one weight, all rows in order */
        dense = (struct product){.p = g[0].p[0]};
        if (step == DW_UP)
            dense.p.k = x->e * x->rows;
        else
            dense.p.m = x->e * x->rows;
        dense.p.a.rows = NULL;
        dense.p.a.data = dense.p.a2.data = hid;
        const struct job jobs[] = {{run_group, &g[0]}, {run_group, &g[1]}, {run_product, &dense}};
        double s[3], peak, flops = group_flops(&g[0]);
        double dense_flops = 2.0 * (double)dense.p.m * (double)dense.p.n *
                             (double)(dense.p.k + dense.p.k2) * (dense.p.dual_c ? 2 : 1);
        measure(jobs, 3, s, &peak, 0);
        printf("%-14s %-12s  %7.1f %4.0f%%   %7.1f %4.0f%%   dense %7.1f   grouped/dense %5.2f\n",
               step == 0 ? x->name : "", names[step], flops / s[0] * 1e-9,
               100 * flops / s[0] / peak, flops / s[1] * 1e-9, 50 * flops / s[1] / peak,
               dense_flops / s[2] * 1e-9, flops / s[0] / (dense_flops / s[2]));
        fflush(stdout);
    }
    sy_free(tok), sy_free(hid), sy_free(w), sy_free(w2), sy_free(out), sy_free(out2), sy_free(rows);
}

static void experts(void)
{
    static const struct experts all[] = {
        {"R1 8x1024", 4096, 8, 1024, 384, 1024, true},
        {"R1 (in,out)", 4096, 8, 1024, 384, 1024, false},
        {"R2 64x512", 4096, 64, 512, 256, 128, true},  {"R3 64x64", 4096, 64, 64, 256, 1024, true},
        {"R3 (in,out)", 4096, 64, 64, 256, 1024, false}, {"R5 8x192", 768, 8, 192, 128, 256, true},
    };
    printf("\n%-27s  %7s %5s   %7s %5s\n", "experts", "fp32", "peak", "bf16", "2peak");
    for (int i = 0; i < (int)(sizeof all / sizeof all[0]); i++)
        bench_experts(&all[i]);
}

/* -- attention --------------------------------------------------------------------------------- */

static void run_forward(void *ctx)
{
    sy_attention(ctx);
}

static void run_backward(void *ctx)
{
    sy_attention_backward(ctx);
}

/* FLOPs: 4 D for each query and key forward, 10 D backward (S again, dP, dQ, dK, dV); half if
 * causal. */
static void bench_attention(const char *name, int64_t b, int64_t t, int64_t h, int64_t g, int64_t d)
{
    const int64_t nq = b * t * h * d, nk = b * t * g * d;
    struct sy_attn a[2] = {
        {.b = b, .t = t, .s = t, .h = h, .g = g, .d = d, .mask = SY_ATTN_CAUSAL}};
    float *buf[9];
    for (int i = 0; i < 9; i++)
        buf[i] = random_floats(i == 1 || i == 2 || i > 6 ? nk : nq);
    a[0].q = buf[0], a[0].k = buf[1], a[0].v = buf[2], a[0].o = buf[3], a[0].d_o = buf[4];
    a[0].lse = buf[5], a[0].dq = buf[6], a[0].dk = buf[7], a[0].dv = buf[8];
    a[0].ldq = a[0].ldo = a[0].lddq = h * d;
    a[0].ldk = a[0].ldv = a[0].lddk = a[0].lddv = g * d;
    a[0].scale = 1.0f / sqrtf((float)d);
    a[1] = a[0];
    a[1].precision = SY_PREC_BF16;
    const struct job jobs[] = {{run_forward, &a[0]}, {run_backward, &a[0]}, {run_forward, &a[1]},
                               {run_backward, &a[1]}};
    double s[4], peak, pairs = (double)(b * h * t) * (double)t / 2, f = 4 * pairs * (double)d;
    measure(jobs, 4, s, &peak, 0);
    printf("%-28s  %7.1f %4.0f%%  %7.1f %4.0f%%   %7.1f %4.0f%%  %7.1f %4.0f%%\n", name,
           f / s[0] * 1e-9, 100 * f / s[0] / peak, 2.5 * f / s[1] * 1e-9, 250 * f / s[1] / peak,
           f / s[2] * 1e-9, 50 * f / s[2] / peak, 2.5 * f / s[3] * 1e-9, 125 * f / s[3] / peak);
    fflush(stdout);
    for (int i = 0; i < 9; i++)
        sy_free(buf[i]);
}

static void attention(void)
{
    printf("\n%-28s  %7s %5s  %7s %5s   %7s %5s  %7s %5s\n", "causal attention", "forward", "peak",
           "back", "peak", "f bf16", "2peak", "b bf16", "2peak");
    bench_attention("R1 B16 T256 H6 D64", 16, 256, 6, 6, 64);
    bench_attention("B16 T256 H6 G2 D64", 16, 256, 6, 2, 64);
    bench_attention("R5 B12 T64 H4 D32", 12, 64, 4, 4, 32);
    bench_attention("B2 T2048 H6 D64", 2, 2048, 6, 6, 64);
    bench_attention("B2 T1024 H4 D128", 2, 1024, 4, 4, 128);
}

/* -- operands in a storage form ---------------------------------------------------------------- */

/* x (m, k) by the rows of w (n, k), which lies in memory in each form: times of f32 over times of
 * the form.  For few rows the weight is too large for the caches, as a model's is. */
static void bench_stored(int64_t m, int64_t n, int64_t k)
{
    static const char *const names[] = {"f32", "bf16", "f16", "q8_0", "mxfp4"};
    struct product x[SY_FORM_COUNT];
    struct job jobs[SY_FORM_COUNT];
    float *a = random_floats(m * k), *w = random_floats(n * k), *c = random_floats(m * n);
    unsigned char *room[SY_FORM_COUNT];
    for (int f = 0; f < SY_FORM_COUNT; f++) {
        const struct sy_form_row *row = &sy_forms[f];
        const int64_t blocks = n * k / row->values;
        room[f] = sy_alloc((size_t)blocks * (row->bytes + row->beside));
        unsigned char *beside = row->beside ? room[f] + (size_t)blocks * row->bytes : NULL;
        sy_form_encode((enum sy_form)f, w, n * k, room[f], beside);
        x[f] = (struct product){.p = {.m = m, .n = n, .k = k, .c = c, .ldc = n}};
        x[f].p.a = (struct sy_mat){.data = a, .ld = k};
        x[f].p.b = (struct sy_mat){.data = w, .ld = k, .trans = true};
        if (f)
            x[f].p.b.packed = (struct sy_packed){(enum sy_form)f, room[f], beside};
        jobs[f] = (struct job){run_product, &x[f]};
    }
    double s[SY_FORM_COUNT];
    measure(jobs, SY_FORM_COUNT, s, NULL, 0);
    printf("%5d %5d %5d  %9.1f", (int)m, (int)n, (int)k, s[0] * 1e6);
    for (int f = 1; f < SY_FORM_COUNT; f++)
        printf("   %s %5.2f", names[f], s[0] / s[f]);
    printf("\n");
    fflush(stdout);
    for (int f = 0; f < SY_FORM_COUNT; f++)
        sy_free(room[f]);
    sy_free(a), sy_free(w), sy_free(c);
}

static void stored(void)
{
    printf("\n%5s %5s %5s  %9s   times as fast as f32, by the weight's form\n", "m", "n", "k",
           "f32, us");
    for (int64_t m = 1; m <= 16; m *= m < 4 ? 2 : 4)
        bench_stored(m, 8192, 2048);
    for (int64_t m = 64; m <= 1024; m *= 4)
        bench_stored(m, 2048, 2048);
}

int main(int argc, char **argv)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_cpu_init(&err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (argc > 1)
        budget = atof(argv[1]);
    openblas_set_num_threads(sy_pool_threads());
    printf("kernels %s, %d threads, FMA peak %.1f GFLOP/s fp32, %.1f bf16\n\n", sy_cpu()->name,
           sy_pool_threads(), sy_cpu_peak(0) * 1e-9, sy_cpu_peak(1) * 1e-9);
    const bool all = argc < 3;
    if (all || !strcmp(argv[2], "products"))
        products();
    if (all || !strcmp(argv[2], "experts"))
        experts();
    if (all || !strcmp(argv[2], "attention"))
        attention();
    if (all || !strcmp(argv[2], "stored"))
        stored();
    return 0;
}
