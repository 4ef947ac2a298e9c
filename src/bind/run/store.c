/* Stores of runs (run/store.h) for the embedded library: opening, attaching to a run, writing;
 * store_read.c has what is read.  Layer bind/run; in the table `engine`:
 *
 *   engine.store_create{name=, dir=, steps=, config=, environment=, tokenizer=, data=, parent=,
 *                       parent_step=}
 *                          -> store; or nil, message, code.  config and environment are JSON.
 *   engine.store_open(name, {dir=, write=false}) -> store; or nil, message, code
 *   engine.store_name_ok(name, new) -> true; or false, why
 *
 *   store:attach(run)      the store's thread writes the run's metrics and status from now on
 *                          -> true; or nil, message, code: there is no thread
 *   store:detach()         write what is left and let go; closing either does it, too
 *   store:flush(), store:close(), store:remove()     -> true; or nil, message, code
 *   store:inherit(other)   all of a store whose folder was deleted, into one that is claimed
 *   store:id() -> 32 hex digits      store:lost() -> whether its folder was deleted
 *   store:truncate(step, journal_id; false: but the journal) -> true; or nil, message, code.
 *                          The run must be held.
 *   store:restore(run, step)          series up to step into the run's memory (held)
 *   store:status{state=, step=, steps=, tokens=, loss=, val_loss=}   for a store without a run
 *   store:add(table, step, kind, text, data) -> id   table: journal, samples, events, code
 *   store:note(step, text), store:sample(step, text)
 *
 *  1. A store is detached before the trainer of its run goes (lsy_store_release), whatever is
 *     closed or collected first.
 *  2. What SQLite or malloc gave is owned by a userdata before anything may raise. */
#include "bind/core/args.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/run/open.h"
#include "bind/run/run.h"
#include "bind/run/store_int.h"
#include "bind/thread/progress.h"

#include "base/mem.h"
#include "run/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct box {
    struct sy_store *store;
    struct sy_trainer *trainer; /* attached; borrowed from its run */
    void *run;                  /* its userdata */
    struct box *next;           /* of `attached` */
    bool alarmed;               /* the store's thread only, while attached */
};

/* Lua thread only. */
static struct box *attached;

static struct box *check_box(lua_State *L)
{
    struct box *b = luaL_checkudata(L, 1, META_STORE);
    if (!b->store)
        lsy_error(L, "store: it was closed");
    return b;
}

struct sy_store *lsy_check_store(lua_State *L)
{
    return check_box(L)->store;
}

static struct box *new_box(lua_State *L)
{
    struct box *b = lua_newuserdatauv(L, sizeof *b, 1);
    *b = (struct box){0};
    luaL_setmetatable(L, META_STORE);
    return b;
}

/* ---- attaching ---- */

static void detach_store(struct box *b)
{
    if (!b->trainer)
        return;
    lsy_store_link(b->run, NULL);
    sy_store_detach(b->store);
    if (b->alarmed) /* it was this store's */
        sy_trainer_set_alarm(b->trainer, SY_ALARM_RECORD, 0, NULL);
    b->alarmed = false;
    b->trainer = NULL;
    for (struct box **at = &attached; *at; at = &(*at)->next)
        if (*at == b) {
            *at = b->next;
            return;
        }
}

void lsy_store_release(const struct sy_trainer *t)
{
    for (struct box *b = attached, *next; b; b = next) {
        next = b->next;
        if (b->trainer == t)
            detach_store(b);
    }
}

/* Once, until it is over. */
static void tell_alarm(struct box *b)
{
    char text[496], told[640], line[SY_EVENT_LINE];
    struct sy_status s;
    enum sy_store_alarm alarm = sy_store_alarm(b->store, text);
    if (alarm) {
        sy_trainer_status(b->trainer, &s);
        snprintf(told, sizeof told, "%.480s; the run goes on%s", text,
                 alarm == SY_STORE_WAITS   ? ", what is to be written waits"
                 : alarm == SY_STORE_TAKEN ? ", nothing of it is written any more"
                                           : "");
    }
    if (alarm == SY_STORE_TAKEN)
        sy_trainer_give_up_dir(b->trainer, text);
    if (alarm || b->alarmed) /* each time: a rewind puts alarms out */
        sy_trainer_set_alarm(b->trainer, SY_ALARM_RECORD, alarm ? s.step : 0,
                             alarm ? told : NULL);
    if (alarm && !b->alarmed) {
        struct sy_event e = {SY_EVENT_ALARM, SY_ALARM_RECORD, s.step, told};
        sy_event_line(&e, line, sizeof line);
        lsy_progress_event(sy_trainer_name(b->trainer), SY_EVENT_ALARM, line);
        lsy_run_mark(b->run, s.step, &e);
    }
    b->alarmed = alarm != SY_STORE_FINE;
    if (sy_store_lost(b->store))
        lsy_run_renew(b->run);
}

