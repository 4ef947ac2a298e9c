/* A run on disk as a source: read while its owner writes it, or when it is over.  See source.h.
 *
 *  1. Nothing is read again that was read before, and nothing at all while nobody commits
 *     (sy_store_news costs a look at the log's header).
 *  2. A rewind shows as a newest row of "loss" that is another than it was: rows are compared, not
 *     steps, since a run may have trained past the old end meanwhile.  All is then read anew.
 *  3. A file that cannot be read now shows what it showed last; the reason is the status' alarm. */
#include "run/source.h"

#include "base/grow.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/reals.h"
#include "run/source_int.h"
#include "run/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct stored {
    struct sy_source s;
    struct sy_store *store;
    uint64_t cuts;
    int64_t probe_step; /* of "loss" at the last look; -1: none */
    float probe;
    int64_t journal, events; /* ids read so far */
    struct sy_mark *marks;   /* owned */
    int nmarks;
    size_t marks_room;
    bool configured; /* its configuration was read */
};

static struct stored *stored_of(struct sy_source *s)
{
    return (struct stored *)s; /* its first member */
}

static void complain(struct sy_source *s, const struct sy_err *err)
{
    snprintf(s->status.alarm, sizeof s->status.alarm, "%.*s", (int)sizeof s->status.alarm - 1,
             err->msg);
}

/* ---- marks ---- */

static void add_mark(struct stored *r, const struct sy_store_entry *e, enum sy_mark_kind kind)
{
    if (SY_GROW(r->marks, r->marks_room, r->nmarks + 1))
        return;
    struct sy_mark *m = &r->marks[r->nmarks++];
    *m = (struct sy_mark){.step = e->step, .kind = kind};
    snprintf(m->text, sizeof m->text, "%.*s", (int)sizeof m->text - 1, e->text);
}

static enum sy_mark_kind mark_of(enum sy_store_table table, const struct sy_store_entry *e)
{
    char id[32] = ""; /* an event's data are an alarm's id */
    if (table == SY_STORE_JOURNAL)
        return sy_stored_entry_mark(e->kind);
    snprintf(id, sizeof id, "%.*s", (int)(e->data_len < sizeof id ? e->data_len : sizeof id - 1),
             e->data_len ? (const char *)e->data : "");
    return sy_stored_event_mark(e->kind, id, e->text);
}

static void take_marks(struct stored *r, enum sy_store_table table, int64_t *last)
{
    struct sy_store_entries list;
    struct sy_err err = SY_ERR_INIT;
    if (sy_store_entries(r->store, table, *last, true, &list, &err)) {
        complain(&r->s, &err);
        return;
    }
    for (int64_t i = 0; i < list.count; i++) {
        *last = list.list[i].id;
        if (!list.list[i].left)
            add_mark(r, &list.list[i], mark_of(table, &list.list[i]));
        if (table == SY_STORE_EVENTS && sy_event_find(list.list[i].kind) == SY_EVENT_CHECKPOINT)
            r->s.status.saved = list.list[i].step;
    }
    sy_store_entries_free(&list);
}

/* ---- what is new ---- */

static void take_series(struct stored *r, const struct sy_store_series *list, int count)
{
    for (int i = 0; i < count; i++)
        if (sy_names_find(&r->s.names, list[i].name) < 0)
            sy__source_add(&r->s, list[i].name, list[i].width, &list[i].what);
}

/* Was the timeline changed behind us? */
static void look_for_cut(struct stored *r, const struct sy_store_series *list, int count)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t found = -1;
    float v = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(list[i].name, "loss") || list[i].width != 1)
            continue;
        if (r->probe_step >= 0 &&
            (sy_store_at(r->store, "loss", 1, r->probe_step, &found, &v, &err) != 1 ||
             found != r->probe_step || !sy_same_real((double)v, (double)r->probe))) {
            r->cuts++;
            r->nmarks = 0;
            r->journal = r->events = 0;
        }
        r->probe_step = list[i].rows ? list[i].last_step : -1;
        r->probe = list[i].rows ? list[i].last[0] : 0;
    }
}

static double number_in(const struct sy_json *root, const char *name)
{
    const struct sy_json *x = sy_json_get(root, name);
    return x && (x->type == SY_JSON_INT || x->type == SY_JSON_REAL) ? x->real : 0;
}

/* Those that are no text (a layer without a name) keep their number. */
static void take_names(struct stored *r, enum sy_source_list list, const struct sy_json *names)
{
    if (!names || names->type != SY_JSON_ARRAY)
        return;
    for (const struct sy_json *x = names->first; x; x = x->next)
        if (sy__source_call(&r->s, list, x->type == SY_JSON_STRING ? x->string : ""))
            return;
}

