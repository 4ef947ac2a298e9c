/* Tensors for Lua, as other bindings see them.  Layer bind/tensor. */
#ifndef SY_BIND_TENSOR_TENSOR_H
#define SY_BIND_TENSOR_TENSOR_H

#include "bind/core/error.h"
#include "switchyard/tensor.h"

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
/* Raises where t lies in a mapped file that changed: before values are shown, and after. */
void lsy_check_file(lua_State *L, const struct sy_tensor *t, const char *what);
/* Raises where t's bytes are not to be written. */
void lsy_check_writable(lua_State *L, const struct sy_tensor *t, const char *what);
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
/* "full: 0.5 does not fit into i32" */
void lsy_check_fits(lua_State *L, const char *what, enum sy_dtype d, double v);
/* Element i of the contiguous tensor t becomes the number or boolean at arg, exactly; or raises. */
void lsy_put(lua_State *L, const char *what, struct sy_tensor *t, int64_t i, int arg);
/* A copy with bytes of its own, without gradient, pushed.  [-0, +1, e] */
struct sy_tensor *lsy_copy(lua_State *L, struct sy_tensor *t);
/* The tensor at arg with its elements in row-major order from its first byte on, in memory: itself,
 * or a copy, pushed.  [-0, +(0|1), e] */
struct sy_tensor *lsy_dense(lua_State *L, int arg, const char *what);

#endif
