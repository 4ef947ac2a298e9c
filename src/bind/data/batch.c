/* Batches for the embedded library: what training and evaluations draw from a data set, by the
 * sampler (switchyard/data.h).  Layer bind/data. */
#include "bind/core/error.h"
#include "bind/core/args.h"
#include "bind/core/handle.h"
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

/* The fields of a table {name = tensor} at arg, all contiguous and of one shape (B,T): where the
 * sampler puts them, and the sampler's shape. */
static struct sy_batch check_fields(lua_State *L, int arg, struct sy_sampler *s)
{
    struct sy_batch b = {.scale = 1};
    const struct sy_tensor *first = NULL;
    luaL_checktype(L, arg, LUA_TTABLE);
    for (int f = 0; f < SY_FIELD_COUNT; f++) {
        const struct sy_field_spec *spec = sy_field_spec((enum sy_field)f);
        const char *missing = sy_field_missing((enum sy_field)f, s->corpus);
        if (lua_getfield(L, arg, spec->name) != LUA_TNIL) {
            struct sy_tensor *x = lsy_check_data(L, -1, "batch", spec->name);
            if (x->ndim != 2 || x->dtype != spec->dtype || !sy_tensor_contiguous(x) ||
                (first && !sy_tensor_same_shape(x, first)))
                lsy_error(L, "batch: %s must be contiguous %s of the shape (B, T) of all",
                          spec->name, sy_dtype_name(spec->dtype));
            if (missing)
                lsy_error(L, "batch: %s: %s", spec->name, missing);
            b.at[f] = sy_data(x);
            first = x;
        }
        lua_pop(L, 1);
    }
    if (!first)
        lsy_error(L, "batch: there are no fields");
    s->batch = first->shape[0];
    s->context = first->shape[1];
    return b;
}

/* engine.fields() -> {name = {dtype=, alone=, help=}}: the fields of a batch */
static int l_fields(lua_State *L)
{
    lua_createtable(L, 0, SY_FIELD_COUNT);
    for (int f = 0; f < SY_FIELD_COUNT; f++) {
        const struct sy_field_spec *spec = sy_field_spec((enum sy_field)f);
        lua_createtable(L, 0, 3);
        lsy_set_text(L, "dtype", sy_dtype_name(spec->dtype));
        lsy_set_number(L, "alone", spec->alone);
        lsy_set_text(L, "help", spec->help);
        lua_setfield(L, -2, spec->name);
    }
    return 1;
}

/* engine.field_missing(corpus, name) -> why the data cannot give the field, or nil */
static int l_field_missing(lua_State *L)
{
    int f = sy_field_find(luaL_checkstring(L, 2));
    if (f < 0)
        return lsy_error(L, "batch: there is no field '%s'", lua_tostring(L, 2));
    lua_pushstring(L, sy_field_missing((enum sy_field)f, lsy_check_corpus(L, 1)));
    return 1;
}

/* engine.batch(corpus, seed, windows, {field = tensor (B,T)}): what training by sampling "random"
 * draws after so many windows */
static int l_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1),
                           .seed = (uint64_t)luaL_checkinteger(L, 2)};
    struct sy_place place = {.windows = (uint64_t)luaL_checkinteger(L, 3)};
    struct sy_batch b = check_fields(L, 4, &s);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    if (b.at[SY_FIELD_WEIGHTS])
        b.scale = sy_sampler_scale(&s, &place, s.batch);
    sy_sampler_batch(&s, &place, 0, &b);
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

/* engine.eval_batch(corpus, first, end, {field = tensor (B,T)}): windows first .. end-1, from 0, of
 * an evaluation of `end`, as far as there are rows; surplus rows have targets -1.  -> how many
 * windows it has filled */
static int l_eval_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t first = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3);
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .split = SY_SPLIT_VAL};
    struct sy_batch b = check_fields(L, 4, &s);
    if (first < 0 || end <= first)
        return lsy_error(L, "batch: windows %d to %d: there are none", (int)first, (int)end);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    if (b.at[SY_FIELD_WEIGHTS])
        b.scale = sy_eval_scale(&s, end);
    sy_eval_batch(&s, first, end, &b);
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

static const luaL_Reg functions[] = {{"batch", l_batch}, {"fields", l_fields},
                                     {"field_missing", l_field_missing},
                                     {"eval_batch", l_eval_batch},
                                     {"eval_windows", l_eval_windows},
                                     {"is_data", l_is_data},
                                     {"check_batch", l_check_batch},
                                     {NULL, NULL}};

void lsy_open_batch(lua_State *L) { lsy_add_functions(L, functions); }
