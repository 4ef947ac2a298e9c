/* Userdata of one owned pointer.  See handle.h. */
#include "bind/core/handle.h"
#include "bind/core/error.h"
#include "bind/core/registry.h"

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

void lsy_add_methods(lua_State *L, const char *name, const luaL_Reg *methods)
{
    luaL_getmetatable(L, name);
    lua_getfield(L, -1, "__index");
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 2);
}

/* __newindex of what has no field to set; upvalue 1: what it is called. */
static int cannot_set(lua_State *L)
{
    return lsy_error(L, "%s: %s cannot be set", lua_tostring(L, lua_upvalueindex(1)),
                     luaL_tolstring(L, 2, NULL));
}

void lsy_value_meta(lua_State *L, const char *name, const char *kind, const luaL_Reg *metamethods,
                    const luaL_Reg *methods, lua_CFunction index)
{
    luaL_newmetatable(L, name);
    lua_pushstring(L, kind);
    lua_pushcclosure(L, cannot_set, 1);
    lua_setfield(L, -2, "__newindex");
    luaL_setfuncs(L, metamethods, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushcclosure(L, index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, kind);
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

void lsy_set_boolean(lua_State *L, const char *name, bool v)
{
    lua_pushboolean(L, v);
    lua_setfield(L, -2, name);
}

void lsy_set_text(lua_State *L, const char *name, const char *v)
{
    lua_pushstring(L, v);
    lua_setfield(L, -2, name);
}
