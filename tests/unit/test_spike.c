/* The spike rule on a small run: what is skipped, what is not, what is kept, and that it resumes
 * and repeats to the same bits.  A spike is made behind the trainer's back: on_step writes into the
 * mask, an input. */
#include "unit/tap.h"
#include "unit/tiny_run.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "run/metrics.h"
#include "train/checkpoint.h"
#include "train/params.h"
#include "train/spike.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 16
#define STEPS 120

struct plot { /* what happens to a run */
    struct sy_trainer *t;
    int64_t bad[8]; /* steps */
    int nbad;
    float value; /* in the mask then */
    int alarms, skips, rewinds;
    char alarm[400];
};

static void write_mask(struct sy_trainer *t, float value)
{
    struct sy_plan *plan = sy_trainer_plan(t);
    struct sy_graph *graphs[] = {plan->begin.graph, plan->add.graph, plan->eval.graph};
    for (int i = 0; i < 3; i++) {
        struct sy_tensor *mask = graphs[i] ? sy_graph_find_input(graphs[i], "mask") : NULL;
        for (int k = 0; mask && k < WIDTH; k++)
            sy_tensor_set(mask, k, k % 2 ? (double)value : -(double)value);
    }
}

static void on_step(void *ctx, const struct sy_status *s, bool evaluated)
{
    struct plot *p = ctx;
    float value = 0;
    (void)evaluated;
    if (s->state != SY_RUN_RUNNING) /* the test may be at it already */
        return;
    for (int i = 0; i < p->nbad; i++)
        value = s->step + 1 == p->bad[i] ? p->value : value;
    if (p->t)
        write_mask(p->t, value);
}

static void on_event(void *ctx, const struct sy_event *e)
{
    struct plot *p = ctx;
    p->alarms += e->kind == SY_EVENT_ALARM;
    p->skips += e->kind == SY_EVENT_SKIP;
    p->rewinds += e->kind == SY_EVENT_REWIND;
    if (e->kind == SY_EVENT_ALARM)
        sy_event_line(e, p->alarm, sizeof p->alarm);
}

static struct sy_trainer *make(struct plot *p, int64_t accumulate)
{
    struct sy_err err = SY_ERR_INIT;
    struct tiny_options o = {.steps = STEPS, .accumulate = accumulate, .seed = 1, .width = WIDTH,
                             .on_event = on_event, .on_step = on_step, .ctx = p};
    p->t = tiny_trainer(&o, &err);
    if (!p->t) {
        tap_ok(0, "a trainer: %s", err.msg);
        exit(1);
    }
    sy_trainer_set(p->t, SY_HYPER_eval_every, 0, &err);
    return p->t;
}

static struct sy_status status(struct sy_trainer *t)
{
    struct sy_status s;
    sy_trainer_status(t, &s);
    return s;
}

static int entries(struct sy_trainer *t, enum sy_entry_kind kind)
{
    struct sy_journal_entry e;
    int n = 0;
    for (int i = 0; sy_trainer_journal(t, i, &e, 1) == 1; i++)
        n += e.kind == kind;
    return n;
}

static char *folder(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/sy-spike-XXXXXX");
    return mkdtemp(path);
}

static void remove_folder(const char *path)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command))
        tap_note("%s stays", path);
}

/* ---- statistics ---- */

