/* Lua's side of tracing, programs and training: the functions of the module "switchyard.engine" on
 * which lua/ builds model, train and the run objects.  Not for users: arguments are trusted to be of
 * the right kind, but never to be in range.
 *
 *   engine.phase(...)                forward, backward and plan of one training or evaluation pass
 *   engine.params, engine.plan, engine.trainer -> run (methods below)
 */
#include "bind/data.h"
#include "bind/handle.h"
#include "bind/host.h"
#include "bind/progress.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/utf8.h"
#include "cpu/cpu.h"
#include "ops/op.h"
#include "run/metrics.h"
#include "switchyard/graph.h"
#include "switchyard/train.h"
#include "train/params.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_PHASE "switchyard.phase"
#define META_PARAMS "switchyard.params"
#define META_PLAN "switchyard.plan"
#define META_RUN "switchyard.trainer"

#define MAX_HOOKS 32

struct run {
    struct sy_trainer *trainer;
    struct run *next; /* of open_runs */
    pthread_mutex_t lock;
    int64_t every[MAX_HOOKS]; /* guarded by lock */
    int nhooks;
    lua_State *L;  /* main state, Lua thread only */
    bool in_hook;  /* Lua thread only */
    int64_t hook_step;
};

/* ---- parameters ---- */

static int params_gc(lua_State *L)
{
    sy_params_free(lsy_take_handle(L, 1, META_PARAMS));
    return 0;
}

static void **tensor_list(lua_State *L, int arg, int *n)
{
    *n = (int)luaL_len(L, arg);
    void **list = lua_newuserdatauv(L, (size_t)(*n + 1) * sizeof *list, 0);
    for (int i = 0; i < *n; i++) {
        lua_geti(L, arg, i + 1);
        list[i] = lsy_check_tensor(L, -1, "train", "parameter");
        lua_pop(L, 1);
    }
    return list;
}

/* engine.params(tensors, names, experts, states) */
static int l_params(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int n, nstates;
    struct sy_tensor **tensors = (struct sy_tensor **)tensor_list(L, 1, &n);
    struct sy_tensor **states = (struct sy_tensor **)tensor_list(L, 4, &nstates);
    const char **names = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *names, 0);
    int64_t *experts = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *experts, 0);
    for (int i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1);
        names[i] = luaL_checkstring(L, -1);
        lua_geti(L, 3, i + 1);
        experts[i] = luaL_checkinteger(L, -1);
        lua_pop(L, 2);
    }
    void **slot = lsy_new_handle(L, META_PARAMS);
    if (lsy_room(sy_params_bytes(tensors, n), "train: parameters, gradients and AdamW state", &err) ||
        !(*slot = sy_params_new(tensors, names, experts, n, states, nstates, &err)))
        return lsy_raise(L, &err);
    return 1;
}

/* ---- phases and plans ---- */

static void phase_free(struct sy_phase *p)
{
    if (!p)
        return;
    sy_program_free(p->program);
    sy_tensor_unref(p->tokens);
    sy_tensor_unref(p->targets);
    sy_tensor_unref(p->documents);
    sy_tensor_unref(p->loss);
    sy_graph_free(p->graph);
    sy_free(p);
}

static int phase_gc(lua_State *L)
{
    phase_free(lsy_take_handle(L, 1, META_PHASE));
    return 0;
}

static int phase_bytes(lua_State *L)
{
    struct sy_phase *p = lsy_check_handle(L, 1, META_PHASE);
    lua_pushinteger(L, (lua_Integer)sy_program_bytes(p->program));
    lua_pushinteger(L, sy_program_length(p->program));
    lua_pushnumber(L, sy_program_flops(p->program));
    return 3;
}

/* Backward pass of `total` into the flat gradients.  Fills grads (owned). */
static int derive(struct sy_graph *g, struct sy_tensor *total, struct sy_params *ps,
                  struct sy_tensor **grads, struct sy_tensor **wrt, float **to, bool recompute,
                  struct sy_err *err)
{
    int forward = sy_graph_length(g);
    for (int i = 0; i < ps->count; i++) {
        wrt[i] = ps->list[i].tensor;
        to[i] = ps->g + ps->list[i].offset;
    }
    if (sy_grad(total, wrt, ps->count, grads, err))
        return -1;
    return recompute ? sy_graph_recompute(g, forward, err) : 0;
}

