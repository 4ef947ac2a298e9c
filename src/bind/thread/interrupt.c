/* Ending a running chunk from outside (Ctrl-C), also inside coroutines.  Layer bind/thread.
 *
 * Stock Lua hooks the main coroutine only, so a loop inside another coroutine cannot be stopped.
 * Here the state knows which coroutine runs (`running`): resume and wrap are ours and keep it.
 *
 *  1. sy_interrupt_here is called on the Lua thread, from a signal handler: it sets the flag and
 *     puts a count hook on the running coroutine (lua_sethook is made for that).
 *  2. The flag stays until the chunk has ended, so a pcall in a loop does not swallow it: every
 *     coroutine that comes to run again is hooked again.
 *     It is cleared by whoever has told of it (host.h), never at a beginning: an interrupt that
 *     comes just before a chunk, or at its last instruction, is not lost.  One for good is not
 *     cleared.
 *  3. resume and wrap also pass on the waits of jobs (job.h): what is inside them may wait as well.
 *  4. The hook counts instructions of Lua code.  After the first error some are left to handlers
 *     (__close, code behind a pcall); if it has to raise again, it raises at every instruction.
 *  5. What must not stay half done runs in engine.shield(f, ...): an interruption waits for its
 *     end.
 */
#include "bind/thread/interrupt.h"
#include "bind/core/error.h"
#include "bind/core/interrupted.h"
#include "bind/core/registry.h"
#include "bind/core/state.h"
#include "bind/thread/open.h"
#include "bind/thread/wait.h"

#include <signal.h>
#include <stdatomic.h>

#define FIRST_COUNT 1
#define NEXT_COUNT 2000

static struct lsy_state *volatile target;
static int raised; /* errors since the interrupt; Lua thread only */
static volatile sig_atomic_t shielded, deferred, for_good;

static void stop_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (!lsy_interrupt_flag) {
        lua_sethook(L, NULL, 0, 0);
        if (!lsy_interrupt_flag)
            return;
    }
    lua_sethook(L, stop_hook, LUA_MASKCOUNT, raised++ ? 1 : NEXT_COUNT);
    lsy_raise_interrupted(L);
}

static void set_hook(lua_State *L, int count)
{
    if (L)
        lua_sethook(L, stop_hook, LUA_MASKCOUNT, count);
}

void sy_interrupt_here(void)
{
    const struct lsy_state *s = target;
    if (shielded) {
        deferred = 1;
        return;
    }
    lsy_interrupt_flag = 1;
    if (s)
        set_hook(s->running, FIRST_COUNT);
}

void sy_interrupt_for_good(void)
{
    for_good = 1;
    sy_interrupt_here();
}

void sy_interrupt_clear(void)
{
    lsy_interrupt_flag = 0;
    if (for_good && !shielded) /* looked at afterwards: it may come in between */
        lsy_interrupt_flag = 1;
    raised = 0;
}
bool sy_interrupt_is_shielded(void) { return shielded != 0; }

/* ---- resume and wrap ---- */

int lsy_resume(lua_State *L, lua_State *co, int nargs, int *nresults, bool may_wait)
{
    struct lsy_state *s = lsy_state(L);
    lua_State *before = s->running;
    bool might = s->may_wait;
    s->running = co;
    s->may_wait = may_wait;
    if (lsy_interrupt_flag)
        set_hook(co, NEXT_COUNT);
    int status = lua_resume(co, L, nargs, nresults);
    s->running = before;
    s->may_wait = might;
    /* it may have come when the hook went to a coroutine that has just ended */
    if (lsy_interrupt_flag)
        set_hook(before, FIRST_COUNT);
    return status;
}

/* The same for coroutines of Lua's, with the top nargs values of L.  A job's wait inside co (job.h)
 * passes through here: WAITS, and L is to yield as well. */
#define WAITS -1
static int resume_coroutine(lua_State *L, lua_State *co, int nargs, int *nresults)
{
    struct lsy_state *s = lsy_state(L);
    if (!lua_checkstack(co, nargs))
        return luaL_error(L, "too many arguments to resume");
    lua_xmove(L, co, nargs);
    int status = lsy_resume(L, co, nargs, nresults, s->may_wait && lua_isyieldable(L));
    return status == LUA_YIELD && s->waiting ? WAITS : status;
}

static int co_resume_k(lua_State *L, int status, lua_KContext first)
{
    lua_State *co = lua_tothread(L, 1);
    int n = 0;
    (void)status;
    status = resume_coroutine(L, co, first ? lua_gettop(L) - 1 : 0, &n);
    lua_settop(L, 1);
    if (status == WAITS)
        return lua_yieldk(L, 0, false, co_resume_k);
    lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
    if (status != LUA_OK && status != LUA_YIELD)
        n = 1;
    if (!lua_checkstack(L, n + 1)) {
        lua_pop(co, n);
        return luaL_error(L, "too many results to resume");
    }
    lua_xmove(co, L, n);
    return n + 1;
}

static int co_resume(lua_State *L)
{
    luaL_argexpected(L, lua_tothread(L, 1), 1, "coroutine");
    return co_resume_k(L, LUA_OK, true);
}

static int wrapped_k(lua_State *L, int status, lua_KContext first)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = 0;
    (void)status;
    status = resume_coroutine(L, co, first ? lua_gettop(L) : 0, &n);
    if (status == WAITS)
        return lua_yieldk(L, 0, false, wrapped_k);
    if (status == LUA_OK || status == LUA_YIELD) {
        if (!lua_checkstack(L, n)) {
            lua_pop(co, n);
            return luaL_error(L, "too many results to resume");
        }
        lua_xmove(co, L, n);
        return n;
    }
    int dead = lua_status(co);
    if (dead != LUA_OK && dead != LUA_YIELD)
        lua_resetthread(co); /* closes its pending variables; leaves the error object */
    lua_xmove(co, L, 1);
    return lua_error(L);
}

static int wrapped(lua_State *L) { return wrapped_k(L, LUA_OK, true); }

static int co_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/* ---- what must not stay half done ---- */

static int shield(lua_State *L)
{
    bool again = lsy_interrupt_flag != 0;
    shielded++;
    lsy_interrupt_flag = 0;
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    again |= --shielded == 0 && deferred;
    if (again && !shielded) {
        deferred = 0;
        raised = 0; /* handlers further up have their instructions, too */
        sy_interrupt_here();
    } else if (again)
        deferred = 1;
    return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static const luaL_Reg functions[] = {{"shield", shield}, {NULL, NULL}};

void lsy_open_interrupt(lua_State *L)
{
    target = lsy_state(L);
    target->running = L;
    lua_getglobal(L, "coroutine");
    lsy_set(L, "resume", co_resume);
    lsy_set(L, "wrap", co_wrap);
    lua_pop(L, 1);
    lsy_add_functions(L, functions);
}
