/* Runs: the trainer (switchyard/train.h) as a userdata, and what Lua asks of it.  Layer bind/run;
 * lua/run/run.lua makes of it what users see.  More methods: hyper.c, series.c, checkpoint.c,
 * journal.c, why.c.
 *
 *  1. A run's userdata is anchored in the registry: it lives until the program ends or run:close().
 *  2. None is made once the state is being closed (a __gc that trains): nobody would end its
 *     thread.
 *  3. Waiting for a trainer always serves the host's queue (host.h): it may be inside a hook. */
#include "bind/run/run.h"
#include "bind/core/args.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/core/state.h"
#include "bind/data/data.h"
#include "bind/run/live_source.h"
#include "bind/run/open.h"
#include "bind/run/run_int.h"
#include "bind/tensor/tensor.h"
#include "bind/thread/host.h"
#include "bind/thread/wait.h"

#include "base/hash.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "run/source.h"
#include "run/store.h"
#include "switchyard/train.h"
#include "train/optimizers/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EVAL_SLICE 4 /* batches of the plan */

static struct run *check_run(lua_State *L)
{
    struct run *r = luaL_checkudata(L, 1, META_RUN);
    if (!r->trainer)
        lsy_error(L, "run: it was closed");
    return r;
}

static int run_gc(lua_State *L)
{
    struct run *r = luaL_checkudata(L, 1, META_RUN);
    if (r->trainer) {
        lsy_run_stop(r);
        lsy_run_check_saved(r);
        lsy_runs_forget(r);
        lsy_store_release(r->trainer);
        lsy_live_source_close(r->look);
        sy_trainer_free(r->trainer);
        lsy_live_source_free(r->look);
        r->look = NULL;
        pthread_mutex_destroy(&r->lock);
    }
    r->trainer = NULL;
    return 0;
}

/* engine.check_alive(what): raises in a finalizer that runs at the end, where nothing that is made
 * is freed again */
static int l_check_alive(lua_State *L)
{
    return lsy_state(L)->closing ? lsy_error(L, "%s: the program is ending", luaL_checkstring(L, 1))
                                 : 0;
}

static const struct {
    const char *name, *help;
} samplings[] = { /* by enum sy_sample_mode */
#define X(id, name, help) {name, help},
    SY_SAMPLE_MAP(X)
#undef X
};

