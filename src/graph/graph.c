/* Recording: the list of nodes that one run of a description applied. */
#include "graph/graph_int.h"

#include "base/assert.h"
#include "base/grow.h"
#include "base/mem.h"

#include <string.h>

struct sy_graph *sy_graph_new(struct sy_err *err)
{
    struct sy_graph *g = sy_calloc(1, sizeof *g);
    if (!g)
        sy_err_set(err, SY_E_MEMORY, "trace: out of memory");
    return g;
}

static void free_named(struct sy__named *list, int n)
{
    for (int i = 0; i < n; i++) {
        sy_free(list[i].name);
        sy_tensor_unref(list[i].tensor);
    }
    sy_free(list);
}

void sy_graph_free(struct sy_graph *g)
{
    if (!g)
        return;
    sy_graph_end(g);
    for (int i = g->nnodes - 1; i >= 0; i--)
        sy_node_unref(g->nodes[i]);
    sy_free(g->nodes);
    free_named(g->inputs, g->ninputs);
    for (int i = 0; i < g->nobserves; i++)
        sy__observed_drop(&g->observes[i]);
    sy_free(g->observes);
    for (int i = 0; i < g->nupdates; i++) {
        sy_tensor_unref(g->updates[i].state);
        sy_tensor_unref(g->updates[i].value);
    }
    sy_free(g->updates);
    sy_free(g);
}

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "trace: out of memory");
}

static int record_node(void *recorder, struct sy_node *node, struct sy_err *err)
{
    struct sy_graph *g = recorder;
    if (SY_GROW(g->nodes, g->node_room, g->nnodes + 1))
        return no_memory(err);
    node->segment = g->segment;
    node->draw = node->op->flags & SY_OP_RANDOM ? ++g->draws : 0;
    g->nodes[g->nnodes++] = sy_node_ref(node);
    return 0;
}

int sy_graph_begin(struct sy_graph *g, struct sy_err *err)
{
    struct sy_context *ctx = sy_context();
    if (ctx->record)
        return sy_err_set(err, SY_E_STATE, "trace: another trace is being recorded");
    ctx->record = record_node;
    ctx->recorder = g;
    g->recording = true;
    return 0;
}

void sy_graph_end(struct sy_graph *g)
{
    struct sy_context *ctx = sy_context();
    if (g->recording && ctx->recorder == g) {
        ctx->record = NULL;
        ctx->recorder = NULL;
    }
    g->recording = false;
}

struct sy_graph *sy_graph_current(void)
{
    struct sy_context *ctx = sy_context();
    return ctx->record == record_node ? ctx->recorder : NULL;
}

static int add_named(struct sy__named **list, int *n, size_t *room, const char *name,
                     struct sy_tensor *t, struct sy_err *err)
{
    char *copy = sy_strdup(name);
    if (!copy || SY_GROW(*list, *room, *n + 1)) {
        sy_free(copy);
        return no_memory(err);
    }
    (*list)[(*n)++] = (struct sy__named){copy, sy_tensor_ref(t)};
    return 0;
}

struct sy_tensor *sy_graph_find_input(const struct sy_graph *g, const char *name)
{
    for (int i = 0; i < g->ninputs; i++)
        if (!strcmp(g->inputs[i].name, name))
            return g->inputs[i].tensor;
    return NULL;
}

struct sy_tensor *sy_graph_input(struct sy_graph *g, const char *name, enum sy_dtype dtype,
                                 int ndim, const int64_t *shape, struct sy_err *err)
{
    struct sy_tensor *t = sy_graph_find_input(g, name);
    if (t) {
        if (t->dtype == dtype && t->ndim == ndim &&
            !memcmp(t->shape, shape, (size_t)ndim * sizeof *shape))
            return t;
        char had[128], wants[128];
        sy_err_set(err, SY_E_SHAPE, "input: '%s' is %s %s, asked for again as %s %s", name,
                   sy_dtype_name(t->dtype), sy_shape_text(t->ndim, t->shape, had, sizeof had),
                   sy_dtype_name(dtype), sy_shape_text(ndim, shape, wants, sizeof wants));
        return NULL;
    }
    t = sy_tensor_zeros(dtype, ndim, shape, err);
    if (t && add_named(&g->inputs, &g->ninputs, &g->input_room, name, t, err)) {
        sy_tensor_unref(t);
        return NULL;
    }
    sy_tensor_unref(t); /* the list holds it */
    return t;
}

