/* What bind/open.c opens of this room, in its order.  Layer bind/data.  Each [-0, +0, m]. */
#ifndef SY_BIND_DATA_OPEN_H
#define SY_BIND_DATA_OPEN_H

#include <lua.h>

void lsy_open_tokenizer(lua_State *L);
void lsy_open_data(lua_State *L);
void lsy_open_data_make(lua_State *L);
void lsy_open_pairs(lua_State *L);
void lsy_open_mix(lua_State *L);
void lsy_open_batch(lua_State *L);
void lsy_open_objective(lua_State *L);

#endif
