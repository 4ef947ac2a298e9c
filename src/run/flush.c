/* What is new goes to the disk: the queue in order, then metrics, then the run's row, in one
 * transaction.  See store.h.
 *
 * What is on disk decides what is new: the last step of a series there, and all rows of metrics
 * after it.  So a transaction that failed needs no undoing in memory but to forget the series'
 * tails, and rows cannot be lost or doubled by a failure, a rewind or a resume.  Rows gather in the
 * tail, the last chunk of a series, which is written again until it is full. */
#include "run/store_int.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/mem.h"
#include "base/reals.h"
#include "run/metrics.h"
#include "switchyard/events.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAL_PAGES 512 /* of 8 KiB: then the log is copied into the file */

/* ---- a transaction ---- */

static int begin_transaction(struct sy_store *s, struct sy_err *err)
{
    if (s->began)
        return 0;
    if (sy__db_migrate(s, err) || sy__run(s, SY__BEGIN, err))
        return -1;
    s->began = true;
    return 0;
}

static void roll_back(struct sy_store *s)
{
    for (int i = 0; i < SY__QUERIES; i++)
        if (s->query[i])
            sqlite3_reset(s->query[i]);
    if (s->db && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->began = false;
    sy__forget_series(s);
}

/* ---- series ---- */

static struct sy__series *new_series(int width)
{
    size_t rows = SY_CHUNK_ROWS;
    struct sy__series *e = sy_calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->steps = sy_calloc(1, rows * sizeof *e->steps + rows * (size_t)width * sizeof *e->values);
    e->values = (float *)(e->steps ? e->steps + rows : NULL);
    e->width = width;
    e->last_step = -1;
    if (e->steps)
        return e;
    sy_free(e);
    return NULL;
}

static void bind_what(sqlite3_stmt *q, int at, const struct sy_series_what *what)
{
    sqlite3_bind_text(q, at, sy_series_row(what->kind)->name, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, at + 1, what->layer);
    sqlite3_bind_text(q, at + 2, what->mixture, -1, SQLITE_TRANSIENT);
}

/* An older store does not say what the series is, or it is another kind from now on.  What nobody
 * declares stays. */
static int declare_series(struct sy_store *s, const struct sy__series *e,
                          const struct sy_series_what *what, struct sy_err *err)
{
    sqlite3_stmt *q = sy__query(s, SY__SERIES_DECLARE, err);
    if (!q)
        return -1;
    bind_what(q, 1, what);
    sqlite3_bind_int64(q, 4, e->id);
    return sy__finish(s, q, err);
}

static int add_series(struct sy_store *s, struct sy__series *e, const char *name,
                      const struct sy_series_what *what, struct sy_err *err)
{
    sqlite3_stmt *q = sy__query(s, SY__SERIES_ADD, err);
    if (!q)
        return -1;
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, e->width);
    bind_what(q, 3, what);
    if (sy__finish(s, q, err))
        return -1;
    e->id = sqlite3_last_insert_rowid(s->db);
    return 0;
}

/* Find the series on disk, or make it: its id, and what it had when it was last written. */
static int find_series(struct sy_store *s, struct sy__series *e, const char *name,
                       const struct sy_series_what *what, struct sy_err *err)
{
    /* begun first, for an older store does not know of kinds */
    sqlite3_stmt *q = begin_transaction(s, err) ? NULL : sy__query(s, SY__SERIES_KNOWN, err);
    if (!q)
        return -1;
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    if (rc != SQLITE_ROW) {
        sqlite3_reset(q);
        return rc == SQLITE_DONE ? add_series(s, e, name, what, err) : sy__db_fail(s, err);
    }
    e->id = sqlite3_column_int64(q, 0);
    int64_t width = sqlite3_column_int64(q, 1);
    const char *kind = sy__text(q, 2, NULL);
    /* a kind that is not known is a newer program's, and stays */
    bool said = *kind && (sy_series_find(kind) < 0 ||
                          !strcmp(kind, sy_series_row(what->kind)->name));
    e->last_step = sqlite3_column_int64(q, 3);
    sqlite3_reset(q);
    if (width != e->width)
        return sy_err_set(err, SY_E_SHAPE,
                          "%s: series '%s' has %lld values a step on disk, not %d", s->where, name,
                          (long long)width, e->width);
    if (e->id < 0 || e->id >= INT32_MAX)
        return sy_err_set(err, SY_E_FORMAT, "%s: run.sqlite is damaged: series id", s->where);
    if (said || what->kind == SY_SERIES_VALUE)
        return 1;
    return declare_series(s, e, what, err) ? -1 : 1;
}

