/* A program's identity: what it computes, not with which kernels or in which memory. */
#include "base/hash.h"
#include "graph/program_int.h"

#include <string.h>

/* The nearest instruction before `at` that writes x's storage, as distance; 0: a leaf. */
static int64_t distance(const struct sy_program *p, int at, const struct sy_tensor *x)
{
    for (int i = at - 1; i >= 0; i--) {
        const struct sy__instr *y = &p->instrs[i];
        for (int j = 0; y->node && j < y->run.nout; j++)
            if (y->out[j] && y->out[j]->storage == x->storage)
                return at - i;
    }
    return 0;
}

static void add_tensor(struct sy_hash *h, const struct sy_tensor *x)
{
    int64_t head[3] = {x ? (int64_t)x->dtype : -1, x ? x->ndim : 0, x ? x->offset : 0};
    sy_hash_update(h, head, sizeof head);
    if (x) {
        sy_hash_update(h, x->shape, (size_t)x->ndim * sizeof *x->shape);
        sy_hash_update(h, x->stride, (size_t)x->ndim * sizeof *x->stride);
    }
}

static void add_node(struct sy_hash *h, const struct sy_program *p, int at)
{
    const struct sy__instr *x = &p->instrs[at];
    const struct sy_node *n = x->node;
    int64_t numbers[4] = {n->nin, n->nout, n->draw, n->attrs.precision};
    sy_hash_update(h, n->op->id, strlen(n->op->id) + 1);
    sy_hash_update(h, numbers, sizeof numbers);
    sy_hash_update(h, n->attrs.i, sizeof n->attrs.i);
    sy_hash_update(h, n->attrs.f, sizeof n->attrs.f);
    for (int i = 0; i < n->nin; i++) {
        int64_t back = n->in[i] ? distance(p, at, n->in[i]) : -1;
        add_tensor(h, n->in[i]);
        sy_hash_update(h, &back, sizeof back);
    }
    for (int i = 0; i < n->nout; i++)
        add_tensor(h, n->out[i]);
}

uint64_t sy_program_fingerprint(const struct sy_program *p)
{
    struct sy_hash h;
    sy_hash_init(&h);
    for (int i = 0; i < p->ninstrs; i++) {
        const struct sy__instr *x = &p->instrs[i];
        int64_t kind = x->kind;
        sy_hash_update(&h, &kind, sizeof kind);
        if (x->node)
            add_node(&h, p, i);
        else
            add_tensor(&h, x->src);
    }
    for (int i = 0; i < p->nupdates; i++)
        add_tensor(&h, p->updates[i].state);
    return sy_hash_final(&h);
}
