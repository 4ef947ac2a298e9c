/* Shared by sql.c (queries), sql_views.c (the views and what fills them) and sql_table.c (how
 * SQLite walks through them). */
#ifndef SY_RUN_SQL_INT_H
#define SY_RUN_SQL_INT_H

#include "run/sql.h"
#include "run/store.h"

#include <sqlite3.h>

/* Cells of a view that is small: row after row. */
struct sy__cell {
    enum sy_sql_type type;
    int64_t integer;
    double real;
    char *text; /* owned */
};
struct sy__cells {
    struct sy__cell *list; /* owned */
    int64_t count;
    size_t room;
    bool failed; /* no memory */
};
void sy__cells_free(struct sy__cells *c);

struct sy__view {
    struct sy_sql_view view;
    /* NULL: rows of series, which are read one after the other */
    int (*fill)(struct sy_store *s, struct sy__cells *out, struct sy_err *err);
};
const struct sy__view *sy__view(int i); /* or NULL */

/* Columns of the two views of series (sql_views.c), which sql_table.c knows. */
enum { SY__M_SERIES, SY__M_STEP, SY__M_VALUE, SY__M_COLUMN, SY__M_KIND, SY__M_UNIT, SY__M_LAYER,
       SY__M_MIXTURE };
enum { SY__L_LAYER, SY__L_EXPERT, SY__L_STEP, SY__L_VALUE, SY__L_MIXTURE, SY__L_SERIES };

/* sql_table.c: make view i a table of db.  why: gets the error of one that fails as it is read.
 * Both are borrowed. */
int sy__view_register(sqlite3 *db, int i, struct sy_store *s, struct sy_err *why);

#endif
