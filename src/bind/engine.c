/* Traces and programs for the embedded Lua library, as methods of userdata.  Layer bind.
 *
 *     local engine = require "switchyard.engine"
 *     local g = engine.trace()                -- a graph; recording begins
 *     local x = g:input("x", "i32", {B, T})   -- operations applied now are recorded
 *     g:observe("loss", y); g:update(state, value)
 *     local grads = g:grad(y, {w1, w2})       -- false where none flows
 *     g:finish()                              -- recording ends (also when g is closed or collected)
 *     local p = g:program{outputs = {y}, grads = grads, grad_to = {t1, t2}, updates = true}
 *     p:run(seed, step); p.bytes, p.flops, p:observes() ...
 *
 * A graph's userdata is closed by __close and __gc; a program keeps what it needs alive itself.
 */
#include "bind/engine.h"
#include "bind/bind_int.h"

#include "base/mem.h"
#include "ops/op.h"
#include "switchyard/graph.h"

#include <string.h>

#define GRAPH_META "switchyard.graph"
#define PROGRAM_META "switchyard.program"
#define LIST_MAX 65536

void lsy_push_engine(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    luaL_getsubtable(L, -1, "switchyard.engine");
    lua_remove(L, -2);
}

/* ---- graph ---- */

static struct sy_graph *check_graph(lua_State *L)
{
    struct sy_graph **slot = luaL_checkudata(L, 1, GRAPH_META);
    if (!*slot)
        lsy_error(L, "trace: it is closed");
    return *slot;
}

static int graph_gc(lua_State *L)
{
    struct sy_graph **slot = luaL_checkudata(L, 1, GRAPH_META);
    sy_graph_free(*slot);
    *slot = NULL;
    return 0;
}

static int trace(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    luaL_setmetatable(L, GRAPH_META);
    *slot = sy_graph_new(&err);
    if (!*slot || sy_graph_begin(*slot, &err))
        return lsy_raise(L, &err);
    return 1;
}

static int graph_begin(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_graph_begin(check_graph(L), &err))
        return lsy_raise(L, &err);
    lua_settop(L, 1);
    return 1;
}

static int graph_finish(lua_State *L)
{
    sy_graph_end(check_graph(L));
    lua_settop(L, 1);
    return 1;
}

static int tracing(lua_State *L)
{
    lua_pushboolean(L, sy_graph_current() != NULL);
    return 1;
}

static int graph_input(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = check_graph(L);
    const char *name = luaL_checkstring(L, 2);
    int dtype = sy_dtype_parse(luaL_checkstring(L, 3));
    int64_t shape[SY_MAX_DIMS];
    luaL_argcheck(L, dtype >= 0, 3, "name of a dtype expected");
    int n = lsy_check_shape(L, 4, lua_gettop(L), "input", shape, NULL);
    struct sy_tensor *t = sy_graph_input(g, name, (enum sy_dtype)dtype, n, shape, &err);
    if (!t)
        return lsy_raise(L, &err);
    lsy_push_tensor_ref(L, t);
    return 1;
}

static int graph_find(lua_State *L)
{
    lsy_push_tensor_ref(L, sy_graph_find_input(check_graph(L), luaL_checkstring(L, 2)));
    return 1;
}

static int graph_inputs(lua_State *L)
{
    struct sy_graph *g = check_graph(L);
    lua_newtable(L);
    for (int i = 0; i < sy_graph_inputs(g); i++) {
        lua_pushstring(L, sy_graph_input_name(g, i));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int graph_observe(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = check_graph(L);
    const char *name = luaL_checkstring(L, 2);
    return sy_graph_observe(g, name, lsy_check_tensor(L, 3, "observe", "the value"), &err)
               ? lsy_raise(L, &err) : 0;
}

static int graph_update(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = check_graph(L);
    return sy_graph_update(g, lsy_check_tensor(L, 2, "update", "the state"),
                           lsy_check_tensor(L, 3, "update", "the value"), &err)
               ? lsy_raise(L, &err) : 0;
}

/* Tensors of the list at arg in a block that the stack owns; `false` elements give NULL. */
static struct sy_tensor **check_list(lua_State *L, int arg, const char *what, int *count)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_Integer n = luaL_len(L, arg);
    if (n > LIST_MAX)
        lsy_error(L, "%s: %lld tensors are too many", what, (long long)n);
    struct sy_tensor **list = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *list, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_geti(L, arg, i + 1);
        list[i] = lua_toboolean(L, -1) ? lsy_check_tensor(L, -1, what, "an element of the list") : NULL;
        lua_pop(L, 1);
    }
    *count = (int)n;
    return list;
}

