/* The mailbox of a trainer: what others ask of it, and how it takes effect at a border.  Layer
 * train.
 *
 *  1. Others write wishes (wanted, inputs, wish ...) under the lock; only the trainer's
 *     thread, at a border where nobody holds it, makes them so (sy__mailbox_apply) and writes them
 *     down.
 *  2. What belongs to the plan takes effect when the plan comes (sy_trainer_replan). */
#include "base/mem.h"
#include "base/wait.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- taking effect ---- */

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
        struct sy_journal_entry e = {
            .kind = SY_ENTRY_INPUT, .expert = -1, .n = c->n, .values = c->values};
        sy__input_write(t, c->name, c->values, c->n);
        snprintf(e.key, sizeof e.key, "%s", c->name);
        memcpy(e.who, c->who, sizeof e.who);
        snprintf(e.text, sizeof e.text, c->n == 1 ? "%s = %g" : "%s = {%g, ...}", c->name,
                 (double)c->values[0]);
        sy__journal_add(t, &e);
        free_first_input(t);
    }
}

/* A number of steps also says what becomes of the schedule. */
static void journal_set(struct sy_trainer *t, enum sy_hyper_id id, double value)
{
    struct sy_journal_entry e = {.kind = SY_ENTRY_SET, .expert = -1, .value = value};
    bool anew = id == SY_HYPER_context && t->c.sampling == SY_SAMPLE_EPOCH && !t->c.by_step;
    snprintf(e.key, sizeof e.key, "%s", sy_hyper_spec(id)->name);
    memcpy(e.who, t->wanted_by[id], sizeof e.who);
    int n =
        snprintf(e.text, sizeof e.text, "%s = %.*g%s", e.key, id == SY_HYPER_steps ? 17 : 6, value,
                 id == SY_HYPER_steps ? ": "
                 : anew               ? ": a new epoch begins"
                                      : "");
    if (id == SY_HYPER_steps)
        sy_hyper_outlook(&t->hyper, t->status.step, e.text + n, sizeof e.text - (size_t)n);
    sy__journal_add(t, &e);
}

static void journal_schedule(struct sy_trainer *t, enum sy_schedule s)
{
    struct sy_journal_entry e = {.kind = SY_ENTRY_SCHEDULE, .expert = -1};
    snprintf(e.key, sizeof e.key, "%s", sy_schedule_name(s));
    memcpy(e.who, t->wanted_by[SY_HYPER_COUNT], sizeof e.who);
    snprintf(e.text, sizeof e.text, "schedule = %s", e.key);
    sy__journal_add(t, &e);
}

/* All that is wanted, one value after the other, as a replay of the journal has them. */
static void put_wanted(const struct sy_trainer *t, struct sy_hyper *h)
{
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        if (h->v[i] != t->wanted.v[i])
            sy_hyper_put(h, (enum sy_hyper_id)i, t->wanted.v[i], t->status.step);
    h->schedule = t->wanted.schedule;
}

/* The thread that asks says who wants it; the lock is held. */
static void sign_wish(struct sy_trainer *t, int what)
{
    snprintf(t->wanted_by[what], sizeof t->wanted_by[what], "%s", sy_acting());
}

/* What belongs to the plan takes effect, and is written down, when the plan comes (replan). */
static void apply_hyper(struct sy_trainer *t)
{
    struct sy_hyper was = t->hyper;
    put_wanted(t, &t->hyper);
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        if (was.v[i] != t->hyper.v[i] && sy_hyper_spec((enum sy_hyper_id)i)->live != SY_LIVE_PLAN)
            journal_set(t, (enum sy_hyper_id)i, t->hyper.v[i]);
    if (was.schedule != t->hyper.schedule)
        journal_schedule(t, t->hyper.schedule);
    t->status.steps = (int64_t)t->hyper.v[SY_HYPER_steps];
}

void sy__mailbox_apply(struct sy_trainer *t)
{
    apply_hyper(t);
    apply_inputs(t);
}

/* ---- what others ask ---- */

void sy_trainer_settle(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    sy__mailbox_apply(t);
    pthread_mutex_unlock(&t->lock);
}

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
        return sy_err_set(err, SY_E_STATE, "train: %s is fixed for the run",
                          sy_hyper_spec(id)->name);
    pthread_mutex_lock(&t->lock);
    t->wanted.v[id] = value;
    sign_wish(t, (int)id);
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

void sy_trainer_outlook(struct sy_trainer *t, char *text, size_t n)
{
    pthread_mutex_lock(&t->lock);
    struct sy_hyper h = t->hyper;
    int64_t step = t->status.step;
    put_wanted(t, &h);
    pthread_mutex_unlock(&t->lock);
    sy_hyper_outlook(&h, step, text, n);
}

static bool bears_on_rate(enum sy_hyper_id id)
{
    return id == SY_HYPER_COUNT || sy_hyper_spec(id)->bears == SY_BEARS_RATE;
}

