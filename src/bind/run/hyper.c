/* Hyper-parameters (switchyard/hyper.h) for Lua: the table of them, a value, and those of a run
 * with the inputs of its model (nn.input).  Layer bind/run. */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/run/run.h"
#include "bind/tensor/tensor.h"

#include "switchyard/hyper.h"
#include "train/checkpoint.h"

#include <string.h>

void lsy_push_hyper(lua_State *L, enum sy_hyper_id id, double value)
{
    if (sy_hyper_is_flag(id))
        lua_pushboolean(L, value > 0);
    else if (sy_hyper_spec(id)->integer)
        lua_pushinteger(L, (lua_Integer)value);
    else
        lua_pushnumber(L, value);
}

#define X(id, name, ...) ", " name
static const char schedules[] = SY_SCHEDULE_MAP(X);
#undef X

static enum sy_schedule check_schedule(lua_State *L, int arg)
{
    int s = sy_schedule_parse(luaL_checkstring(L, arg));
    if (s < 0)
        lsy_error(L, "train: unknown schedule '%s'; there are%s", lua_tostring(L, arg),
                  schedules + 1);
    return (enum sy_schedule)s;
}

void lsy_read_hyper(lua_State *L, int arg, struct sy_hyper *h)
{
    sy_hyper_defaults(h);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        lua_getfield(L, arg, sy_hyper_spec((enum sy_hyper_id)i)->name);
        if (lua_isboolean(L, -1))
            h->v[i] = lua_toboolean(L, -1);
        else if (!lua_isnil(L, -1))
            h->v[i] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    lua_getfield(L, arg, "schedule");
    h->schedule = lua_isnil(L, -1) ? SY_COSINE : check_schedule(L, -1);
    lua_pop(L, 1);
    lua_getfield(L, arg, "rules");
    h->rules = (int)luaL_optinteger(L, -1, SY_RULES);
    lua_pop(L, 1);
}

