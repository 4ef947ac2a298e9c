/* Plans: the programs of one shape, their one arena, and the inputs that they share by name.  Layer
 * train. */
#include "base/mem.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <stdio.h>
#include <string.h>

double sy_plan_value(const struct sy_plan *plan, enum sy_hyper_id id)
{
    return id == SY_HYPER_batch        ? (double)plan->batch
           : id == SY_HYPER_context    ? (double)plan->context
           : id == SY_HYPER_accumulate ? (double)plan->accumulate
                                       : plan->traced[id];
}

void sy_phase_drop(struct sy_phase *p)
{
    sy_program_free(p->program);
    for (int f = 0; f < SY_FIELD_COUNT; f++)
        sy_tensor_unref(p->field[f]);
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        sy_tensor_unref(p->hyper[i]);
    sy_tensor_unref(p->step);
    sy_tensor_unref(p->micro);
    sy_tensor_unref(p->loss);
    sy_tensor_unref(p->losses);
    sy_graph_free(p->graph);
}

static struct sy_tensor *find_number(const struct sy_graph *g, const char *name,
                                     enum sy_dtype dtype)
{
    struct sy_tensor *x = sy_graph_find_input(g, name);
    return x && x->dtype == dtype && !x->ndim ? sy_tensor_ref(x) : NULL;
}

static void find_hyper(struct sy_phase *p)
{
    char name[64];
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        snprintf(name, sizeof name, "hyper.%s", sy_hyper_spec((enum sy_hyper_id)i)->name);
        p->hyper[i] = find_number(p->graph, name, SY_F32);
    }
}

void sy_phase_find_fields(struct sy_phase *p)
{
    p->step = find_number(p->graph, "step", SY_I32);
    p->micro = find_number(p->graph, "micro", SY_I32);
    find_hyper(p);
    for (int f = 0; f < SY_FIELD_COUNT; f++) {
        const struct sy_field_spec *spec = sy_field_spec((enum sy_field)f);
        struct sy_tensor *x = sy_graph_find_input(p->graph, spec->name);
        p->field[f] = x && x->dtype == spec->dtype ? sy_tensor_ref(x) : NULL;
    }
}

static void put_number(struct sy_tensor *x, int64_t value)
{
    if (x)
        *(int32_t *)sy_data(x) = value < INT32_MAX ? (int32_t)value : INT32_MAX;
}

void sy_phase_number(struct sy_phase *p, int64_t step, int64_t micro)
{
    put_number(p->step, step);
    put_number(p->micro, micro);
}

void sy_phase_hyper(struct sy_phase *p, const struct sy_hyper *h)
{
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        if (p->hyper[i])
            *(float *)sy_data(p->hyper[i]) = (float)h->v[i];
}

struct sy_batch sy_phase_batch(const struct sy_phase *p)
{
    struct sy_batch b = {.scale = 1};
    for (int f = 0; f < SY_FIELD_COUNT; f++)
        b.at[f] = p->field[f] ? sy_data(p->field[f]) : NULL;
    return b;
}

int64_t sy_phase_inputs(const struct sy_phase *p)
{
    for (int f = 0; f < SY_FIELD_COUNT; f++)
        if (p->field[f] && sy_field_spec((enum sy_field)f)->length == SY_LENGTH_INPUT)
            return p->field[f]->shape[1];
    return 0;
}

void sy_plan_free(struct sy_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < SY_PHASES; i++)
        sy_phase_drop(sy_plan_phase(plan, (enum sy_phase_kind)i));
    for (int i = 0; i < plan->nweights; i++)
        sy_tensor_unref(plan->weights[i]);
    sy_free(plan->weights);
    sy_free(plan->arena);
    sy_free(plan);
}

int sy_plan_attach(struct sy_plan *plan, struct sy_err *err)
{
    struct sy_program *programs[SY_PHASES];
    size_t most = 1;
    for (int i = 0; i < SY_PHASES; i++) {
        programs[i] = sy_plan_phase(plan, (enum sy_phase_kind)i)->program;
        if (programs[i] && sy_program_bytes(programs[i]) > most)
            most = sy_program_bytes(programs[i]);
    }
    plan->arena = sy_alloc(most);
    plan->arena_bytes = most;
    if (!plan->arena)
        return sy_err_set(err, SY_E_MEMORY,
                          "train: out of memory: %zu bytes wanted for activations", most);
    for (int i = 0; i < SY_PHASES; i++)
        if (programs[i] && sy_program_attach(programs[i], plan->arena, err))
            return -1;
    return 0;
}

/* ---- inputs ---- */

static bool write_phase(struct sy_phase *p, const char *name, const float *values, int64_t n)
{
    struct sy_tensor *x = p->graph ? sy_graph_find_input(p->graph, name) : NULL;
    if (!x || x->dtype != SY_F32 || sy_tensor_count(x) != n)
        return false;
    memcpy(sy_data(x), values, (size_t)n * sizeof(float));
    return true;
}

bool sy__input_write(struct sy_trainer *t, const char *name, const float *values, int64_t n)
{
    bool any = false;
    for (int i = 0; i < SY_PHASES; i++)
        any |= write_phase(sy_plan_phase(t->c.plan, (enum sy_phase_kind)i), name, values, n);
    return any;
}

static void copy_inputs(const struct sy_phase *from, struct sy_phase *to)
{
    for (int i = 0; from->graph && to->graph && i < sy_graph_inputs(from->graph); i++) {
        const struct sy_tensor *x = sy_graph_input_at(from->graph, i);
        struct sy_tensor *y = sy_graph_find_input(to->graph, sy_graph_input_name(from->graph, i));
        if (y && y != x && x->dtype == SY_F32 && y->dtype == SY_F32 && sy_tensor_same_shape(x, y))
            memcpy(sy_data(y), sy_data(x), sy_tensor_bytes(x));
    }
}

void sy__inputs_copy(const struct sy_plan *from, struct sy_plan *to)
{
    copy_inputs(&from->begin, &to->begin);
    copy_inputs(&from->begin, &to->add);
    copy_inputs(&from->begin, &to->count);
    copy_inputs(&from->begin, &to->health);
    copy_inputs(&from->eval, &to->eval);
}

/* ---- identity ---- */

struct naming {
    const struct sy_trainer *t;
    char name[256];
};

static const char *leaf_name(void *ctx, const struct sy_tensor *leaf)
{
    struct naming *n = ctx;
    const struct sy_params *ps = n->t->c.params;
    const struct sy_graph *g = n->t->c.plan->begin.graph;
    const char *param = sy_params_name(ps, leaf);
    if (param) {
        snprintf(n->name, sizeof n->name, "parameter %s", param);
        return n->name;
    }
    for (int i = 0; i < ps->nstates; i++)
        if (ps->states[i]->storage == leaf->storage) {
            snprintf(n->name, sizeof n->name, "state %d", i + 1);
            return n->name;
        }
    for (int i = 0; i < sy_graph_inputs(g); i++)
        if (sy_graph_input_at(g, i)->storage == leaf->storage) {
            snprintf(n->name, sizeof n->name, "input %s", sy_graph_input_name(g, i));
            return n->name;
        }
    int carried = sy_program_carried(n->t->c.plan->count.program, leaf);
    if (carried >= 0) {
        snprintf(n->name, sizeof n->name, "of the step %d", carried + 1);
        return n->name;
    }
    return NULL;
}

uint64_t sy__fingerprint(const struct sy_trainer *t, int version)
{
    struct naming n = {.t = t};
    return sy_program_fingerprint(t->c.plan->begin.program, version, leaf_name, &n);
}
