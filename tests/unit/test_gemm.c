/* Matrix products: every kernel set against a chain of fmaf over the operands, bit by bit, for many
 * shapes and all options; 1, 2 and 3 threads bit by bit; bf16 against the rounded chain.
 */
#include "cpu/cpu.h"
#include "cpu/gemm.h"
#include "cpu/gemm_int.h"

#include "base/pool.h"
#include "unit/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 1;

static uint32_t next_u32(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static float next_float(void)
{
    return (float)(int32_t)(next_u32() % 2001 - 1000) * 0.00137f;
}

static int64_t pick(const int64_t *v, int n)
{
    return v[next_u32() % (uint32_t)n];
}

/* -- one case ---------------------------------------------------------------------------------- */

struct operand {
    struct sy_mat mat;
    float *data;
    int32_t *rows;
};

/* Logical (r x c).  The stored matrix has exactly the elements that it must have, so that a
 * sanitizer sees every stray read. */
static struct operand operand(int64_t r, int64_t c, bool trans, bool indexed)
{
    struct operand o = {0};
    const int64_t sr = trans ? c : r, sc = trans ? r : c, ld = sc + (next_u32() % 3) * 5;
    const int64_t base = indexed ? sr + 3 : sr;
    const size_t n = base && sc ? (size_t)((base - 1) * ld + sc) : 0;
    o.data = malloc((n ? n : 1) * sizeof *o.data);
    for (size_t i = 0; i < n; i++)
        o.data[i] = next_float();
    if (indexed) {
        o.rows = malloc((size_t)(sr ? sr : 1) * sizeof *o.rows);
        for (int64_t i = 0; i < sr; i++)
            o.rows[i] = (int32_t)(next_u32() % (uint32_t)base);
    }
    o.mat = (struct sy_mat){.data = o.data, .ld = ld, .rows = o.rows, .trans = trans};
    return o;
}

static void operand_free(struct operand *o)
{
    free(o->data);
    free(o->rows);
}

static float at(const struct sy_mat *m, int64_t i, int64_t j, bool bf16)
{
    float x = m->trans ? sy__mat_row(m, j)[i] : sy__mat_row(m, i)[j];
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = bf16 ? sy__bf16_bits(u) : u;
    memcpy(&x, &u, sizeof x);
    return x;
}

static float chain(const struct sy_mat *a, const struct sy_mat *b, int64_t k, int64_t i, int64_t j,
                   bool bf16, float acc)
{
    for (int64_t x = 0; x < k; x++)
        acc = fmaf(at(a, i, x, bf16), at(b, x, j, bf16), acc);
    return acc;
}

static void expect(const struct sy_gemm_problem *p, bool bf16, float *c, float *dual)
{
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            float *x = c + i * p->ldc + j, *y = dual ? dual + i * p->ldc + j : NULL;
            *x = chain(&p->a, &p->b, p->k, i, j, bf16, p->accumulate ? *x : 0.0f);
            *x = chain(&p->a2, &p->b2, p->k2, i, j, bf16, *x);
            if (y)
                *y = chain(&p->a, &p->dual_b, p->k, i, j, bf16, p->accumulate ? *y : 0.0f);
        }
}

struct result {
    size_t n;
    float *c, *dual, *want_c, *want_dual;
    int64_t covered; /* elements announced to the epilogue */
    bool aligned, whole;
    int64_t cols;
};

static _Atomic int64_t covered;
static _Atomic bool misaligned;

static void epilogue(void *ctx, int problem, int64_t row0, int64_t rows, int64_t col0, int64_t cols)
{
    const struct result *r = ctx;
    (void)problem;
    (void)row0;
    covered += rows * cols;
    if (col0 % SY_GEMM_COLS || (r->whole && (col0 || cols != r->cols)))
        misaligned = true;
}

static bool same(const float *a, const float *b, size_t n, float tolerance)
{
    if (tolerance == 0)
        return memcmp(a, b, n * sizeof *a) == 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= tolerance))
            return false;
    return true;
}

/* A random problem of the given size; flags: 1 trans a, 2 trans b, 4 rows a, 8 rows b, 16
 * accumulate, 32 second term, 64 dual, 128 whole rows. */
