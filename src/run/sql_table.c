/* How SQLite walks through a view of sql.h: https://sqlite.org/vtab.html, eponymous only.
 *
 * Rows of series are read one series after the other; series, layer and step of a query's
 * conditions say which: loosely, for SQLite looks at all conditions once more. */
#include "run/sql_int.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

struct table {
    sqlite3_vtab base; /* first */
    const struct sy__view *view;
    struct sy_store *store;
    struct sy_err *why;
};

struct cursor {
    sqlite3_vtab_cursor base; /* first */
    int64_t row;
    struct sy__cells cells;
    /* of series */
    struct sy_store_series *list; /* owned */
    int n, at;                    /* at: of the series that history has */
    struct sy_history history;
    int64_t i; /* row of it */
    int column;
    char *series; /* wanted; owned; NULL: any */
    int64_t layer, first, last; /* layer -1: any */
};

/* argv of xFilter, in this order, as far as idxNum has the bit. */
enum { BY_SERIES, BY_LAYER, BY_STEP, BY_LEAST, BY_MOST, BYS };

static bool of_loads(const struct sy__view *v)
{
    return !v->fill && !strcmp(v->view.columns[0].name, "layer");
}

/* ---- the table ---- */

struct registered {
    int view;
    struct sy_store *store;
    struct sy_err *why;
};

static int connect_view(sqlite3 *db, void *aux, int argc, const char *const *argv,
                        sqlite3_vtab **out, char **why)
{
    const struct registered *r = aux;
    const struct sy__view *v = sy__view(r->view);
    struct sy_str sql = SY_STR_INIT;
    (void)argc;
    (void)argv;
    (void)why;
    sy_str_puts(&sql, "CREATE TABLE x(");
    for (int i = 0; i < v->view.count; i++)
        sy_str_printf(&sql, "%s\"%s\" %s", i ? "," : "", v->view.columns[i].name,
                      v->view.columns[i].type);
    sy_str_puts(&sql, ")");
    struct table *t = sql.failed ? NULL : sy_calloc(1, sizeof *t);
    int rc = t ? sqlite3_declare_vtab(db, sql.data) : SQLITE_NOMEM;
    sy_str_free(&sql);
    if (rc != SQLITE_OK) {
        sy_free(t);
        return rc;
    }
    t->view = v;
    t->store = r->store;
    t->why = r->why;
    *out = &t->base;
    return SQLITE_OK;
}

static int disconnect_view(sqlite3_vtab *t)
{
    sy_free(t);
    return SQLITE_OK;
}

/* Which of BYS a condition can be; -1: none. */
static int use_of(const struct table *t, sqlite3_index_info *info, int i)
{
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    bool loads = of_loads(t->view);
    bool equal = c->op == SQLITE_INDEX_CONSTRAINT_EQ;
    if (!c->usable || t->view->fill)
        return -1;
    if (c->iColumn == (loads ? SY__L_SERIES : SY__M_SERIES))
        return equal && !strcmp(sqlite3_vtab_collation(info, i), "BINARY") ? BY_SERIES : -1;
    if (c->iColumn == (loads ? SY__L_LAYER : SY__M_LAYER))
        return equal ? BY_LAYER : -1;
    if (c->iColumn != (loads ? SY__L_STEP : SY__M_STEP))
        return -1;
    switch (c->op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: return BY_STEP;
    case SQLITE_INDEX_CONSTRAINT_GT:
    case SQLITE_INDEX_CONSTRAINT_GE: return BY_LEAST;
    case SQLITE_INDEX_CONSTRAINT_LT:
    case SQLITE_INDEX_CONSTRAINT_LE: return BY_MOST;
    default: return -1;
    }
}

static int best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    const struct table *t = (const struct table *)vtab;
    int chosen[BYS] = {-1, -1, -1, -1, -1}, n = 0;
    for (int i = 0; i < info->nConstraint; i++) {
        int use = use_of(t, info, i);
        if (use >= 0 && chosen[use] < 0)
            chosen[use] = i;
    }
    info->estimatedCost = t->view->fill ? 100 : 1e7;
    for (int use = 0; use < BYS; use++)
        if (chosen[use] >= 0) {
            info->aConstraintUsage[chosen[use]].argvIndex = ++n;
            info->idxNum |= 1 << use;
            info->estimatedCost /= use == BY_SERIES ? 100 : 4;
        }
    return SQLITE_OK;
}

