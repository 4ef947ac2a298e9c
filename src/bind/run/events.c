/* What the trainer tells of a run, on its thread, and who hears of it: hooks (on the Lua thread),
 * progress lines, the store, the panel, jobs that wait.  Layer bind/run.
 *
 *  1. A callback never waits for the Lua thread but in a hook, and then in sy_host_call alone,
 *     which run:close() cancels.
 *  2. While steps are repeated (a resume, a rewind, a replay) nothing is announced, no hook is
 *     called, nothing is written. */
#include "bind/core/error.h"
#include "bind/core/hint.h"
#include "bind/run/live_source.h"
#include "bind/run/run.h"
#include "bind/run/run_int.h"
#include "bind/thread/host.h"
#include "bind/thread/output.h"
#include "bind/thread/progress.h"
#include "bind/thread/wait.h"

#include "base/str.h"
#include "run/source.h"
#include "run/store.h"

#include <stdio.h>
#include <string.h>

/* The program is to end and hooks are not called any more: no steps without them until stop_all. */
static void stop_with_hooks(struct run *r)
{
    r->ending = true;
    sy_trainer_stop(r->trainer);
}

/* One line; where the error came from is in the message itself. */
static void hook_failed(struct run *r, const char *why)
{
    char line[512], text[600];
    if (sy_host_is_ending()) { /* no fault of the hook's */
        stop_with_hooks(r);
        return;
    }
    snprintf(line, sizeof line, "%s", why);
    line[strcspn(line, "\n")] = 0;
    snprintf(text, sizeof text, "hook at step %lld: %s", (long long)r->hook_step, line);
    lsy_progress_event(sy_trainer_name(r->trainer), SY_EVENT_HOOK, text);
    sy_trainer_note(r->trainer, SY_ENTRY_HOOK, line);
    sy_trainer_pause(r->trainer);
    lsy_run_failed(); /* it is paused now */
}

/* On the Lua thread: call the function that run.lua put into uservalue 1 with the step. */
static void call_hooks(lua_State *L, void *ctx)
{
    struct run *r = ctx;
    int top = lua_gettop(L);
    if (sy_host_is_ending()) {
        stop_with_hooks(r);
        return;
    }
    lua_pushcfunction(L, lsy_traceback);
    lua_rawgetp(L, LUA_REGISTRYINDEX, r);
    lua_getiuservalue(L, -1, 1);
    lua_pushinteger(L, (lua_Integer)r->hook_step);
    r->in_hook = true;
    lsy_print_aside(true);
    if (lua_pcall(L, 1, 0, top + 1) != LUA_OK) {
        lsy_hint(L);
        hook_failed(r, luaL_tolstring(L, -1, NULL));
    }
    lsy_print_aside(false);
    r->in_hook = false;
    lua_settop(L, top);
}

/* On the Lua thread, posted: nobody waits for it, and the run may be gone. */
static void call_with(lua_State *L, void *ctx, const char *word)
{
    int top = lua_gettop(L);
    lua_pushcfunction(L, lsy_traceback);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, ctx) == LUA_TUSERDATA) {
        lua_getiuservalue(L, -1, 1);
        lua_pushstring(L, word);
        lsy_print_aside(true);
        if (lua_pcall(L, 1, 0, top + 1) != LUA_OK && luaL_testudata(L, top + 2, META_RUN))
            hook_failed(ctx, luaL_tolstring(L, -1, NULL));
        lsy_print_aside(false);
    }
    lua_settop(L, top);
}

static void call_rewind(lua_State *L, void *ctx) { call_with(L, ctx, "rewind"); }
static void nobody_waits(void *ctx) { (void)ctx; }

void lsy_run_rewind(void *run)
{
    sy_trainer_want_rewind(((struct run *)run)->trainer);
    sy_host_post(call_rewind, run, nobody_waits);
}

static void call_renew(lua_State *L, void *ctx)
{
    call_with(L, ctx, "renew");
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, ctx) == LUA_TUSERDATA)
        atomic_store(&((struct run *)ctx)->renewing, false);
    lua_pop(L, 1);
}

void lsy_run_renew(void *run)
{
    struct run *r = run;
    if (!atomic_load(&r->closing) && !atomic_exchange(&r->renewing, true))
        sy_host_post(call_renew, r, nobody_waits);
}

static bool hooks_due(struct run *r, int64_t step)
{
    int64_t samples = (int64_t)sy_trainer_get(r->trainer, SY_HYPER_sample_every);
    bool due = samples && step % samples == 0;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < r->nhooks; i++)
        due |= step % r->every[i] == 0;
    pthread_mutex_unlock(&r->lock);
    return due;
}

