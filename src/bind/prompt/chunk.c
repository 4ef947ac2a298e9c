/* See chunk.h: scripts, and how errors are reported.  What is typed: typed.c. */
#include "bind/prompt/chunk.h"
#include "bind/core/error.h"
#include "bind/core/hint.h"
#include "bind/core/registry.h"
#include "bind/prompt/chunk_int.h"
#include "bind/prompt/open.h"
#include "bind/thread/host.h"
#include "bind/thread/interrupt.h"
#include "bind/thread/job_int.h"
#include "bind/thread/output.h"
#include "bind/thread/shell.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/sanitize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool quitting;
static int status;

int sy_chunk_status(void) { return status; }
bool lsy_chunk_quitting(void) { return quitting; }

/* ---- calls whose errors are reported ---- */

/* The error at -1 as text, popped, made safe for a terminal. */
static void error_text(lua_State *L, bool one_line, struct sy_str *safe)
{
    int top = lua_gettop(L) - 1;
    size_t n;
    lsy_hint(L);
    if (lua_isstring(L, -1) || luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL)
        luaL_tolstring(L, lua_isfunction(L, -1) ? -2 : -1, &n);
    else
        lua_pushfstring(L, "(the error is a %s value)", luaL_typename(L, -1));
    const char *s = lua_tolstring(L, -1, &n);
    if (one_line) {
        n = strcspn(s, "\n");
        while (n && (s[n - 1] == ':' || s[n - 1] == ' '))
            n--;
        if (n > 7 && !strncmp(s, "yard:1: ", 8) && !*lsy_job_tag()) {
            s += 8;
            n -= 8;
        }
    }
    sy_utf8_sanitize(safe, s, n);
    lua_settop(L, top);
}

void lsy_chunk_tell(lua_State *L, bool one_line)
{
    struct sy_str safe = SY_STR_INIT;
    error_text(L, one_line, &safe);
    const char *text = safe.data ? safe.data : "";
    fflush(stdout);
    if (*lsy_job_tag())
        lsy_job_print(text);
    else
        fprintf(stderr, one_line ? "%s\n" : "switchyard: %s\n", text);
    sy_str_free(&safe);
}

enum sy_chunk_result lsy_chunk_failed(lua_State *L, bool one_line)
{
    if (quitting) {
        lua_pop(L, 1);
        return SY_CHUNK_QUIT;
    }
    if (sy_host_was_interrupted()) {
        lua_pop(L, 1);
        fflush(stdout);
        fputs(one_line ? "interrupted\n" : "switchyard: interrupted\n", stderr);
        return SY_CHUNK_INTERRUPTED;
    }
    if (lsy_output_closed()) {
        lua_pop(L, 1);
        return SY_CHUNK_FAILED;
    }
    lsy_chunk_tell(L, one_line);
    return SY_CHUNK_FAILED;
}

/* ---- scripts ---- */

/* Function and nargs arguments on the stack. */
static enum sy_chunk_result run_script(lua_State *L, int nargs)
{
    int base = lua_gettop(L) - nargs;
    lua_pushcfunction(L, lsy_traceback);
    lua_insert(L, base);
    sy_host_chunk(true);
    int rc = lua_pcall(L, nargs, 0, base);
    enum sy_chunk_result result = SY_CHUNK_DONE;
    bool late = rc == LUA_OK && sy_host_was_interrupted(); /* at its last instruction */
    if (late)
        lua_pushnil(L);
    if (rc != LUA_OK || late)
        result = lsy_chunk_failed(L, false);
    sy_host_chunk(false);
    lua_settop(L, base - 1);
    return result;
}

enum sy_chunk_result sy_chunk_file(lua_State *L, const char *path, char *const *argv, int n)
{
    if (path && access(path, R_OK) != 0) {
        lua_pushfstring(L, "cannot open '%s': %s", path, strerror(errno));
        lsy_chunk_tell(L, false);
        lua_pop(L, 1);
        return SY_CHUNK_FAILED;
    }
    if (luaL_loadfilex(L, path, "t") != LUA_OK)
        return lsy_chunk_failed(L, false);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_pushstring(L, argv[i]);
    return run_script(L, n);
}

