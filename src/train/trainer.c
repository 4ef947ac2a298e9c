/* The trainer's thread and its mailbox.  See switchyard/train.h for states and rules. */
#include "switchyard/train.h"

#include "base/clock.h"
#include "base/mem.h"
#include "run/metrics.h"
#include "train/checkpoint.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *const series_names[SY__SERIES] = {
    "loss", "val_loss", "lr", "grad_norm", "tok_s", "time.data", "time.compute", "time.optimizer",
    "tokens"};

static const char *const state_names[] = {"running", "paused", "done", "stopped", "failed"};
const char *sy_run_state_name(enum sy_run_state s) { return state_names[s]; }

/* ---- plans ---- */

static void free_phase(struct sy_phase *p)
{
    sy_program_free(p->program);
    sy_tensor_unref(p->tokens);
    sy_tensor_unref(p->targets);
    sy_tensor_unref(p->documents);
    sy_tensor_unref(p->loss);
    sy_graph_free(p->graph);
}

void sy_plan_free(struct sy_plan *plan)
{
    if (!plan)
        return;
    free_phase(&plan->first);
    free_phase(&plan->more);
    free_phase(&plan->eval);
    sy_free(plan->arena);
    sy_free(plan);
}

int sy_plan_attach(struct sy_plan *plan, struct sy_err *err)
{
    struct sy_phase *phases[3] = {&plan->first, &plan->more, &plan->eval};
    size_t most = 1;
    for (int i = 0; i < 3; i++)
        if (phases[i]->program && sy_program_bytes(phases[i]->program) > most)
            most = sy_program_bytes(phases[i]->program);
    plan->arena = sy_alloc(most);
    plan->arena_bytes = most;
    if (!plan->arena)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory: %zu bytes wanted for activations",
                          most);
    for (int i = 0; i < 3; i++)
        if (phases[i]->program && sy_program_attach(phases[i]->program, plan->arena, err))
            return -1;
    return 0;
}

/* ---- making ---- */

/* Series and sums for what the plan observes. */
static int set_observed(struct sy_trainer *t, struct sy_err *err)
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

static void set_sampler(struct sy_trainer *t)
{
    t->sampler = (struct sy_sampler){.corpus = t->c.corpus, .split = SY_SPLIT_TRAIN,
                                     .mode = t->c.sampling, .batch = t->c.plan->batch,
                                     .context = t->c.plan->context,
                                     .accumulate = t->c.plan->accumulate,
                                     .seed = (uint64_t)t->c.hyper.v[SY_HYPER_seed]};
}

static int make_series(struct sy_trainer *t, struct sy_err *err)
{
    for (int i = 0; i < SY__SERIES; i++)
        if ((t->series[i] = sy_metrics_series(t->metrics, series_names[i], 1, err)) < 0)
            return -1;
    return set_observed(t, err);
}

struct sy_trainer *sy_trainer_new(const struct sy_train_config *config, struct sy_err *err)
{
    struct sy_trainer *t = sy_calloc(1, sizeof *t);
    if (!t) {
        sy_err_set(err, SY_E_MEMORY, "train: out of memory");
        return NULL;
    }
    t->c = *config;
    t->hyper = t->wanted = config->hyper;
    t->pause_at = -1;
    t->saved.step = -1;
    t->inputs_end = &t->inputs;
    t->status = (struct sy_status){.state = SY_RUN_PAUSED, .loss = (double)NAN, .val_loss = (double)NAN,
                                   .grad_norm = (double)NAN, .load_max_mean = (double)NAN, .tok_s = (double)NAN, .mfu = (double)NAN,
                                   .steps = (int64_t)config->hyper.v[SY_HYPER_steps]};
    t->status.lr = sy_hyper_lr(&t->hyper, 1);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    t->name = sy_strdup(config->name);
    t->metrics = t->name ? sy_metrics_new(err) : NULL;
    set_sampler(t);
    if (!t->metrics || make_series(t, err) || sy_sampler_check(&t->sampler, err)) {
        sy_err_set(err, SY_E_MEMORY, "train: out of memory");
        t->c.params = NULL; /* stay the caller's */
        t->c.plan = NULL;
        t->c.corpus = NULL;
        sy_trainer_free(t);
        return NULL;
    }
    sy_corpus_ref(t->c.corpus);
    return t;
}

