/* Shared by every file of Lua bindings.  Layer bind: may include everything below, and Lua.
 *
 *  1. A binding raises (longjmp) only when every live resource is owned by a userdata: create the
 *     userdata empty (lsy_new_*), then acquire into it, then raise if that failed.
 *  2. Mistakes of the caller raise, through lsy_raise, with the position of the user's own line
 *     (lines of the embedded library are skipped).  What the world may do to us returns nil,
 *     message, code, through lsy_fail.
 *  3. Only the Lua thread (host.h) may call anything here.
 *  4. Stack effects are written as in Lua's manual, [-o, +p, x].
 */
#ifndef SY_BIND_BIND_INT_H
#define SY_BIND_BIND_INT_H

#include "switchyard/tensor.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What belongs to one lua_State; found through its extra space, from any coroutine. */
struct lsy_state {
    size_t live, peak, limit; /* bytes of Lua objects; limit 0: none */
    size_t tensor_limit;      /* engine bytes at which the collector runs next (tensor.c) */
    const void *tensor_meta;  /* identity of the tensor metatable, for a fast check */
    lua_State *volatile running; /* the coroutine that runs now: an interrupt hooks this one */
    lua_State *job;              /* the coroutine of the job that runs now, or NULL (job.c) */
    bool may_wait, waiting;      /* what runs may yield to the scheduler; it is doing so */
    bool closing;                /* lua_close: objects made by finalizers are never finalized */
};
static inline struct lsy_state *lsy_state(lua_State *L)
{
    return *(struct lsy_state **)lua_getextraspace(L);
}

/* ---- errors (error.c) ---- */

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
/* Push the position of the nearest line outside the embedded library ("x.lua:3: ", or ""). [-0, +1,
 * m] */
void lsy_where(lua_State *L);
/* Message handler of lua_pcall: error value -> text with traceback below it. */
int lsy_traceback(lua_State *L);

/* ---- arguments and options (options.c) ---- */

