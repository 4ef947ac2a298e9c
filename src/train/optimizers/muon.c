/* Muon: the momentum of each weight matrix, made orthogonal, is its step.  An expert's matrix is
 * one of its own.  The projections of queries, keys and values are three, each whole: all heads of
 * one are made orthogonal together, as both sources do (Jordan et al. found that q, k and v want to
 * be apart; neither parts the heads).  Embeddings, the head,
 * routers and all that has not two dimensions are AdamW's.
 *
 *     M = momentum M + G;  U = G + momentum M (nesterov) or M;  X = U / (|U| + 1e-7)
 *     five times  A = X X^T (the smaller side),  X = (a I + b A + c A A) X
 *     W = W (1 - lr decay) - lr 0.2 sqrt(max(rows, cols)) X
 *
 * By the last factor the step is as large as AdamW's usually is, so that both learn by one lr and
 * one decay.  Source: Jordan et al. 2024 (Muon: a, b, c); Liu et al. 2025 (Moonlight: the factor,
 * the decay).
 *
 *  1. In fp32 whatever the precision of the run: products by cpu/gemm.h, sums of squares in double
 *     over chunks in their order, so the bits are those of any threads and kernel set.
 *  2. Matrices are taken in batches that fit in `work`: many experts in one parallel region. */
#include "base/pool.h"
#include "cpu/cpu.h"
#include "cpu/gemm.h"
#include "train/optimizers/adamw.h"

#include <math.h>

#define ROUNDS 5
#define BATCH 64                   /* matrices at a time, at most */
#define ROOM ((int64_t)1 << 21)    /* floats of work, if no matrix alone needs more */
#define PIECES 8                   /* tasks of a small product's epilogue */

static const float A1 = 3.4445f, A3 = -4.7750f, A5 = 2.0315f;

static bool is_orthogonal(const struct sy_param *p)
{
    int first = p->experts ? 1 : 0;
    return (p->role == SY_ROLE_WEIGHT || p->role == SY_ROLE_EXPERT) &&
           p->tensor->ndim == first + 2 && p->tensor->shape[first] > 1 &&
           p->tensor->shape[first + 1] > 1;
}

static int shape(const struct sy_param *p, int state, int64_t out[SY_MAX_DIMS])
{
    return state == 1 && is_orthogonal(p) ? -1 : sy__optimizer_whole(p, out);
}

static int64_t smaller(const struct sy_group *g) { return g->rows < g->cols ? g->rows : g->cols; }

/* Floats: the other X, A, and its polynomial. */
static int64_t room_of(const struct sy_group *g)
{
    return g->rows * g->cols + 2 * smaller(g) * smaller(g);
}

static int64_t room(const struct sy_params *ps)
{
    int64_t most = 0, all = 0;
    for (int i = 0; i < ps->ngroups; i++) {
        int64_t n = is_orthogonal(&ps->list[ps->groups[i].param]) ? room_of(&ps->groups[i]) : 0;
        most = n > most ? n : most;
        all += n;
    }
    int64_t enough = all < ROOM ? all : ROOM;
    return most > enough ? most : enough;
}

static size_t work(const struct sy_params *ps) { return (size_t)room(ps) * sizeof(float); }

struct item {
    const struct sy_group *group;
    float *x, *y, *a, *b;
    int64_t side;
};

struct pass {
    struct sy_params *ps;
    struct sy__adamw adamw;
    struct sy_sgd momentum;
    double lr, decay;
    struct item list[BATCH];
    int n;
};

/* ---- the momentum, and what is AdamW's ---- */

static void first_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    struct sy_params *ps = a->ps;
    const struct sy_chunk *c = &ps->chunks[i];
    if (c->frozen)
        return;
    if (!is_orthogonal(&ps->list[c->param])) {
        sy__adamw_chunk(ps, &a->adamw, c);
        return;
    }
    float *g = ps->g + c->offset;
    sy_cpu()->optim->momentum(g, sy__optimizer_state(ps, c, 0), c->count, &a->momentum);
    ps->partials[i] = sy_cpu()->optim->sumsq(g, c->count, NULL);
}

/* ---- a batch of matrices ---- */

static void normalize_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    const struct item *m = &a->list[i];
    double sum = 0;
    for (int k = 0; k < m->group->chunks; k++)
        sum += a->ps->partials[m->group->first + k];
    sy_cpu()->optim->scale(m->x, (float)(1 / (sqrt(sum) + 1e-7)), m->group->rows * m->group->cols);
}

/* A = X X^T or X^T X, whichever is smaller. */
static struct sy_gemm_problem square_of(const struct item *m)
{
    const struct sy_group *g = m->group;
    struct sy_mat straight = {.data = m->x, .ld = g->cols},
                  turned = {.data = m->x, .ld = g->cols, .trans = true};
    bool wide = g->rows <= g->cols;
    return (struct sy_gemm_problem){.m = m->side, .n = m->side, .k = wide ? g->cols : g->rows,
                                    .a = wide ? straight : turned, .b = wide ? turned : straight,
                                    .c = m->a, .ldc = m->side};
}

