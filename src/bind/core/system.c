/* Small functions of the table `engine`: clock, folders, the nearest name, hashes, sizes as text;
 * what this program and machine are.  Layer bind/core. */
#include "bind/core/args.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/open.h"
#include "bind/core/registry.h"
#include "config.h"

#include "base/cells.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"
#include "cpu/cpu.h"

#include <unistd.h>

/* engine.length(what, list) -> number of its elements; raises where one is nil */
static int l_length(lua_State *L)
{
    const char *what = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_pushinteger(L, lsy_list_length(L, 2, what));
    return 1;
}

/* engine.nearest(word, {names}) -> name or nil */
static int l_nearest(lua_State *L)
{
    const char *word = luaL_checkstring(L, 1);
    int n = (int)luaL_len(L, 2);
    const char **names = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *names, 0);
    luaL_checkstack(L, n, "names");
    for (int i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1); /* stays on the stack, so the text stays */
        names[i] = luaL_checkstring(L, -1);
    }
    names[n] = NULL;
    lua_pushstring(L, sy_nearest(word, names));
    return 1;
}

/* engine.entropy() -> a number that differs from call to call (names of runs only) */
static int l_entropy(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)(sy_now_ns() / 1000 & 0x7fffffff));
    return 1;
}

/* engine.bytes(n) -> "1.2 MB" */
static int l_bytes(lua_State *L)
{
    char text[16];
    sy_human_bytes((double)luaL_checknumber(L, 1), text);
    lua_pushstring(L, text);
    return 1;
}

/* engine.cells(text) -> columns that it takes on a terminal */
static int l_cells(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    lua_pushinteger(L, sy_text_width(text, n));
    return 1;
}

/* engine.fit(text, columns) -> bytes of its longest beginning that fits into so many */
static int l_fit(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    lua_pushinteger(L, (lua_Integer)sy_text_fit(text, n, (int)luaL_checkinteger(L, 2)));
    return 1;
}

/* engine.duration(seconds) -> "2m10s" */
static int l_duration(lua_State *L)
{
    char text[16];
    sy_human_duration((double)luaL_checknumber(L, 1), text);
    lua_pushstring(L, text);
    return 1;
}

/* engine.cwd() -> the working directory, or "." */
static int l_cwd(lua_State *L)
{
    char path[4096];
    lua_pushstring(L, getcwd(path, sizeof path) ? path : ".");
    return 1;
}

/* engine.dir_make(path) -> true; or nil, message, code.  With its parents. */
static int l_dir_make(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    return lsy_true_or_fail(L, sy_dir_make(luaL_checkstring(L, 1), &err), &err);
}

/* engine.hash(text) -> 16 hex digits */
static int l_hash(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    char hex[17];
    sy_hash_hex(sy_hash_bytes(text, n), hex);
    lua_pushstring(L, hex);
    return 1;
}

/* engine.now() -> seconds of a clock that never goes back */
static int l_now(lua_State *L)
{
    lua_pushnumber(L, sy_now());
    return 1;
}

/* ---- registration ---- */

static const luaL_Reg functions[] = {{"length", l_length},   {"nearest", l_nearest},
                                     {"entropy", l_entropy}, {"bytes", l_bytes},
                                     {"duration", l_duration}, {"cells", l_cells},
                                     {"fit", l_fit},
                                     {"cwd", l_cwd},         {"dir_make", l_dir_make},
                                     {"now", l_now},         {"hash", l_hash},
                                     {NULL, NULL}};

void lsy_open_system(lua_State *L)
{
    lsy_push_engine(L);
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, PACKAGE_VERSION);
    lua_setfield(L, -2, "version");
    lsy_set_text(L, "bf16", sy_cpu_bf16());
    lua_pop(L, 1);
}