enum sy_hyper_effect sy_trainer_effect(struct sy_trainer *t, enum sy_hyper_id id, double value)
{
    pthread_mutex_lock(&t->lock);
    struct sy_hyper was = t->hyper;
    int64_t step = t->status.step;
    put_wanted(t, &was);
    pthread_mutex_unlock(&t->lock);
    struct sy_hyper is = was;
    if (!bears_on_rate(id) || (double)(step + 1) >= was.v[SY_HYPER_steps])
        return SY_EFFECT_RATE;
    if (id == SY_HYPER_COUNT)
        is.schedule = (enum sy_schedule)value;
    else
        sy_hyper_put(&is, id, value, step);
    return sy_hyper_effect(&was, &is, step);
}

int sy_trainer_rules(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    int rules = t->hyper.rules;
    pthread_mutex_unlock(&t->lock);
    return rules;
}

void sy_trainer_set_schedule(struct sy_trainer *t, enum sy_schedule s)
{
    pthread_mutex_lock(&t->lock);
    t->wanted.schedule = s;
    sign_wish(t, SY_HYPER_COUNT);
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
    snprintf(c->who, sizeof c->who, "%s", sy_acting());
    c->n = n;
    memcpy(c->values, values, (size_t)n * sizeof(float));
    pthread_mutex_lock(&t->lock);
    *t->inputs_end = c;
    t->inputs_end = &c->next;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

static void journal_plan(struct sy_trainer *t, const struct sy_plan *old, const struct sy_plan *now)
{
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        enum sy_hyper_id id = (enum sy_hyper_id)i;
        if (sy_hyper_spec(id)->live == SY_LIVE_PLAN &&
            sy_plan_value(old, id) != sy_plan_value(now, id))
            journal_set(t, id, sy_plan_value(now, id));
    }
    pthread_mutex_unlock(&t->lock);
}

int sy_trainer_replan(struct sy_trainer *t, struct sy_plan *plan, double flops_per_token,
                      struct sy_err *err)
{
    struct sy_plan *old = t->c.plan;
    t->c.plan = plan;
    if (sy__step_observe(t, err)) {
        t->c.plan = old;
        return -1;
    }
    sy__inputs_copy(old, plan);
    t->program = sy__fingerprint(t, SY_FINGERPRINT_VERSION);
    t->c.flops_per_token = flops_per_token;
    t->pace.seconds = t->pace.weight = 0; /* of steps of another size */
    sy__order_plan(t);
    journal_plan(t, old, plan);
    sy_plan_free(old);
    return 0;
}

/* for_steps: how many more before a pause, or 0: no such pause. */
static void ask_for_state(struct sy_trainer *t, enum sy__wish wish, int64_t for_steps)
{
    pthread_mutex_lock(&t->lock);
    enum sy_run_state s = t->status.state;
    if (wish != SY__PAUSE)
        t->rewind.first = t->rewind.last = 0; /* it goes on without */
    t->pause_at = for_steps > 0 ? t->status.step + for_steps : -1;
    sy__set_wish(t, wish);
    /* RUNNING at once, so that wait() right after resume() waits; the border says what it comes
     * to. */
    if (wish == SY__GO_ON && sy__alive(t) && s != SY_RUN_FAILED &&
        (s != SY_RUN_DONE || sy__has_more(t)))
        sy__set_state(t, SY_RUN_RUNNING);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void sy_trainer_pause(struct sy_trainer *t) { ask_for_state(t, SY__PAUSE, 0); }
void sy_trainer_resume(struct sy_trainer *t) { ask_for_state(t, SY__GO_ON, 0); }
void sy_trainer_stop(struct sy_trainer *t) { ask_for_state(t, SY__STOP, 0); }
void sy_trainer_steps(struct sy_trainer *t, int64_t n) { ask_for_state(t, SY__GO_ON, n); }

void sy_trainer_want_rewind(struct sy_trainer *t)
{
    sy_trainer_pause(t);
    pthread_mutex_lock(&t->lock);
    t->rewind.first = t->rewind.last = t->status.step;
    pthread_mutex_unlock(&t->lock);
}

/* Something will still happen that a waiter for `step` waits for: a step, or a state that was asked
 * for. */
static bool will_go_on(const struct sy_trainer *t, int64_t step)
{
    if (!sy__alive(t) || t->status.step >= step)
        return false;
    return t->telling || t->status.state == SY_RUN_RUNNING ||
           t->status.state != sy__wanted_state(t);
}

bool sy_trainer_wait(struct sy_trainer *t, int64_t step, double seconds)
{
    struct sy_deadline until = sy_deadline_in(seconds);
    pthread_mutex_lock(&t->lock);
    while (will_go_on(t, step) && sy_cond_wait(&t->changed, &t->lock, &until))
        continue;
    bool reached = !will_go_on(t, step);
    pthread_mutex_unlock(&t->lock);
    return reached;
}
