/* Entries of a journal for Lua: of a run, of a checkpoint, of a store; all by the one codec of
 * switchyard/journal.h.  Layer bind/run.
 *
 *   run:journal() -> list of entries
 *   run:apply(entry)                      (held)
 *   run:record(entry)
 *   store:journal() -> list of entries    with id= and time=; unknown= says what this program does
 *                                         not know: the kind, the hyper-parameter ...; wrong=
 *                                         a value that cannot be applied
 *   store:add_entry(entry) -> id
 *   engine.entry_kinds() -> {name = {replay="noted" "trainer" "host" "rule", effect=, fields=}}
 *
 *   engine.acting([name]) -> name         who acts on the Lua thread from now on; the one before
 *
 * An entry is {step=, kind=, key=, text=, value=, expert= (from 1), values= (f32 tensor), who=}; a
 * value of nil is what an option of the model was set to.  One that is made without who is of who
 * acts; those of a journal say who did it, "" too, and so keep it wherever they are done again.
 *
 *  1. What a store gave is owned by a userdata before anything may raise. */
#include "bind/data/data.h"
#include "bind/core/args.h"
#include "bind/run/open.h"
#include "bind/run/run.h"
#include "bind/run/store_int.h"
#include "bind/tensor/tensor.h"

#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define META_JOURNAL "switchyard.journal"

void lsy_push_entry(lua_State *L, const struct sy_journal_entry *e)
{
    struct sy_err err = SY_ERR_INIT;
    lua_createtable(L, 0, 9);
    lsy_set_integer(L, "step", e->step);
    lsy_set_text(L, "who", e->who);
    lsy_set_text(L, "kind", sy_entry_row(e->kind)->name);
    lsy_set_text(L, "text", e->text);
    if (e->key[0])
        lsy_set_text(L, "key", e->key);
    if (!isnan(e->value))
        lsy_set_number(L, "value", e->value);
    if (e->expert >= 0)
        lsy_set_integer(L, "expert", e->expert + 1);
    if (!e->n || !e->values)
        return;
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_empty(SY_F32, 1, &e->n, &err)))
        lsy_raise(L, &err);
    memcpy(sy_data(*slot), e->values, sy_tensor_bytes(*slot));
    lua_setfield(L, -2, "values");
}

