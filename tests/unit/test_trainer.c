/* The trainer from several threads at once: hold and release, set, pause and resume, status,
 * metrics, journal, while it trains a table of bigrams.  Meant for ThreadSanitizer; anywhere it
 * must end with the bits of a run that nobody disturbed. */
#include "unit/tap.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ops/build.h"
#include "run/metrics.h"
#include "switchyard/train.h"
#include "train/optimizers/optimizer.h"
#include "train/trainer_int.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V 256
#define B 2
#define T 16
#define STEPS 400

static struct sy_tensor *weights;
static struct sy_params *params;

/* Forward (and backward) of the bigram model as a phase. */
static int make_phase(struct sy_phase *p, bool eval, bool add, struct sy_err *err)
{
    const int64_t shape[2] = {B, T}, flat = (int64_t)B * T, rows[2] = {(int64_t)B * T, V};
    struct sy_scope scope;
    struct sy_tensor *grad = NULL;
    float *to = params->g;
    int rc = -1;
    sy_scope_begin(&scope, err);
    p->graph = sy_graph_new(err);
    if (!p->graph || sy_graph_begin(p->graph, err))
        goto out;
    struct sy_tensor *tokens = sy_graph_input(p->graph, "tokens", SY_I32, 2, shape, err);
    struct sy_tensor *targets = sy_graph_input(p->graph, "targets", SY_I32, 2, shape, err);
    sy_phase_find_fields(p);
    struct sy_tensor *x = sy_b_apply(SY_OP_EMBEDDING_, NULL, 2, weights, tokens);
    struct sy_tensor *loss = sy_b_apply(SY_OP_CROSS_ENTROPY_, NULL, 2, sy_b_reshape(x, 2, rows),
                                        sy_b_reshape(targets, 1, &flat));
    if (!loss || (!eval && sy_grad(loss, &weights, 1, &grad, err)))
        goto out;
    sy_graph_end(p->graph);
    p->loss = sy_tensor_ref(loss);
    struct sy_program_spec spec = {.outputs = &loss, .noutputs = 1, .grads = &grad, .grad_to = &to,
                                   .ngrads = eval ? 0 : 1, .add_grads = add};
    p->program = sy_program_new(p->graph, &spec, err);
    rc = p->program ? 0 : -1;
out:
    sy_tensor_unref(grad);
    sy_scope_end(&scope);
    return rc;
}

static struct sy_plan *make_plan(struct sy_err *err)
{
    struct sy_plan *plan = sy_calloc(1, sizeof *plan);
    *plan = (struct sy_plan){.batch = B, .context = T, .accumulate = 2};
    if (make_phase(&plan->begin, false, false, err) || make_phase(&plan->add, false, true, err) ||
        make_phase(&plan->eval, true, false, err) || sy_plan_attach(plan, err)) {
        sy_plan_free(plan);
        return NULL;
    }
    return plan;
}

static atomic_long announced;

static int64_t last_step;
static int again; /* steps that were announced twice, so that their hooks would be called twice */
static struct sy_trainer *_Atomic to_hold; /* by whoever hears that it is paused, or has failed */
static atomic_bool heard;

static atomic_bool slow_to_tell, telling; /* an end, which waits until it is not slow any more */

static void on_step(void *ctx, const struct sy_status *s, bool evaluated)
{
    (void)ctx, (void)evaluated;
    atomic_store(&telling, s->state == SY_RUN_DONE);
    while (atomic_load(&slow_to_tell) && s->state == SY_RUN_DONE)
        sy_sleep(0.001);
    atomic_fetch_add(&announced, 1);
    again += s->state == SY_RUN_RUNNING && s->step == last_step;
    if (s->state == SY_RUN_RUNNING)
        last_step = s->step;
    bool stands = s->state == SY_RUN_PAUSED || s->state == SY_RUN_FAILED;
    struct sy_trainer *t = stands ? atomic_exchange(&to_hold, NULL) : NULL;
    if (!t)
        return;
    sy_sleep(0.05); /* who does not wait for us is first */
    atomic_store(&heard, true);
    sy_trainer_hold(t);
}