static bool try_case(int64_t m, int64_t n, int64_t k, unsigned flags, bool bf16, const char **sets,
                     int count)
{
    struct operand a = operand(m, k, flags & 1, flags & 4), b = operand(k, n, flags & 2, flags & 8);
    const int64_t k2 = flags & 32 ? k / 2 + 3 : 0;
    struct operand a2 = operand(m, k2, flags & 2, flags & 8), b2 = operand(k2, n, flags & 1, false);
    struct operand d = operand(k, n, !(flags & 2), flags & 4);
    struct result r = {.whole = flags & 128, .cols = n};
    const int64_t ldc = n + 7;
    r.n = (size_t)(m * ldc) + 1;
    float *init = malloc(r.n * sizeof *init), *mem = malloc(4 * r.n * sizeof *mem);
    r.c = mem, r.dual = mem + r.n, r.want_c = mem + 2 * r.n, r.want_dual = mem + 3 * r.n;
    for (size_t i = 0; i < r.n; i++)
        init[i] = next_float();
    struct sy_gemm_problem p = {.m = m, .n = n, .k = k, .a = a.mat, .b = b.mat, .ldc = ldc};
    p.accumulate = flags & 16;
    if (flags & 32)
        p.k2 = k2, p.a2 = a2.mat, p.b2 = b2.mat;
    else if (flags & 64)
        p.dual_b = d.mat, p.dual_c = r.dual;
    struct sy_gemm_opts o = {.precision = bf16 ? SY_PREC_BF16 : SY_PREC_FP32, .whole_rows = r.whole,
                             .done = epilogue, .ctx = &r};
    memcpy(r.want_c, init, r.n * sizeof *init);
    memcpy(r.want_dual, init, r.n * sizeof *init);
    expect(&p, bf16, r.want_c, p.dual_c ? r.want_dual : NULL);
    bool good = true;
    for (int s = 0; s < count; s++) {
        if (sy_cpu_force(sets[s], NULL))
            continue;
        p.c = r.c;
        memcpy(r.c, init, r.n * sizeof *init);
        memcpy(r.dual, init, r.n * sizeof *init);
        covered = 0;
        misaligned = false;
        sy_gemm(&p, &o);
        const float tol = bf16 && sy_cpu()->gemm->pairs ? 1e-5f * (float)(k + k2 + 1) : 0;
        bool fine = same(r.c, r.want_c, r.n, tol) && same(r.dual, r.want_dual, r.n, tol) &&
                    covered == m * n && !misaligned;
        if (!fine)
            tap_note("%s m %d n %d k %d flags %u bf16 %d", sets[s], (int)m, (int)n, (int)k, flags,
                     bf16);
        good = good && fine;
    }
    operand_free(&a);
    operand_free(&b);
    operand_free(&a2);
    operand_free(&b2);
    operand_free(&d);
    free(init), free(mem);
    return good;
}

static const char *all_sets[] = {"ref", "avx2", "avx512"};

static void test_edges(bool bf16)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 6, 7, 13, 14, 15, 16, 17, 29, 31, 32, 33, 48, 65};
    bool good = true;
    for (int i = 0; i < 300; i++)
        good = try_case(pick(sizes, 17), pick(sizes, 17), pick(sizes, 17), next_u32() % 256, bf16,
                        all_sets, 3) && good;
    tap_ok(good, "small shapes, all options, all sets, %s", bf16 ? "bf16" : "fp32");
}

static void test_zero(void)
{
    bool good =
        try_case(0, 5, 3, 0, false, all_sets, 3) && try_case(5, 0, 3, 0, false, all_sets, 3);
    tap_ok(good, "m or n of 0: nothing happens");
    good = try_case(5, 7, 0, 0, false, all_sets, 3) && try_case(5, 7, 0, 16, false, all_sets, 3) &&
           try_case(5, 7, 0, 32, false, all_sets, 3) && try_case(40, 70, 0, 64, true, all_sets, 3);
    tap_ok(good, "k of 0: zero, or what was there when accumulating, or the second term alone");
}

static void test_blocks(void)
{
    static const struct {
        int64_t m, n, k;
        unsigned flags;
    } cases[] = {
        {130, 600, 70, 4},  {300, 70, 1100, 1 + 8},  {64, 1030, 96, 64},  {70, 40, 5000, 16},
        {37, 530, 513, 32}, {150, 700, 520, 128 + 4}, {20, 1100, 1300, 128}, {9, 3000, 40, 2},
        {31, 33, 9000, 1},  {20, 40, 9000, 64},      {200, 8, 384, 0},     {1, 1000, 128, 2},
    };
    bool good = true;
    for (int i = 0; i < (int)(sizeof cases / sizeof cases[0]); i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            good = try_case(cases[i].m, cases[i].n, cases[i].k, cases[i].flags, bf16, all_sets + 1,
                            2) && good;
    tap_ok(good, "shapes of several tasks, slices and strips");
}

/* -- grouped, threads -------------------------------------------------------------------------- */

enum { EXPERTS = 7, TOKENS = 400, C = 96, F = 160 };

static void run_group(const float *x, const float *w, float *out, const int32_t *rows, bool bf16)
{
    static const int64_t loads[EXPERTS] = {200, 0, 1, 90, 31, 333, 145};
    struct sy_gemm_problem p[EXPERTS];
    const struct sy_gemm_opts o = {.precision = bf16 ? SY_PREC_BF16 : SY_PREC_FP32};
    int64_t at_row = 0;
    for (int e = 0; e < EXPERTS; e++) {
        p[e] = (struct sy_gemm_problem){.m = loads[e], .n = F, .k = C, .ldc = F};
        p[e].a = (struct sy_mat){.data = x, .ld = C, .rows = rows + at_row};
        p[e].b = (struct sy_mat){.data = w + e * C * F, .ld = F};
        p[e].c = out + at_row * F;
        at_row += loads[e];
    }
    sy_gemm_grouped(p, EXPERTS, &o);
}

static void test_threads(void)
{
    static float x[TOKENS * C], w[EXPERTS * C * F], out[2][800 * F];
    static int32_t rows[800];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = next_float();
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = next_float();
    for (int i = 0; i < 800; i++)
        rows[i] = (int32_t)(next_u32() % TOKENS);
    sy_cpu_force("avx512", NULL);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        sy_pool_set_threads(1, NULL);
        run_group(x, w, out[0], rows, bf16);
        bool good = true;
        for (int t = 2; t <= 8; t += t == 3 ? 5 : 1) {
            memset(out[1], 0xff, sizeof out[1]);
            sy_pool_set_threads(t, NULL);
            run_group(x, w, out[1], rows, bf16);
            good = good && !memcmp(out[0], out[1], sizeof out[0]);
        }
        tap_ok(good, "grouped, %s: 2, 3 and 8 threads give the bits of 1", bf16 ? "bf16" : "fp32");
    }
    const struct sy_mat a = {.data = x, .ld = C, .rows = rows + 291};
    const struct sy_mat b = {.data = w + 4 * C * F, .ld = F};
    sy_pool_set_threads(2, NULL);
    sy_cpu_force("ref", NULL);
    run_group(x, w, out[1], rows, false);
    bool good = true;
    for (int64_t i = 0; i < 31; i++)
        for (int64_t j = 0; j < F; j++)
            good = good && out[1][(291 + i) * F + j] == chain(&a, &b, C, i, j, false, 0);
    tap_ok(good, "grouped: expert 5's block is its product");
    sy_cpu_force("avx512", NULL);
    run_group(x, w, out[0], rows, false);
    tap_ok(!memcmp(out[0], out[1], sizeof out[0]), "grouped: the sets agree");
}

