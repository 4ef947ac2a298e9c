/* Names that are not defined: an error where they are read, in scripts and at the prompt.
 * Layer bind/core.
 *
 *     _ENV of chunks (registry's globals)        _G, a plain table
 *     +--------------------------+
 *     | always empty             |   __index     defined: its value
 *     |                          | ------------> was set to nil: nil
 *     |                          |               else: an error, with the nearest name
 *     |                          |   __newindex
 *     +--------------------------+ ------------> _G[name] = value
 *
 *  1. _G.x, rawget(_G, "x") and pairs(_G) are what they are in Lua; a chunk that begins with
 *     `_ENV = _G` reads names as Lua does.  So do modules found by `require`: libraries look for
 *     names that may not be there.
 *  2. The functions of the program see neither: globals.c.
 *  3. _G may have a metatable of the user's: it is asked first. */
#include "bind/core/open.h"
#include "bind/core/error.h"

enum { GLOBALS = 1, UNSET, MESSAGE }; /* upvalues of both functions */

static int strict_index(lua_State *L) /* environment, name */
{
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_gettable(L, lua_upvalueindex(GLOBALS)) != LUA_TNIL || lua_type(L, 2) != LUA_TSTRING)
        return 1;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(UNSET)) != LUA_TNIL) {
        lua_pushnil(L);
        return 1;
    }
    luaL_where(L, 1);
    lua_pushvalue(L, lua_upvalueindex(MESSAGE));
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    lua_concat(L, 2);
    return lua_error(L);
}

static int strict_newindex(lua_State *L) /* environment, name, value */
{
    if (lua_isnil(L, 3) && lua_type(L, 2) == LUA_TSTRING) {
        lua_pushvalue(L, 2);
        lua_pushboolean(L, true);
        lua_rawset(L, lua_upvalueindex(UNSET));
    }
    lua_settop(L, 3);
    lua_settable(L, lua_upvalueindex(GLOBALS));
    return 0;
}

static int next_name(lua_State *L) /* _G, name */
{
    lua_settop(L, 2);
    if (lua_next(L, 1))
        return 2;
    lua_pushnil(L);
    return 1;
}

static int strict_pairs(lua_State *L) /* for name, value in pairs(_ENV) */
{
    lua_pushcfunction(L, next_name);
    lua_pushvalue(L, lua_upvalueindex(GLOBALS));
    return 2;
}

static void add_closure(lua_State *L, const char *name, lua_CFunction f, int first)
{
    for (int i = 0; i < MESSAGE; i++)
        lua_pushvalue(L, first + i);
    lua_pushcclosure(L, f, MESSAGE);
    lua_setfield(L, -2, name);
}

void lsy_open_strict(lua_State *L)
{
    int first = lua_gettop(L) + 1;
    lua_pushglobaltable(L);
    lua_createtable(L, 0, 2);
    for (int i = 0; i < 2; i++) { /* may be asked for before they are there */
        lua_pushboolean(L, true);
        lua_setfield(L, -2, i ? "_" : "arg");
    }
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.prompt.hint");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "undefined");
    lua_remove(L, -2);
    lua_newtable(L); /* the environment */
    lua_createtable(L, 0, 4);
    add_closure(L, "__index", strict_index, first);
    add_closure(L, "__newindex", strict_newindex, first);
    add_closure(L, "__pairs", strict_pairs, first);
    lua_pushliteral(L, "environment");
    lua_setfield(L, -2, "__name");
    lua_setmetatable(L, -2);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_settop(L, first - 1);
}

