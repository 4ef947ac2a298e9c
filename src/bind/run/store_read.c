/* What is read of stores (run/store.h) for the embedded library.  Layer bind/run.
 *
 *   engine.store_runs(dir) -> list of what store:info() gives, oldest first; error= in damaged ones
 *   engine.runs_tree() -> text, or nil, message, code (run/runs_tree.h)
 *   store:entries(table, after, all) -> list of {id=, step=, time=, kind=, text=, data=, left=}
 *   store:history(name, column, first) -> tensor f64 (n,2) of step, value; without a column all
 *                              values; first: from that step on; nil, message, code
 *   store:series() -> {name = {kind=, layer=, mixture=, width=, rows=, step=, last={}}}
 *   store:info() -> table
 *   store:alarm() -> text or nil
 *   store:path()
 *
 *  1. What SQLite or malloc gave is owned by a userdata before anything may raise. */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/run/open.h"
#include "bind/run/store_int.h"
#include "bind/tensor/tensor.h"
#include "bind/thread/host.h"

#include "base/mem.h"
#include "run/config_diff.h"
#include "run/runs_tree.h"
#include "tensor/tensor.h"

#include <string.h>

#define META_ENTRIES "switchyard.store.entries"
#define META_SERIES "switchyard.store.series"
#define META_LISTING "switchyard.store.listing"
#define META_DIFFERENCES "switchyard.store.differences"

static int entries_gc(lua_State *L)
{
    sy_store_entries_free(lua_touserdata(L, 1));
    return 0;
}

static void set_text(lua_State *L, const char *name, const char *text, size_t n)
{
    lua_pushlstring(L, text, n);
    lua_setfield(L, -2, name);
}

