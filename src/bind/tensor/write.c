/* Writing into tensors: a[i] = v, a[{...}] = v, a[mask] = v, a:fill(v), and what
 * lua/tensor/select.lua needs for lists and masks.  Layer bind/tensor.
 *
 *  1. A value is a number or a tensor that broadcasts to what is written.  Numbers and tensors of
 *     other dtypes are converted; integers take only what they hold exactly: 0.5 into i32 is an
 *     error, and nothing is written.
 *  2. What shares the storage of what is written is copied first. */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "ops/op.h"

#include <math.h>
#include <string.h>

/* ---- strided copies of one dtype ---- */

#define COPY_LINE(T)                                                                               \
    for (int64_t i = 0; i < n; i++)                                                                \
    ((T *)(void *)to)[i * step_to] = ((const T *)(const void *)from)[i * step_from]

static void copy_line(char *to, int64_t step_to, const char *from, int64_t step_from, int64_t n,
                      size_t size)
{
    if (step_to == 1 && step_from == 1)
        memcpy(to, from, (size_t)n * size);
    else if (size == 1)
        COPY_LINE(uint8_t);
    else if (size == 2)
        COPY_LINE(uint16_t);
    else if (size == 4)
        COPY_LINE(uint32_t);
    else
        COPY_LINE(uint64_t);
}

/* Dimensions from dim on; strides of `from` are those of its broadcast to `to`'s shape. */
static void copy_dims(const struct sy_tensor *to, char *at, const struct sy_tensor *from,
                      const char *source, int dim)
{
    int64_t size = (int64_t)sy_dtype_size(to->dtype);
    if (dim == to->ndim) {
        memcpy(at, source, (size_t)size);
        return;
    }
    if (dim == to->ndim - 1) {
        copy_line(at, to->stride[dim], source, from->stride[dim], to->shape[dim], (size_t)size);
        return;
    }
    for (int64_t i = 0; i < to->shape[dim]; i++)
        copy_dims(to, at + i * to->stride[dim] * size, from, source + i * from->stride[dim] * size,
                  dim + 1);
}

/* `from` with the strides of its broadcast to `to`'s shape; false: it does not broadcast. */
static bool broadcast(struct sy_tensor *view, const struct sy_tensor *from,
                      const struct sy_tensor *to)
{
    int extra = to->ndim - from->ndim;
    *view = *from;
    view->ndim = to->ndim;
    for (int d = 0; d < to->ndim; d++) {
        int64_t own = d < extra ? 1 : from->shape[d - extra];
        if (own != 1 && own != to->shape[d])
            return false;
        view->shape[d] = to->shape[d];
        view->stride[d] = d < extra || own == 1 ? 0 : from->stride[d - extra];
    }
    return extra >= 0;
}

/* ---- values ---- */

bool lsy_fits(enum sy_dtype d, double v)
{
    switch (d) {
    case SY_U8:
        return v == trunc(v) && v >= 0 && v <= 255;
    case SY_I32:
        return v == trunc(v) && v >= INT32_MIN && v <= INT32_MAX;
    case SY_I64:
        return v == trunc(v) && v >= -0x1p63 && v < 0x1p63;
    default:
        return true;
    }
}

void lsy_check_fits(lua_State *L, const char *what, enum sy_dtype d, double v)
{
    if (!lsy_fits(d, v))
        lsy_error(L, "%s: %.14g does not fit into %s", what, v, sy_dtype_name(d));
}

void lsy_put(lua_State *L, const char *what, struct sy_tensor *t, int64_t i, int arg)
{
    double v = lua_isboolean(L, arg) ? lua_toboolean(L, arg) : lua_tonumber(L, arg);
    lsy_check_fits(L, what, t->dtype, v);
    if (t->dtype == SY_I64 && lua_isinteger(L, arg)) /* more digits than a double has */
        ((int64_t *)sy_data(t))[i] = lua_tointeger(L, arg);
    else
        sy_tensor_set(t, i, v);
}