static atomic_int alarms, waits, given_up, left_out, rewinds;
static void (*_Atomic ask)(struct sy_trainer *t); /* in the step that raises the next alarm */
static struct sy_trainer *_Atomic asked;

static void on_event(void *ctx, const struct sy_event *e)
{
    (void)ctx;
    atomic_fetch_add(&alarms, e->kind == SY_EVENT_ALARM && strstr(e->text, "no evaluation"));
    atomic_fetch_add(&waits,
                     e->kind == SY_EVENT_NOTE && strstr(e->text, "waits for the end of step 6"));
    atomic_fetch_add(&given_up, e->kind == SY_EVENT_NOTE &&
                                    strstr(e->text, "step 6 was given up: micro-batch"));
    atomic_fetch_add(&left_out,
                     e->kind == SY_EVENT_NOTE &&
                         strstr(e->text, "step 0 was given up and is left out: window 1 of"));
    atomic_fetch_add(&rewinds, e->kind == SY_EVENT_REWIND);
    void (*fn)(struct sy_trainer *) = NULL;
    if (e->kind == SY_EVENT_ALARM)
        fn = atomic_exchange(&ask, NULL);
    if (fn)
        fn(atomic_load(&asked));
}

static double peak; /* of the next trainer */

static struct sy_trainer *make(struct sy_corpus *corpus)
{
    struct sy_err err = SY_ERR_INIT;
    const int64_t shape[2] = {V, V};
    const struct sy_param_spec spec = {.name = "w"};
    weights = sy_tensor_zeros(SY_F32, 2, shape, &err);
    sy_tensor_set_requires_grad(weights, true);
    params = sy_params_new(&weights, &spec, 1, NULL, 0, sy_optimizer_at(0), &err);
    struct sy_train_config c = {.name = "test", .params = params, .plan = make_plan(&err),
                                .corpus = corpus, .peak = peak, .flops_per_token = 1,
                                .on_step = on_step, .on_event = on_event};
    sy_hyper_defaults(&c.hyper);
    c.hyper.v[SY_HYPER_steps] = STEPS;
    c.hyper.v[SY_HYPER_lr] = 0.05;
    c.hyper.v[SY_HYPER_eval_every] = 50;
    c.hyper.v[SY_HYPER_eval_batches] = 2;
    struct sy_trainer *t = c.plan ? sy_trainer_new(&c, &err) : NULL;
    if (!t)
        tap_note("%s", err.msg);
    return t;
}

static void finish(struct sy_trainer *t)
{
    sy_trainer_free(t);
    sy_tensor_unref(weights);
}

/* ---- the threads that disturb ---- */

static atomic_bool stop;
static _Atomic int64_t holds, reads;
/* only the holder may touch parameters */
static pthread_mutex_t holder = PTHREAD_MUTEX_INITIALIZER;

static void *hold_it(void *arg)
{
    struct sy_trainer *t = arg;
    while (!atomic_load(&stop)) {
        struct sy_err err = SY_ERR_INIT;
        pthread_mutex_lock(&holder);
        sy_trainer_hold(t);
        while (!sy_trainer_held(t, 0.01))
            continue;
        sy_params_hash(sy_trainer_params(t));
        sy_trainer_eval(t, 1, &err);
        sy_trainer_release(t);
        pthread_mutex_unlock(&holder);
        atomic_fetch_add(&holds, 1);
        sy_sleep(0.002);
    }
    return NULL;
}

static void *change_it(void *arg)
{
    struct sy_trainer *t = arg;
    struct sy_err err = SY_ERR_INIT;
    float one = 1;
    for (int i = 0; !atomic_load(&stop); i++) {
        sy_trainer_set(t, SY_HYPER_eval_batches, 1 + i % 3, &err);
        sy_trainer_set_input(t, "nothing", &one, 1, &err);
        sy_trainer_pause(t);
        sy_trainer_note(t, SY_ENTRY_NOTE, "paused");
        sy_trainer_resume(t);
        sy_trainer_wait(t, sy_trainer_get(t, SY_HYPER_steps) > 0 ? i : 0, 0.002);
    }
    sy_trainer_resume(t);
    return NULL;
}