void sy_trainer_free(struct sy_trainer *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->quit_asked = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    if (t->started)
        pthread_join(t->thread, NULL);
    sy__saver_free(t);
    sy__inputs_drop(t);
    sy_plan_free(t->c.plan);
    sy_params_free(t->c.params);
    sy_corpus_unref(t->c.corpus);
    sy_metrics_free(t->metrics);
    sy_free(t->observed);
    sy_free(t->sums);
    sy__journal_free(t->journal, t->njournal);
    sy_free(t->name);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    sy_free(t);
}

/* ---- the border between two steps ---- */

static bool write_phase(struct sy_phase *p, const char *name, const float *values, int64_t n)
{
    struct sy_tensor *x = p->graph ? sy_graph_find_input(p->graph, name) : NULL;
    if (!x || x->dtype != SY_F32 || sy_tensor_count(x) != n)
        return false;
    memcpy(sy_data(x), values, (size_t)n * sizeof(float));
    return true;
}

bool sy__input_write(struct sy_trainer *t, const char *name, const float *values, int64_t n)
{
    bool first = write_phase(&t->c.plan->first, name, values, n);
    bool more = write_phase(&t->c.plan->more, name, values, n);
    bool eval = write_phase(&t->c.plan->eval, name, values, n);
    return first || more || eval;
}

static void free_first_input(struct sy_trainer *t)
{
    struct sy__input_change *c = t->inputs;
    t->inputs = c->next;
    if (!t->inputs)
        t->inputs_end = &t->inputs;
    sy_free(c->name);
    sy_free(c);
}

void sy__inputs_drop(struct sy_trainer *t)
{
    while (t->inputs)
        free_first_input(t);
}

static void apply_inputs(struct sy_trainer *t)
{
    while (t->inputs) {
        const struct sy__input_change *c = t->inputs;
        struct sy_journal_entry e = {.kind = "input", .expert = -1, .n = c->n, .values = c->values};
        sy__input_write(t, c->name, c->values, c->n);
        snprintf(e.key, sizeof e.key, "%s", c->name);
        snprintf(e.text, sizeof e.text, c->n == 1 ? "%s = %g" : "%s = {%g, ...}", c->name,
                 (double)c->values[0]);
        sy__journal_add(t, &e);
        free_first_input(t);
    }
}

static void journal_set(struct sy_trainer *t, enum sy_hyper_id id, double value)
{
    struct sy_journal_entry e = {.kind = "set", .expert = -1, .value = value};
    snprintf(e.key, sizeof e.key, "%s", sy_hyper_spec(id)->name);
    snprintf(e.text, sizeof e.text, "%s = %g", e.key, value);
    sy__journal_add(t, &e);
}

static void journal_schedule(struct sy_trainer *t, enum sy_schedule s)
{
    struct sy_journal_entry e = {.kind = "schedule", .expert = -1};
    snprintf(e.key, sizeof e.key, "%s", sy_schedule_name(s));
    snprintf(e.text, sizeof e.text, "schedule = %s", e.key);
    sy__journal_add(t, &e);
}

/* What belongs to the plan takes effect, and is written down, when the plan comes (replan). */
static void apply_hyper(struct sy_trainer *t)
{
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        if (t->hyper.v[i] != t->wanted.v[i] &&
            sy_hyper_spec((enum sy_hyper_id)i)->live != SY_LIVE_PLAN)
            journal_set(t, (enum sy_hyper_id)i, t->wanted.v[i]);
    if (t->hyper.schedule != t->wanted.schedule)
        journal_schedule(t, t->wanted.schedule);
    t->hyper = t->wanted;
    t->status.steps = (int64_t)t->hyper.v[SY_HYPER_steps];
}