static void test_window(void)
{
    struct sy_window w = {.n = 0};
    for (int i = 0; i < SY_WINDOW_LEAST - 1; i++)
        sy_window_add(&w, 2 + 0.1 * (i % 2), 1);
    tap_ok(isnan(sy_window_loss(&w, 9, SY_RULES).above) &&
               isnan(sy_window_norm(&w, 9, SY_RULES).above),
           "few steps say nothing");
    sy_window_add(&w, 2.1, 1);
    struct sy_sigma s = sy_window_loss(&w, 2.55, 1);
    tap_ok(fabs(s.mean - 2.05) < 1e-12 && fabs(s.deviation - 0.05) < 1e-12 &&
               fabs(s.above - 10) < 1e-9,
           "rules 1: mean %.3f, deviation %.3f, %.3f above", s.mean, s.deviation, s.above);
    s = sy_window_loss(&w, 2.55, SY_RULES);
    tap_ok(fabs(s.mean - 2.05) < 1e-12 && fabs(s.deviation - 0.1 / 0.954) < 1e-12 &&
               fabs(s.above - 4.77) < 1e-9,
           "usual %.3f, deviation %.3f, %.3f above", s.mean, s.deviation, s.above);
    s = sy_window_norm(&w, 1.05 * 1.05, SY_RULES);
    tap_ok(fabs(s.above - 2) < 1e-9, "a norm that stands still: factors of 1.05 (%.3f)", s.above);
    sy_window_add(&w, (double)NAN, 1);
    sy_window_add(&w, 2, (double)INFINITY);
    tap_is_int(w.n, SY_WINDOW_LEAST, "nothing enters that is not finite");
    for (int i = 0; i < 2 * SY_WINDOW; i++)
        sy_window_add(&w, i, 1);
    tap_ok(w.n == SY_WINDOW && w.loss[0] == SY_WINDOW && w.loss[SY_WINDOW - 1] == 2 * SY_WINDOW - 1,
           "the last %d, the oldest first", w.n);
}

/* A loss that falls from 5 to 1 with some noise, and an outlier that was accepted. */
static void test_hidden(void)
{
    struct sy_window w = {.n = 0};
    for (int i = 0; i < 100; i++)
        sy_window_add(&w, i == 80 ? 5 : 1 + 4 * exp(-i / 30.0) + 0.03 * (i % 3), 1);
    struct sy_sigma was = sy_window_loss(&w, 4, 1), s = sy_window_loss(&w, 4, SY_RULES);
    tap_ok(was.above < 6 && s.above > 30,
           "neither a falling loss nor an accepted outlier hides one: %.0f deviations, not %.1f",
           s.above, was.above);
    struct sy_spike_floor floor = sy_spike_floor(SY_RULES, 30, 1);
    tap_ok(floor.nats == 1.5 && floor.norm == 1000 &&
               sy_spike_floor(SY_RULES, 30, 0).norm == 1000 &&
               sy_spike_floor(SY_RULES, 30, 0.5).norm == 500,
           "the floors");
    tap_ok(sy_window_suspects(&w, 4, 1, floor) && !sy_window_suspects(&w, 2, 1, floor) &&
               sy_window_suspects(&w, 1, 1001, floor) && !sy_window_suspects(&w, 1, 999, floor),
           "who is suspected");
    memset(&w, 0, sizeof w);
    for (int i = 0; i < SY_WINDOW; i++)
        sy_window_add(&w, 4e-10 * (1 + i % 2), 1e-6);
    tap_ok(
        sy_window_loss(&w, 2e-8, SY_RULES).above > 30 &&
            !sy_window_suspects(&w, 2e-8, 1e-3, floor) && !sy_window_suspects(&w, 0.6, 2.2, floor),
        "what is known by heart: 2e-8 over 4e-10 is nothing, nor is 0.6 nats, nor a norm of 2.2");
}

/* ---- told once ---- */

static void test_told(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_alarm_state a;
    struct plot p = {.bad = {90, 200, 1200}, .nbad = 3, .value = 60};
    struct sy_trainer *t = make(&p, 1);
    sy_trainer_set(t, SY_HYPER_steps, 1210, &err);
    tiny_run_to(t, 1);
    tiny_run_to(t, 150);
    sy_trainer_alarm(t, SY_ALARM_LOSS, &a);
    tap_ok(p.alarms == 1 && !a.on, "told, and over: %s %s", p.alarm, err.msg);
    tiny_run_to(t, 200);
    sy_trainer_alarm(t, SY_ALARM_LOSS, &a);
    tap_ok(p.alarms == 1 && a.on && a.step == 200 && status(t).skipped == 2,
           "again within 1,000 steps: on, without a word");
    tiny_run_to(t, 1200);
    tap_ok(!strncmp(p.alarm, "alarm: step 1200: loss spike: ", 30), "told after them: %s", p.alarm);
    sy_trainer_free(t);
}

/* ---- one spike ---- */

