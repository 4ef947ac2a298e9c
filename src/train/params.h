/* The state that training changes: parameters, gradients and what the optimizer keeps of them as
 * flat fp32 buffers (one norm, one update, one hash, one write), and the model's states.
 *
 *     p, g    | param 1 | pad | param 2 | pad | ...    each starts at a multiple of 16 floats
 *     kept    | state 1 of param 1 | pad | state 1 of param 2 | ... | state 2 of param 1 | ...
 *
 *  0. The optimizer (optimizers/optimizer.h) declares the states and their shapes.  Of AdamW's m
 *     and v each lies as p does.
 *  1. Making it moves the parameters' storage into the flat buffer: tensors held elsewhere follow.
 *     The flat parameter buffer lives as long as any tensor in it, longer than this record.
 *  2. Work on the buffers is cut into chunks by layout only: at most CHUNK floats, never across a
 *     parameter, and for parameters with an expert dimension never across an expert.
 */
#ifndef SY_TRAIN_PARAMS_H
#define SY_TRAIN_PARAMS_H

#include "switchyard/series.h"
#include "tensor/tensor.h"

#include <stdatomic.h>

struct sy_optimizer;

/* X(ID, name, what it is).  A model declares it (nn.param, nn.embedding, nn.head); nobody reads it
 * out of a parameter's name. */
#define SY_ROLE_MAP(X)                                                                             \
    X(WEIGHT, "weight", "a projection, a norm, a bias: none of the others")                        \
    X(ROUTER, "router", "gives the logits that experts are chosen by")                             \
    X(EXPERT, "expert", "its first dimension counts experts")                                      \
    X(EMBEDDING, "embedding", "rows are looked up by id; also when the head shares it")            \
    X(HEAD, "head", "gives the logits of the next token")                                          \
    X(BIAS, "bias", "added to what a projection gives, of experts as well: no weight decay")

enum sy_role {
#define X(id, name, help) SY_ROLE_##id,
    SY_ROLE_MAP(X)
#undef X
        SY_ROLE_COUNT
};
const char *sy_role_name(enum sy_role role);
int sy_role_find(const char *name); /* or -1 */

/* What a model declares of a parameter. */
struct sy_param_spec {
    const char *name;
    int64_t experts; /* leading dimension that counts experts, or 0 */
    enum sy_role role;
    int layer; /* from 1; 0: outside of layers */
    const char *mixture; /* as struct sy_series_what has it; NULL: of none */
    bool frozen; /* from the start */
};

struct sy_param {
    char *name;               /* owned */
    struct sy_tensor *tensor; /* shared; f32, contiguous */
    int64_t offset, count;    /* floats in the flat buffers */
    bool decay;               /* weight decay applies: the optimizer says so */
    int64_t experts;          /* as declared, like the next three */
    enum sy_role role;
    int layer;
    char mixture[SY_MIXTURE_NAME];
    bool frozen; /* from the start; what holds now is the chunks' */
};

/* A state that the optimizer keeps of a parameter. */
struct sy_slot {
    int64_t offset, count; /* floats in `kept`; count 0: it keeps none */
    int ndim;
    int64_t shape[SY_MAX_DIMS];
};

struct sy_chunk {
    int64_t offset, count;
    int param, expert; /* expert -1: none */
    int group;
    atomic_bool frozen; /* who prints an expert reads it while it trains */
};

/* A parameter, or an expert's part of one: what an optimizer of matrices sees as one. */
struct sy_group {
    int param, expert;
    int first, chunks;  /* its chunks, all of them frozen or none */
    int64_t rows, cols; /* (rows, cols) if it has two dimensions, else (1, count) */
};

struct sy_params {
    struct sy_param *list;
    int count;
    struct sy_chunk *chunks;
    int nchunks;
    struct sy_group *groups;
    int ngroups;
    const struct sy_optimizer *optimizer;
    int nslots; /* states that it may keep of one: slots is [nslots][count] */
    struct sy_slot *slots;
    int64_t floats, kept_floats; /* of p and g; of kept; padding included (zero) */
    float *p, *g, *kept;
    void *work; /* the optimizer's, between two passes of a step; NULL: it needs none */
    struct sy_storage *home; /* shared: owner of p */
    struct sy_tensor **states; /* shared: nn.state tensors, saved and hashed with the rest */
    int nstates;
    double *partials; /* [nchunks] of the gradient norm */
};

/* In two halves: the layout of what training will take, and taking it.  The optimizer is borrowed
 * for ever.  Owned; NULL and err. */
struct sy_params *sy_params_plan(struct sy_tensor *const *tensors,
                                 const struct sy_param_spec *specs, int n,
                                 struct sy_tensor *const *states, int nstates,
                                 const struct sy_optimizer *optimizer, struct sy_err *err);
/* Bytes of all buffers and of the optimizer's work. */
size_t sy_params_bytes(const struct sy_params *ps);
int sy_params_take(struct sy_params *ps, struct sy_err *err);
/* Both. */
struct sy_params *sy_params_new(struct sy_tensor *const *tensors, const struct sy_param_spec *specs,
                                int n, struct sy_tensor *const *states, int nstates,
                                const struct sy_optimizer *optimizer, struct sy_err *err);
void sy_params_free(struct sy_params *ps);

/* Name of the parameter that x is or looks into, borrowed, or NULL. */
const char *sy_params_name(const struct sy_params *ps, const struct sy_tensor *x);

/* Global norm of scale * gradient over chunks that are not frozen; *bad: parameter whose gradient
 * is not finite, or -1. */
double sy_params_grad_norm(struct sy_params *ps, double scale, int *bad);

/* State i of the optimizer of a parameter; count 0: none. */
static inline const struct sy_slot *sy_params_slot(const struct sy_params *ps, int param, int i)
{
    return &ps->slots[i * ps->count + param];
}
/* Zero what the optimizer keeps of a parameter, or of one expert of it (-1: all). */
void sy_params_forget(struct sy_params *ps, int param, int64_t expert);
/* The largest magnitude of it; 0: it keeps nothing, or has learned nothing of it. */
double sy_params_kept(const struct sy_params *ps, int param, int64_t expert);

/* Other states in place of these.  -1: MEMORY, and they stay. */
int sy_params_set_states(struct sy_params *ps, struct sy_tensor *const *states, int n,
                         struct sy_err *err);

/* Lines of a parameter: its experts, or of one that counts none in its first dimension (a router's
 * weight) its rows.  What the optimizer keeps of them by lines goes along; what it keeps by columns
 * is of all lines and stays.  The optimizer's copies are as exact as the parameters'. */
/* Exchange two lines, and whether they are frozen. */
void sy_params_swap(struct sy_params *ps, int param, int64_t a, int64_t b);
/* Line `to` becomes share of itself and 1 - share of `from`; share 0: its copy. */
void sy_params_blend(struct sy_params *ps, int param, int64_t to, int64_t from, float share);

/* Of parameters, what the optimizer keeps, and states: equal hashes are equal runs. */
uint64_t sy_params_hash(const struct sy_params *ps);
/* Freeze or release one expert (from 0), or all of it (-1), of the parameters whose name starts
 * with prefix. */
void sy_params_freeze(struct sy_params *ps, const char *prefix, int expert, bool frozen);
/* How many chunks there are of these, and how many of them are frozen. */
int sy_params_frozen(const struct sy_params *ps, const char *prefix, int expert, int *frozen);

#endif
