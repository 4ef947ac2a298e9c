/* Planning: from a recorded graph to a program whose every buffer has a place in one arena.
 *
 *  1. Prune: a node stays if something wanted (output, gradient, observation, update) depends on
 *     it.  An output of a many-output node that nobody reads becomes NULL, and the kernel skips it.
 *  2. Gradients of parameters are written straight into the flat gradient buffer where possible.
 *  3. Lifetimes are counted in instructions.  Views share their storage, hence its lifetime.
 *  4. In place: an output may take over a dying input's bytes where the operation allows it.
 *  5. Placement: largest first, each at the lowest offset that no overlapping lifetime uses
 *     (greedy by size; Pisarchyk & Lee 2020, "Efficient memory management for deep neural net
 *     inference", section 5.2).
 */
#include "graph/program_int.h"

#include "base/grow.h"
#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64

static int out_of_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "program: out of memory");
}

/* ---- buffers ---- */

static struct sy__buffer *new_buffer(struct sy_program *p, struct sy_err *err)
{
    if (SY_GROW(p->buffers, p->buffer_room, p->nbuffers + 1)) {
        out_of_memory(err);
        return NULL;
    }
    struct sy__buffer *b = &p->buffers[p->nbuffers];
    memset(b, 0, sizeof *b);
    b->first = INT_MAX;
    b->last = -1;
    b->place = p->nbuffers++;
    return b;
}

/* The record of t's storage, made at first sight. */
static struct sy__buffer *buffer_of(struct sy_program *p, const struct sy_tensor *t,
                                    struct sy_err *err)
{
    struct sy_storage *s = t->storage;
    if (s->plan >= 0 && s->plan < p->nbuffers && p->buffers[s->plan].storage == s)
        return &p->buffers[s->plan];
    struct sy__buffer *b = new_buffer(p, err);
    if (!b)
        return NULL;
    b->storage = sy_storage_ref(s);
    b->bytes = s->bytes;
    b->pinned = s->data != NULL;
    s->plan = p->nbuffers - 1;
    return b;
}

/* ---- pruning ---- */

static int mark_wanted(struct sy_program *p, const struct sy_tensor *t, struct sy_err *err)
{
    struct sy__buffer *b = t ? buffer_of(p, t, err) : NULL;
    if (b)
        b->keep = true;
    return t && !b ? -1 : 0;
}

static int mark_roots(struct sy_program *p, const struct sy_graph *g,
                      const struct sy_program_spec *spec, struct sy_err *err)
{
    int rc = 0;
    for (int i = 0; i < spec->noutputs && !rc; i++)
        rc = mark_wanted(p, spec->outputs[i], err);
    for (int i = 0; i < g->nobserves && !rc; i++)
        rc = g->observes[i].aside ? 0 : mark_wanted(p, g->observes[i].x.tensor, err);
    for (int i = 0; i < g->nupdates && !rc; i++)
        rc = mark_wanted(p, g->updates[i].value, err);
    return rc;
}

static bool runs(const struct sy_node *n) { return !(n->op->flags & SY_OP_VIEW); }

static int mark_grads(struct sy_program *p, const struct sy_program_spec *spec, struct sy_err *err)
{
    for (int i = 0; i < spec->ngrads; i++)
        if (spec->grads[i]) {
            struct sy__buffer *b = buffer_of(p, spec->grads[i], err);
            if (!b)
                return -1;
            b->first = 0;
        }
    return 0;
}

/* node->mark: 1 when needed.  `first` doubles as "somebody reads this" (0) until lifetimes. */
static int mark_needed(struct sy_program *p, struct sy_graph *g, struct sy_err *err)
{
    for (int i = g->nnodes - 1; i >= 0; i--) {
        struct sy_node *n = g->nodes[i];
        n->mark = 0;
        for (int j = 0; j < n->nout && runs(n); j++) {
            const struct sy__buffer *b = buffer_of(p, n->out[j], err);
            if (!b)
                return -1;
            n->mark |= b->keep || b->first == 0;
        }
        for (int j = 0; j < n->nin && n->mark; j++) {
            struct sy__buffer *b = n->in[j] ? buffer_of(p, n->in[j], err) : NULL;
            if (n->in[j] && !b)
                return -1;
            if (b)
                b->first = 0;
        }
    }
    return 0;
}

