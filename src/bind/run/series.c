/* What series are, for Lua: those of a run and those of a store have one form.  Layer bind. */
#include "bind/run/run.h"

void lsy_push_series(lua_State *L, struct sy_series_what what, int width)
{
    lua_createtable(L, 0, 7);
    lsy_set_text(L, "kind", sy_series_row(what.kind)->name);
    lsy_set_integer(L, "layer", what.layer);
    lsy_set_text(L, "mixture", what.mixture);
    lsy_set_integer(L, "width", width);
}
