/* Queries of sql.h: a database in memory that has nothing but the views. */
#include "run/sql_int.h"

#include "base/mem.h"
#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define OPS 1000 /* of SQLite's, between two looks at the flag */

static volatile sig_atomic_t interrupted;

struct sy_sql {
    sqlite3 *db;
    sqlite3_stmt *q;
    struct sy_err why; /* of the view that failed, if one did: SQLite carries its text alone */
};

void sy_sql_interrupt(void) { interrupted = 1; }

static int is_interrupted(void *ctx)
{
    (void)ctx;
    return interrupted;
}

/* What reads: nothing else is compiled. */
static int authorize(void *ctx, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
    (void)ctx;
    (void)a;
    (void)c;
    (void)d;
    if (action == SQLITE_FUNCTION)
        return b && !strcmp(b, "load_extension") ? SQLITE_DENY : SQLITE_OK;
    return action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_RECURSIVE
               ? SQLITE_OK
               : SQLITE_DENY;
}

static int fail_query(const struct sy_sql *q, struct sy_err *err)
{
    if (q->why.code)
        return sy_err_set(err, q->why.code, "sql: %s", q->why.msg);
    switch (sqlite3_errcode(q->db) & 0xff) {
    case SQLITE_NOMEM:
        return sy_err_set(err, SY_E_MEMORY, "sql: out of memory");
    case SQLITE_INTERRUPT:
        return sy_err_set(err, SY_E_CANCELLED, "sql: interrupted");
    case SQLITE_AUTH:
        return sy_err_set(err, SY_E_STATE, "sql: only queries are taken (select ...): %s",
                          sqlite3_errmsg(q->db));
    default:
        return sy_err_set(err, SY_E_NAME, "sql: %s", sqlite3_errmsg(q->db));
    }
}

/* Its columns are declared when it is first named: before anything is forbidden. */
static int make_view(struct sy_sql *q, int i, struct sy_store *s)
{
    char text[80];
    int rc = sy__view_register(q->db, i, s, &q->why);
    sqlite3_snprintf(sizeof text, text, "SELECT 1 FROM %s LIMIT 0", sy__view(i)->view.name);
    return rc == SQLITE_OK ? sqlite3_exec(q->db, text, NULL, NULL, NULL) : rc;
}

struct sy_sql *sy_sql_open(struct sy_store *s, struct sy_err *err)
{
    struct sy_sql *q = sy_calloc(1, sizeof *q);
    int rc = q ? sqlite3_open(":memory:", &q->db) : SQLITE_NOMEM;
    for (int i = 0; rc == SQLITE_OK && sy__view(i); i++)
        rc = make_view(q, i, s);
    if (rc != SQLITE_OK) {
        sy_err_set(err, SY_E_MEMORY, "sql: %s", sqlite3_errstr(rc));
        sy_sql_close(q);
        return NULL;
    }
    sqlite3_limit(q->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(q->db, SQLITE_LIMIT_LENGTH, 64 << 20);
    sqlite3_progress_handler(q->db, OPS, is_interrupted, NULL);
    sqlite3_set_authorizer(q->db, authorize, NULL);
    return q;
}

void sy_sql_close(struct sy_sql *q)
{
    if (!q)
        return;
    sqlite3_finalize(q->q);
    sqlite3_close(q->db);
    sy_free(q);
}

/* SQLite's "no such table: metric", with the view that may have been meant. */
static void add_nearest(struct sy_err *err)
{
    static const char said[] = "sql: no such table: ";
    const char *names[32], *near;
    int n = 0;
    if (strncmp(err->msg, said, sizeof said - 1) != 0)
        return;
    for (; sy__view(n) && n < 31; n++)
        names[n] = sy__view(n)->view.name;
    names[n] = NULL;
    size_t len = strlen(err->msg);
    if ((near = sy_nearest(err->msg + sizeof said - 1, names)))
        snprintf(err->msg + len, sizeof err->msg - len, " (did you mean '%s'?)", near);
}

/* Whether text makes no statement: comments, spaces and semicolons do not. */
static bool is_empty(sqlite3 *db, const char *text)
{
    while (*text) {
        sqlite3_stmt *more = NULL;
        bool bad = sqlite3_prepare_v2(db, text, -1, &more, &text) != SQLITE_OK || more;
        sqlite3_finalize(more);
        if (bad)
            return false;
    }
    return true;
}

int sy_sql_begin(struct sy_sql *q, const char *text, struct sy_err *err)
{
    const char *rest = NULL;
    sqlite3_finalize(q->q);
    q->q = NULL;
    q->why = (struct sy_err)SY_ERR_INIT;
    if (sqlite3_prepare_v2(q->db, text, -1, &q->q, &rest) != SQLITE_OK) {
        fail_query(q, err);
        add_nearest(err);
        return -1;
    }
    if (!q->q)
        return sy_err_set(err, SY_E_NAME, "sql: the query is empty");
    if (!is_empty(q->db, rest))
        return sy_err_set(err, SY_E_NAME, "sql: one query at a time; behind it stands '%.40s'",
                          rest + strspn(rest, " \t\r\n;"));
    return 0;
}

int sy_sql_columns(const struct sy_sql *q) { return sqlite3_column_count(q->q); }

const char *sy_sql_name(const struct sy_sql *q, int column)
{
    const char *name = sqlite3_column_name(q->q, column);
    return name ? name : "";
}

int sy_sql_next(struct sy_sql *q, struct sy_err *err)
{
    int rc = sqlite3_step(q->q);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : fail_query(q, err);
}

struct sy_sql_value sy_sql_value(const struct sy_sql *q, int column)
{
    struct sy_sql_value v = {.text = ""};
    switch (sqlite3_column_type(q->q, column)) {
    case SQLITE_NULL:
        break;
    case SQLITE_INTEGER:
        v.type = SY_SQL_INTEGER;
        v.integer = sqlite3_column_int64(q->q, column);
        break;
    case SQLITE_FLOAT:
        v.type = SY_SQL_REAL;
        v.real = sqlite3_column_double(q->q, column);
        break;
    default: /* and bytes */
        v.type = SY_SQL_TEXT;
        v.text = (const char *)sqlite3_column_text(q->q, column);
        v.n = v.text ? (size_t)sqlite3_column_bytes(q->q, column) : 0;
        v.text = v.text ? v.text : "";
    }
    return v;
}
