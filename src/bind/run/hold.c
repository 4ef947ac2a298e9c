/* The trainer of a run's userdata, and holding it between two steps.  Layer bind/run. */
#include "bind/core/error.h"
#include "bind/run/run.h"
#include "bind/run/run_int.h"
#include "bind/thread/host.h"
#include "bind/thread/wait.h"

#include <math.h>
#include <stdio.h>

struct sy_trainer *lsy_check_trainer(lua_State *L, int arg)
{
    struct run *r = luaL_checkudata(L, arg, META_RUN);
    if (!r->trainer)
        lsy_error(L, "run: it was closed");
    return r->trainer;
}

void lsy_hold(lua_State *L, int arg)
{
    struct sy_trainer *t = lsy_check_trainer(L, arg);
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 0.005))
        if (sy_host_wait(L, 0.005) < 0) {
            sy_trainer_release(t);
            lsy_raise_interrupted(L);
        }
}

static int held_k(lua_State *L, int status, lua_KContext then)
{
    (void)status;
    for (;;) {
        struct sy_trainer *t = lsy_check_trainer(L, 1);
        if (sy_trainer_held(t, 0))
            return ((lua_CFunction)then)(L);
        if (lsy_may_yield(L) && !lsy_interrupt_wanted()) {
            char what[112];
            snprintf(what, sizeof what, "the end of a step of run '%s'", sy_trainer_name(t));
            return lsy_yield(L, what, HUGE_VAL, then, held_k);
        }
        if (!sy_trainer_held(t, 0.005) && sy_host_wait(L, 0.005) < 0) {
            sy_trainer_release(lsy_check_trainer(L, 1));
            return lsy_raise_interrupted(L);
        }
    }
}

int lsy_held(lua_State *L, lua_CFunction then)
{
    sy_trainer_hold(lsy_check_trainer(L, 1));
    return held_k(L, LUA_OK, (lua_KContext)then);
}

struct sy_params *lsy_run_params(lua_State *L, int arg)
{
    struct run *r = luaL_testudata(L, arg, META_RUN);
    return r && r->trainer ? sy_trainer_params(r->trainer) : NULL;
}
