/* A run that cannot start, for want of a thread or of memory for what it is called: it is refused
 * with a line, and nobody sees it; one that starts has all its names. */
#include "unit/tap.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/thread.h"
#include "bind/open.h"
#include "bind/thread/host.h"
#include "run/source.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

/* launch() makes a run that has not started; start() -> true, or false and why. */
static const char script[] =
    "local Run = require('switchyard.run.run').Run\n"
    "local r\n"
    "Run._launch = function(run) return run end\n"
    "function launch()\n"
    "  r = train(model.dense{layers = 1, dim = 8, heads = 1, context = 4, ffn_dim = 8,\n"
    "    vocab = 256}, data.string(('abcd'):rep(99), {val = 0}), {steps = 1, batch = 1,\n"
    "    eval_every = 0, save = false, paused = true})\n"
    "  r._h:pause()\n"
    "  return true\n"
    "end\n"
    "function start() return pcall(r._h.start, r._h, false, {'enc 1', 'dec 1'}, {'de', 'fr'}) end\n"
    "function finish() r._h:close() return true end\n";

/* What the script's function gives, and its second value as text. */
static bool call(lua_State *L, const char *name, char why[256])
{
    lua_getglobal(L, name);
    bool fine = lua_pcall(L, 0, 2, 0) == LUA_OK && lua_toboolean(L, -2);
    snprintf(why, 256, "%s", lua_tostring(L, -1) ? lua_tostring(L, -1) : "");
    lua_settop(L, 0);
    return fine;
}

static void fail_thread(int n)
{
    sy_thread_fail_at(n);
}

static void fail_memory(int n)
{
    sy_mem_fail_at((uint64_t)n);
}

/* The n-th thread or allocation of its start fails, until it starts. */
static void test_start(lua_State *L, void (*fail)(int n), const char *says)
{
    char why[256] = "";
    int failed = 0, wrong = 0;
    bool started = false;
    if (!tap_ok(call(L, "launch", why), "a run %s", why))
        return;
    while (!started && failed < 100) {
        fail(failed + 1);
        started = call(L, "start", why);
        fail(0);
        bool good = started || (strstr(why, says) && !sy_board_list(NULL, 0));
        wrong += !good;
        if (!good)
            tap_note("%d: %s, %d on the board", failed + 1, why, sy_board_list(NULL, 0));
        failed += !started;
    }
    tap_ok(started && failed && !wrong, "%s: refused %d times, %d of them wrong", says, failed,
           wrong);
    struct sy_source *s = NULL;
    int n = sy_board_list(&s, 1);
    tap_ok(n == 1 && sy_source_called(s, SY_SOURCE_LAYERS) == 2 &&
               sy_source_called(s, SY_SOURCE_DATA) == 2,
           "then it starts: %d on the board, %d layers and %d sources have names", n,
           n ? sy_source_called(s, SY_SOURCE_LAYERS) : 0,
           n ? sy_source_called(s, SY_SOURCE_DATA) : 0);
    sy_source_unref(s);
    tap_ok(call(L, "finish", why) && !sy_board_list(NULL, 0), "and goes %s", why);
}

int main(void)
{
    const char *why;
    struct sy_state_options o = {.no_environment = true};
    sy_pool_set_threads(1, NULL);
    lua_State *L = sy_state_new(&o, &why);
    if (!tap_ok(L != NULL, "a state %s", L ? "" : why))
        return tap_done();
    sy_host_adopt(L);
    if (tap_ok(luaL_dostring(L, script) == LUA_OK, "the script %s",
               lua_gettop(L) ? lua_tostring(L, -1) : "")) {
        test_start(L, fail_thread, "cannot start a thread");
        test_start(L, fail_memory, "out of memory");
    }
    sy_state_free(L);
    return tap_done();
}