static void *read_it(void *arg)
{
    struct sy_trainer *t = arg;
    struct sy_metrics *m = sy_trainer_metrics(t);
    while (!atomic_load(&stop)) {
        struct sy_status s;
        struct sy_journal_entry e[4];
        int64_t steps[16];
        float values[16];
        sy_trainer_status(t, &s);
        sy_trainer_journal(t, 0, e, 4);
        int loss = sy_metrics_find(m, "loss");
        int64_t n = sy_metrics_rows(m, loss);
        sy_metrics_read(m, loss, 0, n > 16 ? n - 16 : 0, 16, steps, values);
        sy_metrics_last(m, loss, values);
        atomic_fetch_add(&reads, n);
        sy_sleep(0.0005);
    }
    return NULL;
}

static uint64_t run(struct sy_corpus *corpus, bool disturbed)
{
    static void *(*const jobs[])(void *) = {hold_it, hold_it, change_it, read_it, read_it};
    pthread_t threads[5];
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s;
    struct sy_trainer *t = make(corpus);
    if (!tap_ok(t && !sy_trainer_start(t, &err), "it starts %s", err.msg))
        return 0;
    atomic_store(&stop, false);
    for (int i = 0; disturbed && i < 5; i++)
        pthread_create(&threads[i], NULL, jobs[i], t);
    double until = sy_now() + 30;
    do {
        sy_trainer_wait(t, STEPS, 0.05);
        sy_trainer_status(t, &s);
    } while (s.step < STEPS && s.state != SY_RUN_FAILED && sy_now() < until);
    atomic_store(&stop, true);
    for (int i = 0; disturbed && i < 5; i++)
        pthread_join(threads[i], NULL);
    sy_trainer_wait(t, INT64_MAX, 5);
    sy_trainer_status(t, &s);
    tap_ok(s.state == SY_RUN_DONE && s.step == STEPS, "%s: done at step %lld (%s)",
           disturbed ? "disturbed" : "alone", (long long)s.step, sy_run_state_name(s.state));
    tap_ok(s.loss < 4 && s.val_loss < 5, "it learns: %.3f, validation %.3f", s.loss, s.val_loss);
    uint64_t hash = sy_params_hash(sy_trainer_params(t));
    finish(t);
    return hash;
}

/* Freed while it trains, while it is held, and before it starts. */
static void test_free(struct sy_corpus *corpus)
{
    for (int i = 0; i < 6; i++) {
        struct sy_trainer *t = make(corpus);
        if (i)
            sy_trainer_start(t, NULL);
        if (i % 3 == 1)
            sy_trainer_wait(t, 3, 5);
        if (i % 3 == 2)
            sy_trainer_hold(t);
        finish(t);
    }
    tap_ok(true, "freed in any state");
}

static void test_states(struct sy_corpus *corpus)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s;
    struct sy_trainer *t = make(corpus);
    sy_trainer_pause(t);
    sy_trainer_start(t, &err);
    tap_ok(sy_trainer_start(t, &err) && err.code == SY_E_STATE, "started once: %s", err.msg);
    sy_trainer_steps(t, 5);
    tap_ok(sy_trainer_wait(t, INT64_MAX, 10), "steps: waits for them");
    sy_trainer_status(t, &s);
    tap_ok(s.step == 5 && s.state == SY_RUN_PAUSED, "steps: five, then paused");
    err.code = SY_E_OK;
    tap_ok(sy_trainer_set(t, SY_HYPER_seed, 2, &err) && err.code == SY_E_STATE, "%s", err.msg);
    for (int i = 0; i < 50; i++) { /* done, raised, resumed: wait always waits */
        sy_trainer_set(t, SY_HYPER_steps, 6 + i, &err);
        sy_trainer_resume(t);
        sy_trainer_wait(t, INT64_MAX, 10);
        sy_trainer_status(t, &s);
        if (s.step != 6 + i || s.state != SY_RUN_DONE)
            break;
    }
    tap_ok(s.step == 55 && s.state == SY_RUN_DONE, "raised 50 times: step %lld", (long long)s.step);
    finish(t);
}

