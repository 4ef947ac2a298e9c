/* The allocator: alignment, exact accounting, failures on demand, scratch. */
#include "unit/tap.h"

#include "base/mem.h"
#include "base/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static bool aligned(const void *p, size_t to)
{
    return (uintptr_t)p % to == 0;
}

static void small_and_large(void)
{
    static const size_t sizes[] = {0, 1, 63, 64, 4096, (4u << 20) - 1, 4u << 20, (9u << 20) + 5};
    size_t live = sy_mem_live(), total = 0;
    void *block[8];
    int bad = 0;
    for (int i = 0; i < 8; i++) {
        block[i] = sy_alloc(sizes[i]);
        bad += !block[i] || !aligned(block[i], 64);
        memset(block[i], 0xAB, sizes[i]);
        total += sizes[i];
    }
    tap_is_int(bad, 0, "64-byte alignment");
    tap_is_int((int64_t)(sy_mem_live() - live), (int64_t)total, "live counts exactly");
    for (int i = 0; i < 8; i++)
        sy_free(block[i]);
    sy_free(NULL);
    tap_is_int((int64_t)sy_mem_live(), (int64_t)live, "all is given back");
    tap_ok(sy_mem_peak() >= live + total, "peak");
}

static void zeroed(void)
{
    int bad = 0;
    for (size_t n = 100; n < (6u << 20); n *= 7) {
        unsigned char *p = sy_calloc(n, 1);
        for (size_t i = 0; i < n; i++)
            bad += p[i] != 0;
        memset(p, 1, n);
        sy_free(p);
    }
    tap_is_int(bad, 0, "calloc zeroes");
    errno = 0;
    tap_ok(!sy_calloc(SIZE_MAX / 2, 3) && errno == ENOMEM, "calloc checks its product");
    errno = 0;
    tap_ok(!sy_alloc(SIZE_MAX - 10) && errno == ENOMEM, "an absurd size is refused");
}

static void resize(void)
{
    static const size_t sizes[] = {10, 5, 100, 60, 20, 5u << 20, 4u << 20, 3u << 20, 7};
    size_t live = sy_mem_live(), least = sizes[0];
    unsigned char *p = NULL;
    int bad = 0;
    for (int i = 0; i < 9; i++) {
        p = sy_realloc(p, sizes[i]);
        least = sizes[i] < least ? sizes[i] : least;
        for (size_t k = 0; i > 0 && k < least; k++)
            bad += p[k] != (unsigned char)k;
        for (size_t k = 0; k < sizes[i]; k++)
            p[k] = (unsigned char)k;
        bad += sy_mem_live() - live != sizes[i];
    }
    sy_free(p);
    tap_is_int(bad, 0, "realloc keeps contents and counts");
}

static void failures(void)
{
    char *kept = sy_strdup("kept");
    sy_mem_fail_at(1);
    tap_ok(!sy_realloc(kept, 1000) && strcmp(kept, "kept") == 0,
           "a failed realloc keeps the block");
    sy_mem_fail_at(2);
    void *a = sy_alloc(1), *b = sy_alloc(1), *c = sy_alloc(1);
    tap_ok(a && !b && c, "the second allocation fails, once");
    sy_free(a);
    sy_free(c);
    sy_free(kept);
    uint64_t count = sy_mem_count();
    char *cut = sy_strndup("hello", 2);
    tap_is_str(cut, "he", "strndup");
    tap_is_int((int64_t)(sy_mem_count() - count), 1, "allocations are counted");
    sy_free(cut);
}

static void *use_scratch(void *unused)
{
    (void)unused;
    char *a = sy_scratch(SY_SCRATCH_OP0, 100), *b = sy_scratch(SY_SCRATCH_OP1, 5000);
    int bad = !a || !b || a == b || !aligned(a, 64);
    a = sy_scratch(SY_SCRATCH_OP0, 10000);
    uint64_t count = sy_mem_count();
    bad += sy_scratch(SY_SCRATCH_OP0, 9000) != a || sy_mem_count() != count;
    memset(a, 0, 10000);
    sy_mem_fail_at(1);
    bad += sy_scratch(SY_SCRATCH_OP0, 1 << 20) != NULL;
    bad += sy_scratch(SY_SCRATCH_OP0, 10) == NULL;
    return (void *)(intptr_t)bad;
}

static void scratch(void)
{
    size_t live = sy_mem_live();
    void *bad;
    pthread_t t;
    pthread_create(&t, NULL, use_scratch, NULL);
    pthread_join(t, &bad);
    tap_is_int((intptr_t)bad, 0, "scratch grows, is reused, survives a failure");
    tap_is_int((int64_t)sy_mem_live(), (int64_t)live, "and is freed with its thread");
}

static void checked_sizes(void)
{
    size_t out = 0;
    tap_ok(sy_mul_size(1u << 16, 1u << 16, &out) == 0 && out == (size_t)1 << 32, "product");
    tap_ok(sy_mul_size(SIZE_MAX, 2, &out) == -1, "product too large");
    tap_ok(sy_add_size(SIZE_MAX, 1, &out) == -1, "sum too large");
}

int main(void)
{
    small_and_large();
    zeroed();
    resize();
    failures();
    scratch();
    checked_sizes();
    return tap_done();
}