/* Once: it never changes. */
static void take_config(struct stored *r, const char *text)
{
    struct sy_json *root = r->configured ? NULL : sy_json_parse(text, strlen(text), NULL);
    if (!root || root->type != SY_JSON_OBJECT) {
        sy_json_free(root);
        return;
    }
    r->configured = true;
    r->s.status.flops_per_token = number_in(root, "flops_per_token");
    take_names(r, SY_SOURCE_LAYERS, sy_json_get(root, "layers"));
    take_names(r, SY_SOURCE_DATA, sy_json_get(root, "sources"));
    take_names(r, SY_SOURCE_TRACE, sy_json_get(root, "traced"));
    sy_json_free(root);
}

static double last_of(const struct sy_store_series *list, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].name, name) && list[i].rows && list[i].width == 1)
            return (double)list[i].last[0];
    return (double)NAN;
}

static int64_t step_of(const struct sy_store_series *list, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].name, name) && list[i].rows)
            return list[i].last_step;
    return 0;
}

static void take_status(struct stored *r, const struct sy_store_info *info,
                        const struct sy_store_series *list, int count)
{
    struct sy_source_status *s = &r->s.status;
    s->state = info->status.state;
    s->live = info->live;
    s->step = info->status.step;
    s->steps = info->status.steps;
    s->tokens = info->status.tokens;
    s->loss = info->status.loss;
    s->val_loss = info->status.val_loss;
    s->val_step = step_of(list, count, "val_loss");
    s->lr = last_of(list, count, "lr");
    s->tok_s = last_of(list, count, "tok_s");
    s->mfu = last_of(list, count, "mfu");
    double each = last_of(list, count, "time.data") + last_of(list, count, "time.compute") +
                  last_of(list, count, "time.optimizer");
    s->eta = info->live ? each * (double)(s->steps - s->step) : (double)NAN;
    take_config(r, info->config);
    s->alarm[0] = 0;
}

static bool stored_poll(struct sy_source *s)
{
    struct stored *r = stored_of(s);
    struct sy_store_info info;
    struct sy_err err = SY_ERR_INIT;
    int count = 0;
    bool news = sy_store_news(r->store);
    if (!news && !s->status.live)
        return false;
    if (sy_store_peek(r->store, &info, &err)) {
        complain(s, &err);
        return true;
    }
    if (!news && info.live) { /* its owner may have died since */
        sy_store_info_free(&info);
        return false;
    }
    struct sy_store_series *list = sy_store_series(r->store, &count, &err);
    if (list) {
        take_series(r, list, count);
        look_for_cut(r, list, count);
        take_status(r, &info, list, count);
        take_marks(r, SY_STORE_JOURNAL, &r->journal);
        take_marks(r, SY_STORE_EVENTS, &r->events);
    } else {
        complain(s, &err);
    }
    sy_store_series_free(list, count);
    sy_store_info_free(&info);
    return true;
}

/* ---- what is asked ---- */

static void stored_look(struct sy_source *s)
{
    (void)s;
} /* polling does */

static void stored_status(struct sy_source *s, struct sy_source_status *out)
{
    (void)s, (void)out;
}

static int64_t stored_after(struct sy_source *s, int series, int64_t after, int64_t n,
                            int64_t *steps, float *values)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t got = sy_store_after(stored_of(s)->store, s->list[series].name, s->list[series].width,
                                 after, n, steps, values, &err);
    if (got < 0)
        complain(s, &err);
    return got < 0 ? 0 : got;
}

static int64_t stored_at(struct sy_source *s, int series, int64_t step, float *values)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t found = -1;
    int rc = sy_store_at(stored_of(s)->store, s->list[series].name, s->list[series].width, step,
                         &found, values, &err);
    if (rc < 0)
        complain(s, &err);
    return rc == 1 ? found : -1;
}

static int64_t stored_cut(struct sy_source *s, uint64_t *seen)
{
    uint64_t cuts = stored_of(s)->cuts;
    int64_t step = *seen == cuts ? INT64_MAX : -1;
    *seen = cuts;
    return step;
}

static int stored_marks(struct sy_source *s, int first, struct sy_mark *out, int n)
{
    const struct stored *r = stored_of(s);
    int there = r->nmarks - first;
    n = there < 0 ? 0 : n < there ? n : there;
    if (n)
        memcpy(out, r->marks + first, (size_t)n * sizeof *out);
    return n;
}

static void stored_free(struct sy_source *s)
{
    struct stored *r = stored_of(s);
    sy_store_close(r->store, NULL);
    sy_free(r->marks);
    sy_free(r);
}

static const struct sy__source_ops stored_ops = {stored_look, stored_status, stored_after,
                                                 stored_at,   stored_cut,    stored_marks,
                                                 stored_poll, stored_free,   false};

struct sy_source *sy_source_stored(const char *dir, const char *name, struct sy_err *err)
{
    struct sy_store *store = sy_store_open_read(dir, name, err);
    struct stored *r = store ? sy_calloc(1, sizeof *r) : NULL;
    if (!r || sy__source_init(&r->s, &stored_ops, name)) {
        sy_store_close(store, NULL);
        sy_free(r);
        sy_err_set(err, SY_E_MEMORY, "run: out of memory");
        return NULL;
    }
    r->store = store;
    r->probe_step = -1;
    sy_source_poll(&r->s);
    return &r->s;
}