/* On the store's thread, or whoever flushes: one at a time. */
static void read_status(void *ctx, struct sy_store_status *out)
{
    struct sy_status s;
    struct box *b = ctx;
    tell_alarm(b);
    sy_trainer_status(b->trainer, &s);
    *out = (struct sy_store_status){.state = s.state,
                                    .step = s.step,
                                    .steps = s.steps,
                                    .tokens = s.tokens,
                                    .loss = s.loss,
                                    .val_loss = s.val_loss};
}

static int store_attach(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct box *b = check_box(L);
    struct sy_trainer *t = lsy_check_trainer(L, 2);
    detach_store(b);
    lua_pushvalue(L, 2); /* the run outlives its store, unless it is closed */
    lua_setiuservalue(L, 1, 1);
    b->trainer = t; /* read by the store's thread from its start on */
    b->run = lua_touserdata(L, 2);
    if (sy_store_attach(b->store, sy_trainer_metrics(t), read_status, b, &err)) {
        b->trainer = NULL;
        return lsy_true_or_fail(L, -1, &err);
    }
    sy_trainer_rows_stored(t);
    b->next = attached;
    attached = b;
    lsy_store_link(b->run, b->store);
    return lsy_true_or_fail(L, 0, &err);
}

static int store_detach(lua_State *L)
{
    detach_store(check_box(L));
    return 0;
}

static int store_gc(lua_State *L)
{
    struct box *b = luaL_checkudata(L, 1, META_STORE);
    detach_store(b);
    sy_store_close(b->store, NULL);
    b->store = NULL;
    return 0;
}

static int store_close(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct box *b = luaL_checkudata(L, 1, META_STORE);
    detach_store(b);
    struct sy_store *s = b->store;
    b->store = NULL;
    return lsy_true_or_fail(L, sy_store_close(s, &err), &err);
}

/* ---- opening ---- */

/* What the world may do (a name taken, another writer) is no mistake in the program. */
static int fail_open(lua_State *L, const struct sy_err *err)
{
    return err->code == SY_E_STATE ? lsy_fail(L, err) : lsy_fail_or_raise(L, err);
}

static void read_config(lua_State *L, int arg, struct sy_store_config *c)
{
    static const struct lsy_option rows[] = {
        {"name", LSY_STRING, offsetof(struct sy_store_config, name), 0, 0, NULL},
        {"dir", LSY_STRING, offsetof(struct sy_store_config, dir), 0, 0, NULL},
        {"config", LSY_STRING, offsetof(struct sy_store_config, config), 0, 0, NULL},
        {"environment", LSY_STRING, offsetof(struct sy_store_config, environment), 0, 0, NULL},
        {"tokenizer", LSY_STRING, offsetof(struct sy_store_config, tokenizer), 0, 0, NULL},
        {"data", LSY_STRING, offsetof(struct sy_store_config, data), 0, 0, NULL},
        {"parent", LSY_STRING, offsetof(struct sy_store_config, parent), 0, 0, NULL},
        {"steps", LSY_INT, offsetof(struct sy_store_config, steps), 0, 1e15, NULL},
        {"parent_step", LSY_INT, offsetof(struct sy_store_config, parent_step), 0, 1e15, NULL},
    };
    LSY_OPTIONS(L, arg, "store", rows, c);
}

static int l_create(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store_config c = {.dir = sy_runs_dir()};
    read_config(L, 1, &c);
    if (!c.name)
        return lsy_error(L, "store: no name given");
    struct box *b = new_box(L);
    b->store = sy_store_create(&c, &err);
    return b->store ? 1 : fail_open(L, &err);
}

