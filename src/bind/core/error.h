/* Errors between the engine and Lua, and the rules of every binding.  Layer bind/core.
 *
 *  1. A binding raises (longjmp) only when every live resource is owned by a userdata: create the
 *     userdata empty (lsy_new_*), then acquire into it, then raise if that failed.
 *  2. Mistakes of the caller raise, through lsy_raise, with the position of the user's own line
 *     (lines of the embedded library are skipped).  What the world may do to us returns nil,
 *     message, code, through lsy_fail.
 *  3. Only the Lua thread (bind/thread/host.h) may call anything here.
 *  4. Stack effects are written as in Lua's manual, [-o, +p, x].
 */
#ifndef SY_BIND_CORE_ERROR_H
#define SY_BIND_CORE_ERROR_H

#include "switchyard/err.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Raise err as "where: message".  [-0, +0, v]  Never returns; the int is for `return
 * lsy_raise()`. */
int lsy_raise(lua_State *L, const struct sy_err *err);
/* The same with a message of our own: `return lsy_error(L, "zeros: no shape given")`. */
int lsy_error(lua_State *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Push nil, message, code ("NOTFOUND").  [-0, +3, m]  Returns 3. */
int lsy_fail(lua_State *L, const struct sy_err *err);
/* " (message)" of the last lsy_fail, or "": for errors about the nil that came of it. */
const char *lsy_last_failure(void);
void lsy_forget_failure(void);
/* World's failures (IO, NOTFOUND, FORMAT, CANCELLED, UNSUPPORTED) as lsy_fail, all others raise. */
int lsy_fail_or_raise(lua_State *L, const struct sy_err *err);
/* The end of a binding that returns true: true where rc is 0, else as lsy_fail_or_raise. */
int lsy_true_or_fail(lua_State *L, int rc, const struct sy_err *err);
/* Push the position of the nearest line outside the embedded library ("x.lua:3: ", or ""). [-0, +1,
 * m] */
void lsy_where(lua_State *L);
/* Message handler of lua_pcall: error value -> text with traceback below it. */
int lsy_traceback(lua_State *L);

/* For long C loops: true when the user wants the running chunk to end (leave the flag alone, free
 * what you hold and raise with lsy_interrupted). */
bool lsy_interrupt_wanted(void);
int lsy_raise_interrupted(lua_State *L);

#endif
