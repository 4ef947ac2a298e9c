/* The table of hyper-parameters and the learning-rate schedules. */
#include "switchyard/hyper.h"

#include <math.h>
#include <string.h>

static const struct sy_hyper_spec specs[SY_HYPER_COUNT] = {
#define X(name, integer, least, most, preset, live, help)                                          \
    {#name, integer, least, most, preset, SY_LIVE_##live, help},
    SY_HYPER_MAP(X)
#undef X
};

static const char *const schedules[SY_SCHEDULE_COUNT] = {"cosine", "wsd", "linear", "constant"};

const struct sy_hyper_spec *sy_hyper_spec(enum sy_hyper_id id) { return &specs[id]; }
const char *sy_schedule_name(enum sy_schedule s) { return schedules[s]; }

int sy_hyper_find(const char *name)
{
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        if (!strcmp(specs[i].name, name))
            return i;
    return -1;
}

int sy_schedule_parse(const char *name)
{
    for (int i = 0; i < SY_SCHEDULE_COUNT; i++)
        if (!strcmp(schedules[i], name))
            return i;
    return -1;
}

void sy_hyper_defaults(struct sy_hyper *h)
{
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        h->v[i] = specs[i].preset;
    h->schedule = SY_COSINE;
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
    double w = h->v[SY_HYPER_warmup], tenth = floor(h->v[SY_HYPER_steps] / 10);
    return w >= 0 ? w : tenth < 100 ? tenth : 100;
}

double sy_hyper_lr(const struct sy_hyper *h, int64_t step)
{
    double lr = h->v[SY_HYPER_lr], steps = h->v[SY_HYPER_steps], warmup = warmup_of(h);
    double least = h->v[SY_HYPER_min_lr] < 0 ? lr / 10 : h->v[SY_HYPER_min_lr];
    double at = (double)step;
    if (at <= warmup)
        return lr * at / warmup;
    if (h->schedule == SY_CONSTANT)
        return lr;
    double first = h->schedule == SY_WSD ? fmax(warmup, steps * (1 - h->v[SY_HYPER_decay])) : warmup;
    double part = steps > first ? (at - first) / (steps - first) : 1;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    double share = h->schedule == SY_COSINE ? 0.5 * (1 + cos(acos(-1.0) * part)) : 1 - part;
    return least + (lr - least) * share;
}
