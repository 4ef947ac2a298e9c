/* The model and the trainer of tiny_run.h, traced through the operations' C entry points
 * (ops/build.h).  Sizes are so small that a step takes well under a millisecond; the data are drawn
 * from a seed. */
#include "unit/tiny_run.h"

#include "base/mem.h"
#include "base/rng.h"
#include "ops/build.h"
#include "train/optimizers/optimizer.h"

#define V 32
#define B 4
#define T 8
#define PARAMS 3

static struct sy_tensor *random_param(int number, int64_t rows, int64_t columns, struct sy_err *err)
{
    int64_t shape[2] = {rows, columns};
    struct sy_rng r = {.seed = 5, .purpose = SY_RNG_INIT, .step = (uint64_t)number};
    struct sy_tensor *t = sy_tensor_empty(SY_F32, 2, shape, err);
    if (!t)
        return NULL;
    sy_rng_fill_normal(&r, 0, sy_tensor_data(t), rows * columns);
    for (int64_t i = 0; i < rows * columns; i++)
        ((float *)sy_tensor_data(t))[i] *= 0.1f;
    sy_tensor_set_requires_grad(t, true);
    return t;
}

/* Scalar loss of the traced graph; also the state's update. */
static struct sy_tensor *describe(struct sy_graph *g, struct sy_params *ps,
                                  struct sy_tensor *tokens, struct sy_tensor *targets,
                                  const struct tiny_options *o, struct sy_err *err)
{
    struct sy_tensor *embed = ps->list[o->swapped ? 2 : 0].tensor;
    struct sy_tensor *head = ps->list[o->swapped ? 0 : 2].tensor;
    int64_t width = ps->list[0].tensor->shape[1], flat[2] = {B * T, V}, n = B * T;
    struct sy_attrs drop;
    struct sy_tensor *mask = sy_graph_input(g, "mask", SY_F32, 1, &width, err);
    sy_op_default_attrs(sy_op_get(SY_OP_DROPOUT_), &drop);
    drop.f[0] = o->dropout > 0 ? o->dropout : 0.1;
    struct sy_tensor *x = sy_b_apply(SY_OP_EMBEDDING_, NULL, 2, embed, tokens);
    x = sy_b_apply(SY_OP_DROPOUT_, &drop, 2, x, NULL);
    x = sy_b_apply(SY_OP_TANH_, NULL, 1,
                   sy_b_apply(SY_OP_LINEAR_, NULL, 3, x, ps->list[1].tensor, NULL));
    x = sy_b_add(x, mask);
    struct sy_tensor *mean = sy_b_sum(sy_b_sum(x, 0, false), 0, false);
    struct sy_tensor *state = ps->states[0];
    if (mean && sy_graph_update(g, state, sy_b_add(sy_b_mul(state, sy_b_const(state, 0.9)),
                                                   sy_b_mul(mean, sy_b_const(state, 0.001))), err))
        return NULL;
    x = sy_b_add(x, state);
    x = sy_b_apply(SY_OP_LINEAR_, NULL, 3, x, head, NULL);
    return sy_b_apply(SY_OP_CROSS_ENTROPY_, NULL, 2, sy_b_reshape(x, 2, flat),
                      sy_b_reshape(targets, 1, &n));
}

static int make_phase(struct sy_phase *p, struct sy_params *ps, bool grads, bool more,
                      const struct tiny_options *o, struct sy_err *err)
{
    int64_t shape[2] = {B, T};
    struct sy_scope scope;
    struct sy_tensor *wrt[PARAMS], *g[PARAMS] = {0};
    float *to[PARAMS];
    if (!(p->graph = sy_graph_new(err)))
        return -1;
    struct sy_tensor *tokens = sy_graph_input(p->graph, "tokens", SY_I32, 2, shape, err);
    struct sy_tensor *targets = sy_graph_input(p->graph, "targets", SY_I32, 2, shape, err);
    if (!tokens || !targets)
        return -1;
    sy_phase_find_fields(p);
    sy_scope_begin(&scope, err);
    sy_graph_begin(p->graph, err);
    struct sy_tensor *loss = describe(p->graph, ps, tokens, targets, o, err);
    for (int i = 0; i < PARAMS; i++) {
        wrt[i] = ps->list[i].tensor;
        to[i] = ps->g + ps->list[i].offset;
    }
    int rc = loss ? 0 : -1;
    if (!rc && grads)
        rc = sy_grad(loss, wrt, PARAMS, g, err);
    sy_graph_end(p->graph);
    p->loss = sy_tensor_ref(loss);
    struct sy_program_spec spec = {.outputs = &loss, .noutputs = 1, .grads = g, .grad_to = to,
                                   .ngrads = grads ? PARAMS : 0, .add_grads = more};
    if (!rc)
        rc = (p->program = sy_program_new(p->graph, &spec, err)) ? 0 : -1;
    for (int i = 0; i < PARAMS; i++)
        sy_tensor_unref(g[i]);
    sy_scope_end(&scope);
    return rc;
}

