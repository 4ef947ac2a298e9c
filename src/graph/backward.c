/* Reverse-mode differentiation over nodes, eager and traced alike.
 *
 * The nodes that y depends on through inputs that want a gradient are visited from the newest to
 * the oldest (seq is a topological order).  Each one's vjp turns the gradients of its outputs into
 * gradients of its inputs, as applied operations; contributions to one tensor are added in the
 * order of the visit, which is fixed, so sums are reproducible.
 */
#include "graph/graph_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "ops/build.h"

#include <stdlib.h>
#include <string.h>

struct leaf {
    struct sy_tensor *leaf, *grad; /* borrowed, owned */
};

struct pass {
    struct sy_node **nodes; /* borrowed */
    int nnodes;
    size_t node_room;
    struct leaf *leaves; /* open addressing by the tensor's address */
    int nleaves, leaf_room;
    int32_t mark;
    struct sy_err *err;
};

static int fail_memory(struct pass *p)
{
    return sy_err_set(p->err, SY_E_MEMORY, "backward: out of memory");
}

/* ---- collecting ---- */

static int push_node(struct pass *p, struct sy_tensor *t)
{
    struct sy_node *n = t ? t->node : NULL;
    if (!n || !t->requires_grad || n->mark == p->mark)
        return 0;
    if (SY_GROW(p->nodes, p->node_room, p->nnodes + 1))
        return fail_memory(p);
    n->mark = p->mark;
    p->nodes[p->nnodes++] = n;
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = (*(struct sy_node *const *)a)->seq, y = (*(struct sy_node *const *)b)->seq;
    return x < y ? 1 : x > y ? -1 : 0;
}

static int collect_nodes(struct pass *p, struct sy_tensor *y)
{
    static atomic_int marks = 1;
    p->mark = atomic_fetch_add(&marks, 1);
    if (push_node(p, y))
        return -1;
    for (int i = 0; i < p->nnodes; i++) /* the list grows while we walk it */
        for (int j = 0; j < p->nodes[i]->nin; j++)
            if (push_node(p, p->nodes[i]->in[j]))
                return -1;
    if (p->nnodes)
        qsort(p->nodes, (size_t)p->nnodes, sizeof *p->nodes, newest_first);
    return 0;
}

/* ---- leaves ---- */

static struct leaf *find_leaf(struct leaf *table, int room, const struct sy_tensor *t)
{
    size_t h = (size_t)((uintptr_t)t >> 6) * 0x9E3779B97F4A7C15u;
    for (size_t i = h;; i++) {
        struct leaf *l = &table[i & (size_t)(room - 1)];
        if (!l->leaf || l->leaf == t)
            return l;
    }
}

static struct leaf *leaf_of(struct pass *p, struct sy_tensor *t)
{
    if (2 * p->nleaves >= p->leaf_room) {
        int room = p->leaf_room ? 2 * p->leaf_room : 64;
        struct leaf *grown = sy_calloc((size_t)room, sizeof *grown);
        if (!grown) {
            fail_memory(p);
            return NULL;
        }
        for (int i = 0; i < p->leaf_room; i++)
            if (p->leaves[i].leaf)
                *find_leaf(grown, room, p->leaves[i].leaf) = p->leaves[i];
        sy_free(p->leaves);
        p->leaves = grown;
        p->leaf_room = room;
    }
    struct leaf *l = find_leaf(p->leaves, p->leaf_room, t);
    if (!l->leaf) {
        l->leaf = t;
        p->nleaves++;
    }
    return l;
}

/* ---- the pass ---- */

/* *slot += g, as an applied operation; g is borrowed. */
static int accumulate_grad(struct pass *p, struct sy_tensor **slot, struct sy_tensor *g)
{
    if (!*slot) {
        *slot = sy_tensor_ref(g);
        return 0;
    }
    struct sy_tensor *in[2] = {*slot, g}, *sum = NULL;
    if (sy_apply(SY_OP_ADD_, in, 2, NULL, &sum, p->err))
        return -1;
    sy_tensor_unref(*slot);
    *slot = sum;
    return 0;
}

static int give_gradient(struct pass *p, struct sy_tensor *t, struct sy_tensor *g)
{
    if (t->node)
        return accumulate_grad(p, &t->node->dout[t->out], g);
    struct leaf *l = leaf_of(p, t);
    return l ? accumulate_grad(p, &l->grad, g) : -1;
}