/* An alarm that Lua acts on has begun or ended. */
static bool alarms_due(struct run *r, uint32_t on)
{
    return (atomic_exchange(&r->seen, on) ^ on) & atomic_load(&r->watched);
}

/* An alarm's data are its id.  line: what the store has of it. */
static void store_event(struct run *r, int64_t step, const char *name, const struct sy_event *e,
                        const char *line)
{
    const char *id = e->kind == SY_EVENT_ALARM ? sy_alarm_id(e->alarm) : NULL;
    pthread_mutex_lock(&r->lock);
    if (r->store)
        sy_store_post(r->store, SY_STORE_EVENTS, step, name, line, id, id ? strlen(id) : 0);
    pthread_mutex_unlock(&r->lock);
}

/* A state that it came to. */
static void store_state(struct run *r, const struct sy_status *s)
{
    struct sy_event e = {.kind = SY_EVENT_NOTE, .text = s->error.code ? s->error.msg : ""};
    store_event(r, s->step, sy_run_state_name(s->state), &e, e.text);
}

void lsy_event_step(void *ctx, const struct sy_status *s, bool evaluated)
{
    struct run *r = ctx;
    int64_t first, last;
    if (atomic_load(&r->repeating) && s->state != SY_RUN_FAILED)
        return;
    if (s->state == SY_RUN_PAUSED && sy_trainer_rewind_wanted(r->trainer, &first, &last))
        return; /* in a moment it goes on */
    if (s->state != SY_RUN_RUNNING)
        store_state(r, s);
    lsy_progress_step(sy_trainer_name(r->trainer), s, evaluated);
    if (s->state == SY_RUN_RUNNING)
        sy_board_stepped();
    else
        sy_board_changed();
    if (s->state != SY_RUN_RUNNING || atomic_load(&r->closing))
        return;
    bool alarms = alarms_due(r, s->alarms);
    if (hooks_due(r, s->step) || alarms) {
        r->hook_step = s->step;
        sy_host_call(call_hooks, r);
    }
}

/* Told when it was done first, so not where it is repeated. */
static bool is_told_once(enum sy_event_kind kind)
{
    return kind == SY_EVENT_ALARM || kind == SY_EVENT_SKIP;
}

/* It needs no line where a person reads; what went wrong does. */
static bool is_quiet(enum sy_event_kind kind)
{
    return kind == SY_EVENT_CHECKPOINT || kind == SY_EVENT_SKIP;
}

void lsy_event_event(void *ctx, const struct sy_event *e)
{
    struct run *r = ctx;
    if (atomic_load(&r->repeating) && is_told_once(e->kind))
        return;
    if (e->kind == SY_EVENT_REWIND) { /* told when it is done */
        if (!atomic_load(&r->closing))
            sy_host_post(call_rewind, r, nobody_waits);
        return;
    }
    char line[SY_EVENT_LINE];
    sy_event_line(e, line, sizeof line);
    if (!is_quiet(e->kind) || lsy_progress_get() == LSY_PROGRESS_JSON)
        lsy_progress_event(sy_trainer_name(r->trainer), e->kind, line);
    struct sy_status s;
    sy_trainer_status(r->trainer, &s);
    struct sy_saved saved;
    if (e->kind == SY_EVENT_CHECKPOINT && sy_trainer_saved(r->trainer, &saved))
        s.step = saved.step; /* it was written while the run went on */
    store_event(r, s.step, sy_event_name(e->kind), e, line);
    if (!sy_event_in_journal(e->kind))
        lsy_live_source_event(r->look, s.step, e);
}

void lsy_event_journal(void *ctx, const struct sy_journal_entry *e)
{
    struct run *r = ctx;
    if (atomic_load(&r->repeating))
        return;
    pthread_mutex_lock(&r->lock);
    if (r->store)
        sy_store_post_entry(r->store, e);
    pthread_mutex_unlock(&r->lock);
}

void lsy_store_link(void *run, struct sy_store *store)
{
    struct run *r = run;
    pthread_mutex_lock(&r->lock);
    r->store = store;
    pthread_mutex_unlock(&r->lock);
}

void lsy_run_mark(void *run, int64_t step, const struct sy_event *e)
{
    struct run *r = run;
    lsy_live_source_event(r->look, step, e);
}

void lsy_run_housed(void *run)
{
    struct run *r = run;
    if (*r->homeless)
        sy_trainer_set_alarm(r->trainer, SY_ALARM_RECORD, 0, NULL);
    *r->homeless = 0;
}

void lsy_event_change(void *ctx)
{
    struct run *r = ctx;
    pthread_mutex_lock(&r->lock);
    if (r->store)
        sy_store_wake(r->store);
    pthread_mutex_unlock(&r->lock);
    lsy_wake();
}
