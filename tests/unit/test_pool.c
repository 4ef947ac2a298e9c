/* The pool: every task once, in any setting; results the same for any number of threads; nested and
 * concurrent callers; changing the number of threads meanwhile.  Meant to run under TSan as
 * well. */
#include "unit/tap.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/scratch.h"
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 1000

struct job {
    _Atomic int ran[TASKS];
    uint64_t out[TASKS];
    int nested;
};

static void inner_task(void *ctx, int64_t task)
{
    (void)task;
    atomic_fetch_add((_Atomic int *)ctx, 1);
}

static void task(void *ctx, int64_t i)
{
    struct job *job = ctx;
    uint64_t x = (uint64_t)i;
    for (int k = 0; k < 20; k++)
        x = sy_hash_bytes(&x, sizeof x);
    job->out[i] = x;
    if (job->nested) {
        _Atomic int inner = 0;
        sy_pool_run(5, inner_task, &inner);
        job->out[i] += (uint64_t)inner;
    }
    atomic_fetch_add(&job->ran[i], 1);
}

/* How many of the first n tasks did not run exactly once, plus others that ran. */
static int wrong(const struct job *job, int n)
{
    int bad = 0;
    for (int i = 0; i < TASKS; i++)
        bad += job->ran[i] != (i < n);
    return bad;
}

static struct job reference, job;

static void same_results(int threads)
{
    struct sy_err err = SY_ERR_INIT;
    int bad = sy_pool_set_threads(threads, &err) != 0 || sy_pool_threads() != threads;
    for (int n = 0; n <= TASKS; n += n < 12 ? 1 : 247) {
        memset(&job, 0, sizeof job);
        sy_pool_run(n, task, &job);
        bad += wrong(&job, n) + (memcmp(job.out, reference.out, (size_t)n * 8) != 0);
    }
    tap_is_int(bad, 0, "%d threads: each task once, same results", threads);
}

static void nested(void)
{
    memset(&job, 0, sizeof job);
    job.nested = 1;
    sy_pool_run(TASKS, task, &job);
    int bad = wrong(&job, TASKS);
    for (int i = 0; i < TASKS; i++)
        bad += job.out[i] != reference.out[i] + 5;
    tap_is_int(bad, 0, "nested regions run inline");
}

static void *caller(void *unused)
{
    (void)unused;
    struct job *mine = calloc(1, sizeof *mine);
    intptr_t bad = mine == NULL;
    for (int round = 0; mine && round < 40; round++) {
        memset(mine, 0, sizeof *mine);
        int n = 1 + round * 17 % 300;
        sy_pool_run(n, task, mine);
        bad += wrong(mine, n) + (memcmp(mine->out, reference.out, (size_t)n * 8) != 0);
    }
    free(mine);
    return (void *)bad;
}

static void concurrent_callers(void)
{
    pthread_t t[4];
    intptr_t bad = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, caller, NULL);
    for (int i = 0; i < 6; i++)
        bad += sy_pool_set_threads(1 + i % 3, NULL) != 0;
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(t[i], &result);
        bad += (intptr_t)result;
    }
    tap_is_int(bad, 0, "four callers at once, threads changing meanwhile");
}

/* Regions far apart, so that the workers are asleep when the next one comes. */
static void after_sleep(void)
{
    int bad = 0;
    for (int i = 0; i < 20; i++) {
        sy_sleep(1e-3);
        memset(&job, 0, sizeof job);
        sy_pool_run(50, task, &job);
        bad += wrong(&job, 50);
    }
    tap_is_int(bad, 0, "workers wake up");
}

static void set_inside(void *ctx, int64_t i)
{
    (void)i;
    struct sy_err err = SY_ERR_INIT;
    if (sy_pool_set_threads(2, &err) == -1 && err.code == SY_E_STATE)
        atomic_fetch_add((_Atomic int *)ctx, 1);
}

static void refused(void)
{
    struct sy_err err = SY_ERR_INIT;
    tap_ok(sy_pool_set_threads(0, &err) == -1 && err.code == SY_E_RANGE, "0 threads: %s", err.msg);
    tap_ok(sy_pool_set_threads(SY_POOL_MAX + 1, NULL) == -1, "too many threads");
    _Atomic int told = 0;
    sy_pool_run(4, set_inside, &told);
    tap_is_int(told, 4, "not from inside a task");
}

