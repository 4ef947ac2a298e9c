/* Series for Lua: what one is, of a run and of a store alike, and those of a run.  Layer bind/run.
 *
 *   run:series() -> {name = {kind=, layer=, mixture=, width=}}
 *   run:series_of(kind, layer, mixture) -> name
 *   run:history(name, column, first) -> tensor
 *   run:last(name) -> values, step */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/run/open.h"
#include "bind/run/run.h"
#include "bind/tensor/tensor.h"

#include "run/metrics.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

void lsy_push_series(lua_State *L, struct sy_series_what what, int width)
{
    lua_createtable(L, 0, 7);
    lsy_set_text(L, "kind", sy_series_row(what.kind)->name);
    lsy_set_integer(L, "layer", what.layer);
    lsy_set_text(L, "mixture", what.mixture);
    lsy_set_integer(L, "width", width);
}

static int run_series(lua_State *L)
{
    struct sy_metrics *m = sy_trainer_metrics(lsy_check_trainer(L, 1));
    lua_newtable(L);
    for (int i = 0; i < sy_metrics_count(m); i++) {
        lsy_push_series(L, sy_metrics_what(m, i), sy_metrics_width(m, i));
        lua_setfield(L, -2, sy_metrics_name(m, i));
    }
    return 1;
}

#define HISTORY_ROWS 256 /* at a time */

/* Rows behind a step, of step and columns first..first+columns-1, at most `most`, from wherever
 * they are; how many. */
static int64_t read_history(struct sy_metrics *m, int s, int64_t after, int first, int columns,
                            int64_t most, int64_t *steps, float *values, double *out)
{
    int64_t n = 0, got, width = sy_metrics_width(m, s);
    while (n < most &&
           (got = sy_metrics_rows_after(m, s, after, HISTORY_ROWS, steps, values)) > 0) {
        got = got < most - n ? got : most - n;
        for (int64_t i = 0; i < got; i++, n++) {
            double *row = out + n * (1 + columns);
            row[0] = (double)steps[i];
            for (int c = 0; c < columns; c++)
                row[1 + c] = (double)values[i * width + first + c];
        }
        after = steps[got - 1];
    }
    return n;
}

/* run:history(name, column) -> tensor f64 (n,2) of step, value; without a column (n,1+W) of step
 * and all W values; nil for an unknown series.  Of vectors the older rows come from the store.
 * A third argument: from that step on. */
static int run_history(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_trainer_metrics(lsy_check_trainer(L, 1));
    int s = sy_metrics_find(m, luaL_checkstring(L, 2));
    int64_t first = luaL_optinteger(L, 3, 1) - 1, after = luaL_optinteger(L, 4, 0) - 1;
    if (s < 0 || first < 0 || first >= sy_metrics_width(m, s))
        return 0;
    int columns = lua_isnoneornil(L, 3) ? sy_metrics_width(m, s) : 1;
    int64_t shape[2] = {sy_metrics_rows(m, s), 1 + columns}; /* as many at most */
    int64_t *steps = lua_newuserdatauv(L, HISTORY_ROWS * sizeof *steps, 0);
    float *values =
        lua_newuserdatauv(L, HISTORY_ROWS * (size_t)sy_metrics_width(m, s) * sizeof *values, 0);
    struct sy_tensor **all = lsy_new_tensor(L);
    if (!(*all = sy_tensor_zeros(SY_F64, 2, shape, &err)))
        return lsy_raise(L, &err);
    int64_t n = read_history(m, s, after, (int)first, columns, shape[0], steps, values,
                             sy_data(*all));
    if (n == shape[0])
        return 1;
    struct sy_tensor **slot = lsy_new_tensor(L); /* rewound, or cut meanwhile */
    shape[0] = n;
    if (!(*slot = sy_tensor_zeros(SY_F64, 2, shape, &err)))
        return lsy_raise(L, &err);
    memcpy(sy_data(*slot), sy_data(*all), sy_tensor_bytes(*slot));
    return 1;
}

/* run:series_of(kind, layer, mixture) -> name of the first series of that kind and place; nothing:
 * there is none */
static int run_series_of(lua_State *L)
{
    struct sy_metrics *m = sy_trainer_metrics(lsy_check_trainer(L, 1));
    int kind = sy_series_find(luaL_checkstring(L, 2));
    struct sy_series_what what = {.layer = (int)luaL_checkinteger(L, 3)};
    snprintf(what.mixture, sizeof what.mixture, "%s", luaL_optstring(L, 4, ""));
    if (kind < 0)
        return lsy_error(L, "series: there is no kind '%s'", lua_tostring(L, 2));
    what.kind = (enum sy_series_kind)kind;
    int i = sy_metrics_find_what(m, &what);
    if (i < 0)
        return 0;
    lua_pushstring(L, sy_metrics_name(m, i));
    return 1;
}

/* run:last(name) -> table of the newest row's values, and its step; nothing when there is none */
static int run_last(lua_State *L)
{
    struct sy_metrics *m = sy_trainer_metrics(lsy_check_trainer(L, 1));
    int s = sy_metrics_find(m, luaL_checkstring(L, 2)), width = s < 0 ? 0 : sy_metrics_width(m, s);
    float *row = lua_newuserdatauv(L, (size_t)width * sizeof *row, 0);
    int64_t step = s < 0 ? -1 : sy_metrics_last(m, s, row);
    if (step < 0)
        return 0;
    lua_createtable(L, width, 0);
    for (int i = 0; i < width; i++) {
        lua_pushnumber(L, (double)row[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushinteger(L, (lua_Integer)step);
    return 2;
}

/* run:put_row(name, kind, layer, mixture, step, values): a row of a series, between two steps;
 * raises where there is a series of that name and another width */
static int run_put_row(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_trainer_metrics(lsy_check_trainer(L, 1));
    int kind = sy_series_find(luaL_checkstring(L, 3)), width = (int)luaL_len(L, 7);
    struct sy_series_what what = {.layer = (int)luaL_checkinteger(L, 4)};
    snprintf(what.mixture, sizeof what.mixture, "%s", luaL_checkstring(L, 5));
    if (kind < 0 || width < 1)
        return lsy_error(L, "series: there is no kind '%s', or no value", lua_tostring(L, 3));
    what.kind = (enum sy_series_kind)kind;
    float *row = lua_newuserdatauv(L, (size_t)width * sizeof *row, 0);
    for (int i = 0; i < width; i++) {
        lua_rawgeti(L, 7, i + 1);
        row[i] = (float)luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    int series = sy_metrics_declare(m, luaL_checkstring(L, 2), width, &what, &err);
    if (series < 0)
        return lsy_raise(L, &err);
    sy_metrics_add(m, series, luaL_checkinteger(L, 6), row);
    return 0;
}

static const luaL_Reg methods[] = {{"series", run_series},
                                   {"put_row", run_put_row},
                                   {"series_of", run_series_of},
                                   {"history", run_history},
                                   {"last", run_last},
                                   {NULL, NULL}};

void lsy_open_series(lua_State *L) { lsy_add_methods(L, META_RUN, methods); }
