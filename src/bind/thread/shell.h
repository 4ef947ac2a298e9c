/* A command of the shell's, for !cmd.  Layer bind/thread. */
#ifndef SY_BIND_SHELL_H
#define SY_BIND_SHELL_H

struct lua_State;

/* Run it and wait, serving the host.  Its exit status; -1: it cannot be started (errno); -2: a
 * signal ended it. */
int lsy_shell(struct lua_State *L, const char *command);
/* os.execute(command) of Lua, which an interruption or a SIGTERM to us alone ends as well. */
int lsy_execute(struct lua_State *L);
/* io.popen(command, mode) of Lua: so does closing its stream. */
int lsy_popen(struct lua_State *L);

#endif
