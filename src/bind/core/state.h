/* What belongs to one lua_State.  Layer bind/core. */
#ifndef SY_BIND_CORE_STATE_H
#define SY_BIND_CORE_STATE_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What belongs to one lua_State; found through its extra space, from any coroutine. */
struct lsy_state {
    size_t live, peak, limit; /* bytes of Lua objects; limit 0: none */
    size_t tensor_limit;      /* engine bytes at which the collector runs next (tensor/value.c) */
    const void *tensor_meta;  /* identity of the tensor metatable, for a fast check */
    lua_State *volatile running; /* the coroutine that runs now: an interrupt hooks this one */
    /* the coroutine of the job that runs now, or NULL (thread/job.c) */
    lua_State *job;
    bool may_wait, waiting;      /* what runs may yield to the scheduler; it is doing so */
    bool closing;                /* lua_close: objects made by finalizers are never finalized */
};
static inline struct lsy_state *lsy_state(lua_State *L)
{
    return *(struct lsy_state **)lua_getextraspace(L);
}

#endif
