/* Sinkhorn's balance: a matrix of positive numbers scaled by rows and columns until every token
 * (row) weighs 1/N and every expert (column) 1/E (Clark et al. 2022, appendix B; Megatron-LM).
 *
 *     d0 = (1/N) / (c d1 + 1e-8)    d1 = (1/E) / (d0 c + 1e-8)    until mean |change of d1| < tol
 *
 *  1. In double, sums in the order of rows and columns: the same bits on every machine.
 *  2. A row of zeros (padding) is no token.  At most MOST rounds.
 */
#include "moe/moe_int.h"

#include <math.h>
#include <string.h>

enum { MOST = 1000 };
static const double LEAST = 1e-8;

struct balance {
    const float *c; /* (n, e) */
    float *plan;
    int64_t n, e, tokens;
    double tolerance;
    double *rows, *columns, *sums; /* (n), (e), (e) */
};

int sy__infer_moe_sinkhorn(struct sy_infer *x)
{
    const int64_t groups = x->attrs->i[0];
    if (sy__want_dtype(x, 0, SY_F32) || sy__want_ndim(x, 0, 2))
        return -1;
    if (groups < 1 || x->in[0]->shape[0] % groups)
        return sy__shape_error(x, "%lld groups do not divide the tokens", (long long)groups);
    if (!(x->attrs->f[0] > 0))
        return sy_err_set(x->err, SY_E_RANGE, "%s: tolerance is %g, must be above 0", x->op->name,
                          x->attrs->f[0]);
    sy_meta_like(&x->out[0], x->in[0]);
    x->scratch = (size_t)(x->in[0]->shape[0] / groups + 2 * x->in[0]->shape[1]) * sizeof(double);
    return 0;
}

static int64_t count_tokens(const struct balance *b)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < b->n; i++) {
        float most = 0;
        for (int64_t e = 0; e < b->e; e++)
            most = b->c[i * b->e + e] > most ? b->c[i * b->e + e] : most;
        tokens += most > 0;
    }
    return tokens;
}

/* One round; the mean change of the columns' factors. */
static double scale_once(const struct balance *b)
{
    double change = 0;
    memset(b->sums, 0, (size_t)b->e * sizeof *b->sums);
    for (int64_t i = 0; i < b->n; i++) {
        const float *c = b->c + i * b->e;
        double sum = 0;
        for (int64_t e = 0; e < b->e; e++)
            sum += (double)c[e] * b->columns[e];
        b->rows[i] = 1.0 / (double)b->tokens / (sum + LEAST);
        for (int64_t e = 0; e < b->e; e++)
            b->sums[e] += b->rows[i] * (double)c[e];
    }
    for (int64_t e = 0; e < b->e; e++) {
        const double factor = 1.0 / (double)b->e / (b->sums[e] + LEAST);
        change += fabs(factor - b->columns[e]);
        b->columns[e] = factor;
    }
    return change / (double)b->e;
}

static void balance_group(struct balance *b)
{
    double change = HUGE_VAL;
    b->tokens = count_tokens(b);
    for (int64_t e = 0; e < b->e; e++)
        b->columns[e] = 1;
    for (int round = 0; b->tokens && round < MOST && change > b->tolerance; round++)
        change = scale_once(b);
    for (int64_t i = 0; i < b->n; i++)
        for (int64_t e = 0; e < b->e; e++) {
            const int64_t at = i * b->e + e;
            b->plan[at] = b->tokens ? (float)(b->rows[i] * (double)b->c[at] * b->columns[e]) : 0;
        }
}

int sy__run_moe_sinkhorn(const struct sy_run *x)
{
    const int64_t groups = x->attrs->i[0], e = x->in[0]->shape[1];
    struct balance b = {.c = sy_data(x->in[0]),
                        .plan = sy_data(x->out[0]),
                        .n = x->in[0]->shape[0] / groups,
                        .e = e,
                        .tolerance = x->attrs->f[0],
                        .rows = x->scratch};
    b.columns = b.rows + b.n;
    b.sums = b.columns + e;
    for (int64_t i = 0; i < groups; i++) {
        balance_group(&b);
        b.c += b.n * e;
        b.plan += b.n * e;
    }
    return 0;
}
