/* The userdata `tensor`: fields, indexing, metamethods, values in and out.  Layer bind/tensor.
 *
 *  1. A userdata holds one counted sy_tensor, or NULL while it is being made and after __close.
 *  2. a[i] is a view.  When nothing but one number is left of it, the number itself comes back,
 *     unless a gradient or a trace hangs on it: then it is a tensor of 0 dimensions.  Numbers have
 *     a method item() (see lua/prelude.lua), so a[2][3]:item() works in both cases.
 *  3. w.grad is the gradient (or nil) once w:grad(true) was called; before, it is that method.
 *  4. Lua's collector cannot see tensors' bytes: when the engine's memory has grown by a share of
 *     what was live after the last full collection, the next push collects (lsy_tensor_pressure).
 */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/core/state.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "base/hash.h"
#include "base/str.h"
#include "base/mem.h"
#include "ops/op.h"
#include "switchyard/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int tensor_gc(lua_State *L)
{
    struct sy_tensor **slot = luaL_checkudata(L, 1, LSY_TENSOR_META);
    struct sy_tensor *t = *slot;
    *slot = NULL;
    sy_tensor_unref(t);
    return 0;
}

/* ---- views: a[i] ---- */

/* Row i (0-based) of t along dimension 0, through the op so that gradients and traces follow. */
static struct sy_tensor *row_of(struct sy_tensor *t, int64_t i, struct sy_err *err)
{
    struct sy_attrs narrow = {.i = {0, i, 1}}, reshape = {.i = {t->ndim - 1}};
    struct sy_tensor *slice = NULL, *row = NULL;
    memcpy(&reshape.i[1], &t->shape[1], (size_t)(t->ndim - 1) * sizeof *t->shape);
    if (!sy_apply(SY_OP_NARROW_, &t, 1, &narrow, &slice, err))
        sy_apply(SY_OP_RESHAPE_, &slice, 1, &reshape, &row, err);
    sy_tensor_unref(slice);
    return row;
}

/* The same without a node, sharing bytes: for writing, and where no gradient is wanted. */
static struct sy_tensor *plain_row(struct sy_tensor *t, int64_t i, struct sy_err *err)
{
    return sy_tensor_over(t->storage, t->dtype, t->ndim - 1, t->shape + 1, t->stride + 1,
                          t->offset + i * t->stride[0], err);
}

static int64_t check_index(lua_State *L, int arg, const struct sy_tensor *t)
{
    char text[128];
    int ok;
    int64_t i = lua_tointegerx(L, arg, &ok);
    if (!t->ndim)
        lsy_error(L, "index: a scalar has no elements");
    if (!ok)
        lsy_error(L, "index: must be a whole number");
    if (i < 0)
        i += t->shape[0] + 1;
    if (i < 1 || i > t->shape[0])
        lsy_error(L, "index: %lld is outside 1..%lld: the tensor is %s%s",
                  (long long)lua_tointeger(L, arg), (long long)t->shape[0],
                  sy_shape_text(t->ndim, t->shape, text, sizeof text),
                  i == t->shape[0] + 1 ? " (pairs(a) ends at the last, ipairs(a) does not)" : "");
    return i - 1;
}

static void push_number(lua_State *L, const struct sy_tensor *t, int64_t i)
{
    if (sy_dtype_real(t->dtype))
        lua_pushnumber(L, sy_tensor_get(t, i));
    else if (t->dtype == SY_BOOL)
        lua_pushboolean(L, sy_tensor_get(t, i) != 0);
    else
        lua_pushinteger(L, (lua_Integer)sy_tensor_get_int(t, i));
}

static int index_number(lua_State *L, struct sy_tensor *t)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t i = check_index(L, 2, t);
    bool plain = sy_tensor_data(t) && !t->requires_grad && !sy_context()->record;
    lsy_check_file(L, t, "index");
    if (plain && t->ndim == 1) {
        struct sy_tensor one = *t; /* a stack view of the element: no allocation */
        one.ndim = 0;
        one.offset += i * t->stride[0];
        push_number(L, &one, 0);
        lsy_check_file(L, t, "index");
        return 1;
    }
    struct sy_tensor **slot = lsy_new_tensor(L);
    *slot = plain ? plain_row(t, i, &err) : row_of(t, i, &err);
    return *slot ? 1 : lsy_raise(L, &err);
}

