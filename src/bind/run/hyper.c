/* Hyper-parameters (switchyard/hyper.h) for Lua: the table of them, and a value.  Layer
 * bind/run. */
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/run/run.h"

#include "switchyard/hyper.h"
#include "train/checkpoint.h"

void lsy_push_hyper(lua_State *L, enum sy_hyper_id id, double value)
{
    if (sy_hyper_is_flag(id))
        lua_pushboolean(L, value > 0);
    else if (sy_hyper_spec(id)->integer)
        lua_pushinteger(L, (lua_Integer)value);
    else
        lua_pushnumber(L, value);
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

void lsy_open_hyper(lua_State *L)
{
    lsy_push_engine(L);
    lsy_set(L, "hyper", l_hyper);
    lsy_set_integer(L, "exact", SY_EXACT_VERSION);
    lsy_set_integer(L, "rules", SY_RULES);
    lua_pop(L, 1);
}
