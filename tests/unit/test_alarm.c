/* Alarms that come of time and of the amount of data: told what a step took, no clock is looked
 * at. */
#include "unit/tap.h"
#include "unit/tiny_run.h"

#include "base/mem.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct told {
    int count;
    char text[400];
};

static void on_event(void *ctx, const struct sy_event *e)
{
    struct told *told = ctx;
    told->count += e->kind == SY_EVENT_ALARM;
    sy_event_line(e, told->text, sizeof told->text);
}

static struct sy_trainer *make(struct told *told)
{
    struct sy_err err = SY_ERR_INIT;
    struct tiny_options o = {.steps = 1000000, .on_event = on_event, .ctx = told};
    memset(told, 0, sizeof *told);
    struct sy_trainer *t = tiny_trainer(&o, &err);
    if (!t)
        tap_ok(0, "a trainer: %s", err.msg);
    return t;
}

/* n steps after *step, of so many seconds each. */
static void take(struct sy_trainer *t, int64_t *step, int n, double seconds)
{
    t->pace.seconds = seconds;
    t->pace.weight = 1;
    for (int i = 0; i < n; i++)
        sy__alarm_step(t, ++*step, seconds, false);
}

static bool on(struct sy_trainer *t, enum sy_alarm id)
{
    struct sy_alarm_state a;
    sy_trainer_alarm(t, id, &a);
    if (a.on != ((t->status.alarms >> id & 1) != 0))
        tap_ok(0, "%s: the status says another thing than the alarm", sy_alarm_name(id));
    return a.on;
}

static void throughput(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    int64_t step = 0;
    if (!t)
        return;
    take(t, &step, 40, 1);
    take(t, &step, 100, 9);
    tap_ok(!told.count, "throughput: 40 steps are not enough to know what is usual");
    take(t, &step, 60, 1);
    take(t, &step, 100, 2.4);
    tap_ok(!told.count, "2.4 times as long is not slow");
    sy__alarms_reset(t);
    take(t, &step, 70, 1);
    take(t, &step, 20, 3);
    tap_ok(!told.count && !on(t, SY_ALARM_SPEED), "three times as long for 60 s: not yet");
    take(t, &step, 1, 3);
    tap_ok(told.count == 1 && on(t, SY_ALARM_SPEED), "for 63 s: told");
    tap_is_str(told.text, "alarm: step 391: throughput: a step takes 3 s, it was 1 s", "by what");
    take(t, &step, 2000, 3);
    tap_ok(told.count == 1 && on(t, SY_ALARM_SPEED),
           "what is slow does not become usual, and is told once");
    take(t, &step, 1, 1);
    tap_ok(!on(t, SY_ALARM_SPEED), "one step as before ends it");
    take(t, &step, 20, 3);
    take(t, &step, 1, 1);
    take(t, &step, 20, 3);
    tap_ok(told.count == 1, "slow for 60 s twice is no episode");
    take(t, &step, 1, 3);
    tap_ok(told.count == 2, "another one is told again");
    sy__alarms_reset(t);
    take(t, &step, 1000, 30);
    tap_ok(told.count == 2, "after a rewind what is usual is learned anew");
    sy_trainer_free(t);
}

/* n steps with losses from `from` to `to`. */
static void lose(struct sy_trainer *t, int64_t *step, int n, double from, double to)
{
    for (int i = 1; i <= n; i++) {
        t->status.loss = from + (to - from) * i / n;
        take(t, step, 1, 1);
    }
}