static struct sy_plan *make_plan(struct sy_params *ps, const struct tiny_options *o,
                                 struct sy_err *err)
{
    struct sy_plan *plan = sy_calloc(1, sizeof *plan);
    if (!plan)
        return NULL;
    plan->batch = B;
    plan->context = T;
    plan->accumulate = o->accumulate ? o->accumulate : 1;
    if (make_phase(&plan->begin, ps, true, false, o, err) ||
        (plan->accumulate > 1 && make_phase(&plan->add, ps, true, true, o, err)) ||
        make_phase(&plan->eval, ps, false, false, o, err) || sy_plan_attach(plan, err)) {
        sy_plan_free(plan);
        return NULL;
    }
    return plan;
}

static const struct sy_optimizer *optimizer_of(const struct tiny_options *o)
{
    return o->optimizer ? sy_optimizer_find(o->optimizer) : sy_optimizer_at(0);
}

static struct sy_params *make_params(const struct tiny_options *o, struct sy_err *err)
{
    int64_t width = o->width ? o->width : 16;
    static const struct sy_param_spec specs[PARAMS] = {
        {"embed", 0, SY_ROLE_EMBEDDING, 0, NULL, false},
        {"layers.1.experts.up", 4, SY_ROLE_EXPERT, 2, NULL, false},
        {"head", 0, SY_ROLE_HEAD, 0, NULL, false}};
    struct sy_tensor *list[PARAMS] = {random_param(0, V, width, err),
                                      random_param(1, width, width, err),
                                      random_param(2, V, width, err)};
    struct sy_tensor *state = sy_tensor_zeros(SY_F32, 1, &width, err);
    struct sy_params *ps = NULL;
    if (list[0] && list[1] && list[2] && state)
        ps = sy_params_new(list, specs, PARAMS, &state, 1, optimizer_of(o), err);
    for (int i = 0; i < PARAMS; i++)
        sy_tensor_unref(list[i]);
    sy_tensor_unref(state);
    return ps;
}

static void set_hyper(struct sy_hyper *h, const struct tiny_options *o)
{
    sy_hyper_defaults(h);
    h->v[SY_HYPER_steps] = (double)o->steps;
    h->v[SY_HYPER_batch] = B;
    h->v[SY_HYPER_context] = T;
    h->v[SY_HYPER_accumulate] = (double)(o->accumulate ? o->accumulate : 1);
    h->v[SY_HYPER_lr] = 0.01;
    h->v[SY_HYPER_eval_every] = 20;
    h->v[SY_HYPER_eval_batches] = 2;
    h->v[SY_HYPER_checkpoint_every] = (double)o->checkpoint_every;
    h->v[SY_HYPER_seed] = (double)o->seed;
}

struct sy_trainer *tiny_trainer(const struct tiny_options *o, struct sy_err *err)
{
    struct sy_synthetic_options text = {.domains = 1, .tokens = 4096, .states = V, .val = 0.1,
                                        .document = 128, .seed = o->data_seed ? o->data_seed : 3};
    struct sy_train_config c = {.name = "tiny", .on_event = o->on_event, .on_step = o->on_step,
                                .ctx = o->ctx};
    set_hyper(&c.hyper, o);
    c.sampling = o->sampling;
    c.corpus = o->corpus ? sy_corpus_ref(o->corpus) : sy_corpus_synthetic(&text, err);
    c.params = c.corpus ? make_params(o, err) : NULL;
    c.plan = c.params ? make_plan(c.params, o, err) : NULL;
    struct sy_trainer *t = c.plan ? sy_trainer_new(&c, err) : NULL;
    if (!t) {
        sy_plan_free(c.plan);
        sy_params_free(c.params);
    }
    sy_corpus_unref(c.corpus);
    return t;
}

void tiny_run_to(struct sy_trainer *t, int64_t step)
{
    struct sy_status s;
    sy_trainer_status(t, &s);
    sy_trainer_pause(t);
    if (sy_trainer_start(t, NULL) == 0)
        sy_trainer_status(t, &s);
    if (step >= s.steps)
        sy_trainer_resume(t);
    else if (step > s.step)
        sy_trainer_steps(t, step - s.step);
    while (!sy_trainer_wait(t, INT64_MAX, 1))
        ;
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 1))
        ;
    sy_trainer_release(t);
}

uint64_t tiny_hash(struct sy_trainer *t) { return sy_params_hash(sy_trainer_params(t)); }
