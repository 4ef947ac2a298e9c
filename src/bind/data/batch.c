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

#include <math.h>

/* engine.is_data(value) -> whether it is a data set */
static int l_is_data(lua_State *L)
{
    lua_pushboolean(L, luaL_testudata(L, 1, LSY_DATA_META) != NULL);
    return 1;
}

static const char *const lengths[] = { /* by enum sy_length */
#define X(id, name) name,
    SY_LENGTH_MAP(X)
#undef X
};

/* The field of a batch whose tensor is on the top: contiguous, of B rows.  T and S are what
 * the first of them has. */
static void *check_field(lua_State *L, enum sy_field f, struct sy_sampler *s)
{
    const struct sy_field_spec *spec = sy_field_spec(f);
    struct sy_tensor *x = lsy_check_data(L, -1, "batch", spec->name);
    int64_t *each = spec->length == SY_LENGTH_CONTEXT ? &s->context
                    : spec->length == SY_LENGTH_INPUT ? &s->inputs
                                                      : NULL;
    if (x->ndim != (each ? 2 : 1) || x->dtype != spec->dtype || !sy_tensor_contiguous(x) ||
        (s->batch && x->shape[0] != s->batch) || (each && *each && x->shape[1] != *each))
        lsy_error(L, "batch: %s must be contiguous %s of the shape (%s) of all", spec->name,
                  sy_dtype_name(spec->dtype),
                  !each ? "B" : spec->length == SY_LENGTH_INPUT ? "B, S" : "B, T");
    s->batch = x->shape[0];
    if (each)
        *each = x->shape[1];
    return sy_data(x);
}

/* The fields of a table {name = tensor} at arg: where the sampler puts them, and the sampler's
 * shape. */
static struct sy_batch check_fields(lua_State *L, int arg, struct sy_sampler *s)
{
    struct sy_batch b = {.scale = 1};
    luaL_checktype(L, arg, LUA_TTABLE);
    for (int f = 0; f < SY_FIELD_COUNT; f++) {
        const char *name = sy_field_spec((enum sy_field)f)->name;
        const char *missing = sy_field_missing((enum sy_field)f, s);
        if (lua_getfield(L, arg, name) != LUA_TNIL) {
            b.at[f] = check_field(L, (enum sy_field)f, s);
            if (missing)
                lsy_error(L, "batch: %s: %s", name, missing);
        }
        lua_pop(L, 1);
    }
    if (!s->context)
        lsy_error(L, "batch: there are no fields of the shape (B, T)");
    return b;
}

/* engine.fields() -> {name = {dtype=, length=, alone= (nil: none), help=}}: the fields of a batch;
 * length: "context", "input" or "row" */
static int l_fields(lua_State *L)
{
    lua_createtable(L, 0, SY_FIELD_COUNT);
    for (int f = 0; f < SY_FIELD_COUNT; f++) {
        const struct sy_field_spec *spec = sy_field_spec((enum sy_field)f);
        lua_createtable(L, 0, 4);
        lsy_set_text(L, "dtype", sy_dtype_name(spec->dtype));
        lsy_set_text(L, "length", lengths[spec->length]);
        if (!isnan(spec->alone))
            lsy_set_number(L, "alone", spec->alone);
        lsy_set_text(L, "help", spec->help);
        lua_setfield(L, -2, spec->name);
    }
    return 1;
}

/* engine.field_missing(corpus, name, objectives or nil) -> why the data cannot give the field, or
 * nil */
static int l_field_missing(lua_State *L)
{
    int f = sy_field_find(luaL_checkstring(L, 2));
    if (f < 0)
        return lsy_error(L, "batch: there is no field '%s'", lua_tostring(L, 2));
    const struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1),
                                 .objectives = lsy_objectives(L, 3)};
    lua_pushstring(L, sy_field_missing((enum sy_field)f, &s));
    return 1;
}

/* engine.batch(corpus, seed, windows, {field = tensor}, objectives or nil): what training by
 * sampling "random" draws after so many windows */