/* engine.samplings() -> list of {name, help} */
static int l_samplings(lua_State *L)
{
    lua_createtable(L, SY_SAMPLE_COUNT, 0);
    for (int i = 0; i < SY_SAMPLE_COUNT; i++) {
        lua_createtable(L, 0, 2);
        lsy_set_text(L, "name", samplings[i].name);
        lsy_set_text(L, "help", samplings[i].help);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static enum sy_sample_mode check_sampling(lua_State *L, int arg)
{
    const char *name = luaL_checkstring(L, arg);
    for (int i = 0; i < SY_SAMPLE_COUNT; i++)
        if (!strcmp(name, samplings[i].name))
            return (enum sy_sample_mode)i;
    return (enum sy_sample_mode)lsy_error(L, "train: unknown sampling '%s'", name);
}

/* Of the arguments of engine.trainer. */
static struct sy_train_config check_config(lua_State *L)
{
    struct sy_train_config c = {.name = luaL_checkstring(L, 1)};
    c.corpus = lsy_check_corpus(L, 4);
    c.objectives = lsy_objectives(L, 9);
    lsy_read_hyper(L, 5, &c.hyper);
    lua_getfield(L, 5, "sampling");
    c.sampling = lua_isnil(L, -1) ? SY_SAMPLE_RANDOM : check_sampling(L, -1);
    lua_getfield(L, 5, "by_step");
    c.by_step = lua_toboolean(L, -1);
    c.flops_per_token = luaL_checknumber(L, 6);
    c.bf16 = lua_toboolean(L, 7);
    c.peak = sy_cpu_peak(c.bf16);
    c.params = lsy_check_handle(L, 2, META_PARAMS);
    c.plan = lsy_check_handle(L, 3, META_PLAN);
    c.on_step = lsy_event_step;
    c.on_event = lsy_event_event;
    c.on_change = lsy_event_change;
    c.on_journal = lsy_event_journal;
    return c;
}

/* engine.trainer(name, params, plan, corpus, options, flops_per_token, bf16, hook function,
 * objectives or nil) -> run, running */
static int l_trainer(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    if (lsy_state(L)->closing) /* whoever came here otherwise than by train and train.resume */
        return lsy_error(L, "train: the program is ending");
    struct sy_train_config c = check_config(L);
    struct run *r = lua_newuserdatauv(L, sizeof *r, 1);
    memset(r, 0, sizeof *r);
    luaL_setmetatable(L, META_RUN);
    lua_pushvalue(L, 8);
    lua_setiuservalue(L, -2, 1);
    c.ctx = r;
    struct sy_trainer *t = sy_trainer_new(&c, &err);
    if (!t)
        return lsy_raise(L, &err);
    lsy_take_handle(L, 2, META_PARAMS); /* the trainer's now */
    lsy_take_handle(L, 3, META_PLAN);
    pthread_mutex_init(&r->lock, NULL);
    r->trainer = t;
    r->flops_per_token = c.flops_per_token;
    lsy_runs_add(r);
    lua_pushvalue(L, -1); /* a run lives until the program ends or run:close() */
    lua_rawsetp(L, LUA_REGISTRYINDEX, r);
    return 1;
}

/* Name i, from 1, of the list at `arg`: the list keeps it; "" where it is no text. */
static const char *name_in(lua_State *L, int arg, lua_Integer i)
{
    bool text = lua_rawgeti(L, arg, i) == LUA_TSTRING;
    const char *name = text ? lua_tostring(L, -1) : "";
    lua_pop(L, 1);
    return name;
}

/* How many there are; none where it is no table. */
static lua_Integer names_in(lua_State *L, int arg)
{
    return lua_istable(L, arg) ? (lua_Integer)lua_rawlen(L, arg) : 0;
}

static int call_list(lua_State *L, int arg, struct lsy_live_source *look,
                     enum sy_source_list list, struct sy_err *err)
{
    lua_Integer n = names_in(L, arg);
    for (lua_Integer i = 1; i <= n; i++)
        if (lsy_live_source_call(look, list, name_in(L, arg, i), err))
            return -1;
    return 0;
}

static int call_layers(lua_State *L, int arg, struct sy_trainer *t, struct sy_err *err)
{
    lua_Integer n = names_in(L, arg);
    for (lua_Integer i = 1; i <= n; i++)
        if (sy_trainer_call_layer(t, name_in(L, arg, i), err))
            return -1;
    return 0;
}

/* With the names at 3 to 5 on the board, before the run's thread may speak of it. */
static int show_run(lua_State *L, struct run *r, struct sy_err *err)
{
    r->look = lsy_live_source_new(r->trainer, r->flops_per_token, err);
    return r->look && !call_list(L, 3, r->look, SY_SOURCE_LAYERS, err) &&
                   !call_list(L, 4, r->look, SY_SOURCE_DATA, err) &&
                   !call_list(L, 5, r->look, SY_SOURCE_TRACE, err) &&
                   !lsy_live_source_show(r->look, err)
               ? 0
               : -1;
}

static void hide_run(struct run *r)
{
    lsy_live_source_close(r->look);
    lsy_live_source_free(r->look);
    r->look = NULL;
}

/* run:start(aside, layers, sources, tokens): aside: not to be looked at (a replay); the names of
 * its layers, of its data's sources and of the tokens that are traced, for those who look.  Of a
 * run that cannot start nothing is seen. */
static int run_start(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct run *r = check_run(L);
    bool shown = !lua_toboolean(L, 2) && !r->look;
    if (call_layers(L, 3, r->trainer, &err) || (shown && show_run(L, r, &err)) ||
        sy_trainer_start(r->trainer, &err)) {
        if (shown)
            hide_run(r);
        return lsy_raise(L, &err);
    }
    sy_board_changed(); /* who looked between these two has seen a run that pauses */
    return 0;
}

/* run:pack_rows(): it has no store as yet */
static int run_pack_rows(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_trainer_pack_rows(lsy_check_trainer(L, 1), &err))
        return lsy_error(L, "train: %s", err.msg);
    return 0;
}

/* run:homeless(why): it could not be given its directory */
static int run_homeless(lua_State *L)
{
    struct run *r = check_run(L);
    snprintf(r->homeless, sizeof r->homeless, "%s", luaL_checkstring(L, 2));
    return 0;
}

/* run:alarm(id, step, text): what the library found out; on, and told */
static int run_alarm(lua_State *L)
{
    struct run *r = check_run(L);
    int id = sy_alarm_find(luaL_checkstring(L, 2));
    int64_t step = luaL_checkinteger(L, 3);
    const char *text = luaL_checkstring(L, 4);
    if (id < 0)
        return lsy_error(L, "alarm: there is none of the id '%s'", lua_tostring(L, 2));
    sy_trainer_set_alarm(r->trainer, (enum sy_alarm)id, step, text);
    lsy_event_event(r, &(struct sy_event){SY_EVENT_ALARM, (enum sy_alarm)id, step, text});
    return 0;
}

/* run:watch{"DEAD", ...}: call Lua's dispatch at the border where one of these begins or ends;
 * those that are on begin now */
static int run_watch(lua_State *L)
{
    struct run *r = check_run(L);
    unsigned bits = 0;
    for (lua_Integer i = 1; lua_geti(L, 2, i) != LUA_TNIL; i++, lua_pop(L, 1)) {
        int id = sy_alarm_find(luaL_checkstring(L, -1));
        if (id < 0)
            return lsy_error(L, "alarm: there is none of the id '%s'", lua_tostring(L, -1));
        bits |= 1u << id;
    }
    atomic_store(&r->watched, bits);
    atomic_store(&r->seen, 0);
    return 0;
}

/* run:want_rewind(), of a hook: Run._auto_rewind (lua/run/rewind.lua) is called after it */
static int run_want_rewind(lua_State *L)
{
    lsy_run_rewind(check_run(L));
    return 0;
}

static int run_close(lua_State *L)
{
    struct run *r = luaL_checkudata(L, 1, META_RUN);
    if (r->in_hook)
        return lsy_error(L, "close: a hook cannot close its own run");
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, r);
    return run_gc(L);
}

