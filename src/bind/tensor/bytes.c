/* Tensors' elements for the embedded library: filled, copied, put, without an operation.  Layer
 * bind/tensor. */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "base/rng.h"
#include "tensor/tensor.h"

#include <string.h>

enum init { NORMAL, ZEROS, ONES };

static enum init read_init(lua_State *L, int arg)
{
    static const char *const names[] = {[NORMAL] = "", [ZEROS] = "zeros", [ONES] = "ones"};
    const char *name = lua_isnoneornil(L, arg) || lua_isnumber(L, arg) ? "" : lua_tostring(L, arg);
    for (int i = NORMAL; name && i <= ONES; i++)
        if (!strcmp(name, names[i]))
            return (enum init)i;
    return (enum init)lsy_error(L, "param: init must be a number, \"zeros\" or \"ones\": it is %s",
                                luaL_tolstring(L, arg, NULL));
}

/* engine.fill(tensor, init, seed, index): what nn.param's init says.  A number (nil: 0.02): normal
 * with mean 0 and that deviation, element i a function of (seed, index, i); "zeros"; "ones" */
static int l_fill(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "fill", "tensor");
    enum init init = read_init(L, 2);
    float std = lua_isnumber(L, 2) ? (float)lua_tonumber(L, 2) : 0.02F;
    struct sy_rng r = {.seed = (uint64_t)luaL_checkinteger(L, 3), .purpose = SY_RNG_INIT,
                       .step = (uint64_t)luaL_checkinteger(L, 4)};
    float *x = sy_data(t);
    int64_t n = sy_tensor_count(t);
    lsy_check_writable(L, t, "fill");
    if (t->dtype != SY_F32 || !sy_tensor_contiguous(t))
        return lsy_error(L, "fill: the tensor must be contiguous f32");
    if (init == NORMAL)
        sy_rng_fill_normal(&r, 0, x, n);
    for (int64_t i = 0; i < n; i++)
        x[i] = init == NORMAL ? x[i] * std : init == ONES;
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
