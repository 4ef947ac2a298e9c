/* The prompt: lines from the editor to the Lua thread, on the plain screen or in the workbench.
 * Layer prompt. */
#ifndef SY_PROMPT_PROMPT_H
#define SY_PROMPT_PROMPT_H

#include <stdbool.h>

struct lua_State;

struct sy_prompt_start {
    bool plain;           /* no line editor, no panels */
    bool screen;          /* begin in the workbench: sy_prompt_has_screen said that it is there */
    const char *greeting; /* one line */
    /* The scripts of the command line, on the Lua thread; NULL: none are left.  A status; *quit:
     * they want to leave with it. */
    int (*scripts)(struct lua_State *L, void *ctx, bool *quit);
    void *ctx;
};

/* Will sy_prompt_run open the workbench?  Then the scripts are better left to it: they are seen. */
bool sy_prompt_has_screen(bool plain);
/* Reads lines until the end; returns the exit status.  L was created on this thread and is handed
 * over to the Lua thread. */
int sy_prompt_run(struct lua_State *L, const struct sy_prompt_start *start);
/* Signal handlers for the prompt or, with at_prompt false, for scripts. */
void sy_prompt_signals(bool at_prompt);
/* The live runs are about to be saved: that may take as long as it takes. */
void sy_prompt_saves(void);
/* The signal that ended a script (SIGINT, SIGTERM, SIGHUP), or 0. */
int sy_prompt_ended_by(void);

#endif
