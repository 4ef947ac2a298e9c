/* Recomputation: a segment's inside is not kept for the backward pass but computed again there.
 *
 * Each backward node that reads a storage made inside a segment gets it from a copy of the node
 * that made it, put into the list just before; the copy's own inputs are replaced likewise, down to
 * what is kept: leaves, results that leave their segment, and results of operations marked
 * SY_OP_KEEP.  A node is copied once; lifetimes and places are the planner's business, which sees
 * an ordinary list.  The copy has the original's attributes and draw number, so its bits are the
 * same. */
#include "graph/graph_int.h"

#include "base/grow.h"
#include "base/mem.h"

#include <string.h>

struct pass {
    struct sy_graph *g;
    int forward;              /* nodes of the forward pass */
    struct sy_node **copies;  /* by forward node: its copy, or NULL; borrowed from `list` */
    bool *kept;               /* by forward node */
    struct sy_node **list;    /* the new order; shared */
    int count;
    size_t room;
    struct sy_err *err;
};

static bool is_view(const struct sy_node *n) { return n->op->flags & SY_OP_VIEW; }

/* storage->plan = number of the forward node that writes it, -1 for all others. */
static void number_storages(struct pass *p)
{
    for (int i = 0; i < p->g->nnodes; i++) {
        struct sy_node *n = p->g->nodes[i];
        for (int j = 0; j < n->nin; j++)
            if (n->in[j] && !n->in[j]->node)
                n->in[j]->storage->plan = -1;
        for (int j = 0; j < n->nout && !is_view(n); j++)
            n->out[j]->storage->plan = i < p->forward ? i : -1;
    }
}

static int producer(const struct sy_tensor *t) { return t ? t->storage->plan : -1; }

static void mark_kept(struct pass *p)
{
    for (int i = 0; i < p->forward; i++) {
        const struct sy_node *n = p->g->nodes[i];
        p->kept[i] |= !n->segment || n->op->flags & SY_OP_KEEP;
        for (int j = 0; j < n->nin; j++) {
            int from = producer(n->in[j]);
            if (from >= 0 && p->g->nodes[from]->segment != n->segment)
                p->kept[from] = true;
        }
    }
}

static int append_node(struct pass *p, struct sy_node *n)
{
    if (SY_GROW(p->list, p->room, p->count + 1)) {
        sy_node_unref(n);
        return sy_err_set(p->err, SY_E_MEMORY, "recompute: out of memory");
    }
    p->list[p->count++] = n;
    return 0;
}

/* t as it lies in the copy of the node that made its storage. */
static struct sy_tensor *moved(const struct pass *p, const struct sy_tensor *t)
{
    const struct sy_node *from = p->g->nodes[producer(t)], *copy = p->copies[producer(t)];
    for (int j = 0; j < from->nout; j++)
        if (from->out[j]->storage == t->storage)
            return sy_tensor_over(copy->out[j]->storage, t->dtype, t->ndim, t->shape, t->stride,
                                  t->offset, p->err);
    return NULL;
}

static struct sy_node *new_copy(struct pass *p, const struct sy_node *n)
{
    struct sy_node *c = sy_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = *n;
    atomic_init(&c->refs, 1);
    memset(c->dout, 0, sizeof c->dout);
    memset(c->out, 0, sizeof c->out);
    for (int j = 0; j < c->nin; j++)
        sy_tensor_ref(c->in[j]);
    for (int j = 0; j < c->nout; j++) {
        const struct sy_tensor *t = n->out[j];
        c->out[j] = sy_tensor_traced(t->dtype, t->ndim, t->shape, p->err);
        if (!c->out[j]) {
            sy_node_unref(c);
            return NULL;
        }
    }
    return c;
}

static int replace_inputs(struct pass *p, struct sy_node *n);

/* Put a copy of forward node `which` into the list.  Depth of recursion: a layer's operations. */
static int copy_node(struct pass *p, int which)
{
    if (p->copies[which])
        return 0;
    struct sy_node *c = new_copy(p, p->g->nodes[which]);
    if (!c)
        return sy_err_set(p->err, SY_E_MEMORY, "recompute: out of memory");
    if (replace_inputs(p, c)) {
        sy_node_unref(c);
        return -1;
    }
    p->copies[which] = c;
    return append_node(p, c);
}

static int replace_inputs(struct pass *p, struct sy_node *n)
{
    for (int j = 0; j < n->nin; j++) {
        int from = producer(n->in[j]);
        if (from < 0 || p->kept[from])
            continue;
        if (copy_node(p, from))
            return -1;
        struct sy_tensor *t = moved(p, n->in[j]);
        if (!t)
            return -1;
        sy_tensor_unref(n->in[j]);
        n->in[j] = t;
    }
    return 0;
}

static int rewrite_nodes(struct pass *p)
{
    for (int i = 0; i < p->g->nnodes; i++) {
        struct sy_node *n = p->g->nodes[i];
        if (i >= p->forward && !is_view(n) && replace_inputs(p, n))
            return -1;
        if (append_node(p, sy_node_ref(n)))
            return -1;
    }
    return 0;
}

int sy_graph_recompute(struct sy_graph *g, int first, struct sy_err *err)
{
    struct pass p = {.g = g, .forward = first, .err = err};
    p.copies = sy_calloc((size_t)first + 1, sizeof(struct sy_node *));
    p.kept = sy_calloc((size_t)first + 1, sizeof *p.kept);
    int rc = p.copies && p.kept ? 0 : sy_err_set(err, SY_E_MEMORY, "recompute: out of memory");
    if (!rc) {
        number_storages(&p);
        mark_kept(&p);
        rc = rewrite_nodes(&p);
    }
    for (int i = 0; i < g->nnodes && !rc; i++)
        sy_node_unref(g->nodes[i]);
    for (int i = 0; i < p.count && rc; i++)
        sy_node_unref(p.list[i]);
    if (rc) {
        sy_free(p.list);
    } else {
        sy_free(g->nodes);
        g->nodes = p.list;
        g->nnodes = p.count;
        g->node_room = p.room;
    }
    sy_free(p.copies);
    sy_free(p.kept);
    return rc;
}
