/* What bind/open.c opens of this room, in its order.  Layer bind/prompt.  Each [-0, +0, m]. */
#ifndef SY_BIND_PROMPT_OPEN_H
#define SY_BIND_PROMPT_OPEN_H

#include <lua.h>

void lsy_open_chunk(lua_State *L);

#endif