enum lsy_kind {
    LSY_INT,    /* int64_t; integral floats such as 1e6 are taken */
    LSY_REAL,   /* double; NaN is refused */
    LSY_BOOL,   /* bool */
    LSY_STRING, /* const char *, lives as long as the options table */
    LSY_CHOICE, /* int: index into `choices`, given by name */
    LSY_DTYPE,  /* int: enum sy_dtype, given by name */
    LSY_TENSOR, /* struct sy_tensor *, borrowed from the table */
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
/* lua/help/foreign.lua's answer (function "name" or "member"): what others call so is called here, as a
 * phrase; or NULL.  [-0, +1, m] */
const char *lsy_foreign(lua_State *L, const char *function, const char *name);
/* "unknown option 'x' (did you mean 'y'?); options: a, b": raises.  names is NULL-terminated. */
int lsy_unknown(lua_State *L, const char *what, const char *kind, const char *name,
                const char *const *names);

/* ---- tensors (tensor.c) ---- */

#define LSY_TENSOR_META "switchyard.tensor"
/* A new userdata without a tensor; put one (owned) into the returned slot.  [-0, +1, m] */
struct sy_tensor **lsy_new_tensor(lua_State *L);
/* Push t and take over the caller's count of it; NULL raises err.  [-0, +1, v] */
void lsy_push_tensor(lua_State *L, struct sy_tensor *t, const struct sy_err *err);
/* Push another reference to a borrowed tensor (nil for NULL).  [-0, +1, m] */
void lsy_push_tensor_ref(lua_State *L, struct sy_tensor *t);
/* The tensor at `arg`, borrowed from its userdata; raises "what: argument 2 (name) must be a
 * tensor, got table". */
struct sy_tensor *lsy_check_tensor(lua_State *L, int arg, const char *what, const char *name);
struct sy_tensor *lsy_test_tensor(lua_State *L, int arg); /* or NULL */
/* As above, and with bytes (not of a trace). */
struct sy_tensor *lsy_check_data(lua_State *L, int arg, const char *what, const char *name);
/* Nested tables, or a number, at `arg` as a new tensor of dtype (-1: f32, or bool). [-0, +1, v] */
void lsy_table_tensor(lua_State *L, int arg, const char *what, int dtype);
/* Refuse, before any allocation, what does not fit into this machine's memory. */
int lsy_room(size_t bytes, const char *what, struct sy_err *err);
/* Let the collector run when tensors outgrew its limit. */
void lsy_tensor_pressure(lua_State *L);

/* ---- the operations (ops.c) ---- */

/* Add every row that has a Lua name to the table at the top of the stack: as users see them
 * (indices from 1), or raw (indices from 0, for the embedded library).  [-0, +0, m] */
void lsy_ops_fill(lua_State *L, bool raw);

/* Text of a tensor as the prompt shows it (print.c).  [-0, +1, m] */
void lsy_tensor_text(lua_State *L, struct sy_tensor *t);
/* The table at the top is a list that print shows as the prompt does (print.c).  [-0, +0, m] */
void lsy_list(lua_State *L);
/* The same of a shape: to read a place that it has not is an error, negative ones count from the
 * end. */
void lsy_shape_list(lua_State *L);

/* ---- writing (write.c) ---- */

/* `to`'s elements become the number, boolean or tensor at arg, which broadcasts; raises where
 * shapes differ or an integer dtype cannot hold a value. */
void lsy_assign(lua_State *L, struct sy_tensor *to, int arg);
/* Whether an element of that dtype can be v: integers hold whole numbers within their range
 * only. */
bool lsy_fits(enum sy_dtype d, double v);
void lsy_check_fits(lua_State *L, const char *what, enum sy_dtype d, double v); /* "full: 0.5 does not fit into i32" */
/* Element i of the contiguous tensor t becomes the number or boolean at arg, exactly; or raises. */
void lsy_put(lua_State *L, const char *what, struct sy_tensor *t, int64_t i, int arg);
/* A copy with bytes of its own, without gradient, pushed.  [-0, +1, e] */
struct sy_tensor *lsy_copy(lua_State *L, struct sy_tensor *t);

/* ---- docs (doc.c) ---- */

struct lsy_doc {
    const char *name;      /* "tensor.zeros", "tensor:item", "train" */
    const char *signature; /* "tensor.zeros(n, ..., {dtype=, seed=})" */
    const char *text;      /* what it does, shapes, errors; sentences */
    const char *example;   /* lines of Lua, or NULL */
};
/* Make docs known to ?name, completion and the manual.  rows is static, n entries. */
void lsy_docs(lua_State *L, const struct lsy_doc *rows, size_t n);
#define LSY_DOCS(L, rows) lsy_docs(L, rows, sizeof(rows) / sizeof *(rows))

/* ---- modules: each opens its globals.  [-0, +0, m] ---- */

void lsy_open_tensor(lua_State *L);
void lsy_open_make(lua_State *L);
void lsy_open_write(lua_State *L);
void lsy_open_frozen(lua_State *L);
void lsy_open_tensor_file(lua_State *L);
void lsy_open_engine(lua_State *L);
void lsy_open_print(lua_State *L);
void lsy_open_trace(lua_State *L);
void lsy_open_train(lua_State *L);
void lsy_open_run(lua_State *L);
void lsy_open_tools(lua_State *L);
void lsy_open_tokenizer(lua_State *L);
void lsy_open_data(lua_State *L);
void lsy_open_model_file(lua_State *L);
void lsy_open_doc(lua_State *L);
void lsy_open_chunk(lua_State *L);
void lsy_open_interrupt(lua_State *L);
void lsy_open_job(lua_State *L);
/* From now on a chunk that reads a name which is not defined raises (strict.c).  Comes last. */
void lsy_open_strict(lua_State *L);
/* The table _G, however strict chunks are.  [-0, +1, m] */
void lsy_push_globals(lua_State *L);
/* A global as the embedded modules see it, whatever users do to theirs.  [-0, +1, m] */
void lsy_push_own(lua_State *L, const char *name);
/* Register f under name in the table at the top of the stack. */
void lsy_set(lua_State *L, const char *name, lua_CFunction f);

/* ---- interruption (interrupt.c) ---- */

/* For long C loops: true when the user wants the running chunk to end (leave the flag alone, free
 * what you hold and raise with lsy_interrupted). */
bool lsy_interrupt_wanted(void);
int lsy_raise_interrupted(lua_State *L);
/* lua_resume that knows which coroutine runs. */
int lsy_resume(lua_State *L, lua_State *co, int nargs, int *nresults, bool may_wait);

/* ---- waiting (job.c) ---- */

/* A binding that waits for another thread:
 *
 *     static int wait_k(lua_State *L, int status, lua_KContext ctx)
 *     {
 *         while (!done(..)) {
 *             if (lsy_interrupt_wanted())  -> free what you hold; return lsy_raise_interrupted(L);
 *             if (lsy_may_yield(L))        -> return lsy_yield(L, "what", HUGE_VAL, ctx, wait_k);
 *             sy_host_wait(L, seconds);
 *         }
 *
 * It is called again after every lsy_wake, and after `seconds`.  what: a text for :jobs, copied. */
bool lsy_may_yield(lua_State *L);
int lsy_yield(lua_State *L, const char *what, double seconds, lua_KContext ctx, lua_KFunction k);
void lsy_wake(void); /* any thread: what a job waits for may have come */

#endif