/* g:grad(y, {leaves}) or engine.grad(nil, y, {leaves}): also works eagerly. */
static int graph_grad(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int n;
    struct sy_tensor *y = lsy_check_tensor(L, 2, "grad", "y");
    struct sy_tensor **wrt = check_list(L, 3, "grad", &n);
    struct sy_tensor **grads = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *grads, 0);
    lua_createtable(L, n, 0);
    int list = lua_gettop(L);
    for (int i = 0; i < n; i++) { /* places first, so that nothing can be lost */
        lsy_new_tensor(L);
        lua_rawseti(L, list, i + 1);
    }
    if (sy_grad(y, wrt, n, grads, &err))
        return lsy_raise(L, &err);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, list, i + 1);
        *(struct sy_tensor **)lua_touserdata(L, -1) = grads[i];
        lua_pop(L, 1);
    }
    for (int i = 0; i < n; i++)
        if (!grads[i]) {
            lua_pushboolean(L, 0);
            lua_rawseti(L, list, i + 1);
        }
    return 1;
}

/* ---- program ---- */

static struct sy_program *check_program(lua_State *L)
{
    struct sy_program **slot = luaL_checkudata(L, 1, PROGRAM_META);
    if (!*slot)
        lsy_error(L, "program: it is closed");
    return *slot;
}

static int program_gc(lua_State *L)
{
    struct sy_program **slot = luaL_checkudata(L, 1, PROGRAM_META);
    sy_program_free(*slot);
    *slot = NULL;
    return 0;
}

/* f32 memory of each tensor in the list spec.grad_to, in a block on the stack. */
static float **grad_memory(lua_State *L, int arg, int n)
{
    int count;
    struct sy_tensor **to = check_list(L, arg, "program", &count);
    float **memory = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *memory, 0);
    if (count != n)
        lsy_error(L, "program: %d gradients, but %d places for them", n, count);
    for (int i = 0; i < n; i++) {
        if (!to[i] || to[i]->dtype != SY_F32 || !sy_tensor_contiguous(to[i]) || !sy_data(to[i]))
            lsy_error(L, "program: place %d for a gradient must be a contiguous f32 tensor", i + 1);
        memory[i] = sy_data(to[i]);
    }
    return memory;
}

static int graph_program(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_graph *g = check_graph(L);
    struct sy_program_spec spec = {0};
    luaL_checktype(L, 2, LUA_TTABLE);
    if (lua_getfield(L, 2, "outputs") != LUA_TNIL)
        spec.outputs = check_list(L, lua_gettop(L), "program", &spec.noutputs);
    if (lua_getfield(L, 2, "grads") != LUA_TNIL) {
        spec.grads = check_list(L, lua_gettop(L), "program", &spec.ngrads);
        lua_getfield(L, 2, "grad_to");
        spec.grad_to = grad_memory(L, lua_gettop(L), spec.ngrads);
    }
    lua_getfield(L, 2, "add_grads");
    spec.add_grads = lua_toboolean(L, -1);
    lua_getfield(L, 2, "updates");
    spec.updates = lua_toboolean(L, -1);
    struct sy_program **slot = lua_newuserdatauv(L, sizeof *slot, 1);
    *slot = NULL;
    luaL_setmetatable(L, PROGRAM_META);
    lua_pushvalue(L, 2); /* the description holds the tensors whose memory is written */
    lua_setiuservalue(L, -2, 1);
    *slot = sy_program_new(g, &spec, &err);
    if (!*slot || lsy_room(sy_program_bytes(*slot), "program", &err) ||
        sy_program_attach(*slot, NULL, &err))
        return lsy_raise(L, &err);
    return 1;
}

static int program_run(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_program *p = check_program(L);
    return sy_program_run(p, (uint64_t)luaL_optinteger(L, 2, 0), (uint64_t)luaL_optinteger(L, 3, 0),
                          &err) ? lsy_raise(L, &err) : 0;
}

static int program_update(lua_State *L)
{
    sy_program_update_states(check_program(L));
    return 0;
}

