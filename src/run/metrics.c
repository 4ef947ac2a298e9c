/* Series in chunks.  See metrics.h. */
#include "run/metrics.h"

#include "base/grow.h"
#include "base/mem.h"
#include "run/names.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

struct series {
    char *name; /* owned */
    int width;
    struct sy_series_what what;
    int64_t rows, first; /* rows before `first`, a whole number of chunks, are not here any more */
    /* owned; at least one; NULL: gone.  Row after row: an int64_t, the values */
    char **chunks;
    int nchunks;
    size_t room;
    int64_t newest; /* rows that the newest chunk has room for; the others have SY_METRICS_CHUNK */
};

struct sy_metrics {
    pthread_mutex_t lock;
    struct series **series; /* owned; addresses stay, so names may be handed out */
    int count;
    size_t room;
    struct sy_names names; /* of series */
    int64_t lost;
    int64_t *cuts; /* owned; step of each truncation */
    size_t ncuts, cuts_room;
    pthread_mutex_t archive_lock; /* taken before the lock, held while the archive is read */
    struct sy_metrics_archive archive;
};

#define KEPT 2 /* chunks of a series that stay whole */
#define FIRST 16 /* rows of a new series */
#define GROWTH 4

/* ---- rows in chunks ---- */

static size_t row_bytes(const struct series *s)
{
    return sizeof(int64_t) + (size_t)s->width * sizeof(float);
}

static char *row_at(const struct series *s, int64_t row)
{
    return s->chunks[row / SY_METRICS_CHUNK] + (size_t)(row % SY_METRICS_CHUNK) * row_bytes(s);
}

static int64_t step_at(const struct series *s, int64_t row)
{
    int64_t step; /* rows are not aligned for it */
    memcpy(&step, row_at(s, row), sizeof step);
    return step;
}

static void get_values(const struct series *s, int64_t row, int column, int n, float *values)
{
    memcpy(values, row_at(s, row) + sizeof(int64_t) + (size_t)column * sizeof(float),
           (size_t)n * sizeof(float));
}

static void put_row(struct series *s, int64_t row, int64_t step, const float *values)
{
    char *to = row_at(s, row);
    memcpy(to, &step, sizeof step);
    memcpy(to + sizeof step, values, (size_t)s->width * sizeof(float));
}

struct sy_metrics *sy_metrics_new(struct sy_err *err)
{
    struct sy_metrics *m = sy_calloc(1, sizeof *m);
    if (!m) {
        sy_err_set(err, SY_E_MEMORY, "metrics: out of memory");
        return NULL;
    }
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->archive_lock, NULL);
    return m;
}

static void free_series(struct series *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->nchunks; i++)
        sy_free(s->chunks[i]);
    sy_free(s->chunks);
    sy_free(s->name);
    sy_free(s);
}

void sy_metrics_free(struct sy_metrics *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->count; i++)
        free_series(m->series[i]);
    sy_free(m->series);
    sy_names_free(&m->names);
    sy_free(m->cuts);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->archive_lock);
    sy_free(m);
}

static int add_chunk(struct series *s, int64_t rows)
{
    if (SY_GROW(s->chunks, s->room, s->nchunks + 1))
        return -1;
    char *c = sy_alloc((size_t)rows * row_bytes(s));
    if (!c)
        return -1;
    s->chunks[s->nchunks++] = c;
    s->newest = rows;
    return 0;
}

/* Most of many series have few rows, so the first chunk begins small. */
static int grow_newest(struct series *s)
{
    int64_t rows = GROWTH * s->newest < SY_METRICS_CHUNK ? GROWTH * s->newest : SY_METRICS_CHUNK;
    char *grown = sy_realloc(s->chunks[s->nchunks - 1], (size_t)rows * row_bytes(s));
    if (!grown)
        return -1;
    s->chunks[s->nchunks - 1] = grown;
    s->newest = rows;
    return 0;
}

static int make_room(struct series *s)
{
    int64_t c = s->rows / SY_METRICS_CHUNK, at = s->rows % SY_METRICS_CHUNK;
    if (c >= s->nchunks)
        return add_chunk(s, SY_METRICS_CHUNK);
    return c == s->nchunks - 1 && at >= s->newest ? grow_newest(s) : 0;
}

static struct series *new_series(const char *name, int width)
{
    struct series *s = sy_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->width = width;
    s->name = sy_strdup(name);
    if (!s->name || add_chunk(s, FIRST)) {
        free_series(s);
        return NULL;
    }
    return s;
}

static int append_series(struct sy_metrics *m, struct series *s)
{
    if (SY_GROW(m->series, m->room, m->count + 1))
        return -1;
    if (sy_names_add(&m->names, s->name) < 0)
        return -1;
    m->series[m->count] = s;
    return m->count++;
}

