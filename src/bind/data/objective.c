/* Objectives for the embedded library (switchyard/objective.h); lua/model/objective.lua reads what
 * users write.  Layer bind/data.
 *
 *   engine.objectives(list, tokenizer or nil)   a handle, or nil for next-token prediction alone
 *   engine.objective_rows()                     names, options, help
 *   engine.span_lengths(S, density, mean)       T5's lengths for S tokens of input
 */
#include "bind/core/args.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/data/open.h"

#define META_OBJECTIVES "switchyard.objectives"

static int objectives_gc(lua_State *L)
{
    sy_objectives_unref(lsy_take_handle(L, 1, META_OBJECTIVES));
    return 0;
}

/* handle:count(): of its parts */
static int objectives_count(lua_State *L)
{
    lua_pushinteger(L, sy_objectives_count(lsy_check_handle(L, 1, META_OBJECTIVES)));
    return 1;
}

struct sy_objectives *lsy_objectives(lua_State *L, int arg)
{
    return lua_isnoneornil(L, arg) ? NULL : lsy_check_handle(L, arg, META_OBJECTIVES);
}

/* The part that is on the top: {name=, share=, OPTION=}. */
static struct sy_objective_part check_part(lua_State *L)
{
    struct sy_objective_part p = {.share = 1};
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "name");
    int id = sy_objective_find(luaL_checkstring(L, -1));
    if (id < 0)
        lsy_error(L, "objective: there is no '%s'", lua_tostring(L, -1));
    p.objective = (enum sy_objective)id;
    lua_getfield(L, -2, "share");
    p.share = luaL_optnumber(L, -1, 1);
    lua_pop(L, 2);
    const struct sy_objective_spec *spec = sy_objective_spec(p.objective);
    for (int i = 0; i < SY_OBJECTIVE_OPTIONS && spec->option[i].name; i++) {
        lua_getfield(L, -1, spec->option[i].name);
        p.option[i] = luaL_optnumber(L, -1, spec->option[i].preset);
        lua_pop(L, 1);
    }
    return p;
}

static int l_objectives(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_objective_part parts[SY_OBJECTIVE_COUNT + 1];
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 1);
    struct sy_tokenizer *tok = lua_isnoneornil(L, 2) ? NULL : lsy_check_tokenizer(L, 2);
    if (n < 1 || n > SY_OBJECTIVE_COUNT)
        return lsy_error(L, "objective: %d are named, from 1 to %d are possible", (int)n,
                         SY_OBJECTIVE_COUNT);
    for (int i = 0; i < (int)n; i++) {
        lua_geti(L, 1, i + 1);
        parts[i] = check_part(L);
        lua_pop(L, 1);
    }
    if (n == 1 && parts[0].objective == SY_OBJECTIVE_NEXT) {
        lua_pushnil(L);
        return 1;
    }
    void **slot = lsy_new_handle(L, META_OBJECTIVES);
    *slot = sy_objectives_new(parts, (int)n, tok, &err);
    return *slot ? 1 : lsy_raise(L, &err);
}

static void push_option(lua_State *L, const struct sy_objective_option *o)
{
    lua_createtable(L, 0, 5);
    lsy_set_text(L, "name", o->name);
    lsy_set_number(L, "least", o->least);
    lsy_set_number(L, "most", o->most);
    lsy_set_number(L, "default", o->preset);
    lsy_set_text(L, "help", o->help);
}

/* engine.objective_rows() -> list of {name=, help=, options={{name=, least=, most=, default=,
 * help=}}} */
static int l_rows(lua_State *L)
{
    lua_createtable(L, SY_OBJECTIVE_COUNT, 0);
    for (int i = 0; i < SY_OBJECTIVE_COUNT; i++) {
        const struct sy_objective_spec *spec = sy_objective_spec((enum sy_objective)i);
        lua_createtable(L, 0, 3);
        lsy_set_text(L, "name", spec->name);
        lsy_set_text(L, "help", spec->help);
        lua_newtable(L);
        for (int k = 0; k < SY_OBJECTIVE_OPTIONS && spec->option[k].name; k++) {
            push_option(L, &spec->option[k]);
            lua_rawseti(L, -2, k + 1);
        }
        lua_setfield(L, -2, "options");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* engine.span_lengths(S, density, mean) -> tokens of the window, of inputs, of targets */
static int l_span_lengths(lua_State *L)
{
    int64_t S = lsy_check_int(L, 1, "span", "input_context", 1, INT32_MAX);
    struct sy_span_lengths n =
        sy_span_lengths(luaL_checknumber(L, 2), luaL_checknumber(L, 3), S);
    lua_pushinteger(L, n.raw);
    lua_pushinteger(L, n.inputs);
    lua_pushinteger(L, n.targets);
    return 3;
}

/* objectives:pads(): may rows of a model of one stack end in padding? */
static int objectives_pads(lua_State *L)
{
    lua_pushboolean(L, sy_objectives_pads(lsy_check_handle(L, 1, META_OBJECTIVES)));
    return 1;
}

static const luaL_Reg methods[] = {
    {"count", objectives_count}, {"pads", objectives_pads}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"objectives", l_objectives},
                                     {"objective_rows", l_rows},
                                     {"span_lengths", l_span_lengths},
                                     {NULL, NULL}};

void lsy_open_objective(lua_State *L)
{
    lsy_handle_meta(L, META_OBJECTIVES, methods, objectives_gc);
    lsy_add_functions(L, functions);
}