/* Flat parameters before a run has them, or those of a run (which the caller holds). */
static struct sy_params *check_params(lua_State *L, int arg)
{
    struct run *r = luaL_testudata(L, arg, META_RUN);
    return r && r->trainer ? sy_trainer_params(r->trainer) : lsy_check_handle(L, arg, META_PARAMS);
}

/* engine.phase(graph, kind, loss, total, params or run, recompute): kind "first", "more" (adds gradients) or "eval".
 * Takes the graph, which must still record; its inputs are "tokens", "targets", "documents". */
static int l_phase(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *kind = luaL_checkstring(L, 2);
    struct sy_tensor *loss = lsy_check_tensor(L, 3, "phase", "loss");
    struct sy_tensor *total = lsy_check_tensor(L, 4, "phase", "total");
    bool eval = !strcmp(kind, "eval");
    struct sy_params *ps = eval ? NULL : check_params(L, 5);
    size_t n = ps ? (size_t)ps->count : 0;
    struct sy_tensor **grads = lua_newuserdatauv(L, (3 * n + 1) * sizeof(void *), 0);
    struct sy_tensor **wrt = grads + n;
    float **to = (float **)(wrt + n);
    void **slot = lsy_new_handle(L, META_PHASE);
    struct sy_phase *p = *slot = sy_calloc(1, sizeof *p);
    if (!p)
        return lsy_error(L, "train: out of memory");
    memset(grads, 0, n * sizeof *grads);
    struct sy_graph *g = lsy_check_handle(L, 1, META_GRAPH);
    int rc = ps ? derive(g, total, ps, grads, wrt, to, lua_toboolean(L, 6), &err) : 0;
    p->graph = lsy_take_handle(L, 1, META_GRAPH);
    sy_graph_end(p->graph);
    p->tokens = sy_tensor_ref(sy_graph_find_input(p->graph, "tokens"));
    p->targets = sy_tensor_ref(sy_graph_find_input(p->graph, "targets"));
    p->documents = sy_tensor_ref(sy_graph_find_input(p->graph, "documents"));
    p->loss = sy_tensor_ref(loss);
    struct sy_program_spec spec = {.outputs = &loss, .noutputs = 1, .grads = grads, .grad_to = to,
                                   .ngrads = (int)n, .add_grads = !strcmp(kind, "more")};
    if (!rc)
        p->program = sy_program_new(p->graph, &spec, &err);
    for (size_t i = 0; i < n; i++)
        sy_tensor_unref(grads[i]);
    return p->program ? 1 : lsy_raise(L, &err);
}

static int plan_gc(lua_State *L)
{
    sy_plan_free(lsy_take_handle(L, 1, META_PLAN));
    return 0;
}

static void move_phase(lua_State *L, int arg, struct sy_phase *to)
{
    struct sy_phase *p = lua_isnoneornil(L, arg) ? NULL : lsy_take_handle(L, arg, META_PHASE);
    if (p)
        *to = *p;
    sy_free(p);
}

/* engine.plan(first, more or nil, eval, batch, context, accumulate) -> plan, arena bytes */
static int l_plan(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t batch = luaL_checkinteger(L, 4), context = luaL_checkinteger(L, 5);
    int64_t accumulate = luaL_checkinteger(L, 6);
    size_t most = 0;
    for (int i = 1; i <= 3; i++)
        if (!lua_isnoneornil(L, i)) {
            struct sy_phase *p = lsy_check_handle(L, i, META_PHASE);
            size_t bytes = sy_program_bytes(p->program);
            most = bytes > most ? bytes : most;
        }
    if (lsy_room(most, "train: activations", &err))
        return lsy_raise(L, &err);
    void **slot = lsy_new_handle(L, META_PLAN);
    struct sy_plan *plan = *slot = sy_calloc(1, sizeof *plan);
    if (!plan)
        return lsy_error(L, "train: out of memory");
    move_phase(L, 1, &plan->first);
    move_phase(L, 2, &plan->more);
    move_phase(L, 3, &plan->eval);
    plan->batch = batch;
    plan->context = context;
    plan->accumulate = accumulate;
    if (sy_plan_attach(plan, &err))
        return lsy_raise(L, &err);
    lua_pushinteger(L, (lua_Integer)plan->arena_bytes);
    return 2;
}

/* ---- runs ---- */

static struct run *check_run(lua_State *L)
{
    struct run *r = luaL_checkudata(L, 1, META_RUN);
    if (!r->trainer)
        lsy_error(L, "run: it was closed");
    return r;
}

