/* What alarms look at after a step.  The table is SY_ALARM_MAP (switchyard/events.h); how one is
 * told is in raise.c; about routers that drop or learn nothing, and a loss that stands still,
 * alarm_health.c.  Layer train.
 *
 *  1. Alarms change nothing of the run, and are not part of its state. */
#include "base/grow.h"
#include "base/mem.h"
#include "base/reals.h"
#include "run/metrics.h"
#include "switchyard/derived.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALM 32       /* steps without a spike that end its episode */
#define WINDOW SY_LOAD_WINDOW
#define DEAD SY_DEAD_LOAD
#define COLLAPSED 0.9 /* of all assignments */
/* more add little: Muennighoff et al. 2023, "Scaling data-constrained language models" */
#define EPOCHS 4
#define LEVEL 0.95 /* of the smoothed loss at each step: some 20 steps */
/* of what was learned: nats of the best smoothed loss under that of knowing nothing */
#define LOST 0.5
#define LOST_NATS 1.0 /* at least */
#define LOST_STEPS 32 /* in a row */
#define SLOW 0.4      /* of the usual tokens a second */
#define SLOW_SECONDS 60.0

void sy__alarms_reset(struct sy_trainer *t)
{
    struct sy__alarms *a = &t->alarms;
    for (int i = 0; i < SY_ALARM_COUNT; i++) {
        a->list[i].on = false;
        a->told[i] = -1;
    }
    t->status.alarms = 0;
    memset(a->loads, 0, (size_t)t->sum_count * sizeof *a->loads);
    a->load_steps = a->dead = 0;
    a->usual = a->usual_weight = a->slow = 0;
    a->level = a->level_weight = 0;
    a->lost = a->no_gradient = 0;
    a->plateau = (struct sy__plateau){0};
}

/* ---- loads ---- */

int sy__alarm_loads(struct sy_trainer *t, struct sy_err *err)
{
    double *loads = sy_calloc((size_t)t->sum_count + 1, sizeof *loads);
    if (!loads)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    sy_free(t->alarms.loads);
    t->alarms.loads = loads;
    t->alarms.load_steps = 0;
    t->alarms.usual = t->alarms.usual_weight = 0; /* other shapes, other speed */
    return 0;
}

int sy_trainer_call_layer(struct sy_trainer *t, const char *name, struct sy_err *err)
{
    if (SY_GROW(t->layer, t->layer_room, t->layers + 1) ||
        !(t->layer[t->layers] = sy_strdup(name)))
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory for names of layers");
    t->layers++;
    return 0;
}

void sy__alarms_free(struct sy_trainer *t)
{
    for (int i = 0; i < t->layers; i++)
        sy_free(t->layer[i]);
    sy_free(t->layer);
    sy_free(t->alarms.loads);
}

bool sy__expert_enabled(const struct sy_trainer *t, int i, int expert)
{
    const struct sy_tensor *mask = sy_program_observe_mask(t->c.plan->begin.program, i);
    return !mask || mask->dtype != SY_F32 || sy_tensor_count(mask) <= expert ||
           ((const float *)sy_data(mask))[expert] > -INFINITY;
}

