/* Waiting with a limit; see base/wait.h. */
#include "base/wait.h"

#include "base/clock.h"

#include <errno.h>

#define MOST 1e9     /* seconds */
#define ASKING 0.01 /* seconds */

struct sy_deadline sy_deadline_in(double seconds)
{
    double wait = seconds > 0 ? seconds < MOST ? seconds : MOST : 0;
    uint64_t at = sy_now_ns() + (uint64_t)(wait * 1e9);
    return (struct sy_deadline){
        {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)}};
}

void sy_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool sy_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct sy_deadline *until)
{
    return pthread_cond_timedwait(cond, lock, &until->at) != ETIMEDOUT;
}

static bool has_come(const struct sy_deadline *moment)
{
    uint64_t at = (uint64_t)moment->at.tv_sec * 1000000000u + (uint64_t)moment->at.tv_nsec;
    return sy_now_ns() >= at;
}

bool sy_lock_wait(pthread_mutex_t *lock, const struct sy_deadline *until)
{
    while (pthread_mutex_trylock(lock)) {
        if (has_come(until))
            return false;
        sy_sleep(ASKING);
    }
    return true;
}
