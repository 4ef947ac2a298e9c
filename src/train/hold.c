/* Holding a trainer between two steps: who holds it may read and write what is its own.  See
 * switchyard/train.h. */
#include "switchyard/train.h"
#include "train/trainer_int.h"

#include "base/wait.h"

void sy_trainer_hold(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    t->holds++;
    sy__asked(t);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

bool sy_trainer_held(struct sy_trainer *t, double seconds)
{
    struct sy_deadline until = sy_deadline_in(seconds);
    pthread_mutex_lock(&t->lock);
    while (t->where == SY__MOVES && sy_cond_wait(&t->changed, &t->lock, &until))
        continue;
    bool held = t->where != SY__MOVES;
    pthread_mutex_unlock(&t->lock);
    return held;
}

void sy_trainer_release(struct sy_trainer *t)
{
    pthread_mutex_lock(&t->lock);
    t->holds--;
    sy__asked(t);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}
