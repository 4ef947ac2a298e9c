/* The store of a run: what is written is read, whatever happens in between: reopening, rewinds, a
 * second writer, kill -9, a disk that fails at any call, memory that is out at any call, and files
 * that somebody damaged. */
#include "run/store.h"
#include "switchyard/journal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "run/packed_rows.h"
#include "run/series_codec.h"
#include "run/lock.h"
#include "run/metrics.h"
#include "unit/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd_errors.h>

#define WIDTH 8

static char dir[64];
static uint64_t seed = 88172645463325252u;

static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static char *path_of(const char *name, const char *file)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s%s%s", dir, name, file ? "/" : "",
             file ? file : "");
    return path[turn];
}

static void remove_run(const char *name)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", path_of(name, NULL));
    if (system(command))
        tap_note("%s failed", command);
}

static float loss_at(int64_t step)
{
    return 5.0f / (1.0f + (float)step * 0.01f);
}
static float load_at(int64_t step, int e)
{
    return (float)((step * 7 + e * 13) % 64) / 16.0f;
}

static void add_rows(struct sy_metrics *m, int64_t first, int64_t last)
{
    int loss = sy_metrics_series(m, "loss", 1, NULL),
        load = sy_metrics_series(m, "load.1", WIDTH, NULL);
    int val = sy_metrics_series(m, "val_loss", 1, NULL);
    for (int64_t step = first; step <= last; step++) {
        float v = loss_at(step), row[WIDTH];
        for (int e = 0; e < WIDTH; e++)
            row[e] = load_at(step, e);
        sy_metrics_add(m, loss, step, &v);
        sy_metrics_add(m, load, step, row);
        if (step % 10 == 0 || step == 33)
            sy_metrics_add(m, val, step, &v);
    }
}

/* Rows of a store, or -1 when one of them is not what add_rows writes. */
static int64_t good_rows(struct sy_store *s, const char *name, int64_t last)
{
    struct sy_history h;
    struct sy_err err = SY_ERR_INIT;
    bool load = !strcmp(name, "load.1");
    if (sy_store_history(s, name, -1, 0, last, &h, &err)) {
        if (err.code == SY_E_NAME)
            return 0;
        tap_note("history: %s", err.msg);
        return -1;
    }
    int64_t n = h.count;
    for (int64_t i = 0; i < h.count; i++)
        for (int e = 0; e < h.width; e++) {
            float want = load ? load_at(h.steps[i], e) : loss_at(h.steps[i]);
            if (h.values[i * h.width + e] != want ||
                (strcmp(name, "val_loss") && h.steps[i] != i + 1))
                n = -1;
        }
    sy_history_free(&h);
    return n;
}

static struct sy_store *make(const char *name, struct sy_err *err)
{
    struct sy_store_config c = {.dir = dir,
                                .name = name,
                                .config = "{\"steps\": 2000}",
                                .steps = 2000,
                                .tokenizer = "0123",
                                .data = "4567"};
    return sy_store_create(&c, err);
}

/* ---- names ---- */

static void test_names(void)
{
    static const char *const good[] = {"first", "amber-otter", "über 2", "a.b", "x"};
    static const char *const bad[] = {
        "",         ".",    "..",
        ".hidden",  "-x",   "a/b",
        "a\\b",     "a\nb", "a\x7f",
        "\xc2\x85", "\xff", "12345678901234567890123456789012345678901234567890123456789012345"};
    struct sy_err err = SY_ERR_INIT;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        tap_ok(sy_store_name_ok(good[i], NULL), "name '%s' may be", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        tap_ok(!sy_store_name_ok(bad[i], NULL), "name %zu may not be", i);
    static const char *const unseen[] = {"a\u200Bb", "\u202Eab", "a\u00ADb", "a\u00A0b", "\uFEFFa",
                                         "a\u2066b"};
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
        tap_ok(sy_store_name_ok(unseen[i], NULL) && !sy_store_name_new(unseen[i], NULL) &&
                   !make(unseen[i], NULL),
               "name %zu with what is not seen may be an old run's, not a new one's", i);
    sy_store_name_ok("a/b", &err);
    tap_is_str(err.msg, "run: a name must not hold '/' or '\\': 'a/b'", "and the reason is said");
    tap_ok(!make("a/b", NULL), "no run outside its folder");
}

/* ---- chunks ---- */

static void test_codec(void)
{
    static int64_t steps[SY_CHUNK_ROWS], steps2[SY_CHUNK_ROWS];
    static float values[SY_CHUNK_ROWS * 4], values2[SY_CHUNK_ROWS * 4];
    double worst = 0, worst_small = 0;
    bool same = true, again = true;
    for (int trial = 0; trial < 200; trial++) {
        int rows = 1 + (int)(draw() % SY_CHUNK_ROWS), width = 1 + (int)(draw() % 4);
        struct sy_str a = SY_STR_INIT, b = SY_STR_INIT;
        for (int i = 0; i < rows; i++) {
            steps[i] = i ? steps[i - 1] + 1 + (int64_t)(trial % 2 ? draw() % 1000 : 4)
                         : (int64_t)(draw() % 99);
            for (int e = 0; e < width; e++)
                values[i * width + e] =
                    ldexpf((float)(int32_t)draw(), -31 - (int)(draw() % 26) + 8);
        }
        sy__chunk_encode(&a, steps, values, rows, width);
        int got = sy__chunk_decode(a.data, a.len, width, steps2, values2, NULL);
        same &= got == rows && !memcmp(steps, steps2, (size_t)rows * sizeof *steps);
        for (int i = 0; i < rows * width; i++) {
            double v = (double)values[i], d = fabs((double)values2[i] - v);
            if (width == 1)
                same &= values[i] == values2[i];
            else if (fabs(v) >= 0x1p-14)
                worst = fmax(worst, d / fabs(v));
            else
                worst_small = fmax(worst_small, d);
        }
        sy__chunk_encode(&b, steps2, values2, rows, width);
        again &= a.len == b.len && !memcmp(a.data, b.data, a.len);
        for (size_t cut = 0; cut < a.len; cut += 1 + a.len / 50)
            same &= sy__chunk_decode(a.data, cut, width, steps2, values2, NULL) < 0;
        sy_str_free(&a);
        sy_str_free(&b);
    }
    tap_ok(same, "chunks: what was encoded is decoded, scalars exactly");
    tap_ok(worst > 0x1p-13 && worst <= 0x1p-11, "vectors: relative error %.3g", worst);
    tap_ok(worst_small > 0 && worst_small <= 0x1p-25, "small numbers: error %.3g", worst_small);
    tap_ok(again, "encoding again gives the same bytes");
    struct sy_str s = SY_STR_INIT;
    float odd[8] = {INFINITY, -INFINITY, NAN, -0.0f, 65504, -65504, 1e-30f, 1};
    float big[2] = {1e6f, 1};
    steps[0] = 1;
    sy__chunk_encode(&s, steps, odd, 1, 8);
    sy__chunk_decode(s.data, s.len, 8, steps2, values2, NULL);
    tap_ok(values2[0] == INFINITY && values2[1] == -INFINITY && isnan(values2[2]) &&
               values2[4] == 65504 && values2[6] == 0 && values2[7] == 1,
           "infinities, NaN, ends of the range");
    sy_str_clear(&s);
    sy__chunk_encode(&s, steps, big, 1, 2);
    sy__chunk_decode(s.data, s.len, 2, steps2, values2, NULL);
    tap_ok(values2[0] == 1e6f, "over the halves' range: floats");
    sy_str_clear(&s);
    for (int i = 0; i < SY_CHUNK_ROWS; i++)
        steps[i] = 100 + 3 * i;
    sy__chunk_encode(&s, steps, values, SY_CHUNK_ROWS, 1);
    size_t constant = s.len;
    steps[1]++;
    sy_str_clear(&s);
    sy__chunk_encode(&s, steps, values, SY_CHUNK_ROWS, 1);
    tap_is_int((int64_t)(s.len - constant), SY_CHUNK_ROWS - 1, "a constant stride takes one byte");
    sy_str_free(&s);
}

static void flip(struct sy_str *s, size_t bit)
{
    s->data[bit / 8] ^= (char)(1 << bit % 8);
}

static void mend_sum(struct sy_str *s)
{
    memset(s->data + 12, 0, 4);
    uint32_t sum = (uint32_t)sy_hash_bytes(s->data, s->len);
    memcpy(s->data + 12, &sum, 4);
}

/* Packed chunks: smaller, whole or not at all, and never far more than they take. */
static void test_packed(void)
{
    enum { W = 32, N = SY_CHUNK_ROWS * W };
    static int64_t steps[SY_CHUNK_ROWS], steps2[SY_CHUNK_ROWS];
    static float values[N], values2[N];
    struct sy_str s = SY_STR_INIT, bad = SY_STR_INIT;
    struct sy_err err = SY_ERR_INIT;
    for (int i = 0; i < SY_CHUNK_ROWS; i++)
        steps[i] = i + 1;
    for (int i = 0; i < N; i++)
        values[i] = (float)(draw() % 40) / 16.0f;
    sy__chunk_encode(&s, steps, values, SY_CHUNK_ROWS, W);
    tap_ok(s.len < (size_t)N * 2 / 2, "counts are packed: %zu bytes of %d", s.len, 2 * N);
    tap_ok(sy__chunk_decode(s.data, s.len, W, steps2, values2, &err) == SY_CHUNK_ROWS &&
               !memcmp(values, values2, sizeof values),
           "and come back as they were %s", err.msg);
    int taken = 0, said = 0;
    for (int i = 0; i < 2000; i++) { /* with a right sum, so that the frame itself is read */
        sy_str_clear(&bad);
        sy_str_add(&bad, s.data, s.len - (i % 3 ? 0 : draw() % s.len));
        if (bad.len < 24)
            continue;
        flip(&bad, draw() % (8 * bad.len));
        mend_sum(&bad);
        err = (struct sy_err)SY_ERR_INIT;
        int rows = sy__chunk_decode(bad.data, bad.len, W, steps2, values2, &err);
        taken += rows > 0;
        said += rows < 0 && err.code == SY_E_FORMAT;
    }
    tap_ok(taken + said > 1900 && said > 600, "damaged: %d errors, %d other values", said, taken);
    memset(values, 0, sizeof values);
    sy_str_clear(&s);
    sy__chunk_encode(&s, steps, values, SY_CHUNK_ROWS, W);
    tap_ok(s.len * SY_CHUNK_RATIO > (size_t)N * 2 && s.len < (size_t)N * 2 / 32,
           "but to no less than a 64th: %zu bytes", s.len);
    memcpy(s.data + 4, &(uint32_t){SY_CHUNK_ROWS}, 4);
    memcpy(s.data + 8, &(uint32_t){SY_SERIES_WIDTH_MAX}, 4);
    s.data[1] = 2;
    mend_sum(&s);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy__chunk_values(s.data, s.len, SY_SERIES_WIDTH_MAX, &err) < 0 &&
               err.code == SY_E_FORMAT,
           "one that says more: %s", err.msg);
    sy_str_free(&s);
    sy_str_free(&bad);
}