/* The number or boolean at arg as a scalar of that dtype, on the stack. */
static struct sy_tensor *scalar(lua_State *L, int arg, enum sy_dtype d)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_scalar(d, 0, &err)))
        lsy_raise(L, &err);
    lsy_put(L, "assign", *slot, 0, arg);
    return *slot;
}

/* Computed at once and without a node, also in a trace; on the stack. */
static struct sy_tensor *cast(lua_State *L, struct sy_tensor *t, enum sy_dtype d)
{
    struct sy_attrs attrs = {.i = {d}};
    struct sy_err err = SY_ERR_INIT;
    struct sy_context *c = sy_context();
    struct sy_tensor **slot = lsy_new_tensor(L);
    int (*record)(void *, struct sy_node *, struct sy_err *) = c->record;
    bool no_grad = c->no_grad;
    c->record = NULL;
    c->no_grad = true;
    int rc = sy_apply(SY_OP_CAST_, &t, 1, &attrs, slot, &err);
    c->record = record;
    c->no_grad = no_grad;
    if (rc)
        lsy_raise(L, &err);
    return *slot;
}

struct sy_tensor *lsy_copy(lua_State *L, struct sy_tensor *t)
{
    return cast(L, t, t->dtype);
}

struct sy_tensor *lsy_dense(lua_State *L, int arg, const char *what)
{
    struct sy_tensor *t = lsy_check_data(L, arg, what, "the tensor");
    if (sy_tensor_contiguous(t) && !sy_dtype_stored(t->dtype) && !sy_tensor_file(t))
        return t;
    return lsy_copy(L, t);
}

/* t in another dtype, on the stack. */
static struct sy_tensor *converted(lua_State *L, struct sy_tensor *t, enum sy_dtype d)
{
    if (sy_dtype_stored(t->dtype) && d != SY_F32)
        t = cast(L, t, SY_F32);
    int64_t n = d == SY_U8 || d == SY_I32 || d == SY_I64 ? sy_tensor_count(t) : 0;
    for (int64_t i = 0; i < n; i++)
        lsy_check_fits(L, "assign", d, sy_tensor_get(t, i));
    return cast(L, t, d);
}

void lsy_assign(lua_State *L, struct sy_tensor *to, int arg)
{
    char a[128], b[128];
    struct sy_tensor view, *from;
    lsy_check_writable(L, to, "assign");
    if (lua_type(L, arg) == LUA_TNUMBER || lua_isboolean(L, arg))
        from = scalar(L, arg, to->dtype);
    else
        from = lsy_check_data(L, arg, "assign", "the value (a number or a tensor)");
    if (!broadcast(&view, from, to))
        lsy_error(L, "assign: shapes differ: left side is %s, right side is %s",
                  sy_shape_text(to->ndim, to->shape, a, sizeof a),
                  sy_shape_text(from->ndim, from->shape, b, sizeof b));
    if (from->dtype != to->dtype)
        from = converted(L, from, to->dtype);
    else if (from->storage == to->storage)
        from = lsy_copy(L, from);
    broadcast(&view, from, to);
    if (sy_tensor_count(to))
        copy_dims(to, sy_data(to), &view, sy_data(from), 0);
}

/* ---- places ---- */

/* Row i (from 0) of t, sharing its bytes, in *row: no allocation. */
static struct sy_tensor *row_at(struct sy_tensor *row, const struct sy_tensor *t, int64_t i)
{
    *row = *t;
    row->ndim--;
    row->offset += i * t->stride[0];
    memmove(row->shape, t->shape + 1, (size_t)row->ndim * sizeof *row->shape);
    memmove(row->stride, t->stride + 1, (size_t)row->ndim * sizeof *row->stride);
    return row;
}

/* Places as the rows' numbers from 0, in a block on the stack; all are looked at before any is
 * written. */
