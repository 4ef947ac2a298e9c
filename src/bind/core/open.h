/* What bind/open.c opens of this room, in its order.  Layer bind/core.  Each [-0, +0, m]. */
#ifndef SY_BIND_CORE_OPEN_H
#define SY_BIND_CORE_OPEN_H

#include <lua.h>

void lsy_open_doc(lua_State *L);
void lsy_open_system(lua_State *L);
/* From now on a chunk that reads a name which is not defined raises (strict.c).  Comes last. */
void lsy_open_strict(lua_State *L);

#endif
