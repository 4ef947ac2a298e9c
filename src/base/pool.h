/* Thread pool.  Work is split by *shape*: a caller makes as many tasks as the shape wants, never as
 * many as there are threads, and each task writes its own outputs, so results do not depend on the
 * number of threads.
 *
 *  1. One pool a process.  sy_pool_run returns when all tasks are done; the calling thread works
 *     too.
 *  2. One parallel region at a time.  A caller that finds the pool busy (another run's trainer, the
 *     prompt) runs its tasks itself, one by one: same bits, never a wait on another's region.
 *     Nested calls from inside a task run inline likewise.
 *  3. Workers spin briefly (SPIN_NS of pool.c), then sleep on a futex/condition: an idle program
 *     has no wake-ups.
 *  4. Tasks are taken in ascending order from one atomic counter.
 */
#ifndef SY_BASE_POOL_H
#define SY_BASE_POOL_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SY_POOL_MAX 256 /* threads */

typedef void (*sy_task_fn)(void *ctx, int64_t task);

/* Run fn(ctx, 0..tasks-1).  Inline when tasks == 1 or the pool has one thread. */
void sy_pool_run(int64_t tasks, sy_task_fn fn, void *ctx);

/* Threads in use including the caller.  First use starts as many as the CPU affinity mask allows,
 * or SWITCHYARD_THREADS.  Setting joins and restarts the workers. */
int sy_pool_threads(void);
int sy_pool_set_threads(int n, struct sy_err *err); /* 1..SY_POOL_MAX, else RANGE */
void sy_pool_shutdown(void);

/* Run fn(ctx) once on each thread of the pool and on this one, and wait for it: for what belongs to
 * a thread.  Slow; inside a task only this thread. */
void sy_pool_each(void (*fn)(void *ctx), void *ctx);
/* Give every thread the scratch that any has needed (base/scratch.h), if that has grown since this
 * thread asked last: so a loop allocates after its first round only when it asks for more than ever
 * before. */
void sy_pool_level_scratch(void);

#endif
