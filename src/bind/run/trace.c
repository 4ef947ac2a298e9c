/* Tracing and forward programs for the embedded Lua library (generation, logits, loss).  Layer
 * bind/run.
 *
 *   engine.record(precision, f) -> graph   f(graph) records: graph:input() :observe() :update()
 *                                          :carry()
 *   engine.program(graph, {outputs})       planned, with an arena of its own;
 *                                          program:run(seed, step)
 *   engine.precision("bf16")               of the matrix products recorded from now on
 *
 * What f records ends with f, however that ends: f runs inside this C call, so it cannot be left by
 * a yield, and neither an error nor an interruption leaves the thread recording.
 */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/tensor/tensor.h"

#include "base/mem.h"
#include "ops/op.h"
#include "switchyard/graph.h"

#include <string.h>

#define META_PROGRAM "switchyard.program"
#define MAX_OUTPUTS 4096 /* several a mixture of each layer */

/* ---- graph ---- */

static int graph_gc(lua_State *L)
{
    sy_graph_free(lsy_take_handle(L, 1, META_GRAPH));
    return 0;
}

/* A coroutine that is left inside would record for ever. */
static int name_yield(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    if (text && strstr(text, "attempt to yield across a C-call boundary"))
        return lsy_error(
            L, "trace: a model's function must not yield: it is recorded from beginning to end");
    return lua_error(L);
}

/* engine.record("fp32" | "bf16" of the matrix products, f) */
static int l_record(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_context *c = sy_context();
    enum sy_precision before = c->precision;
    bool bf16 = !strcmp(luaL_checkstring(L, 1), "bf16");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    void **slot = lsy_new_handle(L, META_GRAPH);
    if (!(*slot = sy_graph_new(&err)) || sy_graph_begin(*slot, &err))
        return lsy_raise(L, &err);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    c->precision = bf16 ? SY_PREC_BF16 : SY_PREC_FP32;
    int rc = lua_pcall(L, 1, 0, 0);
    c->precision = before;
    if (*slot) /* engine.phase may have taken it */
        sy_graph_end(*slot);
    return rc == LUA_OK ? 1 : name_yield(L);
}