static int64_t *check_places(lua_State *L, const struct sy_tensor *places,
                             const struct sy_tensor *t)
{
    char text[128];
    int64_t n = sy_tensor_count(places), rows = t->ndim ? t->shape[0] : 0;
    int64_t *at = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *at, 0);
    if (places->dtype != SY_I32 && places->dtype != SY_I64 && places->dtype != SY_U8)
        lsy_error(L, "index: places are %s, must be i32, i64 or u8", sy_dtype_name(places->dtype));
    for (int64_t i = 0; i < n; i++) {
        at[i] = (int64_t)sy_tensor_get(places, i) - 1;
        if (at[i] < 0 || at[i] >= rows)
            lsy_error(L, "index: %lld is outside 1..%lld: the tensor is %s", (long long)at[i] + 1,
                      (long long)rows, sy_shape_text(t->ndim, t->shape, text, sizeof text));
    }
    return at;
}

/* engine.write_at(x, places, v): row places[i] of x becomes v, or v[i] of a tensor (n, ...); of a
 * place that is there twice the last counts. */
static int engine_write_at(lua_State *L)
{
    struct sy_tensor *x = lsy_check_data(L, 1, "assign", "the left side");
    struct sy_tensor *places = lsy_check_data(L, 2, "assign", "the index"), to, view;
    int64_t n = sy_tensor_count(places), *at = check_places(L, places, x);
    struct sy_tensor *from = lsy_test_tensor(L, 3);
    bool many = from != NULL;
    lsy_check_writable(L, x, "assign");
    if (!many)
        from = scalar(L, 3, x->dtype);
    else if (from->dtype != x->dtype)
        from = converted(L, from, x->dtype);
    else if (from->storage == x->storage)
        from = lsy_copy(L, from);
    for (int64_t i = 0; i < n; i++) {
        struct sy_tensor source;
        row_at(&to, x, at[i]);
        if (!broadcast(&view, many ? row_at(&source, from, i) : from, &to))
            return lsy_error(L, "assign: shapes differ");
        if (sy_tensor_count(&to))
            copy_dims(&to, sy_data(&to), &view, sy_data(&view), 0);
    }
    return 0;
}

/* The place of element i of t along each dimension, from 1. */
static void put_place(const struct sy_tensor *t, int64_t i, int32_t *to)
{
    for (int d = t->ndim - 1; d >= 0; i /= t->shape[d--])
        to[d] = (int32_t)(i % t->shape[d] + 1);
}

/* engine.places(t, flat) -> i32: where t is not 0, from 1: (n) in row-major order, or (n,
 * dimensions) */
static int engine_places(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = lsy_check_data(L, 1, "nonzero", "the tensor");
    bool flat = lua_toboolean(L, 2);
    if (sy_context()->record)
        return lsy_error(
            L, "nonzero: places depend on values, and a model's function is only recorded: it has "
               "none; mask:where(x, 0) keeps the shape");
    int64_t count = sy_tensor_count(t), n = 0, shape[2] = {0, t->ndim};
    if (count > INT32_MAX)
        return lsy_error(L, "nonzero: %lld elements: places are i32", (long long)count);
    for (int64_t i = 0; i < count; i++)
        n += sy_tensor_get(t, i) != 0;
    shape[0] = n;
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_empty(SY_I32, flat ? 1 : 2, shape, &err)))
        return lsy_raise(L, &err);
    int32_t *to = sy_data(*slot);
    for (int64_t i = 0, k = 0; i < count; i++) {
        if (sy_tensor_get(t, i) == 0)
            continue;
        if (flat)
            to[k] = (int32_t)i + 1;
        else
            put_place(t, i, to + k * t->ndim);
        k++;
    }
    return 1;
}

/* engine.shares(a, b) -> whether both have their elements in the same storage */
static int engine_shares(lua_State *L)
{
    struct sy_tensor *a = lsy_check_tensor(L, 1, "shares", "a"),
                     *b = lsy_check_tensor(L, 2, "shares", "b");
    lua_pushboolean(L, a->storage == b->storage);
    return 1;
}

static const luaL_Reg functions[] = {
    {"write_at", engine_write_at}, {"places", engine_places}, {"shares", engine_shares},
    {NULL, NULL}};

void lsy_open_write(lua_State *L) { lsy_add_functions(L, functions); }