/* What packs best is filled up to a 64th and comes back, as does what is just above and below that.
 */
static void test_filled(void)
{
    enum { W = 64, N = SY_CHUNK_ROWS * W };
    static int64_t steps[SY_CHUNK_ROWS], steps2[SY_CHUNK_ROWS];
    static float values[N], values2[N];
    int damaged = 0, wrong = 0, said = 0;
    for (int i = 0; i < SY_CHUNK_ROWS; i++)
        steps[i] = i + 1;
    for (int others = 0; others < 400; others += others < 4 ? 1 : 9) {
        struct sy_str s = SY_STR_INIT;
        for (int i = 0; i < others; i++)
            values[draw() % N] = (float)(draw() % 1000);
        sy__chunk_encode(&s, steps, values, SY_CHUNK_ROWS, W);
        if (s.len < 24 || s.len >= (size_t)N || s.len < (size_t)N * 2 / SY_CHUNK_RATIO ||
            (!others && s.len > (size_t)N * 2 / SY_CHUNK_RATIO + 64) ||
            sy__chunk_decode(s.data, s.len, W, steps2, values2, NULL) != SY_CHUNK_ROWS ||
            memcmp(values, values2, sizeof values) || memcmp(steps, steps2, sizeof steps)) {
            tap_note("%d values that are not 0: %zu bytes", others, s.len);
            wrong++;
        }
        for (size_t whole = s.len; s.len > 24 && s.len + 300 > whole && !others;) {
            struct sy_err err = SY_ERR_INIT;
            s.len--;
            mend_sum(&s);
            said++;
            damaged += sy__chunk_decode(s.data, s.len, W, steps2, values2, &err) < 0 &&
                       err.code == SY_E_FORMAT;
        }
        sy_str_free(&s);
    }
    tap_is_int(wrong, 0, "zeros and what is nearly all zeros: packed, and back");
    tap_ok(said > 200 && damaged == said, "cut: %d of %d are errors", damaged, said);
}

/* For libzstd, which allocates on its own: the linker puts us in between. */
static atomic_bool no_room;
size_t __real_ZSTD_decompress(void *to, size_t room, const void *from, size_t n);
size_t __wrap_ZSTD_decompress(void *to, size_t room, const void *from, size_t n);

size_t __wrap_ZSTD_decompress(void *to, size_t room, const void *from, size_t n)
{
    return no_room ? (size_t)-ZSTD_error_memory_allocation
                   : __real_ZSTD_decompress(to, room, from, n);
}