/* The last chunk of a series becomes its tail.  A damaged one is left alone: rows go on behind it.
 */
static int load_tail(struct sy_store *s, struct sy__series *e, struct sy_err *err)
{
    sqlite3_stmt *q = sy__query(s, SY__CHUNK_LAST, err);
    if (!q)
        return -1;
    sqlite3_bind_int64(q, 1, sy__chunk_id(e->id, 0));
    sqlite3_bind_int64(q, 2, sy__chunk_id(e->id + 1, 0) - 1);
    struct sy_err why = SY_ERR_INIT;
    int rc = sqlite3_step(q), rows = 0;
    if (rc == SQLITE_ROW) {
        e->number = sqlite3_column_int64(q, 0) & UINT32_MAX;
        rows = e->loaded =
            sy__chunk_decode(sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3),
                             e->width, e->steps, e->values, &why);
        if (rows > 0 && e->steps[rows - 1] > e->last_step)
            e->last_step = e->steps[rows - 1];
        if (rows < 0 || rows == SY_CHUNK_ROWS)
            e->number++;
        e->tail = rows < 0 || rows == SY_CHUNK_ROWS ? 0 : rows;
        e->before = e->number * SY_CHUNK_ROWS;
    }
    sqlite3_reset(q);
    if (why.code == SY_E_MEMORY)
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory for metrics", s->where);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : sy__db_fail(s, err);
}

static struct sy__series *series_at(struct sy_store *s, int i, struct sy_err *err)
{
    if (i >= s->nseries) {
        int room = sy_metrics_count(s->metrics); /* all that there are */
        if (SY_GROW(s->series, s->series_room, room)) {
            sy_err_set(err, SY_E_MEMORY, "%s: out of memory for metrics", s->where);
            return NULL;
        }
        memset(s->series + s->nseries, 0, (size_t)(room - s->nseries) * sizeof *s->series);
        s->nseries = room;
    }
    if (s->series[i])
        return s->series[i];
    int width = sy_metrics_width(s->metrics, i);
    struct sy__series *e = width <= SY_SERIES_WIDTH_MAX ? new_series(width) : NULL;
    if (!e)
        sy_err_set(err, SY_E_MEMORY, "%s: out of memory for a series of width %d", s->where, width);
    struct sy_series_what what = sy_metrics_what(s->metrics, i);
    int had = e ? find_series(s, e, sy_metrics_name(s->metrics, i), &what, err) : -1;
    if (had < 0 || (had && load_tail(s, e, err))) {
        sy__series_free(e);
        return NULL;
    }
    return s->series[i] = e;
}

/* ---- metrics ---- */

static int write_tail(struct sy_store *s, const struct sy__series *e, struct sy_err *err)
{
    struct sy_str blob = SY_STR_INIT;
    sqlite3_stmt *q = begin_transaction(s, err) ? NULL : sy__query(s, SY__CHUNK_PUT, err);
    if (!q)
        return -1;
    sy__chunk_encode(&blob, e->steps, e->values, e->tail, e->width);
    sqlite3_bind_int64(q, 1, sy__chunk_id(e->id, e->number));
    sqlite3_bind_int64(q, 2, e->steps[0]);
    sqlite3_bind_int(q, 3, e->tail);
    sqlite3_bind_blob64(q, 4, blob.data, blob.len, SQLITE_STATIC);
    int rc = blob.failed ? sy_err_set(err, SY_E_MEMORY, "%s: out of memory for metrics", s->where)
                         : sy__finish(s, q, err);
    sqlite3_clear_bindings(q);
    sy_str_free(&blob);
    return rc;
}

static int write_counts(struct sy_store *s, const struct sy__series *e, const float *last,
                        struct sy_err *err)
{
    sqlite3_stmt *q = sy__query(s, SY__SERIES_UPDATE, err);
    if (!q)
        return -1;
    sqlite3_bind_int64(q, 1, e->before + e->tail);
    sqlite3_bind_int64(q, 2, e->last_step);
    sqlite3_bind_blob64(q, 3, last, (size_t)e->width * sizeof *last, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, e->id);
    int rc = sy__finish(s, q, err);
    sqlite3_clear_bindings(q);
    return rc;
}

