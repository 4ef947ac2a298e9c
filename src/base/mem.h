/* The one allocation interface.  Everything the engine allocates goes through here, so that tests
 * can count allocations and fail any one of them.  Thread-safe.
 *
 *  1. Blocks are aligned to 64 bytes; blocks of 4 MiB and more to 2 MiB with MADV_HUGEPAGE.
 *  2. A NULL result sets nothing but errno; callers report SY_E_MEMORY with the bytes they wanted.
 *  3. sy_free(NULL) is a no-op.  Size is remembered in a header, so sy_mem_live() is the
 *     sum of the bytes that were asked for.  What the system gave is more: the header, and the rest
 *     of a page or of malloc's block.
 */
#ifndef SY_BASE_MEM_H
#define SY_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *sy_alloc(size_t bytes);                /* contents undefined */
void *sy_calloc(size_t count, size_t size);  /* checked multiplication, zeroed */
void *sy_realloc(void *block, size_t bytes); /* on failure the old block stays */
void sy_free(void *block);
char *sy_strdup(const char *s);
char *sy_strndup(const char *s, size_t n);

uint64_t sy_mem_count(void); /* allocations so far (alloc, calloc, realloc that moved) */
/* This thread's allocations are not counted from now on: it does something now and then beside the
 * loops that are watched (writes checkpoints, flushes a store), and when is a matter of time. */
void sy_mem_uncounted(void);
size_t sy_mem_live(void);    /* bytes live */
size_t sy_mem_peak(void);
/* Tests: let allocation number `n` from now (1 = the next) fail once; 0 switches it off. */
void sy_mem_fail_at(uint64_t n);

/* Thread-local scratch: at least `bytes`, 64-byte aligned, contents undefined, valid until the same
 * thread asks for the same slot again.  Grows, never shrinks; freed at thread exit.  So a loop that
 * ran once allocates nothing.  Returns NULL when memory is out. */
enum sy_scratch {
    SY_SCRATCH_PACK_A,
    SY_SCRATCH_PACK_B,
    SY_SCRATCH_GEMM,
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

/* Checked arithmetic for sizes from outside: returns 0, or -1 on overflow. */
int sy_mul_size(size_t a, size_t b, size_t *out);
int sy_add_size(size_t a, size_t b, size_t *out);

#endif
