/* One step of a training run: micro-batches -> norms and check -> optimizer -> state updates ->
 * series.
 *
 *     left out by the journal? --yes--> it counts, nothing else
 *     a value not finite, or a spike? --yes--> skipped: it counts, the series have it, no update
 *                  |                      \--spikes, too many in a row--> learned from, the window
 *                  |                                                      begins anew
 *                  \--not finite, max_skips in a row--> the run fails, or is to be rewound
 *
 *  1. Runs on the trainer's thread, between two borders; nothing of Lua runs, and nothing is
 *     allocated but for what is kept of a step that stood out.
 *  2. A step that fails, is skipped or is given up has changed no parameter and nothing that the
 *     optimizer or the model keeps.
 *  3. What depends on the clock (time, tokens a second) never reaches a parameter.  Layer train. */
#include "base/clock.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "run/metrics.h"
#include "train/optimizers/optimizer.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum sy_series_kind kind;
} own_series[SY__SERIES] = { /* in the order of enum sy__series */
    {"loss", SY_SERIES_LOSS},
    {"val_loss", SY_SERIES_VAL_LOSS},
    {"lr", SY_SERIES_RATE},
    {"grad_norm", SY_SERIES_NORM},
    {"tok_s", SY_SERIES_SPEED},
    {"time.data", SY_SERIES_SECONDS},
    {"time.compute", SY_SERIES_SECONDS},
    {"time.optimizer", SY_SERIES_SECONDS},
    {"tokens", SY_SERIES_TOKENS},
    {"skipped", SY_SERIES_SKIPPED}};

/* ---- what is put out ---- */

/* Series and sums for what the plan observes. */
int sy__step_observe(struct sy_trainer *t, struct sy_err *err)
{
    const struct sy_program *p = t->c.plan->begin.program;
    int n = sy_program_observes(p);
    struct sy__observed *list = sy_calloc((size_t)n + 1, sizeof *list);
    int total = 0, widest = 0, rc = list ? 0 : -1;
    for (int i = 0; i < n && !rc; i++) {
        const char *name = sy_program_observe_name(p, i);
        list[i].width = (int)sy_tensor_count(sy_program_observe_at(p, i));
        list[i].first = total;
        list[i].what = *sy_program_observe_what(p, i);
        list[i].series = sy_metrics_declare(t->metrics, name, list[i].width, &list[i].what, err);
        list[i].disabled = -1;
        rc = list[i].series < 0 ? -1 : 0;
        total += list[i].width;
        widest = list[i].width > widest ? list[i].width : widest;
    }
    /* behind the sums a row of disabled experts */
    float *sums = rc ? NULL : sy_calloc((size_t)total + (size_t)widest + 1, sizeof *sums);
    if (!sums) {
        sy_free(list);
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    }
    sy_free(t->observed);
    sy_free(t->sums);
    t->observed = list;
    t->sums = sums;
    t->sum_count = total;
    return sy__health_make(t, err) || sy__alarm_loads(t, err) ? -1 : 0;
}

int sy__step_series(struct sy_trainer *t, struct sy_err *err)
{
    for (int i = 0; i < SY__SERIES; i++) {
        struct sy_series_what what = {.kind = own_series[i].kind};
        if ((t->series[i] = sy_metrics_declare(t->metrics, own_series[i].name, 1, &what, err)) < 0)
            return -1;
    }
    return sy__norms_make(t, err) || sy__parts_make(t, err) ? -1 : sy__step_observe(t, err);
}

void sy__put(struct sy_trainer *t, enum sy__series s, int64_t step, double v)
{
    float f = (float)v;
    sy_metrics_add(t->metrics, t->series[s], step, &f);
}

/* ---- micro-batches ---- */

struct doing { /* a step */
    int64_t step;
    double lr, loss, norm;
    double data, compute, optimizer; /* seconds */
    struct sy_tally tally;           /* of what it is shown */
    double scale;                    /* of the micro-batch's loss weights */
    enum sy_skip verdict; /* NONE: it is learned from */
    struct sy_err why;    /* NONFINITE: where */
    struct sy__going going;
};

static const char *leaf_name(void *ctx, const struct sy_tensor *leaf)
{
    return sy_params_name(ctx, leaf);
}