/* All runs that are open, for the program's end; Lua thread only. */
static struct run *open_runs;

static void forget_run(struct run *r)
{
    for (struct run **at = &open_runs; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            return;
        }
}

static int run_gc(lua_State *L)
{
    struct run *r = luaL_checkudata(L, 1, META_RUN);
    if (r->trainer) {
        forget_run(r);
        sy_trainer_free(r->trainer);
        pthread_mutex_destroy(&r->lock);
    }
    r->trainer = NULL;
    return 0;
}

/* On the Lua thread: call the function that run.lua put into uservalue 1 with the step. */
static void call_hooks(lua_State *L, void *ctx)
{
    struct run *r = ctx;
    int top = lua_gettop(L);
    lua_pushcfunction(L, lsy_traceback);
    lua_rawgetp(L, LUA_REGISTRYINDEX, r);
    lua_getiuservalue(L, -1, 1);
    lua_pushinteger(L, (lua_Integer)r->hook_step);
    r->in_hook = true;
    if (lua_pcall(L, 1, 0, top + 1) != LUA_OK) {
        lsy_progress_line("hook: %s", lua_tostring(L, -1));
        sy_trainer_note(r->trainer, "hook", "an error in a hook; the run is paused");
        sy_trainer_pause(r->trainer);
    }
    r->in_hook = false;
    lua_settop(L, top);
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

static void on_step(void *ctx, const struct sy_status *s, bool evaluated)
{
    struct run *r = ctx;
    lsy_progress_step(sy_trainer_name(r->trainer), s, evaluated);
    if (s->state == SY_RUN_RUNNING && hooks_due(r, s->step)) {
        r->hook_step = s->step;
        sy_host_call(call_hooks, r);
    }
}

static void read_hyper(lua_State *L, int arg, struct sy_hyper *h)
{
    sy_hyper_defaults(h);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        lua_getfield(L, arg, sy_hyper_spec((enum sy_hyper_id)i)->name);
        if (!lua_isnil(L, -1))
            h->v[i] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    lua_getfield(L, arg, "schedule");
    int s = lua_isnil(L, -1) ? SY_COSINE : sy_schedule_parse(luaL_checkstring(L, -1));
    h->schedule = s < 0 ? SY_COSINE : (enum sy_schedule)s;
    lua_pop(L, 1);
}

/* engine.trainer(name, params, plan, corpus, options, flops_per_token, bf16, hook function) -> run, running */
static int l_trainer(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_train_config c = {.name = luaL_checkstring(L, 1)};
    c.corpus = lsy_check_corpus(L, 4);
    read_hyper(L, 5, &c.hyper);
    lua_getfield(L, 5, "sampling");
    c.sampling = (enum sy_sample_mode)luaL_optinteger(L, -1, SY_SAMPLE_RANDOM);
    c.flops_per_token = luaL_checknumber(L, 6);
    c.peak = sy_cpu_peak(lua_toboolean(L, 7));
    c.params = lsy_check_handle(L, 2, META_PARAMS);
    c.plan = lsy_check_handle(L, 3, META_PLAN);
    struct run *r = lua_newuserdatauv(L, sizeof *r, 1);
    memset(r, 0, sizeof *r);
    luaL_setmetatable(L, META_RUN);
    lua_pushvalue(L, 8);
    lua_setiuservalue(L, -2, 1);
    c.on_step = on_step;
    c.ctx = r;
    struct sy_trainer *t = sy_trainer_new(&c, &err);
    if (!t)
        return lsy_raise(L, &err);
    lsy_take_handle(L, 2, META_PARAMS); /* the trainer's now */
    lsy_take_handle(L, 3, META_PLAN);
    pthread_mutex_init(&r->lock, NULL);
    r->trainer = t;
    r->next = open_runs;
    open_runs = r;
    lua_pushvalue(L, -1); /* a run lives until the program ends or run:close() */
    lua_rawsetp(L, LUA_REGISTRYINDEX, r);
    return 1;
}

static int run_start(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_trainer_start(check_run(L)->trainer, &err))
        return lsy_raise(L, &err);
    return 0;
}

static int run_close(lua_State *L)
{
    struct run *r = luaL_checkudata(L, 1, META_RUN);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, r);
    return run_gc(L);
}

