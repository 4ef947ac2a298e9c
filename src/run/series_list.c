/* The series of a store: those on disk as a list, and what the writer keeps of each.  See
 * store_int.h. */
#include "run/store_int.h"

#include "base/grow.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static int damaged(struct sy_store *s, const char *what, struct sy_err *err)
{
    return sy_err_set(err, SY_E_FORMAT, "%s: run.sqlite is damaged: %s", s->where, what);
}

static int no_memory(struct sy_store *s, struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "%s: out of memory", s->where);
}

void sy_store_series_free(struct sy_store_series *list, int count)
{
    for (int i = 0; list && i < count; i++) {
        sy_free(list[i].name);
        sy_free(list[i].last);
    }
    sy_free(list);
}

/* A kind that is not known is a newer program's. */
static struct sy_series_what what_of(sqlite3_stmt *q, const char *name, int width)
{
    struct sy_series_what what = {.kind = SY_SERIES_VALUE};
    const char *kind = sy__text(q, 6, NULL);
    int id = sy_series_find(kind);
    int64_t layer = sqlite3_column_int64(q, 7);
    if (!*kind)
        return sy_series_before(name, width);
    if (id >= 0 && (width == 1 || sy_series_row((enum sy_series_kind)id)->each))
        what.kind = (enum sy_series_kind)id;
    what.layer = layer > 0 && layer < 1000000 ? (int)layer : 0;
    snprintf(what.mixture, sizeof what.mixture, "%.*s", (int)sizeof what.mixture - 1,
             sy__text(q, 8, NULL));
    return what;
}

static int take_series(struct sy_store *s, sqlite3_stmt *q, struct sy_store_series *e, int64_t *id,
                       struct sy_err *err)
{
    size_t n, bytes = (size_t)sqlite3_column_bytes(q, 5);
    const char *name = sy__text(q, 1, &n);
    int64_t width = sqlite3_column_int64(q, 2);
    *id = sqlite3_column_int64(q, 0);
    e->rows = sqlite3_column_int64(q, 3);
    e->last_step = sqlite3_column_int64(q, 4);
    if (!n || n > 4096 || memchr(name, 0, n) || *id < 0 || *id >= INT32_MAX || width < 1 ||
        width > SY_SERIES_WIDTH_MAX || e->rows < 0 || e->rows > SY__ROWS_MAX ||
        (bytes && bytes != (size_t)width * sizeof(float)))
        return damaged(s, "a row of the table series", err);
    e->width = (int)width;
    e->what = what_of(q, name, e->width);
    e->name = sy_strndup(name, n);
    e->last = sy_calloc(1, bytes ? bytes : sizeof(float));
    if (!e->name || !e->last)
        return no_memory(s, err);
    if (bytes)
        memcpy(e->last, sqlite3_column_blob(q, 5), bytes);
    else
        e->rows = 0;
    return 0;
}

struct sy_store_series *sy__list_series(struct sy_store *s, int *count, int64_t **ids,
                                        struct sy_err *err)
{
    struct sy_store_series *list = sy_calloc(1, sizeof *list);
    int64_t *numbers = NULL;
    size_t room = list ? 1 : 0, numbers_room = 0;
    sqlite3_stmt *q = sy__query(s, s->version < 4 ? SY__SERIES_LIST_3 : SY__SERIES_LIST, err);
    int rc = q && list ? 0 : no_memory(s, err), step = SQLITE_DONE;
    *count = 0;
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) {
        if (SY_GROW(list, room, *count + 1) || SY_GROW(numbers, numbers_room, *count + 1)) {
            rc = no_memory(s, err);
            break;
        }
        memset(&list[*count], 0, sizeof *list);
        rc = take_series(s, q, &list[*count], &numbers[*count], err);
        ++*count;
    }
    if (!rc && step != SQLITE_DONE)
        rc = sy__db_fail(s, err);
    if (q)
        sqlite3_reset(q);
    if (rc) {
        sy_store_series_free(list, *count);
        list = NULL;
    }
    if (ids && !rc)
        *ids = numbers;
    else
        sy_free(numbers);
    return list;
}

void sy__series_free(struct sy__series *e)
{
    if (e)
        sy_free(e->steps);
    sy_free(e);
}

void sy__forget_series(struct sy_store *s)
{
    for (int i = 0; i < s->nseries; i++)
        sy__series_free(s->series[i]);
    sy_free(s->series);
    s->series = NULL;
    s->nseries = 0;
    s->series_room = 0;
}
