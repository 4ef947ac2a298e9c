/* Reading a store: series, history, entries, what the run is.  See store.h.
 *
 *  1. What belongs together is read in one transaction, so a writer's commit cannot fall between.
 *  2. No memory is taken for what a number in the file says, only for bytes that are there. */
#include "run/store_int.h"

#include "base/grow.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sy__read_begin(struct sy_store *s, struct sy_err *err)
{
    pthread_mutex_lock(&s->db_lock);
    sy__run_dir_guard(s);
    if (!sy__run(s, SY__BEGIN_READ, err))
        return 0;
    pthread_mutex_unlock(&s->db_lock);
    return -1;
}

void sy__read_end(struct sy_store *s)
{
    for (int i = 0; i < SY__QUERIES; i++)
        if (s->query[i])
            sqlite3_reset(s->query[i]);
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&s->db_lock);
}

static int damaged(struct sy_store *s, const char *what, struct sy_err *err)
{
    return sy_err_set(err, SY_E_FORMAT, "%s: run.sqlite is damaged: %s", s->where, what);
}

static int no_memory(struct sy_store *s, struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "%s: out of memory", s->where);
}

/* ---- series ---- */

struct sy_store_series *sy_store_series(struct sy_store *s, int *count, struct sy_err *err)
{
    *count = 0;
    if (sy__read_begin(s, err))
        return NULL;
    struct sy_store_series *list = sy__list_series(s, count, NULL, err);
    sy__read_end(s);
    return list;
}

/* ---- rows ---- */

/* One pass over a series' chunks. */
struct walk {
    struct sy_store *s;
    sqlite3_stmt *q;
    int width, rows;
    bool part;         /* began in the middle: the count says nothing */
    int64_t id, count; /* as the table series says */
    int64_t seen, last_step;
    int64_t steps[SY_CHUNK_ROWS];
    float *values; /* [rows][width]; owned */
    int64_t room;
};

/* 0; -1 with NAME when there is no such series. */
static int walk_start(struct sy_store *s, const char *name, struct walk *w, struct sy_err *err)
{
    memset(w, 0, sizeof *w);
    w->s = s;
    w->last_step = INT64_MIN;
    sqlite3_stmt *q = sy__query(s, SY__SERIES_FIND, err);
    if (!q)
        return -1;
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_DONE)
        return sy_err_set(err, SY_E_NAME, "%s: no series '%s'", s->where, name);
    if (rc != SQLITE_ROW)
        return sy__db_fail(s, err);
    int64_t width = sqlite3_column_int64(q, 1);
    w->id = sqlite3_column_int64(q, 0);
    w->count = sqlite3_column_int64(q, 2);
    sqlite3_reset(q);
    if (w->id < 0 || w->id >= INT32_MAX || width < 1 || width > SY_SERIES_WIDTH_MAX ||
        w->count < 0 || w->count > SY__ROWS_MAX)
        return damaged(s, "a row of the table series", err);
    w->width = (int)width;
    if (!(w->q = sy__query(s, SY__CHUNK_READ, err)))
        return -1;
    sqlite3_bind_int64(w->q, 1, sy__chunk_id(w->id, 0));
    sqlite3_bind_int64(w->q, 2, sy__chunk_id(w->id + 1, 0) - 1);
    return 0;
}

