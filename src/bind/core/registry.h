/* The table `engine` (require "switchyard.engine"): what the embedded library gets and users do
 * not; and what the embedded modules have.  Layer bind/core; every room adds its functions to
 * it. */
#ifndef SY_BIND_CORE_REGISTRY_H
#define SY_BIND_CORE_REGISTRY_H

#include "bind/core/error.h"

void lsy_push_engine(lua_State *L);                              /* [-0, +1, m] */
void lsy_add_functions(lua_State *L, const luaL_Reg *functions); /* to it  [-0, +0, m] */
/* Register f under name in the table at the top of the stack. */
void lsy_set(lua_State *L, const char *name, lua_CFunction f);

/* The table _G, however strict chunks are.  [-0, +1, m] */
void lsy_push_globals(lua_State *L);
/* A global as the embedded modules see it, whatever users do to theirs.  [-0, +1, m] */
void lsy_push_own(lua_State *L, const char *name);
#define LSY_OWN_GLOBALS "switchyard.globals" /* in the registry: the embedded modules' _ENV */
/* require(module)[name] of an embedded module.  [-0, +1, e] */
void lsy_push_function(lua_State *L, const char *module, const char *name);
/* (module, function, value) -> require(module)[function](value) */
int lsy_module_call(lua_State *L);

#endif
