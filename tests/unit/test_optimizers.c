/* Every optimizer against the same in double: five steps over matrices, stacks of experts, vectors,
 * an embedding, a router; what it keeps; a frozen expert; the same bits on every kernel set and any
 * number of threads. */
#include "unit/kern_sets.h"

#include "base/mem.h"
#include "base/pool.h"
#include "train/optimizers/optimizer.h"

#include <stdio.h>

#define STEPS 5
#define FROZEN 2 /* expert of the first stack, from the fourth step on */

static const struct {
    struct sy_param_spec spec;
    int ndim;
    int64_t shape[3];
    double most; /* of its values */
} rows[] = {
    {{"wide", 0, SY_ROLE_WEIGHT, 1, NULL, false}, 2, {140, 170}, 0.2},
    {{"tall", 0, SY_ROLE_WEIGHT, 1, NULL, false}, 2, {510, 130}, 0.2}, /* over a chunk */
    {{"small", 0, SY_ROLE_WEIGHT, 1, NULL, false}, 2, {24, 10}, 0.2},
    {{"experts", 3, SY_ROLE_EXPERT, 1, NULL, false}, 3, {3, 16, 20}, 0.2},
    {{"large experts", 2, SY_ROLE_EXPERT, 1, NULL, false}, 3, {2, 150, 129}, 0.2},
    {{"biases", 3, SY_ROLE_EXPERT, 1, NULL, false}, 2, {3, 20}, 0.2},
    {{"gate", 0, SY_ROLE_ROUTER, 1, NULL, false}, 2, {3, 20}, 0.2},
    {{"norm", 0, SY_ROLE_WEIGHT, 1, NULL, false}, 1, {33}, 0.2},
    {{"embed", 0, SY_ROLE_EMBEDDING, 0, NULL, false}, 2, {50, 20}, 0.2},
    {{"head", 0, SY_ROLE_HEAD, 0, NULL, false}, 2, {50, 20}, 0.2},
    {{"tiny", 0, SY_ROLE_WEIGHT, 1, NULL, false}, 2, {9, 7}, 1e-5}, /* Adafactor's floor holds */
};
#define COUNT ((int)(sizeof rows / sizeof *rows))

struct world {
    struct sy_tensor *tensors[COUNT];
    struct sy_params *ps;
    struct sy_hyper hyper;
};

static void fill(int i, float *at, int64_t n)
{
    fill_range(at, n, (uint64_t)i, -rows[i].most, rows[i].most);
}

static void open_world(struct world *w, const struct sy_optimizer *o)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_param_spec specs[COUNT];
    for (int i = 0; i < COUNT; i++) {
        specs[i] = rows[i].spec;
        w->tensors[i] = sy_tensor_empty(SY_F32, rows[i].ndim, rows[i].shape, &err);
        fill(i, sy_tensor_data(w->tensors[i]), sy_tensor_count(w->tensors[i]));
    }
    w->ps = sy_params_new(w->tensors, specs, COUNT, NULL, 0, o, &err);
    sy_hyper_defaults(&w->hyper);
}

static void close_world(struct world *w)
{
    sy_params_free(w->ps);
    for (int i = 0; i < COUNT; i++)
        sy_tensor_unref(w->tensors[i]);
}

/* Gradients of step t; one expert and one row have none. */
static void gradients(struct sy_params *ps, int t)
{
    for (int i = 0; i < ps->count; i++) {
        const struct sy_param *p = &ps->list[i];
        fill_range(ps->g + p->offset, p->count, (uint64_t)(1000 * t + i), -2, 3);
    }
    memset(ps->g + ps->list[3].offset, 0, 16 * 20 * sizeof(float));
    memset(ps->g + ps->list[0].offset, 0, 170 * sizeof(float));
}

static void step(struct world *w, int t)
{
    struct sy_update u = {.hyper = &w->hyper, .lr = 0.01 / t, .grad_scale = 0.25, .t = t};
    if (t == 4)
        sy_params_freeze(w->ps, "experts", FROZEN, true);
    gradients(w->ps, t);
    w->ps->optimizer->step(w->ps, &u);
}

/* ---- the same in double: of one matrix (r, c), or a vector (1, n); s: three states of r * c -- */

struct matrix {
    double *p, *g, *s[3];
    int64_t r, c;
    bool decay, two, hidden; /* hidden: neither embedding, head nor router */
};

