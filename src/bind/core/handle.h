/* Userdata that own one pointer of the engine's: created empty, closed once, or given away.
 * Layer bind/core; for the functions of the table `engine`. */
#ifndef SY_BIND_HANDLE_H
#define SY_BIND_HANDLE_H

#include "bind/core/error.h"
#include "bind/core/registry.h"

#define META_GRAPH "switchyard.graph"

/* A new, empty one; put the pointer into the slot.  [-0, +1, m] */
void **lsy_new_handle(lua_State *L, const char *meta);
/* The pointer at arg, borrowed; raises when it was given away. */
void *lsy_check_handle(lua_State *L, int arg, const char *meta);
/* The pointer at arg, owned by the caller from now on; NULL when it was given away before. */
void *lsy_take_handle(lua_State *L, int arg, const char *meta);
/* Make the metatable: methods (or NULL), and one function for __gc and __close.  [-0, +0, m] */
void lsy_handle_meta(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);
/* More methods for a metatable that lsy_handle_meta has made.  [-0, +0, m] */
void lsy_add_methods(lua_State *L, const char *name, const luaL_Reg *methods);
/* Make the metatable of values that users meet as a `kind`: metamethods, and the function that
 * finds their fields, whose upvalue 1 is the table of methods.  [-0, +0, m] */
void lsy_value_meta(lua_State *L, const char *name, const char *kind, const luaL_Reg *metamethods,
                    const luaL_Reg *methods, lua_CFunction index);

/* Fields of the table on top of the stack; a NaN is left out.  [-0, +0, m] */
void lsy_set_number(lua_State *L, const char *name, double v);
void lsy_set_integer(lua_State *L, const char *name, int64_t v);
void lsy_set_boolean(lua_State *L, const char *name, bool v);
void lsy_set_text(lua_State *L, const char *name, const char *v); /* NULL: left out */

#endif
