/* Adafactor as T5, GShard and Switch trained with: no momentum; of a matrix the mean squares of the
 * gradient by rows and by columns stand for those of its elements.
 *
 *     b = 1 - t^-0.8
 *     R = b R + (1 - b) mean over a row of (G^2 + 1e-30);  C likewise of a column
 *     U = G / sqrt(R C / mean R);   of what is no matrix, or has a side under 128:
 *                                  U = G / sqrt(V)
 *     W = W - lr max(0.001, rms W) U / max(1, rms U)
 *
 * so lr is relative to the size of the weights.  A matrix is an expert's: the rms are its own.
 * Source: Shazeer & Stern 2018, alg. 4 and section 9; Raffel et al. 2020 (T5: 128).
 *
 *  1. Sums are in double: of a row over 16 lanes, of a column from the first row to the last, of
 *     chunks in their order; so the bits are those of any threads and kernel set. */
#include "base/pool.h"
#include "cpu/cpu.h"
#include "cpu/kern_optim.h"
#include "train/optimizers/optimizer.h"

#include <math.h>

#define LEAST_SIDE 128
#define TINY 1e-30
#define LEAST_RMS 1e-3
#define ROWS 65536 /* floats of a task of rows, about */
#define COLS 256   /* columns of a task of columns */

enum { BY_ROWS, BY_COLS, BY_ALL }; /* states */

static bool factored(int64_t rows, int64_t cols)
{
    return rows >= LEAST_SIDE && cols >= LEAST_SIDE;
}

static int shape(const struct sy_param *p, int state, int64_t out[SY_MAX_DIMS])
{
    int first = p->experts ? 1 : 0, ndim = p->tensor->ndim;
    const int64_t *s = p->tensor->shape;
    bool two = ndim == first + 2 && factored(s[first], s[first + 1]);
    if (two == (state == BY_ALL))
        return -1;
    if (state == BY_ALL)
        return sy__optimizer_whole(p, out);
    out[0] = s[0];
    out[first] = s[first + state];
    return first + 1;
}

static bool decays(const struct sy_param *p)
{
    (void)p;
    return false;
}

/* ---- the work: tables, and a factor for each row and each column ---- */

struct pass {
    struct sy_params *ps;
    double *of_p, *of_u; /* [nchunks] sums of squares */
    double *rate;        /* [ngroups] */
    int64_t *tasks;      /* [ngroups + 1] tasks of the groups before */
    float **factors;     /* [ngroups] of rows, then of columns; NULL: not factored */
    double keep, scale, lr;
};

static bool is_factored(const struct sy_group *g) { return factored(g->rows, g->cols); }

static int64_t rows_a_task(const struct sy_group *g) { return g->cols < ROWS ? ROWS / g->cols : 1; }

static int64_t row_tasks(const struct sy_group *g)
{
    return (g->rows + rows_a_task(g) - 1) / rows_a_task(g);
}

static int64_t tasks_of(const struct sy_group *g)
{
    return is_factored(g) ? row_tasks(g) + (g->cols + COLS - 1) / COLS : 0;
}

static size_t tables(const struct sy_params *ps)
{
    return (2 * (size_t)ps->nchunks + 3 * (size_t)ps->ngroups + 1) * 8;
}

static size_t work(const struct sy_params *ps)
{
    size_t floats = 0;
    for (int i = 0; i < ps->ngroups; i++)
        floats +=
            is_factored(&ps->groups[i]) ? (size_t)(ps->groups[i].rows + ps->groups[i].cols) : 0;
    return tables(ps) + floats * sizeof(float);
}

static void lay_out(struct pass *a)
{
    const struct sy_params *ps = a->ps;
    a->of_p = ps->work;
    a->of_u = a->of_p + ps->nchunks;
    a->rate = a->of_u + ps->nchunks;
    a->tasks = (int64_t *)(void *)(a->rate + ps->ngroups);
    a->factors = (float **)(void *)(a->tasks + ps->ngroups + 1);
    float *at = (float *)(void *)((char *)ps->work + tables(ps));
    a->tasks[0] = 0;
    for (int i = 0; i < ps->ngroups; i++) {
        const struct sy_group *g = &ps->groups[i];
        a->tasks[i + 1] = a->tasks[i] + tasks_of(g);
        a->factors[i] = is_factored(g) ? at : NULL;
        at += is_factored(g) ? g->rows + g->cols : 0;
    }
}

/* ---- mean squares ---- */

static float moved(const struct pass *a, float was, double sum, int64_t n)
{
    return (float)(a->keep * (double)was +
                   (1 - a->keep) * (sum * a->scale * a->scale / (double)n + TINY));
}

static void do_rows(const struct pass *a, const struct sy_group *g, int64_t begin, int64_t end)
{
    const float *grad = a->ps->g + a->ps->chunks[g->first].offset;
    float *rows = sy__optimizer_group_state(a->ps, g, BY_ROWS);
    for (int64_t r = begin; r < end; r++)
        rows[r] =
            moved(a, rows[r], sy_cpu()->optim->sumsq(grad + r * g->cols, g->cols, NULL), g->cols);
}

