/* The table of runs and sparklines (run/runs_table.h) for the embedded library.  Layer bind/run.
 *
 *   engine.sparkline(series[, cells]) -> text    series: tensor f64 (n,2) of steps and values
 *   engine.runs_row(name, state, step, steps, loss, val_loss, bytes, spark) -> text; nil: none
 *   engine.runs_head() -> text */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/tensor/tensor.h"

#include "base/mem.h"
#include "base/str.h"
#include "run/runs_table.h"
#include "tensor/tensor.h"

#include <math.h>

static int push_text(lua_State *L, struct sy_str *s)
{
    lua_pushlstring(L, s->data ? s->data : "", s->len);
    sy_str_free(s);
    return 1;
}

static int l_sparkline(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "sparkline", "series");
    int cells = (int)luaL_optinteger(L, 2, SY_RUNS_CELLS);
    int64_t n = t->ndim == 2 ? t->shape[0] : 0;
    struct sy_str s = SY_STR_INIT;
    double *values = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *values, 0);
    for (int64_t i = 0; i < n; i++)
        values[i] = sy_tensor_get(t, 2 * i + 1);
    sy_sparkline(&s, values, n, cells);
    return push_text(L, &s);
}

static int l_runs_row(lua_State *L)
{
    struct sy_str s = SY_STR_INIT;
    struct sy_runs_row row = {luaL_checkstring(L, 1),
                              luaL_checkstring(L, 2),
                              luaL_checkinteger(L, 3),
                              luaL_checkinteger(L, 4),
                              luaL_optnumber(L, 5, (double)NAN),
                              luaL_optnumber(L, 6, (double)NAN),
                              luaL_optnumber(L, 7, -1),
                              luaL_checkstring(L, 8)};
    sy_runs_row(&s, &row);
    return push_text(L, &s);
}

static int l_runs_head(lua_State *L)
{
    struct sy_str s = SY_STR_INIT;
    sy_runs_head(&s);
    return push_text(L, &s);
}

static const luaL_Reg functions[] = {
    {"sparkline", l_sparkline}, {"runs_row", l_runs_row}, {"runs_head", l_runs_head}, {NULL, NULL}};

void lsy_open_runs_table(lua_State *L) { lsy_add_functions(L, functions); }