/* Unpacking without memory is no damage: a reader says so, and a tail is not given up for it. */
static void test_no_room(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_history h = {0};
    struct sy_store *s = make("room", &err);
    sy_store_attach(s, m, NULL, NULL, &err);
    add_rows(m, 1, 200);
    tap_ok(!sy_store_close(s, &err), "a tail %s", err.msg);
    s = sy_store_open(dir, "room", &err);
    no_room = true;
    int rc = sy_store_history(s, "load.1", -1, 0, 200, &h, &err);
    tap_ok(rc && err.code == SY_E_MEMORY, "no memory to unpack: %s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    add_rows(m, 201, 210);
    rc = sy_store_attach(s, m, NULL, NULL, &err) || sy_store_flush(s, &err);
    tap_ok(rc && err.code == SY_E_MEMORY, "nor for the tail: %s", err.msg);
    no_room = false;
    sy_store_close(s, NULL);
    s = sy_store_open(dir, "room", NULL);
    tap_is_int(good_rows(s, "load.1", 210), 210, "and then all are there");
    sy_store_close(s, NULL);
    sy_metrics_free(m);
}

/* ---- round trip ---- */

/* Rows leave the memory once they are written, and come from the store. */
static void test_forgotten(void)
{
    enum { MANY = 9000, WIDE = 8 };
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_store *s = make("forgotten", NULL);
    int one = sy_metrics_series(m, "loss", 1, NULL),
        wide = sy_metrics_series(m, "load.1", WIDE, NULL);
    float row[WIDE], values[256 * WIDE];
    int64_t steps[256], n, after = -1, seen = 0;
    sy_store_attach(s, m, NULL, NULL, NULL);
    for (int64_t step = 1; step <= MANY; step++) {
        for (int k = 0; k < WIDE; k++)
            row[k] = (float)((step + k) % 1000); /* a half has it */
        sy_metrics_add(m, one, step, row);
        sy_metrics_add(m, wide, step, row);
    }
    size_t before = sy_mem_live();
    sy_store_flush(s, NULL);
    tap_ok(sy_mem_live() + 5000 * WIDE * sizeof(float) < before, "memory is given back");
    tap_ok(sy_metrics_first(m, one) >= MANY - 3 * SY_METRICS_CHUNK &&
               sy_metrics_first(m, wide) >= MANY - 3 * SY_METRICS_CHUNK,
           "from row %lld on they are here", (long long)sy_metrics_first(m, wide));
    int wrong = 0;
    while ((n = sy_metrics_rows_after(m, wide, after, 256, steps, values)) > 0)
        for (int64_t i = 0; i < n; i++) {
            after = steps[i];
            wrong += after != ++seen || values[i * WIDE + 1] != (float)((after + 1) % 1000);
        }
    tap_ok(!wrong && seen == MANY, "all rows come, in their order (%lld)", (long long)seen);
    tap_ok(sy_metrics_at(m, wide, 5, values) == 5 && values[0] == 5 &&
               sy_metrics_at(m, wide, MANY, values) == MANY &&
               sy_metrics_at(m, wide, 0, values) < 0,
           "so does one");
    sy_store_truncate_rows(s, 2000, NULL); /* below what is here */
    tap_ok(sy_metrics_at(m, wide, MANY, values) == 2000,
           "after a rewind the newest is the store's");
    for (int64_t step = 2001; step <= 2100; step++)
        sy_metrics_add(m, wide, step, row);
    sy_store_flush(s, NULL);
    seen = wrong = 0;
    after = -1;
    while ((n = sy_metrics_rows_after(m, wide, after, 256, steps, values)) > 0)
        for (int64_t i = 0; i < n; i++)
            wrong += (after = steps[i]) != ++seen;
    tap_ok(!wrong && seen == 2100, "and goes on from there (%lld)", (long long)seen);
    sy_store_close(s, NULL);
    tap_is_int(sy_metrics_rows_after(m, wide, -1, 256, steps, values), 100,
               "without a store there is what is here");
    sy_metrics_free(m);
}

/* Of a run that has no store: older rows are packed, where there is memory for it, and come in
 * their order. */
static void test_packed_rows(void)
{
    enum { MANY = 9000, WIDE = 8 };
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_packed_rows *a = sy_packed_rows_new(m, NULL);
    int one = sy_metrics_series(m, "loss", 1, NULL),
        wide = sy_metrics_series(m, "load.1", WIDE, NULL), wrong = 0;
    float row[WIDE], values[300 * WIDE];
    int64_t steps[300], n, after = -1, seen = 0;
    for (int64_t step = 1; step <= MANY; step++) {
        for (int k = 0; k < WIDE; k++)
            row[k] = (float)((step + k) % 1000); /* a half has it */
        sy_metrics_add(m, one, 2 * step, row);
        sy_metrics_add(m, wide, 2 * step, row);
    }
    size_t before = sy_mem_live();
    for (uint64_t fail = 1; fail < 60; fail++) { /* one after the other cannot be had */
        sy_mem_fail_at(fail);
        sy_packed_rows_pack(a);
    }
    sy_mem_fail_at(0);
    sy_packed_rows_pack(a);
    tap_ok(sy_mem_live() + 5000 * WIDE * sizeof(float) < before, "memory is given back");
    tap_ok(sy_metrics_first(m, one) >= MANY - 4 * SY_METRICS_CHUNK &&
               sy_metrics_first(m, wide) >= MANY - 4 * SY_METRICS_CHUNK,
           "from row %lld on they are as they were", (long long)sy_metrics_first(m, wide));
    while ((n = sy_metrics_rows_after(m, wide, after, 300, steps, values)) > 0)
        for (int64_t i = 0; i < n; i++) {
            after = steps[i];
            wrong += after != 2 * ++seen || values[i * WIDE + 1] != (float)((seen + 1) % 1000);
        }
    tap_ok(!wrong && seen == MANY, "all rows come, in their order (%lld)", (long long)seen);
    for (int64_t step = 2; step <= 2 * MANY + 1; step++)
        wrong += sy_metrics_at(m, one, step, values) != step / 2 * 2 ||
                 values[0] != (float)(step / 2 % 1000);
    tap_is_int(wrong, 0, "so does one");
    tap_is_int(sy_metrics_at(m, one, 1, values), -1, "before the first there is none");
    sy_packed_rows_free(a);
    sy_metrics_free(m);
}

/* Of 100,000 series most have few rows. */
static void test_small(void)
{
    enum { NAMES = 1000, ROWS = 3 * SY_METRICS_CHUNK };
    struct sy_metrics *m = sy_metrics_new(NULL);
    size_t before = sy_mem_live();
    char name[32];
    for (int i = 0; i < NAMES; i++) {
        const float v = (float)i;
        snprintf(name, sizeof name, "user.%d", i);
        sy_metrics_add(m, sy_metrics_series(m, name, 1, NULL), 1, &v);
    }
    size_t each = (sy_mem_live() - before) / NAMES;
    tap_ok(each < 600, "a series of one row takes %zu bytes", each);
    int wide = sy_metrics_series(m, "wide", 3, NULL), wrong = 0;
    for (int64_t step = 1; step <= ROWS; step++) {
        const float row[3] = {(float)step, (float)step / 2, -(float)step};
        sy_metrics_add(m, wide, step, row);
    }
    for (int64_t i = 0; i < ROWS; i++) {
        int64_t step = 0;
        float row[3];
        wrong += sy_metrics_copy(m, wide, i, 1, &step, row) != 1 || step != i + 1 ||
                 row[0] != (float)step || row[1] != (float)step / 2 || row[2] != -(float)step;
    }
    tap_is_int(wrong, 0, "it grows and keeps its rows");
    sy_metrics_free(m);
}

/* Without memory a row is lost, and the ones before it and behind it are not. */
static void test_small_lost(void)
{
    struct sy_metrics *m = sy_metrics_new(NULL);
    int one = sy_metrics_series(m, "loss", 1, NULL);
    int64_t steps[64];
    float values[64];
    for (int64_t step = 1; step <= 40; step++) {
        const float v = (float)step;
        if (step == 17) /* where the room ends */
            sy_mem_fail_at(1);
        sy_metrics_add(m, one, step, &v);
        sy_mem_fail_at(0);
    }
    int64_t n = sy_metrics_read(m, one, 0, 0, 64, steps, values);
    tap_ok(n == 39 && sy_metrics_lost(m) == 1 && steps[15] == 16 && steps[16] == 18 &&
               steps[38] == 40 && values[38] == 40,
           "%lld rows, %lld lost", (long long)n, (long long)sy_metrics_lost(m));
    sy_metrics_free(m);
}

static void count_status(void *ctx, struct sy_store_status *out)
{
    ++*(int *)ctx;
    *out = (struct sy_store_status){.state = SY_RUN_RUNNING};
}

/* No thread to be had: who attached is told, and never asked anything afterwards. */
static void test_no_thread(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_store *s = make("threadless", NULL);
    int asked = 0;
    sy_thread_fail_at(1);
    tap_ok(sy_store_attach(s, m, count_status, &asked, &err) && err.code == SY_E_IO,
           "no thread: %s", err.msg);
    sy_metrics_free(m);
    tap_ok(!sy_store_close(s, &err), "it closes");
    tap_is_int(asked, 0, "without asking");
}

static void give_status(void *ctx, struct sy_store_status *out)
{
    *out = *(struct sy_store_status *)ctx;
}

static void test_round_trip(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store_info info;
    struct sy_store *s = make("first", &err), *r;
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_store_status st = {.state = SY_RUN_RUNNING,
                                 .step = 700,
                                 .steps = 2000,
                                 .loss = 1.5,
                                 .val_loss = (double)NAN,
                                 .tokens = 1234567};
    tap_ok(s != NULL, "create: %s", err.msg);
    tap_ok(!make("first", &err) && strstr(err.msg, "run 'first' is being written by process"), "%s",
           err.msg);
    tap_ok(!sy_store_attach(s, m, give_status, &st, &err), "attach");
    add_rows(m, 1, 700);
    tap_is_int(sy_store_add(s, SY_STORE_JOURNAL, 10, "set", "lr = 0.001", "\0\1\2", 3, &err), 1,
               "journal: id 1");
    tap_is_int(sy_store_add(s, SY_STORE_JOURNAL, 500, "note", "für später", NULL, 0, &err), 2,
               "id 2");
    sy_store_add(s, SY_STORE_SAMPLES, 100, "", "Once upon a time", NULL, 0, &err);
    sy_store_add(s, SY_STORE_CODE, 0, "train.lua", "train(m, d, {steps = 2000})\n", NULL, 0, &err);
    tap_ok(!sy_store_flush(s, &err), "flush %s", err.msg);

    r = sy_store_open_read(dir, "first", &err);
    tap_ok(r != NULL, "a reader beside the live writer: %s", err.msg);
    tap_is_int(good_rows(r, "loss", 5000), 700, "700 losses");
    tap_is_int(good_rows(r, "load.1", 5000), 700, "700 rows of loads");
    tap_is_int(good_rows(r, "val_loss", 5000), 71, "71 evaluations at uneven steps");
    add_rows(m, 701, 1024);
    sy_store_flush(s, &err);
    tap_is_int(good_rows(r, "loss", 5000), 1024, "the reader follows");
    tap_ok(sy_store_add(r, SY_STORE_EVENTS, 0, "", "", NULL, 0, &err) < 0,
           "a reader writes nothing");
    tap_ok(!sy_store_info(r, &info, &err) && info.live && info.pid == getpid() &&
               info.status.state == SY_RUN_RUNNING,
           "info: live, running");
    tap_ok(info.status.tokens == 1234567 && info.status.loss == 1.5 &&
               isnan(info.status.val_loss) && !strcmp(info.tokenizer, "0123") &&
               strstr(info.environment, "\"threads\":") && info.bytes > 20000,
           "info: status, hashes, environment %s", info.environment);
    tap_ok(info.sparks == SY_SPARK_POINTS && info.spark[0] == loss_at(1) &&
               info.spark[59] == loss_at(1008),
           "spark");
    sy_store_info_free(&info);
    tap_ok(!sy_store_open(dir, "first", &err), "no second writer in one process");
    sy_store_close(r, NULL);
    st.state = SY_RUN_DONE;
    tap_ok(!sy_store_close(s, &err), "close %s", err.msg);
    sy_metrics_free(m);

    m = sy_metrics_new(NULL);
    err = (struct sy_err)SY_ERR_INIT;
    s = sy_store_open(dir, "first", &err);
    tap_ok(s != NULL, "open again: %s", err.msg);
    add_rows(m, 1000, 1300); /* a resume from step 999: what is there already is ignored */
    sy_store_attach(s, m, NULL, NULL, NULL);
    tap_ok(!sy_store_flush(s, &err), "flush %s", err.msg);
    tap_is_int(good_rows(s, "loss", 5000), 1300, "rows go on where they ended");
    tap_is_int(good_rows(s, "load.1", 1290), 1290, "up to a step");
    int count;
    struct sy_store_series *list = sy_store_series(s, &count, &err);
    tap_ok(count == 3 && !strcmp(list[0].name, "load.1") && list[0].width == WIDTH &&
               list[0].rows == 1300 && list[0].last_step == 1300 &&
               list[0].last[3] == load_at(1300, 3),
           "series: names, counts, newest values");
    sy_store_series_free(list, count);
    struct sy_store_entries e;
    tap_ok(!sy_store_entries(s, SY_STORE_JOURNAL, 0, false, &e, &err) && e.count == 2 &&
               e.list[0].step == 10 && e.list[0].data_len == 3 &&
               !memcmp(e.list[0].data, "\0\1\2", 3) && !strcmp(e.list[1].text, "für später"),
           "journal");
    sy_store_entries_free(&e);
    tap_ok(!sy_store_entries(s, SY_STORE_CODE, 0, false, &e, &err) && e.count == 1 &&
               !strcmp(e.list[0].kind, "train.lua"),
           "code");
    sy_store_entries_free(&e);
    struct sy_history h;
    tap_ok(sy_store_history(s, "los", 0, 0, 9, &h, &err) && strstr(err.msg, "no series 'los'"),
           "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_store_history(s, "load.1", WIDTH, 0, 9, &h, &err), "%s", err.msg);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
}

static void test_truncate(void)
{
    struct sy_err err = SY_ERR_INIT;
    static const int64_t cuts[] = {1500, 1024, 800, 513, 512, 511, 255, 1, 0};
    struct sy_store *s = make("cut", &err);
    struct sy_metrics *m = sy_metrics_new(NULL);
    sy_store_attach(s, m, NULL, NULL, NULL);
    add_rows(m, 1, 1600);
    sy_store_flush(s, &err);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        bool flushed = i % 2;
        tap_ok(!sy_store_truncate(s, cuts[i], INT64_MAX, &err), "rewind to %d %s", (int)cuts[i],
               err.msg);
        tap_ok(good_rows(s, "loss", 9999) == cuts[i] && good_rows(s, "load.1", 9999) == cuts[i],
               "and that is what is left");
        add_rows(m, cuts[i] + 1, cuts[i] + 300);
        if (flushed)
            sy_store_flush(s, &err);
    }
    sy_store_flush(s, &err);
    tap_is_int(good_rows(s, "load.1", 9999), 300, "and on from there");
    for (int i = 1; i <= 4; i++)
        sy_store_add(s, SY_STORE_JOURNAL, 50 * i, "set", "", NULL, 0, NULL);
    sy_store_add(s, SY_STORE_SAMPLES, 180, "", "late", NULL, 0, NULL);
    tap_ok(!sy_store_truncate(s, 150, 2, &err), "rewind to 150, journal 2 %s", err.msg);
    struct sy_store_entries e;
    sy_store_entries(s, SY_STORE_JOURNAL, 0, false, &e, NULL);
    tap_ok(e.count == 2 && e.list[1].step == 100, "entries 3 and 4 left the timeline");
    sy_store_entries_free(&e);
    sy_store_entries(s, SY_STORE_JOURNAL, 2, true, &e, NULL);
    tap_ok(e.count == 2 && e.list[0].left == 5 && e.list[0].step == 150, "but are there");
    sy_store_entries_free(&e);
    sy_store_entries(s, SY_STORE_SAMPLES, 0, false, &e, NULL);
    tap_is_int(e.count, 0, "a later sample left");
    sy_store_entries_free(&e);
    sy_store_add(s, SY_STORE_SAMPLES, 90, "", "again", NULL, 0, NULL);
    tap_ok(sy_store_post(s, SY_STORE_JOURNAL, 120, "note", "posted", NULL, 0) == 5,
           "posted, with its id");
    tap_ok(!sy_store_truncate_rows(s, 80, &err), "a resume from 80 %s", err.msg);
    tap_is_int(good_rows(s, "loss", 9999), 80, "rows after it left");
    sy_store_entries(s, SY_STORE_SAMPLES, 0, false, &e, NULL);
    tap_is_int(e.count, 0, "samples as well");
    sy_store_entries_free(&e);
    sy_store_entries(s, SY_STORE_JOURNAL, 0, false, &e, NULL);
    tap_ok(e.count == 3 && e.list[2].step == 120, "but no entry of the journal");
    sy_store_entries_free(&e);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
}

/* ---- one writer ---- */

static void test_lock(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_runs runs;
    int ready[2], status;
    char want[96], c;
    if (pipe(ready))
        return;
    pid_t child = fork();
    if (!child) {
        struct sy_store *s = make("locked", NULL);
        struct sy_store_status st = {.state = SY_RUN_RUNNING, .step = 5, .steps = 9};
        if (s)
            sy_store_set_status(s, &st);
        if (s && !sy_store_flush(s, NULL) && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    tap_ok(read(ready[0], &c, 1) == 1, "a second process writes");
    tap_ok(!sy_store_open(dir, "locked", &err), "and we may not");
    snprintf(want, sizeof want, "run 'locked' is being written by process %d", (int)child);
    tap_is_str(err.msg, want, "we are told who does");
    struct sy_store *r = sy_store_open_read(dir, "locked", NULL);
    tap_ok(r != NULL, "but we may read");
    sy_store_close(r, NULL);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    tap_ok(!sy_runs_list(dir, &runs, &err), "list");
    bool crashed = false;
    for (int i = 0; i < runs.count; i++)
        crashed |=
            !strcmp(runs.list[i].name, "locked") && runs.list[i].status.state == SY_RUN_CRASHED;
    tap_ok(crashed, "its owner was killed: crashed");
    sy_runs_free(&runs);
    struct sy_store *s = sy_store_open(dir, "locked", &err);
    tap_ok(s != NULL, "and now it is ours");
    sy_store_close(s, NULL);
    close(ready[0]);
    close(ready[1]);
}

struct shared {
    atomic_int inside, twice, taken;
};

/* Take the lock, be alone, remove its file as who gives up a new run does, let go. */
static void take_and_remove(struct shared *s, const char *path)
{
    for (int i = 0; i < 1000; i++) {
        struct sy_lock *lock = sy_lock_take(NULL, path, "x", NULL);
        if (!lock)
            continue;
        atomic_fetch_add(&s->taken, 1);
        if (atomic_fetch_add(&s->inside, 1))
            atomic_fetch_add(&s->twice, 1);
        sched_yield();
        atomic_fetch_sub(&s->inside, 1);
        unlink(path);
        sy_lock_release(lock);
    }
}

static void test_removed_lock(void)
{
    enum { CHILDREN = 4 };
    char path[96];
    int status;
    struct shared *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return;
    snprintf(path, sizeof path, "%s/removed-lock", dir);
    for (int i = 0; i < CHILDREN; i++)
        if (!fork()) {
            take_and_remove(s, path);
            _exit(0);
        }
    for (int i = 0; i < CHILDREN; i++)
        wait(&status);
    tap_ok(atomic_load(&s->taken) > 0 && !atomic_load(&s->twice),
           "a lock whose file is removed has one owner (%d times taken, %d times not alone)",
           atomic_load(&s->taken), atomic_load(&s->twice));
    munmap(s, sizeof *s);
}

/* ---- kill -9 ---- */

/* Write steps from what is there on, with a journal entry each 20 steps, until killed. */
static void write_until_killed(const char *name)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *s = sy_store_open(dir, name, &err);
    struct sy_metrics *m = sy_metrics_new(NULL);
    int64_t step = s ? good_rows(s, "loss", INT64_MAX) : -1;
    if (step < 0)
        _exit(1);
    sy_store_truncate(s, step, INT64_MAX,
                      NULL); /* as a resume would: loss and loads are at one step */
    sy_store_attach(s, m, NULL, NULL, NULL);
    for (;; step++) {
        add_rows(m, step + 1, step + 1);
        if (step % 20 == 0)
            sy_store_add(s, SY_STORE_JOURNAL, step, "note", "x", &step, sizeof step, NULL);
        if (step % 7 == 0)
            sy_store_flush(s, NULL);
        if (step % 1000 == 999)
            sy_store_truncate(s, step - 300, INT64_MAX, NULL), step -= 301;
    }
}

static bool journal_good(struct sy_store *s)
{
    struct sy_store_entries e;
    bool good = !sy_store_entries(s, SY_STORE_JOURNAL, 0, true, &e, NULL);
    for (int64_t i = 0; i < e.count; i++)
        good &= e.list[i].id == i + 1 && e.list[i].data_len == 8 &&
                !memcmp(e.list[i].data, &e.list[i].step, 8);
    sy_store_entries_free(&e);
    return good;
}

static void test_kill(void)
{
#ifdef __SANITIZE_THREAD__
    tap_skip("ThreadSanitizer allows no threads after a fork");
    return;
#endif
    struct sy_err err = SY_ERR_INIT;
    int least = tap_fast() ? 10 : 60, trials = 0, good = 0, status;
    int64_t most = 0;
    sy_store_close(make("killed", &err), NULL);
    /* a slow machine needs more of them */
    for (int i = 0; i < least || (most <= 100 && i < 500); i++) {
        pid_t child = fork();
        if (!child)
            write_until_killed("killed");
        sy_sleep(0.002 + (double)(draw() % 40) * 1e-3 * (1 + i / least));
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        struct sy_store *s =
            i % 2 ? sy_store_open(dir, "killed", &err) : sy_store_open_read(dir, "killed", &err);
        int64_t rows = s ? good_rows(s, "loss", INT64_MAX) : -1;
        if (!WIFSIGNALED(status) || rows < 0 || good_rows(s, "load.1", INT64_MAX) != rows ||
            !journal_good(s))
            tap_note("trial %d: status %d, %d rows, %d of loads, journal %d, %s", i, status,
                     (int)rows, s ? (int)good_rows(s, "load.1", INT64_MAX) : -2,
                     s ? journal_good(s) : -1, err.msg);
        good += WIFSIGNALED(status) && rows >= 0 && good_rows(s, "load.1", INT64_MAX) == rows &&
                journal_good(s);
        trials++;
        most = rows > most ? rows : most;
        sy_store_close(s, NULL);
    }
    tap_is_int(good, trials, "killed at random moments: what is there is whole (up to %d rows) %s",
               (int)most, err.msg);
    tap_ok(most > 100, "and grows");
}

/* ---- a disk that fails ---- */

static int fail_at = -1, calls, failing, error_number;

static bool fails(void)
{
    calls++;
    if (failing && fail_at >= 0 && calls >= fail_at && (failing == 2 || calls == fail_at)) {
        errno = error_number;
        return true;
    }
    return false;
}

static ssize_t bad_write(int fd, const void *p, size_t n)
{
    return fails() ? -1 : write(fd, p, n);
}
static ssize_t bad_pwrite(int fd, const void *p, size_t n, off_t at)
{
    return fails() ? -1 : pwrite(fd, p, n, at);
}
static int bad_truncate(int fd, off_t n)
{
    return fails() ? -1 : ftruncate(fd, n);
}
static int bad_sync(int fd)
{
    return fails() ? -1 : fdatasync(fd);
}
static int bad_open(const char *path, int flags, int mode)
{
    return fails() ? -1 : open(path, flags, mode);
}

static void intercept(bool on)
{
    sqlite3_vfs *v = sqlite3_vfs_find(NULL);
    v->xSetSystemCall(v, "write", on ? (sqlite3_syscall_ptr)bad_write : NULL);
    v->xSetSystemCall(v, "pwrite", on ? (sqlite3_syscall_ptr)bad_pwrite : NULL);
    v->xSetSystemCall(v, "pwrite64", on ? (sqlite3_syscall_ptr)bad_pwrite : NULL);
    v->xSetSystemCall(v, "ftruncate", on ? (sqlite3_syscall_ptr)bad_truncate : NULL);
    v->xSetSystemCall(v, "fsync", on ? (sqlite3_syscall_ptr)bad_sync : NULL);
    v->xSetSystemCall(v, "open", on ? (sqlite3_syscall_ptr)bad_open : NULL);
}

/* Create, write, rewind and close; writing again until it works.  True when it had to be. */
static bool write_all(const char *name, struct sy_metrics *m)
{
    struct sy_err err = SY_ERR_INIT;
    bool failed = false, truncated;
    char text[496];
    struct sy_store *s;
    for (int i = 0; !(s = make(name, &err)) && i < 3; i++)
        failed = true;
    if (!s)
        return failed;
    sy_metrics_truncate(m, -1);
    sy_store_attach(s, m, NULL, NULL, NULL);
    add_rows(m, 1, 600);
    failed |= sy_store_flush(s, NULL) != 0;
    sy_store_add(s, SY_STORE_JOURNAL, 600, "note", "here", NULL, 0, NULL);
    failed |= sy_store_alarm(s, text);
    sy_store_add(s, SY_STORE_SAMPLES, 600, "", "sample", NULL, 0, NULL);
    truncated = !sy_store_truncate(s, 400, INT64_MAX, NULL);
    failed |= !truncated;
    add_rows(m, 401, 500);
    for (int i = 0; sy_store_flush(s, NULL) && i < 3; i++)
        failed = true;
    sy_store_close(s, NULL);
    return failed;
}

static bool written_all(const char *name, int64_t events_most)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store_entries j = {0}, a = {0}, e = {0};
    struct sy_store *s = sy_store_open_read(dir, name, &err);
    bool good = s && good_rows(s, "loss", 9999) == 500 && good_rows(s, "load.1", 9999) == 500 &&
                !sy_store_entries(s, SY_STORE_JOURNAL, 0, true, &j, &err) && j.count == 1 &&
                j.list[0].left == 2 && !sy_store_entries(s, SY_STORE_SAMPLES, 0, true, &a, &err) &&
                a.count == 1 && !sy_store_entries(s, SY_STORE_EVENTS, 0, true, &e, &err) &&
                e.count <= events_most;
    if (!good)
        tap_note("%s: %s", name, err.msg);
    sy_store_entries_free(&j);
    sy_store_entries_free(&a);
    sy_store_entries_free(&e);
    sy_store_close(s, NULL);
    return good;
}

static void test_io_failure(void)
{
    struct sy_metrics *m = sy_metrics_new(NULL);
    static const int numbers[] = {ENOSPC, EIO};
    int good = 0, trials = 0, hit = 0, total;
    intercept(true);
    calls = 0;
    failing = 0;
    write_all("io", m);
    total = calls;
    tap_ok(total > 20 && written_all("io", 0), "%d calls that write", total);
    for (int k = 0; k < 2; k++)
        for (int n = 1; n <= total; n += tap_fast() ? 7 : 1) {
            remove_run("io");
            calls = 0;
            fail_at = n;
            failing = 1;
            error_number = numbers[k];
            hit += write_all("io", m);
            failing = 0;
            bool ok = written_all("io", 2);
            if (!ok)
                tap_note("failure %d of %d, error %d", n, total, error_number);
            good += ok;
            trials++;
        }
    tap_is_int(good, trials,
               "one failing call, whichever: all is written in the end (%d were felt)", hit);
    tap_ok(hit > trials / 2, "and most are felt");

    remove_run("io");
    failing = 0;
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *s = make("io", &err);
    char text[496];
    sy_metrics_truncate(m, -1);
    sy_store_attach(s, m, NULL, NULL, NULL);
    add_rows(m, 1, 300);
    tap_ok(!sy_store_flush(s, &err), "a disk with room");
    failing = 2; /* from now on */
    fail_at = calls = 0;
    error_number = ENOSPC;
    add_rows(m, 301, 400);
    tap_is_int(sy_store_add(s, SY_STORE_JOURNAL, 400, "note", "kept", NULL, 0, &err), 1,
               "a full disk: an entry is taken");
    tap_ok(sy_store_alarm(s, text) && strstr(text, "the disk is full"), "alarm: %s", text);
    tap_ok(sy_store_truncate(s, 350, INT64_MAX, NULL) != 0, "a rewind says that it failed");
    add_rows(m, 351, 420);
    failing = 0;
    double until = sy_now() + 60; /* the thread tries again by itself */
    while (sy_store_alarm(s, text) && sy_now() < until)
        sy_sleep(0.02);
    tap_ok(!sy_store_alarm(s, text), "room again: the alarm ends by itself");
    tap_ok(good_rows(s, "loss", 9999) == 420 && good_rows(s, "load.1", 9999) == 420,
           "nothing is missing");
    sy_store_close(s, NULL);
    struct sy_store_entries e;
    s = sy_store_open_read(dir, "io", NULL);
    sy_store_entries(s, SY_STORE_EVENTS, 0, false, &e, NULL);
    tap_ok(e.count == 1 && strstr(e.list[0].text, "the disk is full"), "an event tells of it");
    sy_store_entries_free(&e);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
    intercept(false);
}

/* A quota, by the kernel: files may not grow. */
static void test_file_limit(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct rlimit had, small;
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_store *s = make("quota", &err);
    char text[496];
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &had);
    small = had;
    small.rlim_cur = 200000;
    sy_store_attach(s, m, NULL, NULL, NULL);
    setrlimit(RLIMIT_FSIZE, &small);
    for (int i = 0; i < 60; i++) {
        add_rows(m, 1 + 400 * i, 400 * (i + 1));
        sy_store_flush(s, NULL);
    }
    tap_ok(sy_store_alarm(s, text), "files may not grow: %s", text);
    struct sy_store *r = sy_store_open_read(dir, "quota", &err);
    int64_t rows = r ? good_rows(r, "loss", INT64_MAX) : -1;
    tap_ok(rows > 0 && rows < 24000, "what was written stays: %d rows", (int)rows);
    sy_store_close(r, NULL);
    setrlimit(RLIMIT_FSIZE, &had);
    tap_ok(!sy_store_flush(s, &err) && good_rows(s, "loss", INT64_MAX) == 24000,
           "they may: all is there %s", err.msg);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
}