/* Rows behind the last one into the tail: how many; -1: they cannot be read.  What only the
 * archive has was written already, unless it is not ours. */
static int64_t next_rows(struct sy_store *s, int i, struct sy__series *e)
{
    int64_t *steps = e->steps + e->tail, room = SY_CHUNK_ROWS - e->tail;
    float *values = e->values + (size_t)e->tail * (size_t)e->width;
    int64_t n = 0;
    if (s->taking.after && sy_metrics_is_gone(s->metrics, i, e->last_step))
        n = s->taking.after(s->taking.ctx, sy_metrics_name(s->metrics, i), e->width, e->last_step,
                            room, steps, values);
    if (n)
        return n;
    return sy_metrics_copy(s->metrics, i, sy_metrics_after(s->metrics, i, e->last_step), room,
                           steps, values);
}

/* Rows of a series that are new go into its tail, and full tails to the disk.  A few hundred rows
 * at a time: the trainer waits no longer than such a copy. */
static int write_series(struct sy_store *s, int i, struct sy_err *err)
{
    struct sy__series *e = series_at(s, i, err);
    const float *last = NULL;
    if (!e)
        return -1;
    for (;;) {
        int64_t n = next_rows(s, i, e);
        if (n < 0)
            return sy_err_set(err, SY_E_MEMORY, "%s: out of memory for metrics", s->where);
        if (!n)
            break;
        e->tail += (int)n;
        e->last_step = e->steps[e->tail - 1];
        last = e->values + (size_t)(e->tail - 1) * (size_t)e->width;
        if (e->tail < SY_CHUNK_ROWS)
            continue;
        if (write_tail(s, e, err))
            return -1;
        e->number++;
        e->before += SY_CHUNK_ROWS;
        e->tail = 0;
    }
    if (!last)
        return 0;
    return (e->tail && write_tail(s, e, err)) || write_counts(s, e, last, err) ? -1 : 0;
}

static int write_metrics(struct sy_store *s, struct sy_err *err)
{
    int n = s->metrics ? sy_metrics_count(s->metrics) : 0;
    for (int i = 0; i < n; i++)
        if (write_series(s, i, err))
            return -1;
    return 0;
}

/* ---- the queue ---- */

