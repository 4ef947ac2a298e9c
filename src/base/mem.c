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
 *  4. Scratch belongs to a thread and is freed by the destructor of a pthread key.
 */
#include "base/mem.h"

#include "base/assert.h"
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
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
#define MARK_MOST ((size_t)64 << 20) /* scratch above this is taken when it is needed */

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

/* -- scratch --------------------------------------------------------------------------------- */

struct scratch {
    void *block[SY_SCRATCH_COUNT];
    size_t size[SY_SCRATCH_COUNT];
    int registered;
};

static _Thread_local struct scratch scratch;
static _Atomic size_t marks[SY_SCRATCH_COUNT];
static _Atomic uint64_t raised;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static int scratch_key_made;

static void free_scratch(void *of_thread)
{
    struct scratch *s = of_thread;
    for (int i = 0; i < SY_SCRATCH_COUNT; i++) {
        sy_free(s->block[i]);
        s->block[i] = NULL;
        s->size[i] = 0;
    }
    s->registered = 0;
}

static void make_key(void)
{
    scratch_key_made = pthread_key_create(&scratch_key, free_scratch) == 0;
}

static void raise_mark(enum sy_scratch slot, size_t bytes)
{
    size_t now = atomic_load(&marks[slot]);
    while (bytes > now)
        if (atomic_compare_exchange_weak(&marks[slot], &now, bytes)) {
            atomic_fetch_add(&raised, 1);
            break;
        }
}

uint64_t sy_scratch_marks(void) { return atomic_load_explicit(&raised, memory_order_relaxed); }

void sy_scratch_level(void)
{
    for (int i = 0; i < SY_SCRATCH_COUNT; i++) {
        size_t bytes = atomic_load(&marks[i]);
        if (bytes)
            sy_scratch((enum sy_scratch)i, bytes); /* without memory: as if nothing had been asked */
    }
}

void *sy_scratch(enum sy_scratch slot, size_t bytes)
{
    struct scratch *s = &scratch;
    SY_ASSERT((unsigned)slot < SY_SCRATCH_COUNT);
    if (bytes <= s->size[slot] && s->block[slot]) {
        /* This thread has more, of something it did alone: the others do not. */
        if (bytes > atomic_load_explicit(&marks[slot], memory_order_relaxed) &&
            bytes <= MARK_MOST && sy_pool_inside())
            raise_mark(slot, bytes);
        return s->block[slot];
    }
    if (!s->registered) {
        pthread_once(&scratch_once, make_key);
        if (!scratch_key_made || pthread_setspecific(scratch_key, s) != 0)
            return NULL;
        s->registered = 1;
    }
    size_t rounded;
    if (sy_add_size(bytes, PAGE - 1, &rounded) != 0)
        return NULL;
    rounded = rounded / PAGE * PAGE;
    if (rounded == 0)
        rounded = PAGE;
    /* Packed panels live in a level-2 cache for long: in one huge page their lines spread evenly
     * over its sets, in small pages by chance (measured: 10% of a product's speed, run by run). */
    if (rounded >= LARGE / 32 && rounded < LARGE)
        rounded = LARGE;
    /* The contents need not survive, so the old block goes first: a lower peak. */
    sy_free(s->block[slot]);
    s->size[slot] = 0;
    s->block[slot] = sy_alloc(rounded);
    if (s->block[slot]) {
        s->size[slot] = rounded;
        if (rounded <= MARK_MOST && sy_pool_inside())
            raise_mark(slot, rounded);
    }
    return s->block[slot];
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
