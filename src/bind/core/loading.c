/* Loading code: text only (a forged binary chunk can crash any Lua), and where modules are found:
 * the embedded ones, "switchyard.NAME", before any file.  Layer bind/core. */
#include "bind/core/loading.h"
#include "bind/core/embedded.h"
#include "bind/core/registry.h"

#include <string.h>

/* Lua's own function (upvalue 1) with "t" as its argument `mode`. */
static int call_with_text(lua_State *L, int mode)
{
    int n = lua_gettop(L);
    if (n < mode)
        lua_settop(L, n = mode);
    lua_pushliteral(L, "t");
    lua_replace(L, mode);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

static int text_load(lua_State *L) /* load(chunk, name, mode, env) */
{
    return call_with_text(L, 3);
}

static int text_loadfile(lua_State *L) /* loadfile(name, mode, env) */
{
    return call_with_text(L, 2);
}

static int text_dofile(lua_State *L)
{
    const char *name = luaL_optstring(L, 1, NULL);
    lua_settop(L, 1);
    if (luaL_loadfilex(L, name, "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, LUA_MULTRET);
    return lua_gettop(L) - 1;
}

static int embedded_searcher(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    if (!strncmp(name, "switchyard.", 11)) {
        for (const struct sy_embedded *e = sy_embedded_lua; e->name; e++) {
            if (strcmp(e->name, name + 11) != 0)
                continue;
            const char *path = luaL_gsub(L, e->name, ".", "/");
            lua_pushfstring(L, "=switchyard:%s.lua", path);
            if (luaL_loadbufferx(L, (const char *)e->data, e->size, lua_tostring(L, -1), "t"))
                return lua_error(L);
            lua_getfield(L, LUA_REGISTRYINDEX, LSY_OWN_GLOBALS);
            lua_setupvalue(L, -2, 1);
            lua_pushfstring(L, "lua/%s.lua", path);
            return 2;
        }
    }
    lua_pushfstring(L, "no module '%s' inside the program", name);
    return 1;
}

static int file_searcher(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchpath");
    lua_pushvalue(L, 1);
    if (lua_getfield(L, -3, "path") != LUA_TSTRING)
        return luaL_error(L, "package.path must be a string");
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2))
        return 1; /* text of where it looked */
    lua_pop(L, 1);
    if (luaL_loadfilex(L, lua_tostring(L, -1), "t") != LUA_OK)
        return luaL_error(L, "error loading module '%s': %s", lua_tostring(L, 1),
                          lua_tostring(L, -1));
    lsy_push_globals(L);
    lua_setupvalue(L, -2, 1);
    lua_insert(L, -2);
    return 2;
}

/* Put one function, with Lua's own as its upvalue, in the global's place. */
static void wrap_global(lua_State *L, const char *name, lua_CFunction f)
{
    lua_getglobal(L, name);
    lua_pushcclosure(L, f, 1);
    lua_setglobal(L, name);
}

void lsy_open_loading(lua_State *L)
{
    wrap_global(L, "load", text_load);
    wrap_global(L, "loadfile", text_loadfile);
    lua_register(L, "dofile", text_dofile);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_pushcfunction(L, file_searcher);
    lua_rawseti(L, -2, 2);
    for (int i = (int)lua_rawlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, embedded_searcher);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}

