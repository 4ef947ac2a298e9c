/* Shared by chunk.c and typed.c.  Layer bind/prompt, inside only. */
#ifndef SY_BIND_CHUNK_INT_H
#define SY_BIND_CHUNK_INT_H

#include "bind/prompt/chunk.h"

bool lsy_chunk_quitting(void); /* quit() was called */
/* The error at -1, popped, is reported on standard error, behind "switchyard: " unless it is one
 * line of what was typed; that of a job above the line that is being typed.  [-1, +0, m] */
void lsy_chunk_tell(struct lua_State *L, bool one_line);
/* The same unless it comes of quit(), of an interrupt or of a closed pipe; what the chunk came
 * to. */
enum sy_chunk_result lsy_chunk_failed(struct lua_State *L, bool one_line);
/* Keep what lies in no file, for runs that store the code they come of; the first megabyte. */
void lsy_chunk_keep(struct lua_State *L, const char *text, size_t n);

#endif