static int l_claim(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *name = luaL_checkstring(L, 1), *dir = luaL_optstring(L, 2, sy_runs_dir());
    struct box *b = new_box(L);
    b->store = sy_store_claim(dir, name, &err);
    return b->store ? 1 : fail_open(L, &err);
}

static int store_fill(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *s = lsy_check_store(L);
    struct sy_store_config c = {0};
    read_config(L, 2, &c);
    if (sy_store_fill(s, &c, &err))
        return fail_open(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int store_inherit(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct box *from = luaL_checkudata(L, 2, META_STORE);
    luaL_argcheck(L, from->store != NULL, 2, "was closed");
    if (sy_store_inherit(lsy_check_store(L), from->store, &err))
        return fail_open(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

static int store_id(lua_State *L)
{
    lua_pushstring(L, sy_store_id(lsy_check_store(L)));
    return 1;
}

static int store_lost(lua_State *L)
{
    lua_pushboolean(L, sy_store_lost(lsy_check_store(L)));
    return 1;
}

struct opening {
    const char *dir;
    bool write;
};

static int l_open(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct opening o = {.dir = sy_runs_dir()};
    static const struct lsy_option rows[] = {
        {"dir", LSY_STRING, offsetof(struct opening, dir), 0, 0, NULL},
        {"write", LSY_BOOL, offsetof(struct opening, write), 0, 0, NULL},
    };
    const char *name = luaL_checkstring(L, 1);
    LSY_OPTIONS(L, 2, "store", rows, &o);
    struct box *b = new_box(L);
    b->store = o.write ? sy_store_open(o.dir, name, &err) : sy_store_open_read(o.dir, name, &err);
    return b->store ? 1 : fail_open(L, &err);
}

static int l_name_ok(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    bool fresh = lua_toboolean(L, 2);
    bool ok =
        strlen(name) == n && (fresh ? sy_store_name_new(name, &err) : sy_store_name_ok(name, &err));
    lua_pushboolean(L, ok);
    lua_pushstring(L, err.code ? err.msg
                      : ok     ? NULL
                               : "run: a name must not hold control characters");
    return 2;
}

/* ---- writing ---- */

static int store_flush(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    return lsy_true_or_fail(L, sy_store_flush(lsy_check_store(L), &err), &err);
}

static int store_remove(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct box *b = check_box(L);
    detach_store(b);
    return lsy_true_or_fail(L, sy_store_remove(b->store, &err), &err);
}

static int store_truncate(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t step = luaL_checkinteger(L, 2);
    if (lua_isboolean(L, 3))
        return lsy_true_or_fail(L, sy_store_truncate_rows(lsy_check_store(L), step, &err), &err);
    int64_t id = luaL_optinteger(L, 3, INT64_MAX);
    return lsy_true_or_fail(L, sy_store_truncate(lsy_check_store(L), step, id, &err), &err);
}

static double number_field(lua_State *L, const char *name, double otherwise)
{
    lua_getfield(L, 2, name);
    double v = lua_isnil(L, -1) ? otherwise : luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return v;
}

static int store_status(lua_State *L)
{
    struct sy_store *s = lsy_check_store(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct sy_store_status st = {.step = (int64_t)number_field(L, "step", 0),
                                 .steps = (int64_t)number_field(L, "steps", 0),
                                 .tokens = (int64_t)number_field(L, "tokens", 0),
                                 .loss = number_field(L, "loss", (double)NAN),
                                 .val_loss = number_field(L, "val_loss", (double)NAN)};
    lua_getfield(L, 2, "state");
    st.state = sy_run_state_find(luaL_checkstring(L, -1));
    if (st.state == SY_RUN_UNKNOWN)
        return lsy_error(L, "store: no run is in state '%s'", lua_tostring(L, -1));
    sy_store_set_status(s, &st);
    return 0;
}

const char *const lsy_store_tables[] = {"journal", "samples", "events", "code", NULL};

static int add_row(lua_State *L, enum sy_store_table table, int64_t step, const char *kind,
                   const char *text, const char *data, size_t n)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t id = sy_store_add(lsy_check_store(L), table, step, kind, text, data, n, &err);
    if (id < 0)
        return lsy_raise(L, &err);
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

static int store_add(lua_State *L)
{
    size_t n = 0;
    int table = luaL_checkoption(L, 2, NULL, lsy_store_tables);
    const char *data = luaL_optlstring(L, 6, NULL, &n);
    if (table == SY_STORE_EVENTS && sy_event_find(luaL_checkstring(L, 4)) < 0)
        return lsy_error(L, "store: there is no kind of event '%s'", lua_tostring(L, 4));
    return add_row(L, (enum sy_store_table)table, luaL_checkinteger(L, 3), luaL_checkstring(L, 4),
                   luaL_checkstring(L, 5), data, n);
}

static int store_note(lua_State *L)
{
    return add_row(L, SY_STORE_JOURNAL, luaL_checkinteger(L, 2), "note", luaL_checkstring(L, 3),
                   NULL, 0);
}

static int store_sample(lua_State *L)
{
    return add_row(L, SY_STORE_SAMPLES, luaL_checkinteger(L, 2), "", luaL_checkstring(L, 3), NULL,
                   0);
}

/* Rows of one series that the trainer's metrics lack, up to a step.  Those in memory are the
 * newest: only what is behind their last can be added. */
static int restore_series(struct sy_store *s, struct sy_metrics *m,
                          const struct sy_store_series *of, int64_t upto, struct sy_err *err)
{
    struct sy_history h;
    const char *name = of->name;
    int width = of->width;
    int at = sy_metrics_find(m, name); /* what the program makes says itself what it is */
    at = at < 0 ? sy_metrics_declare(m, name, width, &of->what, err)
                : sy_metrics_series(m, name, width, err);
    int64_t rows = at < 0 ? 0 : sy_metrics_rows(m, at), last = -1;
    float *row = at < 0 ? NULL : sy_alloc((size_t)width * sizeof *row);
    if (!row)
        return at < 0 ? -1 : sy_err_set(err, SY_E_MEMORY, "store: out of memory");
    if (rows)
        last = sy_metrics_last(m, at, row);
    sy_free(row);
    if (last >= upto)
        return 0;
    if (sy_store_history(s, name, -1, last + 1, upto, &h, err))
        return -1;
    for (int64_t i = 0; i < h.count; i++)
        sy_metrics_add(m, at, h.steps[i], h.values + i * h.width);
    sy_history_free(&h);
    return 0;
}

/* store:restore(run, step) -> true; or nil, message, code: all series of the store up to that step
 * into the memory of a run (held), behind what is there */
static int store_restore(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *store = lsy_check_store(L);
    struct sy_metrics *m = sy_trainer_metrics(lsy_check_trainer(L, 2));
    int64_t upto = luaL_checkinteger(L, 3);
    int n;
    struct sy_store_series *list = sy_store_series(store, &n, &err);
    int rc = list ? 0 : -1;
    for (int i = 0; i < n && !rc; i++)
        rc = restore_series(store, m, &list[i], upto, &err);
    sy_store_series_free(list, list ? n : 0);
    return lsy_true_or_fail(L, rc, &err);
}

/* ---- registration ---- */

static const luaL_Reg methods[] = {{"fill", store_fill},
                                   {"inherit", store_inherit},
                                   {"remove", store_remove},
                                   {"id", store_id},
                                   {"lost", store_lost},
                                   {"attach", store_attach},
                                   {"detach", store_detach},
                                   {"flush", store_flush},
                                   {"close", store_close},
                                   {"add", store_add},
                                   {"note", store_note},
                                   {"truncate", store_truncate},
                                   {"restore", store_restore},
                                   {"status", store_status},
                                   {"sample", store_sample},
                                   {NULL, NULL}};
/* engine.runs_dir() -> where runs are kept; with a text: from now on there */
static int l_runs_dir(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        setenv("SWITCHYARD_RUNS", luaL_checkstring(L, 1), 1);
    lua_pushstring(L, sy_runs_dir());
    return 1;
}

static const luaL_Reg functions[] = {{"store_create", l_create}, {"store_claim", l_claim},
                                     {"store_open", l_open},
                                     {"store_name_ok", l_name_ok}, {"runs_dir", l_runs_dir},
                                     {NULL, NULL}};

void lsy_open_store(lua_State *L)
{
    lsy_handle_meta(L, META_STORE, methods, store_gc);
    lsy_add_functions(L, functions);
}
