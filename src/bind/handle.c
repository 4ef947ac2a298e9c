/* Userdata of one owned pointer.  See handle.h. */
#include "bind/handle.h"

#include <math.h>

void **lsy_new_handle(lua_State *L, const char *meta)
{
    void **slot = lua_newuserdatauv(L, sizeof *slot, 1);
    *slot = NULL;
    luaL_setmetatable(L, meta);
    return slot;
}

void *lsy_check_handle(lua_State *L, int arg, const char *meta)
{
    void **slot = luaL_checkudata(L, arg, meta);
    if (!*slot)
        lsy_error(L, "engine: %s was given away or closed", meta);
    return *slot;
}

void *lsy_take_handle(lua_State *L, int arg, const char *meta)
{
    void **slot = luaL_checkudata(L, arg, meta), *p = *slot;
    *slot = NULL;
    return p;
}

void lsy_handle_meta(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    if (methods)
        luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    if (gc) {
        lsy_set(L, "__gc", gc);
        lsy_set(L, "__close", gc);
    }
    lua_pushliteral(L, "engine handle");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void lsy_set_number(lua_State *L, const char *name, double v)
{
    if (isnan(v))
        return;
    lua_pushnumber(L, v);
    lua_setfield(L, -2, name);
}

void lsy_set_integer(lua_State *L, const char *name, int64_t v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}
