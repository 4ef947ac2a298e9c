/* What bind/open.c opens of this room, in its order.  Layer bind/tensor.  Each [-0, +0, m]. */
#ifndef SY_BIND_TENSOR_OPEN_H
#define SY_BIND_TENSOR_OPEN_H

#include <lua.h>

void lsy_open_gradient(lua_State *L);
void lsy_open_print(lua_State *L);
void lsy_open_tensor(lua_State *L);
void lsy_open_make(lua_State *L);
void lsy_open_write(lua_State *L);
void lsy_open_bytes(lua_State *L);
void lsy_open_draw(lua_State *L);
void lsy_open_tensor_file(lua_State *L);

#endif