/* graph:input(name, dtype, shape table) */
static int graph_input(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t shape[SY_MAX_DIMS];
    struct sy_graph *g = lsy_check_handle(L, 1, META_GRAPH);
    const char *name = luaL_checkstring(L, 2);
    int dtype = sy_dtype_parse(luaL_checkstring(L, 3));
    if (dtype < 0)
        return lsy_error(L, "input: unknown dtype '%s'", lua_tostring(L, 3));
    lua_Integer ndim = luaL_len(L, 4);
    if (ndim < 0 || ndim > SY_MAX_DIMS)
        return lsy_error(L, "input: %d dimensions: at most %d are possible", (int)ndim,
                         SY_MAX_DIMS);
    for (int i = 0; i < (int)ndim; i++) {
        lua_geti(L, 4, i + 1);
        shape[i] = luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    size_t bytes;
    if (sy_shape_bytes((enum sy_dtype)dtype, (int)ndim, shape, &bytes, &err) ||
        lsy_room(bytes, name, &err))
        return lsy_raise(L, &err);
    struct sy_tensor *t = sy_graph_input(g, name, (enum sy_dtype)dtype, (int)ndim, shape, &err);
    if (!t)
        return lsy_raise(L, &err);
    lsy_push_tensor_ref(L, t);
    return 1;
}

/* graph:observe(name, x, kind, layer, mixture, mask, aside): see sy_graph_observe_aside */
static int graph_observe(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = lsy_check_handle(L, 1, META_GRAPH);
    const char *name = luaL_checkstring(L, 2), *mixture = luaL_optstring(L, 6, "");
    struct sy_tensor *x = lsy_check_tensor(L, 3, "observe", "x");
    struct sy_tensor *mask =
        lua_isnoneornil(L, 7) ? NULL : lsy_check_tensor(L, 7, "observe", "mask");
    int kind = sy_series_find(luaL_checkstring(L, 4));
    struct sy_series_what what = {.layer = (int)luaL_optinteger(L, 5, 0)};
    if (kind < 0)
        return lsy_error(L, "observe: there is no kind '%s'", lua_tostring(L, 4));
    what.kind = (enum sy_series_kind)kind;
    if (strlen(mixture) >= sizeof what.mixture)
        return lsy_error(L, "observe: a mixture's name is too long: '%s'", mixture);
    strcpy(what.mixture, mixture);
    if (sy_graph_observe(g, name, &what, x, mask, &err))
        return lsy_raise(L, &err);
    if (lua_toboolean(L, 8))
        sy_graph_observe_aside(g);
    return 0;
}

/* engine.series_kinds() -> {name = {unit=, least=, most=, each=, rare=, help=}} */
static int l_series_kinds(lua_State *L)
{
    lua_createtable(L, 0, SY_SERIES_COUNT);
    for (int i = 0; i < SY_SERIES_COUNT; i++) {
        const struct sy_series_row *row = sy_series_row((enum sy_series_kind)i);
        lua_createtable(L, 0, 6);
        lsy_set_text(L, "unit", row->unit);
        lsy_set_number(L, "least", row->least);
        lsy_set_number(L, "most", row->most);
        lsy_set_boolean(L, "each", row->each != SY_EACH_NONE);
        lsy_set_boolean(L, "rare", row->rare);
        lsy_set_text(L, "help", row->help);
        lua_setfield(L, -2, row->name);
    }
    return 1;
}

/* engine.place(layer[, mixture, name of the layer]) -> "layer 2 memory" or "dec 1 memory" */
static int l_place(lua_State *L)
{
    char text[64];
    struct sy_series_what what = {.layer = (int)luaL_checkinteger(L, 1)};
    snprintf(what.mixture, sizeof what.mixture, "%s", luaL_optstring(L, 2, ""));
    sy_series_place(&what, luaL_optstring(L, 3, ""), text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

static int graph_update(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = lsy_check_handle(L, 1, META_GRAPH);
    if (sy_graph_update(g, lsy_check_tensor(L, 2, "update", "state"),
                        lsy_check_tensor(L, 3, "update", "value"), &err))
        return lsy_raise(L, &err);
    return 0;
}

static int graph_carry(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = lsy_check_handle(L, 1, META_GRAPH);
    if (sy_graph_carry(g, lsy_check_tensor(L, 2, "carry", "state"),
                       lsy_check_tensor(L, 3, "carry", "value"), &err))
        return lsy_raise(L, &err);
    return 0;
}

/* graph:segment(n): what is recorded from now on may be recomputed as one; 0: is kept */
static int graph_segment(lua_State *L)
{
    sy_graph_segment(lsy_check_handle(L, 1, META_GRAPH), (int32_t)luaL_checkinteger(L, 2));
    return 0;
}

/* graph:draws([n]) -> random operations recorded so far; n: what comes has the numbers behind it */
static int graph_draws(lua_State *L)
{
    struct sy_graph *g = lsy_check_handle(L, 1, META_GRAPH);
    lua_pushinteger(L, sy_graph_draws(g));
    if (!lua_isnoneornil(L, 2))
        sy_graph_set_draws(g, (int32_t)luaL_checkinteger(L, 2));
    return 1;
}

/* ---- forward programs ---- */

static int program_gc(lua_State *L)
{
    sy_program_free(lsy_take_handle(L, 1, META_PROGRAM));
    return 0;
}

/* engine.program(graph, {outputs}): planned and attached; the graph may be collected. */
static int l_program(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = lsy_check_handle(L, 1, META_GRAPH);
    lua_Integer n = luaL_len(L, 2);
    if (n < 1 || n > MAX_OUTPUTS)
        return lsy_error(L, "program: %d outputs: from 1 to %d are possible", (int)n, MAX_OUTPUTS);
    struct sy_tensor **out = lua_newuserdatauv(L, (size_t)n * sizeof(*out), 0);
    for (int i = 0; i < (int)n; i++) {
        lua_geti(L, 2, i + 1);
        out[i] = lsy_check_tensor(L, -1, "program", "output");
        lua_pop(L, 1);
    }
    struct sy_program_spec spec = {.outputs = out, .noutputs = (int)n};
    void **slot = lsy_new_handle(L, META_PROGRAM);
    *slot = sy_program_new(g, &spec, &err);
    if (!*slot || lsy_room(sy_program_bytes(*slot), "program", &err) ||
        sy_program_attach(*slot, NULL, &err))
        return lsy_raise(L, &err);
    lua_pushvalue(L, 1); /* inputs live in the graph */
    lua_setiuservalue(L, -2, 1);
    return 1;
}

/* program:run(seed, step) */
static int program_run(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_program *p = lsy_check_handle(L, 1, META_PROGRAM);
    if (sy_program_run(p, (uint64_t)luaL_optinteger(L, 2, 0), (uint64_t)luaL_optinteger(L, 3, 0),
                       &err))
        return lsy_raise(L, &err);
    return 0;
}

static int program_profile(lua_State *L)
{
    char *s = sy_program_profile(lsy_check_handle(L, 1, META_PROGRAM));
    lua_pushstring(L, s ? s : "");
    sy_free(s);
    return 1;
}

/* engine.precision("fp32" | "bf16") of the matrix products recorded from now on -> the old one */
static int l_precision(lua_State *L)
{
    struct sy_context *c = sy_context();
    lua_pushstring(L, c->precision == SY_PREC_BF16 ? "bf16" : "fp32");
    if (!lua_isnoneornil(L, 1))
        c->precision = !strcmp(luaL_checkstring(L, 1), "bf16") ? SY_PREC_BF16 : SY_PREC_FP32;
    return 1;
}

static const luaL_Reg graph_methods[] = {{"input", graph_input},
                                         {"observe", graph_observe}, {"update", graph_update},
                                         {"carry", graph_carry},
                                         {"segment", graph_segment}, {"draws", graph_draws},
                                         {NULL, NULL}};
static const luaL_Reg program_methods[] = {{"run", program_run}, {"profile", program_profile},
                                           {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"record", l_record}, {"program", l_program}, {"precision", l_precision},
    {"series_kinds", l_series_kinds}, {"place", l_place}, {NULL, NULL}};

void lsy_open_trace(lua_State *L)
{
    lsy_handle_meta(L, META_GRAPH, graph_methods, graph_gc);
    lsy_handle_meta(L, META_PROGRAM, program_methods, program_gc);
    lsy_add_functions(L, functions);
}
