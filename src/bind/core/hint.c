/* See hint.h. */
#include "bind/core/hint.h"
#include "bind/core/registry.h"

#include <string.h>

#include "base/str.h"

#include <string.h>

static struct sy_str typed;

void lsy_hint_typed(const char *text, size_t n)
{
    sy_str_clear(&typed);
    sy_str_add(&typed, text, n);
}

/* Replace the message at -1 by one that ends with what helps, where lua/prompt/hint.lua knows
 * something. */
static int add_hint(lua_State *L)
{
    lsy_push_function(L, "switchyard.prompt.hint", "add");
    lua_pushvalue(L, 1);
    lua_pushstring(L, typed.data ? typed.data : "");
    lua_call(L, 2, 1);
    return 1;
}

void lsy_hint(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    if (!message || (!strstr(message, "attempt to ") && !strstr(message, " near ") &&
                     !strstr(message, "undefined name '")))
        return;
    lua_pushcfunction(L, add_hint);
    lua_pushvalue(L, -2);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1))
        lua_replace(L, -2);
    else
        lua_pop(L, 1);
}
