/* Packed rows in memory.  See packed_rows.h. */
#include "run/packed_rows.h"

#include "base/grow.h"
#include "base/mem.h"
#include "run/series_codec.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define KEPT (3 * SY_METRICS_CHUNK) /* rows from which on a chunk of them goes */

struct box { /* SY_CHUNK_ROWS rows */
    char *bytes; /* owned */
    size_t n;
    int64_t last; /* step */
};

struct shelf { /* of a series, by its number */
    struct box *boxes;
    int count;
    size_t room;
};

struct sy_packed_rows {
    struct sy_metrics *m;
    pthread_mutex_t lock; /* guards the shelves; no other is taken under it */
    struct shelf *shelves;
    int count;
    size_t room;
};

/* ---- packing ---- */

static int make_shelves(struct sy_packed_rows *a, int count)
{
    if (SY_GROW(a->shelves, a->room, count))
        return -1;
    memset(a->shelves + a->count, 0, (size_t)(count - a->count) * sizeof *a->shelves);
    a->count = count;
    return 0;
}

static struct box *new_box(struct shelf *s)
{
    return SY_GROW(s->boxes, s->room, s->count + 1) ? NULL : &s->boxes[s->count];
}

/* A string's room may be twice its length. */
static char *exact_copy(const struct sy_str *s)
{
    char *bytes = s->failed ? NULL : sy_alloc(s->len);
    if (bytes)
        memcpy(bytes, s->data, s->len);
    return bytes;
}

static int put_box(struct sy_packed_rows *a, int series, const struct sy_str *s, int64_t last)
{
    char *bytes = exact_copy(s);
    if (!bytes)
        return -1;
    pthread_mutex_lock(&a->lock);
    struct box *b = new_box(&a->shelves[series]);
    if (b) {
        *b = (struct box){bytes, s->len, last};
        a->shelves[series].count++;
    }
    pthread_mutex_unlock(&a->lock);
    if (!b)
        sy_free(bytes);
    return b ? 0 : -1;
}

static int64_t last_packed(struct sy_packed_rows *a, int series)
{
    pthread_mutex_lock(&a->lock);
    const struct shelf *s = &a->shelves[series];
    int64_t last = s->count ? s->boxes[s->count - 1].last : -1;
    pthread_mutex_unlock(&a->lock);
    return last;
}

/* The next box full.  Some of a chunk may be packed already, where there was no memory for the
 * others. */
static int pack_box(struct sy_packed_rows *a, int series, int width, float *values)
{
    int64_t steps[SY_CHUNK_ROWS], first = sy_metrics_after(a->m, series, last_packed(a, series));
    struct sy_str s = SY_STR_INIT;
    if (sy_metrics_copy(a->m, series, first, SY_CHUNK_ROWS, steps, values) < SY_CHUNK_ROWS)
        return -1;
    sy__chunk_encode(&s, steps, values, SY_CHUNK_ROWS, width);
    int rc = put_box(a, series, &s, steps[SY_CHUNK_ROWS - 1]);
    sy_str_free(&s);
    return rc;
}

static void pack_series(struct sy_packed_rows *a, int series)
{
    int width = sy_metrics_width(a->m, series);
    float *values = sy_alloc(SY_CHUNK_ROWS * (size_t)width * sizeof *values);
    int rc = values ? 0 : -1;
    while (!rc && sy_metrics_rows(a->m, series) - sy_metrics_first(a->m, series) >= KEPT) {
        for (int i = 0; i < SY_METRICS_CHUNK / SY_CHUNK_ROWS && !rc; i++)
            rc = pack_box(a, series, width, values);
        sy_metrics_forget(a->m, series, last_packed(a, series));
    }
    sy_free(values);
}

void sy_packed_rows_pack(struct sy_packed_rows *a)
{
    int count = sy_metrics_count(a->m);
    pthread_mutex_lock(&a->lock);
    int rc = count > a->count ? make_shelves(a, count) : 0;
    pthread_mutex_unlock(&a->lock);
    for (int i = 0; i < count && !rc; i++)
        if (sy_metrics_rows(a->m, i) - sy_metrics_first(a->m, i) >= KEPT)
            pack_series(a, i);
}