static int write_entry(struct sy_store *s, const struct sy__item *item, struct sy_err *err)
{
    static const enum sy__query add[] = {SY__JOURNAL_ADD, SY__SAMPLE_ADD, SY__EVENT_ADD,
                                         SY__CODE_ADD};
    const char *const text[] = {item->kind, item->text, item->data, item->who};
    const size_t n[] = {strlen(item->kind), item->text_len, item->data_len, strlen(item->who)};
    sqlite3_stmt *q = sy__query(s, add[item->table], err);
    int at = 0;
    if (!q)
        return -1;
    if (item->table == SY_STORE_JOURNAL)
        sqlite3_bind_int64(q, ++at, item->id);
    sqlite3_bind_int64(q, ++at, item->step);
    sqlite3_bind_double(q, ++at, item->time);
    sqlite3_bind_text(q, ++at, item->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text64(q, ++at, item->text, item->text_len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_blob64(q, ++at, item->data, item->data_len, SQLITE_STATIC);
    sqlite3_bind_int64(q, ++at, sy__sum(item->id, item->step, text, n, *item->who ? 4 : 3));
    if (item->table == SY_STORE_JOURNAL)
        sqlite3_bind_text(q, ++at, item->who, -1, SQLITE_STATIC);
    int rc = sy__finish(s, q, err);
    sqlite3_clear_bindings(q);
    return rc;
}

static int leave_rows(struct sy_store *s, enum sy__query which, int64_t step, int64_t id,
                      struct sy_err *err)
{
    sqlite3_stmt *q = sy__query(s, which, err);
    if (!q)
        return -1;
    sqlite3_bind_int64(q, 1, step);
    if (which == SY__JOURNAL_LEAVE)
        sqlite3_bind_int64(q, 2, id);
    return sy__finish(s, q, err);
}

/* The rows of the tail up to a step stay, and are written anew. */
static int cut_tail(struct sy_store *s, struct sy__series *e, int64_t step, struct sy_err *err)
{
    int rows = e->tail;
    while (e->tail && e->steps[e->tail - 1] > step)
        e->tail--;
    if (e->tail == rows)
        return 0;
    return e->tail ? write_tail(s, e, err) : 0;
}

static int cut_series(struct sy_store *s, int64_t id, int width, int64_t step, struct sy_err *err)
{
    struct sy__series *e = new_series(width);
    sqlite3_stmt *q = sy__query(s, SY__CHUNK_CUT, err);
    int rc = -1;
    if (!e)
        sy_err_set(err, SY_E_MEMORY, "%s: out of memory for a rewind", s->where);
    else if (q) {
        e->id = id;
        sqlite3_bind_int64(q, 1, sy__chunk_id(id, 0));
        sqlite3_bind_int64(q, 2, sy__chunk_id(id + 1, 0) - 1);
        sqlite3_bind_int64(q, 3, step);
        rc = sy__finish(s, q, err) || load_tail(s, e, err) ? -1 : 0;
    }
    if (!rc && e->loaded == SY_CHUNK_ROWS) { /* the last chunk is full: it is the one to cut */
        e->number--;
        e->before -= SY_CHUNK_ROWS;
        e->tail = SY_CHUNK_ROWS;
    }
    if (!rc && !(rc = cut_tail(s, e, step, err))) {
        e->last_step = e->tail ? e->steps[e->tail - 1] : e->number ? step : -1;
        rc = write_counts(s, e, e->values + (size_t)(e->tail ? e->tail - 1 : 0) * (size_t)width,
                          err);
    }
    sy__series_free(e);
    return rc;
}

static int write_cut(struct sy_store *s, const struct sy__item *item, struct sy_err *err)
{
    int count;
    struct sy_store_series *list = NULL;
    sy__forget_series(s);
    int64_t *ids = NULL;
    if (leave_rows(s, SY__SAMPLE_LEAVE, item->step, 0, err) ||
        (!*item->kind && leave_rows(s, SY__JOURNAL_LEAVE, item->step, item->id, err)) ||
        !(list = sy__list_series(s, &count, &ids, err)))
        return -1;
    int rc = 0;
    for (int i = 0; i < count && !rc; i++)
        if (list[i].last_step > item->step)
            rc = cut_series(s, ids[i], list[i].width, item->step, err);
    sy_store_series_free(list, count);
    sy_free(ids);
    return rc;
}

/* The first n items: those behind may be growing under another thread. */
static int write_items(struct sy_store *s, const struct sy__item *item, int n, struct sy_err *err)
{
    for (int i = 0; i < n; i++) {
        if (begin_transaction(s, err))
            return -1;
        if (item->table == SY__CUT ? write_cut(s, item, err) : write_entry(s, item, err))
            return -1;
        if (i + 1 < n)
            item = item->next;
    }
    return 0;
}

/* ---- the run's row ---- */

static void bind_real(sqlite3_stmt *q, int at, double v)
{
    if (isnan(v))
        sqlite3_bind_null(q, at);
    else
        sqlite3_bind_double(q, at, v);
}

static bool same_status(const struct sy_store_status *a, const struct sy_store_status *b)
{
    return a->state == b->state && a->step == b->step && a->steps == b->steps &&
           a->tokens == b->tokens && sy_same_real(a->loss, b->loss) &&
           sy_same_real(a->val_loss, b->val_loss);
}

static int write_status(struct sy_store *s, const struct sy_store_status *st, struct sy_err *err)
{
    if (!s->began && same_status(st, &s->written))
        return 0;
    sqlite3_stmt *q = begin_transaction(s, err) ? NULL : sy__query(s, SY__RUN_STATUS, err);
    if (!q)
        return -1;
    sqlite3_bind_text(q, 1, sy_run_state_name(st->state), -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, st->step);
    sqlite3_bind_int64(q, 3, st->steps);
    bind_real(q, 4, st->loss);
    bind_real(q, 5, st->val_loss);
    sqlite3_bind_int64(q, 6, st->tokens);
    sqlite3_bind_double(q, 7, sy_wall());
    sqlite3_bind_int64(q, 8, getpid());
    return sy__finish(s, q, err);
}

/* ---- all of it ---- */

/* What one flush writes, taken under `lock`. */
struct batch {
    const struct sy__item *items;
    int count;
    bool sync; /* entries that a replay needs; the rest may go with a power failure */
    struct sy_store_status status;
};

static void take_batch(struct sy_store *s, struct batch *b)
{
    pthread_mutex_lock(&s->lock);
    *b = (struct batch){.items = s->items, .status = s->status};
    for (const struct sy__item *i = s->items; i; i = i->next, b->count++)
        b->sync |= i->table == SY_STORE_JOURNAL || i->table == SY__CUT;
    pthread_mutex_unlock(&s->lock);
}

static int transact_batch(struct sy_store *s, const struct batch *b, struct sy_err *err)
{
    if (b->sync && sy__run(s, SY__SYNC_FULL, err))
        return -1;
    int rc = write_items(s, b->items, b->count, err) || write_metrics(s, err) ||
                     write_status(s, &b->status, err)
                 ? -1
                 : 0;
    if (!rc && sy__run_dir_guard(s))
        rc = sy_err_set(err, SY_E_IO, "%s: run.sqlite-shm was cut by another program", s->where);
    if (!rc && s->began)
        rc = sy__run(s, SY__COMMIT, err);
    if (rc)
        roll_back(s);
    struct sy_err cut = SY_ERR_INIT;
    /* since the look before */
    if (rc && err->code == SY_E_FORMAT && sy__run_dir_check_cut(s, &cut))
        *err = cut; /* the cause, not what came of it */
    s->began = false;
    if (b->sync)
        sy__run(s, SY__SYNC_NORMAL, NULL);
    return rc;
}

/* The first n items are on the disk. */
static void drop_items(struct sy_store *s, int n)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < n; i++) {
        struct sy__item *next = s->items->next;
        sy_free(s->items);
        s->items = next;
    }
    if (!s->items)
        s->items_end = &s->items;
    pthread_mutex_unlock(&s->lock);
}

