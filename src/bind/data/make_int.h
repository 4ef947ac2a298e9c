/* What the makers of data sets share (make.c).  Layer bind/data. */
#ifndef SY_BIND_DATA_MAKE_INT_H
#define SY_BIND_DATA_MAKE_INT_H

#include "bind/data/data.h"

/* Push the value at arg: a table anew, with the tables in it.  [-0, +1, m] */
void lsy_copy_value(lua_State *L, int arg);
/* How it was made, into the data set at -1.  source, val and options: stack indices, 0: none. */
void lsy_remember_source(lua_State *L, const char *kind, int source, int val, int options);
/* A data set that is made of files, on top of the stack: how it is made is remembered as above, and
 * the engine's work at it watched from now on.  doing: for people. */
struct lsy_data *lsy_begin_corpus(lua_State *L, const char *kind, int source, int val, int options,
                                  struct lsy_watch *watch, const char *doing);
/* Put the corpus into the slot d on top of the stack and say what was read (upvalue 1: not), or
 * report.  Returns results. */
int lsy_deliver_corpus(lua_State *L, struct lsy_data *d, struct sy_corpus *c, const char *what,
                       struct lsy_watch *watch, const struct sy_err *err);
/* A maker into the table at -1 that says nothing of what it reads: for the embedded library, which
 * has read the files before. */
void lsy_set_quiet(lua_State *L, const char *name, lua_CFunction f);

#endif
