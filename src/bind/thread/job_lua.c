/* Jobs as Lua sees them: what they print stands behind their number, sleep, engine.jobs,
 * engine.kill, engine.breathe; io.write, file:write, io.read and coroutine.yield that know of them.
 * See job.h.  Layer bind/thread. */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/core/state.h"
#include "bind/thread/host.h"
#include "bind/thread/job_int.h"
#include "bind/thread/open.h"
#include "bind/thread/wait.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/sanitize.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORK 2.0  /* seconds that a chunk may compute before it becomes a job */
#define TURN 0.02 /* seconds that a computing job keeps the Lua thread */

/* ---- printing ---- */

/* Pushes io.output(); does it go to standard output? */
static bool to_stdout(lua_State *L)
{
    lsy_push_own(L, "io");
    lua_getfield(L, -1, "stdout");
    lua_getfield(L, -2, "output");
    lua_call(L, 0, 1);
    bool same = lua_rawequal(L, -1, -2);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return same;
}

static void write_arguments(lua_State *L, int first, int last)
{
    for (int i = first; i <= last; i++) {
        size_t len;
        const char *s = luaL_checklstring(L, i, &len);
        lsy_job_write_of(lsy_job_now(), s, len);
    }
}

static int io_write(lua_State *L)
{
    int n = lua_gettop(L);
    if (!*lsy_job_tag() || !to_stdout(L)) {
        lua_settop(L, n);
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_insert(L, 1);
        lua_call(L, n, LUA_MULTRET);
        return lua_gettop(L);
    }
    write_arguments(L, 1, n);
    return 1;
}

/* file:write; io.stdout's as io.write. */
static int file_write(lua_State *L)
{
    int n = lua_gettop(L);
    bool tagged = false;
    if (n && *lsy_job_tag()) {
        lsy_push_own(L, "io");
        lua_getfield(L, -1, "stdout");
        tagged = lua_rawequal(L, 1, -1);
        lua_settop(L, n);
    }
    if (tagged) {
        write_arguments(L, 2, n);
        lua_settop(L, 1);
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

/* io.read: what is typed is the prompt's while a job goes on beside it. */
static int io_read(lua_State *L)
{
    int n = lua_gettop(L);
    if (*lsy_job_tag() && isatty(0)) {
        lsy_push_own(L, "io");
        lua_getfield(L, -1, "stdin");
        lua_getfield(L, -2, "input");
        lua_call(L, 0, 1);
        if (lua_rawequal(L, -1, -2))
            return lsy_error(L, "io.read: a job cannot read what is typed at the prompt");
        lua_settop(L, n);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

/* ---- turns ---- */

static int breathe_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lsy_interrupt_wanted() ? lsy_raise_interrupted(L) : 0;
}

/* engine.breathe(alone, what): between two tokens of a text, or two parts of other long work, where
 * others may have their turn.  alone: the prompt waits for it, however long it takes (it is being
 * printed); what: a name for :jobs. */
static int engine_breathe(lua_State *L)
{
    const struct lsy_job *j = lsy_job_now();
    double now = sy_now();
    bool stays = j && !j->number && (lua_toboolean(L, 1) || now - j->began < WORK);
    if (!lsy_may_yield(L) || stays || now - j->resumed < TURN)
        return breathe_k(L, LUA_OK, 0);
    return lsy_yield(L, luaL_optstring(L, 2, "m:generate()"), 0, 0, breathe_k);
}

/* sleep(seconds): the end stands at index 2 */
static int sleep_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lua_settop(L, 2);
    for (double left; (left = lua_tonumber(L, 2) - sy_now()) > 0;) {
        if (lsy_interrupt_wanted())
            return lsy_raise_interrupted(L);
        if (lsy_may_yield(L))
            return lsy_yield(L, "sleep", left, ctx, sleep_k);
        if (sy_host_wait(L, left) < 0)
            return lsy_raise_interrupted(L);
    }
    return 0;
}

static int l_sleep(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    if (!(seconds >= 0 && seconds <= 1e9))
        return lsy_error(L, "sleep: seconds must be a number from 0 to 1e9: it is %g", seconds);
    lua_settop(L, 1);
    lua_pushnumber(L, sy_now() + seconds);
    return sleep_k(L, LUA_OK, 0);
}

/* ---- what lua/prompt/commands.lua makes jobs() and kill() of ---- */

static void push_job(lua_State *L, const struct lsy_job *j)
{
    struct sy_str safe = SY_STR_INIT;
    lua_createtable(L, 0, 5);
    lsy_set_integer(L, "number", j->number);
    lsy_set_number(L, "seconds", sy_now() - j->began);
    lsy_set_text(L, "state", lsy_job_state(j));
    if (j->state == SY_JOB_WAITING)
        lsy_set_text(L, "waits", j->what);
    sy_utf8_sanitize(&safe, j->text, strlen(j->text));
    lsy_set_text(L, "text", safe.data ? safe.data : "");
    sy_str_free(&safe);
}

/* engine.jobs() -> list of {number, state, waits, seconds, text} */
static int engine_jobs(lua_State *L)
{
    lua_newtable(L);
    int n = 0;
    for (struct lsy_job *j = lsy_jobs_list(); j; j = j->next)
        if (j->state != SY_JOB_ENDED) {
            push_job(L, j);
            lua_rawseti(L, -2, ++n);
        }
    return 1;
}

static struct lsy_job *find_job(int number)
{
    struct lsy_job *j = lsy_jobs_list();
    while (j && (j->number != number || j->state == SY_JOB_ENDED))
        j = j->next;
    return j;
}

/* engine.kill(number) -> was there such a job? */
static int engine_kill(lua_State *L)
{
    struct lsy_job *j = find_job((int)luaL_checkinteger(L, 1));
    if (j)
        j->killed = true;
    if (j && j == lsy_job_now())
        lsy_job_killed();
    lua_pushboolean(L, j != NULL);
    return 1;
}

/* coroutine.yield: a job has nobody to yield to. */
static int co_yield(lua_State *L)
{
    if (L == lsy_state(L)->job)
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static const luaL_Reg functions[] = {
    {"jobs", engine_jobs}, {"kill", engine_kill}, {"breathe", engine_breathe}, {NULL, NULL}};

void lsy_open_job(lua_State *L)
{
    sy_host_jobs = (struct sy_host_jobs){lsy_job_killed, lsy_job_urged, lsy_jobs_serve};
    lua_register(L, "sleep", l_sleep);
    lua_getglobal(L, "coroutine");
    lsy_set(L, "yield", co_yield);
    lua_pop(L, 1);
    lua_getglobal(L, "io");
    lua_getfield(L, -1, "write");
    lua_pushcclosure(L, io_write, 1);
    lua_setfield(L, -2, "write");
    lua_getfield(L, -1, "read");
    lua_pushcclosure(L, io_read, 1);
    lua_setfield(L, -2, "read");
    lua_pop(L, 1);
    luaL_getmetatable(L, LUA_FILEHANDLE);
    lua_getfield(L, -1, "__index"); /* the table of methods */
    lua_getfield(L, -1, "write");
    lua_pushcclosure(L, file_write, 1);
    lua_setfield(L, -2, "write");
    lua_pop(L, 2);
    lsy_add_functions(L, functions);
}