static void add_text(char *text, size_t room, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add_text(char *text, size_t room, const char *fmt, ...)
{
    size_t n = strlen(text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, room - n, fmt, ap);
    va_end(ap);
}

/* How many of one layer are dead; those that fit are named in text. */
static int dead_of(const struct sy_trainer *t, int i, char *text, size_t room)
{
    const struct sy__observed *o = &t->observed[i];
    char place[64];
    int dead = 0;
    for (int e = 0; e < o->width; e++)
        if (sy_expert_dead(t->alarms.loads[o->first + e], DEAD * WINDOW,
                           !sy__expert_enabled(t, i, e))) {
            if (!dead)
                add_text(text, room, "%s%s:", *text ? ", " : "",
                         sy__observed_place(t, i, place));
            if (dead++ < 8)
                add_text(text, room, " %d", e + 1);
            else if (dead == 9)
                add_text(text, room, " ...");
        }
    return dead;
}

static void judge_dead(struct sy_trainer *t, int64_t step)
{
    char text[160] = "";
    int64_t dead = 0;
    int n = sy_program_observes(t->c.plan->begin.program);
    for (int i = 0; i < n; i++)
        if (t->observed[i].what.kind == SY_SERIES_LOAD)
            dead += dead_of(t, i, text, sizeof text);
    if (!dead || dead > t->alarms.dead) /* more are news */
        sy__alarm_end(t, SY_ALARM_DEAD);
    if (dead)
        sy__alarm(t, SY_ALARM_DEAD, step, "%lld %s under 1%% of a fair share over %d steps (%s)",
                  (long long)dead, dead == 1 ? "expert is" : "experts are", WINDOW, text);
    t->alarms.dead = dead;
}

static int falling(const void *a, const void *b)
{
    return sy_rising(b, a);
}

/* Share of the top_k fullest experts; sorts loads. */
static double share_of_fullest(double *loads, int width, int64_t top_k)
{
    double sum = 0, first = 0;
    qsort(loads, (size_t)width, sizeof *loads, falling);
    for (int e = 0; e < width; e++) {
        sum += loads[e];
        first += e < top_k ? loads[e] : 0;
    }
    return sum > 0 ? first / sum : 0;
}

static void judge_collapse(struct sy_trainer *t, int64_t step)
{
    int n = sy_program_observes(t->c.plan->begin.program);
    int64_t k = t->c.plan->top_k;
    char place[64];
    bool any = false;
    for (int i = 0; i < n && k > 0; i++) {
        const struct sy__observed *o = &t->observed[i];
        double share = o->what.kind == SY_SERIES_LOAD && o->width > k
                           ? share_of_fullest(t->alarms.loads + o->first, o->width, k)
                           : 0;
        if (share <= COLLAPSED)
            continue;
        any = true;
        sy__alarm(t, SY_ALARM_COLLAPSE, step,
                  "%s: %lld of %d experts got %.0f%% of the tokens over %d steps",
                  sy__observed_place(t, i, place), (long long)k, o->width, 100 * share, WINDOW);
    }
    if (!any)
        sy__alarm_end(t, SY_ALARM_COLLAPSE);
}

static void judge_loads(struct sy_trainer *t, int64_t step)
{
    struct sy__alarms *a = &t->alarms;
    for (int i = 0; i < t->sum_count; i++)
        a->loads[i] += (double)t->sums[i];
    if (++a->load_steps < WINDOW)
        return;
    judge_dead(t, step);
    sy__judge_overflow(t, step, WINDOW);
    judge_collapse(t, step); /* sorts */
    memset(a->loads, 0, (size_t)t->sum_count * sizeof *a->loads);
    a->load_steps = 0;
}

/* ---- the loss ---- */

static double limit_of(const struct sy__alarms *a, double nothing)
{
    return fmax(LOST_NATS, LOST * (nothing - a->best));
}

/* Smooth one more loss, an outlier as 4 limits: alone it then makes a fifth of one.  How far it is
 * over its best, in limits. */
static double follow_loss(struct sy__alarms *a, double loss, double nothing)
{
    if (a->level_weight > 0)
        loss = fmin(loss, a->level / a->level_weight + 4 * limit_of(a, nothing));
    a->level = LEVEL * a->level + loss;
    a->level_weight = LEVEL * a->level_weight + 1;
    double now = a->level / a->level_weight;
    a->best = a->level_weight <= 1 || now < a->best ? now : a->best;
    double over = (now - a->best) / limit_of(a, nothing);
    a->lost = over > 1 ? a->lost + 1 : 0;
    return over;
}

/* What was before `step`, after a rewind or in another process: from the series. */
static void recall_losses(struct sy_trainer *t, int64_t step, double nothing)
{
    int64_t steps[256], n, after = -1;
    float values[256];
    while ((n = sy_metrics_rows_after(t->metrics, t->series[LOSS], after, 256, steps, values)) >
           0) {
        for (int64_t i = 0; i < n; i++)
            if (steps[i] < step) {
                follow_loss(&t->alarms, (double)values[i], nothing);
                sy__plateau_follow(&t->alarms.plateau, steps[i], (double)values[i]);
            }
        after = steps[n - 1];
    }
}

/* Healthy runs (390 small ones, see spike.h) came to 0.27 of the limit. */
static void judge_loss(struct sy_trainer *t, int64_t step)
{
    struct sy__alarms *a = &t->alarms;
    double nothing = log((double)sy_corpus_vocab(t->c.corpus)), loss = t->status.loss;
    if (!isfinite(loss))
        return;
    if (!(a->level_weight > 0))
        recall_losses(t, step, nothing);
    double over = follow_loss(a, loss, nothing);
    if (a->lost >= LOST_STEPS)
        sy__alarm(t, SY_ALARM_DIVERGE, step,
                  "the loss is %.4g; smoothed over some 20 steps it was %.4g at best", loss,
                  a->best);
    else if (over < 0.5)
        sy__alarm_end(t, SY_ALARM_DIVERGE);
    sy__judge_plateau(t, step);
}

/* ---- data and speed ---- */

static void judge_data(struct sy_trainer *t, int64_t step)
{
    struct sy_place p = t->place; /* of this step */
    p.windows += (uint64_t)t->c.plan->batch * (uint64_t)t->c.plan->accumulate;
    if (t->sampler.mode != SY_SAMPLE_RANDOM && sy_place_epochs(&t->sampler, &p) > EPOCHS)
        sy__alarm(t, SY_ALARM_DATA, step, "all text was seen %d times; more data would help",
                  EPOCHS);
}

static void judge_speed(struct sy_trainer *t, int64_t step, double seconds)
{
    struct sy__alarms *a = &t->alarms;
    double usual = a->usual_weight > 50 ? a->usual / a->usual_weight : (double)INFINITY;
    double now = t->pace.seconds / t->pace.weight;
    bool slow = now * SLOW > usual;
    a->slow = slow ? a->slow + seconds : 0;
    if (!slow) { /* what is slow does not become usual */
        a->usual = 0.995 * a->usual + seconds;
        a->usual_weight = 0.995 * a->usual_weight + 1;
        sy__alarm_end(t, SY_ALARM_SPEED);
    } else if (a->slow > SLOW_SECONDS) {
        sy__alarm(t, SY_ALARM_SPEED, step, "a step takes %.3g s, it was %.3g s", now, usual);
    }
}

static void judge_journal(struct sy_trainer *t, int64_t step)
{
    pthread_mutex_lock(&t->lock);
    int lost = t->entries_lost;
    pthread_mutex_unlock(&t->lock);
    if (lost)
        sy__alarm(t, SY_ALARM_RECORD, step,
                  "out of memory: %d of what was done to the run is not in its journal, "
                  "so it cannot be made again",
                  lost);
}

void sy__alarm_step(struct sy_trainer *t, int64_t step, double seconds, bool observed)
{
    static const enum sy_alarm spikes[] = {SY_ALARM_LOSS, SY_ALARM_NORM, SY_ALARM_NONFINITE};
    for (int i = 0; i < 3; i++)
        if (step - t->alarms.calm[spikes[i]] > CALM)
            sy__alarm_end(t, spikes[i]);
    if (t->window.n >= SY_WINDOW_LEAST)
        sy__alarm_end(t, SY_ALARM_RULE);
    judge_loss(t, step);
    if (observed) {
        judge_loads(t, step);
        sy__judge_gradient(t, step);
    }
    judge_data(t, step);
    judge_speed(t, step, seconds);
    judge_journal(t, step);
    if (t->hyper.v[SY_HYPER_auto_rewind] > 0)
        sy__alarm_end(t, SY_ALARM_REWIND);
}
