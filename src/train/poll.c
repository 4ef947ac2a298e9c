/* A step or an evaluation that takes long, and those who do not want to wait for it.  Layer train.
 *
 *     asked for         what is under way
 *     stop, free        a step is given up between two operations; an evaluation
 *                       only when it is not over in time (patience), for nobody does it anew
 *     pause, hold       goes on to its end; after LONG seconds a line says so
 *
 *  1. Asked before each operation, so one atomic read is what it may cost.
 *  2. Given up once is given up: who measures several passes gets one answer, though a resume come
 *     between.
 *  3. Time decides what is said and whether there is a val_loss, and nothing else. */
#include "base/clock.h"
#include "train/trainer_int.h"

#include <stdio.h>

#define LONG 2.0

void sy__asked(struct sy_trainer *t)
{
    bool ends = t->wish >= SY__STOP, waits = t->wish == SY__PAUSE || t->holds > 0;
    atomic_store(&t->asked, ends ? SY__END : waits ? SY__WAIT : SY__NOTHING);
}

static void tell_progress(const struct sy__going *g, const char *before, const char *after)
{
    char text[256];
    snprintf(text, sizeof text, "%s%s %lld%s: %s %lld of %lld", before, g->what, (long long)g->step,
             after, g->unit, (long long)g->at + 1, (long long)g->of);
    sy__tell(g->t, SY_EVENT_NOTE, text);
}

static void note_wait(struct sy__going *g)
{
    g->told = true;
    tell_progress(g, "what was asked for waits for the end of ", " (a stop gives it up)");
}

bool sy__poll(void *going)
{
    struct sy__going *g = going;
    enum sy__asked asked = (enum sy__asked)atomic_load_explicit(&g->t->asked, memory_order_relaxed);
    if (asked == SY__NOTHING) {
        g->waits = 0;
        return g->ended;
    }
    double now = sy_now();
    if (g->waits <= 0)
        g->waits = now;
    if (asked == SY__WAIT && !g->told && now - g->waits >= LONG)
        note_wait(g);
    if (asked == SY__END && now - g->waits >= g->patience)
        g->ended = true;
    return g->ended;
}

void sy__given_up(const struct sy__going *g)
{
    if (g->left_out)
        tell_progress(g, "", " was given up and is left out");
    else if (sy_now() - g->begun > LONG)
        tell_progress(g, "", " was given up");
}
