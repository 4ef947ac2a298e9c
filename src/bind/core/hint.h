/* What helps at the end of a message of Lua's own.  Layer bind/core. */
#ifndef SY_BIND_CORE_HINT_H
#define SY_BIND_CORE_HINT_H

#include <lua.h>
#include <stddef.h>

/* Let the message at -1 end with what helps, where lua/prompt/hint.lua knows something.  [-0, +0,
 * m] */
void lsy_hint(lua_State *L);
/* The line that was typed last, copied: a hint looks at it. */
void lsy_hint_typed(const char *text, size_t n);

#endif
