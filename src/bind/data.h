/* Tokenizers and data as seen by other bindings.  Layer bind. */
#ifndef SY_BIND_DATA_H
#define SY_BIND_DATA_H

#include "switchyard/data.h"
#include "switchyard/tokenizer.h"

#include <lua.h>

/* Borrowed from the userdata at arg; raise when it is something else (with the failure that made it
 * nil, if there was one). */
struct sy_corpus *lsy_check_corpus(lua_State *L, int arg);
struct sy_tokenizer *lsy_check_tokenizer(lua_State *L, int arg);
struct sy_tokenizer *lsy_test_tokenizer(lua_State *L, int arg); /* or NULL */
/* Push; takes over the caller's count. NULL: err as lsy_fail_or_raise.  Returns results pushed. */
int lsy_push_corpus(lua_State *L, struct sy_corpus *c, const struct sy_err *err);
int lsy_push_tokenizer(lua_State *L, struct sy_tokenizer *t, const struct sy_err *err);
/* A path, or a list of them, at arg: an array that the stack owns. */
const char *const *lsy_check_paths(lua_State *L, int arg, const char *what, int *count);
/* Ends long work when the user interrupts. */
extern const struct sy_progress lsy_interruptible;

#endif
