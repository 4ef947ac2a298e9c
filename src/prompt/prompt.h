/* The prompt: lines from the editor to the Lua thread.  Layer prompt. */
#ifndef SY_PROMPT_PROMPT_H
#define SY_PROMPT_PROMPT_H

#include <stdbool.h>

struct lua_State;

/* Reads lines until the end; returns the exit status.  L was created on this thread and is handed
 * over to the Lua thread.  plain: no line editor. */
int sy_prompt_run(struct lua_State *L, bool plain);
/* Signal handlers for the prompt or, with at_prompt false, for scripts. */
void sy_prompt_signals(bool at_prompt);
/* The signal that ended a script (SIGINT, SIGTERM, SIGHUP), or 0. */
int sy_prompt_ended_by(void);

#endif