/* run:status() -> table */
static int run_status(lua_State *L)
{
    struct sy_status s;
    sy_trainer_status(check_run(L)->trainer, &s);
    lua_createtable(L, 0, 17);
    lsy_set_text(L, "state", sy_run_state_name(s.state));
    lsy_set_integer(L, "step", s.step);
    lsy_set_integer(L, "steps", s.steps);
    lsy_set_integer(L, "tokens", s.tokens);
    lsy_set_integer(L, "dead", s.dead);
    lsy_set_integer(L, "disabled", s.disabled);
    lsy_set_integer(L, "skipped", s.skipped);
    lsy_set_number(L, "loss", s.loss);
    lsy_set_number(L, "val_loss", s.val_loss);
    lsy_set_number(L, "current_lr", s.lr);
    lsy_set_number(L, "grad_norm", s.grad_norm);
    lsy_set_number(L, "tok_s", s.tok_s);
    lsy_set_number(L, "mfu", s.mfu);
    lsy_set_number(L, "eta", s.eta);
    lsy_set_number(L, "load_max_mean", s.load_max_mean);
    if (s.error.code)
        lsy_set_text(L, "error", s.error.msg);
    return 1;
}

static int run_pause(lua_State *L) { sy_trainer_pause(check_run(L)->trainer); return 0; }
static int run_resume(lua_State *L) { sy_trainer_resume(check_run(L)->trainer); return 0; }
static int run_stop(lua_State *L) { sy_trainer_stop(check_run(L)->trainer); return 0; }

static int run_steps(lua_State *L)
{
    sy_trainer_steps(check_run(L)->trainer, luaL_checkinteger(L, 2));
    return 0;
}

/* given: what else is waited for, or NULL */
static const char *wait_text(struct sy_trainer *t, int64_t step, const char *given, char text[112])
{
    struct sy_status s;
    if (given)
        return given;
    sy_trainer_status(t, &s);
    snprintf(text, 112, "r:wait(), run '%s' to step %lld", sy_trainer_name(t),
             (long long)(step < s.steps ? step : s.steps));
    return text;
}

/* run:wait(step, what a job that waits says).  Elsewhere than in a job in slices, so that Ctrl-C
 * ends it and hooks of other runs are served; it looks at the run anew each time, for a hook or
 * another job may close it. */