static void test_skip(int64_t accumulate)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.bad = {90}, .nbad = 1, .value = 60}, calm = {.nbad = 0};
    struct sy_trainer *t = make(&p, accumulate), *other = make(&calm, accumulate);
    tiny_run_to(t, 89);
    uint64_t before = tiny_hash(t);
    int64_t tokens = status(t).tokens;
    tiny_run_to(t, 90);
    struct sy_status s = status(t);
    tap_ok(tiny_hash(t) == before && s.step == 90 && s.skipped == 1 && s.tokens == tokens,
           "%lld micro-batches: skipped, nothing has changed (loss %.3f)", (long long)accumulate,
           s.loss);
    tap_ok(s.loss > 5 && p.skips == 1 && p.alarms == 1 && entries(t, SY_ENTRY_SKIPPED) == 1,
           "told once, and in the journal: %s", p.alarm);
    tap_ok(!strncmp(p.alarm, "alarm: step 90: loss spike: ", 28) &&
               strchr("0123456789", p.alarm[28]),
           "the alarm has the step, its name, then the figures");
    tap_ok(s.alarms == 1u << SY_ALARM_LOSS, "and is on");
    float mark;
    tap_ok(sy_metrics_last(sy_trainer_metrics(t), sy_metrics_find(sy_trainer_metrics(t), "skipped"),
                           &mark) == 90 &&
               mark == 1,
           "the series has it");
    /* a run whose journal leaves the step out comes to the same */
    struct sy_journal_entry e = {.kind = SY_ENTRY_SKIP, .value = 90, .expert = -1};
    tiny_run_to(other, 40);
    tap_ok(!sy_trainer_apply(other, &e, &err), "a step is left out %s", err.msg);
    tiny_run_to(t, STEPS);
    tiny_run_to(other, STEPS);
    tap_ok(tiny_hash(t) == tiny_hash(other) && status(other).skipped == 1 && tiny_hash(t) != before,
           "the journal leaves it out: the same bits");
    tap_ok(!calm.alarms && !calm.skips && status(t).state == SY_RUN_DONE, "and no alarm");
    e.value = 0.5;
    tap_ok(sy_trainer_apply(other, &e, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    sy_trainer_free(t);
    sy_trainer_free(other);
}

static void test_detail(void)
{
    struct plot p = {.bad = {90}, .nbad = 1, .value = 60};
    struct sy_spike s[4];
    struct sy_stretch rows[8];
    struct sy_draw draw;
    float losses[64], states[64];
    struct sy_trainer *t = make(&p, 2);
    tiny_run_to(t, 89);
    struct sy_tensor *state = sy_trainer_params(t)->states[0];
    float was = (float)sy_tensor_get(state, 3);
    tiny_run_to(t, STEPS);
    int n = sy_trainer_spikes(t, s, 4);
    tap_ok(n == 1 && s[0].step == 90 && s[0].skipped && s[0].loss_sigma > 6 &&
               s[0].loss_mean < s[0].loss,
           "kept: %.1f deviations over %.3f", s[0].loss_sigma, s[0].loss_mean);
    tap_is_int(s[0].rows, 8, "two micro-batches of four");
    bool known = sy_trainer_spike_detail(t, 90, losses, states);
    double mean = 0;
    for (int i = 0; i < 8; i++)
        mean += (double)losses[i] / 8;
    tap_ok(known && fabs(mean - s[0].loss) < 0.3 * s[0].loss,
           "sequences: %.3f on average, %.3f with dropout", mean, s[0].loss);
    tap_ok(s[0].values == sy_tensor_count(state) && states[3] == was, "states as they were");
    tap_ok(!sy_trainer_spike_detail(t, 89, losses, states), "not of other steps");
    tap_ok(!sy_trainer_draw(t, 90, &draw) && draw.rows == 8 && draw.sampler.batch == 4 &&
               sy_sampler_stretches(&draw.sampler, &draw.place, 0, 8, rows, 8) == 8 &&
               rows[5].row == 5 && rows[5].tokens == 8 && !rows[5].pair,
           "its sequences");
    struct sy_sampler sampler = {
        .corpus = sy_trainer_corpus(t), .batch = 4, .context = 8, .seed = 1};
    struct sy_place place = {.windows = 89 * 8};
    tap_ok(rows[5].first == sy_sampler_start(&sampler, &place, 5), "are those of the sampler");
    sy_trainer_free(t);
}

/* After an intervention a jump is news, and learned from. */
static void test_quiet(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.bad = {90, 118}, .nbad = 2, .value = 60};
    struct sy_trainer *t = make(&p, 1);
    tiny_run_to(t, 80);
    sy_trainer_set(t, SY_HYPER_lr, 0.02, &err);
    tiny_run_to(t, 89);
    uint64_t before = tiny_hash(t);
    tiny_run_to(t, 90);
    tap_ok(!status(t).skipped && p.alarms == 1 && !p.skips && tiny_hash(t) != before,
           "10 steps after a change: not skipped, but told: %s", p.alarm);
    sy_trainer_free(t);
    p = (struct plot){.bad = {90}, .nbad = 1, .value = 60};
    t = make(&p, 1);
    tiny_run_to(t, 80);
    sy_trainer_set(t, SY_HYPER_eval_batches, 3, &err); /* changes nothing of what is learned */
    sy_trainer_note(t, SY_ENTRY_NOTE, "look");
    tiny_run_to(t, 90);
    tap_is_int(status(t).skipped, 1, "a note is no change");
    sy_trainer_free(t);
}

