/* A tensor as a value of Lua: the userdata, without what can be done to it.  See tensor.h.  Layer
 * bind/tensor.
 *
 *  1. Lua's collector cannot see tensors' bytes: when the engine's memory has grown by a share of
 *     what was live after the last full collection, the next push collects
 *     (lsy_tensor_pressure). */
#include "bind/core/error.h"
#include "bind/core/state.h"
#include "bind/tensor/tensor.h"

#include "base/mem.h"
#include "tensor/tensor.h"

#define PRESSURE_MIN ((size_t)64 << 20)
#define PRESSURE_MAX ((size_t)512 << 20)

void lsy_tensor_pressure(lua_State *L)
{
    struct lsy_state *s = lsy_state(L);
    if (sy_mem_live() <= s->tensor_limit)
        return;
    lua_gc(L, LUA_GCCOLLECT);
    size_t live = sy_mem_live(), slack = live / 2;
    slack = slack < PRESSURE_MIN ? PRESSURE_MIN : slack > PRESSURE_MAX ? PRESSURE_MAX : slack;
    s->tensor_limit = live + slack;
}

struct sy_tensor **lsy_new_tensor(lua_State *L)
{
    lsy_tensor_pressure(L);
    struct sy_tensor **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    luaL_setmetatable(L, LSY_TENSOR_META);
    return slot;
}

void lsy_push_tensor(lua_State *L, struct sy_tensor *t, const struct sy_err *err)
{
    if (!t)
        lsy_raise(L, err);
    /* Should the userdata not come about, t leaks: better than any alternative, and memory is
     * out. */
    *lsy_new_tensor(L) = t;
}

void lsy_push_tensor_ref(lua_State *L, struct sy_tensor *t)
{
    if (!t)
        lua_pushnil(L);
    else {
        struct sy_tensor **slot = lsy_new_tensor(L);
        *slot = sy_tensor_ref(t);
    }
}

struct sy_tensor *lsy_test_tensor(lua_State *L, int arg)
{
    struct sy_tensor **slot = lua_touserdata(L, arg);
    if (!slot || !lua_getmetatable(L, arg))
        return NULL;
    bool ours = lua_topointer(L, -1) == lsy_state(L)->tensor_meta;
    lua_pop(L, 1);
    return ours ? *slot : NULL;
}

struct sy_tensor *lsy_check_tensor(lua_State *L, int arg, const char *what, const char *name)
{
    struct sy_tensor *t = lsy_test_tensor(L, arg);
    if (!t)
        lsy_error(L, "%s: %s must be a tensor: it is %s%s", what, name,
                  lua_isnoneornil(L, arg) ? "missing" : "a ",
                  lua_isnoneornil(L, arg) ? "" : luaL_typename(L, arg));
    return t;
}

struct sy_tensor *lsy_check_data(lua_State *L, int arg, const char *what, const char *name)
{
    struct sy_tensor *t = lsy_check_tensor(L, arg, what, name);
    if (!sy_tensor_data(t))
        lsy_error(L,
                  "%s: %s has no values here: it belongs to a model's description, which is only "
                  "recorded",
                  what, name);
    lsy_check_file(L, t, what);
    return t;
}

void lsy_check_writable(lua_State *L, const struct sy_tensor *t, const char *what)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_tensor_writable(t, what, &err))
        lsy_raise(L, &err);
}

void lsy_check_file(lua_State *L, const struct sy_tensor *t, const char *what)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_tensor_check(t, what, &err))
        lsy_raise(L, &err);
}
