/* Arguments and tables of named options, read by a table of rows.  Layer bind/core. */
#ifndef SY_BIND_CORE_ARGS_H
#define SY_BIND_CORE_ARGS_H

#include "bind/core/error.h"
#include "switchyard/tensor.h"

enum lsy_kind {
    LSY_INT,    /* int64_t; integral floats such as 1e6 are taken */
    LSY_REAL,   /* double; NaN is refused */
    LSY_BOOL,   /* bool */
    LSY_STRING, /* const char *, lives as long as the options table */
    LSY_CHOICE, /* int: index into `choices`, given by name */
    LSY_DTYPE,  /* int: enum sy_dtype, given by name */
    LSY_VALUE   /* int: a stack index at which the value was pushed (never nil); 0 when absent */
};

/* One row of an options table: static const struct lsy_option rows[] = { ... }; */
struct lsy_option {
    const char *name;
    enum lsy_kind kind;
    size_t at;          /* offsetof(struct, field); the field's value beforehand is the default */
    double min, max;    /* INT and REAL: inclusive range; both 0: any */
    const char *const *choices; /* CHOICE: NULL-terminated */
};

/* Read the options table at stack index `arg` (nil or none: all defaults) into *out.  `what` begins
 * every message: "train: lr must be a number from 0 to 10: it is -1".  An unknown field is an error
 * that names the nearest and lists the permitted ones.  Rows of kind VALUE leave their value on the
 * stack.  [-0, +values, v] */
void lsy_options(lua_State *L, int arg, const char *what, const struct lsy_option *rows, size_t n,
                 void *out);
#define LSY_OPTIONS(L, arg, what, rows, out)                                                       \
    lsy_options(L, arg, what, rows, sizeof(rows) / sizeof *(rows), out)

/* Integer at `arg` (integral floats too) in [min, max]; `name` stands in the message. */
int64_t lsy_check_int(lua_State *L, int arg, const char *what, const char *name, int64_t min,
                      int64_t max);
/* Elements 1..n of the list at arg; a hole is an error.  [-0, +0, v] */
int64_t lsy_list_length(lua_State *L, int arg, const char *what);
/* A shape given as numbers from `arg` on (up to `last`), or as one table.  Returns the number of
 * dimensions; *next (if not NULL) is the argument after it. */
int lsy_check_shape(lua_State *L, int arg, int last, const char *what, int64_t shape[SY_MAX_DIMS],
                    int *next);
/* Dimension 1..n or -1..-n at `arg` as 0..n-1. */
int lsy_check_dim(lua_State *L, int arg, const char *what, const struct sy_tensor *t);
/* lua/help/foreign.lua's answer (function "name" or "member"): what others call so is called here,
 * as a phrase; or NULL.  [-0, +1, m] */
const char *lsy_foreign(lua_State *L, const char *function, const char *name);
/* "unknown option 'x' (did you mean 'y'?); options: a, b": raises.  names is NULL-terminated. */
int lsy_unknown(lua_State *L, const char *what, const char *kind, const char *name,
                const char *const *names);

#endif
