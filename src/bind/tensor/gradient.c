/* The table `engine` for the embedded Lua library.  Layer bind/tensor.  trace.c adds graphs and
 * programs to it, train.c runs; here is what belongs to operations and errors:
 *
 *   engine.raw.NAME(...)       every row of the op table, also internal ones; indices from 0
 *   engine.grad(y, {leaves})   gradients, false where none flows; traced or eager
 *   engine.no_grad(f, ...)     results of f, keeping nothing for gradients
 *   engine.tracing()           is a description being recorded?
 *   engine.error(message)      raise with the position of the user's line
 */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "ops/op.h"
#include "switchyard/graph.h"

#define LIST_MAX 65536

/* Tensors of the list at arg, borrowed, in a block that the stack owns. */
static struct sy_tensor **check_list(lua_State *L, int arg, const char *what, int *count)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_Integer n = luaL_len(L, arg);
    if (n > LIST_MAX)
        lsy_error(L, "%s: %lld tensors are too many", what, (long long)n);
    struct sy_tensor **list = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *list, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_geti(L, arg, i + 1);
        list[i] = lsy_check_tensor(L, -1, what, "an element of the list");
        lua_pop(L, 1);
    }
    *count = (int)n;
    return list;
}

static int engine_grad(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int n;
    struct sy_tensor *y = lsy_check_tensor(L, 1, "grad", "y");
    struct sy_tensor **wrt = check_list(L, 2, "grad", &n);
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

static int engine_no_grad(lua_State *L)
{
    struct sy_context *c = sy_context();
    bool before = c->no_grad;
    c->no_grad = true;
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    c->no_grad = before;
    return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static int engine_error(lua_State *L) { return lsy_error(L, "%s", luaL_checkstring(L, 1)); }

static int engine_tracing(lua_State *L)
{
    lua_pushboolean(L, sy_graph_current() != NULL);
    return 1;
}

static const luaL_Reg functions[] = {{"grad", engine_grad},   {"no_grad", engine_no_grad},
                                     {"error", engine_error}, {"tracing", engine_tracing},
                                     {NULL, NULL}};

void lsy_open_gradient(lua_State *L)
{
    lsy_push_engine(L);
    luaL_setfuncs(L, functions, 0);
    lua_newtable(L);
    lsy_ops_fill(L, true);
    lua_setfield(L, -2, "raw");
    lua_pop(L, 1);
}