static int wait_k(lua_State *L, int status, lua_KContext ctx)
{
    char what[112];
    int64_t step = luaL_optinteger(L, 2, INT64_MAX);
    const char *given = luaL_optstring(L, 3, NULL);
    (void)status;
    while (!sy_trainer_wait(check_run(L)->trainer, step, 0)) {
        if (lsy_interrupt_wanted())
            return lsy_raise_interrupted(L);
        if (lsy_may_yield(L))
            return lsy_yield(L, wait_text(check_run(L)->trainer, step, given, what), HUGE_VAL, ctx,
                             wait_k);
        if (!sy_trainer_wait(check_run(L)->trainer, step, 0.005) && sy_host_wait(L, 0.015) < 0)
            return lsy_raise_interrupted(L);
    }
    return 0;
}

static int run_wait(lua_State *L)
{
    if (check_run(L)->in_hook)
        return lsy_error(L, "wait: a hook cannot wait for its own run");
    return wait_k(L, LUA_OK, 0);
}

/* run:hold(): parked afterwards; run:release() ends it. */
static int return_nothing(lua_State *L)
{
    (void)L;
    return 0;
}

static int run_hold(lua_State *L)
{
    return lsy_held(L, return_nothing);
}

static int run_release(lua_State *L) { sy_trainer_release(check_run(L)->trainer); return 0; }

/* run:eval(batches) -> number.  Between slices Ctrl-C is seen, other jobs go on and other runs'
 * hooks are served, which may close this run or change its shapes.  ctx windows are done; on the
 * stack: batches, the sum of their losses, their context. */
static int eval_k(lua_State *L, int status, lua_KContext ctx)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t batches = lsy_check_int(L, 2, "eval", "number of batches", 1, INT32_MAX), at = ctx;
    (void)status;
    for (;;) {
        if (sy_host_wait(L, 0) < 0)
            return lsy_raise_interrupted(L);
        struct sy_trainer *t = check_run(L)->trainer;
        int64_t n = sy_trainer_eval_windows(t, batches, &err);
        const struct sy_plan *plan = sy_trainer_plan(t);
        int64_t slice = EVAL_SLICE * plan->batch, end = n - at < slice ? n : at + slice;
        double sum = lua_tonumber(L, 3);
        if (at && lua_tointeger(L, 4) != plan->context)
            return lsy_error(L, "eval: the context was changed meanwhile: it has other windows");
        if (n < 0 || sy_trainer_eval_sum(t, at, end, n, &sum, &err))
            return lsy_fail_or_raise(L, &err);
        at = end;
        lua_settop(L, 2);
        lua_pushnumber(L, at < n ? sum : sum / (double)n);
        if (at >= n)
            return 1;
        lua_pushinteger(L, plan->context);
        if (lsy_may_yield(L))
            return lsy_yield(L, "r:eval()", 0, (lua_KContext)at, eval_k);
    }
}

static int run_eval(lua_State *L)
{
    lua_settop(L, 2);
    lua_pushnumber(L, 0);
    return eval_k(L, LUA_OK, 0);
}

static int run_hash(lua_State *L)
{
    char hex[17];
    sy_hash_hex(sy_params_hash(sy_trainer_params(check_run(L)->trainer)), hex);
    lua_pushstring(L, hex);
    return 1;
}

/* run:replan(plan, flops_per_token) */
static int run_replan(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct run *r = check_run(L);
    struct sy_plan *plan = lsy_check_handle(L, 2, META_PLAN);
    if (sy_trainer_replan(r->trainer, plan, luaL_checknumber(L, 3), &err))
        return lsy_raise(L, &err);
    lsy_take_handle(L, 2, META_PLAN); /* the trainer's now */
    r->flops_per_token = lua_tonumber(L, 3);
    lsy_live_source_set_flops(r->look, r->flops_per_token);
    return 0;
}

/* run:states(tensors): the model's states from now on, of the plan that comes (held) */
static int run_states(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct run *r = check_run(L);
    int n = (int)luaL_len(L, 2);
    struct sy_tensor **list = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *list, 0);
    for (int i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1);
        list[i] = lsy_check_tensor(L, -1, "train", "state");
        lua_pop(L, 1);
    }
    return sy_trainer_set_states(r->trainer, list, n, &err) ? lsy_raise(L, &err) : 0;
}

