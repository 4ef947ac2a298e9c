/* The table `engine` (require "switchyard.engine"): what the embedded library gets and users do
 * not.  Layer bind; other binding files add their functions to it. */
#ifndef SY_BIND_ENGINE_H
#define SY_BIND_ENGINE_H

#include <lauxlib.h>
#include <lua.h>

struct sy_op;

void lsy_push_engine(lua_State *L);                             /* [-0, +1, m] */
void lsy_add_functions(lua_State *L, const luaL_Reg *functions); /* to it  [-0, +0, m] */
void lsy_push_signature(lua_State *L, const struct sy_op *op); /* [-0, +1, m]  "x:sum(dim=all) -> y" */

#endif