/* ---- a walk through it ---- */

static int open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct cursor *c = sy_calloc(1, sizeof *c);
    (void)vtab;
    if (!c)
        return SQLITE_NOMEM;
    *out = &c->base;
    return SQLITE_OK;
}

static void reset_cursor(struct cursor *c)
{
    sy__cells_free(&c->cells);
    if (c->list)
        sy_store_series_free(c->list, c->n);
    sy_history_free(&c->history);
    sy_free(c->series);
    sqlite3_vtab *vtab = c->base.pVtab;
    *c = (struct cursor){.base.pVtab = vtab, .layer = -1, .first = INT64_MIN, .last = INT64_MAX};
}

static int close_cursor(sqlite3_vtab_cursor *cursor)
{
    reset_cursor((struct cursor *)cursor);
    sy_free(cursor);
    return SQLITE_OK;
}

static int fail_cursor(struct cursor *c, const struct sy_err *err)
{
    *((struct table *)c->base.pVtab)->why = *err;
    return SQLITE_ERROR;
}

static bool is_wanted(const struct cursor *c, const struct sy_store_series *s, bool loads)
{
    return (!loads || s->what.kind == SY_SERIES_LOAD) &&
           (c->layer < 0 || c->layer == s->what.layer) &&
           (!c->series || !strcmp(c->series, s->name));
}

/* Stand on a row of the first series from c->at on that has any, or behind all. */
static int seek_series(struct cursor *c)
{
    const struct table *t = (const struct table *)c->base.pVtab;
    struct sy_err err = SY_ERR_INIT;
    for (; c->at < c->n; c->at++) {
        sy_history_free(&c->history);
        c->i = c->column = 0;
        if (is_wanted(c, &c->list[c->at], of_loads(t->view)) &&
            sy_store_history(t->store, c->list[c->at].name, -1, c->first, c->last, &c->history,
                             &err))
            return fail_cursor(c, &err);
        if (c->history.count)
            return SQLITE_OK;
    }
    return SQLITE_OK;
}

static int64_t bound_of(double v)
{
    return v >= 9e18 ? INT64_MAX : v <= -9e18 ? INT64_MIN : (int64_t)v;
}

/* A value that is no number says nothing here. */
static void take_condition(struct cursor *c, int use, sqlite3_value *v)
{
    int type = sqlite3_value_type(v);
    double number = sqlite3_value_double(v);
    if (use == BY_SERIES && type == SQLITE_TEXT)
        c->series = sy_strdup((const char *)sqlite3_value_text(v));
    if (type != SQLITE_INTEGER && type != SQLITE_FLOAT)
        return;
    if (use == BY_LAYER && number >= 1 && number < 1e9)
        c->layer = (int64_t)number;
    if (use == BY_STEP || use == BY_LEAST)
        c->first = bound_of(floor(number));
    if (use == BY_STEP || use == BY_MOST)
        c->last = bound_of(ceil(number));
}

static int filter(sqlite3_vtab_cursor *cursor, int used, const char *text, int argc,
                  sqlite3_value **argv)
{
    struct cursor *c = (struct cursor *)cursor;
    const struct table *t = (const struct table *)cursor->pVtab;
    struct sy_err err = SY_ERR_INIT;
    int at = 0;
    (void)text;
    reset_cursor(c);
    if (t->view->fill) {
        int rc = t->view->fill(t->store, &c->cells, &err);
        return rc ? fail_cursor(c, &err) : c->cells.failed ? SQLITE_NOMEM : SQLITE_OK;
    }
    for (int use = 0; use < BYS && at < argc; use++)
        if (used & 1 << use)
            take_condition(c, use, argv[at++]);
    if (!(c->list = sy_store_series(t->store, &c->n, &err)))
        return fail_cursor(c, &err);
    return seek_series(c);
}

