/* Sources in general, the live one, and the board.  See source.h.
 *
 * A live source's lock is taken by those who look and by sy_source_close, never by the trainer: the
 * trainer's own locks, which the callbacks and sy_metrics take, are held for a copy only. */
#include "run/source.h"

#include "base/grow.h"
#include "base/mem.h"
#include "run/metrics.h"
#include "run/source_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- sources ---- */

int sy__source_init(struct sy_source *s, const struct sy__source_ops *ops, const char *name)
{
    s->ops = ops;
    atomic_init(&s->refs, 1);
    s->status = (struct sy_source_status){.state = SY_RUN_NEW,
                                          .loss = (double)NAN,
                                          .tok_s = (double)NAN,
                                          .val_loss = (double)NAN,
                                          .mfu = (double)NAN,
                                          .lr = (double)NAN,
                                          .eta = (double)NAN,
                                          .saved = -1};
    snprintf(s->status.name, sizeof s->status.name, "%s", name);
    return pthread_mutex_init(&s->lock, NULL) ? -1 : 0;
}

int sy__source_add(struct sy_source *s, const char *name, int width,
                   const struct sy_series_what *what)
{
    if (SY_GROW(s->list, s->room, s->count + 1))
        return -1;
    char *copy = sy_strdup(name);
    if (!copy || sy_names_add(&s->names, copy) < 0) {
        sy_free(copy);
        return -1;
    }
    s->list[s->count++] = (struct sy__source_series){copy, width, *what};
    return 0;
}

/* ---- names ---- */

int sy__source_call(struct sy_source *s, enum sy_source_list list, const char *name)
{
    struct sy__source_words *w = &s->called[list];
    if (SY_GROW(w->word, w->room, w->count + 1))
        return -1;
    char *copy = sy_strdup(name);
    if (!copy)
        return -1;
    w->word[w->count++] = copy;
    return 0;
}

