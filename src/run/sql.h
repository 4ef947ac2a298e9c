/* What a run's store says, to be asked in SQL.  Layer run.
 *
 *  1. The tables are views of ours, filled by the readers of store.h: the file's own tables are not
 *     there, so nothing can be written, and a store of an older version, or one that is being
 *     written, looks like any other.
 *  2. Names, columns and units stay as they are: new ones may be added.
 *  3. Each view is as of the moment at which a query begins to read it. */
#ifndef SY_RUN_SQL_H
#define SY_RUN_SQL_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sy_store;
struct sy_sql;

struct sy_sql_column {
    const char *name, *type, *help; /* help: with its unit */
};
struct sy_sql_view {
    const char *name, *help;
    const struct sy_sql_column *columns;
    int count;
};
/* View i, or NULL. */
const struct sy_sql_view *sy_sql_view(int i);

/* s is borrowed.  NULL: MEMORY, IO. */
struct sy_sql *sy_sql_open(struct sy_store *s, struct sy_err *err);
void sy_sql_close(struct sy_sql *q); /* NULL is fine */
/* A query, of one statement.  0, or -1: STATE: it would write; NAME; FORMAT. */
int sy_sql_begin(struct sy_sql *q, const char *text, struct sy_err *err);
int sy_sql_columns(const struct sy_sql *q);
const char *sy_sql_name(const struct sy_sql *q, int column); /* borrowed until the next begin */
/* The next row: 1; 0: no more; -1: CANCELLED (sy_sql_interrupt), FORMAT, IO, MEMORY. */
int sy_sql_next(struct sy_sql *q, struct sy_err *err);

enum sy_sql_type { SY_SQL_NULL, SY_SQL_INTEGER, SY_SQL_REAL, SY_SQL_TEXT };
struct sy_sql_value {
    enum sy_sql_type type;
    int64_t integer;
    double real;
    const char *text; /* of n bytes; borrowed until the next row */
    size_t n;
};
struct sy_sql_value sy_sql_value(const struct sy_sql *q, int column);
/* Whatever is asked ends.  Async-signal-safe. */
void sy_sql_interrupt(void);

#endif
