/* Series in chunks.  See metrics.h. */
#include "run/metrics.h"

#include "base/mem.h"
#include "run/names.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

struct chunk {
    int64_t steps[SY_METRICS_CHUNK];
    float values[]; /* [SY_METRICS_CHUNK][width] */
};

struct series {
    char *name; /* owned */
    int width;
    int64_t rows, first;   /* rows before `first`, a whole number of chunks, are not here any more */
    struct chunk **chunks; /* owned; at least one; NULL: gone */
    int nchunks, room;
};

struct sy_metrics {
    pthread_mutex_t lock;
    struct series **series; /* owned; addresses stay, so names may be handed out */
    int count, room;
    struct sy_names names; /* of series */
    int64_t lost;
    int64_t *cuts; /* owned; step of each truncation */
    uint64_t ncuts, cuts_room;
    pthread_mutex_t archive_lock; /* taken before the lock, held while the archive is read */
    struct sy_metrics_archive archive;
};

#define KEPT 2 /* chunks of a series that stay whole */

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

static int add_chunk(struct series *s)
{
    if (s->nchunks == s->room) {
        int room = s->room ? 2 * s->room : 8;
        struct chunk **grown = sy_realloc(s->chunks, (size_t)room * sizeof *grown);
        if (!grown)
            return -1;
        s->chunks = grown;
        s->room = room;
    }
    size_t bytes = sizeof(struct chunk) + (size_t)SY_METRICS_CHUNK * (size_t)s->width * sizeof(float);
    struct chunk *c = sy_alloc(bytes);
    if (!c)
        return -1;
    s->chunks[s->nchunks++] = c;
    return 0;
}

static struct series *new_series(const char *name, int width)
{
    struct series *s = sy_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->width = width;
    s->name = sy_strdup(name);
    if (!s->name || add_chunk(s)) {
        free_series(s);
        return NULL;
    }
    return s;
}

static int append(struct sy_metrics *m, struct series *s)
{
    if (m->count == m->room) {
        int room = m->room ? 2 * m->room : 32;
        struct series **grown = sy_realloc(m->series, (size_t)room * sizeof *grown);
        if (!grown)
            return -1;
        m->series = grown;
        m->room = room;
    }
    if (sy_names_add(&m->names, s->name) < 0)
        return -1;
    m->series[m->count] = s;
    return m->count++;
}

int sy_metrics_series(struct sy_metrics *m, const char *name, int width, struct sy_err *err)
{
    pthread_mutex_lock(&m->lock);
    int i = sy_names_find(&m->names, name);
    int had = i < 0 ? width : m->series[i]->width;
    if (i < 0) {
        struct series *s = new_series(name, width);
        i = s ? append(m, s) : -1;
        if (i < 0)
            free_series(s);
    }
    pthread_mutex_unlock(&m->lock);
    if (i < 0)
        return sy_err_set(err, SY_E_MEMORY, "metrics: out of memory for series '%s'", name);
    if (had != width)
        return sy_err_set(err, SY_E_SHAPE, "metrics: series '%s' has %d values a step, not %d", name,
                          had, width);
    return i;
}

void sy_metrics_add(struct sy_metrics *m, int series, int64_t step, const float *values)
{
    pthread_mutex_lock(&m->lock);
    struct series *s = m->series[series];
    int64_t at = s->rows % SY_METRICS_CHUNK, c = s->rows / SY_METRICS_CHUNK;
    if (c >= s->nchunks && add_chunk(s)) {
        m->lost++;
    } else {
        s->chunks[c]->steps[at] = step;
        memcpy(s->chunks[c]->values + at * s->width, values, (size_t)s->width * sizeof *values);
        s->rows++;
    }
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

int sy_metrics_find(struct sy_metrics *m, const char *name)
{
    pthread_mutex_lock(&m->lock);
    int i = sy_names_find(&m->names, name);
    pthread_mutex_unlock(&m->lock);
    return i;
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
        const struct chunk *c = s->chunks[(first + i) / SY_METRICS_CHUNK];
        int64_t at = (first + i) % SY_METRICS_CHUNK;
        steps[i] = c->steps[at];
        values[i] = c->values[at * s->width + column];
    }
    pthread_mutex_unlock(&m->lock);
    return n < 0 ? 0 : n;
}

static int64_t step_at(const struct series *s, int64_t row)
{
    return s->chunks[row / SY_METRICS_CHUNK]->steps[row % SY_METRICS_CHUNK];
}

