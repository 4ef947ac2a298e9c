/* Alarms: what a run tells its people unasked.  The table is SY_ALARM_MAP (switchyard/events.h);
 * what judges is alarm.c.  Layer train.
 *
 *     off --condition--> on, told once --condition again--> on --no condition for a while--> off
 *
 * An alarm that was told less than AGAIN steps ago comes on without a word; a checkpoint that fails
 * is always told.
 *
 *  1. on_event is the one way out: who prints, stores or draws alarms listens there.  But for what
 *     others find (sy_trainer_set_alarm, any thread): a store that cannot be written, which
 *     src/bind/run/store.c tells, and what Lua raises. */
#include "train/trainer_int.h"

#include <stdarg.h>
#include <stdio.h>

/* steps in which an alarm is told once: a short noisy run must not fill the screen */
#define AGAIN 1000

static void tell_event(struct sy_trainer *t, const struct sy_event *e)
{
    if (t->c.on_event)
        t->c.on_event(t->c.ctx, e);
}

void sy__tell(struct sy_trainer *t, enum sy_event_kind kind, const char *text)
{
    tell_event(t, &(struct sy_event){.kind = kind, .text = text});
}

void sy_trainer_alarm(struct sy_trainer *t, enum sy_alarm id, struct sy_alarm_state *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->alarms.list[id];
    pthread_mutex_unlock(&t->lock);
}

/* On, or off by NULL; the lock is held.  What is on stays as it came. */
static void switch_alarm(struct sy_trainer *t, enum sy_alarm id, int64_t step, const char *text)
{
    struct sy_alarm_state *a = &t->alarms.list[id];
    uint32_t bit = (uint32_t)1 << id;
    if (text && !a->on) {
        a->step = step;
        snprintf(a->text, sizeof a->text, "%s", text);
    }
    a->on = text != NULL;
    t->status.alarms = text ? t->status.alarms | bit : t->status.alarms & ~bit;
}

void sy_trainer_set_alarm(struct sy_trainer *t, enum sy_alarm id, int64_t step, const char *text)
{
    pthread_mutex_lock(&t->lock);
    switch_alarm(t, id, step, text);
    pthread_mutex_unlock(&t->lock);
}

void sy__alarm(struct sy_trainer *t, enum sy_alarm id, int64_t step, const char *fmt, ...)
{
    struct sy_alarm_state *a = &t->alarms.list[id];
    int64_t *told = &t->alarms.told[id];
    char text[sizeof a->text];
    va_list ap;
    t->alarms.calm[id] = step;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&t->lock);
    bool had = a->on;
    if (!had)
        switch_alarm(t, id, step, text);
    pthread_mutex_unlock(&t->lock);
    if (had || (id != SY_ALARM_DISK && *told >= 0 && step - *told < AGAIN))
        return;
    *told = step;
    tell_event(t, &(struct sy_event){SY_EVENT_ALARM, id, step, text});
}

void sy__alarm_end(struct sy_trainer *t, enum sy_alarm id)
{
    sy_trainer_set_alarm(t, id, 0, NULL);
}

const char *sy__series_place(const struct sy_trainer *t, const struct sy_series_what *what,
                             char place[64])
{
    int layer = what->layer;
    const char *name = layer > 0 && layer <= t->layers ? t->layer[layer - 1] : NULL;
    sy_series_place(what, name, place, 64);
    return place;
}

const char *sy__observed_place(const struct sy_trainer *t, int i, char place[64])
{
    return sy__series_place(t, &t->observed[i].what, place);
}
