/* Names of the engine's enums for Lua, which compares by them (lua/core/enum.lua).  Layer bind/run.
 *
 *   engine.enums() -> {state = {"new", "running", ...}, entry=, series=, live=, effect=, skip=}
 *   engine.is_owned(state) -> boolean: a process keeps a run of this state up */
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/run/run.h"

#include "switchyard/hyper.h"
#include "switchyard/journal.h"
#include "switchyard/run_state.h"
#include "switchyard/series.h"

static const char *state_name(int i) { return sy_run_state_name((enum sy_run_state)i); }
static const char *entry_name(int i) { return sy_entry_row((enum sy_entry_kind)i)->name; }
static const char *series_name(int i) { return sy_series_row((enum sy_series_kind)i)->name; }
static const char *skip_name(int i) { return sy_skip_name((enum sy_skip)i); }

const char *lsy_live_name(int i)
{
    static const char *const names[] = {
        [SY_LIVE_NEXT] = "next", [SY_LIVE_PLAN] = "plan", [SY_LIVE_NEVER] = "never"};
    return names[i];
}

const char *lsy_effect_name(int i)
{
    static const char *const names[] = {
        [SY_EFFECT_RATE] = "rate", [SY_EFFECT_LEAST] = "least", [SY_EFFECT_NONE] = "none"};
    return names[i];
}

static const struct {
    const char *kind;
    int count;
    const char *(*name)(int i);
} enums[] = {{"state", SY_RUN_STATES, state_name},
             {"entry", SY_ENTRY_COUNT, entry_name},
             {"series", SY_SERIES_COUNT, series_name},
             {"live", SY_LIVE_NEVER + 1, lsy_live_name},
             {"effect", SY_EFFECT_NONE + 1, lsy_effect_name},
             {"skip", SY_SKIP_COUNT, skip_name}};

static int l_enums(lua_State *L)
{
    lua_newtable(L);
    for (size_t k = 0; k < sizeof enums / sizeof *enums; k++) {
        lua_createtable(L, enums[k].count, 0);
        for (int i = 0; i < enums[k].count; i++) {
            lua_pushstring(L, enums[k].name(i));
            lua_rawseti(L, -2, i + 1);
        }
        lua_setfield(L, -2, enums[k].kind);
    }
    return 1;
}

static int l_is_owned(lua_State *L)
{
    lua_pushboolean(L, sy_run_state_row(sy_run_state_find(luaL_checkstring(L, 1)))->owned);
    return 1;
}

void lsy_open_enums(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"enums", l_enums}, {"is_owned", l_is_owned}, {NULL, NULL}};
    lsy_add_functions(L, functions);
}