int sy_source_call(struct sy_source *s, enum sy_source_list list, const char *name)
{
    pthread_mutex_lock(&s->lock);
    int rc = sy__source_call(s, list, name);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int sy_source_called(struct sy_source *s, enum sy_source_list list)
{
    pthread_mutex_lock(&s->lock);
    int n = s->called[list].count;
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool sy_source_name(struct sy_source *s, enum sy_source_list list, int number, char *out, size_t n)
{
    pthread_mutex_lock(&s->lock);
    const struct sy__source_words *w = &s->called[list];
    bool there = number >= 1 && number <= w->count && *w->word[number - 1];
    if (there)
        snprintf(out, n, "%s", w->word[number - 1]);
    pthread_mutex_unlock(&s->lock);
    return there;
}

static void forget_names(struct sy_source *s)
{
    for (int k = 0; k < SY_SOURCE_LISTS; k++) {
        for (int i = 0; i < s->called[k].count; i++)
            sy_free(s->called[k].word[i]);
        sy_free(s->called[k].word);
    }
}

/* ---- counting ---- */

struct sy_source *sy_source_ref(struct sy_source *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void sy_source_unref(struct sy_source *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    for (int i = 0; i < s->count; i++)
        sy_free(s->list[i].name);
    sy_free(s->list);
    sy_names_free(&s->names);
    forget_names(s);
    pthread_mutex_destroy(&s->lock);
    s->ops->free(s);
}

void sy_source_close(struct sy_source *s)
{
    pthread_mutex_lock(&s->lock);
    if (!s->closed)
        s->ops->status(s, &s->status);
    s->closed = true;
    pthread_mutex_unlock(&s->lock);
}

void sy_source_status(struct sy_source *s, struct sy_source_status *out)
{
    pthread_mutex_lock(&s->lock);
    if (!s->closed)
        s->ops->status(s, &s->status);
    *out = s->status;
    pthread_mutex_unlock(&s->lock);
}

int sy_source_count(struct sy_source *s)
{
    pthread_mutex_lock(&s->lock);
    if (!s->closed)
        s->ops->look(s);
    int n = s->count;
    pthread_mutex_unlock(&s->lock);
    return n;
}

int sy_source_find(struct sy_source *s, const char *name)
{
    pthread_mutex_lock(&s->lock);
    if (!s->closed)
        s->ops->look(s);
    int found = sy_names_find(&s->names, name);
    pthread_mutex_unlock(&s->lock);
    return found;
}

const char *sy_source_series(struct sy_source *s, int series)
{
    pthread_mutex_lock(&s->lock);
    const char *name = s->list[series].name;
    pthread_mutex_unlock(&s->lock);
    return name;
}

int sy_source_width(struct sy_source *s, int series)
{
    pthread_mutex_lock(&s->lock);
    int width = s->list[series].width;
    pthread_mutex_unlock(&s->lock);
    return width;
}

struct sy_series_what sy_source_what(struct sy_source *s, int series)
{
    pthread_mutex_lock(&s->lock);
    struct sy_series_what what = s->list[series].what;
    pthread_mutex_unlock(&s->lock);
    return what;
}

int64_t sy_source_after(struct sy_source *s, int series, int64_t after, int64_t n, int64_t *steps,
                        float *values)
{
    pthread_mutex_lock(&s->lock);
    int64_t got = s->closed ? 0 : s->ops->after(s, series, after, n, steps, values);
    pthread_mutex_unlock(&s->lock);
    return got;
}

int64_t sy_source_at(struct sy_source *s, int series, int64_t step, float *values)
{
    pthread_mutex_lock(&s->lock);
    int64_t got = s->closed ? -1 : s->ops->at(s, series, step, values);
    pthread_mutex_unlock(&s->lock);
    return got;
}

int64_t sy_source_cut(struct sy_source *s, uint64_t *seen)
{
    pthread_mutex_lock(&s->lock);
    int64_t step = s->closed ? INT64_MAX : s->ops->cut(s, seen);
    pthread_mutex_unlock(&s->lock);
    return step;
}

int sy_source_marks(struct sy_source *s, int first, struct sy_mark *out, int n)
{
    pthread_mutex_lock(&s->lock);
    int got = s->closed ? 0 : s->ops->marks(s, first, out, n);
    pthread_mutex_unlock(&s->lock);
    return got;
}

bool sy_source_poll(struct sy_source *s)
{
    pthread_mutex_lock(&s->lock);
    bool news = !s->closed && s->ops->poll(s);
    pthread_mutex_unlock(&s->lock);
    return news;
}

bool sy_source_is_live(struct sy_source *s)
{
    pthread_mutex_lock(&s->lock);
    bool live = !s->closed && s->ops->live;
    pthread_mutex_unlock(&s->lock);
    return live;
}

/* ---- a run in this process ---- */

struct live {
    struct sy_source s;
    struct sy_live_run c;
};

static struct live *live_of(struct sy_source *s)
{
    return (struct live *)s; /* its first member */
}

static void live_look(struct sy_source *s)
{
    struct sy_metrics *m = live_of(s)->c.metrics;
    int n = sy_metrics_count(m);
    for (int more = 1; more && s->count < n;) {
        struct sy_series_what what = sy_metrics_what(m, s->count);
        more =
            !sy__source_add(s, sy_metrics_name(m, s->count), sy_metrics_width(m, s->count), &what);
    }
}

static void live_status(struct sy_source *s, struct sy_source_status *out)
{
    live_of(s)->c.status(live_of(s)->c.ctx, out);
}

static int64_t live_after(struct sy_source *s, int series, int64_t after, int64_t n, int64_t *steps,
                          float *values)
{
    return sy_metrics_rows_after(live_of(s)->c.metrics, series, after, n, steps, values);
}

static int64_t live_at(struct sy_source *s, int series, int64_t step, float *values)
{
    return sy_metrics_at(live_of(s)->c.metrics, series, step, values);
}

static int64_t live_cut(struct sy_source *s, uint64_t *seen)
{
    return sy_metrics_cut(live_of(s)->c.metrics, seen);
}

static int live_marks(struct sy_source *s, int first, struct sy_mark *out, int n)
{
    const struct sy_live_run *c = &live_of(s)->c;
    return c->marks ? c->marks(c->ctx, first, out, n) : 0;
}

static bool live_poll(struct sy_source *s)
{
    (void)s;
    return true;
}

static void live_free(struct sy_source *s)
{
    sy_free(s);
}

static const struct sy__source_ops live_ops = {
    live_look, live_status, live_after, live_at, live_cut, live_marks, live_poll, live_free, true};

struct sy_source *sy_source_live(const struct sy_live_run *c, struct sy_err *err)
{
    struct live *l = sy_calloc(1, sizeof *l);
    if (!l || sy__source_init(&l->s, &live_ops, c->name)) {
        sy_free(l);
        sy_err_set(err, SY_E_MEMORY, "run: out of memory");
        return NULL;
    }
    l->c = *c;
    l->c.name = l->s.status.name;
    return &l->s;
}

/* ---- the board ---- */

static struct {
    pthread_mutex_t lock;
    struct sy_source **list; /* a reference to each */
    int count;
    size_t room;
    uint64_t version;
} board = {.lock = PTHREAD_MUTEX_INITIALIZER, .version = 1};

int sy_board_list(struct sy_source **out, int room)
{
    pthread_mutex_lock(&board.lock);
    int n = board.count;
    for (int i = 0; i < n && i < room; i++)
        out[i] = sy_source_ref(board.list[i]);
    pthread_mutex_unlock(&board.lock);
    return n;
}

/* A stored run that trains in this process from now on is shown once. */
static void drop_stored(struct sy_source *live)
{
    struct sy_source_status mine, other;
    struct sy_source *list[64];
    int n = sy_board_list(list, 64);
    sy_source_status(live, &mine);
    for (int i = 0; i < n && i < 64; i++) {
        sy_source_status(list[i], &other);
        if (!sy_source_is_live(list[i]) && !strcmp(mine.name, other.name))
            sy_board_remove(list[i]);
        sy_source_unref(list[i]);
    }
}

int sy_board_add(struct sy_source *s, struct sy_err *err)
{
    pthread_mutex_lock(&board.lock);
    int rc = SY_GROW(board.list, board.room, board.count + 1);
    if (!rc) {
        board.list[board.count++] = sy_source_ref(s);
        board.version++;
    }
    pthread_mutex_unlock(&board.lock);
    if (!rc && s->ops->live)
        drop_stored(s);
    sy_board_changed();
    return rc ? sy_err_set(err, SY_E_MEMORY, "run: out of memory") : 0;
}

void sy_board_remove(struct sy_source *s)
{
    int found = -1;
    pthread_mutex_lock(&board.lock);
    for (int i = 0; i < board.count && found < 0; i++)
        if (board.list[i] == s)
            found = i;
    if (found >= 0) {
        board.count--;
        memmove(board.list + found, board.list + found + 1,
                (size_t)(board.count - found) * sizeof *board.list);
        board.version++;
    }
    if (!board.count) { /* nothing stays behind at a program's end */
        sy_free(board.list);
        board.list = NULL;
        board.room = 0;
    }
    pthread_mutex_unlock(&board.lock);
    if (found >= 0)
        sy_source_unref(s);
    sy_board_changed();
}

uint64_t sy_board_version(void)
{
    pthread_mutex_lock(&board.lock);
    uint64_t v = board.version;
    pthread_mutex_unlock(&board.lock);
    return v;
}

/* ---- telling who draws ---- */

static struct {
    pthread_mutex_t lock;
    void (*fn)(void *ctx);
    void *ctx;
} listener = {.lock = PTHREAD_MUTEX_INITIALIZER};
static atomic_bool armed;

void sy_board_notify(void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&listener.lock);
    listener.fn = fn;
    listener.ctx = ctx;
    pthread_mutex_unlock(&listener.lock);
}

void sy_board_changed(void)
{
    pthread_mutex_lock(&listener.lock);
    if (listener.fn)
        listener.fn(listener.ctx);
    pthread_mutex_unlock(&listener.lock);
}

void sy_board_arm(void)
{
    atomic_store(&armed, true);
}

void sy_board_stepped(void)
{
    if (atomic_load_explicit(&armed, memory_order_relaxed) && atomic_exchange(&armed, false))
        sy_board_changed();
}