/* ---- fields ---- */

static int apply_one(lua_State *L, enum sy_opcode code, struct sy_tensor *t,
                     const struct sy_attrs *attrs)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor **slot = lsy_new_tensor(L);
    return sy_apply(code, &t, 1, attrs, slot, &err) ? lsy_raise(L, &err) : 1;
}

static int push_shape(lua_State *L, const struct sy_tensor *t)
{
    lua_createtable(L, t->ndim, 0);
    for (int i = 0; i < t->ndim; i++) {
        lua_pushinteger(L, t->shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lsy_shape_list(L);
    return 1;
}

/* a.T: a matrix with rows and columns exchanged. */
static int push_transposed(lua_State *L, struct sy_tensor *t)
{
    char text[128];
    struct sy_attrs attrs = {.i = {2, 1, 0}};
    if (t->ndim != 2)
        return lsy_error(
            L,
            "T: needs a matrix: the tensor is %s; a:transpose(dim, dim) exchanges two dimensions",
            sy_shape_text(t->ndim, t->shape, text, sizeof text));
    return apply_one(L, SY_OP_PERMUTE_, t, &attrs);
}

static int push_field(lua_State *L, struct sy_tensor *t, const char *name)
{
    if (!strcmp(name, "T"))
        return push_transposed(L, t);
    if (!strcmp(name, "shape"))
        return push_shape(L, t);
    if (!strcmp(name, "dtype"))
        lua_pushstring(L, sy_dtype_name(t->dtype));
    else if (!strcmp(name, "size"))
        lua_pushinteger(L, sy_tensor_count(t));
    else if (!strcmp(name, "ndim"))
        lua_pushinteger(L, t->ndim);
    else if (!strcmp(name, "bytes"))
        lua_pushinteger(L, (lua_Integer)sy_tensor_bytes(t));
    else if (!strcmp(name, "mapped"))
        lua_pushboolean(L, sy_tensor_file(t) != NULL);
    else if (!strcmp(name, "requires_grad"))
        lua_pushboolean(L, t->requires_grad);
    else
        return 0;
    return 1;
}

static int unknown_field(lua_State *L, const char *name)
{
    const char *names[256] = {"shape", "dtype", "size",          "ndim",
                              "bytes", "grad",  "requires_grad", "T", "mapped"};
    int n = 9;
    lua_pushnil(L);
    while (n < 255 && lua_next(L, lua_upvalueindex(1))) {
        names[n++] = lua_tostring(L, -2);
        lua_pop(L, 1);
    }
    const char *phrase = lsy_foreign(L, "member", name);
    if (phrase)
        return lsy_error(L, "tensor: no field or method '%s'; %s", name, phrase);
    const char *near = sy_nearest(name, names);
    return near ? lsy_error(L, "tensor: no field or method '%s' (did you mean '%s'?)", name, near)
                : lsy_error(L, "tensor: no field or method '%s'", name);
}

/* A list of selectors, or a tensor of places or of truth values. */
static bool is_selection(lua_State *L, int arg)
{
    return lua_istable(L, arg) || lsy_test_tensor(L, arg);
}

/* __index; upvalue 1: the table of methods. */
static int tensor_index(lua_State *L)
{
    struct sy_tensor *t = lsy_check_tensor(L, 1, "index", "the indexed value");
    if (lua_type(L, 2) == LUA_TNUMBER)
        return index_number(L, t);
    if (is_selection(L, 2)) {
        lsy_push_function(L, "switchyard.tensor.select", "index");
        lua_insert(L, 1);
        lua_call(L, 2, 1);
        return 1;
    }
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    if (name && t->requires_grad && !t->node && !strcmp(name, "grad")) {
        lsy_push_tensor_ref(L, sy_tensor_grad(t));
        return 1;
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    if (!name)
        return lsy_error(L, "index: must be an integer or a name: it is a %s", luaL_typename(L, 2));
    return push_field(L, t, name) ? 1 : unknown_field(L, name);
}

/* ---- writing (see write.c) ---- */

/* a[i] = number or tensor, a[{...}] and a[mask] too (lua/tensor/select.lua); a.grad = nil. */
static int tensor_newindex(lua_State *L)
{
    struct sy_tensor *t = lsy_check_tensor(L, 1, "assign", "the left side");
    struct sy_err err = SY_ERR_INIT;
    if (lua_type(L, 2) == LUA_TSTRING && !strcmp(lua_tostring(L, 2), "grad") && lua_isnil(L, 3)) {
        sy_tensor_unref(t->grad);
        t->grad = NULL;
        return 0;
    }
    bool selection = is_selection(L, 2);
    if (lua_type(L, 2) != LUA_TNUMBER && !selection)
        return lsy_error(L, "assign: only elements (a[i] = ..., a[{...}], a[mask]) and a.grad = "
                            "nil can be assigned");
    lsy_check_data(L, 1, "assign", "the left side");
    if (t->node)
        return lsy_error(L, "assign: the tensor is the result of an operation with a gradient");
    if (selection) {
        lsy_push_function(L, "switchyard.tensor.select", "assign");
        lua_insert(L, 1);
        lua_call(L, 3, 0);
        return 0;
    }
    int64_t i = check_index(L, 2, t);
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = plain_row(t, i, &err)))
        return lsy_raise(L, &err);
    lsy_assign(L, *slot, 3);
    return 0;
}

static int tensor_fill(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "fill", "the tensor");
    lsy_assign(L, t, 2);
    lua_settop(L, 1);
    return 1;
}

