/* What differs from call to call and would be frozen into a model: refused inside its function,
 * with what to do instead.  Layer bind/run.
 *
 * The function runs once for each program, which then repeats what was recorded, without Lua: a
 * number that Lua draws, a moment, a line that is read would be the same in all steps, and another
 * in every program.  (tensor.rand and its like draw anew in each step: ops/random.c.)
 *
 *  1. Users' functions (ours are copies, core/globals.c) are exchanged once, so that `local random
 *     = math.random` is one of these, too.  Each is called in the frame of what replaces it: it
 *     finds its upvalues, and its errors say the place and the name of the call as ever.
 *  2. A call that always gives the same (os.time{...}, os.date(format, time), a file by its name)
 *     is let through. */
#include "bind/run/open.h"
#include "bind/core/error.h"

#include "ops/op.h"

#define DRAWS "use tensor.rand, randn or randint, or draw outside the function"
#define MOMENT "what changes from step to step is an nn.input, which r.NAME = value sets"
#define OUTSIDE "do it outside the function"

static const struct row {
    const char *library, *name, *instead;
    int fixed; /* the argument with which it always gives the same, or 0 */
} rows[] = {
    {"math", "random", DRAWS, 0},   {"math", "randomseed", DRAWS, 0}, {"os", "time", MOMENT, 1},
    {"os", "date", MOMENT, 2},      {"os", "clock", MOMENT, 0},       {"os", "tmpname", OUTSIDE, 0},
    {"os", "execute", OUTSIDE, 0},  {"io", "read", OUTSIDE, 0},       {"io", "lines", OUTSIDE, 1},
    {"io", "popen", OUTSIDE, 0},
};

/* Upvalues: those of the function that it replaces, in their places; that function; its row. */
static int guarded(lua_State *L)
{
    int last = 2;
    while (!lua_isnone(L, lua_upvalueindex(last + 1)))
        last++;
    const struct row *r = lua_touserdata(L, lua_upvalueindex(last));
    if (sy_context()->record && !(r->fixed && !lua_isnoneornil(L, r->fixed)))
        return luaL_error(L,
                          "%s.%s: a model's function is run once and then repeated without Lua, so "
                          "this would be the same in all steps: %s",
                          r->library, r->name, r->instead);
    return lua_tocfunction(L, lua_upvalueindex(last - 1))(L);
}

/* In place of the function at -1, which stays there. */
static void push_guarded(lua_State *L, const struct row *r)
{
    union {
        const struct row *in;
        void *out;
    } row = {.in = r}; /* nobody writes to it */
    int f = lua_gettop(L), n = 0;
    while (lua_getupvalue(L, f, n + 1))
        n++;
    lua_pushvalue(L, f);
    lua_pushlightuserdata(L, row.out);
    lua_pushcclosure(L, guarded, n + 2);
}

void lsy_open_frozen(lua_State *L)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lua_getglobal(L, rows[i].library);
        lua_getfield(L, -1, rows[i].name);
        push_guarded(L, &rows[i]);
        lua_setfield(L, -3, rows[i].name);
        lua_pop(L, 2);
    }
}
