/* Waiting in a binding, and resuming coroutines.  Layer bind/thread. */
#ifndef SY_BIND_THREAD_WAIT_H
#define SY_BIND_THREAD_WAIT_H

#include <lua.h>
#include <stdbool.h>

/* lua_resume that knows which coroutine runs. */
int lsy_resume(lua_State *L, lua_State *co, int nargs, int *nresults, bool may_wait);

/* A binding that waits for another thread:
 *
 *     static int wait_k(lua_State *L, int status, lua_KContext ctx)
 *     {
 *         while (!done(..)) {
 *             if (lsy_interrupt_wanted())  -> free what you hold; return lsy_raise_interrupted(L);
 *             if (lsy_may_yield(L))        -> return lsy_yield(L, "what", HUGE_VAL, ctx, wait_k);
 *             sy_host_wait(L, seconds);
 *         }
 *
 * It is called again after every lsy_wake, and after `seconds`.  what: a text for :jobs, copied. */
bool lsy_may_yield(lua_State *L);
int lsy_yield(lua_State *L, const char *what, double seconds, lua_KContext ctx, lua_KFunction k);
void lsy_wake(void); /* any thread: what a job waits for may have come */

#endif
