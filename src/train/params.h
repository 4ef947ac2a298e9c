/* The state that training changes: parameters, gradients and Adam's moments as four flat fp32
 * buffers of one layout (one norm, one update, one hash, one write), and the model's states.
 *
 *     | param 1 | pad | param 2 | pad | ...        each parameter starts at a multiple of 16 floats
 *
 *  1. Making it moves the parameters' storage into the flat buffer: tensors held elsewhere follow.
 *     The flat parameter buffer lives as long as any tensor in it, longer than this record.
 *  2. Work on the buffers is cut into chunks by layout only: at most CHUNK floats, never across a
 *     parameter, and for parameters with an expert dimension never across an expert.
 */
#ifndef SY_TRAIN_PARAMS_H
#define SY_TRAIN_PARAMS_H

#include "tensor/tensor.h"

/* X(ID, name, what it is).  A model declares it (nn.param, nn.embedding, nn.head); nobody reads it out of a
 * parameter's name. */
#define SY_ROLE_MAP(X)                                                                             \
    X(WEIGHT, "weight", "a projection, a norm, a bias: none of the others")                        \
    X(ROUTER, "router", "gives the logits that experts are chosen by")                             \
    X(EXPERT, "expert", "its first dimension counts experts")                                      \
    X(EMBEDDING, "embedding", "rows are looked up by id; also when the head shares it")            \
    X(HEAD, "head", "gives the logits of the next token")

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
};

struct sy_param {
    char *name;               /* owned */
    struct sy_tensor *tensor; /* shared; f32, contiguous */
    int64_t offset, count;    /* floats in the flat buffers */
    bool decay;               /* weight decay applies (two dimensions or more) */
    int64_t experts;          /* as declared, like the next two */
    enum sy_role role;
    int layer;
};

struct sy_chunk {
    int64_t offset, count;
    int param, expert; /* expert -1: none */
    bool frozen;
};

struct sy_params {
    struct sy_param *list;
    int count;
    struct sy_chunk *chunks;
    int nchunks;
    int64_t floats; /* of each buffer, padding included (zero) */
    float *p, *g, *m, *v;
    struct sy_storage *home; /* shared: owner of p */
    struct sy_tensor **states; /* shared: nn.state tensors, saved and hashed with the rest */
    int nstates;
    double *partials; /* [nchunks] of the gradient norm */
};

/* Bytes that training these will take (4 buffers). */
size_t sy_params_bytes(struct sy_tensor *const *tensors, int n);
struct sy_params *sy_params_new(struct sy_tensor *const *tensors, const struct sy_param_spec *specs,
                                int n, struct sy_tensor *const *states, int nstates,
                                struct sy_err *err);
void sy_params_free(struct sy_params *ps);

/* Name of the parameter that x is or looks into, borrowed, or NULL. */
const char *sy_params_name(const struct sy_params *ps, const struct sy_tensor *x);

/* Global norm of scale * gradient over chunks that are not frozen; *bad: parameter whose gradient
 * is not finite, or -1. */
double sy_params_grad_norm(struct sy_params *ps, double scale, int *bad);

struct sy_update {
    double lr, beta1, beta2, eps, weight_decay, grad_scale;
    int64_t t; /* update number, from 1 */
};
void sy_params_adamw(struct sy_params *ps, const struct sy_update *u);

/* Of parameters, moments and states: equal hashes are equal runs. */
uint64_t sy_params_hash(const struct sy_params *ps);
/* Freeze or release one expert of all parameters whose name starts with prefix. */
void sy_params_freeze(struct sy_params *ps, const char *prefix, int expert, bool frozen);

#endif