/* A hook that is told of the pause holds the run, and waits for it before it lets go. */
static void test_told_and_held(struct sy_corpus *corpus)
{
    struct sy_status s;
    struct sy_trainer *t = make(corpus);
    sy_trainer_pause(t);
    sy_trainer_start(t, NULL);
    atomic_store(&to_hold, t);
    sy_trainer_steps(t, 1);
    bool woke = sy_trainer_wait(t, INT64_MAX, 20);
    tap_ok(atomic_load(&heard), "who waits for a state wakes when it was told");
    tap_ok(woke, "a state that was told does not wait for holds");
    while (!sy_trainer_held(t, 1))
        continue;
    sy_trainer_release(t);
    sy_trainer_steps(t, 1);
    sy_trainer_wait(t, INT64_MAX, 60);
    sy_trainer_status(t, &s);
    tap_ok(s.step == 2 && s.state == SY_RUN_PAUSED, "and it goes on when it is let go");
    finish(t);
}

/* At step 2, and the loss of the next is not finite. */
static struct sy_trainer *make_bad(struct sy_corpus *corpus, bool auto_rewind)
{
    struct sy_trainer *t = make(corpus);
    sy_trainer_set(t, SY_HYPER_max_skips, 1, NULL);
    sy_trainer_set(t, SY_HYPER_auto_rewind, auto_rewind, NULL);
    sy_trainer_pause(t);
    sy_trainer_start(t, NULL);
    sy_trainer_steps(t, 2);
    sy_trainer_wait(t, INT64_MAX, 60);
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 1))
        continue;
    for (int i = 0; i < V * V; i++)
        ((float *)sy_tensor_data(weights))[i] = NAN;
    sy_trainer_release(t);
    return t;
}

static void test_told_of_failure(struct sy_corpus *corpus)
{
    struct sy_status s;
    struct sy_trainer *t = make_bad(corpus, false);
    atomic_store(&heard, false);
    atomic_store(&to_hold, t);
    sy_trainer_resume(t);
    sy_trainer_wait(t, INT64_MAX, 60);
    sy_trainer_status(t, &s);
    tap_ok(s.state == SY_RUN_FAILED && s.step == 2 && atomic_load(&heard),
           "who waits for it wakes when its failure was told");
    finish(t);
}

/* A step that wants a rewind, and what was asked for while it was done. */
static void test_rewind_wanted(struct sy_corpus *corpus)
{
    static void (*const asks[])(struct sy_trainer *) = {NULL, sy_trainer_pause, sy_trainer_stop};
    static const enum sy_run_state states[] = {SY_RUN_PAUSED, SY_RUN_PAUSED, SY_RUN_STOPPED};
    for (int i = 0; i < 3; i++) {
        struct sy_status s;
        int64_t first, last;
        struct sy_trainer *t = make_bad(corpus, true);
        atomic_store(&rewinds, 0);
        atomic_store(&asked, t);
        atomic_store(&ask, asks[i]);
        sy_trainer_resume(t);
        sy_trainer_wait(t, INT64_MAX, 60);
        sy_trainer_status(t, &s);
        bool wanted = sy_trainer_rewind_wanted(t, &first, &last);
        tap_ok(s.state == states[i] && s.step == 2 && wanted == !i && (i || last == 3),
               "%s asked for: %s, a rewind is%s wanted", i ? "a state was" : "nothing was",
               sy_run_state_name(s.state), wanted ? "" : " not");
        finish(t);
        tap_is_int(atomic_load(&rewinds), !i, "and the host hears of %s", i ? "none" : "it");
    }
}

/* Whoever waits for a pause and resumes at once meets the trainer while it tells of the pause. */
static void test_announced_once(struct sy_corpus *corpus)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s = {0};
    struct sy_trainer *t = make(corpus);
    sy_trainer_set(t, SY_HYPER_steps, 20000, &err);
    sy_trainer_set(t, SY_HYPER_eval_every, 0, &err);
    last_step = -1;
    again = 0;
    sy_trainer_pause(t);
    sy_trainer_start(t, &err);
    double until = sy_now() + (tap_fast() ? 0.5 : 2);
    for (; s.step < 20000 && sy_now() < until; sy_trainer_status(t, &s))
        if (s.state == SY_RUN_PAUSED)
            sy_trainer_steps(t, 1);
    finish(t);
    tap_ok(again == 0, "%d of %lld steps were announced twice", again, (long long)s.step);
}

