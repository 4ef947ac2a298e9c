/* Lua's side of a training program: flat parameters, traced phases, plans.  Layer bind/run.  With
 * run.c the functions of the module "switchyard.engine" on which lua/run/run.lua builds train().
 * Arguments are trusted to be of the right kind, but never to be in range.
 *
 *   engine.params(tensors, specs, states, optimizer)    flat buffers (train/params.h); a spec:
 *                                                       name, experts, role, layer, mixture,
 *                                                       frozen
 *   engine.optimizers()                                 all of them (train/optimizers/optimizer.h)
 *   engine.roles()                                      what a parameter may be, by name
 *   engine.phase(graph, kind, loss, total, params)      forward, backward, placement
 *   engine.plan({begin=, add=, eval=, count=, health=}, options, K)    the phases over one arena
 */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/run/run.h"
#include "bind/tensor/tensor.h"

#include "base/mem.h"
#include "base/number.h"
#include "switchyard/graph.h"
#include "train/optimizers/optimizer.h"

#include <string.h>

#define META_PHASE "switchyard.phase"

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

static struct sy_param_spec check_spec(lua_State *L, int arg, int i)
{
    struct sy_param_spec s = {0};
    lua_geti(L, arg, i);
    lua_getfield(L, -1, "name"); /* the table keeps the text */
    s.name = luaL_checkstring(L, -1);
    lua_getfield(L, -2, "experts");
    s.experts = luaL_checkinteger(L, -1);
    lua_getfield(L, -3, "role");
    int role = sy_role_find(luaL_optstring(L, -1, sy_role_name(SY_ROLE_WEIGHT)));
    if (role < 0)
        lsy_error(L, "train: parameter '%s': no role '%s'", s.name, lua_tostring(L, -1));
    s.role = (enum sy_role)role;
    lua_getfield(L, -4, "layer");
    s.layer = (int)luaL_optinteger(L, -1, 0);
    lua_getfield(L, -5, "mixture"); /* likewise */
    s.mixture = lua_tostring(L, -1);
    lua_getfield(L, -6, "frozen");
    s.frozen = lua_toboolean(L, -1);
    lua_pop(L, 7);
    return s;
}

