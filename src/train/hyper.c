/* The table of hyper-parameters and the learning-rate schedules. */
#include "switchyard/hyper.h"

#include "base/find.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct sy_hyper_spec specs[SY_HYPER_COUNT] = {
#define X(name, integer, least, most, preset, live, bears, help)                                   \
    {#name, integer, least, most, preset, SY_LIVE_##live, SY_BEARS_##bears, help},
    SY_HYPER_MAP(X)
#undef X
};

static const struct {
    const char *name, *reads[4]; /* ended by NULL */
} schedules[SY_SCHEDULE_COUNT] = {
#define X(id, name, ...) {name, {__VA_ARGS__}},
    SY_SCHEDULE_MAP(X)
#undef X
};

const struct sy_hyper_spec *sy_hyper_spec(enum sy_hyper_id id) { return &specs[id]; }
const char *sy_schedule_name(enum sy_schedule s) { return schedules[s].name; }

int sy_hyper_find(const char *name)
{
    return SY_FIND_NAME(specs, name);
}

int sy_schedule_parse(const char *name)
{
    return SY_FIND_NAME(schedules, name);
}

static bool reads(int schedule, const char *hyper)
{
    for (const char *const *name = schedules[schedule].reads; *name; name++)
        if (!strcmp(*name, hyper))
            return true;
    return false;
}

bool sy_schedule_ignores(enum sy_schedule s, const char *hyper)
{
    bool known = false;
    for (int i = 0; i < SY_SCHEDULE_COUNT; i++)
        known |= reads(i, hyper);
    return known && !reads((int)s, hyper);
}

void sy_hyper_defaults(struct sy_hyper *h)
{
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        h->v[i] = specs[i].preset;
    h->schedule = SY_COSINE;
    h->rules = SY_RULES;
    h->planned = h->share = 0;
    h->from = 0;
}

int sy_hyper_check(enum sy_hyper_id id, double value, struct sy_err *err)
{
    const struct sy_hyper_spec *s = &specs[id];
    if (!(value >= s->least && value <= s->most))
        return sy_err_set(err, SY_E_RANGE, "train: %s is %g, must be from %g to %g", s->name,
                          isnan(value) ? fabs(value) : value, /* never "-nan" */
                          s->least, s->most);
    if (s->integer && value != floor(value))
        return sy_err_set(err, SY_E_RANGE, "train: %s is %g, must be a whole number", s->name,
                          value);
    return 0;
}

static double warmup_of(const struct sy_hyper *h)
{
    double w = h->v[SY_HYPER_warmup], steps = h->planned > 0 ? h->planned : h->v[SY_HYPER_steps];
    double tenth = floor(steps / 10);
    return w >= 0 ? w : tenth < 100 ? tenth : 100;
}

static double least_of(const struct sy_hyper *h)
{
    return h->v[SY_HYPER_min_lr] < 0 ? h->v[SY_HYPER_lr] / 10 : h->v[SY_HYPER_min_lr];
}

/* Last step before the rate falls. */
static double top_of(const struct sy_hyper *h)
{
    double begin = fmax(warmup_of(h), (double)h->from);
    return h->schedule == SY_WSD ? fmax(begin, h->v[SY_HYPER_steps] * (1 - h->v[SY_HYPER_decay]))
                                 : begin;
}

/* What is left of lr over min_lr at a step behind the warm-up. */
static double share_at(const struct sy_hyper *h, double at)
{
    double steps = h->v[SY_HYPER_steps], first = top_of(h);
    if (h->schedule == SY_CONSTANT)
        return 1;
    double part = steps > first ? (at - first) / (steps - first) : h->rules < 2 || at > first;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    double shape = h->schedule == SY_COSINE ? 0.5 * (1 + cos(acos(-1.0) * part)) : 1 - part;
    return h->from ? h->share * shape : shape;
}

