/* Waiting with a limit: what a limit may be, a wait that ends by it, one that is woken, a lock that
 * is held and one that is let go. */
#include "unit/tap.h"

#include "base/clock.h"
#include "base/thread.h"
#include "base/wait.h"

#include <math.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond;
static bool ready;

static double left(double seconds)
{
    struct sy_deadline d = sy_deadline_in(seconds);
    return (double)d.at.tv_sec + (double)d.at.tv_nsec * 1e-9 - sy_now();
}

static void *wake(void *ctx)
{
    (void)ctx;
    pthread_mutex_lock(&lock);
    ready = true;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *hold(void *ctx)
{
    pthread_mutex_t *other = ctx;
    pthread_mutex_lock(other);
    wake(NULL);
    pthread_mutex_lock(&lock);
    while (ready) /* until we are told to let go */
        pthread_cond_wait(&cond, &lock);
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(other);
    return NULL;
}

static bool wait_ready(double seconds)
{
    struct sy_deadline until = sy_deadline_in(seconds);
    while (!ready && sy_cond_wait(&cond, &lock, &until))
        continue;
    return ready;
}

static void test_lock(void)
{
    pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    struct sy_deadline soon = sy_deadline_in(0.02), late = sy_deadline_in(600);
    ready = false;
    sy_thread_start(&thread, hold, &other);
    pthread_mutex_lock(&lock);
    bool held = wait_ready(600);
    pthread_mutex_unlock(&lock);
    tap_ok(held && !sy_lock_wait(&other, &soon), "a lock that another holds is not taken");
    pthread_mutex_lock(&lock);
    ready = false;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
    tap_ok(sy_lock_wait(&other, &late), "and is when it is let go");
    pthread_mutex_unlock(&other);
    pthread_join(thread, NULL);
}

int main(void)
{
    static const double odd[] = {0, -1, -(double)INFINITY, (double)NAN};
    for (int i = 0; i < 4; i++)
        tap_ok(left(odd[i]) <= 0, "%g seconds from now is now", odd[i]);
    tap_ok(left(1000) > 900 && left(1000) <= 1000, "1000 seconds from now");
    tap_ok(left((double)INFINITY) > 9e8 && left(1e300) > 9e8, "no end of time overflows");
    sy_cond_init(&cond);
    pthread_mutex_lock(&lock);
    double start = sy_now();
    tap_ok(!wait_ready(0.05) && sy_now() - start >= 0.05, "a limit ends a wait, and not before");
    tap_ok(!wait_ready(-5), "one that is past ends it at once");
    pthread_t thread;
    sy_thread_start(&thread, wake, NULL);
    tap_ok(wait_ready(600), "woken before the limit");
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    test_lock();
    pthread_cond_destroy(&cond);
    return tap_done();
}