/* ---- a store that comes late ---- */

/* Are rows 1 to `last` of a series all there, wherever, as add_rows wrote them? */
static bool whole(struct sy_metrics *m, const char *name, int64_t last)
{
    int series = sy_metrics_find(m, name), width = sy_metrics_width(m, series), wrong = 0;
    int64_t steps[256], n, after = 0;
    float values[256 * WIDTH];
    while ((n = sy_metrics_rows_after(m, series, after, 256, steps, values)) > 0)
        for (int64_t i = 0; i < n; i++) {
            wrong += steps[i] != ++after;
            for (int e = 0; e < width; e++)
                wrong += values[i * width + e] != (width > 1 ? load_at(after, e) : loss_at(after));
        }
    if (wrong || after != last)
        tap_note("%s: up to step %lld, %d wrong", name, (long long)after, wrong);
    return !wrong && after == last;
}

/* A store for packed rows, where something fails.  True: it was made, and has them all; *lost
 * counts otherwise. */
static bool store_late(int way, int *lost, struct sy_err *err)
{
    enum { MANY = 6000 };
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_packed_rows *a = sy_packed_rows_new(m, NULL);
    struct sy_store *s = make("late", NULL);
    add_rows(m, 1, MANY);
    sy_packed_rows_pack(a);
    calls = fail_at = 0;
    failing = way == 0 ? 2 : 0;
    if (way == 1)
        sy_thread_fail_at(1);
    if (way > 1)
        sy_mem_fail_at((uint64_t)way - 1);
    bool made = !sy_store_attach(s, m, NULL, NULL, err);
    sy_mem_fail_at(0);
    failing = 0;
    *lost += !whole(m, "loss", MANY) || !whole(m, "load.1", MANY);
    if (made)
        *lost +=
            good_rows(s, "loss", INT64_MAX) != MANY || good_rows(s, "load.1", INT64_MAX) != MANY;
    sy_packed_rows_free(a);
    *lost += made && !whole(m, "load.1", MANY);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
    remove_run("late");
    return made;
}