static void set_number(lua_State *L, const char *name, double v)
{
    if (isnan(v))
        return;
    lua_pushnumber(L, v);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

/* run:status() -> table */
static int run_status(lua_State *L)
{
    struct sy_status s;
    sy_trainer_status(check_run(L)->trainer, &s);
    lua_createtable(L, 0, 16);
    lua_pushstring(L, sy_run_state_name(s.state));
    lua_setfield(L, -2, "state");
    set_integer(L, "step", s.step);
    set_integer(L, "steps", s.steps);
    set_integer(L, "tokens", s.tokens);
    set_integer(L, "dead", s.dead);
    set_number(L, "loss", s.loss);
    set_number(L, "val_loss", s.val_loss);
    set_number(L, "current_lr", s.lr);
    set_number(L, "grad_norm", s.grad_norm);
    set_number(L, "tok_s", s.tok_s);
    set_number(L, "mfu", s.mfu);
    set_number(L, "eta", s.eta);
    set_number(L, "load_max_mean", s.load_max_mean);
    if (s.error.code) {
        lua_pushstring(L, s.error.msg);
        lua_setfield(L, -2, "error");
    }
    return 1;
}

/* run:get(name) -> number (or the schedule's name); nil for an unknown one */
static int run_get(lua_State *L)
{
    struct sy_trainer *t = check_run(L)->trainer;
    const char *name = luaL_checkstring(L, 2);
    int id = sy_hyper_find(name);
    if (!strcmp(name, "schedule"))
        lua_pushstring(L, sy_schedule_name(sy_trainer_schedule(t)));
    else if (id < 0)
        lua_pushnil(L);
    else if (sy_hyper_spec((enum sy_hyper_id)id)->integer)
        lua_pushinteger(L, (lua_Integer)sy_trainer_get(t, (enum sy_hyper_id)id));
    else
        lua_pushnumber(L, sy_trainer_get(t, (enum sy_hyper_id)id));
    return 1;
}

/* run:set(name, value) -> "next" or "plan" (the caller must trace again) */
static int run_set(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = check_run(L)->trainer;
    const char *name = luaL_checkstring(L, 2);
    if (!strcmp(name, "schedule")) {
        int s = sy_schedule_parse(luaL_checkstring(L, 3));
        if (s < 0)
            return lsy_error(L, "train: unknown schedule '%s'; there are cosine, wsd, linear, constant",
                             lua_tostring(L, 3));
        sy_trainer_set_schedule(t, (enum sy_schedule)s);
        lua_pushliteral(L, "next");
        return 1;
    }
    int id = sy_hyper_find(name);
    if (id < 0 || !lua_isnumber(L, 3))
        return lsy_error(L, "train: %s must be a number, got %s", name, luaL_typename(L, 3));
    if (sy_trainer_set(t, (enum sy_hyper_id)id, lua_tonumber(L, 3), &err))
        return lsy_raise(L, &err);
    lua_pushstring(L, sy_hyper_spec((enum sy_hyper_id)id)->live == SY_LIVE_PLAN ? "plan" : "next");
    return 1;
}

/* run:set_input(name, tensor) */
static int run_set_input(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = check_run(L)->trainer;
    struct sy_tensor *x = lsy_check_data(L, 3, "run", "value");
    if (x->dtype != SY_F32 || !sy_tensor_contiguous(x))
        return lsy_error(L, "run: the value of an input must be contiguous f32");
    if (sy_trainer_set_input(t, luaL_checkstring(L, 2), sy_data(x), sy_tensor_count(x), &err))
        return lsy_raise(L, &err);
    return 0;
}

static int run_pause(lua_State *L) { sy_trainer_pause(check_run(L)->trainer); return 0; }
static int run_resume(lua_State *L) { sy_trainer_resume(check_run(L)->trainer); return 0; }
static int run_stop(lua_State *L) { sy_trainer_stop(check_run(L)->trainer); return 0; }

static int run_steps(lua_State *L)
{
    sy_trainer_steps(check_run(L)->trainer, luaL_checkinteger(L, 2));
    return 0;
}

/* Wait in slices, so that Ctrl-C ends it and hooks of other runs are served. */
static int run_wait(lua_State *L)
{
    struct run *r = check_run(L);
    int64_t step = luaL_optinteger(L, 2, INT64_MAX);
    if (r->in_hook)
        return lsy_error(L, "wait: a hook cannot wait for its own run");
    while (!sy_trainer_wait(r->trainer, step, 0.005))
        if (sy_host_wait(L, 0.015) < 0)
            return lsy_raise_interrupted(L);
    return 0;
}

/* run:hold(): parked afterwards; run:release() ends it. */
static int run_hold(lua_State *L)
{
    struct run *r = check_run(L);
    sy_trainer_hold(r->trainer);
    while (!sy_trainer_held(r->trainer, 0.005))
        if (sy_host_wait(L, 0.005) < 0) {
            sy_trainer_release(r->trainer);
            return lsy_raise_interrupted(L);
        }
    return 0;
}

static int run_release(lua_State *L) { sy_trainer_release(check_run(L)->trainer); return 0; }

static int run_eval(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = check_run(L)->trainer;
    double v = sy_trainer_eval(t, luaL_checkinteger(L, 2), &err);
    if (err.code)
        return lsy_fail_or_raise(L, &err);
    lua_pushnumber(L, v);
    return 1;
}

static int run_hash(lua_State *L)
{
    char hex[17];
    sy_hash_hex(sy_params_hash(sy_trainer_params(check_run(L)->trainer)), hex);
    lua_pushstring(L, hex);
    return 1;
}

static int run_replan(lua_State *L)
{
    struct run *r = check_run(L);
    sy_trainer_replan(r->trainer, lsy_take_handle(L, 2, META_PLAN));
    return 0;
}

static int run_freeze(lua_State *L)
{
    sy_params_freeze(sy_trainer_params(check_run(L)->trainer), luaL_checkstring(L, 2),
                     (int)luaL_checkinteger(L, 3), lua_toboolean(L, 4));
    return 0;
}

static struct sy_param *find_param(struct sy_params *ps, const char *name)
{
    for (int i = 0; i < ps->count; i++)
        if (!strcmp(ps->list[i].name, name))
            return &ps->list[i];
    return NULL;
}

/* run:clear_moments(name, expert): zero Adam's state of a parameter, or of one expert of it */
static int run_clear_moments(lua_State *L)
{
    struct sy_params *ps = sy_trainer_params(check_run(L)->trainer);
    struct sy_param *p = find_param(ps, luaL_checkstring(L, 2));
    int64_t expert = luaL_optinteger(L, 3, -1);
    if (!p || expert >= (p->experts ? p->experts : 1))
        return lsy_error(L, "run: no such parameter or expert: %s", lua_tostring(L, 2));
    int64_t n = expert < 0 || !p->experts ? p->count : p->count / p->experts;
    int64_t at = p->offset + (expert < 0 ? 0 : expert * n);
    memset(ps->m + at, 0, (size_t)n * sizeof(float));
    memset(ps->v + at, 0, (size_t)n * sizeof(float));
    return 0;
}

/* run:note(kind, text) */
static int run_note(lua_State *L)
{
    sy_trainer_note(check_run(L)->trainer, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    return 0;
}

/* run:journal() -> list of {step, kind, text} */
static int run_journal(lua_State *L)
{
    struct sy_trainer *t = check_run(L)->trainer;
    struct sy_journal_entry e;
    lua_newtable(L);
    for (int i = 0; sy_trainer_journal(t, i, &e, 1) == 1; i++) {
        lua_createtable(L, 0, 3);
        set_integer(L, "step", e.step);
        lua_pushstring(L, e.kind);
        lua_setfield(L, -2, "kind");
        lua_pushstring(L, e.text);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* run:every(n): a hook of this interval exists (run.lua dispatches) */
static int run_every(lua_State *L)
{
    struct run *r = check_run(L);
    int64_t n = luaL_checkinteger(L, 2);
    if (n < 1)
        return lsy_error(L, "every: the interval is %d, must be at least 1", (int)n);
    if (r->nhooks == MAX_HOOKS)
        return lsy_error(L, "every: a run has at most %d hooks", MAX_HOOKS);
    pthread_mutex_lock(&r->lock);
    r->every[r->nhooks++] = n;
    pthread_mutex_unlock(&r->lock);
    return 0;
}

/* run:series() -> {name = width, ...} */
static int run_series(lua_State *L)
{
    struct sy_metrics *m = sy_trainer_metrics(check_run(L)->trainer);
    lua_newtable(L);
    for (int i = 0; i < sy_metrics_count(m); i++)
        set_integer(L, sy_metrics_name(m, i), sy_metrics_width(m, i));
    return 1;
}

/* run:history(name, column) -> tensor (n,2) f64 of step, value; nil for an unknown series */
static int run_history(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_trainer_metrics(check_run(L)->trainer);
    int s = sy_metrics_find(m, luaL_checkstring(L, 2));
    int64_t column = luaL_optinteger(L, 3, 1) - 1;
    if (s < 0 || column < 0 || column >= sy_metrics_width(m, s))
        return 0;
    int64_t n = sy_metrics_rows(m, s), shape[2] = {n, 2};
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_empty(SY_F64, 2, shape, &err)))
        return lsy_raise(L, &err);
    double *out = sy_data(*slot);
    for (int64_t i = 0; i < n; i++) {
        int64_t step;
        float value;
        if (sy_metrics_read(m, s, (int)column, i, 1, &step, &value) == 1) {
            out[2 * i] = (double)step;
            out[2 * i + 1] = (double)value;
        }
    }
    return 1;
}

/* run:last(name) -> table of the newest row's values, and its step; nothing when there is none */
static int run_last(lua_State *L)
{
    float row[4096];
    struct sy_metrics *m = sy_trainer_metrics(check_run(L)->trainer);
    int s = sy_metrics_find(m, luaL_checkstring(L, 2));
    int64_t step = s < 0 || sy_metrics_width(m, s) > 4096 ? -1 : sy_metrics_last(m, s, row);
    if (step < 0)
        return 0;
    lua_createtable(L, sy_metrics_width(m, s), 0);
    for (int i = 0; i < sy_metrics_width(m, s); i++) {
        lua_pushnumber(L, (double)row[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushinteger(L, (lua_Integer)step);
    return 2;
}

static int run_profile(lua_State *L)
{
    struct sy_plan *plan = sy_trainer_plan(check_run(L)->trainer);
    char *s = sy_program_profile(plan->first.program);
    lua_pushstring(L, s ? s : "");
    sy_free(s);
    return 1;
}

/* ---- small tools for lua/ ---- */

/* engine.fill(tensor, std, seed, index): normal with mean 0, element i a function of (seed, index, i) */
static int l_fill(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "fill", "tensor");
    float std = (float)luaL_checknumber(L, 2);
    struct sy_rng r = {.seed = (uint64_t)luaL_checkinteger(L, 3), .purpose = SY_RNG_INIT,
                       .step = (uint64_t)luaL_checkinteger(L, 4)};
    float *x = sy_data(t);
    int64_t n = sy_tensor_count(t);
    if (t->dtype != SY_F32 || !sy_tensor_contiguous(t))
        return lsy_error(L, "fill: the tensor must be contiguous f32");
    sy_rng_fill_normal(&r, 0, x, n);
    for (int64_t i = 0; i < n; i++)
        x[i] *= std;
    return 0;
}

/* engine.copy(to, from): bytes of equal dtype and shape; engine for writing inputs */
static int l_copy(lua_State *L)
{
    struct sy_tensor *to = lsy_check_data(L, 1, "copy", "to");
    struct sy_tensor *from = lsy_check_data(L, 2, "copy", "from");
    if (to->dtype != from->dtype || sy_tensor_bytes(to) != sy_tensor_bytes(from) ||
        !sy_tensor_contiguous(to) || !sy_tensor_contiguous(from))
        return lsy_error(L, "copy: dtypes, sizes or layouts differ");
    memcpy(sy_data(to), sy_data(from), sy_tensor_bytes(to));
    return 0;
}

/* engine.put(tensor, {numbers}) from the first element on */
static int l_put(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "put", "tensor");
    int64_t n = luaL_len(L, 2);
    if (n > sy_tensor_count(t))
        return lsy_error(L, "put: %d numbers into a tensor of %d", (int)n, (int)sy_tensor_count(t));
    for (int64_t i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1);
        sy_tensor_set(t, i, lua_tonumber(L, -1));
        lua_pop(L, 1);
    }
    return 0;
}

struct choice {
    float logit;
    int32_t id;
};

static int larger_logit(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    return x->logit < y->logit ? 1 : x->logit > y->logit ? -1 : x->id - y->id;
}

/* Draw from softmax(logits / temperature) cut to the top_k likeliest and to the smallest set of
 * mass top_p.  Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (nucleus). */
static int32_t draw(struct choice *c, int64_t n, double temperature, int64_t top_k, double top_p,
                    double u)
{
    qsort(c, (size_t)n, sizeof *c, larger_logit);
    if (temperature <= 0)
        return c[0].id;
    n = top_k > 0 && top_k < n ? top_k : n;
    double sum = 0, kept = 0, best = (double)c[0].logit;
    for (int64_t i = 0; i < n; i++)
        sum += exp(((double)c[i].logit - best) / temperature);
    int64_t m = 0;
    while (m < n && (m == 0 || kept < top_p * sum))
        kept += exp(((double)c[m++].logit - best) / temperature);
    double at = u * kept;
    for (int64_t i = 0; i < m; i++)
        if ((at -= exp(((double)c[i].logit - best) / temperature)) < 0)
            return c[i].id;
    return c[m - 1].id;
}

/* engine.draw(logits, row, temperature, top_k, top_p, seed, index) -> id */
static int l_draw(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "generate", "logits");
    int64_t n = t->shape[t->ndim - 1], row = luaL_checkinteger(L, 2) - 1;
    const float *x = (const float *)sy_data(t) + row * n;
    struct choice *c = sy_alloc((size_t)n * sizeof *c);
    struct sy_rng r = {.seed = (uint64_t)luaL_checkinteger(L, 6), .purpose = SY_RNG_SAMPLE};
    if (!c)
        return lsy_error(L, "generate: out of memory");
    for (int64_t i = 0; i < n; i++)
        c[i] = (struct choice){isnan(x[i]) ? -INFINITY : x[i], (int32_t)i};
    int32_t id = draw(c, n, luaL_checknumber(L, 3), luaL_checkinteger(L, 4), luaL_checknumber(L, 5),
                      sy_rng_uniform(&r, (uint64_t)luaL_checkinteger(L, 7)));
    sy_free(c);
    lua_pushinteger(L, id);
    return 1;
}

/* engine.hyper() -> list of {name, integer, least, most, default, live, help} in order */
static int l_hyper(lua_State *L)
{
    static const char *const live[] = {"next", "plan", "never"};
    lua_newtable(L);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        const struct sy_hyper_spec *s = sy_hyper_spec((enum sy_hyper_id)i);
        lua_createtable(L, 0, 7);
        lua_pushstring(L, s->name);
        lua_setfield(L, -2, "name");
        lua_pushboolean(L, s->integer);
        lua_setfield(L, -2, "integer");
        set_number(L, "least", s->least);
        set_number(L, "most", s->most);
        set_number(L, "default", s->preset);
        lua_pushstring(L, live[s->live]);
        lua_setfield(L, -2, "live");
        lua_pushstring(L, s->help);
        lua_setfield(L, -2, "help");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* engine.batch(corpus, seed, step, tokens, targets) and engine.eval_batch(corpus, seed, index, ...):
 * fill two i32 tensors (B,T) */
static int fill_batch(lua_State *L, bool eval)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *x = lsy_check_data(L, 4, "batch", "tokens");
    struct sy_tensor *y = lsy_check_data(L, 5, "batch", "targets");
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = x->shape[0],
                           .context = x->shape[1], .seed = (uint64_t)luaL_checkinteger(L, 2),
                           .split = eval ? SY_SPLIT_VAL : SY_SPLIT_TRAIN};
    uint64_t step = (uint64_t)luaL_checkinteger(L, 3);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    if (eval)
        sy_sampler_eval(&s, (int64_t)step, sy_data(x), sy_data(y), NULL);
    else
        sy_sampler_batch(&s, step, 0, sy_data(x), sy_data(y), NULL);
    return 0;
}

