/* The thread pool; see base/pool.h.  Layer base.
 *
 * A region is published in one 64-bit word, `ticket`:
 *
 *     63            40 39                                0
 *     | region number | tasks that nobody has taken yet  |
 *
 * Taking a task is a compare-and-swap that subtracts one; its number follows from what was left, so
 * tasks go out in ascending order.  A thread reads the region's function and context only while it
 * holds a task of it.
 *
 *  1. The caller owns `busy` from before it writes the region until all tasks are finished; whoever
 *     finds it taken runs inline.
 *  2. `finished` reaches `tasks` only after every holder of a task has let go of it.  So the fields
 *     of the region never change under a reader, and a worker that comes late, or never wakes up,
 *     costs nothing: nobody waits for workers, only for tasks.
 *  3. Sleeping: a worker counts itself in `sleepers`, then waits on `wakeups` having the value it
 *     saw before it last looked for work; the caller publishes, increments `wakeups`, then reads
 *     `sleepers`.  One of the two sees the other.  The caller's wait for `finished` is the same
 *     protocol with `caller_asleep`.
 *  4. sy_pool_each: under `busy`; every worker sees `round` differ from its own once, runs `each`
 *     and counts itself off `awaited`.  A worker is born with the round of its birth.
 *  5. More threads than processors: nobody spins for longer than a few yields, for the thread that
 *     is waited for may need this processor.
 */
#include "base/pool.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/scratch.h"
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define SPIN_NS 50000      /* a worker looks for work this long before it sleeps */
#define WAIT_SPIN_NS 200000 /* the caller looks this long for the end of the last tasks */
#define LEFT_BITS 40
#define LEFT_MASK (((uint64_t)1 << LEFT_BITS) - 1)
#define LINE 128 /* two cache lines: the adjacent-line prefetcher pairs them */

static struct {
    _Alignas(LINE) _Atomic uint64_t ticket;
    _Alignas(LINE) _Atomic int64_t finished;
    _Alignas(LINE) _Atomic uint32_t wakeups;
    _Atomic uint32_t caller_asleep;
    _Atomic int32_t sleepers;
    _Alignas(LINE) _Atomic bool busy;
    _Atomic bool stopping;
    _Atomic int threads; /* with the caller; 0: not started yet */
    bool may_spin;
    /* the region */
    int64_t tasks;
    sy_task_fn fn;
    void *ctx;
    /* what each thread is to do once */
    void (*each)(void *);
    void *each_ctx;
    _Atomic uint32_t round;
    _Atomic uint64_t starts; /* of workers */
    _Atomic int awaited;
    pthread_t worker[SY_POOL_MAX];
} pool;

static _Thread_local bool inside; /* this thread is running a task of the pool */

static void set_inside(bool on)
{
    inside = on;
    sy_scratch_in_task(on);
}
static _Thread_local uint32_t my_round;

/* ---- waiting ---- */

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    if (atomic_load(word) == value)
        sy_sleep(50e-6);
#endif
}

static void wake_sleepers(_Atomic uint32_t *word, int how_many)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, how_many, NULL, NULL, 0);
#else
    (void)word, (void)how_many;
#endif
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Look at until(arg) for a while; its last value. */
static bool spin_until(bool (*until)(void), uint64_t ns)
{
    if (!pool.may_spin) {
        for (int i = 0; i < 4; i++) {
            if (until())
                return true;
            sched_yield();
        }
        return until();
    }
    uint64_t end = sy_now_ns() + ns;
    do {
        for (int i = 0; i < 32; i++) {
            if (until())
                return true;
            pause_cpu();
        }
    } while (sy_now_ns() < end);
    return until();
}

/* ---- tasks ---- */

static bool has_work(void)
{
    return (atomic_load_explicit(&pool.ticket, memory_order_acquire) & LEFT_MASK) != 0 ||
           atomic_load_explicit(&pool.stopping, memory_order_relaxed) ||
           atomic_load_explicit(&pool.round, memory_order_acquire) != my_round;
}