static int store_entries(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *s = lsy_check_store(L);
    int table = luaL_checkoption(L, 2, NULL, lsy_store_tables);
    int64_t after = luaL_optinteger(L, 3, 0);
    bool all = lua_toboolean(L, 4);
    struct sy_store_entries *e = lua_newuserdatauv(L, sizeof *e, 0);
    *e = (struct sy_store_entries){0};
    luaL_setmetatable(L, META_ENTRIES);
    if (sy_store_entries(s, (enum sy_store_table)table, after, all, e, &err))
        return lsy_fail_or_raise(L, &err);
    lua_newtable(L);
    for (int64_t i = 0; i < e->count; i++) {
        const struct sy_store_entry *x = &e->list[i];
        lua_createtable(L, 0, 7);
        lsy_set_integer(L, "id", x->id);
        lsy_set_integer(L, "step", x->step);
        lsy_set_number(L, "time", x->time);
        set_text(L, "kind", x->kind, strlen(x->kind));
        set_text(L, "text", x->text, x->text_len);
        if (x->data_len)
            set_text(L, "data", x->data, x->data_len);
        if (x->left)
            lsy_set_integer(L, "left", x->left);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int store_history(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_history h;
    struct sy_store *s = lsy_check_store(L);
    const char *name = luaL_checkstring(L, 2);
    bool all = lua_isnoneornil(L, 3);
    int column = all ? -1 : (int)luaL_checkinteger(L, 3) - 1;
    int64_t first = luaL_optinteger(L, 4, INT64_MIN);
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (column < 0 && !all)
        return lsy_error(L, "history: column must be at least 1: it is %d", column + 1);
    if (sy_store_history(s, name, column, first, INT64_MAX, &h, &err))
        return err.code == SY_E_NAME || err.code == SY_E_RANGE ? lsy_fail(L, &err)
                                                               : lsy_fail_or_raise(L, &err);
    *slot = sy_tensor_empty(SY_F64, 2, (int64_t[]){h.count, 1 + h.width}, &err);
    double *out = *slot ? sy_data(*slot) : NULL;
    for (int64_t i = 0; out && i < h.count; i++) {
        *out++ = (double)h.steps[i];
        for (int64_t j = 0; j < h.width; j++)
            *out++ = (double)h.values[i * h.width + j];
    }
    sy_history_free(&h);
    return *slot ? 1 : lsy_raise(L, &err);
}

struct series_list {
    struct sy_store_series *list;
    int count;
};

static int series_gc(lua_State *L)
{
    struct series_list *s = lua_touserdata(L, 1);
    sy_store_series_free(s->list, s->count);
    s->list = NULL;
    return 0;
}

static int store_series(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *store = lsy_check_store(L);
    struct series_list *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct series_list){0};
    luaL_setmetatable(L, META_SERIES);
    s->list = sy_store_series(store, &s->count, &err);
    if (!s->list)
        return lsy_fail_or_raise(L, &err);
    lua_createtable(L, 0, s->count);
    for (int i = 0; i < s->count; i++) {
        const struct sy_store_series *x = &s->list[i];
        lsy_push_series(L, x->what, x->width);
        lsy_set_integer(L, "rows", x->rows);
        lsy_set_integer(L, "step", x->last_step);
        lua_createtable(L, x->rows ? x->width : 0, 0);
        for (int k = 0; x->rows && k < x->width; k++) {
            lua_pushnumber(L, (lua_Number)x->last[k]);
            lua_rawseti(L, -2, k + 1);
        }
        lua_setfield(L, -2, "last");
        lua_setfield(L, -2, x->name);
    }
    return 1;
}

static void set_given(lua_State *L, const char *name, const char *text)
{
    if (text && *text)
        set_text(L, name, text, strlen(text));
}

static void push_info(lua_State *L, const struct sy_store_info *x)
{
    lua_createtable(L, 0, 20);
    set_given(L, "name", x->name);
    lsy_set_text(L, "state", sy_run_state_name(x->status.state));
    lsy_set_integer(L, "step", x->status.step);
    lsy_set_integer(L, "steps", x->status.steps);
    lsy_set_integer(L, "tokens", x->status.tokens);
    lsy_set_number(L, "loss", x->status.loss);
    lsy_set_number(L, "val_loss", x->status.val_loss);
    lsy_set_number(L, "created", x->created);
    lsy_set_number(L, "updated", x->updated);
    lsy_set_integer(L, "bytes", x->bytes);
    lsy_set_integer(L, "pid", x->pid);
    lsy_set_boolean(L, "live", x->live);
    set_given(L, "config", x->config);
    set_given(L, "environment", x->environment);
    set_given(L, "tokenizer", x->tokenizer);
    set_given(L, "data", x->data);
    set_given(L, "parent", x->parent);
    if (x->parent && *x->parent)
        lsy_set_integer(L, "parent_step", x->parent_step);
    if (x->error.code)
        set_given(L, "error", x->error.msg);
    lua_createtable(L, x->sparks, 0);
    for (int i = 0; i < x->sparks; i++) {
        lua_pushnumber(L, (lua_Number)x->spark[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "spark");
}

static int listing_gc(lua_State *L)
{
    sy_runs_free(lua_touserdata(L, 1));
    return 0;
}

static struct sy_runs *new_listing(lua_State *L)
{
    struct sy_runs *r = lua_newuserdatauv(L, sizeof *r, 0);
    *r = (struct sy_runs){0};
    luaL_setmetatable(L, META_LISTING);
    return r;
}

static int store_info(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *s = lsy_check_store(L);
    struct sy_runs *r = new_listing(L); /* of one, so that it owns the info */
    r->list = sy_calloc(1, sizeof *r->list);
    if (!r->list)
        return lsy_error(L, "store: out of memory");
    r->count = 1;
    if (sy_store_info(s, r->list, &err))
        return lsy_fail_or_raise(L, &err);
    push_info(L, r->list);
    return 1;
}

static int l_runs(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = luaL_optstring(L, 1, sy_runs_dir());
    struct sy_runs *r = new_listing(L);
    if (sy_runs_list(dir, r, &err))
        return lsy_fail_or_raise(L, &err);
    lua_createtable(L, r->count, 0);
    for (int i = 0; i < r->count; i++) {
        push_info(L, &r->list[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int l_runs_tree(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str text = SY_STR_INIT;
    const char *dir = sy_runs_dir();
    struct sy_runs *r = new_listing(L);
    if (sy_runs_list(dir, r, &err))
        return lsy_fail_or_raise(L, &err);
    if (sy_runs_tree(&text, dir, r, sy_host_ascii(), &err)) {
        sy_str_free(&text);
        return lsy_fail_or_raise(L, &err);
    }
    lua_pushlstring(L, text.data ? text.data : "", text.len);
    sy_str_free(&text);
    return 1;
}

static int differences_gc(lua_State *L)
{
    sy_differences_free(lua_touserdata(L, 1));
    return 0;
}

static void push_values(lua_State *L, const struct sy_difference *o, int runs)
{
    lua_createtable(L, runs, 1);
    for (int i = 0; i < runs; i++) {
        lua_pushstring(L, o->values[i] ? o->values[i] : "-");
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushstring(L, o->option);
    lua_setfield(L, -2, "option");
}

/* engine.differ({configurations}) -> list of {value of each, ..., option=}, list of texts: what is
 * not as in most */
static int l_differ(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int n = (int)luaL_len(L, 1);
    const char **configs = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *configs, 0);
    struct sy_differences *d = lua_newuserdatauv(L, sizeof *d, 0);
    *d = (struct sy_differences){0};
    luaL_setmetatable(L, META_DIFFERENCES);
    luaL_checkstack(L, n + 8, "differ");
    for (int i = 0; i < n; i++) {
        lua_geti(L, 1, i + 1); /* stays on the stack, so the text stays */
        configs[i] = luaL_checkstring(L, -1);
    }
    if (sy_config_diff(configs, n, d, &err))
        return lsy_raise(L, &err);
    lua_createtable(L, d->count, 0);
    for (int i = 0; i < d->count; i++) {
        push_values(L, &d->list[i], n);
        lua_rawseti(L, -2, i + 1);
    }
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        void **text = lsy_new_block(L);
        *text = sy_difference_of(d, i);
        lua_pushstring(L, *text ? *text : "");
        lua_rawseti(L, -3, i + 1);
        lua_pop(L, 1);
    }
    return 2;
}

static int store_alarm(lua_State *L)
{
    char text[496];
    bool alarm = sy_store_alarm(lsy_check_store(L), text);
    lua_pushstring(L, alarm ? text : NULL);
    return 1;
}

static int store_path(lua_State *L)
{
    char now[4096]; /* it may have been moved */
    struct sy_store *s = lsy_check_store(L);
    lua_pushstring(L, sy_store_where(s, now, sizeof now) ? now : sy_store_path(s));
    return 1;
}

/* ---- registration ---- */

static const luaL_Reg methods[] = {
    {"entries", store_entries}, {"series", store_series}, {"history", store_history},
    {"info", store_info},       {"alarm", store_alarm},   {"path", store_path},
    {NULL, NULL}};
static const luaL_Reg functions[] = {{"store_runs", l_runs}, {"runs_tree", l_runs_tree},
                                     {"differ", l_differ}, {NULL, NULL}};

void lsy_open_store_read(lua_State *L)
{
    lsy_add_methods(L, META_STORE, methods);
    lsy_add_functions(L, functions);
    lsy_handle_meta(L, META_ENTRIES, NULL, entries_gc);
    lsy_handle_meta(L, META_SERIES, NULL, series_gc);
    lsy_handle_meta(L, META_LISTING, NULL, listing_gc);
    lsy_handle_meta(L, META_DIFFERENCES, NULL, differences_gc);
}
