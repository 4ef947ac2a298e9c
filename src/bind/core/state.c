/* Creation of the Lua state: allocator with a limit, libraries, the embedded modules.  Layer bind.
 *
 *  1. Lua's objects are small and many, so they come from the C library and not from base/mem.h
 *     (64-byte blocks); they are counted here.  At the limit Lua collects, then raises its ordinary
 *     "not enough memory", long before the system would kill the process.
 *  2. Only text is loaded (a forged binary chunk can crash any Lua).
 *  3. `require "switchyard"` gives the table of all globals that this program adds; the embedded
 *     modules are found as "switchyard.NAME" before any file.
 *  4. The embedded modules see the globals as they were made: whoever names a variable `data`, `model`
 *     or `table` has changed his own names only.
 */
#include "bind/core/state.h"
#include "bind/core/bind_int.h"
#include "bind/core/embedded.h"

#include "base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWN_GLOBALS "switchyard.globals" /* in the registry: the embedded modules' _ENV */
#define LIMIT_MOST ((size_t)8 << 30)

/* ---- memory ---- */

static void *allot(void *ud, void *block, size_t old, size_t bytes)
{
    struct lsy_state *s = ud;
    if (!block)
        old = 0; /* it is a type tag then */
    if (!bytes) {
        free(block);
        s->live -= old;
        return NULL;
    }
    if (bytes > old && s->limit && s->live - old + bytes > s->limit)
        return NULL;
    void *p = realloc(block, bytes);
    if (!p)
        return NULL;
    s->live += bytes - old;
    if (s->live > s->peak)
        s->peak = s->live;
    return p;
}

static int panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "switchyard: error outside of any protected call: %s\n", text ? text : "?");
    return 0;
}

/* ---- loading: text only ---- */

void lsy_set(lua_State *L, const char *name, lua_CFunction f)
{
    lua_pushcfunction(L, f);
    lua_setfield(L, -2, name);
}

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
            lua_getfield(L, LUA_REGISTRYINDEX, OWN_GLOBALS);
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

static void open_loading(lua_State *L)
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

/* ---- everything ---- */

/* package.loaded.switchyard = all globals that were not there before (names in table at -1). */
static void publish(lua_State *L)
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

static void snapshot_globals(lua_State *L)
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

/* Is the value at -1, named at -2, one of Lua's libraries?  Not those that are meant to be changed. */
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
static void keep_globals(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, OWN_GLOBALS);
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

void lsy_push_own(lua_State *L, const char *name)
{
    lua_getfield(L, LUA_REGISTRYINDEX, OWN_GLOBALS);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

/* What is not among them is looked for, and set, where users have their names. */
static void make_globals(lua_State *L)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, OWN_GLOBALS);
    keep_globals(L);
}

static int open_all(lua_State *L)
{
    bool no_environment = lua_toboolean(L, 1);
    lua_settop(L, 0);
    if (no_environment) {
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    }
    luaL_openlibs(L);
    open_loading(L);
    lsy_open_interrupt(L);
    snapshot_globals(L);
    lsy_open_chunk(L);
    lsy_open_job(L);
    lsy_open_doc(L);
    lsy_open_engine(L);
    lsy_open_trace(L);
    lsy_open_train(L);
    lsy_open_run(L);
    lsy_open_tools(L);
    lsy_open_print(L);
    lsy_open_tensor(L);
    lsy_open_make(L);
    lsy_open_write(L);
    lsy_open_tensor_file(L);
    lsy_open_tokenizer(L);
    lsy_open_data(L);
    lsy_open_model_file(L);
    make_globals(L);
    lsy_open_frozen(L); /* those are ours already, as they were */
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.prelude");
    lua_call(L, 1, 0);
    keep_globals(L);
    publish(L);
    lsy_open_strict(L);
    return 0;
}

/* Half of the machine, but no more than what Lua's objects can be meant to take: bulk data lives in
 * tensors, which are not counted here. */
static size_t default_limit(void)
{
    size_t half = sy_machine_memory() / 2;
    return half < LIMIT_MOST ? half : LIMIT_MOST;
}

lua_State *sy_state_new(const struct sy_state_options *options, const char **why)
{
    static char text[256];
    struct lsy_state *s = calloc(1, sizeof *s);
    *why = "out of memory";
    if (!s)
        return NULL;
    lua_State *L = lua_newstate(allot, s);
    if (!L) {
        free(s);
        return NULL;
    }
    *(struct lsy_state **)lua_getextraspace(L) = s;
    s->limit = options->memory ? options->memory : default_limit();
    lua_atpanic(L, panic);
    lua_gc(L, LUA_GCSTOP); /* nothing of what follows is garbage */
    lua_pushcfunction(L, open_all);
    lua_pushboolean(L, options->no_environment);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        snprintf(text, sizeof text, "%s", lua_tostring(L, -1) ? lua_tostring(L, -1) : "?");
        *why = text;
        sy_state_free(L);
        return NULL;
    }
    lua_gc(L, LUA_GCRESTART);
    return L;
}

void sy_state_free(lua_State *L)
{
    struct lsy_state *s = lsy_state(L);
    s->closing = true;
    lua_close(L);
    free(s);
}