/* ---- values out ---- */

static int tensor_item(lua_State *L)
{
    char text[128];
    struct sy_tensor *t = lsy_check_data(L, 1, "item", "the tensor");
    if (sy_tensor_count(t) != 1)
        return lsy_error(L, "item: the tensor must hold one element: it is %s",
                         sy_shape_text(t->ndim, t->shape, text, sizeof text));
    push_number(L, t, 0);
    lsy_check_file(L, t, "item");
    return 1;
}

static int64_t push_nested(lua_State *L, const struct sy_tensor *t, int dim, int64_t at)
{
    if (dim == t->ndim) {
        push_number(L, t, at);
        return at + 1;
    }
    luaL_checkstack(L, 3, "table");
    int64_t n = t->shape[dim];
    lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
    for (int64_t i = 0; i < n; i++) {
        at = push_nested(L, t, dim + 1, at);
        lua_rawseti(L, -2, i + 1);
    }
    return at;
}

static int tensor_table(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "table", "the tensor");
    push_nested(L, t, 0, 0);
    lsy_check_file(L, t, "table");
    if (lua_istable(L, -1))
        lsy_list(L);
    return 1;
}

static int tensor_hash(lua_State *L)
{
    char hex[17];
    struct sy_tensor *t = lsy_dense(L, 1, "hash");
    sy_hash_hex(sy_hash_bytes(sy_data(t), sy_tensor_bytes(t)), hex);
    lua_pushstring(L, hex);
    return 1;
}

static int tensor_equal(lua_State *L)
{
    struct sy_tensor *a = lsy_check_data(L, 1, "equal", "a"),
                     *b = lsy_check_data(L, 2, "equal", "b");
    bool same = sy_tensor_same_shape(a, b), whole = a->dtype == SY_I64 && b->dtype == SY_I64;
    int64_t n = same ? sy_tensor_count(a) : 0;
    for (int64_t i = 0; same && i < n; i++)
        same = whole ? sy_tensor_get_int(a, i) == sy_tensor_get_int(b, i)
                     : sy_tensor_get(a, i) == sy_tensor_get(b, i);
    lsy_check_file(L, a, "equal");
    lsy_check_file(L, b, "equal");
    lua_pushboolean(L, same);
    return 1;
}

static int tensor_allclose(lua_State *L)
{
    struct sy_tensor *a = lsy_check_data(L, 1, "allclose", "a");
    struct sy_tensor *b = lsy_check_data(L, 2, "allclose", "b");
    double rtol = luaL_optnumber(L, 3, 1e-5), atol = luaL_optnumber(L, 4, 1e-8);
    bool close = sy_tensor_same_shape(a, b);
    int64_t n = close ? sy_tensor_count(a) : 0;
    for (int64_t i = 0; close && i < n; i++) {
        double x = sy_tensor_get(a, i), y = sy_tensor_get(b, i);
        close = x == y || fabs(x - y) <= atol + rtol * fabs(y); /* NaN is close to nothing */
        if (isinf(x) || isinf(y))
            close = x == y;
    }
    lsy_check_file(L, a, "allclose");
    lsy_check_file(L, b, "allclose");
    lua_pushboolean(L, close);
    return 1;
}