/* node->aside: needed only for what is observed aside. */
static int mark_aside(struct sy_program *p, struct sy_graph *g, struct sy_err *err)
{
    for (int i = 0; i < g->nnodes; i++)
        g->nodes[i]->aside = !g->nodes[i]->mark;
    int any = 0, rc = 0;
    for (int i = 0; i < g->nobserves && !rc; i++)
        if (g->observes[i].aside && ++any)
            rc = mark_wanted(p, g->observes[i].x.tensor, err);
    return rc || !any ? rc : mark_needed(p, g, err);
}

/* ---- instructions ---- */

static struct sy__instr *new_instr(struct sy_program *p, struct sy_err *err)
{
    if (SY_GROW(p->instrs, p->instr_room, p->ninstrs + 1)) {
        out_of_memory(err);
        return NULL;
    }
    struct sy__instr *x = &p->instrs[p->ninstrs++];
    memset(x, 0, sizeof *x);
    x->scratch = -1;
    return x;
}

static bool covers_storage(const struct sy_tensor *t)
{
    return sy_tensor_contiguous(t) && !t->offset && sy_tensor_bytes(t) == t->storage->bytes;
}

/* Pin gradients that own their storage to the flat buffer; the rest gets copied. */
static void pin_grads(struct sy_program *p, const struct sy_program_spec *spec)
{
    for (int i = 0; i < spec->ngrads; i++) {
        struct sy_tensor *t = spec->grads[i];
        if (!t || spec->add_grads || !covers_storage(t))
            continue;
        struct sy__buffer *b = &p->buffers[t->storage->plan];
        if (b->pinned || b->keep)
            continue;
        b->pinned = true;
        b->to = spec->grad_to[i];
    }
}

static int add_grad_moves(struct sy_program *p, const struct sy_program_spec *spec,
                          const struct sy_storage *s, struct sy_err *err)
{
    for (int i = 0; i < spec->ngrads; i++) {
        struct sy_tensor *t = spec->grads[i];
        if (!t || t->storage != s || p->buffers[s->plan].to == spec->grad_to[i])
            continue;
        struct sy__instr *x = new_instr(p, err);
        if (!x)
            return -1;
        x->kind = spec->add_grads ? SY__ADD : SY__COPY;
        x->src = sy_tensor_ref(t);
        x->to = spec->grad_to[i];
    }
    return 0;
}

static int add_instr(struct sy_program *p, struct sy_node *n, struct sy_err *err)
{
    struct sy__instr *x = new_instr(p, err);
    if (!x)
        return -1;
    x->kind = SY__RUN;
    x->node = sy_node_ref(n);
    for (int j = 0; j < n->nout; j++) {
        const struct sy__buffer *b = &p->buffers[n->out[j]->storage->plan];
        bool read = b->keep || b->first == 0 || n->always >> j & 1;
        x->out[j] = read ? n->out[j] : NULL;
    }
    x->run = (struct sy_run){.attrs = &n->attrs, .nin = n->nin, .nout = n->nout, .in = n->in};
    x->run.node = (uint64_t)n->draw;
    if (n->op->cost) {
        struct sy_cost c = {.node = n};
        n->op->cost(&c);
        p->flops += c.flops;
    }
    return 0;
}

/* A leaf can be a gradient itself (nothing computes it): move it after everything. */
static int add_leaf_moves(struct sy_program *p, const struct sy_program_spec *spec,
                          struct sy_err *err)
{
    for (int i = 0; i < spec->ngrads; i++)
        if (spec->grads[i] && sy_storage_host(spec->grads[i]->storage))
            if (add_grad_moves(p, spec, spec->grads[i]->storage, err))
                return -1;
    return 0;
}