static int l_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1),
                           .seed = (uint64_t)luaL_checkinteger(L, 2),
                           .objectives = lsy_objectives(L, 5)};
    struct sy_place place = {.windows = (uint64_t)luaL_checkinteger(L, 3)};
    struct sy_batch b = check_fields(L, 4, &s);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    const struct sy_tally whole = sy_sampler_tally(&s, &place, 0, s.batch);
    b.scale = sy_tally_scale(&whole, &whole, 1);
    sy_sampler_batch(&s, &place, 0, &b);
    return 0;
}

/* engine.eval_windows(corpus, T, batches, S or nil, objectives or nil) -> windows of an evaluation
 * of so many batches */
static int l_eval_windows(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = 1, .split = SY_SPLIT_VAL,
                           .context = luaL_checkinteger(L, 2),
                           .inputs = luaL_optinteger(L, 4, 0),
                           .objectives = lsy_objectives(L, 5)};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    lua_pushinteger(L, sy_eval_windows(&s, lsy_check_int(L, 3, "loss", "batches", 1, INT64_MAX)));
    return 1;
}

/* engine.eval_tally(corpus, T, n, S or nil, objectives or nil) -> what n windows hold, for
 * eval_batch of each part of them */
static int l_eval_tally(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = 1, .split = SY_SPLIT_VAL,
                           .context = luaL_checkinteger(L, 2),
                           .inputs = luaL_optinteger(L, 4, 0),
                           .objectives = lsy_objectives(L, 5)};
    int64_t n = lsy_check_int(L, 3, "batch", "windows", 1, INT64_MAX);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    struct sy_tally *whole = lua_newuserdatauv(L, sizeof *whole, 0);
    *whole = sy_eval_tally(&s, 0, n);
    return 1;
}

/* engine.eval_batch(corpus, first, end, {field = tensor}, objectives or nil, whole): windows first
 * .. end-1, from 0, of an evaluation of `end`, of eval_tally, as far as there are rows; surplus
 * rows have targets -1.  -> how many windows it has filled, and how many the loss of these stands
 * for (sy_tally_windows) */
static int l_eval_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t first = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3);
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .split = SY_SPLIT_VAL,
                           .objectives = lsy_objectives(L, 5)};
    struct sy_batch b = check_fields(L, 4, &s);
    if (first < 0 || end <= first)
        return lsy_error(L, "batch: windows %d to %d: there are none", (int)first, (int)end);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    int64_t rows = end - first < s.batch ? end - first : s.batch;
    const struct sy_tally *whole = lua_touserdata(L, 6),
                          part = sy_eval_tally(&s, first, first + rows);
    if (!whole || lua_rawlen(L, 6) != sizeof *whole)
        return lsy_error(L, "batch: what all windows hold is wanted (eval_tally)");
    b.scale = sy_tally_scale(whole, whole, 1);
    sy_eval_batch(&s, first, end, &b);
    lua_pushinteger(L, rows);
    lua_pushnumber(L, sy_tally_windows(&part, whole, end));
    return 2;
}

/* engine.check_batch(corpus, B, T, S or nil, objectives or nil): raises when the training text is
 * shorter than a window, or rows of these lengths cannot be made */
static int l_check_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_whole_corpus(L, 1, "train"),
                           .batch = luaL_checkinteger(L, 2), .context = luaL_checkinteger(L, 3),
                           .split = SY_SPLIT_TRAIN,
                           .inputs = luaL_optinteger(L, 4, 0),
                           .objectives = lsy_objectives(L, 5)};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    return 0;
}

static const luaL_Reg functions[] = {{"batch", l_batch}, {"fields", l_fields},
                                     {"field_missing", l_field_missing},
                                     {"eval_batch", l_eval_batch},
                                     {"eval_tally", l_eval_tally},
                                     {"eval_windows", l_eval_windows},
                                     {"is_data", l_is_data},
                                     {"check_batch", l_check_batch},
                                     {NULL, NULL}};

void lsy_open_batch(lua_State *L) { lsy_add_functions(L, functions); }
