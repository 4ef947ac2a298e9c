/* The queue of a store: what is to be written, until the next flush.  Any thread.  See
 * store_int.h. */
#include "run/store_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

int sy__check_writable(const struct sy_store *s, struct sy_err *err)
{
    return s->writable ? 0
                       : sy_err_set(err, SY_E_STATE, "%s was opened for reading only", s->where);
}

void sy_store_set_status(struct sy_store *s, const struct sy_store_status *status)
{
    pthread_mutex_lock(&s->lock);
    s->status = *status;
    pthread_mutex_unlock(&s->lock);
}

struct sy__item *sy__item_new(int table, int64_t step, const char *kind, const char *text,
                                 const void *data, size_t n)
{
    size_t k = strlen(kind), t = strlen(text);
    struct sy__item *item = sy_alloc(sizeof *item + k + t + n + 3);
    if (!item)
        return NULL;
    *item = (struct sy__item){
        .table = table, .step = step, .time = sy_wall(), .text_len = t, .data_len = n};
    item->kind = (char *)(item + 1);
    item->text = item->kind + k + 1;
    item->data = item->text + t + 1;
    snprintf(item->who, sizeof item->who, "%s", table == SY_STORE_JOURNAL ? sy_acting() : "");
    memcpy(item->kind, kind, k + 1);
    memcpy(item->text, text, t + 1);
    if (n)
        memcpy(item->data, data, n);
    return item;
}

int64_t sy__enqueue(struct sy_store *s, struct sy__item *item)
{
    pthread_mutex_lock(&s->lock);
    if (item->table == SY_STORE_JOURNAL)
        item->id = ++s->journal_last;
    int64_t id = item->table == SY_STORE_JOURNAL ? item->id : 0;
    *s->items_end = item;
    s->items_end = &item->next;
    if (s->flusher == SY__IDLE)
        pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    return id;
}

int64_t sy__queue_add(struct sy_store *s, enum sy_store_table table, int64_t step, const char *kind,
                      const char *text, const void *data, size_t n, struct sy_err *err)
{
    if (sy__check_writable(s, err))
        return -1;
    if (strlen(text) > SY__ENTRY_MAX || n > SY__ENTRY_MAX || strlen(kind) > 4096)
        return sy_err_set(err, SY_E_RANGE,
                          "%s: an entry of more than 16 MiB: %zu bytes of text, %zu of data",
                          s->where, strlen(text), n);
    struct sy__item *item = sy__item_new(table, step, kind, text, data, n);
    if (!item)
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory for an entry", s->where);
    return sy__enqueue(s, item);
}

/* item NULL: no memory for it. */
static int64_t post_item(struct sy_store *s, struct sy__item *item)
{
    if (!item)
        return -1;
    int64_t id = sy__enqueue(s, item);
    pthread_mutex_lock(&s->lock);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    return id;
}

int64_t sy_store_post(struct sy_store *s, enum sy_store_table table, int64_t step, const char *kind,
                      const char *text, const void *data, size_t n)
{
    return s->writable ? post_item(s, sy__item_new(table, step, kind, text, data, n)) : -1;
}

/* NULL: no memory. */
static struct sy__item *item_of_entry(const struct sy_journal_entry *e)
{
    struct sy_str bytes = SY_STR_INIT;
    sy_entry_pack(&bytes, e);
    struct sy__item *item =
        bytes.failed ? NULL
                     : sy__item_new(SY_STORE_JOURNAL, e->step, sy_entry_row(e->kind)->name, e->text,
                                    bytes.data, bytes.len);
    if (item)
        memcpy(item->who, e->who, sizeof item->who);
    sy_str_free(&bytes);
    return item;
}

int64_t sy__queue_entry(struct sy_store *s, const struct sy_journal_entry *e, struct sy_err *err)
{
    if (sy__check_writable(s, err))
        return -1;
    struct sy__item *item = item_of_entry(e);
    return item ? sy__enqueue(s, item)
                : sy_err_set(err, SY_E_MEMORY, "%s: out of memory for an entry", s->where);
}

int64_t sy_store_post_entry(struct sy_store *s, const struct sy_journal_entry *e)
{
    return s->writable ? post_item(s, item_of_entry(e)) : -1;
}

void sy__take_over(struct sy_store *s, struct sy_store *from)
{
    pthread_mutex_lock(&from->lock);
    pthread_mutex_lock(&s->lock);
    s->items = from->items;
    s->items_end = from->items ? from->items_end : &s->items;
    from->items = NULL;
    from->items_end = &from->items;
    s->journal_last = from->journal_last;
    s->status = s->written = from->status;
    s->written.step = -1; /* to be written */
    memcpy(s->id, from->id, sizeof s->id);
    s->writable = true;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_unlock(&from->lock);
    sy_lock_sign(s->owner, s->id);
}