/* ---- views by hand: what counts from 1, or takes a form of its own ---- */

/* a:narrow(dim, first, n) */
static int tensor_narrow(lua_State *L)
{
    struct sy_tensor *t = lsy_check_tensor(L, 1, "narrow", "the tensor");
    struct sy_attrs attrs = {0};
    int dim = lsy_check_dim(L, 2, "narrow", t);
    int64_t size = t->shape[dim];
    int64_t first = lsy_check_int(L, 3, "narrow", "first", -size, size + 1);
    first = first < 0 ? first + size : first - 1;
    if (first < 0)
        return lsy_error(L, "narrow: first is 0: elements count from 1");
    attrs.i[0] = dim;
    attrs.i[1] = first;
    attrs.i[2] = lsy_check_int(L, 4, "narrow", "n", 0, size - first);
    return apply_one(L, SY_OP_NARROW_, t, &attrs);
}

/* a:transpose(dim, dim), the last two unless given */
static int tensor_transpose(lua_State *L)
{
    struct sy_tensor *t = lsy_check_tensor(L, 1, "transpose", "the tensor");
    struct sy_attrs attrs = {.i = {t->ndim}};
    char text[128];
    if (t->ndim < 2 && lua_isnoneornil(L, 2))
        return lsy_error(L, "transpose: needs two dimensions: the tensor is %s",
                         sy_shape_text(t->ndim, t->shape, text, sizeof text));
    int a = lua_isnoneornil(L, 2) ? t->ndim - 2 : lsy_check_dim(L, 2, "transpose", t);
    int b = lua_isnoneornil(L, 2) ? t->ndim - 1 : lsy_check_dim(L, 3, "transpose", t);
    for (int i = 0; i < t->ndim; i++)
        attrs.i[1 + i] = i == a ? b : i == b ? a : i;
    return apply_one(L, SY_OP_PERMUTE_, t, &attrs);
}

/* ---- gradients ---- */

static int tensor_grad(lua_State *L)
{
    struct sy_tensor *t = lsy_check_tensor(L, 1, "grad", "the tensor");
    bool on = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
    if (t->dtype != SY_F32 && t->dtype != SY_F64)
        return lsy_error(L, "grad: only f32 and f64 can have a gradient: the tensor is %s",
                         sy_dtype_name(t->dtype));
    if (t->node)
        return lsy_error(L, "grad: the tensor is the result of an operation; ask at its inputs");
    sy_tensor_set_requires_grad(t, on);
    lua_settop(L, 1);
    return 1;
}

/* w:grad(on) reads w.grad first, and that may be the gradient: so calling a gradient is that
 * method. */
static int tensor_call(lua_State *L)
{
    struct sy_tensor *called = lsy_test_tensor(L, 1), *w = lsy_test_tensor(L, 2);
    if (!w || sy_tensor_grad(w) != called)
        return lsy_error(
            L,
            "a tensor cannot be called; elements are a[i], for i, x in pairs(a) goes through them");
    lua_remove(L, 1);
    return tensor_grad(L);
}

static int tensor_backward(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = lsy_check_tensor(L, 1, "backward", "the tensor");
    return sy_tensor_backward(t, &err) ? lsy_raise(L, &err) : 0;
}

static int tensor_detach(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = lsy_check_data(L, 1, "detach", "the tensor");
    struct sy_tensor **slot = lsy_new_tensor(L);
    return (*slot = sy_tensor_alias(t, &err)) ? 1 : lsy_raise(L, &err);
}

static int tensor_clone(lua_State *L)
{
    lsy_copy(L, lsy_check_data(L, 1, "clone", "the tensor"));
    return 1;
}

/* ---- metamethods ---- */

static int tensor_len(lua_State *L)
{
    struct sy_tensor *t = lsy_check_tensor(L, 1, "#", "the operand");
    lua_pushinteger(L, t->ndim ? t->shape[0] : 0);
    return 1;
}

/* a == b, of two tensors: the same one, or equal in shape and all elements.  What is only recorded
 * has none. */