static int make_instrs(struct sy_program *p, struct sy_graph *g,
                       const struct sy_program_spec *spec, struct sy_err *err)
{
    for (int i = 0; i < g->nnodes; i++) {
        struct sy_node *n = g->nodes[i];
        if (!n->mark || !runs(n))
            continue;
        if (add_instr(p, n, err))
            return -1;
        for (int j = 0; j < n->nout; j++)
            if (add_grad_moves(p, spec, n->out[j]->storage, err))
                return -1;
    }
    return add_leaf_moves(p, spec, err);
}

/* ---- lifetimes ---- */

static void touch_buffer(struct sy_program *p, const struct sy_tensor *t, int at)
{
    struct sy__buffer *b = t ? &p->buffers[t->storage->plan] : NULL;
    if (!b)
        return;
    b->first = at < b->first ? at : b->first;
    b->last = at > b->last ? at : b->last;
}

static int set_lifetimes(struct sy_program *p, struct sy_err *err)
{
    for (int i = 0; i < p->nbuffers; i++)
        p->buffers[i].first = INT_MAX;
    for (int i = 0; i < p->ninstrs; i++) {
        const struct sy__instr *x = &p->instrs[i];
        touch_buffer(p, x->src, i);
        for (int j = 0; x->node && j < x->node->nin; j++)
            touch_buffer(p, x->node->in[j], i);
        for (int j = 0; x->node && j < x->node->nout; j++)
            touch_buffer(p, x->out[j], i);
        if (!x->node || !x->node->scratch)
            continue;
        struct sy__buffer *b = new_buffer(p, err);
        if (!b)
            return -1;
        b->bytes = x->node->scratch;
        b->first = b->last = i;
        p->instrs[i].scratch = p->nbuffers - 1;
    }
    for (int i = 0; i < p->nbuffers; i++)
        if (p->buffers[i].keep)
            p->buffers[i].last = INT_MAX;
    return 0;
}

static int root_of(const struct sy_program *p, int i)
{
    while (p->buffers[i].place != i)
        i = p->buffers[i].place;
    return i;
}

/* Another input reads the same storage in another layout: its elements would be overwritten
 * early. */
static bool read_otherwise(const struct sy_node *n, int input)
{
    const struct sy_tensor *t = n->in[input];
    for (int j = 0; j < n->nin; j++)
        if (n->in[j] && j != input && n->in[j]->storage == t->storage &&
            !(covers_storage(n->in[j]) && sy_tensor_same_shape(n->in[j], t)))
            return true;
    return false;
}

static void try_in_place(struct sy_program *p, int at, int output)
{
    const struct sy_node *n = p->instrs[at].node;
    const struct sy_tensor *out = p->instrs[at].out[output];
    int input = n->reuse[output] - 1;
    if (!out || input < 0 || !n->in[input] || !covers_storage(n->in[input]) ||
        read_otherwise(n, input))
        return;
    int from = root_of(p, n->in[input]->storage->plan), to = out->storage->plan;
    struct sy__buffer *a = &p->buffers[from], *b = &p->buffers[to];
    if (a->pinned || b->pinned || a->last != at || b->place != to || a->bytes != b->bytes ||
        b->first != at || !covers_storage(out))
        return;
    b->place = from;
    a->last = b->last;
}

/* ---- placement ---- */

static _Thread_local const struct sy_program *sorting; /* qsort passes no context */

static int larger_first(const void *x, const void *y)
{
    int i = *(const int *)x, j = *(const int *)y;
    size_t a = sorting->buffers[i].bytes, b = sorting->buffers[j].bytes;
    return a < b ? 1 : a > b ? -1 : i - j;
}

