/* What bind/open.c opens of this room, in its order.  Layer bind/thread.  Each [-0, +0, m]. */
#ifndef SY_BIND_THREAD_OPEN_H
#define SY_BIND_THREAD_OPEN_H

#include <lua.h>

void lsy_open_command(lua_State *L);
void lsy_open_interrupt(lua_State *L);
void lsy_open_job(lua_State *L);
void lsy_open_output(lua_State *L);

#endif