/* SQLite's own checkpoint at a commit would let a failure of it look like one of the commit. */
static int checkpoint(struct sy_store *s, struct sy_err *err)
{
    if (s->wal_pages < WAL_PAGES)
        return 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return rc == SQLITE_OK || rc == SQLITE_BUSY ? 0 : sy__db_fail(s, err);
}

static void set_alarm(struct sy_store *s, enum sy_store_alarm alarm, const struct sy_err *why)
{
    char text[sizeof s->alarm_text];
    pthread_mutex_lock(&s->lock);
    bool had = s->alarm;
    s->alarm = alarm;
    if (alarm)
        snprintf(s->alarm_text, sizeof s->alarm_text, "%s", why->msg);
    if (alarm && !had)
        s->alarm_since = sy_now();
    snprintf(text, sizeof text, "over after %.1f s: %.440s", sy_now() - s->alarm_since,
             s->alarm_text);
    int64_t step = s->status.step;
    if (!alarm)
        *s->alarm_text = 0;
    pthread_mutex_unlock(&s->lock);
    if (had && !alarm)
        sy__queue_add(s, SY_STORE_EVENTS, step, sy_event_name(SY_EVENT_STORE), text, NULL, 0, NULL);
}

/* What is on the disk need not be in memory as well, where readers find it there. */
static void forget_written(struct sy_store *s)
{
    for (int i = 0; s->metrics && !s->taking.after && i < s->nseries; i++)
        if (s->series[i])
            sy_metrics_forget(s->metrics, i, s->series[i]->last_step);
}

int sy__flush(struct sy_store *s, struct sy_err *err)
{
    struct batch b;
    struct sy_err why = SY_ERR_INIT;
    pthread_mutex_lock(&s->db_lock);
    if (s->status_of) {
        struct sy_store_status now;
        s->status_of(s->ctx, &now);
        sy_store_set_status(s, &now);
    }
    bool moved;
    int rc = sy__run_dir_check(s, &moved, &why);
    sy__run_dir_guard(s);
    take_batch(s, &b);
    if (!rc && !(rc = transact_batch(s, &b, &why))) {
        s->written = b.status;
        drop_items(s, b.count);
        forget_written(s);
        rc = checkpoint(s, &why);
    }
    if (moved && !rc)
        sy__run_dir_tell_moved(s, &why);
    set_alarm(s,
              s->taken ? SY_STORE_TAKEN
              : rc     ? SY_STORE_WAITS
              : moved  ? SY_STORE_MOVED
                       : SY_STORE_FINE,
              &why);
    pthread_mutex_unlock(&s->db_lock);
    return rc ? sy_err_set(err, why.code, "%s", why.msg) : 0;
}