/* Says in d->why where; number: what the program ran with, so that it draws the same again. */
static void find_nonfinite(struct sy_trainer *t, struct sy_phase *p, struct doing *d,
                           uint64_t number, double loss)
{
    char where[256];
    uint64_t seed = (uint64_t)t->hyper.v[SY_HYPER_seed];
    if (!sy_program_find_nonfinite(p->program, seed, number, leaf_name, t->c.params, where,
                                   sizeof where))
        snprintf(where, sizeof where, "the loss");
    d->verdict = SY_SKIP_NONFINITE;
    d->loss = d->norm = (double)NAN;
    sy_err_set(&d->why, SY_E_NUMERIC, "loss is %s: first value that is not finite: %s",
               isnan(loss) ? "nan" : loss > 0 ? "inf" : "-inf", where);
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

/* What random operations are keyed by beside the seed: no two micro-batches of a run have the same,
 * however often accumulate is changed. */
static uint64_t draws_of(int64_t step, int64_t micro)
{
    return (uint64_t)micro << 40 | (uint64_t)step;
}

/* Draws micro-batch a of the step; returns the scale of its weights.  Loss weights average 1 over
 * the whole step, so that its micro-batches add up to one large batch. */
static double draw_batch(struct sy_trainer *t, const struct sy_phase *p, const struct doing *d,
                         int64_t a)
{
    const struct sy_plan *plan = t->c.plan;
    struct sy_batch batch = sy_phase_batch(p);
    if (batch.at[SY_FIELD_WEIGHTS]) {
        struct sy_tally part =
            sy_sampler_tally(&t->sampler, &t->place, a * plan->batch, plan->batch);
        batch.scale = sy_tally_scale(&part, &d->tally, plan->accumulate);
    }
    sy_sampler_batch(&t->sampler, &t->place, a * plan->batch, &batch);
    return batch.scale;
}

/* A phase over micro-batch a of the step, from 0.  0, -1 or SY__GIVEN_UP. */
static int run_phase(struct sy_trainer *t, struct doing *d, struct sy_phase *p, int64_t a,
                     struct sy_err *err)
{
    uint64_t seed = (uint64_t)t->hyper.v[SY_HYPER_seed];
    double start = sy_now();
    d->scale = draw_batch(t, p, d, a);
    double sampled = sy_now();
    d->going.at = a;
    sy_phase_number(p, d->step, a);
    sy_phase_hyper(p, &t->hyper);
    int rc = sy_program_run_until(p->program, seed, draws_of(d->step, a), sy__poll, &d->going, err);
    if (rc)
        return rc > 0 ? SY__GIVEN_UP : sy_err_prefix(err, "step %lld", (long long)d->step);
    d->data += sampled - start;
    d->compute += sy_now() - sampled;
    return 0;
}

/* Does something go by what all micro-batches come to? */
static bool is_counted(const struct sy_plan *plan)
{
    bool any = plan->nweights == 0;
    for (int i = 0; i < plan->nweights; i++)
        any |= sy_tensor_get(plan->weights[i], 0) != 0;
    return plan->count.program && any;
}

/* Forward and backward over all micro-batches; gradients are then sums over them.  0, -1 or
 * SY__GIVEN_UP. */
static int compute_gradients(struct sy_trainer *t, struct doing *d, struct sy_err *err)
{
    struct sy_plan *plan = t->c.plan;
    int rc = 0;
    memset(t->sums, 0, (size_t)t->sum_count * sizeof *t->sums);
    sy__parts_begin(t);
    d->tally = sy_sampler_tally(&t->sampler, &t->place, 0, plan->batch * plan->accumulate);
    for (int64_t a = 0; is_counted(plan) && a < plan->accumulate && !rc; a++)
        rc = run_phase(t, d, &plan->count, a, err);
    if (!rc && sy__health_due(t, d->step) && !(rc = run_phase(t, d, &plan->health, 0, err)))
        sy__health_take(t, d->step);
    for (int64_t a = 0; a < plan->accumulate; a++) {
        struct sy_phase *p = a ? &plan->add : &plan->begin;
        if (rc || (rc = run_phase(t, d, p, a, err)))
            return rc;
        double l = sy_tensor_get(p->loss, 0);
        if (!isfinite(l)) {
            find_nonfinite(t, p, d, draws_of(d->step, a), l);
            return 0;
        }
        d->loss += l / (double)plan->accumulate;
        add_observed(t, p->program);
        sy__parts_add(t, p, d->scale);
    }
    for (int i = 0; i < t->sum_count; i++)
        t->sums[i] /= (float)plan->accumulate;
    return 0;
}

static void measure_gradients(struct sy_trainer *t, struct doing *d)
{
    double scale = 1.0 / (double)t->c.plan->accumulate;
    int bad;
    d->norm = sy_params_grad_norm(t->c.params, scale, &bad);
    sy__norms_take(t, scale);
    if (bad < 0)
        return;
    d->verdict = SY_SKIP_NONFINITE;
    d->norm = (double)NAN;
    sy_err_set(&d->why, SY_E_NUMERIC, "gradient of %s is not finite", t->c.params->list[bad].name);
}

/* ---- the spike rule ---- */

/* What is said of a step that stood out, without its number and its subject: an alarm's name says
 * that. */
static void describe(const struct doing *d, const struct sy_spike *s, char *text, size_t n)
{
    if (d->verdict == SY_SKIP_NONFINITE)
        snprintf(text, n, "%s", d->why.msg);
    else if (d->verdict == SY_SKIP_LOSS)
        snprintf(text, n, "%.4g is %.1f deviations over %.4g, which was usual", s->loss,
                 s->loss_sigma, s->loss_mean);
    else
        snprintf(text, n, "%.4g is %.1f deviations over %.4g, which was usual", s->grad_norm,
                 s->norm_sigma, s->norm_mean);
}

static const char *subject(const struct doing *d)
{
    return d->verdict == SY_SKIP_LOSS   ? "loss "
           : d->verdict == SY_SKIP_NORM ? "gradient norm "
                                        : "";
}

/* Also where nothing is to be skipped: then it is news by the default. */
static void judge_step(const struct sy_trainer *t, struct doing *d, struct sy_spike *s)
{
    const struct sy_window *w = &t->window;
    const double *h = t->hyper.v;
    int rules = t->hyper.rules;
    double preset = rules < 2 ? 6 : sy_hyper_spec(SY_HYPER_skip_sigma)->preset;
    double limit = h[SY_HYPER_skip_sigma] > 0 ? h[SY_HYPER_skip_sigma] : preset;
    struct sy_spike_floor floor = sy_spike_floor(rules, limit, h[SY_HYPER_clip]);
    if (rules >= 2 && d->verdict == SY_SKIP_NONE && !sy_window_suspects(w, d->loss, d->norm, floor))
        return;
    struct sy_sigma loss = sy_window_loss(w, d->loss, rules),
                    norm = sy_window_norm(w, d->norm, rules);
    if (d->verdict == SY_SKIP_NONE && loss.above > limit && d->loss > loss.mean + floor.nats)
        d->verdict = SY_SKIP_LOSS;
    else if (d->verdict == SY_SKIP_NONE && norm.above > limit && d->norm > floor.norm)
        d->verdict = SY_SKIP_NORM;
    *s = (struct sy_spike){.step = d->step,
                           .reason = d->verdict,
                           .loss = d->loss,
                           .grad_norm = d->norm,
                           .loss_mean = loss.mean,
                           .loss_deviation = loss.deviation,
                           .loss_sigma = loss.above,
                           .norm_mean = exp(norm.mean),
                           .norm_factor = exp(norm.deviation),
                           .norm_sigma = norm.above};
}

static bool skips(struct sy_trainer *t, const struct doing *d)
{
    pthread_mutex_lock(&t->lock); /* whoever writes into the journal sets it */
    bool quiet = d->step <= t->window.quiet_until;
    pthread_mutex_unlock(&t->lock);
    bool on = t->hyper.v[SY_HYPER_skip_sigma] > 0;
    if (d->verdict == SY_SKIP_NONFINITE)
        return on || t->hyper.rules >= 2;
    return on && !quiet;
}

static void raise_alarm(struct sy_trainer *t, const struct doing *d, const char *text, bool skipped)
{
    static const enum sy_alarm alarms[] = {[SY_SKIP_LOSS] = SY_ALARM_LOSS,
                                           [SY_SKIP_NORM] = SY_ALARM_NORM,
                                           [SY_SKIP_NONFINITE] = SY_ALARM_NONFINITE};
    sy__alarm(t, alarms[d->verdict], d->step, "%s%s", text, skipped ? "; the step is skipped" : "");
}

/* In a row too many, or nothing may be skipped: no step.  -1, or 1 when it is to be rewound. */
static int give_up(struct sy_trainer *t, const struct doing *d, const char *text,
                   struct sy_err *err)
{
    int64_t row = t->window.in_a_row + 1;
    bool rewinds = t->hyper.v[SY_HYPER_auto_rewind] > 0 &&
                   (t->hyper.rules >= 2 || t->hyper.v[SY_HYPER_skip_sigma] > 0);
    char count[48] = "";
    if (row > 1)
        snprintf(count, sizeof count, "; %lld steps in a row", (long long)row);
    sy_err_set(err, SY_E_NUMERIC, "step %lld: %s%s; parameters are those of step %lld%s",
               (long long)d->step, subject(d), text, (long long)(d->step - row), count);
    if (!rewinds)
        return -1;
    pthread_mutex_lock(&t->lock);
    t->rewind.first = d->step - row + 1;
    t->rewind.last = d->step;
    pthread_mutex_unlock(&t->lock);
    return 1;
}

/* ---- update ---- */

/* Steps that were learned from, this one included: what the optimizer keeps has seen no others, so
 * its bias correction is that of so many. */
static int64_t updates_of(const struct sy_trainer *t, const struct doing *d)
{
    return t->hyper.rules < 2 ? d->step : d->step - t->status.skipped;
}

static int update_params(struct sy_trainer *t, struct doing *d)
{
    const struct sy_plan *plan = t->c.plan;
    double scale = 1.0 / (double)plan->accumulate, clip = t->hyper.v[SY_HYPER_clip];
    if (clip > 0 && d->norm > clip)
        scale *= clip / d->norm;
    sy__saver_copied(t);
    struct sy_update u = {.hyper = &t->hyper, .lr = d->lr, .grad_scale = scale,
                          .t = updates_of(t, d)};
    t->c.params->optimizer->step(t->c.params, &u);
    return sy_program_update_states(plan->accumulate > 1 ? plan->add.program
                                                         : plan->begin.program);
}

/* ---- the record ---- */

/* Largest load over the mean, dead and disabled experts, from the observed loads. */
static void judge_loads(const struct sy_trainer *t, struct sy_status *s)
{
    int n = sy_program_observes(t->c.plan->begin.program);
    s->load_max_mean = (double)NAN;
    s->dead = s->disabled = 0;
    for (int i = 0; i < n; i++) {
        const struct sy__observed *o = &t->observed[i];
        for (int j = 0; j < o->width && o->what.kind == SY_SERIES_LOAD; j++) {
            double load = (double)t->sums[o->first + j];
            bool disabled = !sy__expert_enabled(t, i, j);
            s->dead += sy_expert_dead(load, 0, disabled);
            s->disabled += disabled;
            if (!(load <= s->load_max_mean))
                s->load_max_mean = load;
        }
    }
}

/* Nothing is faster than the peak.  Steps that beat it get rarer, so this costs nothing; without
 * the lock. */
static void check_peak(struct sy_trainer *t, double tokens, double seconds)
{
    double rate = tokens * t->c.flops_per_token / seconds;
    if (t->c.peak > 0 && isfinite(rate) && rate > t->c.peak)
        t->c.peak = fmax(sy_cpu_peak(t->c.bf16), rate);
}

/* A step in which the process was stopped (Ctrl-Z) tells nothing of the speed; a second one in a
 * row does. */
static bool was_stopped(struct sy_trainer *t, double seconds)
{
    double usual = t->pace.weight > 0 ? t->pace.seconds / t->pace.weight : seconds;
    t->pace.long_step = !t->pace.long_step && seconds > 0.2 && seconds > 10 * usual;
    return t->pace.long_step;
}

static void note_speed(struct sy_trainer *t, struct sy_status *s, double tokens, double seconds,
                       bool trained)
{
    if (was_stopped(t, seconds))
        seconds = t->pace.seconds / t->pace.weight;
    t->pace.seconds = 0.9 * t->pace.seconds + seconds;
    t->pace.weight = 0.9 * t->pace.weight + 1;
    double each = t->pace.seconds / t->pace.weight;
    s->tok_s = tokens / each;
    s->tokens += trained ? (int64_t)tokens : 0;
    double flops = t->c.flops_per_token;
    s->mfu = t->c.peak > 0 && flops > 0 ? s->tok_s * flops / t->c.peak : (double)NAN;
    s->eta = (double)(s->steps - s->step) * each;
}

static void put_times(struct sy_trainer *t, const struct doing *d, double tokens, double tok_s)
{
    sy__put(t, TOK_S, d->step, tok_s);
    sy__put(t, TIME_DATA, d->step, d->data);
    sy__put(t, TIME_COMPUTE, d->step, d->compute);
    sy__put(t, TIME_OPTIMIZER, d->step, d->optimizer);
    sy__put(t, TOKENS, d->step, tokens);
}

/* The series disabled.L beside load.L, made when it has its first row. */
static int disabled_series(struct sy_trainer *t, int i)
{
    struct sy__observed *o = &t->observed[i];
    struct sy_series_what what = o->what;
    const char *dot = strchr(sy_metrics_name(t->metrics, o->series), '.');
    char name[96];
    snprintf(name, sizeof name, "disabled%s", dot ? dot : "");
    what.kind = SY_SERIES_DISABLED;
    if (o->disabled < 0)
        o->disabled = sy_metrics_declare(t->metrics, name, o->width, &what, NULL);
    return o->disabled;
}

/* Which experts of the i-th load someone disabled, where there are any; before the load's own row,
 * so that who reads that finds this. */
static void put_disabled(struct sy_trainer *t, int i, int64_t step)
{
    const struct sy__observed *o = &t->observed[i];
    int e = 0;
    while (e < o->width && sy__expert_enabled(t, i, e))
        e++;
    if (e == o->width)
        return;
    float *off = t->sums + t->sum_count;
    for (e = 0; e < o->width; e++)
        off[e] = sy__expert_enabled(t, i, e) ? 0 : 1;
    if (disabled_series(t, i) >= 0)
        sy_metrics_add(t->metrics, o->disabled, step, off);
}

/* Series hold finite values only; where they have none "skipped" says why. */
static void put_values(struct sy_trainer *t, const struct doing *d, bool skipped)
{
    int n = sy_program_observes(t->c.plan->begin.program);
    if (isfinite(d->loss)) {
        sy__put(t, LOSS, d->step, d->loss);
        sy__parts_put(t, d->step, false);
    }
    sy__put(t, LR, d->step, d->lr);
    if (skipped)
        sy__put(t, SKIPPED, d->step, (double)d->verdict);
    if (d->verdict == SY_SKIP_NONFINITE)
        return;
    sy__put(t, GRAD_NORM, d->step, d->norm);
    bool rare = sy__rare_step(d->step, d->verdict != SY_SKIP_NONE);
    sy__norms_put(t, d->step, rare);
    sy__health_put(t, d->step);
    for (int i = 0; i < n; i++) {
        if (t->observed[i].what.kind == SY_SERIES_LOAD)
            put_disabled(t, i, d->step);
        if (rare || !sy_series_row(t->observed[i].what.kind)->rare)
            sy_metrics_add(t->metrics, t->observed[i].series, d->step,
                           t->sums + t->observed[i].first);
    }
}

static void record_step(struct sy_trainer *t, const struct doing *d, bool skipped)
{
    double seconds = d->data + d->compute + d->optimizer, shown = (double)d->tally.tokens;
    check_peak(t, shown, seconds);
    pthread_mutex_lock(&t->lock);
    struct sy_status *s = &t->status;
    s->step = d->step;
    s->loss = d->loss;
    s->lr = d->lr;
    s->grad_norm = d->norm;
    s->skipped += skipped;
    note_speed(t, s, shown, seconds, !skipped);
    if (d->verdict != SY_SKIP_NONFINITE)
        judge_loads(t, s);
    double tokens = (double)s->tokens, tok_s = s->tok_s;
    sy__tell_change(t);
    pthread_mutex_unlock(&t->lock);
    put_values(t, d, skipped);
    put_times(t, d, tokens, tok_s);
    sy__alarm_step(t, d->step, seconds, d->verdict != SY_SKIP_NONFINITE);
}

/* After record: the entry belongs to the step, and a rewind to the step before takes it away. */
static void journal_skipped(struct sy_trainer *t, const struct doing *d, const char *text)
{
    struct sy_journal_entry e = {.kind = SY_ENTRY_SKIPPED, .expert = -1, .value = (double)d->step};
    char line[sizeof d->why.msg + 48];
    int head = snprintf(line, sizeof line, "step %lld skipped: ", (long long)d->step);
    snprintf(line + head, sizeof line - (size_t)head, "%s%s", subject(d), text);
    snprintf(e.text, sizeof e.text, "%.*s", (int)sizeof e.text - 1, line + head);
    sy_trainer_record(t, &e);
    sy__tell(t, SY_EVENT_SKIP, line);
}

/* ---- the step ---- */

static void leave_out(struct sy_trainer *t, int64_t step)
{
    pthread_mutex_lock(&t->lock);
    t->status.step = step;
    t->status.lr = sy_hyper_lr(&t->hyper, step);
    t->status.skipped++;
    sy__tell_change(t);
    pthread_mutex_unlock(&t->lock);
    sy__put(t, SKIPPED, step, SY_SKIP_LISTED);
}

static int accept_step(struct sy_trainer *t, struct doing *d)
{
    double start = sy_now();
    if (update_params(t, d))
        return -1;
    d->optimizer += sy_now() - start;
    t->window.in_a_row = t->window.spikes = 0;
    sy_window_add(&t->window, d->loss, d->norm);
    record_step(t, d, false);
    return 0;
}

/* So many spikes in a row are not the data's fault: the parameters have moved, and skipping leaves
 * them. */
static bool too_many_spikes(const struct sy_trainer *t, const struct doing *d)
{
    return t->hyper.rules >= 2 && d->verdict != SY_SKIP_NONFINITE && t->window.spikes >= SY_SPIKES;
}

static int begin_anew(struct sy_trainer *t, struct doing *d)
{
    sy__alarm(t, SY_ALARM_RULE, d->step,
              "%s%.4g after %d skipped steps in a row: it is learned from, and what is usual "
              "is measured anew",
              subject(d), d->verdict == SY_SKIP_LOSS ? d->loss : d->norm, SY_SPIKES);
    t->window.n = 0;
    return accept_step(t, d);
}

/* Would skipping this step be one too often?  By the rules 1 spikes count as well. */
static bool ends_the_run(const struct sy_trainer *t, const struct doing *d, bool skipped)
{
    if (d->verdict != SY_SKIP_NONFINITE && (t->hyper.rules >= 2 || !skipped))
        return false;
    return !skipped || (double)(t->window.in_a_row + 1) >= t->hyper.v[SY_HYPER_max_skips];
}

static void count_skipped(struct sy_window *w, const struct doing *d, int rules)
{
    bool spike = d->verdict != SY_SKIP_NONFINITE;
    w->spikes += spike;
    w->in_a_row = spike && rules >= 2 ? 0 : w->in_a_row + 1;
}

/* A step that stood out: 0, or what sy__step returns. */
static int stands_out(struct sy_trainer *t, struct doing *d, struct sy_spike *s, struct sy_err *err)
{
    char text[sizeof d->why.msg];
    bool anew = skips(t, d) && too_many_spikes(t, d), skipped = skips(t, d) && !anew;
    describe(d, s, text, sizeof text);
    s->skipped = skipped || d->verdict == SY_SKIP_NONFINITE;
    bool ends = ends_the_run(t, d, skipped);
    if (!sy__spike_keep(t, s, &d->going))
        return SY__GIVEN_UP;
    raise_alarm(t, d, text, skipped && !ends);
    if (ends)
        return give_up(t, d, text, err);
    if (anew)
        return begin_anew(t, d);
    if (!skipped)
        return accept_step(t, d);
    count_skipped(&t->window, d, t->hyper.rules);
    record_step(t, d, true);
    journal_skipped(t, d, text);
    return 0;
}

static int do_step(struct sy_trainer *t, struct sy_err *err)
{
    struct doing d = {.step = t->status.step + 1, .why = SY_ERR_INIT};
    struct sy_spike s;
    if (sy__skip_listed(t, d.step)) {
        leave_out(t, d.step);
        return 0;
    }
    d.lr = sy_hyper_lr(&t->hyper, d.step);
    d.going = (struct sy__going){.t = t, .what = "step", .unit = "micro-batch", .step = d.step,
                                 .of = t->c.plan->accumulate, .begun = sy_now()};
    int rc = compute_gradients(t, &d, err);
    if (!rc) {
        double start = sy_now();
        if (d.verdict == SY_SKIP_NONE)
            measure_gradients(t, &d);
        d.optimizer = sy_now() - start;
        judge_step(t, &d, &s);
        rc = d.verdict == SY_SKIP_NONE ? accept_step(t, &d) : stands_out(t, &d, &s, err);
    }
    if (rc == SY__GIVEN_UP)
        sy__given_up(&d.going);
    return rc;
}

int sy__step(struct sy_trainer *t, struct sy_err *err)
{
    int rc = do_step(t, err);
    if (!rc)
        sy__order_done(t);
    return rc;
}
