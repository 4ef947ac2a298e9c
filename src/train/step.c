/* One step of a training run: micro-batches -> norm and check -> AdamW -> state updates -> series.
 *
 *  1. Runs on the trainer's thread, between two borders; allocates nothing, and nothing of Lua runs.
 *  2. A step that fails has changed no parameter, no moment and no state.
 *  3. What depends on the clock (time, tokens a second) never reaches a parameter.  Layer train. */
#include "base/clock.h"
#include "base/mem.h"
#include "run/metrics.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const series_names[SY__SERIES] = {
    "loss", "val_loss", "lr", "grad_norm", "tok_s", "time.data", "time.compute", "time.optimizer",
    "tokens"};

/* ---- what is put out ---- */

/* Series and sums for what the plan observes. */
int sy__step_observe(struct sy_trainer *t, struct sy_err *err)
{
    const struct sy_program *p = t->c.plan->first.program;
    int n = sy_program_observes(p);
    struct sy__observed *list = sy_calloc((size_t)n + 1, sizeof *list);
    int total = 0, rc = list ? 0 : -1;
    for (int i = 0; i < n && !rc; i++) {
        const char *name = sy_program_observe_name(p, i);
        list[i].width = (int)sy_tensor_count(sy_program_observe_at(p, i));
        list[i].first = total;
        list[i].load = !strncmp(name, "load.", 5);
        list[i].series = sy_metrics_series(t->metrics, name, list[i].width, err);
        rc = list[i].series < 0 ? -1 : 0;
        total += list[i].width;
    }
    float *sums = rc ? NULL : sy_calloc((size_t)total + 1, sizeof *sums);
    if (!sums) {
        sy_free(list);
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    }
    sy_free(t->observed);
    sy_free(t->sums);
    t->observed = list;
    t->sums = sums;
    t->sum_count = total;
    return 0;
}

void sy__step_sampler(struct sy_trainer *t)
{
    t->sampler = (struct sy_sampler){.corpus = t->c.corpus, .split = SY_SPLIT_TRAIN,
                                     .mode = t->c.sampling, .batch = t->c.plan->batch,
                                     .context = t->c.plan->context,
                                     .accumulate = t->c.plan->accumulate,
                                     .seed = (uint64_t)t->c.hyper.v[SY_HYPER_seed]};
}

int sy__step_series(struct sy_trainer *t, struct sy_err *err)
{
    for (int i = 0; i < SY__SERIES; i++)
        if ((t->series[i] = sy_metrics_series(t->metrics, series_names[i], 1, err)) < 0)
            return -1;
    return sy__step_observe(t, err);
}

void sy__put(struct sy_trainer *t, enum sy__series s, int64_t step, double v)
{
    float f = (float)v;
    sy_metrics_add(t->metrics, t->series[s], step, &f);
}

/* ---- micro-batches ---- */

struct timing {
    double data, compute, optimizer;
};

static const char *leaf_name(void *ctx, const struct sy_tensor *leaf)
{
    const struct sy_params *ps = ctx;
    for (int i = 0; i < ps->count; i++)
        if (ps->list[i].tensor->storage == leaf->storage)
            return ps->list[i].name;
    return NULL;
}

/* number: what the program ran with, so that it draws the same again. */
static int fail_nonfinite(struct sy_trainer *t, struct sy_phase *p, int64_t step, uint64_t number,
                          double loss, struct sy_err *err)
{
    char where[256];
    uint64_t seed = (uint64_t)t->hyper.v[SY_HYPER_seed];
    if (!sy_program_find_nonfinite(p->program, seed, number, leaf_name, t->c.params, where,
                                   sizeof where))
        snprintf(where, sizeof where, "the loss");
    return sy_err_set(err, SY_E_NUMERIC,
                      "step %lld: loss is %s: first value that is not finite: %s; parameters are those of step %lld",
                      (long long)step, isnan(loss) ? "nan" : loss > 0 ? "inf" : "-inf", where,
                      (long long)step - 1);
}

static void add_observed(struct sy_trainer *t, const struct sy_program *p)
{
    for (int i = 0; i < sy_program_observes(p); i++) {
        const float *x = sy_data(sy_program_observe_at(p, i));
        float *sum = t->sums + t->observed[i].first;
        for (int j = 0; j < t->observed[i].width; j++)
            sum[j] += x[j];
    }
}