static void divergence(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    int64_t step = 0;
    if (!t)
        return;
    lose(t, &step, 100, 3.5, 1); /* of log 32 = 3.47 */
    lose(t, &step, 400, 1, 2.0);
    tap_ok(!told.count, "divergence: 1 nat of the 2.5 that were learned is lost: nothing yet");
    lose(t, &step, 20, 3.4, 3.4);
    lose(t, &step, 60, 1, 1);
    tap_ok(!told.count, "20 steps are a bump");
    lose(t, &step, 1, 1000, 1000);
    lose(t, &step, 60, 1, 1);
    tap_ok(!told.count, "and one step is an outlier, however far");
    lose(t, &step, 60, 3.4, 3.4);
    tap_ok(told.count == 1 && on(t, SY_ALARM_DIVERGE) &&
               strstr(told.text, "divergence: the loss is 3.4;") && strstr(told.text, "at best"),
           "32 steps are told: %s", told.text);
    lose(t, &step, 100, 1.9, 1.9);
    tap_ok(on(t, SY_ALARM_DIVERGE), "still on where it would not come on");
    t->status.loss = (double)NAN;
    take(t, &step, 100, 1);
    tap_ok(on(t, SY_ALARM_DIVERGE), "what is not finite says nothing");
    lose(t, &step, 100, 1.2, 1.2);
    tap_ok(!on(t, SY_ALARM_DIVERGE) && told.count == 1, "off when the loss is back");
    sy__alarms_reset(t);
    lose(t, &step, 100, 3.4, 3.4);
    lose(t, &step, 100, 4.3, 4.3);
    tap_ok(told.count == 1, "who has learned nothing may lose a nat");
    lose(t, &step, 60, 5, 5);
    tap_ok(told.count == 2, "more is told");
    sy_trainer_free(t);
}

static void new_shapes(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct told told;
    struct sy_trainer *t = make(&told);
    int64_t step = 0;
    if (!t)
        return;
    take(t, &step, 100, 1);
    tap_ok(!sy__alarm_loads(t, &err), "a new plan");
    take(t, &step, 1000, 10);
    tap_ok(!told.count, "its steps may take longer");
    sy_trainer_free(t);
}

static void epochs(enum sy_sample_mode mode, int64_t accumulate)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    if (!t)
        return;
    t->sampler.mode = mode;
    t->c.plan->accumulate = accumulate;
    int64_t each = t->sampler.batch * accumulate, windows = sy_sampler_windows(&t->sampler);
    int64_t last = 4 * windows / each;
    t->place.windows = (uint64_t)((last - 1) * each); /* before that step */
    sy__alarm_step(t, last, 1, false);
    tap_ok(!told.count, "data: %lld windows four times: nothing yet", (long long)windows);
    t->place.windows += (uint64_t)each;
    sy__alarm_step(t, last + 1, 1, false);
    tap_ok(told.count == 1 && on(t, SY_ALARM_DATA) &&
               strstr(told.text, "data exhausted: all text was seen 4 times"),
           "a fifth time: told");
    sy__alarm_step(t, last + 5000, 1, false);
    tap_ok(told.count == 1 && on(t, SY_ALARM_DATA), "once");
    sy_trainer_free(t);
}

static void random_windows(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    if (!t)
        return;
    t->sampler.mode = SY_SAMPLE_RANDOM;
    sy__alarm_step(t, 100000000, 1, false);
    tap_ok(!told.count, "data: windows drawn at random have no epochs");
    sy_trainer_free(t);
}

static void lost_entry(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    if (!t)
        return;
    float x = 1;
    struct sy_journal_entry e = {.kind = SY_ENTRY_NOTE, .expert = -1, .n = 1, .values = &x};
    sy_trainer_record(t, &e);
    sy__alarm_step(t, 1, 1, false);
    tap_ok(!told.count, "journal: an entry");
    sy_mem_fail_at(1);
    sy_trainer_record(t, &e);
    sy_mem_fail_at(0);
    sy__alarm_step(t, 2, 1, false);
    tap_ok(t->njournal == 1 && told.count == 1 && on(t, SY_ALARM_RECORD) &&
               strstr(told.text, "out of memory: 1 of what was done"),
           "an entry for which there is no memory is told: %s", told.text);
    sy_trainer_free(t);
}

/* The journal has room for it, the list of steps to leave out has none. */
static void lost_skip(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    if (!t)
        return;
    struct sy_journal_entry e = {.kind = SY_ENTRY_NOTE, .expert = -1};
    do
        sy_trainer_record(t, &e);
    while ((size_t)t->njournal == t->journal_room);
    int before = t->njournal;
    e.kind = SY_ENTRY_SKIP;
    e.value = 9;
    sy_mem_fail_at(1);
    sy_trainer_record(t, &e);
    sy_mem_fail_at(0);
    sy__alarm_step(t, 2, 1, false);
    tap_ok(t->njournal == before + 1 && !sy__skip_listed(t, 9) && told.count == 1 &&
               on(t, SY_ALARM_RECORD),
           "a step that cannot be put on the list of those left out is told: %s", told.text);
    sy_trainer_free(t);
}

