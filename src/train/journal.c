/* The journal of a run: what was done to it, with the step after which it took effect.  A run is a
 * function of its first options and this list.  See switchyard/train.h for the kinds. */
#include "base/mem.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <stdio.h>
#include <string.h>

static void free_values(const float *values) /* owned, though entries show them as borrowed */
{
    union { const float *shown; float *owned; } u = {values};
    sy_free(u.owned);
}

void sy__journal_free(struct sy_journal_entry *list, int n)
{
    for (int i = 0; i < n; i++)
        free_values(list[i].values);
    sy_free(list);
}

void sy__journal_add(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    if (t->njournal == t->journal_room) {
        int room = t->journal_room ? 2 * t->journal_room : 64;
        struct sy_journal_entry *grown = sy_realloc(t->journal, (size_t)room * sizeof *grown);
        if (!grown)
            return;
        t->journal = grown;
        t->journal_room = room;
    }
    struct sy_journal_entry copy = *e;
    copy.step = t->status.step;
    copy.values = NULL;
    if (e->n > 0) {
        float *values = sy_alloc((size_t)e->n * sizeof *values);
        if (!values)
            return;
        memcpy(values, e->values, (size_t)e->n * sizeof *values);
        copy.values = values;
    }
    t->journal[t->njournal++] = copy;
    if (t->c.on_journal)
        t->c.on_journal(t->c.ctx, &copy);
}

void sy_trainer_record(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    pthread_mutex_lock(&t->lock);
    sy__journal_add(t, e);
    pthread_mutex_unlock(&t->lock);
}

void sy_trainer_note(struct sy_trainer *t, const char *kind, const char *text)
{
    struct sy_journal_entry e = {.expert = -1};
    snprintf(e.kind, sizeof e.kind, "%s", kind);
    snprintf(e.text, sizeof e.text, "%s", text);
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

static int apply_set(struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err)
{
    int id = sy_hyper_find(e->key);
    if (id < 0)
        return sy_err_set(err, SY_E_NAME, "journal: step %lld: no hyper-parameter '%s'",
                          (long long)e->step, e->key);
    if (sy_hyper_check((enum sy_hyper_id)id, e->value, err))
        return sy_err_prefix(err, "journal: step %lld", (long long)e->step);
    pthread_mutex_lock(&t->lock);
    t->hyper.v[id] = t->wanted.v[id] = e->value;
    t->status.steps = (int64_t)t->hyper.v[SY_HYPER_steps];
    pthread_mutex_unlock(&t->lock);
    return 0;
}

static int apply_schedule(struct sy_trainer *t, const struct sy_journal_entry *e,
                          struct sy_err *err)
{
    int s = sy_schedule_parse(e->key);
    if (s < 0)
        return sy_err_set(err, SY_E_NAME, "journal: step %lld: no schedule '%s'",
                          (long long)e->step, e->key);
    pthread_mutex_lock(&t->lock);
    t->hyper.schedule = t->wanted.schedule = (enum sy_schedule)s;
    pthread_mutex_unlock(&t->lock);
    return 0;
}

static bool of_the_plan(const struct sy_journal_entry *e)
{
    int id = strcmp(e->kind, "set") ? -1 : sy_hyper_find(e->key);
    return id >= 0 && sy_hyper_spec((enum sy_hyper_id)id)->live == SY_LIVE_PLAN;
}

int sy_trainer_apply(struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err)
{
    int rc = 0;
    if (!strcmp(e->kind, "set"))
        rc = apply_set(t, e, err);
    else if (!strcmp(e->kind, "schedule"))
        rc = apply_schedule(t, e, err);
    else if (!strcmp(e->kind, "input")) {
        if (!sy__input_write(t, e->key, e->values, e->n))
            rc = sy_err_set(err, SY_E_NAME, "journal: step %lld: no input '%s' of %lld numbers",
                            (long long)e->step, e->key, (long long)e->n);
    } else if (!strcmp(e->kind, "freeze") || !strcmp(e->kind, "unfreeze"))
        sy_params_freeze(t->c.params, e->key, (int)e->expert, e->value > 0);
    else if (!strcmp(e->kind, "config") || !strcmp(e->kind, "reset"))
        return sy_err_set(err, SY_E_UNSUPPORTED, "journal: step %lld: '%s' is not the trainer's to do",
                          (long long)e->step, e->kind);
    if (!rc && !of_the_plan(e)) /* those are recorded when the plan comes */
        sy_trainer_record(t, e);
    return rc;
}