/* run:frozen(prefix, expert) -> "all", "none" or "some" of these parameters; nothing: there are
 * none */
static int run_frozen(lua_State *L)
{
    int frozen, n = sy_params_frozen(sy_trainer_params(check_run(L)->trainer),
                                     luaL_checkstring(L, 2), (int)luaL_checkinteger(L, 3), &frozen);
    if (!n)
        return 0;
    lua_pushstring(L, !frozen ? "none" : frozen < n ? "some" : "all");
    return 1;
}

static int find_param(const struct sy_params *ps, const char *name)
{
    int i = ps->count;
    while (--i >= 0 && strcmp(ps->list[i].name, name) != 0)
        continue;
    return i;
}

/* run:kept(name) -> list: of each expert of a parameter the largest magnitude that the optimizer
 * keeps (the caller holds the run); nil: this optimizer keeps nothing */
static int run_kept(lua_State *L)
{
    struct sy_params *ps = sy_trainer_params(check_run(L)->trainer);
    int i = find_param(ps, luaL_checkstring(L, 2));
    if (i < 0)
        return lsy_error(L, "run: no such parameter: %s", lua_tostring(L, 2));
    if (!ps->nslots)
        return 0;
    const int64_t experts = ps->list[i].experts ? ps->list[i].experts : 1;
    lua_createtable(L, (int)experts, 0);
    for (int64_t e = 0; e < experts; e++) {
        lua_pushnumber(L, sy_params_kept(ps, i, e));
        lua_rawseti(L, -2, e + 1);
    }
    return 1;
}

/* run:forget(name, expert): zero what the optimizer keeps of a parameter, or of one expert
 * of it */
static int run_forget(lua_State *L)
{
    struct sy_params *ps = sy_trainer_params(check_run(L)->trainer);
    int i = find_param(ps, luaL_checkstring(L, 2));
    int64_t expert = luaL_optinteger(L, 3, -1);
    if (i < 0 || expert >= (ps->list[i].experts ? ps->list[i].experts : 1))
        return lsy_error(L, "run: no such parameter or expert: %s", lua_tostring(L, 2));
    sy_params_forget(ps, i, expert);
    return 0;
}

/* A line of parameter i, from 1 (train/params.h). */
static int64_t check_line(lua_State *L, int arg, const struct sy_params *ps, int i)
{
    int64_t line = luaL_checkinteger(L, arg);
    const struct sy_tensor *t = i < 0 ? NULL : ps->list[i].tensor;
    if (!t || !t->ndim || line < 1 || line > t->shape[0])
        lsy_error(L, "run: no such parameter or line: %s", lua_tostring(L, 2));
    return line - 1;
}

/* run:swap(name, a, b): exchange two lines of a parameter, from 1, with what the optimizer keeps of
 * them (held) */
static int run_swap(lua_State *L)
{
    struct sy_params *ps = sy_trainer_params(check_run(L)->trainer);
    int i = find_param(ps, luaL_checkstring(L, 2));
    int64_t a = check_line(L, 3, ps, i);
    sy_params_swap(ps, i, a, check_line(L, 4, ps, i));
    return 0;
}

/* run:blend(name, to, from, share): likewise, line `to` is share of itself and the rest of `from`
 */
static int run_blend(lua_State *L)
{
    struct sy_params *ps = sy_trainer_params(check_run(L)->trainer);
    int i = find_param(ps, luaL_checkstring(L, 2));
    int64_t to = check_line(L, 3, ps, i);
    sy_params_blend(ps, i, to, check_line(L, 4, ps, i), (float)luaL_checknumber(L, 5));
    return 0;
}

static int run_optimizer(lua_State *L)
{
    lua_pushstring(L, sy_trainer_params(check_run(L)->trainer)->optimizer->name);
    return 1;
}

/* run:state_bytes(): parameters, gradients, what the optimizer keeps and works in */
static int run_state_bytes(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)sy_params_bytes(sy_trainer_params(check_run(L)->trainer)));
    return 1;
}

