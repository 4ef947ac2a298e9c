/* The op table: one row per operation, from which come dispatch, autograd, the Lua methods, ?help,
 * the man page, FLOP counts, and what the gradient and ISA-parity tests walk through.
 *
 * A new operation is one row in ops.def and its functions in one file:
 *
 *   infer  shapes and dtypes of the outputs from the inputs; all user mistakes are found here
 *   run    compute; inputs valid, outputs allotted; splits its work by shape over the pool
 *   vjp    gradients of the inputs, built from other operations (so one set of operations serves
 *          eager, traced, and backward); "none_..." says why an operation has no gradient
 *   cost   multiply-adds and bytes, for MFU and the profile
 *
 * An operation is *applied* (sy_apply): infer, then run at once (eager), or be recorded (in a
 * trace, see graph/).  run must not care which: it sees tensors with data either way.
 */
#ifndef SY_OPS_OP_H
#define SY_OPS_OP_H

#include "cpu/gemm.h"
#include "tensor/tensor.h"

struct sy_meta {
    enum sy_dtype dtype;
    int ndim;
    int64_t shape[SY_MAX_DIMS];
};

struct sy_infer {
    const struct sy_op *op;
    int nin;
    /* NULL entries: absent optional inputs.  Only their metadata counts */
    struct sy_tensor *const *in;
    struct sy_attrs *attrs;      /* may be normalized (negative dims counted from the end, ...) */
    struct sy_meta out[SY_MAX_OUT];
    size_t scratch; /* set to have bytes in sy_run.scratch */
    /* set to 1 + i: this output may take input i's bytes when i is dead */
    int8_t reuse[SY_MAX_OUT];
    /* set bit i: output i is a workspace, needed even if nobody reads it */
    uint8_t always;
    /* For SY_OP_VIEW: strides and offset of output 0 within input 0's storage. */
    int64_t view_stride[SY_MAX_DIMS], view_offset;
    struct sy_err *err;
};

struct sy_run {
    const struct sy_attrs *attrs;
    int nin, nout;
    struct sy_tensor *const *in;
    /* NULL entries: outputs nobody uses (never output 0 of a one-output op) */
    struct sy_tensor *const *out;
    void *scratch;                /* 64-byte aligned */
    uint64_t seed, step, node;    /* for random operations: key of this draw */
    struct sy_err *err;
};

/* Gradients: given douts (NULL where none flows), fill din[i] for inputs with want[i]; leave NULL
 * for "zero".  What is built on the way belongs to the scope (see build.h), din as well. */
struct sy_vjp {
    struct sy_node *node;
    const struct sy_attrs *attrs;
    int nin;
    struct sy_tensor *const *in, *const *out, *const *dout;
    bool want[SY_MAX_IN];
    struct sy_tensor *din[SY_MAX_IN]; /* borrowed from the scope */
};

struct sy_cost {
    const struct sy_node *node;
    double flops; /* a multiply-add is 2 */
    double bytes;
};

enum sy_op_flags {
    SY_OP_VIEW = 1,      /* output 0 shares input 0's bytes; no run */
    SY_OP_INPLACE = 2,   /* output 0 may take input 0's place (same dtype and size, elementwise) */
    SY_OP_STRIDED = 4,   /* run accepts any strides; otherwise inputs are made contiguous first */
    SY_OP_PROMOTE = 8,   /* inputs of different dtypes are cast to the wider
                          * (bool < u8 < i32 < i64 < bf16 < f32 < f64) */
    SY_OP_INTERNAL = 16, /* a backward kernel: no Lua name */
    SY_OP_RANDOM = 32,   /* depends on (seed, step, node) */
    SY_OP_PROMOTE_REST = 128, /* PROMOTE, but input 0 keeps its dtype (a condition, an index) */
    SY_OP_KEEP = 64      /* costs much and yields little: kept even where a layer is recomputed */
};

enum sy_attr_kind {
    SY_ATTR_INT,
    SY_ATTR_DIM,
    SY_ATTR_BOOL,
    SY_ATTR_REAL,
    SY_ATTR_LIST,
    SY_ATTR_DIMS
};

struct sy_attr_spec {
    char name[20];
    enum sy_attr_kind kind;
    int slot; /* index into attrs.i or attrs.f */
    bool has_default;
    double preset;
};

struct sy_op {
    const char *id;      /* "ADD" */
    const char *name;    /* Lua name: "add" */
    const char *inputs;  /* names separated by spaces; a trailing ? marks optional ones, # indices,
                          * ~ what may be of a stored dtype, + what came later */
    /* "dim:dim=-1 keep:bool=0 eps:real=1e-5"; kinds int dim bool real list dims */
    const char *attrs;
    const char *outputs; /* names */
    unsigned flags;
    int (*infer)(struct sy_infer *);
    int (*run)(const struct sy_run *);
    int (*vjp)(struct sy_vjp *);
    void (*cost)(struct sy_cost *);
    const char *doc; /* one line, then optionally \n example */
};

enum sy_opcode {
#define SY_OP(id, ...) SY_OP_##id##_,
#include "ops/ops.def"
#undef SY_OP
    SY_OP_COUNT
};

const struct sy_op *sy_op_get(enum sy_opcode code);
/* number of inputs, and of required ones */
int sy_op_inputs(const struct sy_op *op, int *required);
int sy_op_outputs(const struct sy_op *op);
bool sy_op_takes_stored(const struct sy_op *op, int i); /* input i may be of a stored dtype */
/* Inputs or outputs of n that are there: the last ones that came later do not count while they are
 * absent (NULL). */
int sy_op_inputs_there(const struct sy_op *op, struct sy_tensor *const *in, int n);
int sy_op_outputs_there(const struct sy_op *op, struct sy_tensor *const *out, int n);
/* 1 + which input or output holds indices, which count from 1 for users; 0: none. */
int sy_op_index_input(const struct sy_op *op);
int sy_op_index_output(const struct sy_op *op);
/* Parsed attribute list; fills at most 14 and returns how many. */
int sy_op_attrs(const struct sy_op *op, struct sy_attr_spec out[14]);
void sy_op_default_attrs(const struct sy_op *op, struct sy_attrs *attrs);
/* Name of input i of op as Lua sees it, written to out. */
const char *sy_op_input_name(const struct sy_op *op, int i, char out[24]);

/* Context of the calling thread: what applying does now. */
struct sy_context {
    /* Recording: called with every node applied; NULL: eager. */
    int (*record)(void *recorder, struct sy_node *node, struct sy_err *err);
    void *recorder;
    bool no_grad; /* do not keep nodes for gradients */
    enum sy_precision precision;
    uint64_t seed, step; /* of eager random operations */
};
struct sy_context *sy_context(void);

/* Apply an operation.  in[i] NULL: absent (optional), or an earlier failure (then the result is a
 * failure without another message).  Fills out[0..nout) with owned tensors.  Errors: op's own. */
int sy_apply(enum sy_opcode code, struct sy_tensor *const *in, int nin,
             const struct sy_attrs *attrs, struct sy_tensor **out, struct sy_err *err);

void sy_meta_like(struct sy_meta *m, const struct sy_tensor *t);
int64_t sy_rows(const struct sy_tensor *t); /* product of all but the last dimension */

#endif
