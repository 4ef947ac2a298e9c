/* The one allocation interface; see base/mem.h.  Layer base.
 *
 * Every block is preceded by 64 bytes that hold a struct header:
 *
 *     small (< 4 MiB)   posix_memalign(64):  | header | block ...
 *     large             mmap:         ... 4K | header | block, 2 MiB aligned, MADV_HUGEPAGE ... |
 *
 *  1. header.size is the size asked for; live is the sum of them over all live blocks.
 *  2. The page in front of a large block belongs to its mapping; what lies before and behind was
 *     given back, so a large block costs its bytes plus one page.
 *  3. Under AddressSanitizer every block comes from posix_memalign, so that an overrun is seen.
 */
#include "base/mem.h"

#include "base/assert.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 64u
#define PAGE 4096u
#define HUGE_PAGE ((size_t)2 << 20)
#define LARGE ((size_t)4 << 20)
#define MAGIC 0x5179a4d1u

#if defined(__SANITIZE_ADDRESS__)
#define USE_MMAP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define USE_MMAP 0
#endif
#endif
#ifndef USE_MMAP
#define USE_MMAP 1
#endif

struct header {
    size_t size;
    size_t mapped; /* bytes of the mapping that begins one page before the block; 0: malloc's */
    uint32_t magic;
};
_Static_assert(sizeof(struct header) <= ALIGN, "the header fits in front of a block");

static _Atomic uint64_t count, fail_in;
static _Atomic size_t live, peak;
static _Thread_local bool uncounted;

static struct header *header_of(void *block)
{
    struct header *h = (struct header *)(void *)((char *)block - ALIGN);
    SY_ASSERT(h->magic == MAGIC);
    return h;
}

static void account(size_t added)
{
    size_t now = atomic_fetch_add_explicit(&live, added, memory_order_relaxed) + added;
    size_t seen = atomic_load_explicit(&peak, memory_order_relaxed);
    while (now > seen && !atomic_compare_exchange_weak_explicit(
                             &peak, &seen, now, memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* Is it this allocation's turn to fail? */
static int told_to_fail(void)
{
    uint64_t left = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (left > 0)
        if (atomic_compare_exchange_weak_explicit(&fail_in, &left, left - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return left == 1;
    return 0;
}

static void *map_large(size_t bytes, size_t *mapped)
{
    size_t tail = (bytes + PAGE - 1) / PAGE * PAGE;
    size_t want;
    if (tail < bytes || sy_add_size(tail, HUGE_PAGE + PAGE, &want) != 0)
        return NULL;
    char *base = mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    uintptr_t at = ((uintptr_t)base + PAGE + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *block = base + (at - (uintptr_t)base), *first = block - PAGE;
    if (first > base)
        munmap(base, (size_t)(first - base));
    if (base + want > block + tail)
        munmap(block + tail, (size_t)(base + want - (block + tail)));
    madvise(block, tail, MADV_HUGEPAGE); /* a wish: small pages are right as well */
    *mapped = tail + PAGE;
    return block;
}

static void *allocate(size_t bytes, int zero)
{
    void *block = NULL;
    size_t mapped = 0, total;
    if (told_to_fail() || sy_add_size(bytes, ALIGN, &total) != 0) {
        errno = ENOMEM;
        return NULL;
    }
    if (USE_MMAP && bytes >= LARGE) {
        block = map_large(bytes, &mapped);
    } else if (posix_memalign(&block, ALIGN, total) == 0) {
        block = (char *)block + ALIGN;
        if (zero)
            memset(block, 0, bytes);
    } else {
        block = NULL;
    }
    if (!block) {
        errno = ENOMEM;
        return NULL;
    }
    *(struct header *)(void *)((char *)block - ALIGN) = (struct header){bytes, mapped, MAGIC};
    if (!uncounted)
        atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    account(bytes);
    return block;
}

void *sy_alloc(size_t bytes)
{
    return allocate(bytes, 0);
}

void *sy_calloc(size_t n, size_t size)
{
    size_t bytes;
    if (sy_mul_size(n, size, &bytes) != 0) {
        errno = ENOMEM;
        return NULL;
    }
    return allocate(bytes, 1);
}

void sy_free(void *block)
{
    if (!block)
        return;
    struct header *h = header_of(block);
    atomic_fetch_sub_explicit(&live, h->size, memory_order_relaxed);
    h->magic = 0;
    if (h->mapped)
        munmap((char *)block - PAGE, h->mapped);
    else
        free(h);
}

void *sy_realloc(void *block, size_t bytes)
{
    if (!block)
        return sy_alloc(bytes);
    struct header *h = header_of(block);
    if (bytes <= h->size && bytes >= h->size / 2) { /* shrinking a little: not worth a move */
        atomic_fetch_sub_explicit(&live, h->size - bytes, memory_order_relaxed);
        h->size = bytes;
        return block;
    }
    void *moved = sy_alloc(bytes);
    if (!moved)
        return NULL;
    memcpy(moved, block, bytes < h->size ? bytes : h->size);
    sy_free(block);
    return moved;
}

char *sy_strndup(const char *s, size_t n)
{
    n = strnlen(s, n);
    char *copy = sy_alloc(n + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *sy_strdup(const char *s)
{
    return sy_strndup(s, strlen(s));
}

void sy_mem_uncounted(void) { uncounted = true; }

uint64_t sy_mem_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}

size_t sy_mem_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

size_t sy_mem_peak(void)
{
    return atomic_load_explicit(&peak, memory_order_relaxed);
}

void sy_mem_fail_at(uint64_t n)
{
    atomic_store_explicit(&fail_in, n, memory_order_relaxed);
}

/* -- checked sizes --------------------------------------------------------------------------- */

int sy_mul_size(size_t a, size_t b, size_t *out)
{
    return __builtin_mul_overflow(a, b, out) ? -1 : 0;
}

int sy_add_size(size_t a, size_t b, size_t *out)
{
    return __builtin_add_overflow(a, b, out) ? -1 : 0;
}