/* ---- not finite ---- */

static void test_nonfinite(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.bad = {5, 6, 7, 8}, .nbad = 4, .value = NAN};
    struct sy_trainer *t = make(&p, 1);
    tiny_run_to(t, 4);
    uint64_t before = tiny_hash(t);
    tiny_run_to(t, 8);
    tap_ok(tiny_hash(t) == before && status(t).skipped == 4 && p.skips == 4 && p.alarms == 1,
           "four in a row are skipped, in the first steps, too; told once: %s", p.alarm);
    tiny_run_to(t, 9);
    tap_ok(tiny_hash(t) != before && isfinite(status(t).loss),
           "and the fifth is learned from: %.3f", status(t).loss);
    struct sy_metrics *m = sy_trainer_metrics(t);
    tap_is_int(sy_metrics_rows(m, sy_metrics_find(m, "loss")), 5,
               "the series of the loss has what is finite");
    sy_trainer_free(t);

    p = (struct plot){.bad = {5, 6, 7, 8, 9}, .nbad = 5, .value = NAN};
    t = make(&p, 2);
    tiny_run_to(t, STEPS);
    struct sy_status s = status(t);
    tap_ok(s.state == SY_RUN_FAILED && s.step == 8 && tiny_hash(t) != 0,
           "five in a row end the run: %s", s.error.msg);
    tap_ok(strstr(s.error.msg, "step 9: ") &&
               strstr(s.error.msg, "parameters are those of step 4") &&
               strstr(s.error.msg, "5 steps in a row"),
           "it says from where the parameters are");
    sy_trainer_free(t);

    p = (struct plot){.bad = {5}, .nbad = 1, .value = NAN};
    t = make(&p, 1);
    sy_trainer_set(t, SY_HYPER_max_skips, 1, &err);
    tiny_run_to(t, STEPS);
    s = status(t);
    tap_ok(s.state == SY_RUN_FAILED && s.step == 4 &&
               strstr(s.error.msg, "parameters are those of step 4"),
           "max_skips 1: the first ends the run: %s", s.error.msg);
    sy_trainer_free(t);
    p = (struct plot){.bad = {5, 6}, .nbad = 2, .value = NAN};
    t = make(&p, 1);
    sy_trainer_set(t, SY_HYPER_skip_sigma, 0, &err);
    tiny_run_to(t, STEPS);
    s = status(t);
    tap_ok(s.state == SY_RUN_DONE && s.skipped == 2,
           "skip_sigma 0: what is not finite is skipped all the same");
    sy_trainer_free(t);
}

/* ---- spikes that stay ---- */

/* The mask is written from some step on and never taken away. */
static void on_step_moved(void *ctx, const struct sy_status *s, bool evaluated)
{
    struct plot *p = ctx;
    (void)evaluated;
    if (s->state == SY_RUN_RUNNING && p->t && s->step + 1 >= p->bad[0])
        write_mask(p->t, p->value);
}

