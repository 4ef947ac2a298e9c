/* Blocked attention, forward and backward: against that of f64 tensors, which is the definition,
 * for every mask, length, sharing of heads, with bias and dropped weights; every kernel set against
 * ref and 1, 2 and 3 threads against each other, bit by bit; bf16 within its rounding.
 */
#include "cpu/attention.h"
#include "cpu/cpu.h"

#include "base/mem.h"
#include "base/pool.h"
#include "ops/attention_f64.h"
#include "unit/tap.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 7;

static uint32_t next_u32(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static float *random_floats(size_t n)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(int32_t)(next_u32() % 2001 - 1000) * 0.0013f;
    return x;
}

/* -- a case ------------------------------------------------------------------------------------ */

enum { DOC = 1, LEN = 2, BIAS = 4, DROP = 8 };

struct shape {
    int64_t b, t, s, h, g, d;
    enum sy_attn_mask mask;
    int flags;
};

struct data {
    struct sy_attn a;
    float *q, *k, *v, *d_o, *bias, *out; /* out: o, lse, dq ... one after the other */
    int32_t *prefix, *doc, *doc_k, *len;
    size_t outs, at[6], size[6];
};

enum part { O, LSE, DQ, DK, DV, DBIAS, PARTS };

/* q, k and v are slices of wider rows, at a distance of their own. */
static struct data make(const struct shape *x)
{
    struct data c = {.a = {.b = x->b, .t = x->t, .s = x->s, .h = x->h, .g = x->g, .d = x->d}};
    struct sy_attn *a = &c.a;
    const size_t nt = (size_t)(x->b * x->t), ns = (size_t)(x->b * x->s);
    a->ldq = x->h * x->d + 3, a->ldk = x->g * x->d + 1, a->ldv = x->g * x->d;
    a->ldo = x->h * x->d, a->lddq = a->ldq, a->lddk = a->ldk, a->lddv = a->ldv;
    a->scale = 1.0f / sqrtf((float)x->d);
    a->mask = x->mask;
    a->q = c.q = random_floats(nt * (size_t)a->ldq);
    a->k = c.k = random_floats(ns * (size_t)a->ldk);
    a->v = c.v = random_floats(ns * (size_t)a->ldv);
    a->d_o = c.d_o = random_floats(nt * (size_t)a->ldo);
    c.prefix = calloc((size_t)x->b, sizeof *c.prefix);
    c.len = calloc((size_t)x->b, sizeof *c.len);
    for (int64_t i = 0; i < x->b; i++) {
        c.prefix[i] = (int32_t)(next_u32() % (uint32_t)(x->s + 1));
        c.len[i] = (int32_t)(next_u32() % (uint32_t)(x->s + 1));
    }
    c.doc = calloc(nt, sizeof *c.doc);
    c.doc_k = calloc(ns, sizeof *c.doc_k);
    for (size_t i = 0; i < nt; i++)
        c.doc[i] = (int32_t)(i % (size_t)x->t / 37);
    for (size_t i = 0; i < ns; i++)
        c.doc_k[i] = (int32_t)(i % (size_t)x->s / 41);
    a->prefix = c.prefix;
    if (x->flags & DOC)
        a->doc = c.doc, a->doc_k = x->s == x->t ? NULL : c.doc_k;
    if (x->flags & LEN)
        a->len = c.len;
    const int64_t longest = x->t > x->s ? x->t : x->s;
    a->reach = longest + 5;
    const size_t wide = (size_t)(2 * a->reach - 1) * (size_t)x->h;
    c.bias = random_floats(wide);
    if (x->flags & BIAS)
        a->bias = c.bias;
    if (x->flags & DROP)
        a->rate = 0.3f, a->drop = (struct sy_rng){9, SY_RNG_DROPOUT + 256 * 4, 17};
    const size_t size[PARTS] = {nt * (size_t)a->ldo,     (size_t)(x->b * x->h * x->t),
                                nt * (size_t)a->lddq,    ns * (size_t)a->lddk,
                                ns * (size_t)a->lddv,    wide * (size_t)x->b};
    for (int i = 0; i < PARTS; i++) {
        c.at[i] = c.outs, c.size[i] = size[i];
        c.outs += size[i];
    }
    c.out = calloc(c.outs, sizeof *c.out);
    return c;
}

