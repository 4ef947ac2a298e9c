/* The journal of a run: what was done to it, with the step after which it took effect.  A run is a
 * function of its first options and this list.  See switchyard/journal.h for the kinds. */
#include "base/assert.h"
#include "base/grow.h"
#include "base/mem.h"
#include "base/number.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void sy__journal_free(struct sy_journal_entry *list, int n)
{
    for (int i = 0; i < n; i++)
        sy_entry_free(&list[i]);
    sy_free(list);
}

/* Does it change what is learned, so that the steps before say nothing about those after it? */
static bool disturbs(const struct sy_journal_entry *e)
{
    int id = e->kind == SY_ENTRY_SET ? sy_hyper_find(e->key) : -1;
    bool harmless = id >= 0 && sy_hyper_spec((enum sy_hyper_id)id)->bears == SY_BEARS_NONE;
    return sy_entry_row(e->kind)->disturbs && !harmless;
}

static bool put_entry(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    struct sy_journal_entry copy = *e;
    copy.step = t->status.step;
    copy.values = NULL;
    if (SY_GROW(t->journal, t->journal_room, t->njournal + 1))
        return false;
    if (e->n > 0) {
        float *values = sy_alloc((size_t)e->n * sizeof *values);
        if (!values)
            return false;
        memcpy(values, e->values, (size_t)e->n * sizeof *values);
        copy.values = values;
    }
    t->journal[t->njournal++] = copy;
    return true;
}

void sy__journal_add(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    if (!put_entry(t, e)) {
        t->entries_lost++; /* an alarm says so after the next step */
        return;
    }
    const struct sy_journal_entry *copy = &t->journal[t->njournal - 1];
    if (t->c.on_journal)
        t->c.on_journal(t->c.ctx, copy);
    if (disturbs(e))
        t->window.quiet_until = copy->step + SY_QUIET;
    if (e->kind == SY_ENTRY_SKIP)
        sy__skip_add(t, sy_to_int64(e->value));
}

void sy__skips_of_journal(struct sy_trainer *t)
{
    t->nskips = 0;
    for (int i = 0; i < t->njournal; i++)
        if (t->journal[i].kind == SY_ENTRY_SKIP)
            sy__skip_add(t, sy_to_int64(t->journal[i].value));
}

void sy__skip_add(struct sy_trainer *t, int64_t step)
{
    int at = 0;
    while (at < t->nskips && t->skips[at] < step)
        at++;
    if (at < t->nskips && t->skips[at] == step)
        return;
    if (SY_GROW(t->skips, t->skip_room, t->nskips + 1)) {
        t->entries_lost++; /* a replay would leave the step out */
        return;
    }
    memmove(t->skips + at + 1, t->skips + at, (size_t)(t->nskips - at) * sizeof *t->skips);
    t->skips[at] = step;
    t->nskips++;
}

bool sy__skip_listed(struct sy_trainer *t, int64_t step)
{
    bool listed = false;
    pthread_mutex_lock(&t->lock);
    for (int i = t->nskips - 1; i >= 0 && t->skips[i] >= step && !listed; i--)
        listed = t->skips[i] == step;
    pthread_mutex_unlock(&t->lock);
    return listed;
}

void sy_trainer_record(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    pthread_mutex_lock(&t->lock);
    sy__journal_add(t, e);
    pthread_mutex_unlock(&t->lock);
}

void sy_trainer_note(struct sy_trainer *t, enum sy_entry_kind kind, const char *text)
{
    struct sy_journal_entry e = {.kind = kind, .expert = -1};
    snprintf(e.text, sizeof e.text, "%s", text);
    snprintf(e.who, sizeof e.who, "%s", sy_acting());
    sy_trainer_record(t, &e);
}

int sy_trainer_journal(struct sy_trainer *t, int first, struct sy_journal_entry *out, int n)
{
    pthread_mutex_lock(&t->lock);
    n = n > t->njournal - first ? t->njournal - first : n;
    n = n < 0 ? 0 : n;
    if (n)
        memcpy(out, t->journal + first, (size_t)n * sizeof *out);
    pthread_mutex_unlock(&t->lock);
    return n;
}

/* ---- doing what an entry says ---- */

static int check_rules(const struct sy_journal_entry *e, struct sy_err *err)
{
    if (e->value >= 1 && e->value <= SY_RULES && e->value == floor(e->value))
        return 0;
    return sy_err_set(err, SY_E_UNSUPPORTED, "rules %g, this program knows 1 to %d", e->value,
                      SY_RULES);
}

static int check_set(const struct sy_journal_entry *e, struct sy_err *err)
{
    int id = sy_hyper_find(e->key);
    if (id < 0)
        return sy_err_set(err, SY_E_UNSUPPORTED, "no hyper-parameter '%s'", e->key);
    return sy_hyper_check((enum sy_hyper_id)id, e->value, err);
}