/* 1: a chunk in steps, values, rows; 0: no more; -1. */
static int walk_next(struct walk *w, struct sy_err *err)
{
    int rc = sqlite3_step(w->q);
    if (rc == SQLITE_DONE && w->seen != w->count && !w->part)
        return damaged(w->s, "rows of a series are missing", err);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : sy__db_fail(w->s, err);
    const void *blob = sqlite3_column_blob(w->q, 3);
    size_t n = (size_t)sqlite3_column_bytes(w->q, 3);
    struct sy_err why = SY_ERR_INIT;
    int64_t count = sy__chunk_values(blob, n, w->width, &why);
    if (count > w->room) {
        sy_free(w->values);
        w->values = sy_alloc((size_t)count * sizeof *w->values);
        w->room = w->values ? count : 0;
    }
    if (count > 0 && !w->values)
        return no_memory(w->s, err);
    w->rows = count < 0 ? -1 : sy__chunk_decode(blob, n, w->width, w->steps, w->values, &why);
    if (w->rows < 0)
        return why.code == SY_E_MEMORY ? no_memory(w->s, err) : damaged(w->s, why.msg, err);
    if (w->steps[0] <= w->last_step)
        return damaged(w->s, "chunks whose steps do not ascend", err);
    w->last_step = w->steps[w->rows - 1];
    w->seen += w->rows;
    return 1;
}

static void walk_end(struct walk *w)
{
    if (w->q)
        sqlite3_reset(w->q);
    sy_free(w->values);
}

void sy_history_free(struct sy_history *h)
{
    sy_free(h->steps);
    sy_free(h->values);
    *h = (struct sy_history){0};
}

static bool take_row(struct sy_history *h, const struct walk *w, int i, int column)
{
    size_t width = (size_t)h->width;
    const float *row = w->values + (size_t)i * (size_t)w->width + (column < 0 ? 0 : column);
    if (SY_GROW(h->steps, h->step_room, h->count + 1) ||
        SY_GROW(h->values, h->value_room, (size_t)(h->count + 1) * width))
        return false;
    h->steps[h->count] = w->steps[i];
    memcpy(h->values + (size_t)h->count * width, row, width * sizeof *row);
    h->count++;
    return true;
}

static int read_history(struct sy_store *s, struct walk *w, int column, int64_t first, int64_t last,
                        struct sy_history *out, struct sy_err *err)
{
    int more;
    if (column >= w->width)
        return sy_err_set(err, SY_E_RANGE, "%s: the series has %d columns, not %d", s->where,
                          w->width, column + 1);
    out->width = column < 0 ? w->width : 1;
    while ((more = walk_next(w, err)) > 0 && w->steps[0] <= last)
        for (int i = 0; i < w->rows; i++)
            if (w->steps[i] >= first && w->steps[i] <= last && !take_row(out, w, i, column))
                return no_memory(s, err);
    return more < 0 ? -1 : 0;
}

int sy_store_history(struct sy_store *s, const char *name, int column, int64_t first, int64_t last,
                     struct sy_history *out, struct sy_err *err)
{
    struct walk w;
    *out = (struct sy_history){0};
    if (sy__read_begin(s, err))
        return -1;
    int rc = walk_start(s, name, &w, err);
    if (!rc)
        rc = read_history(s, &w, column, first, last, out, err);
    walk_end(&w);
    sy__read_end(s);
    if (rc)
        sy_history_free(out);
    return rc;
}

int sy__read_spark(struct sy_store *s, struct sy_store_info *out, struct sy_err *err)
{
    struct walk w;
    struct sy_err why = SY_ERR_INIT;
    int64_t row = 0;
    int more = walk_start(s, "loss", &w, &why) ? -1 : 1;
    int64_t points = w.count < SY_SPARK_POINTS ? w.count : SY_SPARK_POINTS;
    out->sparks = 0;
    while (more > 0 && (more = walk_next(&w, &why)) > 0)
        for (int i = 0; i < w.rows && row < w.count; i++, row++) {
            int64_t at = row * points / w.count;
            float v = w.values[(size_t)i * (size_t)w.width];
            while (out->sparks <= at)
                out->spark[out->sparks++] = v;
            if (v > out->spark[at] || isnan(v))
                out->spark[at] = v;
        }
    walk_end(&w);
    return more < 0 && why.code != SY_E_NAME ? sy_err_set(err, why.code, "%s", why.msg) : 0;
}

/* ---- a few rows of many ---- */

