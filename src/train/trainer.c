/* The trainer: making it, the border between two steps, and its thread.  The step is in step.c, the
 * mailbox in mailbox.c.  See switchyard/train.h for states and rules. */
#include "switchyard/train.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/thread.h"
#include "base/wait.h"
#include "run/packed_rows.h"
#include "run/metrics.h"
#include "train/checkpoint.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- making ---- */

#define PATIENCE 2.0

/* As before the first step. */
static void set_numbers(struct sy_trainer *t, const struct sy_train_config *config)
{
    t->c = *config;
    t->hyper = config->hyper;
    if (t->hyper.rules >= 2)
        t->hyper.planned = t->hyper.v[SY_HYPER_steps];
    t->wanted = t->hyper;
    t->pause_at = -1;
    t->patience = PATIENCE;
    t->saved.step = -1;
    t->inputs_end = &t->inputs;
    t->status = (struct sy_status){.state = SY_RUN_PAUSED,
                                   .loss = (double)NAN,
                                   .val_loss = (double)NAN,
                                   .grad_norm = (double)NAN,
                                   .load_max_mean = (double)NAN,
                                   .tok_s = (double)NAN,
                                   .mfu = (double)NAN,
                                   .steps = (int64_t)config->hyper.v[SY_HYPER_steps]};
    t->status.lr = sy_hyper_lr(&t->hyper, 1);
    t->shape[0] = config->plan->batch;
    t->shape[1] = config->plan->context;
    t->shape[2] = config->plan->accumulate;
    for (int i = 0; i < SY_ALARM_COUNT; i++)
        t->alarms.list[i].step = t->alarms.told[i] = -1;
}

struct sy_trainer *sy_trainer_new(const struct sy_train_config *config, struct sy_err *err)
{
    struct sy_trainer *t = sy_calloc(1, sizeof *t);
    if (!t) {
        sy_err_set(err, SY_E_MEMORY, "train: out of memory");
        return NULL;
    }
    set_numbers(t, config);
    pthread_mutex_init(&t->lock, NULL);
    sy_cond_init(&t->changed);
    sy__saver_init(t);
    t->name = sy_strdup(config->name);
    t->metrics = t->name ? sy_metrics_new(err) : NULL;
    sy__order_begin(t);
    t->program = sy__fingerprint(t, SY_FINGERPRINT_VERSION);
    if (!t->metrics || sy__step_series(t, err) || sy_sampler_check(&t->sampler, err)) {
        sy_err_set(err, SY_E_MEMORY, "train: out of memory");
        t->c.params = NULL; /* stay the caller's */
        t->c.plan = NULL;
        t->c.corpus = NULL;
        t->c.objectives = NULL;
        sy_trainer_free(t);
        return NULL;
    }
    sy_corpus_ref(t->c.corpus);
    sy_objectives_ref(t->c.objectives);
    return t;
}

void sy_trainer_free(struct sy_trainer *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    sy__set_wish(t, SY__QUIT);
    pthread_cond_broadcast(&t->changed);
    bool started = t->where != SY__NO_THREAD;
    pthread_mutex_unlock(&t->lock);
    if (started)
        pthread_join(t->thread, NULL);
    sy__saver_free(t);
    sy__inputs_drop(t);
    sy_plan_free(t->c.plan);
    sy_params_free(t->c.params);
    sy_corpus_unref(t->c.corpus);
    sy_objectives_unref(t->c.objectives);
    sy_packed_rows_free(t->attic);
    sy_metrics_free(t->metrics);
    sy_free(t->observed);
    sy_free(t->sums);
    sy__journal_free(t->journal, t->njournal);
    sy__norms_free(t);
    sy__health_free(t);
    sy__sources_free(t);
    sy__spikes_free(t);
    sy__alarms_free(t);
    sy_free(t->skips);
    sy_free(t->name);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    sy_free(t);
}

/* ---- the border between two steps ---- */

static void park(struct sy_trainer *t)
{
    sy__saver_copied(t);
    pthread_mutex_lock(&t->lock);
    t->where = SY__PARKED;
    sy__tell_change(t);
    pthread_mutex_unlock(&t->lock);
}

/* A state has been told (the lock is held): who waits for it wakes. */
static void end_news(struct sy_trainer *t)
{
    if (t->telling) {
        t->telling = false;
        sy__tell_change(t);
    }
}

/* Whoever got a hold meanwhile keeps it: what they were promised is that nothing moves until
 * release. */