static int next_row(sqlite3_vtab_cursor *cursor)
{
    struct cursor *c = (struct cursor *)cursor;
    c->row++;
    if (((const struct table *)cursor->pVtab)->view->fill)
        return SQLITE_OK;
    if (++c->column < c->history.width)
        return SQLITE_OK;
    c->column = 0;
    if (++c->i < c->history.count)
        return SQLITE_OK;
    c->at++;
    return seek_series(c);
}

static int at_end(sqlite3_vtab_cursor *cursor)
{
    const struct cursor *c = (const struct cursor *)cursor;
    const struct sy__view *v = ((const struct table *)cursor->pVtab)->view;
    return v->fill ? c->row * v->view.count >= c->cells.count : c->at >= c->n;
}

static int row_id(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out)
{
    *out = ((const struct cursor *)cursor)->row + 1;
    return SQLITE_OK;
}

/* ---- its columns ---- */

static void put_cell(sqlite3_context *to, const struct sy__cell *cell)
{
    switch (cell->type) {
    case SY_SQL_NULL: sqlite3_result_null(to); break;
    case SY_SQL_INTEGER: sqlite3_result_int64(to, cell->integer); break;
    case SY_SQL_REAL: sqlite3_result_double(to, cell->real); break;
    case SY_SQL_TEXT: sqlite3_result_text(to, cell->text, -1, SQLITE_TRANSIENT); break;
    }
}

static void put_layer(sqlite3_context *to, const struct sy_store_series *s)
{
    if (s->what.layer)
        sqlite3_result_int(to, s->what.layer);
    else
        sqlite3_result_null(to);
}

static void put_metric(sqlite3_context *to, const struct cursor *c, int column)
{
    const struct sy_store_series *s = &c->list[c->at];
    const struct sy_series_row *row = sy_series_row(s->what.kind);
    switch (column) {
    case SY__M_SERIES: sqlite3_result_text(to, s->name, -1, SQLITE_TRANSIENT); break;
    case SY__M_STEP: sqlite3_result_int64(to, c->history.steps[c->i]); break;
    case SY__M_VALUE:
        sqlite3_result_double(
            to, (double)c->history.values[c->i * c->history.width + c->column]);
        break;
    case SY__M_COLUMN: sqlite3_result_int(to, c->column + 1); break;
    case SY__M_KIND: sqlite3_result_text(to, row->name, -1, SQLITE_STATIC); break;
    case SY__M_UNIT: sqlite3_result_text(to, row->unit, -1, SQLITE_STATIC); break;
    case SY__M_LAYER: put_layer(to, s); break;
    case SY__M_MIXTURE: sqlite3_result_text(to, s->what.mixture, -1, SQLITE_TRANSIENT); break;
    }
}

/* Columns of loads are columns of metrics. */
static const int load_as_metric[] = {
    [SY__L_LAYER] = SY__M_LAYER,     [SY__L_EXPERT] = SY__M_COLUMN,
    [SY__L_STEP] = SY__M_STEP,       [SY__L_VALUE] = SY__M_VALUE,
    [SY__L_MIXTURE] = SY__M_MIXTURE, [SY__L_SERIES] = SY__M_SERIES,
};

static int put_column(sqlite3_vtab_cursor *cursor, sqlite3_context *to, int column)
{
    const struct cursor *c = (const struct cursor *)cursor;
    const struct sy__view *v = ((const struct table *)cursor->pVtab)->view;
    if (v->fill)
        put_cell(to, &c->cells.list[c->row * v->view.count + column]);
    else
        put_metric(to, c, of_loads(v) ? load_as_metric[column] : column);
    return SQLITE_OK;
}

/* ---- */

static const sqlite3_module module = {
    .xConnect = connect_view,
    .xDisconnect = disconnect_view,
    .xBestIndex = best_index,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next_row,
    .xEof = at_end,
    .xColumn = put_column,
    .xRowid = row_id,
};

int sy__view_register(sqlite3 *db, int i, struct sy_store *s, struct sy_err *why)
{
    struct registered *r = sy_alloc(sizeof *r);
    if (!r)
        return SQLITE_NOMEM;
    *r = (struct registered){i, s, why};
    return sqlite3_create_module_v2(db, sy__view(i)->view.name, &module, r, sy_free);
}