/* engine.roles() -> list of names */
static int l_roles(lua_State *L)
{
    lua_createtable(L, SY_ROLE_COUNT, 0);
    for (int i = 0; i < SY_ROLE_COUNT; i++) {
        lua_pushstring(L, sy_role_name((enum sy_role)i));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* engine.optimizers() -> list of {name=, help=, source=, ignores={NAME=true}}: hyper-parameters of
 * others */
static int l_optimizers(lua_State *L)
{
    const struct sy_optimizer *o;
    lua_newtable(L);
    for (int i = 0; (o = sy_optimizer_at(i)) != NULL; i++) {
        lua_newtable(L);
        lsy_set_text(L, "name", o->name);
        lsy_set_text(L, "help", o->help);
        lsy_set_text(L, "source", o->source);
        lua_newtable(L);
        for (int k = 0; k < SY_HYPER_COUNT; k++)
            if (sy_optimizer_ignores(o, sy_hyper_spec((enum sy_hyper_id)k)->name))
                lsy_set_boolean(L, sy_hyper_spec((enum sy_hyper_id)k)->name, true);
        lua_setfield(L, -2, "ignores");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* engine.params(tensors, specs, states, optimizer) */
static int l_params(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int n, nstates;
    struct sy_tensor **tensors = (struct sy_tensor **)tensor_list(L, 1, &n);
    struct sy_tensor **states = (struct sy_tensor **)tensor_list(L, 3, &nstates);
    struct sy_param_spec *specs = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *specs, 0);
    for (int i = 0; i < n; i++)
        specs[i] = check_spec(L, 2, i + 1);
    const struct sy_optimizer *optimizer = sy_optimizer_find(luaL_checkstring(L, 4));
    if (!optimizer)
        return lsy_error(L, "train: no optimizer '%s'", lua_tostring(L, 4));
    void **slot = lsy_new_handle(L, META_PARAMS);
    struct sy_params *ps = *slot =
        sy_params_plan(tensors, specs, n, states, nstates, optimizer, &err);
    if (!ps ||
        lsy_room(sy_params_bytes(ps), "train: parameters, gradients and the optimizer's state",
                 &err) ||
        sy_params_take(ps, &err))
        return lsy_raise(L, &err);
    return 1;
}

/* ---- phases and plans ---- */

static void phase_free(struct sy_phase *p)
{
    if (!p)
        return;
    sy_phase_drop(p);
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
static int derive_grads(struct sy_graph *g, struct sy_tensor *total, struct sy_params *ps,
                        struct sy_tensor **grads, struct sy_tensor **wrt, float **to,
                        bool recompute, struct sy_err *err)
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
    struct sy_params *live = lsy_run_params(L, arg);
    return live ? live : lsy_check_handle(L, arg, META_PARAMS);
}

/* by enum sy_phase_kind */
static const char *const phase_names[] = {"begin", "add", "eval", "count", "health",
                                          NULL};

/* engine.phase(graph, kind, loss, total, params or run, recompute, losses or nil): kind "begin",
 * "add" (to the gradients), "eval", "count" (only what it carries is wanted of it), or "health"
 * (only what it observes).  Takes the
 * graph, which must still record; fields of the batch are its inputs of their names. */
static int l_phase(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    enum sy_phase_kind kind = (enum sy_phase_kind)luaL_checkoption(L, 2, NULL, phase_names);
    struct sy_tensor *loss = lsy_check_tensor(L, 3, "phase", "loss");
    struct sy_tensor *total = lsy_check_tensor(L, 4, "phase", "total");
    bool learns = kind == SY_PHASE_BEGIN || kind == SY_PHASE_ADD;
    bool looks = kind == SY_PHASE_COUNT || kind == SY_PHASE_HEALTH;
    struct sy_params *ps = learns ? check_params(L, 5) : NULL;
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
    int rc = ps ? derive_grads(g, total, ps, grads, wrt, to, lua_toboolean(L, 6), &err) : 0;
    p->graph = lsy_take_handle(L, 1, META_GRAPH);
    sy_graph_end(p->graph);
    sy_phase_find_fields(p);
    struct sy_tensor *outputs[] = {
        loss, lua_isnoneornil(L, 7) ? NULL : lsy_check_tensor(L, 7, "phase", "losses")};
    p->loss = sy_tensor_ref(loss);
    p->losses = outputs[1] ? sy_tensor_ref(outputs[1]) : NULL;
    struct sy_program_spec spec = {.outputs = outputs,
                                   .noutputs = looks ? 0 : 1 + !!outputs[1],
                                   .grads = grads, .grad_to = to, .ngrads = (int)n,
                                   .add_grads = kind == SY_PHASE_ADD};
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

/* What the options (argument 2) say of rows that are PLAN. */
static void read_plan(lua_State *L, struct sy_plan *plan)
{
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        const struct sy_hyper_spec *s = sy_hyper_spec((enum sy_hyper_id)i);
        if (s->live != SY_LIVE_PLAN)
            continue;
        lua_getfield(L, 2, s->name);
        plan->traced[i] = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    plan->batch = sy_to_int64(plan->traced[SY_HYPER_batch]);
    plan->context = sy_to_int64(plan->traced[SY_HYPER_context]);
    plan->accumulate = sy_to_int64(plan->traced[SY_HYPER_accumulate]);
}

/* Inputs of `begin` by their names, a list (argument 4) or nil, into plan->weights. */
static int read_weights(lua_State *L, struct sy_plan *plan, struct sy_err *err)
{
    const int n = lua_isnoneornil(L, 4) ? 0 : (int)luaL_len(L, 4);
    plan->weights = sy_calloc((size_t)n + 1, sizeof(struct sy_tensor *));
    if (!plan->weights)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    for (int i = 1; i <= n; i++) {
        lua_geti(L, 4, i);
        const char *name = luaL_checkstring(L, -1);
        struct sy_tensor *x = sy_graph_find_input(plan->begin.graph, name);
        if (!x)
            return sy_err_set(err, SY_E_STATE, "train: no input '%s'", name);
        plan->weights[plan->nweights++] = sy_tensor_ref(x);
        lua_pop(L, 1);
    }
    return 0;
}

/* engine.plan({begin=, eval=, add=, count=, health= (or nil)}, options, top_k or 0, weights or nil)
 * -> plan, arena bytes.  options: hyper-parameters that a change of traces again; weights: names of
 * inputs, where all of which are 0 nothing is counted. */
static int l_plan(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    size_t most = 0;
    lua_settop(L, 4);
    for (int i = 0; i < SY_PHASES; i++)
        if (lua_getfield(L, 1, phase_names[i]) != LUA_TNIL) {
            struct sy_phase *p = lsy_check_handle(L, -1, META_PHASE);
            size_t bytes = sy_program_bytes(p->program);
            most = bytes > most ? bytes : most;
        }
    if (lsy_room(most, "train: activations", &err))
        return lsy_raise(L, &err);
    void **slot = lsy_new_handle(L, META_PLAN);
    struct sy_plan *plan = *slot = sy_calloc(1, sizeof *plan);
    if (!plan)
        return lsy_error(L, "train: out of memory");
    read_plan(L, plan);
    plan->top_k = luaL_optinteger(L, 3, 0);
    for (int i = 0; i < SY_PHASES; i++)
        move_phase(L, 5 + i, sy_plan_phase(plan, (enum sy_phase_kind)i));
    plan->inputs = sy_phase_inputs(&plan->begin);
    lua_pushvalue(L, 5 + SY_PHASES); /* the plan: behind the arguments and the phases */
    if (read_weights(L, plan, &err) || sy_plan_attach(plan, &err))
        return lsy_raise(L, &err);
    lua_pushinteger(L, (lua_Integer)plan->arena_bytes);
    return 2;
}

/* ---- registration ---- */

static const luaL_Reg phase_methods[] = {{"size", phase_bytes}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"params", l_params}, {"optimizers", l_optimizers}, {"roles", l_roles}, {"phase", l_phase},
    {"plan", l_plan}, {NULL, NULL}};

void lsy_open_train(lua_State *L)
{
    lsy_handle_meta(L, META_PHASE, phase_methods, phase_gc);
    lsy_handle_meta(L, META_PARAMS, NULL, params_gc);
    lsy_handle_meta(L, META_PLAN, NULL, plan_gc);
    lsy_add_functions(L, functions);
}