/* Lua raises it, and turns auto_rewind off; who turns that on again has seen it. */
static void no_rewind(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    if (!t)
        return;
    sy_trainer_set_alarm(t, SY_ALARM_REWIND, 5, "it was rewound 3 times already");
    sy__alarm_step(t, 6, 1, false);
    tap_ok(on(t, SY_ALARM_REWIND), "rewind: on while nothing is rewound");
    t->hyper.v[SY_HYPER_auto_rewind] = 1;
    sy__alarm_step(t, 7, 1, false);
    tap_ok(!on(t, SY_ALARM_REWIND), "rewind: over when it is wanted again");
    sy_trainer_free(t);
}

static void plateau(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    int64_t step = 0;
    if (!t)
        return;
    lose(t, &step, 500, 3.5, 2);
    lose(t, &step, 1000, 2, 2 * 0.9);
    tap_ok(!told.count, "plateau: a loss that falls by a tenth in 1,000 steps: nothing");
    lose(t, &step, 1000, 1.8, 1.8);
    tap_ok(!told.count, "still better by the smoothing for some hundred steps");
    lose(t, &step, 1000, 1.8, 1.8);
    tap_ok(told.count == 1 && on(t, SY_ALARM_PLATEAU) && strstr(told.text, "plateau: the loss, "),
           "1,000 steps no better are told: %s", told.text);
    lose(t, &step, 3000, 1.8, 1.9);
    tap_ok(told.count == 1 && on(t, SY_ALARM_PLATEAU), "once, while it is no better");
    lose(t, &step, 400, 1.7, 1.7);
    tap_ok(!on(t, SY_ALARM_PLATEAU), "off when it is better");
    lose(t, &step, 1500, 1.7, 1.7);
    tap_ok(told.count == 1, "of so many steps the last quarter counts");
    lose(t, &step, 1500, 1.7, 1.7);
    tap_ok(told.count == 2 && on(t, SY_ALARM_PLATEAU), "which is told again");
    sy_trainer_free(t);
}

/* By what it has learned a power of the steps falls enough, at any length. */
static void power_law(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    if (!t)
        return;
    struct sy__plateau p = {0};
    int64_t worst = 0;
    for (int64_t s = 1; s <= 200000; s++) {
        sy__plateau_follow(&p, s, 4 * pow((double)s, -0.05) * (s % 2 ? 1.02 : 0.98));
        int64_t limit = s / 4 > 1000 ? s / 4 : 1000;
        worst = (s - p.since) * 100 / limit > worst ? (s - p.since) * 100 / limit : worst;
    }
    tap_ok(worst < 60, "plateau: a power law never comes near it: %d%%", (int)worst);
    sy_trainer_free(t);
}

/* A window of so much dropped. */
static void drop(struct sy_trainer *t, int64_t *step, double share)
{
    sy__dropped(t, *step += 128, share, "layer 2", 128);
}

static void overflow(void)
{
    struct told told;
    struct sy_trainer *t = make(&told);
    int64_t step = 0;
    if (!t)
        return;
    drop(t, &step, 0.24);
    tap_ok(!told.count, "overflow: 24%% is nothing");
    drop(t, &step, 0.26);
    tap_ok(told.count == 1 && on(t, SY_ALARM_OVERFLOW) &&
               strstr(told.text, "overflow: layer 2: capacity left out 26%"),
           "26%% is told: %s", told.text);
    drop(t, &step, 0.2);
    tap_ok(on(t, SY_ALARM_OVERFLOW), "at 20%% it is on as it was");
    drop(t, &step, 0.14);
    tap_ok(!on(t, SY_ALARM_OVERFLOW), "at 14%% it is over");
    sy_trainer_free(t);
}

int main(void)
{
    plateau();
    power_law();
    overflow();
    no_rewind();
    lost_entry();
    lost_skip();
    throughput();
    divergence();
    new_shapes();
    epochs(SY_SAMPLE_SEQUENTIAL, 1);
    epochs(SY_SAMPLE_EPOCH, 3);
    random_windows();
    return tap_done();
}
