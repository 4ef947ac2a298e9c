/* The state of a run: what it is, what it is asked to be, and who is notified.  See
 * trainer_int.h. */
#include "train/trainer_int.h"

void sy__tell_change(struct sy_trainer *t)
{
    pthread_cond_broadcast(&t->changed);
    if (t->c.on_change)
        t->c.on_change(t->c.ctx);
}

void sy__set_state(struct sy_trainer *t, enum sy_run_state s)
{
    if (t->status.state != s) {
        t->status.state = s;
        sy__tell_change(t);
    }
}

void sy__set_wish(struct sy_trainer *t, enum sy__wish wish)
{
    if (t->wish != SY__QUIT)
        t->wish = wish;
    sy__asked(t);
}

bool sy__has_more(const struct sy_trainer *t)
{
    return (double)t->status.step < t->wanted.v[SY_HYPER_steps];
}

/* The state that this border asks for, or RUNNING.  FAILED stays, DONE until resume() (ask). */
enum sy_run_state sy__wanted_state(const struct sy_trainer *t)
{
    if (t->status.state == SY_RUN_FAILED || t->status.state == SY_RUN_DONE)
        return t->status.state;
    if (t->wish >= SY__STOP)
        return SY_RUN_STOPPED;
    if (t->wish == SY__PAUSE || (t->pause_at >= 0 && t->status.step >= t->pause_at))
        return SY_RUN_PAUSED;
    return sy__has_more(t) ? SY_RUN_RUNNING : SY_RUN_DONE;
}