/* ---- reading ---- */

/* The first box that ends at or behind a step; count: none does. */
static int find_box(const struct shelf *s, int64_t step)
{
    int low = 0, high = s->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (s->boxes[middle].last >= step)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Rows of box i into steps and an owned *values; 0: there is none; -1: no memory for them.  Boxes
 * stay where they are and what they are, but the list of them may move. */
static int open_box(struct sy_packed_rows *a, int series, int width, int64_t step, int before,
                    int64_t *steps, float **values)
{
    struct box b = {NULL, 0, 0};
    pthread_mutex_lock(&a->lock);
    const struct shelf *s = series < 0 || series >= a->count ? NULL : &a->shelves[series];
    int i = s ? find_box(s, step) - before : -1;
    if (s && i >= 0 && i < s->count)
        b = s->boxes[i];
    pthread_mutex_unlock(&a->lock);
    if (!b.bytes)
        return 0;
    *values = sy_alloc(SY_CHUNK_ROWS * (size_t)width * sizeof **values);
    return *values ? sy__chunk_decode(b.bytes, b.n, width, steps, *values, NULL) : -1;
}

static int64_t rows_after(void *ctx, const char *name, int width, int64_t after, int64_t n,
                          int64_t *steps, float *values)
{
    struct sy_packed_rows *a = ctx;
    int64_t all[SY_CHUNK_ROWS], got = 0;
    float *unpacked = NULL;
    int rows = open_box(a, sy_metrics_find(a->m, name), width, after + 1, 0, all, &unpacked);
    for (int i = 0; i < rows && got < n; i++) {
        if (all[i] <= after)
            continue;
        steps[got] = all[i];
        memcpy(values + got++ * width, unpacked + (int64_t)i * width,
               (size_t)width * sizeof *values);
    }
    sy_free(unpacked);
    return rows < 0 ? -1 : got;
}

/* In box i, or the newest of the one before it. */
static int row_at(void *ctx, const char *name, int width, int64_t step, int64_t *found,
                  float *values)
{
    struct sy_packed_rows *a = ctx;
    int64_t steps[SY_CHUNK_ROWS];
    int have = 0;
    for (int before = 0; before < 2 && !have; before++) {
        float *unpacked = NULL;
        int rows = open_box(a, sy_metrics_find(a->m, name), width, step, before, steps, &unpacked);
        int i = rows - 1;
        while (i >= 0 && steps[i] > step)
            i--;
        have = rows < 0 ? -1 : i >= 0;
        if (have > 0) {
            *found = steps[i];
            memcpy(values, unpacked + (int64_t)i * width, (size_t)width * sizeof *values);
        }
        sy_free(unpacked);
    }
    return have;
}

/* ---- making ---- */

struct sy_packed_rows *sy_packed_rows_new(struct sy_metrics *m, struct sy_err *err)
{
    struct sy_packed_rows *a = sy_calloc(1, sizeof *a);
    if (!a) {
        sy_err_set(err, SY_E_MEMORY, "metrics: out of memory");
        return NULL;
    }
    a->m = m;
    pthread_mutex_init(&a->lock, NULL);
    sy_metrics_set_archive(m, &(struct sy_metrics_archive){rows_after, row_at, a});
    return a;
}

void sy_packed_rows_free(struct sy_packed_rows *a)
{
    if (!a)
        return;
    sy_metrics_drop_archive(a->m, a);
    for (int i = 0; i < a->count; i++) {
        for (int k = 0; k < a->shelves[i].count; k++)
            sy_free(a->shelves[i].boxes[k].bytes);
        sy_free(a->shelves[i].boxes);
    }
    sy_free(a->shelves);
    pthread_mutex_destroy(&a->lock);
    sy_free(a);
}
