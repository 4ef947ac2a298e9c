/* Memory-bound kernels: GB/s (bytes read and written by definition, not by cache line) and the
 * ratio to copying, for arrays in the cache and out of it, on one thread.  SWITCHYARD_CPU chooses
 * the kernel set.
 *
 *     kern [NAME-PREFIX]
 */
#include "base/clock.h"
#include "cpu/cpu.h"
#include "cpu/kern_map.h"
#include "cpu/kern_optim.h"
#include "cpu/kern_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Four arrays of N floats; rows are C long. */
static float *a, *b, *c, *d;
static int64_t n;
enum { C = 1024 };

static int64_t rows(void)
{
    return n / C;
}

static void copy(void)
{
    memcpy(a, b, (size_t)n * sizeof *a);
}
static void add(void)
{
    sy_cpu()->map->binary[SY_BINARY_ADD](a, b, c, n);
}
static void axpy(void)
{
    sy_cpu()->map->axpy(a, 0.5f, b, n);
}
static void expo(void)
{
    sy_cpu()->map->unary[SY_UNARY_EXP](a, b, n);
}
static void logarithm(void)
{
    sy_cpu()->map->unary[SY_UNARY_LOG](a, c, n);
}
static void tanhyp(void)
{
    sy_cpu()->map->unary[SY_UNARY_TANH](a, b, n);
}
static void gelu(void)
{
    sy_cpu()->map->unary[SY_UNARY_GELU](a, b, n);
}
static void silu_back(void)
{
    sy_cpu()->map->unary_back[SY_UNARY_SILU](a, b, c, NULL, n, false);
}
static void to_bf16(void)
{
    sy_cpu()->map->f32_to_bf16((uint16_t *)(void *)a, b, n);
}
static void where(void)
{
    sy_cpu()->map->where(a, (const uint8_t *)(const void *)d, b, c, n);
}
static void greater(void)
{
    sy_cpu()->map->compare[SY_COMPARE_GT]((uint8_t *)(void *)a, b, c, n);
}
static void dropout(void)
{
    const struct sy_rng r = {1, SY_RNG_DROPOUT, 2};
    sy_cpu()->map->dropout(a, b, &r, 0, 0.1f, n);
}
static void sum(void)
{
    sy_cpu()->row->sum(a, b, C, rows(), C);
}
static void softmax(void)
{
    sy_cpu()->row->softmax(a, C, b, C, rows(), C);
}
static void rms_norm(void)
{
    sy_cpu()->row->rms_norm(a, C, NULL, b, C, c, 1e-5f, rows(), C);
}
static void rms_back(void)
{
    sy_cpu()->row->rms_norm_back(a, C, d, b, C, c, C, c, c, rows(), C, false);
}
static void layer_norm(void)
{
    sy_cpu()->row->layer_norm(a, C, NULL, NULL, b, C, c, c, 1e-5f, rows(), C);
}
static void col_sum(void)
{
    sy_cpu()->row->col_sum(a, b, C, NULL, rows(), C);
}
static void swiglu(void)
{
    sy_cpu()->row->glu[SY_ACTIVATION_SILU](a, C, b, C, c, C, rows(), C);
}
static void expert_back(void)
{
    static float gate[1 << 16], dgate[1 << 16];
    sy_cpu()->row->expert_back[SY_ACTIVATION_SILU](dgate, a, C, b, C, c, C, gate, rows(), C);
}
static void cross_entropy(void)
{
    static int32_t target[1 << 16];
    static float loss[1 << 16];
    memcpy(a, b, (size_t)n * sizeof *a);
    sy_cpu()->row->cross_entropy(loss, NULL, a, C, target, 1.0f, true, rows(), C);
}
static void rope(void)
{
    struct sy_rope p = {c, d, NULL, 0, C / 64, 64, 32, false, false};
    sy_cpu()->row->rope(a, C, b, C, &p, rows());
}
static void topk(void)
{
    static int32_t idx[1 << 22];
    sy_cpu()->row->topk(NULL, idx, b, 64, n / 64, 64, 2);
}
static void adamw(void)
{
    const struct sy_adamw p = {1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 1.0f, 0.1, 0.05};
    sy_cpu()->optim->adamw(a, b, d, c, n, &p);
}
static void sumsq(void)
{
    int64_t bad;
    sy_cpu()->optim->sumsq(b, n, &bad);
}

/* Name, what to run, bytes for each element. */
static const struct {
    const char *name;
    void (*run)(void);
    double bytes;
} kernels[] = {
    {"copy", copy, 8},
    {"add", add, 12},
    {"axpy", axpy, 12},
    {"exp", expo, 8},
    {"log", logarithm, 8},
    {"tanh", tanhyp, 8},
    {"gelu", gelu, 8},
    {"silu back", silu_back, 12},
    {"to bf16", to_bf16, 6},
    {"where", where, 13},
    {"greater", greater, 9},
    {"dropout", dropout, 8},
    {"sum", sum, 4},
    {"softmax", softmax, 8},
    {"rms_norm", rms_norm, 8},
    {"rms_norm back", rms_back, 12},
    {"layer_norm", layer_norm, 8},
    {"col_sum", col_sum, 4},
    {"swiglu", swiglu, 12},
    {"expert back", expert_back, 24},
    {"copy + cross_entropy", cross_entropy, 16},
    {"rope", rope, 8},
    {"top-2 of 64", topk, 4},
    {"adamw", adamw, 28},
    {"sumsq + check", sumsq, 4},
};

static void inputs(void)
{
    for (int64_t i = 0; i < n; i++) {
        b[i] = (float)(i * 7919 % 4001 - 2000) / 500.0f;
        c[i] = (float)(i * 104729 % 997 + 1) / 1000.0f;
        a[i] = d[i] = 0.25f;
    }
}

/* Median of five. */
static double seconds(void (*run)(void))
{
    double t[5];
    const int repeat = n < 1000000 ? 400 : 1;
    run();
    for (int i = 0; i < 5; i++) {
        double start = sy_now();
        for (int j = 0; j < repeat; j++)
            run();
        double s = (sy_now() - start) / repeat;
        int k = i;
        for (; k > 0 && t[k - 1] > s; k--)
            t[k] = t[k - 1];
        t[k] = s;
    }
    return t[2];
}

int main(int argc, char **argv)
{
    static const int64_t sizes[] = {1 << 14, 1 << 24};
    struct sy_err err = SY_ERR_INIT;
    if (sy_cpu_init(&err)) {
        fprintf(stderr, "kern: %s\n", err.msg);
        return 1;
    }
    float **arrays[] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; i++)
        if (!(*arrays[i] = aligned_alloc(64, (size_t)sizes[1] * sizeof(float))))
            return 1;
    printf("%-22s %10s %8s %10s %8s   (%s)\n", "kernel", "64 kB GB/s", "/copy", "64 MB GB/s",
           "/copy", sy_cpu()->name);
    double copied[2] = {1, 1};
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        if (k > 0 && argc > 1 && strncmp(kernels[k].name, argv[1], strlen(argv[1])) != 0)
            continue;
        printf("%-22s", kernels[k].name);
        for (int s = 0; s < 2; s++) {
            n = s ? sizes[1] : sizes[0];
            inputs();
            double rate = kernels[k].bytes * (double)n / seconds(kernels[k].run) * 1e-9;
            if (k == 0)
                copied[s] = rate;
            printf(" %10.2f %8.2f", rate, rate / copied[s]);
        }
        printf("\n");
    }
    return 0;
}