static void plain_adamw(struct matrix *x, double lr, int t)
{
    for (int64_t i = 0; i < x->r * x->c; i++) {
        double *m = &x->s[0][i], *v = &x->s[1][i];
        *m = 0.9 * *m + 0.1 * x->g[i];
        *v = 0.95 * *v + 0.05 * x->g[i] * x->g[i];
        x->p[i] -= x->decay ? lr * 0.1 * x->p[i] : 0;
        x->p[i] -= lr * (*m / (1 - pow(0.9, t))) / (sqrt(*v / (1 - pow(0.95, t))) + 1e-8);
    }
}

static bool nesterov = true;

/* What is stepped by: the momentum m, which has g in it already, or what it and the next g lead
 * to. */
static double ahead(double g, double m) { return nesterov ? g + 0.95 * m : m; }

static void plain_sgd(struct matrix *x, double lr, int t)
{
    (void)t;
    for (int64_t i = 0; i < x->r * x->c; i++) {
        double *m = &x->s[0][i];
        *m = 0.95 * *m + x->g[i];
        x->p[i] -= x->decay ? lr * 0.1 * x->p[i] : 0;
        x->p[i] -= lr * ahead(x->g[i], *m);
    }
}

/* y (r,r) = x x^T */
static void plain_square(const double *x, int64_t r, int64_t c, double *y)
{
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) {
            double sum = 0;
            for (int64_t k = 0; k < c; k++)
                sum += x[i * c + k] * x[j * c + k];
            y[i * r + j] = sum;
        }
}

/* x (r,c), r <= c, by the published iteration. */
static void plain_orthogonalize(double *x, int64_t r, int64_t c)
{
    double *a = sy_calloc((size_t)(r * r), sizeof *a), *y = sy_calloc((size_t)(r * c), sizeof *y);
    double *a2 = sy_calloc((size_t)(r * r), sizeof *a2);
    for (int round = 0; round < 5; round++) {
        plain_square(x, r, c, a);
        plain_square(a, r, r, a2); /* a is symmetric */
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < c; j++) {
                double sum = 3.4445 * x[i * c + j];
                for (int64_t k = 0; k < r; k++)
                    sum += (-4.7750 * a[i * r + k] + 2.0315 * a2[i * r + k]) * x[k * c + j];
                y[i * c + j] = sum;
            }
        memcpy(x, y, (size_t)(r * c) * sizeof *x);
    }
    sy_free(a);
    sy_free(y);
    sy_free(a2);
}

static void plain_muon(struct matrix *x, double lr, int t)
{
    if (!x->two || !x->hidden) {
        plain_adamw(x, lr, t);
        return;
    }
    int64_t n = x->r * x->c, r = x->r < x->c ? x->r : x->c, c = n / r;
    double *u = sy_calloc((size_t)n, sizeof *u), norm = 0;
    for (int64_t i = 0; i < n; i++) {
        double *m = &x->s[0][i];
        *m = 0.95 * *m + x->g[i];
        double d = ahead(x->g[i], *m);
        norm += d * d;
        u[r == x->r ? i : i % x->c * c + i / x->c] = d; /* the long side last */
    }
    for (int64_t i = 0; i < n; i++)
        u[i] /= sqrt(norm) + 1e-7;
    plain_orthogonalize(u, r, c);
    for (int64_t i = 0; i < n; i++)
        x->p[i] = x->p[i] * (1 - lr * 0.1) -
                  lr * 0.2 * sqrt((double)c) * u[r == x->r ? i : i % x->c * c + i / x->c];
    sy_free(u);
}