/* Pause it in the midst of a step, not before, until it says that the pause waits. */
static bool pause_in_step(struct sy_trainer *t)
{
    struct sy_status s;
    double until = sy_now() + 120;
    while (!atomic_load(&waits) && sy_now() < until) {
        sy_trainer_resume(t);
        while (sy_trainer_held(t, 0))
            continue;
        sy_trainer_pause(t);
        do {
            sy_trainer_wait(t, INT64_MAX, 0.01);
            sy_trainer_status(t, &s);
        } while (s.state == SY_RUN_RUNNING && !atomic_load(&waits) && sy_now() < until);
    }
    return atomic_load(&waits) > 0;
}

static int64_t rows_of(struct sy_trainer *t, const char *name)
{
    struct sy_metrics *m = sy_trainer_metrics(t);
    return sy_metrics_rows(m, sy_metrics_find(m, name));
}

/* A step of ten million micro-batches: a pause says that it waits, a stop gives the step up. */
static void test_given_up(struct sy_corpus *corpus, uint64_t alone)
{
    struct sy_journal_entry list[8];
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s;
    struct sy_trainer *t = make(corpus);
    sy_trainer_pause(t);
    sy_trainer_start(t, &err);
    sy_trainer_steps(t, 5);
    sy_trainer_wait(t, INT64_MAX, 60);
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 1))
        continue;
    uint64_t before = sy_params_hash(params);
    int entries = sy_trainer_journal(t, 0, list, 8);
    sy_trainer_plan(t)->accumulate = 10000000;
    sy_trainer_release(t);
    tap_ok(pause_in_step(t), "a pause says that it waits for a long step");
    sy_trainer_stop(t);
    tap_ok(sy_trainer_wait(t, INT64_MAX, 120), "a stop does not");
    sy_trainer_status(t, &s);
    tap_ok(s.state == SY_RUN_STOPPED && s.step == 5, "%s at step %lld", sy_run_state_name(s.state),
           (long long)s.step);
    tap_ok(sy_params_hash(params) == before && sy_trainer_journal(t, 0, list, 8) == entries &&
               rows_of(t, "loss") == 5 && sy_trainer_windows(t, 6) == 5 * 2 * B,
           "nothing of the step counts");
    tap_is_int(atomic_load(&given_up), 1, "one line says so");
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 1))
        continue;
    sy_trainer_plan(t)->accumulate = 2;
    sy_trainer_release(t);
    sy_trainer_resume(t);
    sy_trainer_wait(t, INT64_MAX, 120);
    tap_ok(sy_params_hash(params) == alone, "resumed: as if it had never begun");
    finish(t);
}

/* Steps of val_loss ascend strictly; whether none is the first step. */
static bool none_of(struct sy_trainer *t, int64_t first)
{
    int64_t steps[2 * STEPS], before = -1;
    float values[2 * STEPS];
    struct sy_metrics *m = sy_trainer_metrics(t);
    int64_t n = sy_metrics_read(m, sy_metrics_find(m, "val_loss"), 0, 0, 2 * STEPS, steps, values);
    for (int64_t i = 0; i < n; i++) {
        if (steps[i] == first || steps[i] <= before)
            return false;
        before = steps[i];
    }
    return true;
}