static void nothing(void *ctx, int64_t i)
{
    (void)ctx, (void)i;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void cost(int threads)
{
    double batch[21];
    sy_pool_set_threads(threads, NULL);
    for (int i = 0; i < 21; i++) {
        double from = sy_now();
        for (int k = 0; k < 100; k++)
            sy_pool_run(threads, nothing, NULL);
        batch[i] = (sy_now() - from) * 1e6 / 100;
    }
    qsort(batch, 21, sizeof *batch, by_value);
    tap_note("an empty region of %d threads: median %.2f us, worst batch %.2f us", threads,
             batch[10], batch[20]);
}

static _Thread_local int mine; /* rounds that this thread has seen */

static void count_each(void *ctx)
{
    if (++mine == 1)
        atomic_fetch_add((_Atomic int *)ctx, 1000); /* a thread that was not seen before */
    atomic_fetch_add((_Atomic int *)ctx, 1);
}

static void first_takes(void *ctx, int64_t i)
{
    (void)ctx;
    if (i == 0)
        sy_scratch(SY_SCRATCH_OP2, 300000);
}

static void asks(void *ctx)
{
    atomic_fetch_add((_Atomic int *)ctx, sy_scratch(SY_SCRATCH_OP2, 300000) != NULL);
}

/* Once on each thread, also while they sleep, and what one thread's scratch needed, all have
 * then. */
static void each_thread(int threads)
{
    _Atomic int sum = 0;
    sy_pool_set_threads(threads, NULL);
    for (int round = 0; round < 50; round++) {
        sy_pool_each(count_each, &sum);
        if (round % 10 == 9) {
            sy_sleep(0.002);
            sy_pool_run(100, task, &job);
        }
    }
    tap_is_int(sum % 1000, 50 * threads % 1000, "%d threads: 50 rounds over each", threads);
    tap_is_int(sum / 1000, threads - (mine > 50) + 50 * threads / 1000, "... all of them");
    sy_pool_run(100, first_takes, NULL);
    sy_pool_level_scratch();
    uint64_t before = sy_mem_count();
    sum = 0;
    sy_pool_each(asks, &sum);
    sy_pool_level_scratch();
    tap_ok(sum == threads && sy_mem_count() == before,
           "%d threads: scratch for all (%d), then no more: %d", threads, sum,
           (int)(sy_mem_count() - before));
}

struct caller {
    pthread_t thread;
    _Atomic int took, had;
};

static void caller_takes(void *ctx, int64_t i)
{
    struct caller *c = ctx;
    (void)i;
    if (pthread_equal(pthread_self(), c->thread) && sy_scratch(SY_SCRATCH_OP3, 300000))
        atomic_fetch_add(&c->took, 1);
    sy_sleep(10e-6); /* that everybody gets some */
}

static void takes_as_well(void *ctx)
{
    atomic_fetch_add(&((struct caller *)ctx)->had, sy_scratch(SY_SCRATCH_OP3, 300000) != NULL);
}

/* What a thread has already, of something it did alone, the others have after levelling, too. */
static void had_before(int threads)
{
    struct caller c = {.thread = pthread_self()};
    sy_pool_set_threads(threads, NULL);
    sy_scratch(SY_SCRATCH_OP3, 1 << 20);
    while (!c.took)
        sy_pool_run(100, caller_takes, &c);
    sy_pool_level_scratch();
    uint64_t before = sy_mem_count();
    sy_pool_each(takes_as_well, &c);
    tap_ok(c.had == threads && sy_mem_count() == before,
           "%d threads: also when the first had more of it (%d), then no more: %d", threads, c.had,
           (int)(sy_mem_count() - before));
}

int main(void)
{
    for (int i = 0; i < TASKS; i++)
        task(&reference, i);
    static const int threads[] = {1, 2, 3, 8};
    for (int i = 0; i < 4; i++)
        same_results(threads[i]);
    nested();
    sy_pool_set_threads(2, NULL);
    nested();
    after_sleep();
    concurrent_callers();
    refused();
    each_thread(1);
    each_thread(2);
    each_thread(8);
    had_before(4);
    cost(2);
    cost(8);
    sy_pool_shutdown();
    memset(&job, 0, sizeof job);
    sy_pool_run(100, task, &job);
    tap_is_int(wrong(&job, 100), 0, "runs again after a shutdown");
    sy_pool_shutdown();
    return tap_done();
}