int sy_entry_check(const struct sy_journal_entry *e, struct sy_err *err)
{
    switch (e->kind) {
    case SY_ENTRY_SET:
        return check_set(e, err);
    case SY_ENTRY_SCHEDULE:
        return sy_schedule_parse(e->key) >= 0
                   ? 0
                   : sy_err_set(err, SY_E_UNSUPPORTED, "no schedule '%s'", e->key);
    case SY_ENTRY_RULES:
        return check_rules(e, err);
    case SY_ENTRY_SKIP:
        return e->value >= 1 && e->value < 1e15 && e->value == floor(e->value)
                   ? 0
                   : sy_err_set(err, SY_E_RANGE, "cannot skip step %g", e->value);
    default:
        return 0;
    }
}

static void apply_set(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    int id = sy_hyper_find(e->key);
    pthread_mutex_lock(&t->lock);
    sy_hyper_put(&t->hyper, (enum sy_hyper_id)id, e->value, t->status.step);
    t->wanted.v[id] = e->value;
    memcpy(t->wanted_by[id], e->who, sizeof e->who); /* for those that are recorded with the plan */
    t->status.steps = (int64_t)t->hyper.v[SY_HYPER_steps];
    pthread_mutex_unlock(&t->lock);
}

static void apply_schedule(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    pthread_mutex_lock(&t->lock);
    t->hyper.schedule = t->wanted.schedule = (enum sy_schedule)sy_schedule_parse(e->key);
    pthread_mutex_unlock(&t->lock);
}

static void apply_rules(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    pthread_mutex_lock(&t->lock);
    /* 6 standard deviations are about 30 of the newer ones */
    if (t->hyper.rules < 2 && e->value >= 2)
        t->wanted.v[SY_HYPER_skip_sigma] = t->hyper.v[SY_HYPER_skip_sigma] =
            fmin(5 * t->hyper.v[SY_HYPER_skip_sigma], sy_hyper_spec(SY_HYPER_skip_sigma)->most);
    t->hyper.rules = (int)e->value;
    if (!(t->hyper.planned > 0))
        t->hyper.planned = t->hyper.v[SY_HYPER_steps];
    pthread_mutex_unlock(&t->lock);
}

static int apply_input(struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err)
{
    if (sy__input_write(t, e->key, e->values, e->n))
        return 0;
    return sy_err_set(err, SY_E_NAME, "journal: step %lld: no input '%s' of %lld numbers",
                      (long long)e->step, e->key, (long long)e->n);
}

static bool of_the_plan(const struct sy_journal_entry *e)
{
    int id = e->kind == SY_ENTRY_SET ? sy_hyper_find(e->key) : -1;
    return id >= 0 && sy_hyper_spec((enum sy_hyper_id)id)->live == SY_LIVE_PLAN;
}

/* Kinds that are SY_REPLAY_TRAINER. */
static int apply_kind(struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err)
{
    if (sy_entry_check(e, err))
        return sy_err_prefix(err, "journal: step %lld", (long long)e->step);
    switch (e->kind) {
    case SY_ENTRY_SET:
        apply_set(t, e);
        return 0;
    case SY_ENTRY_SCHEDULE:
        apply_schedule(t, e);
        return 0;
    case SY_ENTRY_RULES:
        apply_rules(t, e);
        return 0;
    case SY_ENTRY_INPUT:
        return apply_input(t, e, err);
    case SY_ENTRY_MIX:
        if (sy__mix_check(t, e, err))
            return sy_err_prefix(err, "journal: step %lld", (long long)e->step);
        sy__mix_apply(t, e);
        return 0;
    case SY_ENTRY_FREEZE:
    case SY_ENTRY_UNFREEZE:
        sy_params_freeze(t->c.params, e->key, (int)e->expert, e->value > 0);
        return 0;
    case SY_ENTRY_SKIP: /* sy__journal_add does it */
        return 0;
    default:
        SY_ASSERT(!"a kind that the trainer does has no case here");
        return -1;
    }
}

int sy_trainer_apply(struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err)
{
    const struct sy_entry_row *row = sy_entry_row(e->kind);
    if (row->replay == SY_REPLAY_RULE)
        return 0;
    if (row->replay == SY_REPLAY_HOST)
        return sy_err_set(err, SY_E_UNSUPPORTED,
                          "journal: step %lld: '%s' is not the trainer's to do", (long long)e->step,
                          row->name);
    int rc = row->replay == SY_REPLAY_TRAINER ? apply_kind(t, e, err) : 0;
    if (!rc && !of_the_plan(e)) /* those are recorded when the plan comes */
        sy_trainer_record(t, e);
    return rc;
}