static void release(struct data *c)
{
    void *all[] = {c->q, c->k, c->v, c->d_o, c->bias, c->out, c->prefix, c->doc, c->doc_k, c->len};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static void run(struct data *c, float *out)
{
    struct sy_attn *a = &c->a;
    memset(out, 0, c->outs * sizeof *out);
    a->o = out + c->at[O], a->lse = out + c->at[LSE];
    a->dq = out + c->at[DQ], a->dk = out + c->at[DK], a->dv = out + c->at[DV];
    a->dbias = NULL;
    sy_attention(a);
    a->dbias = out + c->at[DBIAS];
    sy_attention_backward(a);
}

/* -- the definition, in double ----------------------------------------------------------------- */

/* Rows of n numbers that lie ld apart, one after the other. */
static double *close_up(const float *x, int64_t rows, int64_t ld, int64_t n)
{
    double *y = calloc((size_t)(rows * n), sizeof *y);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++)
            y[r * n + i] = (double)x[r * ld + i];
    return y;
}

/* Back to where the kernels have them. */
static void lay_apart(double *to, double *from, int64_t rows, int64_t ld, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * ld, from + r * n, (size_t)n * sizeof *to);
    free(from);
}

static double *zeroes(int64_t n) { return calloc((size_t)n, sizeof(double)); }

/* All parts as run() leaves them, but that the gradient of bias is one, of all of B. */
static double *define(const struct data *c)
{
    const struct sy_attn *a = &c->a;
    const int64_t nt = a->b * a->t, ns = a->b * a->s, cq = a->h * a->d, ck = a->g * a->d;
    double *out = calloc(c->outs, sizeof *out), *q = close_up(a->q, nt, a->ldq, cq);
    double *k = close_up(a->k, ns, a->ldk, ck), *v = close_up(a->v, ns, a->ldv, ck);
    double *d_o = close_up(a->d_o, nt, a->ldo, cq);
    double *bias = a->bias ? close_up(a->bias, a->h, 2 * a->reach - 1, 2 * a->reach - 1) : NULL;
    double *o = zeroes(nt * cq), *dq = zeroes(nt * cq), *dk = zeroes(ns * ck),
           *dv = zeroes(ns * ck), *lse = out + c->at[LSE];
    const struct sy__attention_f64 m = {
        .a = *a, .scale = (double)a->scale, .bias = bias, .q = q, .k = k, .v = v, .d_o = d_o,
        .o_in = o, .lse_in = lse, .o = o, .lse = lse, .dq = dq, .dk = dk, .dv = dv,
        .dbias = bias ? out + c->at[DBIAS] : NULL};
    if (!sy__attention_f64(&m) || !sy__attention_backward_f64(&m))
        tap_ok(false, "memory for a row");
    lay_apart(out + c->at[O], o, nt, a->ldo, cq);
    lay_apart(out + c->at[DQ], dq, nt, a->lddq, cq);
    lay_apart(out + c->at[DK], dk, ns, a->lddk, ck);
    lay_apart(out + c->at[DV], dv, ns, a->lddv, ck);
    free(q), free(k), free(v), free(d_o), free(bias);
    return out;
}

/* Number j of a part, from its beginning; the gradient of bias is one of each row of B. */
static double number(const struct data *c, const float *got, int part, size_t j)
{
    const size_t times = part == DBIAS ? (size_t)c->a.b : 1, wide = c->size[part] / times;
    double sum = 0;
    for (size_t b = 0; b < times; b++)
        sum += (double)got[c->at[part] + b * wide + j];
    return sum;
}

static double off(double got, double want)
{
    const double d = fabs(want - got);
    return got == want ? 0 : isnan(d) ? (double)INFINITY : d;
}