/* run:note(kind, text) */
static int run_note(lua_State *L)
{
    const size_t most = sizeof((struct sy_journal_entry *)NULL)->text - 1;
    size_t n;
    const char *text = luaL_checklstring(L, 3, &n);
    if (n > most || strlen(text) < n)
        return lsy_error(L, "note: a text of %s: at most %d bytes, none of them 0",
                         lua_pushfstring(L, "%I bytes", (lua_Integer)n), (int)most);
    int kind = sy_entry_find(luaL_checkstring(L, 2));
    if (kind < 0 || sy_entry_row((enum sy_entry_kind)kind)->replay != SY_REPLAY_NOTED)
        return lsy_error(L, "note: '%s' is no kind of note", lua_tostring(L, 2));
    sy_trainer_note(check_run(L)->trainer, (enum sy_entry_kind)kind, text);
    return 0;
}

/* The lock is held. */
static void forget_hook(struct run *r, int64_t n)
{
    for (int i = r->nhooks - 1; i >= 0; i--)
        if (r->every[i] == n) {
            r->every[i] = r->every[--r->nhooks];
            return;
        }
}

/* run:every(n): a hook of this interval exists (run.lua dispatches); run:every(n, true): one
 * less */
static int run_every(lua_State *L)
{
    struct run *r = check_run(L);
    int64_t n = luaL_checkinteger(L, 2);
    if (lua_toboolean(L, 3)) {
        pthread_mutex_lock(&r->lock);
        forget_hook(r, n);
        pthread_mutex_unlock(&r->lock);
        return 0;
    }
    if (n < 1)
        return lsy_error(L, "every: the interval is %d, must be at least 1", (int)n);
    if (r->nhooks == MAX_HOOKS)
        return lsy_error(L, "every: a run has at most %d hooks", MAX_HOOKS);
    pthread_mutex_lock(&r->lock);
    r->every[r->nhooks++] = n;
    pthread_mutex_unlock(&r->lock);
    return 0;
}

static int run_profile(lua_State *L)
{
    struct sy_plan *plan = sy_trainer_plan(check_run(L)->trainer);
    char *s = sy_program_profile(plan->begin.program);
    lua_pushstring(L, s ? s : "");
    sy_free(s);
    return 1;
}

/* run:repeating(on): steps that were done before are done again */
static int run_repeating(lua_State *L)
{
    struct run *r = check_run(L);
    bool on = lua_toboolean(L, 2);
    lsy_hold(L, 1); /* here and not in C only, so that the host is served while we wait */
    sy_trainer_repeating(r->trainer, on);
    atomic_store(&r->repeating, on);
    sy_trainer_release(r->trainer);
    return 0;
}

/* run:in_hook() -> is one of its hooks running? */
static int run_in_hook(lua_State *L)
{
    lua_pushboolean(L, check_run(L)->in_hook);
    return 1;
}

/* run:settle(): what was set is in effect and in the journal (held) */
static int run_settle(lua_State *L)
{
    struct run *r = check_run(L);
    lsy_hold(L, 1);
    sy_trainer_settle(r->trainer);
    sy_trainer_release(r->trainer);
    return 0;
}

/* ---- registration ---- */

static const luaL_Reg run_methods[] = {
    {"start", run_start},           {"close", run_close},         {"homeless", run_homeless},
    {"alarm", run_alarm},           {"pack_rows", run_pack_rows}, {"status", run_status},
    {"pause", run_pause},           {"resume", run_resume},       {"stop", run_stop},
    {"steps", run_steps},           {"wait", run_wait},           {"hold", run_hold},
    {"release", run_release},       {"eval", run_eval},           {"hash", run_hash},
    {"replan", run_replan},         {"frozen", run_frozen},       {"note", run_note},
    {"every", run_every},           {"repeating", run_repeating}, {"in_hook", run_in_hook},
    {"watch", run_watch},           {"want_rewind", run_want_rewind},
    {"settle", run_settle},         {"profile", run_profile},     {"forget", run_forget},
    {"states", run_states},
    {"kept", run_kept},
    {"swap", run_swap},             {"blend", run_blend},
    {"state_bytes", run_state_bytes}, {"optimizer", run_optimizer}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"trainer", l_trainer},
                                     {"samplings", l_samplings},
                                     {"check_alive", l_check_alive},
                                     {NULL, NULL}};

void lsy_open_run(lua_State *L)
{
    lsy_handle_meta(L, META_RUN, run_methods, run_gc);
    lsy_add_functions(L, functions);
    lsy_runs_open();
}
