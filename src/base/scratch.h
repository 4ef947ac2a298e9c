/* Scratch memory of a thread, for the loop at hand: asked for on every iteration, allocated
 * once. */
#ifndef SY_BASE_SCRATCH_H
#define SY_BASE_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Thread-local scratch: at least `bytes`, 64-byte aligned, contents undefined, valid until the same
 * thread asks for the same slot again.  Grows, never shrinks; freed at thread exit.  So a loop that
 * ran once allocates nothing.  Returns NULL when memory is out. */
enum sy_scratch {
    SY_SCRATCH_PACK_A,
    SY_SCRATCH_PACK_B,
    SY_SCRATCH_GEMM,
    SY_SCRATCH_DECODE,
    SY_SCRATCH_OP0,
    SY_SCRATCH_OP1,
    SY_SCRATCH_OP2,
    SY_SCRATCH_OP3,
    SY_SCRATCH_COUNT
};
void *sy_scratch(enum sy_scratch slot, size_t bytes);
/* Which thread runs which task is chance.  So that what a thread's scratch needs is not: the most
 * that a task of the pool has asked for so far (up to some MiB) is remembered for each slot, and
 * sy_scratch_level brings this thread's up to that; the count rises whenever one of these marks
 * does.  See sy_pool_level_scratch. */
uint64_t sy_scratch_marks(void);
void sy_scratch_level(void);
/* This thread runs a task of the pool, from now on or no longer (the pool says so). */
void sy_scratch_in_task(bool on);

#endif