/* engine.hyper() -> list of {name, integer, flag, least, most, default, live, help} in order */
static int l_hyper(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        const struct sy_hyper_spec *s = sy_hyper_spec((enum sy_hyper_id)i);
        lua_createtable(L, 0, 7);
        lsy_set_text(L, "name", s->name);
        lsy_set_boolean(L, "integer", s->integer);
        lsy_set_boolean(L, "flag", sy_hyper_is_flag((enum sy_hyper_id)i));
        lsy_set_number(L, "least", s->least);
        lsy_set_number(L, "most", s->most);
        lsy_set_number(L, "default", s->preset);
        lsy_set_text(L, "live", lsy_live_name((int)s->live));
        lsy_set_text(L, "help", s->help);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* engine.schedules() -> list of {name=, ignores={NAME=true}}: hyper-parameters of others */
static int l_schedules(lua_State *L)
{
    lua_createtable(L, SY_SCHEDULE_COUNT, 0);
    for (int i = 0; i < SY_SCHEDULE_COUNT; i++) {
        lua_newtable(L);
        lsy_set_text(L, "name", sy_schedule_name((enum sy_schedule)i));
        lua_newtable(L);
        for (int k = 0; k < SY_HYPER_COUNT; k++)
            if (sy_schedule_ignores((enum sy_schedule)i, sy_hyper_spec((enum sy_hyper_id)k)->name))
                lsy_set_boolean(L, sy_hyper_spec((enum sy_hyper_id)k)->name, true);
        lua_setfield(L, -2, "ignores");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- of a run ---- */

/* run:get(name) -> number (or the schedule's name); nil for an unknown one */
static int run_get(lua_State *L)
{
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    const char *name = luaL_checkstring(L, 2);
    int id = sy_hyper_find(name);
    if (!strcmp(name, "schedule"))
        lua_pushstring(L, sy_schedule_name(sy_trainer_schedule(t)));
    else if (id < 0)
        lua_pushnil(L);
    else
        lsy_push_hyper(L, (enum sy_hyper_id)id, sy_trainer_get(t, (enum sy_hyper_id)id));
    return 1;
}

/* run:check(name, value): raises where it cannot be set so; false: there is no such
 * hyper-parameter */
static int run_check(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int id = sy_hyper_find(luaL_checkstring(L, 2));
    double value = lua_isboolean(L, 3) ? lua_toboolean(L, 3) : luaL_checknumber(L, 3);
    if (id >= 0 && sy_hyper_check((enum sy_hyper_id)id, value, &err))
        return lsy_raise(L, &err);
    lua_pushboolean(L, id >= 0);
    return 1;
}

/* run:outlook() -> text: what the learning rate will do */
static int run_outlook(lua_State *L)
{
    char text[256];
    sy_trainer_outlook(lsy_check_trainer(L, 1), text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

/* run:rules() -> integer */
static int run_rules(lua_State *L)
{
    lua_pushinteger(L, sy_trainer_rules(lsy_check_trainer(L, 1)));
    return 1;
}

/* run:effect(name, value) -> "rate", "least" or "none": what run:set would do to the rate of the
 * steps that are left (sy_trainer_effect); of what run:set refuses "rate" */
static int run_effect(lua_State *L)
{
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    const char *name = luaL_checkstring(L, 2);
    int id = sy_hyper_find(name);
    enum sy_hyper_effect e = SY_EFFECT_RATE;
    int s = !strcmp(name, "schedule") && lua_isstring(L, 3) ? sy_schedule_parse(lua_tostring(L, 3))
                                                            : -1;
    if (s >= 0)
        e = sy_trainer_effect(t, SY_HYPER_COUNT, s);
    else if (id >= 0 && lua_isnumber(L, 3))
        e = sy_trainer_effect(t, (enum sy_hyper_id)id, lua_tonumber(L, 3));
    lua_pushstring(L, lsy_effect_name((int)e));
    return 1;
}

/* run:set(name, value) -> "next" or "plan" (the caller must trace again) */
static int run_set(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    const char *name = luaL_checkstring(L, 2);
    if (!strcmp(name, "schedule")) {
        sy_trainer_set_schedule(t, check_schedule(L, 3));
        lua_pushstring(L, lsy_live_name(SY_LIVE_NEXT));
        return 1;
    }
    int id = sy_hyper_find(name);
    bool flag = id >= 0 && sy_hyper_is_flag((enum sy_hyper_id)id);
    if (id < 0 || !(flag ? lua_isboolean(L, 3) : lua_isnumber(L, 3)))
        return lsy_error(L, "train: %s must be %s, got %s", name,
                         flag ? "true or false" : "a number", luaL_typename(L, 3));
    double value = flag ? lua_toboolean(L, 3) : lua_tonumber(L, 3);
    if (sy_trainer_set(t, (enum sy_hyper_id)id, value, &err))
        return lsy_raise(L, &err);
    lua_pushstring(L, lsy_live_name((int)sy_hyper_spec((enum sy_hyper_id)id)->live));
    return 1;
}

/* run:set_input(name, tensor) */
static int run_set_input(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    struct sy_tensor *x = lsy_check_data(L, 3, "run", "value");
    if (x->dtype != SY_F32 || !sy_tensor_contiguous(x))
        return lsy_error(L, "run: the value of an input must be contiguous f32");
    if (sy_trainer_set_input(t, luaL_checkstring(L, 2), sy_data(x), sy_tensor_count(x), &err))
        return lsy_raise(L, &err);
    return 0;
}

/* run:input(name) -> tensor: the value that the program has now; nil: no program reads it (held) */
static int run_input(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_plan *plan = sy_trainer_plan(lsy_check_trainer(L, 1));
    const char *name = luaL_checkstring(L, 2);
    struct sy_tensor *x = sy_graph_find_input(plan->begin.graph, name);
    if (!x && plan->eval.graph)
        x = sy_graph_find_input(plan->eval.graph, name);
    if (!x || x->dtype != SY_F32)
        return 0;
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_empty(SY_F32, x->ndim, x->shape, &err)))
        return lsy_raise(L, &err);
    memcpy(sy_data(*slot), sy_data(x), sy_tensor_bytes(x));
    return 1;
}

/* run:mix() -> list of shares of a mix of data, or nil */
static int run_mix(lua_State *L)
{
    double shares[SY_MIX_MOST];
    int n = sy_trainer_mix(lsy_check_trainer(L, 1), shares);
    if (!n)
        return 0;
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushnumber(L, shares[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lsy_list(L);
    return 1;
}

static const luaL_Reg methods[] = {
    {"mix", run_mix},
    {"get", run_get},         {"set", run_set},     {"effect", run_effect},
    {"outlook", run_outlook}, {"check", run_check}, {"rules", run_rules},
    {"set_input", run_set_input},
    {"input", run_input},     {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"hyper", l_hyper}, {"schedules", l_schedules}, {NULL, NULL}};

void lsy_open_hyper(lua_State *L)
{
    lsy_add_methods(L, META_RUN, methods);
    lsy_add_functions(L, functions);
    lsy_push_engine(L);
    lsy_set_integer(L, "exact", SY_EXACT_VERSION);
    lsy_set_integer(L, "rules", SY_RULES);
    lua_pop(L, 1);
}
