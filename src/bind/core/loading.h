/* See loading.c.  Layer bind/core. */
#ifndef SY_BIND_CORE_LOADING_H
#define SY_BIND_CORE_LOADING_H

#include <lua.h>

/* load, loadfile, dofile, require: of text alone.  [-0, +0, m] */
void lsy_open_loading(lua_State *L);

#endif
