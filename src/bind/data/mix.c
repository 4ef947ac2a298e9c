/* data.mix: one data set of several (switchyard/data.h, sy_corpus_mix).  Layer bind/data. */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/data/make_int.h"
#include "bind/data/open.h"

#include <stdio.h>

/* Item i of the list at 1, {d, share, name=}: its part, borrowed, whose name lies in the list or
 * in `room`. */
static struct sy_mix_part check_part(lua_State *L, int i, char room[16])
{
    if (lua_geti(L, 1, i) != LUA_TTABLE)
        lsy_error(L, "data.mix: item %d must be {data set, share}: it is a %s", i,
                  luaL_typename(L, -1));
    int item = lua_gettop(L);
    struct sy_mix_part p = {.share = 1, .name = room};
    lua_geti(L, item, 1);
    if (!luaL_testudata(L, -1, LSY_DATA_META))
        lsy_error(L, "data.mix: item %d must be {data set, share}: the first is a %s", i,
                  luaL_typename(L, -1));
    const char *what = lua_pushfstring(L, "data.mix: item %d", i);
    p.corpus = lsy_check_whole_corpus(L, -2, what);
    if (lua_geti(L, item, 2) != LUA_TNUMBER)
        lsy_error(L, "data.mix: the share of item %d must be a number: it is a %s", i,
                  luaL_typename(L, -1));
    p.share = lua_tonumber(L, -1);
    snprintf(room, 16, "%d", i);
    if (lua_getfield(L, item, "name") == LUA_TSTRING)
        p.name = lua_tostring(L, -1);
    else if (!lua_isnil(L, -1))
        lsy_error(L, "data.mix: the name of item %d must be a text: it is a %s", i,
                  luaL_typename(L, -1));
    lua_settop(L, item - 1); /* the list keeps all of it alive */
    return p;
}

/* {kind="mix", parts={{data=, share=, name=}, ...}} into the data set at -1. */
static void remember_parts(lua_State *L, const struct sy_mix_part *parts, int n)
{
    lua_createtable(L, 0, 2);
    lsy_set_text(L, "kind", "mix");
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_createtable(L, 0, 3);
        lua_geti(L, 1, i + 1);
        lua_geti(L, -1, 1);
        lua_setfield(L, -3, "data");
        lua_pop(L, 1);
        lsy_set_number(L, "share", parts[i].share);
        lsy_set_text(L, "name", parts[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "parts");
    lua_setiuservalue(L, -2, 1);
}

static int make_mix(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_mix_part parts[SY_MIX_MOST];
    char names[SY_MIX_MOST][16];
    lua_settop(L, 1);
    if (!lua_istable(L, 1))
        return lsy_error(L, "data.mix: takes {{data set, share}, ...}: it is a %s",
                         luaL_typename(L, 1));
    int64_t n = lsy_list_length(L, 1, "data.mix");
    for (int i = 0; i < n && i < SY_MIX_MOST; i++)
        parts[i] = check_part(L, i + 1, names[i]);
    struct lsy_data *d = lsy_new_data(L);
    if (n <= SY_MIX_MOST)
        remember_parts(L, parts, (int)n);
    if (!(d->corpus = sy_corpus_mix(parts, n > SY_MIX_MOST ? SY_MIX_MOST + 1 : (int)n, &err)))
        return lsy_raise(L, &err);
    return 1;
}

static const luaL_Reg functions[] = {{"mix", make_mix}, {NULL, NULL}};
static const struct lsy_doc docs[] = {
    {"data.mix", "data.mix{{d1, 0.7}, {d2, 0.3, name=}, ...} -> d",
     "One data set of several of one tokenizer: each row of a batch is drawn from one of them, by "
     "their shares, and each keeps its own place. name is what charts call it, its number unless "
     "given; one of several languages keeps their names. r.mix = {0.5, 0.5} changes the shares of "
     "a live run from the next step on, r.mix shows them. The loss of each source is the series "
     "loss.by_source, in the order of d.sources. An evaluation takes windows of all in turn, "
     "whatever their shares.",
     "data.mix{{data.string((\"a b \"):rep(99)), 0.7}, {data.string((\"c d \"):rep(99)), 0.3}}"},
};

void lsy_open_mix(lua_State *L)
{
    lua_getglobal(L, "data");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
    LSY_DOCS(L, docs);
}