/* Forward and backward over all micro-batches; gradients are then sums over them. */
static int compute_gradients(struct sy_trainer *t, int64_t step, double *loss, struct timing *time,
                             struct sy_err *err)
{
    struct sy_plan *plan = t->c.plan;
    uint64_t seed = (uint64_t)t->hyper.v[SY_HYPER_seed];
    memset(t->sums, 0, (size_t)t->sum_count * sizeof *t->sums);
    *loss = 0;
    for (int64_t a = 0; a < plan->accumulate; a++) {
        struct sy_phase *p = a ? &plan->more : &plan->first;
        uint64_t number = (uint64_t)(step * plan->accumulate + a);
        double start = sy_now();
        sy_sampler_batch(&t->sampler, (uint64_t)step, a, sy_data(p->tokens), sy_data(p->targets),
                         p->documents ? sy_data(p->documents) : NULL);
        double sampled = sy_now();
        if (sy_program_run(p->program, seed, number, err))
            return sy_err_prefix(err, "step %lld", (long long)step);
        time->data += sampled - start;
        time->compute += sy_now() - sampled;
        double l = sy_tensor_get(p->loss, 0);
        if (!isfinite(l))
            return fail_nonfinite(t, p, step, number, l, err);
        *loss += l / (double)plan->accumulate;
        add_observed(t, p->program);
    }
    for (int i = 0; i < t->sum_count; i++)
        t->sums[i] /= (float)plan->accumulate;
    return 0;
}

/* ---- update ---- */

static int update(struct sy_trainer *t, int64_t step, double lr, double *norm, struct sy_err *err)
{
    struct sy_plan *plan = t->c.plan;
    double scale = 1.0 / (double)plan->accumulate, clip = t->hyper.v[SY_HYPER_clip];
    int bad;
    *norm = sy_params_grad_norm(t->c.params, scale, &bad);
    if (bad >= 0)
        return sy_err_set(err, SY_E_NUMERIC,
                          "step %lld: gradient of %s is not finite; parameters are those of step %lld",
                          (long long)step, t->c.params->list[bad].name, (long long)step - 1);
    if (clip > 0 && *norm > clip)
        scale *= clip / *norm;
    const double *h = t->hyper.v;
    struct sy_update u = {.lr = lr, .beta1 = h[SY_HYPER_beta1], .beta2 = h[SY_HYPER_beta2],
                          .eps = h[SY_HYPER_eps], .weight_decay = h[SY_HYPER_weight_decay],
                          .grad_scale = scale, .t = step};
    sy_params_adamw(t->c.params, &u);
    struct sy_phase *last = plan->accumulate > 1 ? &plan->more : &plan->first;
    return sy_program_update_states(last->program);
}

/* ---- the record ---- */

/* Largest load over the mean, and experts without a token, from the observed loads. */
static void judge_loads(const struct sy_trainer *t, struct sy_status *s)
{
    int n = sy_program_observes(t->c.plan->first.program);
    s->load_max_mean = (double)NAN;
    s->dead = 0;
    for (int i = 0; i < n; i++) {
        const struct sy__observed *o = &t->observed[i];
        for (int j = 0; j < o->width && o->load; j++) {
            double load = (double)t->sums[o->first + j];
            s->dead += load <= 0;
            if (!(load <= s->load_max_mean))
                s->load_max_mean = load;
        }
    }
}

static void note_speed(struct sy_trainer *t, struct sy_status *s, double seconds)
{
    double tokens = (double)(t->c.plan->batch * t->c.plan->context * t->c.plan->accumulate);
    t->smooth_seconds = 0.9 * t->smooth_seconds + seconds;
    t->smooth_weight = 0.9 * t->smooth_weight + 1;
    double each = t->smooth_seconds / t->smooth_weight;
    s->tok_s = tokens / each;
    s->tokens += (int64_t)tokens;
    s->mfu = t->c.peak > 0 ? s->tok_s * t->c.flops_per_token / t->c.peak : (double)NAN;
    s->eta = (double)(s->steps - s->step) * each;
}

static void record(struct sy_trainer *t, int64_t step, double loss, double lr, double norm,
                   const struct timing *time)
{
    double seconds = time->data + time->compute + time->optimizer;
    int n = sy_program_observes(t->c.plan->first.program);
    pthread_mutex_lock(&t->lock);
    struct sy_status *s = &t->status;
    s->step = step;
    s->loss = loss;
    s->lr = lr;
    s->grad_norm = norm;
    note_speed(t, s, seconds);
    judge_loads(t, s);
    double tokens = (double)s->tokens, tok_s = s->tok_s;
    sy__tell_change(t);
    pthread_mutex_unlock(&t->lock);
    sy__put(t, LOSS, step, loss);
    sy__put(t, LR, step, lr);
    sy__put(t, GRAD_NORM, step, norm);
    sy__put(t, TOK_S, step, tok_s);
    sy__put(t, TIME_DATA, step, time->data);
    sy__put(t, TIME_COMPUTE, step, time->compute);
    sy__put(t, TIME_OPTIMIZER, step, time->optimizer);
    sy__put(t, TOKENS, step, tokens);
    for (int i = 0; i < n; i++)
        sy_metrics_add(t->metrics, t->observed[i].series, step, t->sums + t->observed[i].first);
}

int sy__step(struct sy_trainer *t, struct sy_err *err)
{
    struct timing time = {0};
    int64_t step = t->status.step + 1;
    double lr = sy_hyper_lr(&t->hyper, step), loss, norm;
    if (compute_gradients(t, step, &loss, &time, err))
        return -1;
    double start = sy_now();
    if (update(t, step, lr, &norm, err))
        return -1;
    time.optimizer = sy_now() - start;
    record(t, step, loss, lr, norm, &time);
    return 0;
}