int64_t sy_metrics_copy(struct sy_metrics *m, int series, int64_t first, int64_t n, int64_t *steps,
                        float *values)
{
    pthread_mutex_lock(&m->lock);
    const struct series *s = m->series[series];
    size_t width = (size_t)s->width;
    n = first < s->first ? 0 : first + n > s->rows ? s->rows - first : n;
    for (int64_t i = 0; i < n; i++) {
        const struct chunk *c = s->chunks[(first + i) / SY_METRICS_CHUNK];
        size_t at = (size_t)((first + i) % SY_METRICS_CHUNK);
        steps[i] = c->steps[at];
        memcpy(values + (size_t)i * width, c->values + at * width, width * sizeof *values);
    }
    pthread_mutex_unlock(&m->lock);
    return n < 0 ? 0 : n;
}

int64_t sy_metrics_after(struct sy_metrics *m, int series, int64_t step)
{
    pthread_mutex_lock(&m->lock);
    const struct series *s = m->series[series];
    int64_t low = s->first, high = s->rows; /* rows before low are not after, those from high on are */
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
        const struct chunk *c = s->chunks[(s->rows - 1) / SY_METRICS_CHUNK];
        int64_t at = (s->rows - 1) % SY_METRICS_CHUNK;
        step = c->steps[at];
        memcpy(values, c->values + at * s->width, (size_t)s->width * sizeof *values);
    }
    pthread_mutex_unlock(&m->lock);
    return step;
}

/* Without memory the last one stands for both: it only has to say at least what was dropped. */
static void note_cut(struct sy_metrics *m, int64_t step)
{
    if (m->ncuts == m->cuts_room) {
        uint64_t room = m->cuts_room ? 2 * m->cuts_room : 4;
        int64_t *grown = sy_realloc(m->cuts, room * sizeof *grown);
        if (grown) {
            m->cuts = grown;
            m->cuts_room = room;
        }
    }
    if (m->ncuts < m->cuts_room)
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
        while (s->rows > s->first && s->chunks[(s->rows - 1) / SY_METRICS_CHUNK]
                                  ->steps[(s->rows - 1) % SY_METRICS_CHUNK] > step)
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
    while (s->first + SY_METRICS_CHUNK <= end && step_at(s, s->first + SY_METRICS_CHUNK - 1) <= step) {
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

void sy_metrics_set_archive(struct sy_metrics *m, const struct sy_metrics_archive *archive)
{
    pthread_mutex_lock(&m->archive_lock);
    m->archive = archive ? *archive : (struct sy_metrics_archive){NULL, NULL, NULL};
    pthread_mutex_unlock(&m->archive_lock);
}

/* May rows behind this step, or the newest up to it, be among those that are gone? */
static bool is_gone(struct sy_metrics *m, const struct series *s, int64_t step)
{
    pthread_mutex_lock(&m->lock);
    bool gone = s->first && (s->rows == s->first || step < step_at(s, s->first));
    pthread_mutex_unlock(&m->lock);
    return gone;
}

int64_t sy_metrics_rows_after(struct sy_metrics *m, int series, int64_t after, int64_t n, int64_t *steps,
                              float *values)
{
    const struct series *s = series_at(m, series);
    int64_t got = 0;
    if (is_gone(m, s, after)) {
        pthread_mutex_lock(&m->archive_lock);
        if (m->archive.after)
            got = m->archive.after(m->archive.ctx, s->name, s->width, after, n, steps, values);
        pthread_mutex_unlock(&m->archive_lock);
    }
    return got > 0 ? got : sy_metrics_copy(m, series, sy_metrics_after(m, series, after), n, steps, values);
}

int64_t sy_metrics_at(struct sy_metrics *m, int series, int64_t step, float *values)
{
    const struct series *s = series_at(m, series);
    int64_t found = -1, row = sy_metrics_after(m, series, step) - 1;
    if (row >= 0 && sy_metrics_copy(m, series, row, 1, &found, values) == 1)
        return found;
    if (!is_gone(m, s, step))
        return -1;
    pthread_mutex_lock(&m->archive_lock);
    if (!m->archive.at || m->archive.at(m->archive.ctx, s->name, s->width, step, &found, values) != 1)
        found = -1;
    pthread_mutex_unlock(&m->archive_lock);
    return found;
}
