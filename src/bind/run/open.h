/* What bind/open.c opens of this room, in its order.  Layer bind/run.  Each [-0, +0, m]. */
#ifndef SY_BIND_RUN_OPEN_H
#define SY_BIND_RUN_OPEN_H

#include <lua.h>

void lsy_open_trace(lua_State *L);
void lsy_open_train(lua_State *L);
void lsy_open_run(lua_State *L);
void lsy_open_hyper(lua_State *L);
void lsy_open_series(lua_State *L);
void lsy_open_derived(lua_State *L);
void lsy_open_enums(lua_State *L);
void lsy_open_checkpoint(lua_State *L);
void lsy_open_store(lua_State *L);
void lsy_open_store_read(lua_State *L);
void lsy_open_journal(lua_State *L);
void lsy_open_runs_table(lua_State *L);
void lsy_open_why(lua_State *L);
void lsy_open_model_file(lua_State *L);
void lsy_open_frozen(lua_State *L);

#endif
