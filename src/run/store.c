/* Life of a store, its queue and its thread.  See store.h.
 *
 * Two locks.  db_lock is held for a transaction; `lock` for a glance at the queue and the status,
 * so setting a status never waits for a disk.  Order: db_lock, lock. */
#include "run/store_int.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/thread.h"
#include "base/sanitize.h"
#include "base/utf8.h"
#include "base/wait.h"
#include "config.h"
#include "cpu/cpu.h"
#include "run/metrics.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FLUSH_SECONDS 1
#define IDLE_SECONDS 60 /* of a run that stands still */
#define LOOK_SECONDS 2  /* meanwhile, for its files alone */

const char *sy_runs_dir(void)
{
    const char *dir = getenv("SWITCHYARD_RUNS");
    return dir && *dir ? dir : "runs";
}

bool sy_store_name_ok(const char *name, struct sy_err *err)
{
    size_t n = strlen(name);
    const char *why = NULL;
    if (!n || n > SY_RUN_NAME_MAX)
        why = "takes 1 to 64 bytes";
    else if (sy_utf8_valid(name, n) != n)
        why = "must be UTF-8";
    else if (*name == '.' || *name == '-')
        why = "must not begin with '.' or '-'";
    for (size_t i = 0; i < n && !why;) {
        uint32_t code = 0;
        int length = sy_utf8_decode(name + i, n - i, &code);
        if (code == '/' || code == '\\')
            why = "must not hold '/' or '\\'";
        else if (code < 0x20 || (code >= 0x7F && code < 0xA0))
            why = "must not hold control characters";
        i += (size_t)(length ? length : 1);
    }
    struct sy_str safe = SY_STR_INIT;
    if (why) {
        sy_utf8_sanitize(&safe, name, n < 80 ? n : 80);
        sy_err_set(err, SY_E_NAME, "run: a name %s: '%s'", why, safe.data ? safe.data : "");
    }
    sy_str_free(&safe);
    return !why;
}

/* Older runs may have such a name. */
bool sy_store_name_new(const char *name, struct sy_err *err)
{
    if (!sy_store_name_ok(name, err))
        return false;
    for (size_t i = 0, n = strlen(name); i < n;) {
        uint32_t code;
        i += (size_t)sy_utf8_decode(name + i, n - i, &code);
        if (sy_utf8_is_invisible(code)) {
            sy_err_set(err, SY_E_NAME,
                       "run: a name must not hold invisible characters: it has U+%04X",
                       (unsigned)code);
            return false;
        }
    }
    return true;
}

/* ---- making and freeing ---- */

static void init_locks(struct sy_store *s)
{
    pthread_mutex_init(&s->db_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    sy_cond_init(&s->wake);
}

static char *format_two(const char *fmt, const char *a, const char *b)
{
    size_t n = strlen(fmt) + strlen(a) + strlen(b);
    char *text = sy_alloc(n);
    if (text)
        snprintf(text, n, fmt, a, b);
    return text;
}

/* Everything but the file; the name is checked. */
static struct sy_store *new_store(const char *dir, const char *name, struct sy_err *err)
{
    if (!sy_store_name_ok(name, err))
        return NULL;
    struct sy_store *s = sy_calloc(1, sizeof *s);
    if (!s) {
        sy_err_set(err, SY_E_MEMORY, "run '%s': out of memory", name);
        return NULL;
    }
    init_locks(s);
    s->items_end = &s->items;
    s->status =
        (struct sy_store_status){.state = SY_RUN_NEW, .loss = (double)NAN, .val_loss = (double)NAN};
    s->dir = (struct sy_dir)SY_DIR_INIT;
    s->name = sy_strdup(name);
    s->runs = sy_strdup(dir);
    s->path = format_two("%s/%s", dir, name);
    s->where = format_two("run '%s'%s", name, "");
    if (s->name && s->runs && s->path && s->where)
        return s;
    sy_err_set(err, SY_E_MEMORY, "run '%s': out of memory", name);
    sy_store_close(s, NULL);
    return NULL;
}

static void free_items(struct sy_store *s)
{
    while (s->items) {
        struct sy__item *next = s->items->next;
        sy_free(s->items);
        s->items = next;
    }
    s->items_end = &s->items;
}

static void free_store(struct sy_store *s)
{
    sy__forget_series(s);
    sy__db_close(s);
    sy__run_dir_drop(s);
    sy_lock_release(s->owner);
    sy_dir_close(&s->dir);
    free_items(s);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->db_lock);
    sy_free(s->name);
    sy_free(s->runs);
    sy_free(s->path);
    sy_free(s->where);
    sy_free(s);
}

