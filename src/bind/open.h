/* The Lua state of the program.  Layer bind.  For the program; bindings use the headers of the
 * rooms. */
#ifndef SY_BIND_OPEN_H
#define SY_BIND_OPEN_H

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

struct sy_state_options {
    bool no_environment; /* LUA_PATH and LUA_CPATH are not looked at */
    /* limit for Lua's objects in bytes; 0: half of the machine, at most 8 GiB */
    size_t memory;
};

/* All libraries open, all globals defined.  NULL when memory is out or the library is broken (then
 * *why is a static text).  Call lua_close at the end. */
struct lua_State *sy_state_new(const struct sy_state_options *options, const char **why);
void sy_state_free(struct lua_State *L);

#endif