static struct sy_gemm_problem fourth_of(const struct item *m)
{
    struct sy_mat a = {.data = m->a, .ld = m->side};
    return (struct sy_gemm_problem){.m = m->side, .n = m->side, .k = m->side, .a = a, .b = a,
                                    .c = m->b, .ldc = m->side};
}

/* B X or X B. */
static struct sy_gemm_problem product_of(const struct item *m)
{
    const struct sy_group *g = m->group;
    struct sy_mat x = {.data = m->x, .ld = g->cols}, b = {.data = m->b, .ld = m->side};
    bool wide = g->rows <= g->cols;
    return (struct sy_gemm_problem){.m = g->rows, .n = g->cols, .k = m->side, .a = wide ? b : x,
                                    .b = wide ? x : b, .c = m->y, .ldc = g->cols};
}

static void multiply(const struct pass *a, struct sy_gemm_problem (*of)(const struct item *))
{
    struct sy_gemm_problem list[BATCH];
    for (int i = 0; i < a->n; i++)
        list[i] = of(&a->list[i]);
    sy_gemm_grouped(list, a->n, NULL);
}

/* b = A1 I + A3 a + A5 b, some rows of it */
static void polynomial_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    const struct item *m = &a->list[i / PIECES];
    int64_t r0 = m->side * (i % PIECES) / PIECES, r1 = m->side * (i % PIECES + 1) / PIECES;
    sy_cpu()->optim->mix(m->b + r0 * m->side, A5, m->a + r0 * m->side, A3, (r1 - r0) * m->side);
    for (int64_t r = r0; r < r1; r++)
        m->b[r * m->side + r] += A1;
}

static void apply_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    const struct item *m = &a->list[i];
    const struct sy_group *g = m->group;
    double most = (double)(g->rows > g->cols ? g->rows : g->cols);
    float *p = a->ps->p + a->ps->chunks[g->first].offset;
    /* all of these have two dimensions, and so decay */
    sy_cpu()->optim->mix(p, (float)(1 - a->lr * a->decay), m->x, (float)(-a->lr * 0.2 * sqrt(most)),
                         g->rows * g->cols);
}

static void do_batch(struct pass *a)
{
    if (!a->n)
        return;
    sy_pool_run(a->n, normalize_task, a);
    for (int round = 0; round < ROUNDS; round++) {
        multiply(a, square_of);
        multiply(a, fourth_of);
        sy_pool_run((int64_t)a->n * PIECES, polynomial_task, a);
        multiply(a, product_of);
        for (int i = 0; i < a->n; i++) {
            float *x = a->list[i].x;
            a->list[i].x = a->list[i].y;
            a->list[i].y = x;
        }
    }
    sy_pool_run(a->n, apply_task, a);
    a->n = 0;
}

static void add_item(struct pass *a, const struct sy_group *g, float *at)
{
    int64_t side = smaller(g), n = g->rows * g->cols;
    a->list[a->n++] = (struct item){.group = g, .side = side,
                                    .x = a->ps->g + a->ps->chunks[g->first].offset,
                                    .y = at, .a = at + n, .b = at + n + side * side};
}

static void step(struct sy_params *ps, const struct sy_update *u)
{
    const double *h = u->hyper->v;
    struct pass a = {.ps = ps,
                     .adamw = sy__adamw_of(u),
                     .lr = u->lr,
                     .decay = h[SY_HYPER_weight_decay],
                     .momentum = {.momentum = (float)h[SY_HYPER_momentum],
                                  .grad_scale = (float)u->grad_scale,
                                  .nesterov = h[SY_HYPER_nesterov] > 0}};
    int64_t used = 0, most = room(ps);
    sy_pool_run(ps->nchunks, first_task, &a);
    for (int i = 0; i < ps->ngroups; i++) {
        const struct sy_group *g = &ps->groups[i];
        if (!is_orthogonal(&ps->list[g->param]) || sy__optimizer_frozen(ps, g))
            continue;
        if (a.n == BATCH || used + room_of(g) > most) {
            do_batch(&a);
            used = 0;
        }
        add_item(&a, g, (float *)ps->work + used);
        used += room_of(g);
    }
    do_batch(&a);
}

const struct sy_optimizer sy__optimizer_muon = {
    .name = "muon",
    .help =
        "by the momentum of each matrix (of each expert's) made orthogonal, one number a "
        "parameter; embeddings, head, routers and vectors by adamw, with the same lr",
    .source = "Jordan et al. 2024; Liu et al. 2025 (Moonlight), for step size and decay",
    .reads = {"momentum", "nesterov", "weight_decay", "beta1", "beta2", "eps"},
    .states = {"m", "v"},
    .shape = shape,
    .decays = sy__optimizer_two_dims,
    .work = work,
    .step = step,
};