void sy__set_id(struct sy_store *s, const char *config)
{
    struct sy_json *root = sy_json_parse(config, strlen(config), NULL);
    const struct sy_json *id =
        root && root->type == SY_JSON_OBJECT ? sy_json_get(root, "id") : NULL;
    bool good = id && id->type == SY_JSON_STRING && strlen(id->string) == SY__RUN_ID - 1;
    snprintf(s->id, sizeof s->id, "%s", good ? id->string : "");
    sy_json_free(root);
    if (s->owner)
        sy_lock_sign(s->owner, s->id);
}

/* ---- creating ---- */

static void add_processors(struct sy_str *out)
{
    cpu_set_t set;
    sy_str_puts(out, ",\"processors\":[");
    if (!sched_getaffinity(0, sizeof set, &set))
        for (int i = 0, n = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &set))
                sy_str_printf(out, "%s%d", n++ ? "," : "", i);
    sy_str_puts(out, "]");
}

static void add_string(struct sy_str *out, const char *key, const char *value)
{
    sy_str_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", key);
    sy_json_quote(out, value, strlen(value));
}

static void describe_machine(struct sy_str *out)
{
    struct utsname u = {0};
    uname(&u);
    sy_str_puts(out, "{");
    add_string(out, "version", PACKAGE_VERSION);
    add_string(out, "kernels", sy_cpu()->name);
    add_string(out, "host", u.nodename);
    add_string(out, "system", u.sysname);
    add_string(out, "release", u.release);
    add_string(out, "machine", u.machine);
    sy_str_printf(out, ",\"threads\":%d", sy_pool_threads());
    add_processors(out);
    sy_str_puts(out, "}");
}

static int check_json(const char *what, const char *text, struct sy_err *err)
{
    struct sy_json *root = sy_json_parse(text, strlen(text), err);
    bool object = root && root->type == SY_JSON_OBJECT;
    sy_json_free(root);
    if (object)
        return 0;
    sy_err_set(err, SY_E_FORMAT, "not an object");
    return sy_err_prefix(err, "store: %s", what);
}

static int insert_run(struct sy_store *s, const struct sy_store_config *c, struct sy_err *err)
{
    struct sy_str machine = SY_STR_INIT;
    if (!c->environment)
        describe_machine(&machine);
    const char *text[6] = {s->name,
                           c->config ? c->config : "{}",
                           c->environment ? c->environment : machine.data,
                           c->tokenizer ? c->tokenizer : "",
                           c->data ? c->data : "",
                           c->parent ? c->parent : ""};
    size_t n[6];
    int rc = -1;
    sqlite3_stmt *q = sy__query(s, SY__RUN_INSERT, err);
    if (machine.failed)
        sy_err_set(err, SY_E_MEMORY, "%s: out of memory", s->where);
    else if (q && !check_json("config", text[1], err) && !check_json("environment", text[2], err)) {
        double now = sy_wall();
        for (int i = 0; i < 6; i++)
            n[i] = strlen(text[i]);
        sqlite3_bind_text(q, 1, text[0], -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, c->steps);
        sqlite3_bind_double(q, 3, now);
        sqlite3_bind_double(q, 4, now);
        sqlite3_bind_int64(q, 5, getpid());
        for (int i = 1; i < 6; i++)
            sqlite3_bind_text(q, 5 + i, text[i], -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 11, c->parent_step);
        sqlite3_bind_int64(q, 12, sy__sum(c->parent_step, 0, text, n, 6));
        rc = sy__finish(s, q, err);
    }
    sy_str_free(&machine);
    return rc;
}