static void do_cols(const struct pass *a, const struct sy_group *g, int64_t begin, int64_t end)
{
    double sums[COLS] = {0};
    const float *grad = a->ps->g + a->ps->chunks[g->first].offset;
    float *cols = sy__optimizer_group_state(a->ps, g, BY_COLS);
    for (int64_t r = 0; r < g->rows; r++)
        sy_cpu()->optim->add_squares(sums, grad + r * g->cols + begin, end - begin);
    for (int64_t c = begin; c < end; c++)
        cols[c] = moved(a, cols[c], sums[c - begin], g->rows);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void moments_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    const struct sy_group *g = a->ps->groups;
    int low = 0, high = a->ps->ngroups; /* tasks[low] <= i < tasks[high] */
    while (high - low > 1) {
        int mid = (low + high) / 2;
        *(a->tasks[mid] <= i ? &low : &high) = mid;
    }
    g += low;
    i -= a->tasks[low];
    if (sy__optimizer_frozen(a->ps, g))
        return;
    int64_t each = rows_a_task(g), columns = (i - row_tasks(g)) * COLS;
    if (i < row_tasks(g))
        do_rows(a, g, i * each, least(g->rows, (i + 1) * each));
    else
        do_cols(a, g, columns, least(g->cols, columns + COLS));
}

/* ---- the direction, in place of the gradient ---- */

static void factors_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    const struct sy_group *g = &a->ps->groups[i];
    float *to = a->factors[i];
    if (!to || sy__optimizer_frozen(a->ps, g))
        return;
    const float *rows = sy__optimizer_group_state(a->ps, g, BY_ROWS);
    const float *cols = sy__optimizer_group_state(a->ps, g, BY_COLS);
    double mean = 0;
    for (int64_t r = 0; r < g->rows; r++)
        mean += (double)rows[r];
    mean /= (double)g->rows;
    for (int64_t r = 0; r < g->rows; r++)
        to[r] = (float)(a->scale / sqrt((double)rows[r] / mean));
    for (int64_t c = 0; c < g->cols; c++)
        to[g->rows + c] = (float)(1 / sqrt((double)cols[c]));
}

/* A chunk may begin and end in the midst of a row. */
static void divide(const struct pass *a, const struct sy_chunk *c, const struct sy_group *g)
{
    const float *rows = a->factors[c->group], *cols = rows + g->rows;
    int64_t at = c->offset - a->ps->chunks[g->first].offset, end = at + c->count;
    for (int64_t n; at < end; at += n) {
        int64_t r = at / g->cols, col = at % g->cols;
        n = least(g->cols - col, end - at);
        sy_cpu()->optim->outer(a->ps->g + a->ps->chunks[g->first].offset + at, cols + col, rows[r],
                               n);
    }
}

static void direction_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    struct sy_params *ps = a->ps;
    const struct sy_chunk *c = &ps->chunks[i];
    if (c->frozen)
        return;
    if (a->factors[c->group])
        divide(a, c, &ps->groups[c->group]);
    else
        sy_cpu()->optim->second(ps->g + c->offset, sy__optimizer_state(ps, c, BY_ALL), c->count,
                                (float)a->keep, (float)a->scale, (float)TINY);
    a->of_p[i] = sy_cpu()->optim->sumsq(ps->p + c->offset, c->count, NULL);
    a->of_u[i] = sy_cpu()->optim->sumsq(ps->g + c->offset, c->count, NULL);
}

/* ---- the step ---- */

static void find_rates(const struct pass *a)
{
    for (int i = 0; i < a->ps->ngroups; i++) {
        const struct sy_group *g = &a->ps->groups[i];
        double p = 0, u = 0, n = (double)(g->rows * g->cols);
        for (int k = g->first; k < g->first + g->chunks; k++) {
            p += a->of_p[k];
            u += a->of_u[k];
        }
        a->rate[i] = a->lr * fmax(LEAST_RMS, sqrt(p / n)) / fmax(1, sqrt(u / n));
    }
}

static void apply_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    const struct sy_chunk *c = &a->ps->chunks[i];
    if (!c->frozen)
        sy_cpu()->optim->mix(a->ps->p + c->offset, 1, a->ps->g + c->offset,
                             (float)-a->rate[c->group], c->count);
}

static void step(struct sy_params *ps, const struct sy_update *u)
{
    struct pass a = {
        .ps = ps, .keep = 1 - pow((double)u->t, -0.8), .scale = u->grad_scale, .lr = u->lr};
    lay_out(&a);
    sy_pool_run(a.tasks[ps->ngroups], moments_task, &a);
    sy_pool_run(ps->ngroups, factors_task, &a);
    sy_pool_run(ps->nchunks, direction_task, &a);
    find_rates(&a);
    sy_pool_run(ps->nchunks, apply_task, &a);
}

const struct sy_optimizer sy__optimizer_adafactor = {
    .name = "adafactor",
    .help =
        "by the gradient over the root of its mean square by rows and columns, far less than a "
        "number a parameter; lr is relative to the size of the weights, 0.01 say",
    .source = "Shazeer and Stern 2018; Raffel et al. 2020 (T5)",
    .reads = {NULL},
    .states = {"vr", "vc", "v"},
    .shape = shape,
    .decays = decays,
    .work = work,
    .step = step,
};