/* The number and first step of the last chunk numbered at most `most`.  1, 0: none, -1. */
static int probe_chunk(struct walk *w, int64_t most, int64_t *number, int64_t *first,
                       struct sy_err *err)
{
    sqlite3_stmt *q = sy__query(w->s, SY__CHUNK_PROBE, err);
    if (!q)
        return -1;
    sqlite3_bind_int64(q, 1, sy__chunk_id(w->id, 0));
    sqlite3_bind_int64(q, 2, sy__chunk_id(w->id, most));
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        *number = sqlite3_column_int64(q, 0) - sy__chunk_id(w->id, 0);
        *first = sqlite3_column_int64(q, 1);
    } else if (rc != SQLITE_DONE) {
        sy__db_fail(w->s, err);
    }
    sqlite3_reset(q);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

/* Begin at the last chunk whose first step is at most `step`, or at the first of all. */
static int walk_from(struct walk *w, int64_t step, struct sy_err *err)
{
    int64_t low = 0, high, number, first;
    int rc = probe_chunk(w, ((int64_t)1 << 32) - 1, &high, &first, err);
    if (rc <= 0)
        return rc;
    if (first <= step)
        low = high;
    while (low < high) { /* the chunk is in low .. high; holes belong to the chunk before them */
        int64_t middle = low + (high - low + 1) / 2;
        if ((rc = probe_chunk(w, middle, &number, &first, err)) < 0)
            return -1;
        if (rc && first <= step)
            low = middle;
        else
            high = middle - 1;
    }
    if ((rc = probe_chunk(w, low, &number, &first, err)) < 0)
        return -1;
    sqlite3_reset(w->q);
    w->part = true;
    sqlite3_bind_int64(w->q, 1, sy__chunk_id(w->id, rc ? number : 0));
    return 0;
}

/* Like walk_start, at `step`, for one who knows the width. */
static int start_at(struct sy_store *s, const char *name, int width, int64_t step, struct walk *w,
                    struct sy_err *err)
{
    if (walk_start(s, name, w, err))
        return -1;
    if (w->width != width)
        return sy_err_set(err, SY_E_SHAPE, "%s: series '%s' has %d columns, not %d", s->where, name,
                          w->width, width);
    return walk_from(w, step, err);
}

int64_t sy_store_after(struct sy_store *s, const char *name, int width, int64_t after, int64_t most,
                       int64_t *steps, float *values, struct sy_err *err)
{
    struct walk w;
    size_t bytes = (size_t)width * sizeof *values;
    int64_t n = 0;
    if (sy__read_begin(s, err))
        return -1;
    int more = start_at(s, name, width, after, &w, err) ? -1 : 1;
    while (more > 0 && n < most && (more = walk_next(&w, err)) > 0)
        for (int i = 0; i < w.rows && n < most; i++)
            if (w.steps[i] > after) {
                steps[n] = w.steps[i];
                memcpy(values + (size_t)n++ * (size_t)width, w.values + (size_t)i * (size_t)width,
                       bytes);
            }
    walk_end(&w);
    sy__read_end(s);
    return more < 0 ? -1 : n;
}

int sy_store_at(struct sy_store *s, const char *name, int width, int64_t step, int64_t *found,
                float *values, struct sy_err *err)
{
    struct walk w;
    int rc = 0;
    if (sy__read_begin(s, err))
        return -1;
    int more = start_at(s, name, width, step, &w, err) ? -1 : walk_next(&w, err);
    int last = more > 0 ? w.rows - 1 : -1;
    while (last >= 0 && w.steps[last] > step)
        last--;
    if (last >= 0) {
        *found = w.steps[last];
        memcpy(values, w.values + (size_t)last * (size_t)width, (size_t)width * sizeof *values);
        rc = 1;
    }
    walk_end(&w);
    sy__read_end(s);
    return more < 0 ? -1 : rc;
}