/* Packed rows go into a store that its run gets later: all of them, or they stay where they
 * are. */
static void test_packed_stored(void)
{
    struct sy_err err = SY_ERR_INIT;
    int lost = 0, failed = 0;
    error_number = ENOSPC;
    intercept(true);
    tap_ok(!store_late(0, &lost, &err) && err.code == SY_E_IO && !lost, "no room: %s", err.msg);
    intercept(false);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(!store_late(1, &lost, &err) && err.code == SY_E_IO && !lost, "no thread: %s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    for (int way = 2; way < 60; way++)
        failed += !store_late(way, &lost, &err);
    tap_ok(!lost && failed > 20 && err.code == SY_E_MEMORY, "no memory, %d times: %s", failed,
           err.msg);
}

/* The same to the end: the store has them, and the run is one like any other. */
static void test_packed_leaves(void)
{
    enum { MANY = 9000, BACK = 1500 };
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_packed_rows *a = sy_packed_rows_new(m, NULL);
    struct sy_store *s = make("late", NULL);
    add_rows(m, 1, MANY);
    sy_packed_rows_pack(a);
    tap_ok(sy_metrics_first(m, 0) > 5000 && !sy_store_attach(s, m, NULL, NULL, &err),
           "a store for packed rows %s", err.msg);
    sy_packed_rows_free(a);
    tap_is_int(good_rows(s, "loss", INT64_MAX), MANY, "it has all of them");
    tap_is_int(good_rows(s, "load.1", INT64_MAX), MANY, "vectors as well");
    tap_is_int(good_rows(s, "val_loss", INT64_MAX), MANY / 10 + 1, "and what is not of each step");
    tap_ok(whole(m, "loss", MANY) && whole(m, "load.1", MANY), "so has whoever asks the metrics");
    add_rows(m, MANY + 1, MANY + 4000);
    tap_ok(!sy_store_flush(s, &err) && whole(m, "loss", MANY + 4000), "it goes on %s", err.msg);
    tap_ok(!sy_store_truncate_rows(s, BACK, &err) && whole(m, "load.1", BACK),
           "back to what was packed %s", err.msg);
    add_rows(m, BACK + 1, MANY);
    tap_ok(!sy_store_flush(s, &err) && whole(m, "loss", MANY) &&
               good_rows(s, "load.1", INT64_MAX) == MANY,
           "and again %s", err.msg);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
    remove_run("late");
}

/* ---- memory ---- */

static void test_memory(void)
{
    int good = 0, n;
    size_t before = sy_mem_live();
    for (n = 1; n < 400; n++) {
        struct sy_metrics *m = sy_metrics_new(NULL);
        remove_run("memory");
        uint64_t count = sy_mem_count();
        add_rows(m, 1, 1);
        sy_metrics_truncate(m, 0);
        sy_mem_fail_at((uint64_t)n);
        bool felt = write_all("memory", m);
        sy_mem_fail_at(0);
        (void)felt;
        struct sy_store *s = sy_store_open_read(dir, "memory", NULL);
        good += s && good_rows(s, "val_loss", 9999) >= 0 && good_rows(s, "loss", 9999) >= 0;
        sy_store_close(s, NULL);
        sy_metrics_free(m);
        if (sy_mem_count() - count < (uint64_t)n)
            break;
        if (tap_fast())
            n += 6;
    }
    tap_ok(good > 20, "memory out at any of %d calls: no crash, a store that reads (%d)", n, good);
    tap_is_int((int64_t)sy_mem_live(), (int64_t)before, "and nothing leaks");
}

/* ---- damaged files ---- */

static void make_small(const char *name)
{
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_store *s = make(name, NULL);
    sy_store_attach(s, m, NULL, NULL, NULL);
    add_rows(m, 1, 300);
    for (int i = 0; i < 5; i++)
        sy_store_add(s, SY_STORE_JOURNAL, i, "set", "lr = 1", "abc", 3, NULL);
    sy_store_add(s, SY_STORE_CODE, 0, "a.lua", "print(1)", NULL, 0, NULL);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
}

/* Everything that can be read, and then written.  1: all well, 0: an error, -1: a lie. */
static int use(const char *name)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store_info info;
    struct sy_store_entries e;
    int count, result = 1;
    struct sy_store *s = sy_store_open_read(dir, name, &err);
    if (!s)
        return strchr(err.msg, '\n') || !*err.msg ? -1 : 0;
    if (sy_store_info(s, &info, &err))
        result = 0;
    else
        sy_store_info_free(&info);
    struct sy_store_series *list = sy_store_series(s, &count, &err);
    for (int i = 0; i < count && list; i++) {
        struct sy_history h;
        if (sy_store_history(s, list[i].name, -1, 0, INT64_MAX, &h, &err))
            result = 0;
        for (int64_t k = 0; k < h.count && !strcmp(list[i].name, "loss"); k++)
            if (h.values[k] != loss_at(h.steps[k]))
                return -1;
        sy_history_free(&h);
    }
    sy_store_series_free(list, count);
    for (int t = SY_STORE_JOURNAL; t <= SY_STORE_CODE; t++) {
        if (sy_store_entries(s, (enum sy_store_table)t, 0, true, &e, &err))
            result = 0;
        for (int64_t i = 0; i < e.count && t == SY_STORE_JOURNAL; i++)
            if (strcmp(e.list[i].text, "lr = 1") || e.list[i].step != e.list[i].id - 1)
                return -1;
        sy_store_entries_free(&e);
    }
    sy_store_close(s, NULL);
    s = sy_store_open(dir, name, NULL);
    if (s) {
        struct sy_metrics *m = sy_metrics_new(NULL);
        sy_store_attach(s, m, NULL, NULL, NULL);
        add_rows(m, 290, 310);
        sy_store_add(s, SY_STORE_JOURNAL, 3, "set", "", NULL, 0, NULL);
        sy_store_truncate(s, 200, INT64_MAX, NULL);
        sy_store_close(s, NULL);
        sy_metrics_free(m);
    }
    return result;
}