double sy_hyper_lr(const struct sy_hyper *h, int64_t step)
{
    double lr = h->v[SY_HYPER_lr], least = least_of(h), warmup = warmup_of(h), at = (double)step;
    if (at <= warmup)
        return lr * at / warmup;
    if (h->schedule == SY_CONSTANT)
        return lr;
    return least + (lr - least) * share_at(h, at);
}

/* Behind the warm-up, and once a step: whoever takes a change back has lost nothing. */
static void begin_anew(struct sy_hyper *h, int64_t step)
{
    if (!(h->planned > 0))
        h->planned = h->v[SY_HYPER_steps];
    if ((double)step <= warmup_of(h) || step == h->from)
        return;
    h->share = share_at(h, (double)step);
    h->from = step;
}

void sy_hyper_put(struct sy_hyper *h, enum sy_hyper_id id, double value, int64_t step)
{
    if (id == SY_HYPER_steps && h->rules >= 2)
        begin_anew(h, step);
    h->v[id] = value;
}

void sy_hyper_outlook(const struct sy_hyper *h, int64_t step, char *text, size_t n)
{
    double steps = h->v[SY_HYPER_steps], warmup = warmup_of(h), top = fmax(top_of(h), (double)step);
    double now = sy_hyper_lr(h, step > 0 ? step : 1), last = sy_hyper_lr(h, (int64_t)steps);
    const char *name = schedules[h->schedule].name;
    if ((double)step >= steps)
        snprintf(text, n, "no steps are left");
    else if ((double)step < warmup)
        snprintf(text, n, "lr rises to %.4g at step %.0f, then %s to %.4g at step %.0f",
                 sy_hyper_lr(h, (int64_t)fmin(warmup, steps)), fmin(warmup, steps), name, last,
                 steps);
    else if (fabs(last - now) <= 1e-9 * now)
        snprintf(text, n, "lr stays at %.4g up to step %.0f (%s)", now, steps, name);
    else if (top > (double)step)
        snprintf(text, n, "lr stays at %.4g up to step %.0f, then falls to %.4g at step %.0f (%s)",
                 now, top, last, steps, name);
    else
        snprintf(text, n, "lr goes from %.4g to %.4g at step %.0f (%s)", now, last, steps, name);
}

/* ---- what a change comes to ---- */

#define PROBES 256

/* At every step that is left, or at so many of them and where either schedule bends. */
static bool same_rate(const struct sy_hyper *a, const struct sy_hyper *b, int64_t step)
{
    int64_t last = (int64_t)a->v[SY_HYPER_steps], n = last - step < PROBES ? last - step : PROBES;
    const double bends[] = {warmup_of(a), warmup_of(b), top_of(a), top_of(b)};
    bool same = true;
    for (int64_t i = 1; i <= n && same; i++) {
        int64_t at = step + (int64_t)((double)(last - step) * ((double)i / (double)n));
        same = sy_hyper_lr(a, at) == sy_hyper_lr(b, at);
    }
    for (size_t i = 0; i < 2 * sizeof bends / sizeof *bends && same; i++) {
        int64_t at = (int64_t)fmin(bends[i / 2], (double)last) + (int64_t)(i % 2);
        same = at <= step || at > last || sy_hyper_lr(a, at) == sy_hyper_lr(b, at);
    }
    return same;
}

enum sy_hyper_effect sy_hyper_effect(const struct sy_hyper *a, const struct sy_hyper *b,
                                     int64_t step)
{
    struct sy_hyper other = *b; /* lr is another, what it stands for is not */
    if (same_rate(a, b, step))
        return SY_EFFECT_NONE;
    other.v[SY_HYPER_min_lr] = least_of(b);
    other.v[SY_HYPER_lr] = 2 * b->v[SY_HYPER_lr] + 1;
    bool lr = a->v[SY_HYPER_lr] != b->v[SY_HYPER_lr];
    return lr && same_rate(b, &other, step) ? SY_EFFECT_LEAST : SY_EFFECT_RATE;
}
