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

/* Checked arithmetic for sizes from outside: returns 0, or -1 on overflow. */
int sy_mul_size(size_t a, size_t b, size_t *out);
int sy_add_size(size_t a, size_t b, size_t *out);

#endif