static void put_file(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        tap_note("cannot write %s", path);
    close(fd);
}

static void fresh_copy(const struct sy_str *db, const struct sy_str *wal)
{
    unlink(path_of("bad", "run.sqlite-wal"));
    unlink(path_of("bad", "run.sqlite-shm"));
    put_file(path_of("bad", "run.sqlite"), db->data, db->len);
    if (wal->len)
        put_file(path_of("bad", "run.sqlite-wal"), wal->data, wal->len);
}

static void test_damage(void)
{
    struct sy_str db = SY_STR_INIT, wal = SY_STR_INIT, none = SY_STR_INIT, cut;
    int well = 0, errors = 0, lies = 0, result;
    remove_run("bad");
    make_small("bad");
    sy_file_read(path_of("bad", "run.sqlite"), 0, &db, NULL);
    tap_is_int(use("bad"), 1, "whole: all well (%zu bytes)", db.len);
    for (size_t n = 0; n < db.len; n += n < 128 ? 1 : tap_fast() ? 4096 : 509) {
        cut = db;
        cut.len = n;
        fresh_copy(&cut, &none);
        result = use("bad");
        lies += result != 0;
        if (result)
            tap_note("cut at %zu: %d", n, result);
    }
    tap_is_int(lies, 0, "cut anywhere: an error");
    lies = 0;
    int flips = tap_fast() ? 300 : 1000;
    for (int i = 0; i < flips; i++) {
        size_t bit =
            draw() % (i % 2 ? 8 * db.len : 8 * 8192); /* half of them in the page of definitions */
        flip(&db, bit);
        fresh_copy(&db, &none);
        flip(&db, bit);
        result = use("bad");
        well += result > 0;
        errors += !result;
        lies += result < 0;
        if (result < 0)
            tap_note("bit %zu", bit);
    }
    /* One in seven is seen: the file has times in it, so it is not the same ones each time. */
    tap_ok(!lies && errors > flips / 10, "bits flipped: %d errors, %d unseen, %d lies", errors,
           well, lies);

    remove_run("bad");
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_store *s = make("bad", NULL);
    sy_store_attach(s, m, NULL, NULL, NULL);
    add_rows(m, 1, 300);
    sy_store_flush(s, NULL);
    db.len = wal.len = 0;
    sy_file_read(path_of("bad", "run.sqlite"), 0, &db,
                 NULL); /* closes SQLite's locks, too: not used again */
    sy_file_read(path_of("bad", "run.sqlite-wal"), 0, &wal, NULL);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
    fresh_copy(&db, &wal);
    tap_is_int(use("bad"), 1, "a log of %zu bytes beside the file", wal.len);
    lies = 0;
    for (int i = 0; i < (tap_fast() ? 30 : 200); i++) {
        cut = wal;
        size_t bit = draw() % (8 * wal.len);
        if (i % 2)
            cut.len = draw() % wal.len;
        flip(&wal, bit);
        fresh_copy(&db, &cut);
        flip(&wal, bit);
        lies += use("bad") < 0;
    }
    tap_is_int(lies, 0, "logs cut and flipped: an older state or an error");
    sy_str_free(&db);
    sy_str_free(&wal);
}