static bool overlaps(const struct sy__buffer *a, const struct sy__buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset at which b fits beside the placed buffers (sorted by offset) that live with it. */
static size_t find_gap(const struct sy_program *p, const struct sy__buffer *b, const int *placed,
                       int nplaced)
{
    size_t at = 0;
    for (int i = 0; i < nplaced; i++) {
        const struct sy__buffer *o = &p->buffers[placed[i]];
        if (!overlaps(b, o))
            continue;
        if (o->offset >= at + b->bytes)
            break;
        size_t end = (o->offset + o->bytes + ALIGN - 1) / ALIGN * ALIGN;
        at = end > at ? end : at;
    }
    return at;
}

static void insert_by_offset(const struct sy_program *p, int *placed, int n, int which)
{
    while (n > 0 && p->buffers[placed[n - 1]].offset > p->buffers[which].offset) {
        placed[n] = placed[n - 1];
        n--;
    }
    placed[n] = which;
}

static int place_all(struct sy_program *p, struct sy_err *err)
{
    int *order = sy_alloc((size_t)(2 * p->nbuffers + 1) * sizeof *order), n = 0;
    if (!order)
        return out_of_memory(err);
    for (int i = 0; i < p->nbuffers; i++) {
        const struct sy__buffer *b = &p->buffers[i];
        if (!b->pinned && b->place == i && b->last >= 0)
            order[n++] = i;
    }
    sorting = p;
    qsort(order, (size_t)n, sizeof *order, larger_first);
    int *placed = order + n;
    for (int i = 0; i < n; i++) {
        struct sy__buffer *b = &p->buffers[order[i]];
        b->offset = find_gap(p, b, placed, i);
        insert_by_offset(p, placed, i, order[i]);
        size_t end = b->offset + b->bytes;
        p->arena_bytes = end > p->arena_bytes ? end : p->arena_bytes;
    }
    for (int i = 0; i < p->nbuffers; i++)
        p->buffers[i].offset = p->buffers[root_of(p, i)].offset;
    sy_free(order);
    return 0;
}

/* ---- the whole ---- */

static int copy_lists(struct sy_program *p, const struct sy_graph *g,
                      const struct sy_program_spec *spec, struct sy_err *err)
{
    p->observes = sy_calloc((size_t)g->nobserves + 1, sizeof *p->observes);
    p->updates = sy_calloc((size_t)g->nupdates + 1, sizeof *p->updates);
    p->held = sy_calloc((size_t)(spec->noutputs + spec->ngrads) + 1, sizeof(struct sy_tensor *));
    if (!p->observes || !p->updates || !p->held)
        return out_of_memory(err);
    for (int i = 0; i < g->nobserves; i++) {
        p->nobserves++;
        if (sy__observed_copy(&p->observes[i], &g->observes[i], err))
            return -1;
    }
    for (; p->nupdates < g->nupdates; p->nupdates++) {
        p->updates[p->nupdates].state = sy_tensor_ref(g->updates[p->nupdates].state);
        p->updates[p->nupdates].value = sy_tensor_ref(g->updates[p->nupdates].value);
        p->updates[p->nupdates].carried = g->updates[p->nupdates].carried;
    }
    for (int i = 0; i < spec->noutputs; i++)
        p->held[p->nheld++] = sy_tensor_ref(spec->outputs[i]);
    for (int i = 0; i < spec->ngrads; i++)
        p->held[p->nheld++] = sy_tensor_ref(spec->grads[i]);
    p->update_at_end = spec->updates;
    return 0;
}

struct sy_program *sy_program_new(struct sy_graph *g, const struct sy_program_spec *spec,
                                  struct sy_err *err)
{
    struct sy_program *p = sy_calloc(1, sizeof *p);
    if (!p) {
        out_of_memory(err);
        return NULL;
    }
    for (int i = 0; i < g->nnodes; i++) /* forget what an earlier plan of this graph noted */
        for (int j = 0; j < g->nodes[i]->nout; j++)
            g->nodes[i]->out[j]->storage->plan = -1;
    if (copy_lists(p, g, spec, err) || mark_roots(p, g, spec, err) || mark_grads(p, spec, err) ||
        mark_needed(p, g, err) || mark_aside(p, g, err))
        goto fail;
    pin_grads(p, spec);
    if (make_instrs(p, g, spec, err) || set_lifetimes(p, err))
        goto fail;
    for (int i = 0; i < p->ninstrs; i++)
        for (int j = 0; p->instrs[i].node && j < p->instrs[i].node->nout; j++)
            try_in_place(p, i, j);
    if (place_all(p, err))
        goto fail;
    return p;
fail:
    sy_program_free(p);
    return NULL;
}