/* Largest difference of each part, relative to the part's largest element, or to `least`. */
static double worst(const struct data *c, const float *got, const double *want, double least)
{
    double bad = 0;
    for (int i = 0; i < PARTS; i++) {
        double top = least, diff = 0;
        const size_t n = c->size[i] / (i == DBIAS ? (size_t)c->a.b : 1);
        for (size_t j = 0; j < n; j++) {
            const double w = want[c->at[i] + j];
            top = isinf(w) ? top : fmax(top, fabs(w));
            diff = fmax(diff, off(number(c, got, i, j), w));
        }
        bad = fmax(bad, diff / top);
    }
    return bad;
}

static const struct {
    const char *name;
    struct shape x;
} cases[] = {
    {"full", {2, 40, 40, 2, 2, 16, SY_ATTN_FULL, 0}},
    {"causal", {2, 70, 70, 2, 2, 32, SY_ATTN_CAUSAL, 0}},
    {"causal, several blocks", {1, 600, 600, 2, 2, 24, SY_ATTN_CAUSAL, 0}},
    {"full, several blocks", {1, 270, 530, 1, 1, 40, SY_ATTN_FULL, 0}},
    {"grouped-query", {2, 67, 67, 6, 2, 8, SY_ATTN_CAUSAL, 0}},
    {"multi-query, several blocks", {1, 300, 300, 3, 1, 64, SY_ATTN_CAUSAL, 0}},
    {"fewer queries than keys", {2, 9, 300, 2, 1, 20, SY_ATTN_CAUSAL, 0}},
    {"more queries than keys: some see nothing", {1, 90, 30, 2, 2, 12, SY_ATTN_CAUSAL, 0}},
    {"one query", {3, 1, 130, 4, 2, 64, SY_ATTN_CAUSAL, 0}},
    {"prefix", {3, 100, 100, 2, 2, 16, SY_ATTN_PREFIX, 0}},
    {"prefix, several blocks", {2, 520, 520, 1, 1, 16, SY_ATTN_PREFIX, 0}},
    {"documents", {1, 300, 300, 2, 2, 16, SY_ATTN_CAUSAL, DOC}},
    {"documents, full, other keys", {2, 100, 123, 2, 1, 16, SY_ATTN_FULL, DOC}},
    {"lengths", {4, 20, 290, 2, 2, 16, SY_ATTN_CAUSAL, LEN}},
    {"lengths, full, documents", {4, 90, 280, 2, 2, 16, SY_ATTN_FULL, LEN | DOC}},
    {"odd widths", {2, 33, 65, 2, 2, 7, SY_ATTN_FULL, 0}},
    {"width 1, one key", {1, 5, 1, 1, 1, 1, SY_ATTN_FULL, 0}},
    {"bias", {2, 70, 70, 2, 2, 16, SY_ATTN_FULL, BIAS}},
    {"bias, causal, several blocks", {2, 530, 530, 2, 1, 24, SY_ATTN_CAUSAL, BIAS}},
    {"bias, causal, fewer queries", {2, 9, 300, 2, 1, 20, SY_ATTN_CAUSAL, BIAS}},
    {"bias, causal, more queries", {1, 90, 30, 2, 2, 12, SY_ATTN_CAUSAL, BIAS}},
    {"bias, prefix, lengths", {3, 100, 100, 2, 2, 16, SY_ATTN_PREFIX, BIAS | LEN}},
    {"bias, documents on both sides", {2, 100, 323, 4, 2, 16, SY_ATTN_FULL, BIAS | DOC}},
    {"bias, documents, causal", {1, 300, 300, 2, 2, 16, SY_ATTN_CAUSAL, BIAS | DOC}},
    {"dropped weights", {2, 70, 300, 2, 2, 16, SY_ATTN_FULL, DROP}},
    {"dropped weights, bias, causal", {2, 270, 270, 4, 2, 8, SY_ATTN_CAUSAL, DROP | BIAS}},
    {"dropped weights, documents", {2, 65, 65, 1, 1, 8, SY_ATTN_FULL, DROP | DOC}},
    {"width 130", {1, 50, 50, 1, 1, 130, SY_ATTN_CAUSAL, 0}},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static void test_case(int i)
{
    struct data c = make(&cases[i].x);
    double *want = define(&c);
    float *ref = calloc(c.outs, sizeof *ref);
    sy_cpu_force("ref", NULL);
    run(&c, ref);
    double bad = worst(&c, ref, want, 1e-3);
    tap_ok(bad < 3e-6, "%s: against the definition, %.1e", cases[i].name, bad);
    static const char *sets[] = {"avx2", "avx512"};
    for (int s = 0; s < 2; s++) {
        if (sy_cpu_force(sets[s], NULL)) {
            tap_skip("no %s here", sets[s]);
            continue;
        }
        run(&c, c.out);
        tap_ok(!memcmp(c.out, ref, c.outs * sizeof *ref), "%s: %s has the bits of ref",
               cases[i].name, sets[s]);
        c.a.precision = SY_PREC_BF16;
        run(&c, c.out);
        c.a.precision = SY_PREC_FP32;
        bad = worst(&c, c.out, want, 0.1);
        tap_ok(bad < 3e-2, "%s: bf16, %s, %.1e", cases[i].name, sets[s], bad);
    }
    free(want), free(ref);
    release(&c);
}

static void test_threads(void)
{
    const struct shape x = {2, 600, 600, 4, 2, 32, SY_ATTN_CAUSAL, BIAS | DROP};
    struct data c = make(&x);
    float *one = calloc(c.outs, sizeof *one);
    sy_cpu_force("avx512", NULL);
    sy_pool_set_threads(1, NULL);
    run(&c, one);
    bool good = true;
    for (int t = 2; t <= 3; t++) {
        sy_pool_set_threads(t, NULL);
        run(&c, c.out);
        good = good && !memcmp(c.out, one, c.outs * sizeof *one);
    }
    tap_ok(good, "2 and 3 threads give the bits of 1");
    free(one);
    release(&c);
}

/* Scores that would overflow exp without the running maximum, and a NaN that must not get lost. */
static void test_extremes(void)
{
    const struct shape x = {1, 300, 300, 1, 1, 16, SY_ATTN_CAUSAL, 0};
    struct data c = make(&x);
    for (int64_t i = 0; i < 300 * c.a.ldq; i++)
        c.q[i] *= 300.0f;
    double *want = define(&c);
    run(&c, c.out);
    double bad = worst(&c, c.out, want, 1e-3);
    tap_ok(bad < 1e-3, "large scores, %.1e", bad);
    c.q[100 * c.a.ldq] = NAN;
    run(&c, c.out);
    tap_ok(isnan(c.out[100 * c.a.ldo]) && !isnan(c.out[99 * c.a.ldo]) &&
               !isnan(c.out[101 * c.a.ldo]),
           "a NaN query gives NaN in its row and in no other");
    free(want);
    release(&c);
}

/* A thread of its own has no scratch yet. */
static void *without_memory(void *ctx)
{
    struct data *c = ctx;
    bool *failed = calloc(2, sizeof *failed);
    sy_mem_fail_at(1);
    failed[0] = !sy_attention(&c->a);
    sy_mem_fail_at(1);
    failed[1] = !sy_attention_backward(&c->a);
    sy_mem_fail_at(0);
    return failed;
}

static void test_memory(void)
{
    struct data c = make(&cases[0].x);
    float *out = calloc(c.outs, sizeof *out);
    pthread_t thread;
    void *result;
    sy_pool_set_threads(1, NULL);
    run(&c, out);
    pthread_create(&thread, NULL, without_memory, &c);
    pthread_join(thread, &result);
    bool *failed = result;
    tap_ok(failed[0], "forward without scratch says so");
    tap_ok(failed[1], "and backward");
    free(failed);
    free(out);
    release(&c);
}

int main(void)
{
    for (int i = 0; i < CASES; i++)
        test_case(i);
    test_threads();
    test_extremes();
    test_memory();
    return tap_done();
}
