/* The table `engine`, and the globals and functions of the embedded modules.  See registry.h. */
#include "bind/core/registry.h"

void lsy_push_engine(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    luaL_getsubtable(L, -1, "switchyard.engine");
    lua_remove(L, -2);
}

void lsy_add_functions(lua_State *L, const luaL_Reg *functions)
{
    lsy_push_engine(L);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}

void lsy_set(lua_State *L, const char *name, lua_CFunction f)
{
    lua_pushcfunction(L, f);
    lua_setfield(L, -2, name);
}

void lsy_push_own(lua_State *L, const char *name)
{
    lua_getfield(L, LUA_REGISTRYINDEX, LSY_OWN_GLOBALS);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

void lsy_push_globals(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "_G");
    lua_remove(L, -2);
}

void lsy_push_function(lua_State *L, const char *module, const char *name)
{
    lsy_push_own(L, "require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

int lsy_module_call(lua_State *L)
{
    lsy_push_function(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    lua_pushvalue(L, 3);
    lua_call(L, 1, 1);
    return 1;
}