/* The schema and the run's row in one transaction: a run is there, or it is not. */
static int fill_new(struct sy_store *s, const struct sy_store_config *c, struct sy_err *err)
{
    if (sy__run(s, SY__BEGIN, err))
        return -1;
    if (!sy__schema_create(s, err) && !insert_run(s, c, err) && !sy__run(s, SY__COMMIT, err))
        return 0;
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

/* Is there a run of this name?  Else err, when it is not simply none. */
static bool holds_run(const char *runs, const char *name, struct sy_err *err)
{
    struct sy_store *there = sy_store_open_read(runs, name, err);
    sy_store_close(there, NULL);
    return there != NULL;
}

struct sy_store *sy_store_claim(const char *dir, const char *name, struct sy_err *err)
{
    struct sy_store *s = sy_store_name_new(name, err) ? new_store(dir, name, err) : NULL;
    if (!s)
        return NULL;
    if (sy__run_dir_claim(s, holds_run, err) || sy__db_open(s, SY__CREATE, err)) {
        free_store(s);
        return NULL;
    }
    return s;
}

int sy_store_fill(struct sy_store *s, const struct sy_store_config *c, struct sy_err *err)
{
    if (s->writable || !s->owner)
        return sy_err_set(err, SY_E_STATE, "%s is there already", s->where);
    if (fill_new(s, c, err) || sy__run_dir_finish(s, err))
        return -1;
    sy__set_id(s, c->config ? c->config : "{}");
    s->writable = true;
    s->status.steps = c->steps;
    s->written = s->status;
    return 0;
}

struct sy_store *sy_store_create(const struct sy_store_config *c, struct sy_err *err)
{
    struct sy_store *s = sy_store_claim(c->dir, c->name, err);
    if (s && sy_store_fill(s, c, err)) {
        free_store(s);
        return NULL;
    }
    return s;
}

/* ---- opening ---- */

static int read_last_journal(struct sy_store *s, struct sy_err *err)
{
    sqlite3_stmt *q = sy__query(s, SY__JOURNAL_LAST, err);
    if (!q)
        return -1;
    if (sqlite3_step(q) != SQLITE_ROW)
        return sy__db_fail(s, err);
    s->journal_last = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return s->journal_last >= 0 && s->journal_last < INT64_MAX / 2
               ? 0
               : sy_err_set(err, SY_E_FORMAT, "%s: run.sqlite is damaged: journal id %lld",
                            s->where, (long long)s->journal_last);
}

static struct sy_store *open_store(const char *dir, const char *name, bool write,
                                   struct sy_err *err)
{
    struct sy_store *s = new_store(dir, name, err);
    struct sy_store_info info;
    if (!s)
        return NULL;
    int rc = sy__run_dir_open(s, write, err);
    if (!rc)
        rc = sy__db_open(s, write ? SY__WRITE : SY__READ, err);
    if (!rc)
        rc = read_last_journal(s, err);
    if (!rc && write && !(rc = sy_store_info(s, &info, err))) {
        s->status = s->written = info.status;
        sy__set_id(s, info.config);
        sy_store_info_free(&info);
    }
    if (rc) {
        free_store(s);
        return NULL;
    }
    s->writable = write;
    return s;
}

struct sy_store *sy_store_open(const char *dir, const char *name, struct sy_err *err)
{
    return open_store(dir, name, true, err);
}

struct sy_store *sy_store_open_read(const char *dir, const char *name, struct sy_err *err)
{
    return open_store(dir, name, false, err);
}

const char *sy_store_path(const struct sy_store *s)
{
    return s->building ? s->dir.path : s->path;
}
const char *sy_store_id(const struct sy_store *s)
{
    return s->id;
}

/* ---- the thread ---- */

static void set_flusher(struct sy_store *s, enum sy__flusher flusher)
{
    pthread_mutex_lock(&s->lock);
    s->flusher = flusher;
    pthread_mutex_unlock(&s->lock);
}

/* Does the run stand still, and is that on the disk?  s->lock is held. */
static bool stands_still(const struct sy_store *s)
{
    return sy_run_state_row(s->status.state)->still && !s->alarm && !s->items;
}

/* True: that time is over, and nobody woke us.  s->lock is held. */
static bool sleeps(struct sy_store *s, int seconds)
{
    struct sy_deadline until = sy_deadline_in(seconds);
    return !sy_cond_wait(&s->wake, &s->lock, &until);
}

/* The files of a run that stands still are looked at now and then.  s->lock is held. */
static void sleep_long(struct sy_store *s)
{
    bool same = true;
    for (int i = 0; i < IDLE_SECONDS && same && sleeps(s, LOOK_SECONDS); i += LOOK_SECONDS) {
        pthread_mutex_unlock(&s->lock);
        pthread_mutex_lock(&s->db_lock);
        same = sy__run_dir_is_ours(s);
        pthread_mutex_unlock(&s->db_lock);
        pthread_mutex_lock(&s->lock);
        same &= s->flusher != SY__QUITS && !s->news && !s->items;
    }
}

/* `news` is kept: what changes during a flush is not slept over. */
static void *flush_thread(void *arg)
{
    struct sy_store *s = arg;
    sy_mem_uncounted();
    pthread_mutex_lock(&s->lock);
    while (s->flusher != SY__QUITS) {
        s->flusher = s->status_of && !s->news && stands_still(s) ? SY__IDLE : SY__FLUSHES;
        if (s->flusher == SY__IDLE)
            sleep_long(s);
        else
            sleeps(s, FLUSH_SECONDS);
        if (s->flusher == SY__IDLE)
            s->flusher = SY__FLUSHES;
        s->news = false;
        pthread_mutex_unlock(&s->lock);
        sy__flush(s, NULL);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void sy_store_wake(struct sy_store *s)
{
    pthread_mutex_lock(&s->lock);
    s->news = true;
    if (s->flusher == SY__IDLE)
        pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* ---- rows that its metrics have no more ---- */

static int64_t archive_after(void *ctx, const char *name, int width, int64_t after, int64_t n,
                             int64_t *steps, float *values)
{
    return sy_store_after(ctx, name, width, after, n, steps, values, NULL);
}

static int archive_at(void *ctx, const char *name, int width, int64_t step, int64_t *found,
                      float *values)
{
    return sy_store_at(ctx, name, width, step, found, values, NULL);
}

static void watch_metrics(struct sy_store *s, struct sy_metrics *metrics,
                          void (*status)(void *ctx, struct sy_store_status *out), void *ctx)
{
    pthread_mutex_lock(&s->db_lock);
    s->metrics = metrics;
    s->status_of = status;
    s->ctx = ctx;
    pthread_mutex_unlock(&s->db_lock);
}

/* Rows that only another archive has are written before ours takes its place: all, or none. */
static int take_rows(struct sy_store *s, struct sy_metrics *metrics, struct sy_err *err)
{
    struct sy_metrics_archive other = sy_metrics_archive_of(metrics);
    if (!other.after)
        return 0;
    watch_metrics(s, metrics, NULL, NULL);
    s->taking = other; /* there is no thread yet */
    int rc = sy__flush(s, err);
    s->taking = (struct sy_metrics_archive){NULL, NULL, NULL};
    watch_metrics(s, NULL, NULL, NULL);
    return rc;
}

int sy_store_attach(struct sy_store *s, struct sy_metrics *metrics,
                    void (*status)(void *ctx, struct sy_store_status *out), void *ctx,
                    struct sy_err *err)
{
    if (sy__check_writable(s, err))
        return -1;
    sy_store_detach(s);
    if (take_rows(s, metrics, err))
        return -1;
    /* Without its lock: that of the archive comes first, for whoever takes both. */
    watch_metrics(s, metrics, status, ctx);
    struct sy_metrics_archive ours = {archive_after, archive_at, s},
                              before = sy_metrics_set_archive(metrics, &ours);
    set_flusher(s, SY__FLUSHES); /* before it looks itself */
    int rc = sy_thread_start(&s->thread, flush_thread, s);
    if (!rc)
        return 0;
    set_flusher(s, SY__NO_FLUSHER);
    sy_metrics_set_archive(metrics, &before);
    watch_metrics(s, NULL, NULL, NULL); /* the caller's things may go any time */
    return sy_err_sys(err, rc, "%s: cannot start the thread that writes", s->where);
}

void sy_store_detach(struct sy_store *s)
{
    pthread_mutex_lock(&s->lock);
    bool flushes = s->flusher != SY__NO_FLUSHER;
    if (flushes)
        s->flusher = SY__QUITS;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (flushes) {
        pthread_join(s->thread, NULL);
        set_flusher(s, SY__NO_FLUSHER);
    }
    if (s->metrics) {
        sy__flush(s, NULL);
        sy_metrics_drop_archive(s->metrics, s);
    }
    pthread_mutex_lock(&s->db_lock);
    s->metrics = NULL;
    s->status_of = NULL;
    sy__forget_series(s);
    pthread_mutex_unlock(&s->db_lock);
}

int sy_store_close(struct sy_store *s, struct sy_err *err)
{
    int rc = 0;
    if (!s)
        return 0;
    if (s->writable) {
        sy_store_detach(s);
        rc = sy__flush(s, err);
    }
    free_store(s);
    return rc;
}

enum sy_store_alarm sy_store_alarm(struct sy_store *s, char text[496])
{
    pthread_mutex_lock(&s->lock);
    enum sy_store_alarm alarm = s->alarm;
    memcpy(text, s->alarm_text, sizeof s->alarm_text);
    pthread_mutex_unlock(&s->lock);
    return alarm;
}

/* ---- entries, and rewinds ---- */

int64_t sy_store_add(struct sy_store *s, enum sy_store_table table, int64_t step, const char *kind,
                     const char *text, const void *data, size_t n, struct sy_err *err)
{
    int64_t id = sy__queue_add(s, table, step, kind, text, data, n, err);
    if (id >= 0 && table == SY_STORE_JOURNAL)
        sy__flush(s, NULL); /* a failure is the alarm's */
    return id;
}

int64_t sy_store_add_entry(struct sy_store *s, const struct sy_journal_entry *e,
                           struct sy_err *err)
{
    int64_t id = sy__queue_entry(s, e, err);
    if (id >= 0)
        sy__flush(s, NULL); /* as above */
    return id;
}

int sy_store_flush(struct sy_store *s, struct sy_err *err)
{
    return sy__check_writable(s, err) || sy__flush(s, err) ? -1 : 0;
}

static int truncate_from(struct sy_store *s, int64_t step, const char *what, int64_t journal_last,
                         struct sy_err *err)
{
    if (sy__check_writable(s, err))
        return -1;
    struct sy__item *item = sy__item_new(SY__CUT, step, what, "", NULL, 0);
    if (!item)
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory for a rewind", s->where);
    item->id = journal_last;
    pthread_mutex_lock(&s->db_lock); /* the thread must not see one without the other */
    if (s->metrics)
        sy_metrics_truncate(s->metrics, step);
    sy__enqueue(s, item);
    pthread_mutex_unlock(&s->db_lock);
    return sy__flush(s, err);
}

int sy_store_truncate(struct sy_store *s, int64_t step, int64_t journal_last, struct sy_err *err)
{
    return truncate_from(s, step, "", journal_last, err);
}

int sy_store_truncate_rows(struct sy_store *s, int64_t step, struct sy_err *err)
{
    return truncate_from(s, step, "rows", INT64_MAX, err);
}

/* ---- the end, and another beginning ---- */

int sy_store_remove(struct sy_store *s, struct sy_err *err)
{
    sy_store_detach(s);
    pthread_mutex_lock(&s->db_lock);
    sy__db_close(s);
    int rc = sy_dir_state(&s->dir) == SY_DIR_NAMED ? sy_dir_remove(NULL, s->dir.path, err) : 0;
    s->writable = false;
    pthread_mutex_unlock(&s->db_lock);
    return rc;
}

int sy_store_inherit(struct sy_store *s, struct sy_store *from, struct sy_err *err)
{
    if (s->writable || !s->building)
        return sy_err_set(err, SY_E_STATE, "%s is there already", s->where);
    sy_store_detach(from);
    pthread_mutex_lock(&from->db_lock);
    int rc = sy__run_dir_inherit(s, from, err);
    if (!rc)
        sy__take_over(s, from);
    pthread_mutex_unlock(&from->db_lock);
    return rc;
}