/* -- bf16 rounding ----------------------------------------------------------------------------- */

/* 1 x 1 products with one: the packed value itself comes out. */
static void test_rounding(void)
{
    static const uint32_t bits[] = {0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff,
                                    0x7f7fffff, 0xff800000, 0x00800000, 0x007fffff, 0x80000001,
                                    0x00000000, 0x3eaaaaab, 0xc2f6e979, 0x47ffff80};
    enum { N = sizeof bits / sizeof bits[0] };
    float v[N], one = 1.0f, out[N];
    memcpy(v, bits, sizeof v);
    struct sy_gemm_problem p = {.m = N, .n = 1, .k = 1, .c = out, .ldc = 1};
    p.a = (struct sy_mat){.data = v, .ld = 1};
    p.b = (struct sy_mat){.data = &one, .ld = 1};
    const struct sy_gemm_opts o = {.precision = SY_PREC_BF16};
    for (int s = 0; s < 3; s++) {
        if (sy_cpu_force(all_sets[s], NULL)) {
            tap_skip("bf16 rounding: no %s here", all_sets[s]);
            continue;
        }
        bool good = true;
        for (int t = 0; t < 2; t++) {
            p.a.trans = t, p.a.ld = t ? N : 1;
            sy_gemm(&p, &o);
            for (int i = 0; i < N; i++) {
                uint32_t got, want = sy__bf16_bits(bits[i]) & ~(bits[i] & 0x7fffffff ? 0 : ~0u);
                memcpy(&got, &out[i], sizeof got);
                want = want == 0x80000000u ? 0 : want; /* 0 + -0 */
                if (got != want)
                    tap_note("%s: %08x rounds to %08x, not %08x", all_sets[s], bits[i], got, want);
                good = good && got == want;
            }
        }
        tap_ok(good, "bf16 rounding to nearest even, %s", all_sets[s]);
    }
}

static void test_f64(void)
{
    const double a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 2, -1, 0, 3};
    double c[4] = {10, 10, 10, 10};
    sy_gemm_f64(2, 2, 3, a, 3, false, b, 2, false, c, 2, true);
    tap_ok(c[0] == 15 && c[1] == 17 && c[2] == 24 && c[3] == 23, "float64");
    sy_gemm_f64(2, 2, 3, a, 2, true, b, 3, true, c, 2, false);
    tap_ok(c[0] == 11 && c[1] == 14 && c[2] == 14 && c[3] == 16, "float64, both transposed");
    sy_gemm_f64(2, 2, 0, a, 1, false, b, 2, false, c, 2, false);
    tap_ok(c[0] == 0 && c[3] == 0, "float64, k of 0");
}

static void test_names(void)
{
    struct sy_err err = SY_ERR_INIT;
    tap_ok(sy_cpu_force("sse9", &err) == -1 && err.code == SY_E_NAME, "an unknown set: %s",
           err.msg);
    tap_ok(sy_cpu_force("ref", NULL) == 0 && !strcmp(sy_cpu()->name, "ref"), "ref runs anywhere");
}

int main(void)
{
    test_names();
    test_edges(false);
    test_edges(true);
    test_zero();
    test_blocks();
    test_threads();
    test_rounding();
    test_f64();
    return tap_done();
}