/* An evaluation that is not over in time is left out for good, one that is in time is done. */
static void test_left_out(struct sy_corpus *corpus, uint64_t alone)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = make(corpus);
    sy_trainer_stop(t);
    t->patience = 0;
    tap_ok(!sy__eval_if_due(t) && !rows_of(t, "val_loss"), "an evaluation is given up");
    tap_is_int(atomic_load(&left_out), 1, "one line says so");
    sy_trainer_resume(t);
    sy_trainer_start(t, &err);
    sy_trainer_wait(t, INT64_MAX, 120);
    tap_ok(rows_of(t, "val_loss") == STEPS / 50 && none_of(t, 0),
           "and stays so when the run goes on");
    tap_ok(sy_params_hash(params) == alone, "with the same bits");
    finish(t);
    t = make(corpus);
    sy_trainer_stop(t);
    t->patience = 1e9;
    tap_ok(sy__eval_if_due(t) && rows_of(t, "val_loss") == 1,
           "a short one ends in spite of a stop");
    finish(t);
}

/* What is under way has one answer, though a resume come between; who waits does so since the last
 * time. */
static void test_polled(struct sy_corpus *corpus)
{
    struct sy_trainer *t = make(corpus);
    struct sy__going step = {.t = t, .what = "step", .unit = "micro-batch", .begun = sy_now()},
                     other = step;
    sy_trainer_stop(t);
    tap_ok(sy__poll(&step), "a stop gives a step up");
    sy_trainer_resume(t);
    tap_ok(sy__poll(&step) && !sy__poll(&other), "for good, and no other");
    sy_trainer_pause(t);
    tap_ok(!sy__poll(&other) && other.waits > 0, "a pause waits");
    other.waits -= 10;
    sy_trainer_resume(t);
    sy__poll(&other);
    sy_trainer_pause(t);
    double now = sy_now();
    tap_ok(!sy__poll(&other) && other.waits >= now, "the next one anew");
    finish(t);
}

/* A run without a store keeps its older rows packed, and all of them. */
static void test_packed(struct sy_corpus *corpus)
{
    enum { MANY = 5000 };
    struct sy_err err = SY_ERR_INIT;
    int64_t steps[256], after = -1, n, seen = 0;
    float values[256];
    struct sy_trainer *t = make(corpus);
    struct sy_metrics *m = sy_trainer_metrics(t);
    int loss = sy_metrics_find(m, "loss");
    sy_trainer_set(t, SY_HYPER_steps, MANY, &err);
    tap_ok(!sy_trainer_pack_rows(t, &err) && !sy_trainer_start(t, &err),
           "its rows are to be packed %s", err.msg);
    sy_trainer_wait(t, INT64_MAX, 600);
    tap_ok(sy_metrics_first(m, loss) > 0, "up to row %lld they are",
           (long long)sy_metrics_first(m, loss));
    while ((n = sy_metrics_rows_after(m, loss, after, 256, steps, values)) > 0)
        for (int64_t i = 0; i < n; i++)
            seen += (after = steps[i]) == seen + 1;
    tap_is_int(seen, MANY, "every step has its loss");
    finish(t);
}

/* Evaluation in slices has the bits of one; one that fails is told once and the run goes on. */
static void test_evaluation(struct sy_corpus *corpus)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s;
    const int64_t shape[2] = {B, T};
    double sum = 0;
    struct sy_trainer *t = make(corpus);
    for (int i = 0; i < V * V; i++)
        params->p[i] = (float)(i % 17) * 0.1f; /* so that batches differ */
    tap_ok(sy_trainer_eval_windows(t, 1, &err) == SY_EVAL_ROWS,
           "a batch of an evaluation is %d windows", SY_EVAL_ROWS);
    double whole = sy_trainer_eval(t, 7, &err);
    for (int64_t at = 0; at < 7; at += 2 * B)
        sy_trainer_eval_sum(t, at, at + 2 * B < 7 ? at + 2 * B : 7, 7, &sum, &err);
    tap_ok(!err.code && sum / 7 == whole && whole > 0, "slices: %.17g, whole: %.17g", sum / 7,
           whole);
    struct sy_plan *plan = sy_trainer_plan(t);
    struct sy_tensor *tokens = plan->eval.field[SY_FIELD_TOKENS];
    for (int64_t i = 0; i < sy_tensor_count(tokens); i++)
        sy_tensor_set(tokens, i, 2 * V); /* no such row, and the sampler writes elsewhere */
    plan->eval.field[SY_FIELD_TOKENS] = sy_tensor_zeros(SY_I32, 2, shape, &err);
    sy_trainer_set(t, SY_HYPER_steps, 20, &err);
    sy_trainer_set(t, SY_HYPER_eval_every, 5, &err);
    sy_trainer_start(t, &err);
    sy_trainer_wait(t, INT64_MAX, 20);
    sy_trainer_status(t, &s);
    tap_ok(s.state == SY_RUN_DONE && s.step == 20 && isnan(s.val_loss),
           "done without an evaluation");
    tap_is_int(atomic_load(&alarms), 1, "four evaluations failed: told once");
    sy_tensor_unref(plan->eval.field[SY_FIELD_TOKENS]);
    plan->eval.field[SY_FIELD_TOKENS] = tokens;
    finish(t);
}