static struct sy_trainer *make_moved(struct plot *p)
{
    struct sy_err err = SY_ERR_INIT;
    struct tiny_options o = {.steps = STEPS,
                             .seed = 1,
                             .width = WIDTH,
                             .on_event = on_event,
                             .on_step = on_step_moved,
                             .ctx = p};
    if (!(p->t = tiny_trainer(&o, &err)))
        exit(1);
    sy_trainer_set(p->t, SY_HYPER_eval_every, 0, &err);
    sy_trainer_set(p->t, SY_HYPER_max_skips, 2, &err);
    return p->t;
}

static void test_moved(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_alarm_state a;
    struct plot p = {.bad = {90}, .value = 60}, q = p;
    char *dir = folder(), path[SY_PATH_MAX];
    struct sy_trainer *t = make_moved(&p);
    tiny_run_to(t, 92);
    uint64_t before = tiny_hash(t);
    tap_ok(status(t).skipped == 3, "three spikes in a row are skipped");
    tiny_run_to(t, 93);
    sy_trainer_alarm(t, SY_ALARM_RULE, &a);
    tap_ok(tiny_hash(t) != before && status(t).skipped == 3 && a.on && p.alarms == 2,
           "the fourth is learned from, and an alarm says so: %s", a.text);
    sy_trainer_set_dir(t, dir, 2, 0, &err);
    tiny_run_to(t, STEPS);
    tap_ok(status(t).state == SY_RUN_DONE && status(t).skipped == 3,
           "the run goes on to its end: %s", status(t).error.msg);
    before = tiny_hash(t);
    sy_trainer_free(t);
    for (int step = 91; step <= 94; step++) {
        struct plot r = q;
        struct sy_trainer *b = make_moved(&r), *from = make_moved(&q);
        q.t = from;
        tiny_run_to(from, step);
        sy_trainer_set_dir(from, dir, 2, 0, &err);
        int bad = sy_trainer_checkpoint(from, path, sizeof path, &err) ||
                  sy_trainer_load(b, path, false, &err);
        tiny_run_to(b, STEPS);
        tap_ok(!bad && tiny_hash(b) == before && status(b).skipped == 3,
               "resumed at step %d: the same bits %s", step, err.msg);
        sy_trainer_free(b);
        sy_trainer_free(from);
    }
    remove_folder(dir);
}

/* By the rules of before five in a row ended the run, and deviations alone were enough. */
static void test_rules_1(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_journal_entry e = {.kind = SY_ENTRY_RULES, .value = 1, .expert = -1};
    struct plot p = {.bad = {90}, .value = 60};
    struct sy_trainer *t = make_moved(&p);
    tap_ok(!sy_trainer_apply(t, &e, &err) && sy_trainer_rules(t) == 1, "rules 1 %s", err.msg);
    sy_trainer_set(t, SY_HYPER_skip_sigma, 6, &err);
    sy_trainer_set(t, SY_HYPER_max_skips, 5, &err);
    tiny_run_to(t, STEPS);
    tap_ok(status(t).state == SY_RUN_FAILED && status(t).step == 93 &&
               strstr(status(t).error.msg, "5 steps in a row"),
           "rules 1: five in a row end the run: %s", status(t).error.msg);
    e.value = SY_RULES;
    tap_ok(!sy_trainer_apply(t, &e, &err) && sy_trainer_get(t, SY_HYPER_skip_sigma) == 30,
           "rules 2: 6 are 30 there");
    e.value = SY_RULES + 1;
    tap_ok(sy_trainer_apply(t, &e, &err) && err.code == SY_E_UNSUPPORTED, "%s", err.msg);
    sy_trainer_free(t);
}

/* Steps that were left out are no updates: the first update has a bias correction of 1, so every
 * parameter with a gradient moves by lr. */