static int l_batch(lua_State *L) { return fill_batch(L, false); }
static int l_eval_batch(lua_State *L) { return fill_batch(L, true); }

/* engine.check_batch(corpus, B, T): raises when the training text is shorter than a window */
static int l_check_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = luaL_checkinteger(L, 2),
                           .context = luaL_checkinteger(L, 3), .split = SY_SPLIT_TRAIN};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    return 0;
}

/* engine.nearest(word, {names}) -> name or nil */
static int l_nearest(lua_State *L)
{
    const char *word = luaL_checkstring(L, 1);
    int n = (int)luaL_len(L, 2);
    const char **names = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *names, 0);
    luaL_checkstack(L, n, "names");
    for (int i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1); /* stays on the stack, so the text stays */
        names[i] = luaL_checkstring(L, -1);
    }
    names[n] = NULL;
    lua_pushstring(L, sy_nearest(word, names));
    return 1;
}

/* engine.entropy() -> a number that differs from call to call (names of runs only) */
static int l_entropy(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)(sy_now_ns() / 1000 & 0x7fffffff));
    return 1;
}

/* engine.line(text): as progress lines go; engine.write(text): plain, sanitized for a terminal */
static int l_line(lua_State *L)
{
    lsy_progress_line("%s", luaL_checkstring(L, 1));
    return 0;
}