/* A peak that was measured while others had the machine: no step is faster than the peak. */
static void test_peak(struct sy_corpus *corpus)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s;
    peak = 1e-3;
    struct sy_trainer *t = make(corpus);
    sy_trainer_start(t, &err);
    sy_trainer_wait(t, STEPS, 60);
    sy_trainer_status(t, &s);
    tap_ok(s.step == STEPS && s.mfu > 0 && s.mfu <= 1, "MFU is at most 1: %g", s.mfu);
    finish(t);
    peak = 0;
}

/* Who waits for a run wakes when its end has been told, whoever else holds it by then. */
static void test_told(struct sy_corpus *corpus)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s;
    struct sy_trainer *t = make(corpus);
    sy_trainer_set(t, SY_HYPER_steps, 3, &err);
    atomic_store(&telling, false);
    atomic_store(&slow_to_tell, true);
    sy_trainer_start(t, &err);
    while (!atomic_load(&telling))
        sy_sleep(0.001);
    sy_trainer_status(t, &s);
    tap_ok(s.state == SY_RUN_DONE && !sy_trainer_wait(t, INT64_MAX, 0.05),
           "done, and nobody has been told: who waits waits");
    sy_trainer_hold(t);
    atomic_store(&slow_to_tell, false);
    tap_ok(sy_trainer_wait(t, INT64_MAX, 30), "told: also who holds it is woken");
    sy_trainer_release(t);
    finish(t);
}

/* No thread to be had: an error, nobody waits for steps, and it may begin later. */
static void test_no_thread(struct sy_corpus *corpus)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_status s;
    struct sy_trainer *t = make(corpus);
    sy_thread_fail_at(1);
    tap_ok(sy_trainer_start(t, &err) && err.code == SY_E_IO,
           "without a thread it does not start: %s", err.msg);
    sy_trainer_status(t, &s);
    tap_ok(s.state == SY_RUN_PAUSED && sy_trainer_wait(t, STEPS, 60), "and is not waited for");
    tap_ok(!sy_trainer_start(t, NULL) && sy_trainer_wait(t, STEPS, 60),
           "it starts when there is one");
    finish(t);
}

int main(void)
{
    struct sy_err err = SY_ERR_INIT;
    static char text[8000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "the cat sat on the mat. "[i % 24];
    struct sy_text_options o = {.val = 0.2};
    struct sy_corpus *corpus = sy_corpus_string(text, sizeof text, &o, &err);
    tap_ok(corpus != NULL, "corpus %s", err.msg);
    uint64_t alone = run(corpus, false);
    tap_ok(run(corpus, true) == alone, "disturbed: the same bits");
    tap_ok(atomic_load(&holds) > 3 && atomic_load(&reads) > 0, "held %lld times",
           (long long)atomic_load(&holds));
    tap_ok(atomic_load(&announced) >= 2 * STEPS, "every step was announced");
    test_states(corpus);
    test_free(corpus);
    test_told_and_held(corpus);
    test_told_of_failure(corpus);
    test_rewind_wanted(corpus);
    test_announced_once(corpus);
    test_given_up(corpus, alone);
    test_left_out(corpus, alone);
    test_polled(corpus);
    test_packed(corpus);
    test_evaluation(corpus);
    test_peak(corpus);
    test_told(corpus);
    test_no_thread(corpus);
    sy_corpus_unref(corpus);
    return tap_done();
}