static void set_state(struct sy_trainer *t, enum sy_run_state s)
{
    if (t->status.state != s) {
        t->status.state = s;
        pthread_cond_broadcast(&t->changed);
    }
}

static void apply_mail(struct sy_trainer *t)
{
    apply_hyper(t);
    apply_inputs(t);
}

static bool has_more(const struct sy_trainer *t)
{
    return (double)t->status.step < t->wanted.v[SY_HYPER_steps];
}

/* The state that this border asks for, or RUNNING.  FAILED stays, DONE until resume() (ask). */
static enum sy_run_state wanted_state(const struct sy_trainer *t)
{
    if (t->status.state == SY_RUN_FAILED || t->status.state == SY_RUN_DONE)
        return t->status.state;
    if (t->stop_asked)
        return SY_RUN_STOPPED;
    if (t->pause_asked || (t->pause_at >= 0 && t->status.step >= t->pause_at))
        return SY_RUN_PAUSED;
    return has_more(t) ? SY_RUN_RUNNING : SY_RUN_DONE;
}

static void park(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    t->parked = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* Whoever got a hold meanwhile keeps it: what they were promised is that nothing moves until release. */
static void unpark(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    while (t->holds && !t->quit_asked)
        pthread_cond_wait(&t->changed, &t->lock);
    t->parked = false;
    pthread_mutex_unlock(&t->lock);
}

/* The callback may run the user's code, which may ask for a hold: we count as parked meanwhile.
 * What is told is the status as it was when there was news: who waited for a pause may have resumed
 * already, and a RUNNING would have the hooks of this step called a second time. */
static void announce(struct sy_trainer *t, const struct sy_status *s, bool evaluated)
{
    if (!t->c.on_step)
        return;
    park(t);
    t->c.on_step(t->c.ctx, s, evaluated);
    unpark(t);
}

static bool ends(enum sy_run_state s)
{
    return s == SY_RUN_DONE || s == SY_RUN_STOPPED || s == SY_RUN_FAILED;
}

/* Wait at the border until there is a step to do (true) or the thread is to end (false). */
static bool border(struct sy_trainer *t)
{
    bool go = false, told = false;
    pthread_mutex_lock(&t->lock);
    while (!t->quit_asked) {
        enum sy_run_state s = wanted_state(t);
        if (!t->holds) {
            apply_mail(t);
            s = wanted_state(t);
        }
        if (ends(s) && !t->holds && sy__saver_wants_last(t)) { /* before anyone hears of the end */
            t->saver.ended = true;
            pthread_mutex_unlock(&t->lock);
            sy__saver_save(t, NULL);
            pthread_mutex_lock(&t->lock);
            continue;
        }
        bool news = t->status.state != s;
        set_state(t, s);
        if (news && s != SY_RUN_RUNNING && !told) { /* tell outside the lock, then look again */
            struct sy_status now = t->status;
            told = true;
            pthread_mutex_unlock(&t->lock);
            announce(t, &now, false);
            pthread_mutex_lock(&t->lock);
            continue;
        }
        go = !t->holds && s == SY_RUN_RUNNING;
        if (go)
            break;
        t->parked = true;
        pthread_cond_broadcast(&t->changed);
        pthread_cond_wait(&t->changed, &t->lock);
        t->parked = t->holds > 0; /* before anything is done outside the lock */
        told = false;
    }
    t->parked = false;
    pthread_mutex_unlock(&t->lock);
    return go;
}

/* ---- a step ---- */

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

static void put(struct sy_trainer *t, enum sy__series s, int64_t step, double v)
{
    float f = (float)v;
    sy_metrics_add(t->metrics, t->series[s], step, &f);
}

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
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    put(t, LOSS, step, loss);
    put(t, LR, step, lr);
    put(t, GRAD_NORM, step, norm);
    put(t, TOK_S, step, tok_s);
    put(t, TIME_DATA, step, time->data);
    put(t, TIME_COMPUTE, step, time->compute);
    put(t, TIME_OPTIMIZER, step, time->optimizer);
    put(t, TOKENS, step, tokens);
    for (int i = 0; i < n; i++)
        sy_metrics_add(t->metrics, t->observed[i].series, step, t->sums + t->observed[i].first);
}

