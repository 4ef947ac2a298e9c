/* The tensor's inside, for the layers that compute with it: storage, node, attributes.
 *
 *   tensor --shared--> storage --enum sy_owner--> bytes
 *     |
 *     +----shared--> node (the operation that made it; NULL for a leaf)
 *                      +--shared--> input tensors
 *                      +--shared--> output aliases: same storage, no producer, so no cycle
 *
 * A node is kept only while a trace records or a gradient is wanted.
 */
#ifndef SY_TENSOR_TENSOR_H
#define SY_TENSOR_TENSOR_H

#include "base/mapping.h"
#include "cpu/storage_form.h"
#include "switchyard/tensor.h"

#include <stdatomic.h>

#define SY_MAX_IN 12
#define SY_MAX_OUT 8

/* Whose the bytes of a storage are. */
enum sy_owner {
    SY_OWNER_NONE,  /* nobody's: traced; a program that is attached lends them */
    SY_OWNER_SELF,  /* a block of its own, freed with it */
    SY_OWNER_PARENT, /* they lie in the parent's (parameters in their flat buffer) */
    SY_OWNER_FILE   /* a mapped file's: read-only, and the file may change (base/mapping.h) */
};

struct sy_storage {
    atomic_int refs;
    size_t bytes;              /* what lies beside the blocks included */
    void *data;                /* NULL: traced, not planned */
    enum sy_owner owner;
    struct sy_storage *parent; /* shared, or NULL */
    struct sy_mapping *file;   /* owned: OWNER_FILE */
    /* Of a stored dtype with scales apart: where those of block 0 are, and, shared, who has them;
     * NULL, NULL: behind the last block. */
    const unsigned char *beside;
    struct sy_storage *beside_parent;
    int32_t plan; /* scratch of the planner: index of its record, or -1 */
};

/* Attributes of an operation: what is not a tensor.  Meaning is in ops.def ("dim:dim=-1 ..."):
 * integers, dims and booleans fill i[] in order, reals f[]; a list takes i[n] = count and the next
 * 8. */
struct sy_attrs {
    int64_t i[14];
    double f[4];
    uint8_t precision; /* enum sy_precision of the trace, for matrix products */
};

struct sy_op; /* ops/op.h */

struct sy_node {
    atomic_int refs;
    const struct sy_op *op;
    struct sy_attrs attrs;
    int64_t seq; /* creation order; inputs have smaller numbers */
    int nin, nout;
    struct sy_tensor *in[SY_MAX_IN];    /* shared; NULL for an absent optional input */
    struct sy_tensor *out[SY_MAX_OUT];  /* shared aliases */
    struct sy_tensor *dout[SY_MAX_OUT]; /* shared; used while a backward pass runs */
    size_t scratch;                     /* bytes that run wants */
    /* 1 + input whose bytes this output may take when dead; 0 none */
    int8_t reuse[SY_MAX_OUT];
    uint8_t always;                     /* bit i: output i is needed even if nobody reads it */
    int32_t mark;                       /* scratch of graph algorithms */
    bool aside;                         /* needed only for what is observed aside (a plan) */
    int32_t segment;                    /* of the trace: layers that may be recomputed; 0: none */
    int32_t draw;                       /* number of this random operation in its trace, from 1 */
};

struct sy_tensor {
    atomic_int refs;
    enum sy_dtype dtype;
    int ndim;
    int64_t shape[SY_MAX_DIMS], stride[SY_MAX_DIMS];
    int64_t offset; /* elements from the storage's start */
    struct sy_storage *storage;
    bool requires_grad;
    bool constant;          /* a literal of the description: its value may be folded */
    struct sy_tensor *grad; /* shared: leaf's gradient */
    struct sy_node *node;   /* shared producer */
    int out;                /* which output of it */
};

/* Whether kernels may read its bytes: they are there, and in the memory of this machine.  The one
 * place that says so. */
static inline bool sy_storage_host(const struct sy_storage *s) { return s->data != 0; }

/* The first element; of a dtype in blocks the whole storage's first block (see sy_packed). */
static inline void *sy_data(const struct sy_tensor *t)
{
    char *p = t->storage->data;
    return p ? p + t->offset * (int64_t)sy_dtype_size(t->dtype) : 0;
}

/* How elements of that dtype lie when they stand for f32; SY_FORM_COUNT: they do not. */
enum sy_form sy_dtype_form(enum sy_dtype dtype);
/* t's storage in its form, borrowed: element i of t is number t->offset + i * stride of it. */
struct sy_packed sy_packed(const struct sy_tensor *t);
/* 0, or STATE: t's bytes are not to be written: "assign: the tensor is ...". */
int sy_tensor_writable(const struct sy_tensor *t, const char *op, struct sy_err *err);
/* The mapped file in which t's bytes lie, borrowed, or NULL. */
const struct sy_mapping *sy_tensor_file(const struct sy_tensor *t);
/* 0, or IO: what was read of t is not to be believed, since its file changed.  To be asked after
 * reading. */
int sy_tensor_check(const struct sy_tensor *t, const char *op, struct sy_err *err);
/* Likewise of n, of which any may be NULL. */
int sy_tensors_check(struct sy_tensor *const *t, int n, const char *op, struct sy_err *err);
/* Bytes of t's storage that lie apart from the others, at storage->beside. */
size_t sy_tensor_apart(const struct sy_tensor *t);

struct sy_storage *sy_storage_new(size_t bytes, struct sy_err *err); /* with a block of its own */
/* The whole file; owns m from now on, also on failure.  Tensors of it: sy_tensor_within. */
struct sy_storage *sy_storage_of_file(struct sy_mapping *m, struct sy_err *err);
struct sy_storage *sy_storage_ref(struct sy_storage *s);
void sy_storage_unref(struct sy_storage *s);
/* Let s live at `data` inside parent's memory from now on (its own bytes are freed, not copied). */
void sy_storage_move(struct sy_storage *s, struct sy_storage *parent, void *data);
/* A contiguous tensor without bytes yet: what is recorded and not computed. */
struct sy_tensor *sy_tensor_traced(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                   struct sy_err *err);
/* A contiguous tensor that has its blocks at `data` in parent's memory and, unless NULL,
 * their scales at `beside` in beside_parent's. */
struct sy_tensor *sy_tensor_within(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                   struct sy_storage *parent, void *data,
                                   struct sy_storage *beside_parent, const unsigned char *beside,
                                   struct sy_err *err);

/* A tensor over existing storage; strides NULL: contiguous.  Shares the storage. */
struct sy_tensor *sy_tensor_over(struct sy_storage *s, enum sy_dtype dtype, int ndim,
                                 const int64_t *shape, const int64_t *stride, int64_t offset,
                                 struct sy_err *err);
/* Same storage and shape, no producer, no gradient. */
struct sy_tensor *sy_tensor_alias(const struct sy_tensor *t, struct sy_err *err);
/* Bytes of a contiguous tensor; RANGE when the shape is impossible. */
int sy_shape_bytes(enum sy_dtype dtype, int ndim, const int64_t *shape, size_t *bytes,
                   struct sy_err *err);

struct sy_node *sy_node_ref(struct sy_node *n);
void sy_node_unref(struct sy_node *n);

#endif
