/* Tensors' elements for the embedded library: filled, copied, put, without an operation.  Layer
 * bind/tensor. */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "base/hash.h"
#include "tensor/init.h"
#include "tensor/tensor.h"

#include <string.h>

/* A number (nil: 0.02) is a normal's deviation; "zeros", "ones"; {"normal", scale} and its like. */
static enum sy_init read_init(lua_State *L, int arg, double *scale)
{
    const bool number = lua_isnoneornil(L, arg) || lua_type(L, arg) == LUA_TNUMBER;
    *scale = number ? luaL_optnumber(L, arg, 0.02) : 0;
    if (number)
        return SY_INIT_NORMAL;
    if (lua_istable(L, arg)) {
        lua_geti(L, arg, 2);
        *scale = lua_tonumber(L, -1);
        lua_geti(L, arg, 1);
    } else {
        lua_pushvalue(L, arg);
    }
    const char *name = lua_tostring(L, -1);
    for (int i = 0; name && i < SY_INIT_COUNT; i++)
        if (!strcmp(name, sy_init_name((enum sy_init)i)))
            return (enum sy_init)i;
    return (enum sy_init)lsy_error(L, "param: no init '%s'", name ? name : "nil");
}

/* engine.fill(tensor, init, seed, index, name): what nn.param's init says, each element a function
 * of (seed, its place) and of the parameter: of its index where init is a number, else of its name.
 */
static int l_fill(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "fill", "tensor");
    double scale;
    enum sy_init init = read_init(L, 2, &scale);
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 3), key = (uint64_t)luaL_checkinteger(L, 4);
    struct sy_err err = {0};
    size_t n;
    lsy_check_writable(L, t, "fill");
    if (t->dtype != SY_F32 || !sy_tensor_contiguous(t))
        return lsy_error(L, "fill: the tensor must be contiguous f32");
    if (lua_istable(L, 2)) {
        const char *name = luaL_checklstring(L, 5, &n);
        key = sy_hash_bytes(name, n);
    }
    if (sy_init_fill(t, init, scale, seed, key, &err))
        return lsy_raise(L, &err);
    return 0;
}

/* engine.copy(to, from): bytes of equal dtype and shape; engine for writing inputs */
static int l_copy(lua_State *L)
{
    struct sy_tensor *to = lsy_check_data(L, 1, "copy", "to");
    struct sy_tensor *from = lsy_check_data(L, 2, "copy", "from");
    lsy_check_writable(L, to, "copy");
    if (to->dtype != from->dtype || sy_tensor_bytes(to) != sy_tensor_bytes(from) ||
        !sy_tensor_contiguous(to) || !sy_tensor_contiguous(from))
        return lsy_error(L, "copy: dtypes, sizes or layouts differ");
    memcpy(sy_data(to), sy_data(from), sy_tensor_bytes(to));
    return 0;
}

/* engine.has_values(tensor): false for what is only recorded */
static int l_has_values(lua_State *L)
{
    lua_pushboolean(L, sy_tensor_data(lsy_check_tensor(L, 1, "has_values", "tensor")) != NULL);
    return 1;
}

/* engine.put(tensor, {numbers}) from the first element on */
static int l_put(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "put", "tensor");
    int64_t n = luaL_len(L, 2);
    lsy_check_writable(L, t, "put");
    if (n > sy_tensor_count(t))
        return lsy_error(L, "put: %d numbers into a tensor of %d", (int)n, (int)sy_tensor_count(t));
    for (int64_t i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1);
        sy_tensor_set(t, i, lua_tonumber(L, -1));
        lua_pop(L, 1);
    }
    return 0;
}

/* engine.clone(t) -> contiguous copy with bytes of its own */
static int l_clone(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "clone", "tensor");
    if (!sy_tensor_contiguous(t))
        return lsy_error(L, "clone: the tensor must be contiguous");
    lsy_copy(L, t);
    return 1;
}

static const luaL_Reg functions[] = {{"fill", l_fill},   {"copy", l_copy},
                                     {"put", l_put},     {"has_values", l_has_values},
                                     {"clone", l_clone}, {NULL, NULL}};

void lsy_open_bytes(lua_State *L) { lsy_add_functions(L, functions); }