static int one_step(struct sy_trainer *t, struct sy_err *err)
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

/* ---- evaluation ---- */

int sy_trainer_eval_sum(struct sy_trainer *t, int64_t first, int64_t n, double *sum,
                        struct sy_err *err)
{
    struct sy_phase *p = &t->c.plan->eval;
    struct sy_sampler s = t->sampler;
    s.split = SY_SPLIT_VAL;
    if (sy_sampler_check(&s, err))
        return -1;
    for (int64_t i = first; i < first + n; i++) {
        sy_sampler_eval(&s, i, sy_data(p->tokens), sy_data(p->targets),
                        p->documents ? sy_data(p->documents) : NULL);
        if (sy_program_run(p->program, s.seed, (uint64_t)i, err))
            return -1;
        *sum += sy_tensor_get(p->loss, 0);
    }
    return 0;
}

double sy_trainer_eval(struct sy_trainer *t, int64_t n, struct sy_err *err)
{
    double sum = 0;
    return sy_trainer_eval_sum(t, 0, n, &sum, err) ? (double)NAN : sum / (double)n;
}

static bool has_validation(const struct sy_trainer *t)
{
    return sy_corpus_tokens(t->c.corpus) - sy_corpus_train(t->c.corpus) > t->c.plan->context;
}

/* Once, until one succeeds again: each evaluation would say the same. */
static void tell_failed_eval(struct sy_trainer *t, int64_t step, const struct sy_err *err)
{
    char text[sizeof err->msg + 80];
    if (t->eval_failed || !t->c.on_event)
        return;
    snprintf(text, sizeof text, "step %lld: no evaluation: %s; the run goes on", (long long)step,
             err->msg);
    t->c.on_event(t->c.ctx, "alarm", text);
}

static bool evaluate_if_due(struct sy_trainer *t)
{
    int64_t every = (int64_t)t->hyper.v[SY_HYPER_eval_every], step = t->status.step;
    struct sy_err err = SY_ERR_INIT;
    if (!every || (step % every && step != t->status.steps) || !has_validation(t))
        return false;
    double loss = sy_trainer_eval(t, (int64_t)t->hyper.v[SY_HYPER_eval_batches], &err);
    if (err.code)
        tell_failed_eval(t, step, &err);
    t->eval_failed = err.code != 0;
    if (err.code)
        return false;
    pthread_mutex_lock(&t->lock);
    t->status.val_loss = loss;
    t->status.val_step = step;
    pthread_mutex_unlock(&t->lock);
    put(t, VAL_LOSS, step, loss);
    return true;
}

/* ---- the thread ---- */

