/* Batches for the embedded library: what training and evaluations draw from a data set, by the
 * sampler (switchyard/data.h).  Layer bind/data. */
#include "bind/core/error.h"
#include "bind/core/args.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/data/open.h"
#include "bind/tensor/tensor.h"

#include "tensor/tensor.h"

/* engine.is_data(value) -> whether it is a data set */
static int l_is_data(lua_State *L)
{
    lua_pushboolean(L, luaL_testudata(L, 1, LSY_DATA_META) != NULL);
    return 1;
}

/* Contiguous (B,T) i32, of the shape of `like` unless that is NULL. */
static struct sy_tensor *check_ids(lua_State *L, int arg, const struct sy_tensor *like)
{
    struct sy_tensor *x = lsy_check_data(L, arg, "batch", "ids");
    if (x->ndim != 2 || x->dtype != SY_I32 || !sy_tensor_contiguous(x) ||
        (like && !sy_tensor_same_shape(x, like)))
        lsy_error(L, "batch: tokens, targets and documents must be contiguous i32 of one shape (B, T)");
    return x;
}

/* engine.batch(corpus, seed, windows, tokens, targets): what training by sampling "random" draws
 * after so many windows, into two i32 tensors (B,T) */
static int l_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *x = check_ids(L, 4, NULL), *y = check_ids(L, 5, x);
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = x->shape[0],
                           .context = x->shape[1], .seed = (uint64_t)luaL_checkinteger(L, 2)};
    struct sy_place place = {.windows = (uint64_t)luaL_checkinteger(L, 3)};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    sy_sampler_batch(&s, &place, 0, sy_data(x), sy_data(y), NULL);
    return 0;
}

/* engine.eval_windows(corpus, T, batches) -> windows of an evaluation of so many batches */
static int l_eval_windows(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = 1, .split = SY_SPLIT_VAL,
                           .context = luaL_checkinteger(L, 2)};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    lua_pushinteger(L, sy_eval_windows(&s, lsy_check_int(L, 3, "loss", "batches", 1, INT64_MAX)));
    return 1;
}

/* engine.eval_batch(corpus, first, end, tokens, targets, documents or nil): windows first .. end-1,
 * from 0, as far as there are rows; surplus rows have targets -1.  -> how many windows it has
 * filled */
static int l_eval_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *x = check_ids(L, 4, NULL), *y = check_ids(L, 5, x);
    struct sy_tensor *documents = lua_isnoneornil(L, 6) ? NULL : check_ids(L, 6, x);
    int64_t first = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3);
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = x->shape[0],
                           .context = x->shape[1], .split = SY_SPLIT_VAL};
    if (first < 0 || end <= first)
        return lsy_error(L, "batch: windows %d to %d: there are none", (int)first, (int)end);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    sy_eval_batch(&s, first, end, sy_data(x), sy_data(y), documents ? sy_data(documents) : NULL);
    lua_pushinteger(L, end - first < s.batch ? end - first : s.batch);
    return 1;
}

/* engine.check_batch(corpus, B, T): raises when the training text is shorter than a window */
static int l_check_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = luaL_checkinteger(L, 2),
                           .context = luaL_checkinteger(L, 3), .split = SY_SPLIT_TRAIN};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    return 0;
}

static const luaL_Reg functions[] = {{"batch", l_batch},
                                     {"eval_batch", l_eval_batch},
                                     {"eval_windows", l_eval_windows},
                                     {"is_data", l_is_data},
                                     {"check_batch", l_check_batch},
                                     {NULL, NULL}};

void lsy_open_batch(lua_State *L) { lsy_add_functions(L, functions); }