/* what: NULL: as it is, or of a new one a value. */
static int find_or_make(struct sy_metrics *m, const char *name, int width,
                        const struct sy_series_what *what, struct sy_err *err)
{
    pthread_mutex_lock(&m->lock);
    int i = sy_names_find(&m->names, name);
    int had = i < 0 ? width : m->series[i]->width;
    if (i < 0) {
        struct series *s = new_series(name, width);
        i = s ? append_series(m, s) : -1;
        if (i < 0)
            free_series(s);
    }
    if (what && i >= 0 && had == width)
        m->series[i]->what = *what;
    pthread_mutex_unlock(&m->lock);
    if (i < 0)
        return sy_err_set(err, SY_E_MEMORY, "metrics: out of memory for series '%s'", name);
    if (had != width)
        return sy_err_set(err, SY_E_SHAPE, "metrics: series '%s' has %d values a step, not %d",
                          name, had, width);
    return i;
}

int sy_metrics_series(struct sy_metrics *m, const char *name, int width, struct sy_err *err)
{
    return find_or_make(m, name, width, NULL, err);
}

int sy_metrics_declare(struct sy_metrics *m, const char *name, int width,
                       const struct sy_series_what *what, struct sy_err *err)
{
    return find_or_make(m, name, width, what, err);
}

void sy_metrics_add(struct sy_metrics *m, int series, int64_t step, const float *values)
{
    pthread_mutex_lock(&m->lock);
    struct series *s = m->series[series];
    if (make_room(s))
        m->lost++;
    else
        put_row(s, s->rows++, step, values);
    pthread_mutex_unlock(&m->lock);
}

int64_t sy_metrics_lost(const struct sy_metrics *m) { return m->lost; }

int sy_metrics_count(struct sy_metrics *m)
{
    pthread_mutex_lock(&m->lock);
    int n = m->count;
    pthread_mutex_unlock(&m->lock);
    return n;
}

static struct series *series_at(struct sy_metrics *m, int i)
{
    pthread_mutex_lock(&m->lock);
    struct series *s = m->series[i];
    pthread_mutex_unlock(&m->lock);
    return s;
}

const char *sy_metrics_name(struct sy_metrics *m, int series) { return series_at(m, series)->name; }
int sy_metrics_width(struct sy_metrics *m, int series) { return series_at(m, series)->width; }

struct sy_series_what sy_metrics_what(struct sy_metrics *m, int series)
{
    pthread_mutex_lock(&m->lock);
    struct sy_series_what what = m->series[series]->what;
    pthread_mutex_unlock(&m->lock);
    return what;
}

int sy_metrics_find(struct sy_metrics *m, const char *name)
{
    pthread_mutex_lock(&m->lock);
    int i = sy_names_find(&m->names, name);
    pthread_mutex_unlock(&m->lock);
    return i;
}

int sy_metrics_find_what(struct sy_metrics *m, const struct sy_series_what *what)
{
    int n = sy_metrics_count(m), found = -1;
    const char *kind = sy_series_row(what->kind)->name;
    size_t len = strlen(kind);
    for (int i = 0; i < n; i++) {
        struct sy_series_what of = sy_metrics_what(m, i);
        if (of.kind != what->kind || !sy_series_same_place(&of, what))
            continue;
        const char *name = sy_metrics_name(m, i);
        if (!strncmp(name, kind, len) && (!name[len] || name[len] == '.'))
            return i;
        found = found < 0 ? i : found;
    }
    return found;
}

int64_t sy_metrics_rows(struct sy_metrics *m, int series)
{
    pthread_mutex_lock(&m->lock);
    int64_t n = m->series[series]->rows;
    pthread_mutex_unlock(&m->lock);
    return n;
}

int64_t sy_metrics_read(struct sy_metrics *m, int series, int column, int64_t first, int64_t n,
                        int64_t *steps, float *values)
{
    pthread_mutex_lock(&m->lock);
    const struct series *s = m->series[series];
    n = first < s->first ? 0 : first + n > s->rows ? s->rows - first : n;
    for (int64_t i = 0; i < n; i++) {
        steps[i] = step_at(s, first + i);
        get_values(s, first + i, column, 1, values + i);
    }
    pthread_mutex_unlock(&m->lock);
    return n < 0 ? 0 : n;
}

int64_t sy_metrics_copy(struct sy_metrics *m, int series, int64_t first, int64_t n, int64_t *steps,
                        float *values)
{
    pthread_mutex_lock(&m->lock);
    const struct series *s = m->series[series];
    n = first < s->first ? 0 : first + n > s->rows ? s->rows - first : n;
    for (int64_t i = 0; i < n; i++) {
        steps[i] = step_at(s, first + i);
        get_values(s, first + i, 0, s->width, values + i * s->width);
    }
    pthread_mutex_unlock(&m->lock);
    return n < 0 ? 0 : n;
}

int64_t sy_metrics_after(struct sy_metrics *m, int series, int64_t step)
{
    pthread_mutex_lock(&m->lock);
    const struct series *s = m->series[series];
    /* rows before low are not after, those from high on are */
    int64_t low = s->first, high = s->rows;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (step_at(s, middle) > step)
            high = middle;
        else
            low = middle + 1;
    }
    pthread_mutex_unlock(&m->lock);
    return low;
}