static bool sql(const char *name, const char *text)
{
    sqlite3 *db = NULL;
    bool good = sqlite3_open(path_of(name, "run.sqlite"), &db) == SQLITE_OK &&
                sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(db);
    return good;
}

static int64_t version_of(const char *name)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    bool good = sqlite3_open(path_of(name, "run.sqlite"), &db) == SQLITE_OK &&
                sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL) == SQLITE_OK &&
                sqlite3_step(q) == SQLITE_ROW;
    int64_t version = good ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    sqlite3_close(db);
    return version;
}

static void refused(const char *change, const char *why)
{
    struct sy_err err = SY_ERR_INIT;
    remove_run("odd");
    sy_store_close(make("odd", NULL), NULL);
    if (!sql("odd", change))
        tap_note("cannot run: %s", change);
    struct sy_store *s = sy_store_open(dir, "odd", &err);
    tap_ok(!s && strstr(err.msg, why), "%s: %s", change, err.msg);
    sy_store_close(s, NULL);
}

static void test_foreign(void)
{
    struct sy_err err = SY_ERR_INIT;
    refused("PRAGMA user_version=99", "made by a newer program");
    refused("PRAGMA application_id=7", "not a run's");
    refused("CREATE VIEW v AS SELECT load_extension('x')", "does not have the tables");
    refused("CREATE TRIGGER t AFTER INSERT ON journal BEGIN DELETE FROM run; END",
            "does not have the tables");
    refused("DROP TABLE chunk", "does not have the tables");
    refused("DELETE FROM run", "no row of the run");
    refused("UPDATE run SET config='{}'", "sum does not fit");
    refused("INSERT INTO journal VALUES(9223372036854775807,1,1,'','',NULL,0,0,'')", "journal id");
    tap_ok(!sy_store_open(dir, "nowhere", &err) && strstr(err.msg, "there is no"), "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    sy_store_close(make("bare", NULL), NULL);
    mkdir(path_of("bare", "run.sqlite-shm"), 0700); /* so it cannot be made */
    struct sy_store *s = sy_store_open_read(dir, "bare", &err);
    tap_ok(s != NULL, "no shared memory to be had: read all the same %s", err.msg);
    sy_store_close(s, NULL);
    mkdir(path_of("half", NULL), 0700);
    put_file(path_of("half", "run.sqlite"), "", 0);
    tap_ok(!sy_store_open(dir, "half", &err) && strstr(err.msg, "not finished"), "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(!make("half", &err) && strstr(err.msg, "holds no run"), "killed in its creation: %s",
           err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    mkdir(path_of("other", NULL), 0700);
    sql("other", "CREATE TABLE theirs(x)");
    tap_ok(!make("other", &err) && strstr(err.msg, "exists already"), "another's file: %s",
           err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(!sy_store_open(dir, "other", &err) && err.code == SY_E_FORMAT, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    s = sy_store_claim(dir, "claimed", &err);
    tap_ok(s && !make("claimed", &err) && err.code == SY_E_STATE, "one takes a name: %s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_store_add(s, SY_STORE_EVENTS, 0, "", "", NULL, 0, &err) < 0,
           "nothing is written before it is filled");
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(!sy_store_open_read(dir, "claimed", &err) && err.code == SY_E_NOTFOUND,
           "nor is it a run: %s", err.msg);
    struct sy_store_config c = {.steps = 3};
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(!sy_store_fill(s, &c, &err) && sy_store_fill(s, &c, &err) && err.code == SY_E_STATE,
           "filled once: %s", err.msg);
    sy_store_close(s, NULL);
}

/* What version 1 wrote, with chunks as they were then, of which the last is not full. */
static float old_load(int64_t step, int e)
{
    return e == 0 ? (float)(step % 7) : e == 1 ? 1 : e == 2 ? 2.5f : 0;
}

static bool old_rows(struct sy_store *s, int64_t count)
{
    struct sy_history h = {0};
    bool good = s && !sy_store_history(s, "load.1", -1, 0, INT64_MAX, &h, NULL) &&
                h.count == count && h.width == 4;
    for (int64_t i = 0; good && i < 4 * count; i++)
        good = h.steps[i / 4] == i / 4 + 1 && h.values[i] == old_load(i / 4 + 1, (int)(i % 4));
    sy_history_free(&h);
    return good;
}

static void test_version_1(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str file = SY_STR_INIT;
    const char *source = getenv("srcdir");
    char path[512];
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/store/version1", source ? source : ".");
    mkdir(path_of("seed", NULL), 0700);
    if (sy_file_read(path, 0, &file, &err))
        tap_note("%s", err.msg);
    put_file(path_of("seed", "run.sqlite"), file.data, file.len);
    sy_str_free(&file);
    struct sy_store *s = sy_store_open_read(dir, "seed", &err);
    tap_ok(old_rows(s, 600), "a store of version 1 is read %s", err.msg);
    sy_store_close(s, NULL);
    tap_is_int(version_of("seed"), 1, "and stays as it is");
    struct sy_metrics *m = sy_metrics_new(NULL);
    int load = sy_metrics_series(m, "load.1", 4, NULL);
    for (int64_t step = 601; step <= 900; step++)
        sy_metrics_add(m, load, step, (float[]){old_load(step, 0), 1, 2.5f, 0});
    s = sy_store_open(dir, "seed", &err);
    tap_ok(s && !sy_store_attach(s, m, NULL, NULL, &err) && !sy_store_flush(s, &err),
           "a writer goes on in it %s", err.msg);
    sy_store_close(s, NULL);
    s = sy_store_open_read(dir, "seed", &err);
    tap_ok(old_rows(s, 900), "with chunks of both kinds in a row %s", err.msg);
    sy_store_close(s, NULL);
    tap_is_int(version_of("seed"), 5, "as our version");
    sy_metrics_free(m);
}

/* ---- what series are ---- */

static struct sy_series_what what_in(const char *run, const char *name)
{
    int n;
    struct sy_series_what what = {SY_SERIES_COUNT, -1, ""};
    struct sy_store *s = sy_store_open_read(dir, run, NULL);
    struct sy_store_series *list = s ? sy_store_series(s, &n, NULL) : NULL;
    for (int i = 0; list && i < n; i++)
        if (!strcmp(list[i].name, name))
            what = list[i].what;
    sy_store_series_free(list, list ? n : 0);
    sy_store_close(s, NULL);
    return what;
}

static void is_what(const char *run, const char *name, enum sy_series_kind kind, int layer,
                    const char *mixture)
{
    struct sy_series_what w = what_in(run, name);
    tap_ok(w.kind == kind && w.layer == layer && !strcmp(w.mixture, mixture),
           "%s: %s is %s of layer %d '%s'", run, name,
           w.kind < SY_SERIES_COUNT ? sy_series_row(w.kind)->name : "none", w.layer, w.mixture);
}

/* A file of version 3 as it was: no more than names. */
static void test_kinds_of_before(void)
{
    static const char *const names[] = {"load.2", "gate.12", "grad_norm.3", "grad_norm.router.3",
                                        "val_loss", "mine.2"};
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_store *s = make("before", NULL);
    for (int i = 0; i < 6; i++)
        sy_metrics_add(m, sy_metrics_series(m, names[i], i < 2 ? 4 : 1, NULL), 1,
                       (float[]){1, 2, 3, 4});
    tap_ok(!sy_store_attach(s, m, NULL, NULL, &err) && !sy_store_flush(s, &err), "written %s",
           err.msg);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
    sql("before",
        "PRAGMA user_version=3; ALTER TABLE series DROP COLUMN kind; ALTER TABLE series DROP "
        "COLUMN layer; "
        "ALTER TABLE series DROP COLUMN mixture; ALTER TABLE journal DROP COLUMN who");
    tap_is_int(version_of("before"), 3, "a store of version 3");
    is_what("before", "load.2", SY_SERIES_LOAD, 2, "");
    is_what("before", "gate.12", SY_SERIES_GATE, 12, "");
    is_what("before", "grad_norm.3", SY_SERIES_NORM, 3, "");
    is_what("before", "grad_norm.router.3", SY_SERIES_ROUTER_NORM, 3, "");
    is_what("before", "val_loss", SY_SERIES_VAL_LOSS, 0, "");
    is_what("before", "mine.2", SY_SERIES_VALUE, 2, "");
    tap_is_int(version_of("before"), 3, "a reader leaves it as it is");
    sy_store_close(sy_store_open(dir, "before", &err), NULL);
    tap_is_int(version_of("before"), 3, "as does a writer that writes nothing %s", err.msg);
    s = sy_store_open(dir, "before", &err);
    tap_ok(sy_store_add(s, SY_STORE_JOURNAL, 2, "note", "mine", NULL, 0, &err) == 1,
           "the first entry is written %s", err.msg);
    tap_is_int(version_of("before"), 5, "and migrates it");
    sy_store_close(s, NULL);
    is_what("before", "gate.12", SY_SERIES_GATE, 12, "");
}

static bool who_is(const char *run, const char *first, const char *second)
{
    struct sy_store *s = sy_store_open_read(dir, run, NULL);
    struct sy_store_entries e = {0};
    bool good = s && !sy_store_entries(s, SY_STORE_JOURNAL, 0, true, &e, NULL) && e.count == 2 &&
                !strcmp(e.list[0].who, first) && !strcmp(e.list[1].who, second);
    sy_store_entries_free(&e);
    sy_store_close(s, NULL);
    return good;
}

/* Who did it; a file of version 4 has nobody's name. */
static void test_who(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_journal_entry e = {
        .kind = SY_ENTRY_NOTE, .text = "a", .expert = -1, .who = "B \"b\""};
    struct sy_store *s = make("who", NULL);
    sy_act_as("another, who does not write this one");
    sy_store_add_entry(s, &e, &err);
    sy_act_as("socket: notebook");
    tap_is_int(sy_store_add(s, SY_STORE_JOURNAL, 2, "note", "b", NULL, 0, &err), 2, "%s", err.msg);
    sy_act_as("");
    sy_store_close(s, NULL);
    tap_ok(who_is("who", e.who, "socket: notebook"), "an entry says who did it");
    sql("who", "UPDATE journal SET who='someone' WHERE id=1");
    tap_ok(!who_is("who", "someone", "socket: notebook"), "what was changed is seen by the sum");
    s = make("who4", NULL);
    sy_store_add(s, SY_STORE_JOURNAL, 1, "note", "a", NULL, 0, NULL);
    sy_store_close(s, NULL);
    sql("who4", "PRAGMA user_version=4; ALTER TABLE journal DROP COLUMN who");
    s = sy_store_open(dir, "who4", &err);
    sy_act_as("x");
    sy_store_add(s, SY_STORE_JOURNAL, 2, "note", "b", NULL, 0, &err);
    sy_act_as("");
    sy_store_close(s, NULL);
    tap_ok(who_is("who4", "", "x"), "of version 4: nobody, and then who writes on %s", err.msg);
    tap_is_int(version_of("who4"), 5, "and is of our version");
}

static void test_kinds(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_series_what second = {SY_SERIES_LOAD, 2, "memory"}, value = {SY_SERIES_VALUE, 1, ""};
    struct sy_store *s = make("kinds", NULL);
    float row[4] = {1, 2, 3, 4};
    sy_metrics_add(m, sy_metrics_declare(m, "load.2.memory", 4, &second, NULL), 1, row);
    sy_metrics_add(m, sy_metrics_declare(m, "load.1", 1, &value, NULL), 1, row);
    tap_ok(!sy_store_attach(s, m, NULL, NULL, &err) && !sy_store_flush(s, &err), "written %s",
           err.msg);
    sy_store_close(s, NULL);
    is_what("kinds", "load.2.memory", SY_SERIES_LOAD, 2, "memory");
    is_what("kinds", "load.1", SY_SERIES_VALUE, 1, "");
    s = sy_store_open(dir, "kinds", &err);
    second.kind = SY_SERIES_GATE;
    sy_metrics_declare(m, "load.2.memory", 4, &second, NULL);
    sy_metrics_add(m, 0, 2, row);
    tap_ok(!sy_store_attach(s, m, NULL, NULL, &err) && !sy_store_flush(s, &err), "and again %s",
           err.msg);
    sy_store_close(s, NULL);
    is_what("kinds", "load.2.memory", SY_SERIES_GATE, 2, "memory");
    sql("kinds", "UPDATE series SET kind='telepathy',layer=-5");
    is_what("kinds", "load.2.memory", SY_SERIES_VALUE, 0, "memory"); /* of a newer program */
    s = sy_store_open(dir, "kinds", &err);
    sy_metrics_add(m, 0, 3, row);
    tap_ok(s && !sy_store_attach(s, m, NULL, NULL, &err) && !sy_store_flush(s, &err),
           "written on %s", err.msg);
    sy_store_close(s, NULL);
    is_what("kinds", "load.2.memory", SY_SERIES_VALUE, 0, "memory"); /* and it stays so */
    sy_metrics_free(m);
}

/* A state that a newer program stored; whatever it is, no process keeps it up. */
static void test_unknown_state(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store_info info;
    struct sy_runs runs;
    bool listed = false;
    sy_store_close(make("levitates", NULL), NULL);
    sql("levitates", "UPDATE run SET state='levitating'");
    struct sy_store *s = sy_store_open_read(dir, "levitates", &err);
    tap_ok(s && !sy_store_info(s, &info, &err) && info.status.state == SY_RUN_UNKNOWN,
           "a state of a newer program is unknown %s", err.msg);
    sy_store_info_free(&info);
    sy_store_close(s, NULL);
    sy_runs_list(dir, &runs, &err);
    for (int i = 0; i < runs.count; i++)
        listed |= !strcmp(runs.list[i].name, "levitates") &&
                  runs.list[i].status.state == SY_RUN_UNKNOWN && !runs.list[i].error.code;
    tap_ok(listed, "and its run is listed as such");
    sy_runs_free(&runs);
}

static void test_list(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_runs runs;
    bool sorted = true, damaged = false;
    tap_ok(!sy_runs_list("/nonexistent", &runs, &err) && !runs.count, "no folder: no runs");
    remove_run("bad");
    mkdir(path_of("bad", NULL), 0700);
    put_file(path_of("bad", "run.sqlite"),
             "this is no database, and long enough to be read as one ......."
             "................................................................",
             120);
    tap_ok(!sy_runs_list(dir, &runs, &err) && runs.count > 5, "%d runs %s", runs.count, err.msg);
    for (int i = 0; i < runs.count; i++) {
        sorted &= !i || runs.list[i - 1].created <= runs.list[i].created;
        damaged |= !strcmp(runs.list[i].name, "bad") &&
                   runs.list[i].status.state == SY_RUN_DAMAGED && runs.list[i].error.code;
    }
    tap_ok(sorted, "by time");
    tap_ok(damaged, "a damaged one is listed as such");
    sy_runs_free(&runs);
}

/* ---- a run that stands still ---- */

static atomic_int looks;

static void give_paused(void *ctx, struct sy_store_status *out)
{
    (void)ctx;
    *out = (struct sy_store_status){.state = SY_RUN_PAUSED, .step = 1};
    atomic_fetch_add(&looks, 1);
}

static bool looked(int more_than)
{
    for (int i = 0; i < 3000 && atomic_load(&looks) <= more_than; i++)
        usleep(10000);
    return atomic_load(&looks) > more_than;
}

static void test_idle(void)
{
    struct sy_store *s = make("idle", NULL);
    struct sy_metrics *m = sy_metrics_new(NULL);
    sy_store_attach(s, m, give_paused, NULL, NULL);
    tap_ok(looked(0), "a paused run is written");
    int before = atomic_load(&looks);
    usleep(2500000); /* a slow machine looks no more often */
    tap_is_int(atomic_load(&looks), before, "and then sleeps");
    sy_store_wake(s);
    tap_ok(looked(before), "until its status changes");
    before = atomic_load(&looks);
    sy_store_add(s, SY_STORE_EVENTS, 1, "test", "", NULL, 0, NULL);
    tap_ok(looked(before), "or an entry comes");
    sy_store_close(s, NULL);
    sy_metrics_free(m);
}

/* Before the first flush, and after one: what is said is the cause, not that SQLite finds it
 * damaged. */
static void test_cut_file(void)
{
    for (int flushed = 0; flushed < 2; flushed++) {
        struct sy_err err = SY_ERR_INIT;
        char name[16], path[128];
        snprintf(name, sizeof name, "shorter%d", flushed);
        snprintf(path, sizeof path, "%s/%s/run.sqlite", dir, name);
        struct sy_store *s = make(name, &err);
        tap_ok(!flushed || !sy_store_flush(s, &err), "run.sqlite %s", err.msg);
        tap_ok(!truncate(path, 0), "is cut %s flush", flushed ? "after a" : "before the first");
        sy_store_add(s, SY_STORE_EVENTS, 1, "test", "", NULL, 0, NULL);
        tap_ok(sy_store_flush(s, &err) && err.code == SY_E_FORMAT &&
                   strstr(err.msg, "was cut by another"),
               "%s", err.msg);
        sy_store_close(s, NULL);
    }
}

int main(void)
{
    size_t before = sy_mem_live();
    char command[96];
    /* In memory, if there is a place: a thousand files are synced. */
    snprintf(dir, sizeof dir, "%s/sy-store-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(dir))
        return 99;
    test_names();
    test_codec();
    test_packed();
    test_filled();
    test_no_room();
    test_round_trip();
    test_truncate();
    test_lock();
    test_removed_lock();
    test_kill();
    test_io_failure();
    test_file_limit();
    test_memory();
    test_damage();
    test_foreign();
    test_cut_file();
    test_version_1();
    test_who();
    test_kinds_of_before();
    test_kinds();
    test_unknown_state();
    test_list();
    test_idle();
    test_forgotten();
    test_packed_rows();
    test_packed_stored();
    test_packed_leaves();
    test_small();
    test_small_lost();
    test_no_thread();
    tap_is_int((int64_t)sy_mem_live(), (int64_t)before, "nothing leaks");
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) ? 99 : tap_done();
}
