/* The globals that this program adds, as the embedded modules see them: as they were made, whatever
 * users do to theirs.  Layer bind/core.  All [-0, +0, m] but the first. */
#ifndef SY_BIND_CORE_GLOBALS_H
#define SY_BIND_CORE_GLOBALS_H

#include <lua.h>

void lsy_note_globals(lua_State *L); /* the present names, for lsy_publish.  [-0, +1, m] */
void lsy_make_globals(lua_State *L);
void lsy_keep_globals(lua_State *L); /* those that are new since the last time */
/* package.loaded.switchyard = all globals that were not there before (names in the table at -1). */
void lsy_publish(lua_State *L);

#endif
