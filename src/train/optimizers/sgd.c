/* Stochastic gradient descent with momentum, Nesterov's by default, and decoupled weight decay.
 * Source: Sutskever et al. 2013; Loshchilov & Hutter 2019, alg. 1. */
#include "base/pool.h"
#include "cpu/cpu.h"
#include "cpu/kern_optim.h"
#include "train/optimizers/optimizer.h"

static int shape(const struct sy_param *p, int state, int64_t out[SY_MAX_DIMS])
{
    (void)state;
    return sy__optimizer_whole(p, out);
}

struct pass {
    struct sy_params *ps;
    struct sy_sgd args[2]; /* without and with weight decay */
};

static void update_task(void *ctx, int64_t i)
{
    const struct pass *a = ctx;
    const struct sy_params *ps = a->ps;
    const struct sy_chunk *c = &ps->chunks[i];
    if (!c->frozen)
        sy_cpu()->optim->sgd(ps->p + c->offset, ps->g + c->offset, sy__optimizer_state(ps, c, 0),
                             c->count, &a->args[ps->list[c->param].decay]);
}

static void step(struct sy_params *ps, const struct sy_update *u)
{
    const double *h = u->hyper->v;
    struct sy_sgd args = {.lr = (float)u->lr,
                          .momentum = (float)h[SY_HYPER_momentum],
                          .grad_scale = (float)u->grad_scale,
                          .nesterov = h[SY_HYPER_nesterov] > 0};
    struct pass a = {ps, {args, args}};
    a.args[1].decay = (float)h[SY_HYPER_weight_decay];
    sy_pool_run(ps->nchunks, update_task, &a);
}

const struct sy_optimizer sy__optimizer_sgd = {
    .name = "sgd",
    .help =
        "by the gradient with momentum, one number a parameter; wants an lr of its own, 0.1 say",
    .source = "Sutskever et al. 2013; Loshchilov and Hutter 2019, alg. 1",
    .reads = {"momentum", "nesterov", "weight_decay"},
    .states = {"m"},
    .shape = shape,
    .decays = sy__optimizer_two_dims,
    .step = step,
};