static void *train_thread(void *arg)
{
    struct sy_trainer *t = arg;
    while (border(t)) {
        struct sy_err err = SY_ERR_INIT;
        if (one_step(t, &err)) {
            pthread_mutex_lock(&t->lock);
            t->status.error = err;
            set_state(t, SY_RUN_FAILED);
            struct sy_journal_entry e = {.kind = "failed", .expert = -1};
            snprintf(e.text, sizeof e.text, "%.*s", (int)sizeof e.text - 1, err.msg);
            sy__journal_add(t, &e);
            struct sy_status failed = t->status;
            pthread_mutex_unlock(&t->lock);
            announce(t, &failed, false);
            continue;
        }
        t->saver.ended = false;
        bool evaluated = evaluate_if_due(t);
        struct sy_status now;
        sy_trainer_status(t, &now);
        announce(t, &now, evaluated);
        sy__saver_border(t);
    }
    sy__saver_join(t);
    pthread_mutex_lock(&t->lock);
    t->alive = false;
    t->parked = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Signals are the main thread's business. */
static int create_thread(struct sy_trainer *t)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&t->thread, NULL, train_thread, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int sy_trainer_start(struct sy_trainer *t, struct sy_err *err)
{
    if (t->started)
        return sy_err_set(err, SY_E_STATE, "train: run '%s' was started already", t->name);
    t->alive = true;
    t->status.state = t->pause_asked ? SY_RUN_PAUSED : SY_RUN_RUNNING;
    int rc = create_thread(t);
    if (rc) {
        t->alive = false;
        return sy_err_sys(err, rc, "train: cannot start a thread");
    }
    t->started = true;
    return 0;
}

/* ---- what others ask ---- */

void sy_trainer_status(struct sy_trainer *t, struct sy_status *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->status;
    pthread_mutex_unlock(&t->lock);
}

struct sy_metrics *sy_trainer_metrics(struct sy_trainer *t) { return t->metrics; }
struct sy_params *sy_trainer_params(struct sy_trainer *t) { return t->c.params; }
struct sy_plan *sy_trainer_plan(struct sy_trainer *t) { return t->c.plan; }
const char *sy_trainer_name(const struct sy_trainer *t) { return t->name; }
struct sy_corpus *sy_trainer_corpus(const struct sy_trainer *t) { return t->c.corpus; }

int sy_trainer_set(struct sy_trainer *t, enum sy_hyper_id id, double value, struct sy_err *err)
{
    if (sy_hyper_check(id, value, err))
        return -1;
    if (sy_hyper_spec(id)->live == SY_LIVE_NEVER)
        return sy_err_set(err, SY_E_STATE, "train: %s is fixed for the run", sy_hyper_spec(id)->name);
    pthread_mutex_lock(&t->lock);
    t->wanted.v[id] = value;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

double sy_trainer_get(struct sy_trainer *t, enum sy_hyper_id id)
{
    pthread_mutex_lock(&t->lock);
    double v = t->wanted.v[id];
    pthread_mutex_unlock(&t->lock);
    return v;
}

void sy_trainer_set_schedule(struct sy_trainer *t, enum sy_schedule s)
{
    pthread_mutex_lock(&t->lock);
    t->wanted.schedule = s;
    pthread_mutex_unlock(&t->lock);
}

enum sy_schedule sy_trainer_schedule(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    enum sy_schedule s = t->wanted.schedule;
    pthread_mutex_unlock(&t->lock);
    return s;
}

int sy_trainer_set_input(struct sy_trainer *t, const char *name, const float *values, int64_t n,
                         struct sy_err *err)
{
    struct sy__input_change *c = sy_alloc(sizeof *c + (size_t)n * sizeof(float));
    char *copy = sy_strdup(name);
    if (!c || !copy) {
        sy_free(c);
        sy_free(copy);
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    }
    c->next = NULL;
    c->name = copy;
    c->n = n;
    memcpy(c->values, values, (size_t)n * sizeof(float));
    pthread_mutex_lock(&t->lock);
    *t->inputs_end = c;
    t->inputs_end = &c->next;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

static void copy_inputs(const struct sy_phase *from, struct sy_phase *to)
{
    for (int i = 0; from->graph && to->graph && i < sy_graph_inputs(from->graph); i++) {
        const struct sy_tensor *x = sy_graph_input_at(from->graph, i);
        struct sy_tensor *y = sy_graph_find_input(to->graph, sy_graph_input_name(from->graph, i));
        if (y && x->dtype == SY_F32 && y->dtype == SY_F32 && sy_tensor_same_shape(x, y))
            memcpy(sy_data(y), sy_data(x), sy_tensor_bytes(x));
    }
}

static void journal_plan(struct sy_trainer *t, const struct sy_plan *old, const struct sy_plan *now)
{
    pthread_mutex_lock(&t->lock);
    if (old->batch != now->batch)
        journal_set(t, SY_HYPER_batch, (double)now->batch);
    if (old->context != now->context)
        journal_set(t, SY_HYPER_context, (double)now->context);
    if (old->accumulate != now->accumulate)
        journal_set(t, SY_HYPER_accumulate, (double)now->accumulate);
    pthread_mutex_unlock(&t->lock);
}

int sy_trainer_replan(struct sy_trainer *t, struct sy_plan *plan, double flops_per_token,
                      struct sy_err *err)
{
    struct sy_plan *old = t->c.plan;
    t->c.plan = plan;
    if (set_observed(t, err)) {
        t->c.plan = old;
        return -1;
    }
    copy_inputs(&old->first, &plan->first);
    copy_inputs(&old->first, &plan->more);
    copy_inputs(&old->eval, &plan->eval);
    t->c.flops_per_token = flops_per_token;
    set_sampler(t);
    journal_plan(t, old, plan);
    sy_plan_free(old);
    return 0;
}

/* for_steps: how many more before a pause, or 0: no such pause. */
static void ask(struct sy_trainer *t, bool pause, bool stop, int64_t for_steps)
{
    pthread_mutex_lock(&t->lock);
    enum sy_run_state s = t->status.state;
    t->pause_asked = pause;
    t->stop_asked = stop;
    t->pause_at = for_steps > 0 ? t->status.step + for_steps : -1;
    /* RUNNING at once, so that wait() right after resume() waits; the border says what it comes to. */
    if (!pause && !stop && t->alive && s != SY_RUN_FAILED && (s != SY_RUN_DONE || has_more(t)))
        set_state(t, SY_RUN_RUNNING);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void sy_trainer_pause(struct sy_trainer *t) { ask(t, true, false, 0); }
void sy_trainer_resume(struct sy_trainer *t) { ask(t, false, false, 0); }
void sy_trainer_stop(struct sy_trainer *t) { ask(t, false, true, 0); }
void sy_trainer_steps(struct sy_trainer *t, int64_t n) { ask(t, false, false, n); }

static struct timespec deadline(double seconds)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    double whole = floor(seconds);
    ts.tv_sec += (time_t)whole;
    ts.tv_nsec += (long)((seconds - whole) * 1e9);
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

void sy_trainer_hold(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    t->holds++;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

bool sy_trainer_held(struct sy_trainer *t, double seconds)
{
    struct timespec until = deadline(seconds);
    pthread_mutex_lock(&t->lock);
    int rc = 0;
    while (t->alive && !t->parked && !rc)
        rc = pthread_cond_timedwait(&t->changed, &t->lock, &until);
    bool held = !t->alive || t->parked;
    pthread_mutex_unlock(&t->lock);
    return held;
}

void sy_trainer_release(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    t->holds--;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* Something will still happen that a waiter for `step` waits for: a step, or a state that was asked for. */
static bool will_go_on(const struct sy_trainer *t, int64_t step)
{
    if (!t->alive || t->status.step >= step)
        return false;
    return t->status.state == SY_RUN_RUNNING || t->status.state != wanted_state(t);
}

bool sy_trainer_wait(struct sy_trainer *t, int64_t step, double seconds)
{
    struct timespec until = deadline(seconds);
    pthread_mutex_lock(&t->lock);
    int rc = 0;
    while (will_go_on(t, step) && !rc)
        rc = pthread_cond_timedwait(&t->changed, &t->lock, &until);
    bool reached = !will_go_on(t, step);
    pthread_mutex_unlock(&t->lock);
    return reached;
}
