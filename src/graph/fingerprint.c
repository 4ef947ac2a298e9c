/* A program's identity: what it computes, not with which kernels or in which memory.
 *
 * The hash is of the instructions in order: of each the operation, its attributes, the dtypes,
 * shapes and strides of what it reads and writes, and who wrote what it reads:
 *
 *     version 2    the output of the nearest earlier instruction that writes the bytes, as
 *                  (distance, number of the output);
 *                  of a leaf its name (a parameter, a state, an input), or what a run carries from
 *                  one micro-batch to the next, by its place among those, or its bytes (a constant)
 *     version 1    the distance alone, 0 for every leaf
 *
 * and of what goes out (outputs, gradients, states) the same.  Inputs and outputs that an operation
 * got later (ops.def: +) do not count where they are absent, and instructions for what is observed
 * aside never do: nothing else reads them.  So version 2 tells two programs
 * apart that differ only in which of two leaves of one shape, or of two outputs of one operation,
 * is read where.  Version 1 is what runs made before it carry.
 */
#include "base/hash.h"
#include "graph/program_int.h"

#include <string.h>

struct reading {
    struct sy_hash hash;
    const struct sy_program *program;
    int version;
    sy_leaf_name leaf_name;
    void *ctx;
};

static void add_number(struct reading *r, int64_t number)
{
    sy_hash_update(&r->hash, &number, sizeof number);
}

static bool is_aside(const struct sy__instr *x) { return x->node && x->node->aside; }

/* ---- who wrote it ---- */

/* The nearest instruction before `at` that writes x's storage, as distance, and which of its
 * outputs does; 0: a leaf. */
static int64_t distance(const struct sy_program *p, int at, const struct sy_tensor *x, int *output)
{
    int64_t back = 0;
    for (int i = at - 1; i >= 0; i--) {
        const struct sy__instr *y = &p->instrs[i];
        if (is_aside(y))
            continue;
        back++;
        for (int j = 0; y->node && j < y->run.nout; j++)
            if (y->out[j] && y->out[j]->storage == x->storage) {
                *output = j;
                return back;
            }
    }
    return 0;
}

int sy_program_carried(const struct sy_program *p, const struct sy_tensor *x)
{
    for (int i = 0; p && i < p->nupdates; i++)
        if (p->updates[i].state->storage == x->storage)
            return i;
    return -1;
}

enum leaf { NAMED, CARRIED, CONSTANT };

static void add_leaf(struct reading *r, const struct sy_tensor *x)
{
    const char *name = r->leaf_name ? r->leaf_name(r->ctx, x) : NULL;
    int64_t place = name ? -1 : sy_program_carried(r->program, x);
    add_number(r, name ? NAMED : place >= 0 ? CARRIED : CONSTANT);
    if (name)
        sy_hash_update(&r->hash, name, strlen(name) + 1);
    else if (place >= 0)
        add_number(r, place);
    else if (sy_storage_host(x->storage)) {
        const size_t apart = sy_tensor_apart(x);
        sy_hash_update(&r->hash, x->storage->data, x->storage->bytes - apart);
        if (apart)
            sy_hash_update(&r->hash, x->storage->beside, apart);
    }
}

static void add_source(struct reading *r, int at, const struct sy_tensor *x)
{
    int output = 0;
    int64_t back = x ? distance(r->program, at, x, &output) : -1;
    add_number(r, back);
    if (r->version == 1)
        return;
    if (back > 0)
        add_number(r, output);
    else if (x)
        add_leaf(r, x);
}

/* ---- the whole ---- */

static void add_tensor(struct reading *r, const struct sy_tensor *x)
{
    int64_t head[3] = {x ? (int64_t)x->dtype : -1, x ? x->ndim : 0, x ? x->offset : 0};
    sy_hash_update(&r->hash, head, sizeof head);
    if (x) {
        sy_hash_update(&r->hash, x->shape, (size_t)x->ndim * sizeof *x->shape);
        sy_hash_update(&r->hash, x->stride, (size_t)x->ndim * sizeof *x->stride);
    }
}

static void add_node(struct reading *r, int at)
{
    const struct sy__instr *x = &r->program->instrs[at];
    const struct sy_node *n = x->node;
    const int nin = sy_op_inputs_there(n->op, n->in, n->nin);
    const int nout = sy_op_outputs_there(n->op, x->out, n->nout);
    int64_t numbers[4] = {nin, nout, n->draw, n->attrs.precision};
    sy_hash_update(&r->hash, n->op->id, strlen(n->op->id) + 1);
    sy_hash_update(&r->hash, numbers, sizeof numbers);
    sy_hash_update(&r->hash, n->attrs.i, sizeof n->attrs.i);
    sy_hash_update(&r->hash, n->attrs.f, sizeof n->attrs.f);
    for (int i = 0; i < nin; i++) {
        add_tensor(r, n->in[i]);
        add_source(r, at, n->in[i]);
    }
    for (int i = 0; i < nout; i++)
        add_tensor(r, n->out[i]);
}

/* What goes out.  Of version 1 only what the states look like. */
static void add_results(struct reading *r)
{
    const struct sy_program *p = r->program;
    for (int i = 0; i < p->nupdates; i++) {
        add_tensor(r, p->updates[i].state);
        if (r->version > 1) {
            add_source(r, p->ninstrs, p->updates[i].value);
            add_leaf(r, p->updates[i].state);
        }
    }
    for (int i = 0; i < p->nheld && r->version > 1; i++)
        add_source(r, p->ninstrs, p->held[i]);
}

uint64_t sy_program_fingerprint(const struct sy_program *p, int version, sy_leaf_name leaf_name,
                                void *ctx)
{
    struct reading r = {.program = p, .version = version, .leaf_name = leaf_name, .ctx = ctx};
    sy_hash_init(&r.hash);
    for (int i = 0; i < p->ninstrs; i++) {
        const struct sy__instr *x = &p->instrs[i];
        if (is_aside(x))
            continue;
        add_number(&r, x->kind);
        if (x->node) {
            add_node(&r, i);
            continue;
        }
        add_tensor(&r, x->src);
        if (version > 1)
            add_source(&r, i, x->src);
    }
    add_results(&r);
    return sy_hash_final(&r.hash);
}
