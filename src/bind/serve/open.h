/* What bind/open.c opens of this room.  Layer bind/serve. */
#ifndef SY_BIND_SERVE_OPEN_H
#define SY_BIND_SERVE_OPEN_H

#include <lua.h>

void lsy_open_serve(lua_State *L); /* [-0, +0, m] */

#endif