static int l_write(lua_State *L)
{
    struct sy_str s = SY_STR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    sy_utf8_sanitize(&s, text, n);
    fwrite(s.data ? s.data : "", 1, s.len, stdout);
    fflush(stdout);
    sy_str_free(&s);
    return 0;
}

/* engine.clone(t) -> contiguous copy with bytes of its own */
static int l_clone(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = lsy_check_data(L, 1, "clone", "tensor");
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!sy_tensor_contiguous(t))
        return lsy_error(L, "clone: the tensor must be contiguous");
    if (!(*slot = sy_tensor_empty(t->dtype, t->ndim, t->shape, &err)))
        return lsy_raise(L, &err);
    memcpy(sy_data(*slot), sy_data(t), sy_tensor_bytes(t));
    return 1;
}

/* ---- the program's end ---- */

static int live_runs(void)
{
    int n = 0;
    for (struct run *r = open_runs; r; r = r->next) {
        struct sy_status s;
        sy_trainer_status(r->trainer, &s);
        n += s.state == SY_RUN_RUNNING;
    }
    return n;
}

/* Wait for every run: 0, 1 when one failed, 130 when the user interrupts. */
static int wait_all(lua_State *L)
{
    int status = 0;
    for (struct run *r = open_runs; r; r = r->next) {
        struct sy_status s;
        while (!sy_trainer_wait(r->trainer, INT64_MAX, 0.005))
            if (sy_host_wait(L, 0.02) < 0)
                return 130;
        sy_trainer_status(r->trainer, &s);
        status |= s.state == SY_RUN_FAILED;
    }
    return status;
}

