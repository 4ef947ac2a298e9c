/* See globals.h. */
#include "bind/core/globals.h"
#include "bind/core/registry.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

/* package.loaded.switchyard = all globals that were not there before (names in table at -1). */
void lsy_publish(lua_State *L)
{
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        if (lua_rawget(L, -6) == LUA_TNIL) { /* not one of Lua's own */
            lua_pop(L, 1);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -5);
        } else
            lua_pop(L, 2);
    }
    lua_pop(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_insert(L, -2);
    lua_setfield(L, -2, "switchyard");
    lua_pop(L, 1);
}

void lsy_note_globals(lua_State *L)
{
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushboolean(L, 1);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}

/* ---- the globals of the embedded modules ---- */

/* Is the value at -1, named at -2, one of Lua's libraries?  Not those that are meant to be
 * changed. */
static bool is_library(lua_State *L)
{
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    if (!name || !lua_istable(L, -1) || !strcmp(name, "_G") || !strcmp(name, "package"))
        return false;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, name);
    bool is = lua_rawequal(L, -1, -3);
    lua_pop(L, 2);
    return is;
}

static void push_copy(lua_State *L, int table)
{
    table = lua_absindex(L, table);
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
}

/* Globals that are new since the last time: Lua's libraries as copies. */
void lsy_keep_globals(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, LSY_OWN_GLOBALS);
    lua_pushglobaltable(L);
    lua_pushnil(L);
    while (lua_next(L, -2)) { /* own, globals, name, value */
        lua_pushvalue(L, -2);
        bool kept = lua_rawget(L, -5) != LUA_TNIL;
        lua_pop(L, 1);
        if (kept) {
            lua_pop(L, 1);
            continue;
        }
        if (is_library(L)) {
            push_copy(L, -1);
            lua_replace(L, -2);
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 2);
}

/* What is not among them is looked for, and set, where users have their names. */
void lsy_make_globals(lua_State *L)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, LSY_OWN_GLOBALS);
    lsy_keep_globals(L);
}