static bool all_finished(void)
{
    return atomic_load_explicit(&pool.finished, memory_order_acquire) == pool.tasks;
}

/* Take a task: how many were left with it, or 0. */
static int64_t take_task(void)
{
    uint64_t t = atomic_load_explicit(&pool.ticket, memory_order_acquire);
    while ((t & LEFT_MASK) != 0)
        if (atomic_compare_exchange_weak_explicit(&pool.ticket, &t, t - 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return (int64_t)(t & LEFT_MASK);
    return 0;
}

/* Run tasks until none is left to take; then hand them in, all at once. */
static void run_tasks(void)
{
    int64_t left, ran = 0, tasks = 0;
    while ((left = take_task()) != 0) {
        tasks = pool.tasks;
        pool.fn(pool.ctx, tasks - left);
        ran++;
    }
    if (ran == 0)
        return;
    /* From here on the region may be over: only `tasks`, our copy, is ours. */
    int64_t sum = atomic_fetch_add(&pool.finished, ran) + ran;
    if (sum == tasks && atomic_load(&pool.caller_asleep)) {
        atomic_store(&pool.caller_asleep, 0);
        wake_sleepers(&pool.caller_asleep, 1);
    }
}

/* A worker's turn in sy_pool_each. */
static void serve_each(void)
{
    uint32_t round = atomic_load(&pool.round);
    if (round == my_round)
        return;
    my_round = round;
    pool.each(pool.each_ctx);
    atomic_fetch_sub(&pool.awaited, 1);
}

static void *worker_main(void *round)
{
    my_round = (uint32_t)(uintptr_t)round;
    set_inside(true);
    while (!atomic_load(&pool.stopping)) {
        uint32_t seen = atomic_load(&pool.wakeups);
        if (spin_until(has_work, SPIN_NS)) {
            serve_each();
            run_tasks();
            continue;
        }
        atomic_fetch_add(&pool.sleepers, 1);
        wait_while(&pool.wakeups, seen);
        atomic_fetch_sub(&pool.sleepers, 1);
    }
    return NULL;
}

static void run_inline(int64_t tasks, sy_task_fn fn, void *ctx)
{
    for (int64_t i = 0; i < tasks; i++)
        fn(ctx, i);
}

static void publish_tasks(int64_t tasks, sy_task_fn fn, void *ctx)
{
    pool.fn = fn;
    pool.ctx = ctx;
    pool.tasks = tasks;
    atomic_store_explicit(&pool.finished, 0, memory_order_relaxed);
    uint64_t number = (atomic_load_explicit(&pool.ticket, memory_order_relaxed) >> LEFT_BITS) + 1;
    atomic_store(&pool.ticket, number << LEFT_BITS | (uint64_t)tasks);
    atomic_fetch_add(&pool.wakeups, 1);
    int asleep = atomic_load(&pool.sleepers);
    if (asleep > 0)
        wake_sleepers(&pool.wakeups, tasks - 1 < asleep ? (int)(tasks - 1) : asleep);
}

static void wait_for_end(void)
{
    while (!spin_until(all_finished, WAIT_SPIN_NS)) {
        atomic_store(&pool.caller_asleep, 1);
        if (atomic_load(&pool.finished) != pool.tasks)
            wait_while(&pool.caller_asleep, 1);
        atomic_store(&pool.caller_asleep, 0);
    }
}

/* ---- starting and stopping ---- */

static int processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > SY_POOL_MAX ? SY_POOL_MAX : n;
}

static int default_threads(void)
{
    const char *text = getenv("SWITCHYARD_THREADS");
    if (text && *text) {
        char *end;
        long n = strtol(text, &end, 10);
        if (*end == '\0' && n >= 1 && n <= SY_POOL_MAX)
            return (int)n;
    }
    return processors();
}

/* Under `busy`, with no workers: start n - 1.  Returns how many threads there are then. */
static int start_workers(int n)
{
    int made = 1;
    pool.may_spin = n <= processors();
    atomic_store(&pool.stopping, false);
    void *round = (void *)(uintptr_t)atomic_load(&pool.round);
    while (made < n && sy_thread_start(&pool.worker[made], worker_main, round) == 0)
        made++;
    atomic_store(&pool.threads, made);
    atomic_fetch_add(&pool.starts, 1);
    return made;
}

/* Under `busy`: end and join the workers. */
static void stop_workers(void)
{
    int n = atomic_load(&pool.threads);
    atomic_store(&pool.stopping, true);
    atomic_fetch_add(&pool.wakeups, 1);
    wake_sleepers(&pool.wakeups, SY_POOL_MAX);
    for (int i = 1; i < n; i++)
        pthread_join(pool.worker[i], NULL);
    atomic_store(&pool.threads, 0);
}

static bool try_lock(void)
{
    return !atomic_load_explicit(&pool.busy, memory_order_relaxed) &&
           !atomic_exchange_explicit(&pool.busy, true, memory_order_acquire);
}

static void lock_pool(void)
{
    for (int tries = 0; !try_lock(); tries++) {
        if (tries < 64)
            sched_yield();
        else
            sy_sleep(100e-6);
    }
}

static void unlock_pool(void)
{
    atomic_store_explicit(&pool.busy, false, memory_order_release);
}

/* ---- public ---- */

void sy_pool_run(int64_t tasks, sy_task_fn fn, void *ctx)
{
    if (tasks <= 1 || inside || (uint64_t)tasks > LEFT_MASK || !try_lock()) {
        run_inline(tasks, fn, ctx);
        return;
    }
    int threads = atomic_load_explicit(&pool.threads, memory_order_relaxed);
    if (threads == 0)
        threads = start_workers(default_threads());
    set_inside(true);
    if (threads == 1) {
        run_inline(tasks, fn, ctx);
    } else {
        publish_tasks(tasks, fn, ctx);
        run_tasks();
        wait_for_end();
    }
    set_inside(false);
    unlock_pool();
}

void sy_pool_each(void (*fn)(void *ctx), void *ctx)
{
    fn(ctx);
    if (inside)
        return;
    lock_pool();
    int workers = atomic_load(&pool.threads) - 1;
    if (workers > 0) {
        pool.each = fn;
        pool.each_ctx = ctx;
        atomic_store(&pool.awaited, workers);
        atomic_fetch_add(&pool.round, 1);
        atomic_fetch_add(&pool.wakeups, 1);
        wake_sleepers(&pool.wakeups, SY_POOL_MAX);
        for (int tries = 0; atomic_load(&pool.awaited) > 0; tries++) {
            if (tries < 64)
                sched_yield();
            else
                sy_sleep(100e-6);
        }
    }
    unlock_pool();
}

static void level(void *unused)
{
    (void)unused;
    sy_scratch_level();
}

void sy_pool_level_scratch(void)
{
    static _Thread_local uint64_t seen;
    uint64_t now; /* both only grow; a thread may raise a mark meanwhile */
    while (seen != (now = sy_scratch_marks() + atomic_load(&pool.starts))) {
        seen = now;
        sy_pool_each(level, NULL);
    }
}

int sy_pool_threads(void)
{
    int n = atomic_load(&pool.threads);
    if (n > 0 || inside)
        return n > 0 ? n : 1;
    lock_pool();
    n = atomic_load(&pool.threads);
    if (n == 0)
        n = start_workers(default_threads());
    unlock_pool();
    return n;
}

int sy_pool_set_threads(int n, struct sy_err *err)
{
    if (n < 1 || n > SY_POOL_MAX)
        return sy_err_set(err, SY_E_RANGE, "threads: must be 1 to %d: %d", SY_POOL_MAX, n);
    if (inside)
        return sy_err_set(err, SY_E_STATE, "threads: cannot be set from inside a task");
    lock_pool();
    stop_workers();
    int made = start_workers(n);
    unlock_pool();
    if (made < n)
        return sy_err_set(err, SY_E_MEMORY, "threads: the system allows %d of %d", made, n);
    return 0;
}

void sy_pool_shutdown(void)
{
    if (inside)
        return;
    lock_pool();
    stop_workers();
    unlock_pool();
}