bool sy_store_news(struct sy_store *s)
{
    pthread_mutex_lock(&s->db_lock);
    sy__run_dir_guard(s);
    sqlite3_stmt *q = sy__query(s, SY__DATA_VERSION, NULL);
    int64_t version = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    if (q)
        sqlite3_reset(q);
    bool news = !version || version != s->data_version;
    s->data_version = version;
    pthread_mutex_unlock(&s->db_lock);
    return news;
}

/* ---- entries ---- */

void sy_store_entries_free(struct sy_store_entries *e)
{
    for (int64_t i = 0; i < e->count; i++)
        sy_free(e->list[i].kind); /* one block */
    sy_free(e->list);
    *e = (struct sy_store_entries){0};
}

static int take_entry(struct sy_store *s, sqlite3_stmt *q, bool journal, struct sy_store_entry *e,
                      struct sy_err *err)
{
    const char *text[4];
    size_t n[4] = {0};
    for (int i = 0; i < 2; i++)
        text[i] = sy__text(q, 3 + i, &n[i]);
    text[2] = sqlite3_column_blob(q, 5);
    n[2] = (size_t)sqlite3_column_bytes(q, 5);
    text[3] = journal ? sy__text(q, 8, &n[3]) : "";
    *e = (struct sy_store_entry){.id = sqlite3_column_int64(q, 0),
                                 .step = sqlite3_column_int64(q, 1),
                                 .time = sqlite3_column_double(q, 2),
                                 .left = sqlite3_column_int64(q, 7),
                                 .text_len = n[1],
                                 .data_len = n[2]};
    if (sy__sum(journal ? e->id : 0, e->step, text, n, n[3] ? 4 : 3) != sqlite3_column_int64(q, 6))
        return damaged(s, "an entry's sum does not fit it", err);
    e->kind = sy_alloc(n[0] + n[1] + n[2] + n[3] + 4);
    if (!e->kind)
        return no_memory(s, err);
    e->text = e->kind + n[0] + 1;
    char *data = e->text + n[1] + 1;
    e->who = data + n[2] + 1;
    char *to[4] = {e->kind, e->text, data, e->who};
    for (int i = 0; i < 4; i++) {
        if (n[i])
            memcpy(to[i], text[i], n[i]);
        to[i][n[i]] = 0;
    }
    e->data = data;
    return 0;
}

/* Ids of the journal have no gaps. */
static int read_entries(struct sy_store *s, sqlite3_stmt *q, bool journal, int64_t after, bool all,
                        struct sy_store_entries *out, struct sy_err *err)
{
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (journal && sqlite3_column_int64(q, 0) != ++after)
            return damaged(s, "entries of the journal are missing", err);
        if (!all && sqlite3_column_int64(q, 7))
            continue;
        if (SY_GROW(out->list, out->room, out->count + 1))
            return no_memory(s, err);
        if (take_entry(s, q, journal, &out->list[out->count], err))
            return -1;
        out->count++;
    }
    return rc == SQLITE_DONE ? 0 : sy__db_fail(s, err);
}

int sy_store_entries(struct sy_store *s, enum sy_store_table table, int64_t after, bool all,
                     struct sy_store_entries *out, struct sy_err *err)
{
    static const enum sy__query which[] = {SY__JOURNAL_READ, SY__SAMPLE_READ, SY__EVENT_READ,
                                           SY__CODE_READ};
    *out = (struct sy_store_entries){0};
    if (sy__read_begin(s, err))
        return -1;
    bool old = table == SY_STORE_JOURNAL && s->version < 5;
    sqlite3_stmt *q = sy__query(s, old ? SY__JOURNAL_READ_4 : which[table], err);
    int rc = -1;
    if (q) {
        sqlite3_bind_int64(q, 1, after);
        rc = read_entries(s, q, table == SY_STORE_JOURNAL, after, all, out, err);
    }
    sy__read_end(s);
    if (rc)
        sy_store_entries_free(out);
    return rc;
}

/* ---- what the run is ---- */