static int visit_node(struct pass *p, struct sy_node *n)
{
    struct sy_vjp x = {.node = n, .attrs = &n->attrs, .nin = n->nin, .in = n->in, .out = n->out,
                       .dout = n->dout};
    struct sy_scope scope;
    bool any = false;
    for (int i = 0; i < n->nout; i++)
        any |= n->dout[i] != NULL;
    if (!any)
        return 0;
    for (int i = 0; i < n->nin; i++)
        x.want[i] = n->in[i] && n->in[i]->requires_grad;
    sy_scope_begin(&scope, p->err);
    uint8_t before = (uint8_t)sy_context()->precision;
    sy_context()->precision = n->attrs.precision;
    int rc = n->op->vjp(&x);
    sy_context()->precision = before;
    for (int i = 0; i < n->nin && !rc; i++)
        if (x.want[i] && x.din[i])
            rc = give_gradient(p, n->in[i], x.din[i]);
    sy_scope_end(&scope);
    for (int i = 0; i < n->nout; i++) {
        sy_tensor_unref(n->dout[i]);
        n->dout[i] = NULL;
    }
    return rc || (p->err && p->err->code) ? -1 : 0;
}

static int run_pass(struct pass *p, struct sy_tensor *y)
{
    char text[128];
    if (y->ndim && sy_tensor_count(y) != 1)
        return sy_err_set(p->err, SY_E_SHAPE, "backward: the tensor must be a scalar: it is %s",
                          sy_shape_text(y->ndim, y->shape, text, sizeof text));
    if (!y->requires_grad)
        return sy_err_set(p->err, SY_E_STATE,
                          "backward: nothing here wants a gradient (see grad(true))");
    struct sy_tensor *one = sy_tensor_empty(y->dtype, y->ndim, y->shape, p->err);
    if (!one)
        return -1;
    sy_tensor_set(one, 0, 1.0);
    one->constant = true;
    bool before = sy_context()->no_grad;
    sy_context()->no_grad = true;
    int rc = collect_nodes(p, y);
    if (!rc)
        rc = give_gradient(p, y, one);
    for (int i = 0; i < p->nnodes && !rc; i++)
        rc = visit_node(p, p->nodes[i]);
    sy_context()->no_grad = before;
    sy_tensor_unref(one);
    return rc;
}

static void end_pass(struct pass *p)
{
    for (int i = 0; i < p->nnodes; i++)
        for (int j = 0; j < p->nodes[i]->nout; j++) {
            sy_tensor_unref(p->nodes[i]->dout[j]);
            p->nodes[i]->dout[j] = NULL;
        }
    for (int i = 0; i < p->leaf_room; i++)
        sy_tensor_unref(p->leaves[i].grad);
    sy_free(p->nodes);
    sy_free(p->leaves);
}

/* A gradient may come as a view (of a transpose, say): callers get it in row-major order. */
static int dense(struct pass *p, struct sy_tensor *g, struct sy_tensor **out)
{
    if (!sy_tensor_contiguous(g))
        return sy_apply(SY_OP_CONTIGUOUS_, &g, 1, NULL, out, p->err);
    *out = sy_tensor_ref(g);
    return 0;
}

int sy_grad(struct sy_tensor *y, struct sy_tensor *const *wrt, int n, struct sy_tensor **grads,
            struct sy_err *err)
{
    struct sy_err own = SY_ERR_INIT;
    struct pass p = {.err = err ? err : &own};
    int rc = run_pass(&p, y);
    for (int i = 0; i < n; i++) {
        struct leaf *l = rc || !p.leaf_room ? NULL : find_leaf(p.leaves, p.leaf_room, wrt[i]);
        grads[i] = NULL;
        if (l && l->leaf && l->grad)
            rc = dense(&p, l->grad, &grads[i]);
    }
    end_pass(&p);
    return rc;
}

int sy_tensor_backward(struct sy_tensor *y, struct sy_err *err)
{
    struct sy_err own = SY_ERR_INIT;
    struct pass p = {.err = err ? err : &own};
    int rc = run_pass(&p, y);
    for (int i = 0; i < p.leaf_room && !rc; i++)
        if (p.leaves[i].leaf && p.leaves[i].leaf->requires_grad && p.leaves[i].grad)
            rc = accumulate_grad(&p, &p.leaves[i].leaf->grad, p.leaves[i].grad);
    end_pass(&p);
    return rc;
}