void lsy_chunk_keep(lua_State *L, const char *text, size_t n)
{
    static size_t kept;
    lsy_push_engine(L);
    lua_pushlstring(L, text, n);
    lua_setfield(L, -2, "chunk");
    if (kept + n <= 1 << 20) {
        kept += n + 1;
        lua_getfield(L, -1, "chunks");
        lua_getfield(L, -2, "chunk");
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

enum sy_chunk_result sy_chunk_text(lua_State *L, const char *text, size_t n, const char *name)
{
    if (luaL_loadbufferx(L, text, n, name, "t") != LUA_OK)
        return lsy_chunk_failed(L, false);
    lsy_chunk_keep(L, text, n);
    return run_script(L, 0);
}

static int require_global(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_setglobal(L, lua_tostring(L, 1));
    return 0;
}

enum sy_chunk_result sy_chunk_require(lua_State *L, const char *module)
{
    lua_pushcfunction(L, require_global);
    lua_pushstring(L, module);
    return run_script(L, 1);
}

int sy_chunk_set_arg(lua_State *L, char *const *argv, int argc, int script)
{
    lua_createtable(L, argc - script, script + 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
    return 0;
}

static int cli_run(lua_State *L)
{
    lsy_push_function(L, "switchyard.cli.subcommands", "run");
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 0);
    return 0;
}

enum sy_chunk_result sy_chunk_command(lua_State *L, char *const *words, int n)
{
    lua_pushcfunction(L, cli_run);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_pushstring(L, words[i]);
    return run_script(L, n);
}

enum sy_chunk_result sy_chunk_call(lua_State *L, const char *module, const char *function,
                                   const char *text)
{
    lua_pushcfunction(L, lsy_module_call);
    lua_pushstring(L, module);
    lua_pushstring(L, function);
    lua_pushstring(L, text);
    return run_script(L, 3);
}

/* ---- leaving ---- */

/* quit(status): at the prompt and in scripts alike. */
static int quit_program(lua_State *L)
{
    if (lua_isboolean(L, 1))
        status = lua_toboolean(L, 1) ? 0 : 1;
    else
        status = (int)luaL_optinteger(L, 1, 0);
    quitting = true;
    sy_interrupt_here(); /* no pcall on the way up can hold it */
    return lsy_raise_interrupted(L);
}

/* ---- completion ---- */

static int complete_line(lua_State *L)
{
    lsy_push_function(L, "switchyard.prompt.complete", "lines");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

char *sy_chunk_complete(lua_State *L, const char *line, size_t point, bool *files)
{
    char *text = NULL;
    int top = lua_gettop(L);
    *files = false;
    lua_pushcfunction(L, complete_line);
    lua_pushlstring(L, line, point);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
        *files = lua_isboolean(L, -1);
        if (lua_isstring(L, -1))
            text = sy_strdup(lua_tostring(L, -1));
    }
    lua_settop(L, top);
    return text;
}

/* ---- what the embedded library asks of the program ---- */

/* engine.screen(name, args) -> done, reply; nil: there is no screen */
static int engine_screen(lua_State *L)
{
    char reply[1024] = "";
    const char *name = luaL_checkstring(L, 1), *args = luaL_optstring(L, 2, "");
    if (!sy_host_screen.command)
        return 0;
    lua_pushboolean(L, sy_host_screen.command(name, args, reply, sizeof reply) == 0);
    lua_pushstring(L, reply);
    return 2;
}

void lsy_open_chunk(lua_State *L)
{
    lsy_push_engine(L);
    lsy_set(L, "screen", engine_screen);
    lua_newtable(L); /* what ran that lies in no file: a list of texts; the newest is `chunk` */
    lua_setfield(L, -2, "chunks");
    lua_pop(L, 1);
    lua_register(L, "quit", quit_program);
    lua_getglobal(L, "os");
    lsy_set(L, "exit", quit_program);
    lsy_set(L, "execute", lsy_execute);
    lua_getglobal(L, "io");
    lsy_set(L, "popen", lsy_popen);
    lua_pop(L, 1);
    lua_pop(L, 1);
}