void sy_store_info_free(struct sy_store_info *info)
{
    sy_free(info->config);
    sy_free(info->environment);
    sy_free(info->tokenizer);
    sy_free(info->data);
    sy_free(info->parent);
    info->config = info->environment = info->tokenizer = info->data = info->parent = NULL;
}

/* Bytes of the files in a folder and those in it; depth is limited, links are not followed. */
static int64_t folder_bytes(int at, const char *name, int depth)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int64_t sum = 0;
    struct dirent *e;
    struct stat st;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    while ((e = readdir(dir))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (S_ISREG(st.st_mode))
            sum += st.st_size;
        else if (S_ISDIR(st.st_mode) && depth < 3)
            sum += folder_bytes(fd, e->d_name, depth + 1);
    }
    closedir(dir);
    return sum;
}

static double real_or_nan(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(q, column);
}

static int take_info(struct sy_store *s, sqlite3_stmt *q, struct sy_store_info *out,
                     struct sy_err *err)
{
    static const int columns[6] = {0, 10, 11, 12, 13, 14};
    char **to[6] = {NULL,       &out->config, &out->environment, &out->tokenizer,
                    &out->data, &out->parent};
    const char *text[6];
    size_t n[6];
    for (int i = 0; i < 6; i++)
        text[i] = sy__text(q, columns[i], &n[i]);
    out->parent_step = sqlite3_column_int64(q, 15);
    if (sy__sum(out->parent_step, 0, text, n, 6) != sqlite3_column_int64(q, 16))
        return damaged(s, "the run's sum does not fit it", err);
    for (int i = 1; i < 6; i++)
        if (!(*to[i] = sy_strndup(text[i], n[i])))
            return no_memory(s, err);
    out->status.state = sy_run_state_find(sy__text(q, 1, NULL));
    out->status.step = sqlite3_column_int64(q, 2);
    out->status.steps = sqlite3_column_int64(q, 3);
    out->status.loss = real_or_nan(q, 4);
    out->status.val_loss = real_or_nan(q, 5);
    out->status.tokens = sqlite3_column_int64(q, 6);
    out->created = sqlite3_column_double(q, 7);
    out->updated = sqlite3_column_double(q, 8);
    out->pid = sqlite3_column_int64(q, 9);
    return 0;
}

/* Who owns the run now; a state that only an owner can keep up is not true without one. */
static void ask_owner(const struct sy_store *s, struct sy_store_info *out)
{
    char path[4096];
    int64_t pid = 0;
    snprintf(path, sizeof path, "%s/lock", s->path);
    out->live = sy_lock_held(path, &pid);
    if (out->live && pid)
        out->pid = pid;
    if (!out->live && sy_run_state_row(out->status.state)->owned)
        out->status.state = SY_RUN_CRASHED;
}

static int read_info(struct sy_store *s, struct sy_store_info *out, bool all, struct sy_err *err)
{
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", s->name);
    if (sy__read_begin(s, err))
        return -1;
    sqlite3_stmt *q = sy__query(s, SY__RUN_READ, err);
    int rc = -1, step = q ? sqlite3_step(q) : SQLITE_ERROR;
    if (step == SQLITE_ROW)
        rc = take_info(s, q, out, err);
    else if (step == SQLITE_DONE)
        damaged(s, "it has no row of the run", err);
    else
        sy__db_fail(s, err);
    if (q)
        sqlite3_reset(q);
    if (!rc && all)
        rc = sy__read_spark(s, out, err);
    sy__read_end(s);
    ask_owner(s, out);
    out->bytes = all ? folder_bytes(AT_FDCWD, s->path, 0) : 0;
    if (rc)
        sy_store_info_free(out);
    return rc;
}

int sy_store_info(struct sy_store *s, struct sy_store_info *out, struct sy_err *err)
{
    return read_info(s, out, true, err);
}

int sy_store_peek(struct sy_store *s, struct sy_store_info *out, struct sy_err *err)
{
    return read_info(s, out, false, err);
}