static double largest_move(int rules)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.nbad = 0};
    struct sy_trainer *t = make(&p, 1);
    struct sy_params *ps = sy_trainer_params(t);
    struct sy_journal_entry e = {.kind = SY_ENTRY_RULES, .value = rules, .expert = -1};
    sy_trainer_apply(t, &e, &err);
    sy_trainer_set(t, SY_HYPER_warmup, 0, &err);
    sy_trainer_set(t, SY_HYPER_weight_decay, 0, &err);
    for (int i = 1; i <= 9; i++) {
        e = (struct sy_journal_entry){.kind = SY_ENTRY_SKIP, .value = i, .expert = -1};
        sy_trainer_apply(t, &e, &err);
    }
    float *was = sy_alloc((size_t)ps->floats * sizeof *was);
    double move = 0;
    tiny_run_to(t, 9);
    memcpy(was, ps->p, (size_t)ps->floats * sizeof *was);
    tiny_run_to(t, 10);
    for (int64_t i = 0; i < ps->floats; i++)
        move = fmax(move, fabs((double)ps->p[i] - (double)was[i]));
    move /= status(t).lr;
    sy_free(was);
    sy_trainer_free(t);
    return move;
}

static void test_time(void)
{
    double now = largest_move(2), before = largest_move(1);
    tap_ok(fabs(now - 1) < 0.01, "AdamW: nine steps left out, the first update moves by %.3f lr",
           now);
    tap_ok(before < 0.9, "rules 1: by %.3f lr", before);
}

static void test_never(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.bad = {90}, .nbad = 1, .value = 60};
    struct sy_trainer *t = make(&p, 1);
    sy_trainer_set(t, SY_HYPER_skip_sigma, 0, &err);
    tiny_run_to(t, STEPS);
    tap_ok(!status(t).skipped && p.alarms == 1 && status(t).state == SY_RUN_DONE,
           "skip_sigma 0: told, not skipped");
    sy_trainer_free(t);
}

static void test_rewind(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.bad = {5, 6, 7, 8, 9}, .nbad = 5, .value = NAN};
    int64_t first, last;
    struct sy_trainer *t = make(&p, 1);
    tap_ok(!sy_trainer_rewind_wanted(t, &first, &last), "no rewind is wanted");
    sy_trainer_set(t, SY_HYPER_auto_rewind, 1, &err);
    tiny_run_to(t, STEPS);
    tap_ok(status(t).state == SY_RUN_PAUSED && status(t).step == 8 && p.rewinds == 1,
           "five in a row: paused, told");
    tap_ok(sy_trainer_rewind_wanted(t, &first, &last) && first == 5 && last == 9,
           "for steps %lld to %lld", (long long)first, (long long)last);
    p.nbad = 0;
    write_mask(t, 0);
    sy_trainer_resume(t);
    sy_trainer_wait(t, INT64_MAX, 60);
    tap_ok(status(t).state == SY_RUN_DONE && !sy_trainer_rewind_wanted(t, &first, &last),
           "who resumes it as it is goes on");
    sy_trainer_free(t);
}

/* ---- state ---- */

static void test_resume(int threads)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.bad = {90, 91, 110}, .nbad = 3, .value = 60}, q = p;
    char *dir = folder(), path[SY_PATH_MAX];
    int wrong = 0;
    struct sy_trainer *a = make(&p, 1);
    sy_trainer_set_dir(a, dir, 2, 0, &err);
    struct sy_trainer *whole = make(&q, 1);
    tiny_run_to(whole, STEPS);
    uint64_t want = tiny_hash(whole);
    for (int step = 60; step <= 115; step += tap_fast() ? 11 : 1) {
        struct plot r = {.bad = {90, 91, 110}, .nbad = 3, .value = 60};
        struct sy_trainer *b = make(&r, 1);
        sy_pool_set_threads(1, NULL);
        tiny_run_to(a, step);
        int bad = sy_trainer_checkpoint(a, path, sizeof path, &err) ||
                  sy_trainer_load(b, path, false, &err);
        sy_pool_set_threads(threads, NULL);
        /* nobody announces the step of a checkpoint */
        on_step(&r, &(struct sy_status){.step = step}, false);
        tiny_run_to(b, STEPS);
        wrong += bad || tiny_hash(b) != want || status(b).skipped != 3 ||
                 entries(b, SY_ENTRY_SKIPPED) != 3;
        sy_trainer_free(b);
    }
    tap_ok(!wrong, "%d threads: resumed at any step, the same steps are skipped (%d wrong) %s",
           threads, wrong, err.msg);
    sy_trainer_free(a);
    sy_trainer_free(whole);
    remove_folder(dir);
}