void sy__observed_drop(struct sy__observed *o)
{
    sy_free(o->x.name);
    sy_tensor_unref(o->x.tensor);
    sy_tensor_unref(o->mask);
}

int sy__observed_copy(struct sy__observed *to, const struct sy__observed *from, struct sy_err *err)
{
    *to = (struct sy__observed){{sy_strdup(from->x.name), sy_tensor_ref(from->x.tensor)},
                                from->what,
                                from->mask ? sy_tensor_ref(from->mask) : NULL,
                                from->aside};
    return to->x.name ? 0 : sy_err_set(err, SY_E_MEMORY, "trace: out of memory");
}

static int check_observed(const struct sy_graph *g, const char *name,
                          const struct sy_series_what *what, const struct sy_tensor *x,
                          struct sy_err *err)
{
    for (int i = 0; i < g->nobserves; i++)
        if (!strcmp(g->observes[i].x.name, name))
            return sy_err_set(err, SY_E_NAME, "observe: '%s' is observed twice", name);
    if (x->dtype != SY_F32 || !sy_tensor_contiguous(x) || sy_tensor_count(x) > 4096)
        return sy_err_set(err, SY_E_SHAPE,
                          "observe: '%s' must be contiguous f32 of at most 4096 numbers", name);
    const struct sy_series_row *row = sy_series_row(what->kind);
    if (what->kind != SY_SERIES_VALUE && !row->each && sy_tensor_count(x) != 1)
        return sy_err_set(err, SY_E_SHAPE, "observe: '%s' is of kind %s, one number: it has %lld",
                          name, row->name, (long long)sy_tensor_count(x));
    return 0;
}

int sy_graph_observe(struct sy_graph *g, const char *name, const struct sy_series_what *what,
                     struct sy_tensor *x, struct sy_tensor *mask, struct sy_err *err)
{
    char *label;
    if (check_observed(g, name, what, x, err) ||
        (SY_GROW(g->observes, g->observe_room, g->nobserves + 1) && no_memory(err)))
        return -1;
    if (!(label = sy_strdup(name)))
        return sy_err_set(err, SY_E_MEMORY, "trace: out of memory");
    g->observes[g->nobserves++] = (struct sy__observed){
        {label, sy_tensor_ref(x)}, *what, mask ? sy_tensor_ref(mask) : NULL, false};
    return 0;
}

void sy_graph_observe_aside(struct sy_graph *g)
{
    SY_ASSERT(g->nobserves);
    g->observes[g->nobserves - 1].aside = true;
}

static int add_update(struct sy_graph *g, struct sy_tensor *state, struct sy_tensor *value,
                      bool carried, struct sy_err *err)
{
    char a[128], b[128];
    if (sy_tensor_writable(state, "update", err))
        return -1;
    if (state->dtype != value->dtype || !sy_tensor_same_shape(state, value))
        return sy_err_set(err, SY_E_SHAPE, "update: state is %s %s, its new value %s %s",
                          sy_dtype_name(state->dtype),
                          sy_shape_text(state->ndim, state->shape, a, sizeof a),
                          sy_dtype_name(value->dtype),
                          sy_shape_text(value->ndim, value->shape, b, sizeof b));
    if (SY_GROW(g->updates, g->update_room, g->nupdates + 1))
        return no_memory(err);
    g->updates[g->nupdates++] =
        (struct sy__update){sy_tensor_ref(state), sy_tensor_ref(value), carried};
    return 0;
}

int sy_graph_update(struct sy_graph *g, struct sy_tensor *state, struct sy_tensor *value,
                    struct sy_err *err)
{
    return add_update(g, state, value, false, err);
}

int sy_graph_carry(struct sy_graph *g, struct sy_tensor *state, struct sy_tensor *value,
                   struct sy_err *err)
{
    return add_update(g, state, value, true, err);
}

int sy_graph_inputs(const struct sy_graph *g) { return g->ninputs; }
const char *sy_graph_input_name(const struct sy_graph *g, int i) { return g->inputs[i].name; }
struct sy_tensor *sy_graph_input_at(const struct sy_graph *g, int i) { return g->inputs[i].tensor; }

void sy_graph_segment(struct sy_graph *g, int32_t segment) { g->segment = segment; }
int sy_graph_length(const struct sy_graph *g) { return g->nnodes; }
int32_t sy_graph_draws(const struct sy_graph *g) { return g->draws; }
void sy_graph_set_draws(struct sy_graph *g, int32_t draws) { g->draws = draws; }