int64_t sy_metrics_last(struct sy_metrics *m, int series, float *values)
{
    int64_t step = -1;
    pthread_mutex_lock(&m->lock);
    const struct series *s = m->series[series];
    if (s->rows > s->first) {
        step = step_at(s, s->rows - 1);
        get_values(s, s->rows - 1, 0, s->width, values);
    }
    pthread_mutex_unlock(&m->lock);
    return step;
}

/* Without memory the last one stands for both: it only has to say at least what was dropped. */
static void note_cut(struct sy_metrics *m, int64_t step)
{
    if (!SY_GROW(m->cuts, m->cuts_room, m->ncuts + 1))
        m->cuts[m->ncuts++] = step;
    else if (m->ncuts && step < m->cuts[m->ncuts - 1])
        m->cuts[m->ncuts - 1] = step;
}

void sy_metrics_truncate(struct sy_metrics *m, int64_t step)
{
    pthread_mutex_lock(&m->lock);
    note_cut(m, step);
    for (int i = 0; i < m->count; i++) {
        struct series *s = m->series[i];
        while (s->rows > s->first && step_at(s, s->rows - 1) > step)
            s->rows--;
    }
    pthread_mutex_unlock(&m->lock);
}

int64_t sy_metrics_cut(struct sy_metrics *m, uint64_t *seen)
{
    int64_t least = INT64_MAX;
    pthread_mutex_lock(&m->lock);
    for (uint64_t i = *seen; i < m->ncuts; i++)
        least = m->cuts[i] < least ? m->cuts[i] : least;
    *seen = m->ncuts;
    pthread_mutex_unlock(&m->lock);
    return least;
}

/* ---- what is elsewhere ---- */

void sy_metrics_forget(struct sy_metrics *m, int series, int64_t step)
{
    pthread_mutex_lock(&m->lock);
    struct series *s = m->series[series];
    int64_t end = s->rows - KEPT * SY_METRICS_CHUNK;
    while (s->first + SY_METRICS_CHUNK <= end &&
           step_at(s, s->first + SY_METRICS_CHUNK - 1) <= step) {
        int64_t c = s->first / SY_METRICS_CHUNK;
        sy_free(s->chunks[c]);
        s->chunks[c] = NULL;
        s->first += SY_METRICS_CHUNK;
    }
    pthread_mutex_unlock(&m->lock);
}

int64_t sy_metrics_first(struct sy_metrics *m, int series)
{
    pthread_mutex_lock(&m->lock);
    int64_t first = m->series[series]->first;
    pthread_mutex_unlock(&m->lock);
    return first;
}

struct sy_metrics_archive sy_metrics_set_archive(struct sy_metrics *m,
                                                 const struct sy_metrics_archive *archive)
{
    pthread_mutex_lock(&m->archive_lock);
    struct sy_metrics_archive before = m->archive;
    m->archive = *archive;
    pthread_mutex_unlock(&m->archive_lock);
    return before;
}

void sy_metrics_drop_archive(struct sy_metrics *m, const void *ctx)
{
    pthread_mutex_lock(&m->archive_lock);
    if (m->archive.ctx == ctx)
        m->archive = (struct sy_metrics_archive){NULL, NULL, NULL};
    pthread_mutex_unlock(&m->archive_lock);
}

struct sy_metrics_archive sy_metrics_archive_of(struct sy_metrics *m)
{
    pthread_mutex_lock(&m->archive_lock);
    struct sy_metrics_archive archive = m->archive;
    pthread_mutex_unlock(&m->archive_lock);
    return archive;
}

bool sy_metrics_is_gone(struct sy_metrics *m, int series, int64_t step)
{
    const struct series *s = series_at(m, series);
    pthread_mutex_lock(&m->lock);
    bool gone = s->first && (s->rows == s->first || step < step_at(s, s->first));
    pthread_mutex_unlock(&m->lock);
    return gone;
}

int64_t sy_metrics_rows_after(struct sy_metrics *m, int series, int64_t after, int64_t n,
                              int64_t *steps, float *values)
{
    const struct series *s = series_at(m, series);
    int64_t got = 0;
    if (sy_metrics_is_gone(m, series, after)) {
        pthread_mutex_lock(&m->archive_lock);
        if (m->archive.after)
            got = m->archive.after(m->archive.ctx, s->name, s->width, after, n, steps, values);
        pthread_mutex_unlock(&m->archive_lock);
    }
    return got > 0
               ? got
               : sy_metrics_copy(m, series, sy_metrics_after(m, series, after), n, steps, values);
}

int64_t sy_metrics_at(struct sy_metrics *m, int series, int64_t step, float *values)
{
    const struct series *s = series_at(m, series);
    int64_t found = -1, row = sy_metrics_after(m, series, step) - 1;
    if (row >= 0 && sy_metrics_copy(m, series, row, 1, &found, values) == 1)
        return found;
    if (!sy_metrics_is_gone(m, series, step))
        return -1;
    pthread_mutex_lock(&m->archive_lock);
    if (!m->archive.at ||
        m->archive.at(m->archive.ctx, s->name, s->width, step, &found, values) != 1)
        found = -1;
    pthread_mutex_unlock(&m->archive_lock);
    return found;
}
