/* Clients at a socket (serve/server.h) for the embedded library, lua/serve/serve.lua.  Layer
 * bind/serve.
 *
 *   engine.serve(path) -> server; raises: it can only be the caller's mistake, or is told as one
 *   server:run(handle)               until server:stop(), or raises: interrupted; each line of a
 *                                    client is handle(client, line) as a job of its own (job.h)
 *   server:spawn(f, name)            f() as a job beside them
 *   server:answer(client, line), server:hear(client, "nothing" "events" "steps"), server:stop()
 *   server:close()                   also __gc and __close: the socket is gone
 *
 *  1. One server a program: what runs tell is tapped for it.
 *  2. Requests run as jobs, which switch where they wait; so a long one holds up nobody. */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/serve/open.h"
#include "bind/thread/host.h"
#include "bind/thread/job_int.h"
#include "bind/thread/progress.h"

#include "base/mem.h"
#include "serve/server.h"

#include <math.h>
#include <string.h>

#define META_SERVER "switchyard.server"

static struct sy_server *the_server; /* Lua thread; for the tap, which ends before it */
static bool stopped;

static void tap(bool is_step, const char *line, size_t n)
{
    sy_server_tell(the_server, is_step ? SY_HEARS_STEPS : SY_HEARS_EVENTS, line, n);
}

static int l_serve(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    size_t n;
    const char *path = luaL_checklstring(L, 1, &n);
    if (the_server)
        return lsy_error(L, "serve: this program serves already");
    if (strlen(path) < n)
        return lsy_error(L, "serve: the path of the socket has a byte 0");
    void **slot = lsy_new_handle(L, META_SERVER);
    if (!(*slot = sy_server_open(path, sy_host_wake, &err)))
        return lsy_raise(L, &err);
    the_server = *slot;
    stopped = false;
    lsy_progress_tap(tap);
    return 1;
}

static int server_close(lua_State *L)
{
    struct sy_server *s = lsy_take_handle(L, 1, META_SERVER);
    if (!s)
        return 0;
    lsy_progress_tap(NULL);
    the_server = NULL;
    sy_server_close(s);
    return 0;
}

/* Errors are the job's function's to catch; what it could not is told. */
static void job_ended(lua_State *L, struct lsy_job *j)
{
    (void)L;
    if (j->outcome == LSY_JOB_FAILED && lua_type(j->co, -1) == LUA_TSTRING)
        lsy_job_print_of(j, lua_tostring(j->co, -1));
}

/* The function and its nargs arguments on top of the stack. */
static void spawn_job(lua_State *L, int nargs, const char *text, size_t n)
{
    lsy_job_enlist(lsy_job_new(L, nargs, text, n), job_ended);
}

static void take_requests(lua_State *L, struct sy_server *s)
{
    int64_t client;
    char *line;
    size_t n;
    for (;;) {
        luaL_checkstack(L, 8, "serve");
        void **block = lsy_new_block(L); /* whatever raises, the line is freed */
        if (!sy_server_take(s, &client, &line, &n)) {
            lua_pop(L, 1);
            return;
        }
        *block = line;
        lua_pushvalue(L, 2);
        lua_pushinteger(L, (lua_Integer)client);
        lua_pushlstring(L, line, n);
        spawn_job(L, 2, line, n);
        sy_free(line);
        *block = NULL;
        lua_pop(L, 1);
    }
}

static int server_run(lua_State *L)
{
    struct sy_server *s = lsy_check_handle(L, 1, META_SERVER);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    while (!stopped) {
        if (lsy_interrupt_wanted())
            return lsy_raise_interrupted(L);
        take_requests(L, s);
        double left = lsy_jobs_serve(L);
        if (!stopped && sy_host_wait(L, left < 1 ? left : 1) < 0)
            return lsy_raise_interrupted(L);
    }
    return 0;
}

static int server_spawn(lua_State *L)
{
    size_t n;
    lsy_check_handle(L, 1, META_SERVER);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    const char *text = luaL_checklstring(L, 3, &n);
    lua_pushvalue(L, 2);
    spawn_job(L, 0, text, n);
    return 0;
}

static int server_answer(lua_State *L)
{
    size_t n;
    struct sy_server *s = lsy_check_handle(L, 1, META_SERVER);
    const char *line = luaL_checklstring(L, 3, &n);
    sy_server_answer(s, luaL_checkinteger(L, 2), line, n);
    return 0;
}

static int server_hear(lua_State *L)
{
    static const char *const what[] = {"nothing", "events", "steps", NULL};
    struct sy_server *s = lsy_check_handle(L, 1, META_SERVER);
    sy_server_subscribe(s, luaL_checkinteger(L, 2),
                        (enum sy_serve_hears)luaL_checkoption(L, 3, NULL, what));
    return 0;
}

static int server_stop(lua_State *L)
{
    lsy_check_handle(L, 1, META_SERVER);
    stopped = true;
    return 0;
}

static const luaL_Reg methods[] = {
    {"run", server_run},   {"spawn", server_spawn}, {"answer", server_answer},
    {"hear", server_hear}, {"stop", server_stop},   {"close", server_close},
    {NULL, NULL}};
static const luaL_Reg functions[] = {{"serve", l_serve}, {NULL, NULL}};

void lsy_open_serve(lua_State *L)
{
    lsy_handle_meta(L, META_SERVER, methods, server_close);
    lsy_add_functions(L, functions);
}