static int program_observes(lua_State *L)
{
    struct sy_program *p = check_program(L);
    lua_newtable(L);
    for (int i = 0; i < sy_program_observes(p); i++) {
        const struct sy_tensor *t = sy_program_observe_at(p, i);
        int64_t n = sy_tensor_count(t);
        if (t->ndim)
            lua_createtable(L, (int)n, 0);
        for (int64_t j = 0; t->ndim && j < n; j++) {
            lua_pushnumber(L, sy_tensor_get(t, j));
            lua_rawseti(L, -2, j + 1);
        }
        if (!t->ndim)
            lua_pushnumber(L, sy_tensor_get(t, 0));
        lua_setfield(L, -2, sy_program_observe_name(p, i));
    }
    return 1;
}

static int program_profile(lua_State *L)
{
    char *text = sy_program_profile(check_program(L));
    lua_pushstring(L, text ? text : "");
    sy_free(text);
    return 1;
}

static int program_nonfinite(lua_State *L)
{
    char text[256];
    if (!sy_program_find_nonfinite(check_program(L), text, sizeof text))
        return 0;
    lua_pushstring(L, text);
    return 1;
}

/* p.bytes, p.flops, p.length, or a method; upvalue 1: methods. */
static int program_index(lua_State *L)
{
    struct sy_program *p = check_program(L);
    const char *name = luaL_checkstring(L, 2);
    if (!strcmp(name, "bytes"))
        lua_pushinteger(L, (lua_Integer)sy_program_bytes(p));
    else if (!strcmp(name, "flops"))
        lua_pushnumber(L, sy_program_flops(p));
    else if (!strcmp(name, "length"))
        lua_pushinteger(L, sy_program_length(p));
    else
        lua_getfield(L, lua_upvalueindex(1), name);
    return 1;
}

/* ---- the table ---- */

/* engine.error(message): raise with the position of the user's line. */
static int engine_error(lua_State *L) { return lsy_error(L, "%s", luaL_checkstring(L, 1)); }

/* engine.no_grad(f, ...): results of f called without keeping anything for gradients. */
static int engine_no_grad(lua_State *L)
{
    struct sy_context *c = sy_context();
    bool before = c->no_grad;
    c->no_grad = true;
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    c->no_grad = before;
    return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static int engine_precision(lua_State *L)
{
    static const char *const names[] = {"fp32", "bf16", NULL};
    struct sy_context *c = sy_context();
    int before = (int)c->precision;
    if (!lua_isnoneornil(L, 1))
        c->precision = (enum sy_precision)luaL_checkoption(L, 1, NULL, names);
    lua_pushstring(L, names[before]);
    return 1;
}

static const luaL_Reg graph_methods[] = {
    {"begin", graph_begin},     {"finish", graph_finish}, {"input", graph_input},
    {"find", graph_find},       {"inputs", graph_inputs}, {"observe", graph_observe},
    {"update", graph_update},   {"grad", graph_grad},     {"program", graph_program},
    {"close", graph_gc},        {NULL, NULL}};
static const luaL_Reg program_methods[] = {
    {"run", program_run},         {"update", program_update},       {"observes", program_observes},
    {"profile", program_profile}, {"nonfinite", program_nonfinite}, {"close", program_gc},
    {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"trace", trace},         {"tracing", tracing},           {"grad", graph_grad},
    {"error", engine_error},  {"no_grad", engine_no_grad},    {"precision", engine_precision},
    {NULL, NULL}};

static void new_meta(lua_State *L, const char *name, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lsy_set(L, "__gc", gc);
    lsy_set(L, "__close", gc);
}

void lsy_open_engine(lua_State *L)
{
    new_meta(L, GRAPH_META, graph_gc);
    lua_newtable(L);
    luaL_setfuncs(L, graph_methods, 0);
    lua_setfield(L, -2, "__index");
    new_meta(L, PROGRAM_META, program_gc);
    lua_newtable(L);
    luaL_setfuncs(L, program_methods, 0);
    lua_pushcclosure(L, program_index, 1);
    lua_setfield(L, -2, "__index");
    lsy_push_engine(L);
    luaL_setfuncs(L, functions, 0);
    lua_newtable(L);
    lsy_ops_fill(L, true);
    lua_setfield(L, -2, "raw");
    lua_pop(L, 3);
}
