/* Waiting with a limit.  A limit is a moment of the monotonic clock, so nobody waits longer or
 * shorter because somebody set the wall clock.
 *
 *     struct sy_deadline until = sy_deadline_in(2.5);
 *     while (!ready && sy_cond_wait(&cond, &lock, &until))
 *         continue;
 *
 * A condition that is waited for in this way is made by sy_cond_init: the default one, and the
 * static initializer's, go by the wall clock.  tests/once.sh keeps the calls of the system that
 * wait or read a clock inside base. */
#ifndef SY_BASE_WAIT_H
#define SY_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

struct sy_deadline {
    struct timespec at; /* of CLOCK_MONOTONIC */
};

/* This many seconds from now; negative and NaN: now; at most 30 years. */
struct sy_deadline sy_deadline_in(double seconds);
void sy_cond_init(pthread_cond_t *cond);
/* `lock` is held.  False: that moment has come, and nobody woke us. */
bool sy_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct sy_deadline *until);
/* Take `lock`, asking for it every hundredth of a second.  False: it is not held at that moment. */
bool sy_lock_wait(pthread_mutex_t *lock, const struct sy_deadline *until);

#endif