/* Take `"key":...` away, up to and with the comma or the brace that ends it. */
static void cut(char *json, const char *from, const char *to)
{
    char *a = strstr(json, from), *b = a ? strstr(a, to) : NULL;
    if (b)
        memmove(a, b, strlen(b) + 1);
}

static void test_format(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct plot p = {.nbad = 0};
    char *dir = folder(), path[SY_PATH_MAX];
    struct sy_trainer *t = make(&p, 1);
    sy_trainer_set_dir(t, dir, 2, 0, &err);
    tiny_run_to(t, 70);
    sy_trainer_checkpoint(t, path, sizeof path, &err);
    struct sy_image *image = sy_checkpoint_read(path, &err);
    tap_ok(image && image->format == SY_CHECKPOINT_FORMAT && image->window.n == 70 &&
               image->window.loss[69] == status(t).loss &&
               image->window.norm[69] == status(t).grad_norm,
           "the window is in the checkpoint, to the bit %s", err.msg);
    sy_image_free(image);
    strncat(path, "/state.json", sizeof path - strlen(path) - 1);
    struct sy_str s = SY_STR_INIT;
    FILE *f = fopen(path, "rb");
    char buffer[65536];
    size_t n = f ? fread(buffer, 1, sizeof buffer - 1, f) : 0;
    if (f)
        fclose(f);
    sy_str_add(&s, buffer, n);
    cut(s.data, ",\"skipped\":", ",\"hyper\"");
    cut(s.data, ",\"skip_sigma\":", ",\"seed\"");
    s.data[strcspn(s.data, ":") + 1] = '1';
    image = sy__state_parse(s.data, strlen(s.data), &err);
    tap_ok(image && image->format == 1 && image->window.n == 0 &&
               image->hyper.v[SY_HYPER_skip_sigma] == 6,
           "format 1 is read: without a window %s", err.msg);
    tap_ok(image && image->hyper.rules == 2, "... of the rules that it says");
    sy_image_free(image);
    cut(s.data, ",\"rules\":", ",\"steps\"");
    image = sy__state_parse(s.data, strlen(s.data), &err);
    tap_ok(image && image->hyper.rules == 1 && image->hyper.planned == 0,
           "without them it is of the first %s", err.msg);
    sy_image_free(image);
    s.data[strcspn(s.data, ":") + 1] = '2';
    err.code = SY_E_OK;
    tap_ok(!sy__state_parse(s.data, strlen(s.data), &err), "format 2 must have one: %s", err.msg);
    sy_str_free(&s);
    sy_str_add(&s, buffer, n); /* of the format of now */
    err = (struct sy_err)SY_ERR_INIT;
    cut(s.data, ",\"clip\":", ",\"eval_every\"");
    image = sy__state_parse(s.data, strlen(s.data), &err);
    tap_ok(image && image->hyper.v[SY_HYPER_clip] == sy_hyper_spec(SY_HYPER_clip)->preset,
           "a hyper-parameter that is missing is its preset %s", err.msg);
    sy_image_free(image);
    /* the first is the field, the next one the hyper-parameter */
    char *lr = strstr(s.data, "\"lr\":");
    lr = lr ? strstr(lr + 1, "\"lr\":") : NULL;
    if (lr)
        memcpy(lr, "\"lq\":", 5);
    tap_ok(!sy__state_parse(s.data, strlen(s.data), &err) && err.code == SY_E_UNSUPPORTED &&
               strstr(err.msg, "unknown hyper-parameter 'lq'"), "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    if (lr)
        memcpy(lr, "\"lr\":", 5);
    memcpy(strstr(s.data, "\"fingerprint\""), "\"fingerpaint\"", 13);
    tap_ok(!sy__state_parse(s.data, strlen(s.data), &err) &&
               strstr(err.msg, "unknown field 'fingerpaint'"),
           "%s", err.msg);
    sy_str_free(&s);
    sy_trainer_free(t);
    remove_folder(dir);
}

int main(void)
{
    test_window();
    test_hidden();
    test_told();
    test_skip(1);
    test_skip(2);
    test_detail();
    test_quiet();
    test_nonfinite();
    test_never();
    test_moved();
    test_rules_1();
    test_time();
    test_rewind();
    test_resume(2);
    test_format();
    return tap_done();
}