static void plain_adafactor(struct matrix *x, double lr, int t)
{
    int64_t n = x->r * x->c;
    bool factored = x->two && x->r >= 128 && x->c >= 128;
    double beta = 1 - pow(t, -0.8), mean = 0, of_p = 0, of_u = 0, *v = x->s[2];
    for (int64_t i = 0; i < n && !factored; i++)
        v[i] = beta * v[i] + (1 - beta) * (x->g[i] * x->g[i] + 1e-30);
    for (int64_t i = 0; i < x->r && factored; i++)
        x->s[0][i] *= beta;
    for (int64_t i = 0; i < x->c && factored; i++)
        x->s[1][i] *= beta;
    for (int64_t i = 0; i < n && factored; i++) {
        double square = (1 - beta) * (x->g[i] * x->g[i] + 1e-30);
        x->s[0][i / x->c] += square / (double)x->c;
        x->s[1][i % x->c] += square / (double)x->r;
    }
    for (int64_t i = 0; i < x->r; i++)
        mean += x->s[0][i] / (double)x->r;
    for (int64_t i = 0; i < n; i++) {
        x->g[i] /= sqrt(factored ? x->s[0][i / x->c] * x->s[1][i % x->c] / mean : v[i]);
        of_p += x->p[i] * x->p[i] / (double)n;
        of_u += x->g[i] * x->g[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++)
        x->p[i] -= lr * fmax(1e-3, sqrt(of_p)) * x->g[i] / fmax(1, sqrt(of_u));
}

static const struct {
    const char *name;
    void (*plain)(struct matrix *, double, int);
} cases[] = {{"adamw", plain_adamw},
             {"muon", plain_muon},
             {"sgd", plain_sgd},
             {"adafactor", plain_adafactor}};
/* Of parameters that are under 0.3: 6e-8 to 7e-8 is what fp32 makes of them. */
#define TOLERANCE 3e-7

/* What parameter i, expert e is after STEPS in double, against ps. */
static double distance(const struct world *w, int i, int e,
                       void (*plain)(struct matrix *, double, int))
{
    const struct sy_param *p = &w->ps->list[i];
    int lead = p->experts ? 1 : 0, two = rows[i].ndim == lead + 2;
    int64_t groups = p->experts ? p->experts : 1, n = p->count / groups, at = e * n;
    double *all = sy_calloc((size_t)(5 * n), sizeof *all), worst = 0;
    float *g = sy_calloc((size_t)w->ps->floats, sizeof *g),
          *start = sy_calloc((size_t)p->count, sizeof *start);
    struct matrix x = {all,
                       all + n,
                       {all + 2 * n, all + 3 * n, all + 4 * n},
                       two ? rows[i].shape[lead] : 1,
                       two ? rows[i].shape[lead + 1] : n,
                       rows[i].ndim >= 2,
                       two,
                       p->role == SY_ROLE_WEIGHT || p->role == SY_ROLE_EXPERT};
    struct sy_params only = *w->ps;
    only.g = g;
    fill(i, start, p->count);
    for (int64_t k = 0; k < n; k++)
        x.p[k] = (double)start[at + k];
    for (int t = 1; t <= STEPS; t++) {
        gradients(&only, t);
        for (int64_t k = 0; k < n; k++)
            x.g[k] = 0.25 * (double)g[p->offset + at + k];
        if (i != 3 || e != FROZEN || t < 4)
            plain(&x, 0.01 / t, t);
    }
    for (int64_t k = 0; k < n; k++)
        worst = fmax(worst, fabs(x.p[k] - (double)w->ps->p[p->offset + at + k]));
    sy_free(all);
    sy_free(g);
    sy_free(start);
    return worst;
}

static void test_reference(int k)
{
    struct world w;
    open_world(&w, sy_optimizer_find(cases[k].name));
    w.hyper.v[SY_HYPER_nesterov] = nesterov;
    for (int t = 1; t <= STEPS; t++)
        step(&w, t);
    for (int i = 0; i < COUNT; i++) {
        double worst = 0;
        for (int e = 0; e < (rows[i].spec.experts ? rows[i].spec.experts : 1); e++)
            worst = fmax(worst, distance(&w, i, e, cases[k].plain));
        tap_ok(worst < TOLERANCE, "%s: %s as in double (%.1e)%s", cases[k].name,
               rows[i].spec.name, worst, nesterov ? "" : ", without nesterov");
    }
    close_world(&w);
}

/* What is frozen stays, and so does what is kept of it. */
static void test_frozen(int k)
{
    struct world w;
    open_world(&w, sy_optimizer_find(cases[k].name));
    const size_t bytes = (size_t)w.ps->floats * sizeof(float);
    const size_t kept_bytes = (size_t)w.ps->kept_floats * sizeof(float);
    float *p = sy_alloc(bytes), *kept = sy_alloc(kept_bytes);
    step(&w, 1);
    sy_params_freeze(w.ps, "", -1, true);
    memcpy(p, w.ps->p, bytes);
    memcpy(kept, w.ps->kept, kept_bytes);
    step(&w, 2);
    tap_ok(!memcmp(p, w.ps->p, bytes), "%s: what is frozen stays", cases[k].name);
    tap_ok(!memcmp(kept, w.ps->kept, kept_bytes), "%s: and what it keeps of it", cases[k].name);
    sy_free(p);
    sy_free(kept);
    close_world(&w);
}

/* ---- what it keeps ---- */

static const char *state_text(const struct sy_optimizer *o, int s)
{
    static char text[16];
    snprintf(text, sizeof text, "%s:", o->states[s]);
    return text;
}

static void test_kept(int k)
{
    static const char *const want[] = {
        "m:140x170 v:140x170 | m:510x130 v:510x130 | m:24x10 v:24x10 | m:3x16x20 v:3x16x20 | "
        "m:2x150x129 v:2x150x129 | m:3x20 v:3x20 | m:3x20 v:3x20 | m:33 v:33 | m:50x20 v:50x20 | "
        "m:50x20 v:50x20 | m:9x7 v:9x7 | ",
        "m:140x170 | m:510x130 | m:24x10 | m:3x16x20 | m:2x150x129 | m:3x20 v:3x20 | m:3x20 v:3x20 "
        "| m:33 v:33 | m:50x20 v:50x20 | m:50x20 v:50x20 | m:9x7 | ",
        "m:140x170 | m:510x130 | m:24x10 | m:3x16x20 | m:2x150x129 | m:3x20 | m:3x20 | m:33 | "
        "m:50x20 | m:50x20 | m:9x7 | ",
        "vr:140 vc:170 | vr:510 vc:130 | v:24x10 | v:3x16x20 | vr:2x150 vc:2x129 | v:3x20 | v:3x20 "
        "| v:33 | v:50x20 | v:50x20 | v:9x7 | "};
    struct world w;
    char text[1024];
    int n = 0;
    open_world(&w, sy_optimizer_find(cases[k].name));
    for (int i = 0; i < COUNT; i++, n += snprintf(text + n, sizeof text - (size_t)n, "| "))
        for (int s = 0; s < w.ps->nslots; s++) {
            const struct sy_slot *slot = sy_params_slot(w.ps, i, s);
            for (int d = 0; d < slot->ndim; d++)
                n += snprintf(text + n, sizeof text - (size_t)n, "%s%d%s",
                              d ? "x" : state_text(w.ps->optimizer, s), (int)slot->shape[d],
                              d + 1 < slot->ndim ? "" : " ");
        }
    tap_is_str(text, want[k], "%s: what it keeps", cases[k].name);
    close_world(&w);
}

/* One expert's part is forgotten, and no other's. */
static void test_forget(int k)
{
    struct world w;
    open_world(&w, sy_optimizer_find(cases[k].name));
    step(&w, 1);
    int64_t zeros = 0, wrong = 0;
    sy_params_forget(w.ps, 4, 1);
    for (int s = 0; s < w.ps->nslots; s++) {
        const struct sy_slot *slot = sy_params_slot(w.ps, 4, s);
        for (int64_t i = 0; i < slot->count; i++) {
            bool zero = w.ps->kept[slot->offset + i] == 0;
            zeros += zero;
            wrong += zero != (i >= slot->count / 2);
        }
    }
    tap_ok(zeros > 0 && wrong == 0, "%s: an expert's reset forgets its own", cases[k].name);
    close_world(&w);
}

/* Floats of a line of what is kept of parameter i that are not those of another line. */
static int64_t apart(const struct sy_params *ps, int i, int64_t a, int64_t b)
{
    int64_t lines = ps->list[i].tensor->shape[0], wrong = 0;
    for (int s = 0; s < ps->nslots; s++) {
        const struct sy_slot *slot = sy_params_slot(ps, i, s);
        int64_t n = slot->count && slot->shape[0] == lines ? slot->count / lines : 0;
        const float *at = ps->kept + slot->offset;
        for (int64_t k = 0; k < n; k++)
            wrong += at[a * n + k] != at[b * n + k];
    }
    return wrong;
}

/* Lines change places and are copied with what is kept of them, and what is of columns stays. */
static void test_lines(int k)
{
    struct world w;
    open_world(&w, sy_optimizer_find(cases[k].name));
    step(&w, 1);
    const struct sy_slot *cols = w.ps->nslots > 1 ? sy_params_slot(w.ps, 0, 1) : NULL;
    uint64_t before = sy_params_hash(w.ps);
    float *kept = sy_alloc((size_t)w.ps->kept_floats * sizeof *kept);
    memcpy(kept, w.ps->kept, (size_t)w.ps->kept_floats * sizeof *kept);
    sy_params_freeze(w.ps, rows[4].spec.name, 1, true);
    sy_params_swap(w.ps, 4, 0, 1);
    int frozen = 0, other = 0;
    sy_params_frozen(w.ps, rows[4].spec.name, 0, &frozen);
    sy_params_frozen(w.ps, rows[4].spec.name, 1, &other);
    sy_params_swap(w.ps, 0, 2, 5);
    bool is_cols = cols && cols->ndim == 1;
    tap_ok(sy_params_hash(w.ps) != before && frozen && !other &&
               (!is_cols || !memcmp(kept + cols->offset, w.ps->kept + cols->offset,
                                    (size_t)cols->count * sizeof *kept)),
           "%s: lines change places", cases[k].name);
    sy_params_swap(w.ps, 0, 5, 2);
    sy_params_swap(w.ps, 4, 1, 0);
    tap_ok(sy_params_hash(w.ps) == before, "%s: ... and back", cases[k].name);
    bool differ = apart(w.ps, 4, 0, 1) && apart(w.ps, 0, 2, 5);
    sy_params_blend(w.ps, 4, 0, 1, 0);
    sy_params_blend(w.ps, 0, 2, 5, 0);
    tap_ok(differ && !apart(w.ps, 4, 0, 1) && !apart(w.ps, 0, 2, 5), "%s: ... and are copied",
           cases[k].name);
    sy_free(kept);
    close_world(&w);
}

/* ---- the same bits ---- */

static uint64_t hash_of(const struct sy_optimizer *o)
{
    struct world w;
    open_world(&w, o);
    for (int t = 3; t <= 4; t++) /* the kernels of `ref` are slow */
        step(&w, t);
    uint64_t h = sy_params_hash(w.ps);
    close_world(&w);
    return h;
}

static void test_bits(int k)
{
    const struct sy_optimizer *o = sy_optimizer_find(cases[k].name);
    kern_set(0);
    sy_pool_set_threads(1, NULL);
    uint64_t want = hash_of(o);
    for (int set = 0; set < SETS; set++)
        for (int threads = 1; threads <= 3; threads += 2) {
            if (!kern_set(set)) {
                tap_skip("%s: kernel set %d", cases[k].name, set);
                continue;
            }
            sy_pool_set_threads(threads, NULL);
            tap_ok(hash_of(o) == want, "%s: the bits of %s, %d threads", cases[k].name,
                   sy_cpu()->name, threads);
        }
}

static void test_list(void)
{
    int n = 0;
    while (sy_optimizer_at(n))
        n++;
    tap_is_int(n, sizeof cases / sizeof *cases, "every optimizer has its case here");
    tap_ok(!sy_optimizer_find("adam"), "an unknown name");
    const struct sy_optimizer *sgd = sy_optimizer_find("sgd"), *adamw = sy_optimizer_at(0);
    tap_ok(sy_optimizer_ignores(sgd, "beta1") && sy_optimizer_ignores(adamw, "momentum") &&
               !sy_optimizer_ignores(sgd, "momentum") && !sy_optimizer_ignores(sgd, "clip"),
           "what another reads has no effect");
    for (int i = 0; i < n; i++)
        for (const char *const *r = sy_optimizer_at(i)->reads; *r; r++)
            tap_ok(sy_hyper_find(*r) >= 0, "%s reads %s", sy_optimizer_at(i)->name, *r);
}

int main(void)
{
    test_list();
    for (int k = 0; k < (int)(sizeof cases / sizeof *cases); k++) {
        test_kept(k);
        test_reference(k);
        test_frozen(k);
        test_forget(k);
        test_lines(k);
        test_bits(k);
    }
    nesterov = false;
    for (int k = 0; k < (int)(sizeof cases / sizeof *cases); k++)
        if (!sy_optimizer_ignores(sy_optimizer_find(cases[k].name), "nesterov"))
            test_reference(k);
    return tap_done();
}