static void unpark(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    end_news(t); /* not after the holds: a holder may wait for the run */
    while (t->holds && t->wish != SY__QUIT)
        pthread_cond_wait(&t->changed, &t->lock);
    t->where = SY__MOVES;
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

/* A state that it came to (the lock is held, and left meanwhile).  Who waits for it
 * (sy_trainer_wait) wakes when it has been told: a program that ends then has said it. */
static void tell_state(struct sy_trainer *t)
{
    struct sy_status now = t->status;
    pthread_mutex_unlock(&t->lock);
    announce(t, &now, false);
    pthread_mutex_lock(&t->lock);
    end_news(t);
}

static bool ends(enum sy_run_state s)
{
    return s == SY_RUN_DONE || s == SY_RUN_STOPPED || s == SY_RUN_FAILED;
}

/* Wait at the border until there is a step to do (true) or the thread is to end (false). */
static bool border(struct sy_trainer *t)
{
    bool go = false;
    pthread_mutex_lock(&t->lock);
    while (t->wish != SY__QUIT) {
        enum sy_run_state s = sy__wanted_state(t);
        if (!t->holds) {
            sy__mailbox_apply(t);
            s = sy__wanted_state(t);
        }
        if (ends(s) && !t->holds && sy__saver_wants_last(t)) { /* before anyone hears of the end */
            t->saver.ended = true;
            pthread_mutex_unlock(&t->lock);
            sy__saver_save(t, NULL);
            pthread_mutex_lock(&t->lock);
            continue;
        }
        bool news = t->status.state != s;
        t->telling = news && s != SY_RUN_RUNNING;
        sy__set_state(t, s);
        if (t->telling) { /* outside the lock, then look again */
            tell_state(t);
            continue;
        }
        go = !t->holds && s == SY_RUN_RUNNING;
        if (go)
            break;
        sy__saver_copied(t); /* who finds us parked may write parameters */
        t->where = SY__PARKED;
        sy__tell_change(t);
        pthread_cond_wait(&t->changed, &t->lock);
        /* before anything is done outside the lock */
        t->where = t->holds > 0 ? SY__PARKED : SY__MOVES;
    }
    t->where = SY__MOVES;
    pthread_mutex_unlock(&t->lock);
    return go;
}

/* ---- the thread ---- */

#define PACK_EVERY 256 /* steps */

static void fail_run(struct sy_trainer *t, const struct sy_err *err)
{
    struct sy_journal_entry e = {.kind = SY_ENTRY_FAILED, .expert = -1};
    snprintf(e.text, sizeof e.text, "%.*s", (int)sizeof e.text - 1, err->msg);
    pthread_mutex_lock(&t->lock);
    t->status.error = *err;
    t->telling = true;
    sy__set_state(t, SY_RUN_FAILED);
    sy__journal_add(t, &e);
    tell_state(t);
    pthread_mutex_unlock(&t->lock);
}

/* Paused until the host has rewound it; without a host it is as paused as any run.  Whoever asked
 * for another state meanwhile gets that, for the host would have it go on: the step comes again
 * when it does, and wants the same. */
static void want_rewind(struct sy_trainer *t, const struct sy_err *err)
{
    pthread_mutex_lock(&t->lock);
    bool asked = t->wish != SY__GO_ON;
    if (asked)
        t->rewind.first = t->rewind.last = 0;
    else
        sy__set_wish(t, SY__PAUSE);
    pthread_mutex_unlock(&t->lock);
    if (!asked)
        sy__tell(t, SY_EVENT_REWIND, err->msg);
}

static void *train_thread(void *arg)
{
    struct sy_trainer *t = arg;
    while (border(t)) {
        struct sy_err err = SY_ERR_INIT;
        int rc = sy__step(t, &err);
        if (rc == SY__GIVEN_UP)
            continue;
        if (rc) {
            if (rc < 0)
                fail_run(t, &err);
            else
                want_rewind(t, &err);
            continue;
        }
        t->saver.ended = false;
        bool evaluated = sy__eval_if_due(t);
        sy_pool_level_scratch();
        struct sy_status now;
        sy_trainer_status(t, &now);
        announce(t, &now, evaluated);
        sy__saver_border(t);
        if (t->attic && now.step % PACK_EVERY == 0)
            sy_packed_rows_pack(t->attic);
    }
    sy__saver_join(t);
    pthread_mutex_lock(&t->lock);
    t->where = SY__ENDED;
    sy__tell_change(t);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int sy_trainer_pack_rows(struct sy_trainer *t, struct sy_err *err)
{
    if (!t->attic)
        t->attic = sy_packed_rows_new(t->metrics, err);
    return t->attic ? 0 : -1;
}

void sy_trainer_rows_stored(struct sy_trainer *t)
{
    sy_packed_rows_free(t->attic);
    t->attic = NULL;
}

int sy_trainer_start(struct sy_trainer *t, struct sy_err *err)
{
    pthread_mutex_lock(&t->lock); /* the panel may look at it already */
    bool started = t->where != SY__NO_THREAD;
    if (!started) {
        t->where = SY__MOVES;
        t->status.state = t->wish == SY__PAUSE ? SY_RUN_PAUSED : SY_RUN_RUNNING;
    }
    pthread_mutex_unlock(&t->lock);
    if (started)
        return sy_err_set(err, SY_E_STATE, "train: run '%s' was started already", t->name);
    int rc = sy_thread_start(&t->thread, train_thread, t);
    if (rc) {
        pthread_mutex_lock(&t->lock);
        t->where = SY__NO_THREAD;
        t->status.state = SY_RUN_PAUSED; /* nobody waits for its steps */
        pthread_mutex_unlock(&t->lock);
        return sy_err_sys(err, rc, "train: cannot start a thread");
    }
    return 0;
}