static int run_journal(lua_State *L)
{
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    struct sy_journal_entry e;
    lua_newtable(L);
    for (int i = 0; sy_trainer_journal(t, i, &e, 1) == 1; i++) {
        lsy_push_entry(L, &e);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static void read_text(lua_State *L, int arg, const char *name, char *to, size_t room)
{
    size_t n = 0;
    lua_getfield(L, arg, name);
    const char *s = lua_isnil(L, -1) ? "" : luaL_checklstring(L, -1, &n);
    if (n >= room)
        lsy_error(L, "journal: %s is too long: %d bytes, at most %d", name, (int)n, (int)room - 1);
    memcpy(to, s, n);
    to[n] = 0;
    lua_pop(L, 1);
}

static void read_who(lua_State *L, int arg, struct sy_journal_entry *e)
{
    if (lua_getfield(L, arg, "who") == LUA_TNIL)
        snprintf(e->who, sizeof e->who, "%s", sy_acting());
    else
        read_text(L, arg, "who", e->who, sizeof e->who);
    lua_pop(L, 1);
}

static enum sy_entry_kind read_kind(lua_State *L, int arg)
{
    lua_getfield(L, arg, "kind");
    int kind = sy_entry_find(luaL_checkstring(L, -1));
    if (kind < 0)
        lsy_error(L, "journal: there is no kind '%s'", lua_tostring(L, -1));
    lua_pop(L, 1);
    return (enum sy_entry_kind)kind;
}

/* values are borrowed from the tensor in the table. */
static void read_entry(lua_State *L, int arg, struct sy_journal_entry *e)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    *e = (struct sy_journal_entry){0};
    e->kind = read_kind(L, arg);
    read_text(L, arg, "key", e->key, sizeof e->key);
    read_text(L, arg, "text", e->text, sizeof e->text);
    read_who(L, arg, e);
    lua_getfield(L, arg, "step");
    e->step = luaL_optinteger(L, -1, 0);
    lua_getfield(L, arg, "value");
    double none = e->kind == SY_ENTRY_CONFIG ? (double)NAN : 0;
    e->value = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : luaL_optnumber(L, -1, none);
    lua_getfield(L, arg, "expert");
    e->expert = luaL_optinteger(L, -1, 0);
    if (e->expert < 0 || e->expert > INT32_MAX)
        lsy_error(L, "journal: expert must be from 1 to %d: it is %lld", INT32_MAX,
                  (long long)e->expert);
    e->expert--;
    lua_getfield(L, arg, "values");
    if (!lua_isnil(L, -1)) {
        struct sy_tensor *x = lsy_check_data(L, -1, "journal", "values");
        if (x->dtype != SY_F32 || !sy_tensor_contiguous(x))
            lsy_error(L, "journal: values must be contiguous f32");
        e->values = sy_data(x);
        e->n = sy_tensor_count(x);
    }
    lua_pop(L, 4);
}

static int run_record(lua_State *L)
{
    struct sy_journal_entry e;
    read_entry(L, 2, &e);
    sy_trainer_record(lsy_check_trainer(L, 1), &e);
    return 0;
}

static int run_apply(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_journal_entry e;
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    read_entry(L, 2, &e);
    lsy_hold(L, 1);
    int rc = sy_trainer_apply(t, &e, &err);
    sy_trainer_release(t);
    return rc ? lsy_raise(L, &err) : 0;
}

/* ---- of a store ---- */

struct journal { /* what is being read */
    struct sy_store_entries rows;
    struct sy_journal_entry e;
};

static int journal_gc(lua_State *L)
{
    struct journal *j = lua_touserdata(L, 1);
    sy_store_entries_free(&j->rows);
    sy_entry_free(&j->e);
    return 0;
}

/* What is known of an entry of an unknown kind. */
static void push_unknown(lua_State *L, const struct sy_store_entry *row, const struct sy_err *err)
{
    lua_createtable(L, 0, 6);
    lsy_set_text(L, "kind", row->kind);
    lsy_set_text(L, "unknown", err->msg);
}

static void push_row(lua_State *L, struct journal *j, const struct sy_store_entry *row)
{
    struct sy_err err = SY_ERR_INIT;
    int rc = sy_entry_unpack(row->kind, row->text, row->data, row->data_len, &j->e, &err);
    if (rc && err.code != SY_E_UNSUPPORTED)
        lsy_raise(L, &err);
    if (rc)
        push_unknown(L, row, &err);
    else
        lsy_push_entry(L, &j->e);
    if (!rc && sy_entry_check(&j->e, &err))
        lsy_set_text(L, err.code == SY_E_UNSUPPORTED ? "unknown" : "wrong", err.msg);
    sy_entry_free(&j->e);
    lua_pushlstring(L, row->text, row->text_len); /* whole */
    lua_setfield(L, -2, "text");
    lsy_set_text(L, "who", row->who);
    lsy_set_integer(L, "id", row->id);
    lsy_set_integer(L, "step", row->step);
    lsy_set_number(L, "time", row->time);
}

static int store_journal(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *s = lsy_check_store(L);
    struct journal *j = lua_newuserdatauv(L, sizeof *j, 0);
    memset(j, 0, sizeof *j);
    luaL_setmetatable(L, META_JOURNAL);
    if (sy_store_entries(s, SY_STORE_JOURNAL, 0, false, &j->rows, &err))
        return lsy_fail_or_raise(L, &err);
    lua_newtable(L);
    for (int64_t i = 0; i < j->rows.count; i++) {
        push_row(L, j, &j->rows.list[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int store_add_entry(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_journal_entry e;
    struct sy_store *s = lsy_check_store(L);
    read_entry(L, 2, &e);
    int64_t id = sy_store_add_entry(s, &e, &err);
    if (id < 0)
        return lsy_raise(L, &err);
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

/* ---- kinds ---- */

static int l_entry_kinds(lua_State *L)
{
    static const char *const who[] = {"noted", "trainer", "host", "rule"};
    lua_createtable(L, 0, SY_ENTRY_COUNT);
    for (int i = 0; i < SY_ENTRY_COUNT; i++) {
        const struct sy_entry_row *row = sy_entry_row((enum sy_entry_kind)i);
        lua_createtable(L, 0, 3);
        lsy_set_text(L, "replay", who[row->replay]);
        lsy_set_boolean(L, "effect", sy_entry_has_effect((enum sy_entry_kind)i));
        lsy_set_text(L, "fields", row->fields);
        lua_setfield(L, -2, row->name);
    }
    return 1;
}

static const luaL_Reg run_methods[] = {
    {"journal", run_journal}, {"apply", run_apply}, {"record", run_record}, {NULL, NULL}};
static const luaL_Reg store_methods[] = {
    {"journal", store_journal}, {"add_entry", store_add_entry}, {NULL, NULL}};
/* A name that could not be told from another in a journal is refused, not cut. */
static int l_acting(lua_State *L)
{
    size_t n;
    lua_pushstring(L, sy_acting());
    if (lua_isnoneornil(L, 1))
        return 1;
    const char *who = luaL_checklstring(L, 1, &n);
    if (n >= SY_WHO || strlen(who) < n)
        return lsy_error(L, "acting: a name has at most %d bytes, none of them 0: it has %d",
                         SY_WHO - 1, (int)n);
    sy_act_as(who);
    return 1;
}

static const luaL_Reg functions[] = {
    {"entry_kinds", l_entry_kinds}, {"acting", l_acting}, {NULL, NULL}};

void lsy_open_journal(lua_State *L)
{
    lsy_add_methods(L, META_RUN, run_methods);
    lsy_add_methods(L, META_STORE, store_methods);
    lsy_add_functions(L, functions);
    lsy_handle_meta(L, META_JOURNAL, NULL, journal_gc);
}