static void stop_all(lua_State *L)
{
    for (struct run *r = open_runs; r; r = r->next) {
        struct sy_status s;
        sy_trainer_status(r->trainer, &s);
        if (s.state == SY_RUN_RUNNING || s.state == SY_RUN_PAUSED)
            sy_trainer_stop(r->trainer);
    }
    for (struct run *r = open_runs; r; r = r->next)
        while (!sy_trainer_held(r->trainer, 0.02))
            sy_host_serve(L);
}

/* ---- registration ---- */

static const luaL_Reg phase_methods[] = {{"size", phase_bytes}, {NULL, NULL}};
static const luaL_Reg run_methods[] = {
    {"start", run_start},     {"close", run_close},         {"status", run_status},
    {"get", run_get},         {"set", run_set},             {"set_input", run_set_input},
    {"pause", run_pause},     {"resume", run_resume},       {"stop", run_stop},
    {"steps", run_steps},     {"wait", run_wait},           {"hold", run_hold},
    {"release", run_release}, {"eval", run_eval},           {"hash", run_hash},
    {"replan", run_replan},   {"freeze", run_freeze},       {"note", run_note},
    {"journal", run_journal}, {"every", run_every},
    {"series", run_series},   {"history", run_history},     {"last", run_last},
    {"profile", run_profile}, {"clear_moments", run_clear_moments}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"params", l_params}, {"phase", l_phase},         {"plan", l_plan},     {"trainer", l_trainer},
    {"fill", l_fill},
    {"copy", l_copy},     {"put", l_put},             {"draw", l_draw},     {"hyper", l_hyper},
    {"batch", l_batch},   {"eval_batch", l_eval_batch}, {"check_batch", l_check_batch},
    {"nearest", l_nearest}, {"entropy", l_entropy},   {"line", l_line},     {"write", l_write},
    {"clone", l_clone},   {NULL, NULL}};

void lsy_open_train(lua_State *L)
{
    lsy_handle_meta(L, META_PHASE, phase_methods, phase_gc);
    lsy_handle_meta(L, META_PARAMS, NULL, params_gc);
    lsy_handle_meta(L, META_PLAN, NULL, plan_gc);
    lsy_handle_meta(L, META_RUN, run_methods, run_gc);
    lsy_push_engine(L);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
    sy_host_runs = (struct sy_host_runs){live_runs, wait_all, stop_all};
}
