/* Stores for Lua, shared by store.c (opening, attaching, writing) and store_read.c (reading).
 * Layer bind/run. */
#ifndef SY_BIND_STORE_INT_H
#define SY_BIND_STORE_INT_H

#include "bind/run/run.h"
#include "run/store.h"

#define META_STORE "switchyard.store"

/* The store at 1, borrowed; raises when it was closed. */
struct sy_store *lsy_check_store(lua_State *L);
/* What a store's table argument may be, in the order of enum sy_store_table; NULL ends it. */
extern const char *const lsy_store_tables[];

#endif
