/* See live_source.h.  Marks are the journal's entries and events, in one list in the order in which
 * they were found; a reader that begins anew (after a rewind) has the journal's read again. */
#include "bind/run/live_source.h"

#include "base/grow.h"
#include "base/mem.h"
#include "run/source.h"
#include "switchyard/train.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MARKS_MAX 10000 /* events; more are not on charts */

struct mark {
    struct sy_mark m;
    bool event;
};

struct lsy_live_source {
    struct sy_trainer *trainer;
    struct sy_source *source; /* owned */
    _Atomic double flops_per_token;
    pthread_mutex_t lock;     /* what follows */
    struct mark *list;        /* owned */
    int count, journal; /* journal: entries of it in the list */
    size_t room;
};

/* ---- on the threads of those who look ---- */

/* What is wrong now: why it failed, or the alarm that is on. */
static void alarm_text(struct sy_trainer *t, const struct sy_status *s, char *out, size_t size)
{
    struct sy_alarm_state a;
    const char *text = s->error.code ? s->error.msg : "";
    for (int i = 0; i < SY_ALARM_COUNT && !*text; i++)
        if (s->alarms >> i & 1) {
            sy_trainer_alarm(t, (enum sy_alarm)i, &a);
            text = a.on ? a.text : "";
        }
    snprintf(out, size, "%.*s", (int)size - 1, text);
}

static void give_status(void *ctx, struct sy_source_status *out)
{
    struct lsy_live_source *l = ctx;
    struct sy_status s;
    struct sy_saved saved;
    sy_trainer_status(l->trainer, &s);
    out->state = s.state;
    out->live = sy_run_state_row(s.state)->owned;
    out->step = s.step;
    out->steps = s.steps;
    out->tokens = s.tokens;
    out->tok_s = s.tok_s;
    out->mfu = s.mfu;
    out->eta = s.eta;
    out->loss = s.loss;
    out->val_loss = s.val_loss;
    out->val_step = s.val_step;
    out->lr = s.lr;
    out->flops_per_token = atomic_load(&l->flops_per_token);
    out->saved = sy_trainer_saved(l->trainer, &saved) ? saved.step : -1;
    alarm_text(l->trainer, &s, out->alarm, sizeof out->alarm);
}

/* The lock is held.  false: no room. */
static bool add_mark(struct lsy_live_source *l, int64_t step, enum sy_mark_kind kind,
                     const char *text, bool event)
{
    if (SY_GROW(l->list, l->room, l->count + 1))
        return false;
    struct mark *m = &l->list[l->count++];
    *m = (struct mark){.m = {.step = step, .kind = kind}, .event = event};
    snprintf(m->m.text, sizeof m->m.text, "%s", text);
    return true;
}

static void forget_journal(struct lsy_live_source *l)
{
    int kept = 0;
    for (int i = 0; i < l->count; i++)
        if (l->list[i].event)
            l->list[kept++] = l->list[i];
    l->count = kept;
    l->journal = 0;
}

static void read_journal(struct lsy_live_source *l)
{
    struct sy_journal_entry e[8];
    int n;
    while ((n = sy_trainer_journal(l->trainer, l->journal, e, 8)) > 0)
        for (int i = 0; i < n; i++) {
            if (!add_mark(l, e[i].step, sy_entry_row(e[i].kind)->mark, e[i].text, false))
                return;
            l->journal++;
        }
}

static int give_marks(void *ctx, int first, struct sy_mark *out, int n)
{
    struct lsy_live_source *l = ctx;
    pthread_mutex_lock(&l->lock);
    if (first == 0)
        forget_journal(l);
    read_journal(l);
    int there = l->count - first;
    n = there < 0 ? 0 : n < there ? n : there;
    for (int i = 0; i < n; i++)
        out[i] = l->list[first + i].m;
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* ---- the run's side ---- */

void lsy_live_source_event(struct lsy_live_source *l, int64_t step, const struct sy_event *e)
{
    char line[SY_EVENT_LINE];
    if (!l)
        return;
    sy_event_line(e, line, sizeof line);
    pthread_mutex_lock(&l->lock);
    if (l->count < MARKS_MAX)
        add_mark(l, step, sy_event_mark(e), line, true);
    pthread_mutex_unlock(&l->lock);
}

void lsy_live_source_set_flops(struct lsy_live_source *l, double flops_per_token)
{
    if (l)
        atomic_store(&l->flops_per_token, flops_per_token);
}

struct lsy_live_source *lsy_live_source_new(struct sy_trainer *t, double flops_per_token,
                                            struct sy_err *err)
{
    struct lsy_live_source *l = sy_calloc(1, sizeof *l);
    if (!l) {
        sy_err_set(err, SY_E_MEMORY, "train: out of memory for the screen");
        return NULL;
    }
    l->trainer = t;
    atomic_store(&l->flops_per_token, flops_per_token);
    pthread_mutex_init(&l->lock, NULL);
    struct sy_live_run live = {.name = sy_trainer_name(t),
                               .metrics = sy_trainer_metrics(t),
                               .status = give_status,
                               .marks = give_marks,
                               .ctx = l};
    l->source = sy_source_live(&live, err);
    if (l->source)
        return l;
    lsy_live_source_free(l);
    return NULL;
}

int lsy_live_source_call(struct lsy_live_source *l, enum sy_source_list list, const char *name,
                         struct sy_err *err)
{
    return sy_source_call(l->source, list, name)
               ? sy_err_set(err, SY_E_MEMORY, "train: out of memory for the name '%s'", name)
               : 0;
}

int lsy_live_source_show(struct lsy_live_source *l, struct sy_err *err)
{
    return sy_board_add(l->source, err);
}

void lsy_live_source_close(struct lsy_live_source *l)
{
    if (!l || !l->source)
        return;
    sy_source_close(l->source);
    sy_board_remove(l->source);
    sy_source_unref(l->source);
    l->source = NULL;
}

void lsy_live_source_free(struct lsy_live_source *l)
{
    if (!l)
        return;
    lsy_live_source_close(l);
    pthread_mutex_destroy(&l->lock);
    sy_free(l->list);
    sy_free(l);
}
