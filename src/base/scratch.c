/* Scratch of a thread; see base/scratch.h.
 *
 *  1. It belongs to a thread and is freed by the destructor of a pthread key. */
#include "base/scratch.h"

#include "base/assert.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>

#define PAGE 4096u
#define HUGE_BLOCK ((size_t)4 << 20) /* base/mem.h gives blocks from here on huge pages */
#define MARK_MOST ((size_t)64 << 20) /* scratch above this is taken when it is needed */

static _Thread_local bool in_task;

void sy_scratch_in_task(bool on) { in_task = on; }

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
            /* without memory: as if nothing had been asked */
            sy_scratch((enum sy_scratch)i, bytes);
    }
}

void *sy_scratch(enum sy_scratch slot, size_t bytes)
{
    struct scratch *s = &scratch;
    SY_ASSERT((unsigned)slot < SY_SCRATCH_COUNT);
    if (bytes <= s->size[slot] && s->block[slot]) {
        /* This thread has more, of something it did alone: the others do not. */
        if (bytes > atomic_load_explicit(&marks[slot], memory_order_relaxed) &&
            bytes <= MARK_MOST && in_task)
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
    if (rounded >= HUGE_BLOCK / 32 && rounded < HUGE_BLOCK)
        rounded = HUGE_BLOCK;
    /* The contents need not survive, so the old block goes first: a lower peak. */
    sy_free(s->block[slot]);
    s->size[slot] = 0;
    s->block[slot] = sy_alloc(rounded);
    if (s->block[slot]) {
        s->size[slot] = rounded;
        if (rounded <= MARK_MOST && in_task)
            raise_mark(slot, rounded);
    }
    return s->block[slot];
}
