/* AdamW: steps by the mean of the gradient over the root of its mean square, with bias correction
 * and decoupled weight decay.  One pass over the four buffers (cpu/kern/optim.c).
 * Source: Kingma & Ba 2015, alg. 1; Loshchilov & Hutter 2019, alg. 2. */
#include "train/optimizers/adamw.h"

#include "base/pool.h"
#include "cpu/cpu.h"

#include <math.h>

static int shape(const struct sy_param *p, int state, int64_t out[SY_MAX_DIMS])
{
    (void)state;
    return sy__optimizer_whole(p, out);
}

struct sy__adamw sy__adamw_of(const struct sy_update *u)
{
    const double *h = u->hyper->v;
    struct sy_adamw a = {.lr = (float)u->lr,
                         .beta1 = (float)h[SY_HYPER_beta1],
                         .beta2 = (float)h[SY_HYPER_beta2],
                         .eps = (float)h[SY_HYPER_eps],
                         .grad_scale = (float)u->grad_scale};
    a.correct1 = 1 - pow(h[SY_HYPER_beta1], (double)u->t);
    a.correct2 = 1 - pow(h[SY_HYPER_beta2], (double)u->t);
    struct sy__adamw both = {{a, a}};
    both.args[1].decay = (float)h[SY_HYPER_weight_decay];
    return both;
}

void sy__adamw_chunk(const struct sy_params *ps, const struct sy__adamw *a,
                     const struct sy_chunk *c)
{
    int64_t o = c->offset;
    sy_cpu()->optim->adamw(ps->p + o, ps->g + o, sy__optimizer_state(ps, c, 0),
                           sy__optimizer_state(ps, c, 1), c->count,
                           &a->args[ps->list[c->param].decay]);
}

struct pass {
    struct sy_params *ps;
    struct sy__adamw args;
};

static void update_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    if (!a->ps->chunks[i].frozen)
        sy__adamw_chunk(a->ps, &a->args, &a->ps->chunks[i]);
}

static void step(struct sy_params *ps, const struct sy_update *u)
{
    struct pass a = {ps, sy__adamw_of(u)};
    sy_pool_run(ps->nchunks, update_task, &a);
}

const struct sy_optimizer sy__optimizer_adamw = {
    .name = "adamw",
    .help = "by the mean gradient over the root of its mean square; keeps two numbers a parameter",
    .source = "Kingma and Ba 2015, alg. 1; Loshchilov and Hutter 2019, alg. 2",
    .reads = {"beta1", "beta2", "eps", "weight_decay"},
    .states = {"m", "v"},
    .shape = shape,
    .decays = sy__optimizer_two_dims,
    .step = step,
};
