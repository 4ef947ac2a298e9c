/* Shared by train.c and run.c.  Layer bind. */
#ifndef SY_BIND_RUN_H
#define SY_BIND_RUN_H

#include "bind/handle.h"
#include "switchyard/train.h"

#define META_PARAMS "switchyard.params"
#define META_PLAN "switchyard.plan"

/* Parameters of the run at arg (which the caller holds), borrowed; NULL when it is no run. */
struct sy_params *lsy_run_params(lua_State *L, int arg);

#endif