static int tensor_eq(lua_State *L)
{
    struct sy_tensor *a = lsy_test_tensor(L, 1), *b = lsy_test_tensor(L, 2);
    if (a == b || !a || !b || !sy_tensor_data(a) || !sy_tensor_data(b)) {
        lua_pushboolean(L, a == b);
        return 1;
    }
    return tensor_equal(L);
}

/* pairs(a): i and a[i] */
static int next_row(lua_State *L)
{
    struct sy_tensor *t = lsy_check_tensor(L, 1, "pairs", "the tensor");
    lua_Integer i = luaL_optinteger(L, 2, 0) + 1;
    if (!t->ndim || i > t->shape[0])
        return 0;
    lua_pushinteger(L, i);
    lua_geti(L, 1, i);
    return 2;
}

static int tensor_pairs(lua_State *L)
{
    lua_pushcfunction(L, next_row);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* A number, or a tensor of one element, as a number. */
static double scalar_at(lua_State *L, int arg, const char *what)
{
    char text[128];
    if (lua_type(L, arg) == LUA_TNUMBER)
        return lua_tonumber(L, arg);
    struct sy_tensor *t = lsy_check_data(L, arg, what, "an operand");
    if (sy_tensor_count(t) != 1)
        lsy_error(L, "%s: only tensors of one element can be compared so: it is %s; a:lt(b) and "
                     "a:le(b) compare elementwise", what,
                  sy_shape_text(t->ndim, t->shape, text, sizeof text));
    return sy_tensor_get(t, 0);
}

static int tensor_lt(lua_State *L)
{
    lua_pushboolean(L, scalar_at(L, 1, "<") < scalar_at(L, 2, "<"));
    return 1;
}

static int tensor_le(lua_State *L)
{
    lua_pushboolean(L, scalar_at(L, 1, "<=") <= scalar_at(L, 2, "<="));
    return 1;
}

static int tensor_tostring(lua_State *L)
{
    struct sy_tensor *t = lsy_test_tensor(L, 1);
    if (t)
        lsy_tensor_text(L, t);
    else
        lua_pushliteral(L, "tensor (closed)");
    return 1;
}

static int tensor_concat(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    luaL_tolstring(L, 2, NULL);
    lua_concat(L, 2);
    return 1;
}

static const luaL_Reg metamethods[] = {{"__gc", tensor_gc},
                                       {"__close", tensor_gc},
                                       {"__newindex", tensor_newindex},
                                       {"__call", tensor_call},
                                       {"__len", tensor_len},
                                       {"__pairs", tensor_pairs},
                                       {"__eq", tensor_eq},
                                       {"__lt", tensor_lt},
                                       {"__le", tensor_le},
                                       {"__concat", tensor_concat},
                                       {"__tostring", tensor_tostring},
                                       {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"item", tensor_item},     {"table", tensor_table},       {"hash", tensor_hash},
    {"equal", tensor_equal},   {"allclose", tensor_allclose}, {"grad", tensor_grad},
    {"fill", tensor_fill},     {"backward", tensor_backward}, {"detach", tensor_detach},
    {"narrow", tensor_narrow},   {"transpose", tensor_transpose},
    {"clone", tensor_clone},   {NULL, NULL}};

/* -a reaches Lua with the operand twice. */
static int tensor_unm(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* Operators are the rows themselves.  Stack: metatable, methods. */
static void set_operators(lua_State *L)
{
    static const char *const names[][2] = {{"__add", "add"},  {"__sub", "sub"}, {"__mul", "mul"},
                                           {"__div", "div"},  {"__pow", "pow"}, {"__mod", "mod"},
                                           {"__idiv", "idiv"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lua_getfield(L, -1, names[i][1]);
        lua_setfield(L, -3, names[i][0]);
    }
    lua_getfield(L, -1, "neg");
    lua_pushcclosure(L, tensor_unm, 1);
    lua_setfield(L, -3, "__unm");
}

static const struct lsy_doc docs[] = {
    {"tensor",
     "a[i]  a[{i, {first, last}, {}}]  a[mask]  a[places]  a.shape  a.dtype  a.size  a.ndim  a.T  "
     "#a",
     "Arrays of f32 (the default), f64, bf16, i32, i64, u8 or bool (and f16, q8_0, mxfp4: see "
     "?cast) with up to 8 dimensions, counted 1..n or -1..-n from the end. a[i] is row "
     "i, a view; a[i][j] of a matrix is a number. a[{...}] has a selector for each of "
     "the first dimensions: a number, a range {first, last} with both ends or {first, "
     "last, step}, {} for all, or a tensor of places; numbers and ranges give a view. a[mask] has "
     "the elements "
     "where a bool tensor is true, a[places] those rows. All can be written: a[{{}, 2}] = x, of a "
     "number or "
     "a tensor that broadcasts. Operators + - * / ^ % // work elementwise with broadcasting, & | ~ "
     "on truth "
     "values; a:eq(b), a:lt(b) compare elementwise; a == b is whether all "
     "elements of two tensors are equal (of a tensor and a number it is false: a:item() == 5). for "
     "i, x in pairs(a) goes "
     "through the rows. a.T is a matrix transposed.",
     "a = tensor.randn(4, 3, {seed = 1})\na[2][3]\na[{{2, 3}, -1}]\na[a:lt(0)] = 0\n(a * "
     "2):sum(1)"},
    {"tensor:item", "a:item() -> number", "The one element of a as a number.",
     "tensor{1, 2, 3}:sum():item()"},
    {"tensor:table", "a:table() -> table", "The elements as nested tables.",
     "tensor.eye(2):table()"},
    {"tensor:hash", "a:hash() -> string",
     "16 hex digits of the elements' bytes in row-major order.", "tensor.zeros(3):hash()"},
    {"tensor:equal", "a:equal(b) -> boolean",
     "True when shapes and all elements are equal; a NaN equals nothing.",
     "tensor.ones(2):equal(tensor.full({2}, 1))"},
    {"tensor:allclose", "a:allclose(b, rtol, atol) -> boolean",
     "True when shapes are equal and |a - b| <= atol + rtol * |b| everywhere. rtol is 1e-5 and "
     "atol "
     "1e-8 unless given.",
     "tensor.ones(2):allclose(tensor.ones(2) * 1.000001)"},
    {"tensor:grad", "a:grad(on) -> a",
     "Ask for a's gradient. After y:backward() it is in a.grad (nil before), which "
     "a.grad = nil clears. tensor.grad(a, false) ends it.",
     "w = tensor.randn(3, 3):grad(true)\n(w * w):sum():backward()\nw.grad"},
    {"tensor:backward", "y:backward()",
     "Add the gradient of the scalar y to the .grad of every tensor that asked for one.", NULL},
    {"tensor:detach", "a:detach() -> tensor", "The same elements without gradient.", NULL},
    {"tensor:narrow", "a:narrow(dim, first, n) -> tensor",
     "The n elements along dim from the first-th on; a view.", "tensor.arange(10):narrow(1, 3, 4)"},
    {"tensor:transpose", "a:transpose(dim, dim) -> tensor",
     "Two dimensions exchanged (the last two unless given); a view.",
     "tensor.zeros(2, 3):transpose(1, 2).shape"},
    {"tensor:clone", "a:clone() -> tensor", "A copy with bytes of its own.", NULL},
    {"tensor:fill", "a:fill(x) -> a",
     "Write a number into all elements, or a tensor that broadcasts to a's shape. Errors: a number "
     "that an integer "
     "dtype cannot hold.",
     "tensor.zeros(2, 2):fill(7)"},
};

void lsy_open_tensor(lua_State *L)
{
    luaL_newmetatable(L, LSY_TENSOR_META);
    lsy_state(L)->tensor_meta = lua_topointer(L, -1);
    luaL_setfuncs(L, metamethods, 0);
    lua_newtable(L); /* methods: the rows of the op table, then what is written by hand */
    lsy_ops_fill(L, false);
    luaL_setfuncs(L, methods, 0);
    set_operators(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, tensor_index, 1);
    lua_setfield(L, -3, "__index");
    lua_pushliteral(L, "tensor");
    lua_setfield(L, -3, "__metatable");
    lua_newtable(L); /* the global: every method is a function too */
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_settable(L, -4);
    }
    lua_setglobal(L, "tensor");
    lua_pop(L, 2);
    LSY_DOCS(L, docs);
}
