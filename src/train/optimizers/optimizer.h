/* What trains: an optimizer is one object in one file of this folder, and a row of the list below.
 * Options, completion, ?train, the manual, checkpoints and the figure of memory are made of it.
 *
 *  1. It declares the states that it keeps of each parameter (their shapes); sy_params lays them
 *     out in one flat buffer, and everyone else (checkpoints, hashes, rewind) goes by that layout.
 *  2. A state of a parameter with experts has their dimension first, so that an expert's part of it
 *     is its own, as its parameters are.
 *  3. A step reads gradients and may use their buffer up; it writes parameters and states, none of
 *     a frozen chunk.  Its bits are the same for any number of threads and any kernel set.
 *  4. It is called between two steps, on one thread, allocates nothing and cannot fail. */
#ifndef SY_TRAIN_OPTIMIZERS_OPTIMIZER_H
#define SY_TRAIN_OPTIMIZERS_OPTIMIZER_H

#include "switchyard/hyper.h"
#include "train/params.h"

/* X(name): the object is sy__optimizer_NAME; the first is the default, and what runs had before
 * there was a choice. */
#define SY_OPTIMIZER_MAP(X) X(adamw) X(muon) X(sgd) X(adafactor)

#define SY_OPTIMIZER_STATES 4 /* at most */
#define SY_OPTIMIZER_READS 8

struct sy_update {
    const struct sy_hyper *hyper;
    double lr;         /* of this step */
    double grad_scale; /* of micro-batches and clipping: the gradient is grad_scale * g */
    int64_t t;         /* update number, from 1 */
};

struct sy_optimizer {
    const char *name;
    const char *help;   /* what it does, in a line or two */
    const char *source; /* papers */
    const char *reads[SY_OPTIMIZER_READS]; /* hyper-parameters beside lr; ended by NULL */
    const char *states[SY_OPTIMIZER_STATES]; /* in checkpoints NAME.STATE; ended by NULL */
    /* Dimensions of a state of p, shape filled; -1: it has none. */
    int (*shape)(const struct sy_param *p, int state, int64_t shape[SY_MAX_DIMS]);
    bool (*decays)(const struct sy_param *p); /* does weight decay apply? */
    size_t (*work)(const struct sy_params *ps); /* bytes of ps->work; NULL: none */
    void (*step)(struct sy_params *ps, const struct sy_update *u);
};

#define X(name) extern const struct sy_optimizer sy__optimizer_##name;
SY_OPTIMIZER_MAP(X)
#undef X

/* The i-th, or NULL behind the last; of a name, or NULL. */
const struct sy_optimizer *sy_optimizer_at(int i);
const struct sy_optimizer *sy_optimizer_find(const char *name);
/* Whether a hyper-parameter is read by some optimizer, but not by this one. */
bool sy_optimizer_ignores(const struct sy_optimizer *o, const char *hyper);

/* Weights and their gradients as matrices: the usual answer to `decays`. */
static inline bool sy__optimizer_two_dims(const struct sy_param *p)
{
    return p->tensor->ndim >= 2 && p->role != SY_ROLE_BIAS;
}

/* The shape of the parameter itself. */
static inline int sy__optimizer_whole(const struct sy_param *p, int64_t shape[SY_MAX_DIMS])
{
    for (int i = 0; i < p->tensor->ndim; i++)
        shape[i] = p->tensor->shape[i];
    return p->tensor->ndim;
}

static inline bool sy__optimizer_frozen(const struct sy_params *ps, const struct sy_group *g)
{
    return g->chunks > 0 && ps->chunks[g->first].frozen;
}

/* Where state i of a group begins: its expert's part. */
static inline float *sy__optimizer_group_state(const struct sy_params *ps, const struct sy_group *g,
                                               int i)
{
    const struct sy_slot *s = &ps->slots[i * ps->count + g->param];
    int64_t part = g->expert > 0 ? g->expert * (s->count / ps->list[g->param].experts) : 0;
    return ps->kept + s->offset + part;
}

/* Where state i of what chunk c holds begins, for states of the parameter's own shape. */
static inline float *sy__optimizer_state(const struct sy_params *ps, const struct sy_chunk *c,
                                         int i)
{
    const struct sy_slot *s = &ps->slots[i * ps->count + c->param];
    return ps->kept + s->offset + (c->offset - ps->list[c->param].offset);
}

#endif
