/* Applying an operation: infer, then run now or be recorded; and the scope of the builders.
 *
 *  0. A stored input (q8_0 ...) is refused where the row does not say that run sees through it.
 *  1. Inputs that run cannot take strided are made contiguous by an applied CONTIGUOUS, so the copy
 *     is an operation like any other (traced, differentiated, planned).
 *  2. A node is made only when a trace records or an input wants a gradient.
 *  3. Failure leaves nothing behind: no output, no node.
 */
#include "ops/build.h"
#include "ops/op.h"
#include "ops/ops_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "base/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct sy_context *sy_context(void)
{
    static _Thread_local struct sy_context context;
    return &context;
}

static atomic_llong next_seq = 1;

/* ---- inputs: contiguity and dtype ---- */

static struct sy_tensor *as_contiguous(struct sy_tensor *t, struct sy_err *err)
{
    struct sy_tensor *y = NULL;
    if (sy_tensor_contiguous(t))
        return sy_tensor_ref(t);
    sy_apply(SY_OP_CONTIGUOUS_, &t, 1, NULL, &y, err);
    return y;
}

static int dtype_rank(enum sy_dtype d)
{
    static const int rank[SY_DTYPE_COUNT] = {
        [SY_BOOL] = 0, [SY_U8] = 1,  [SY_I32] = 2, [SY_I64] = 3,
        [SY_BF16] = 4, [SY_F32] = 5, [SY_F64] = 6,
        [SY_F16] = 5,  [SY_Q8_0] = 5, [SY_MXFP4] = 5}; /* stored: they stand for f32 */
    return rank[d];
}

static struct sy_tensor *as_dtype(struct sy_tensor *t, enum sy_dtype dtype, struct sy_err *err)
{
    struct sy_tensor *y = NULL;
    struct sy_attrs attrs = {.i = {dtype}};
    if (t->dtype == dtype)
        return sy_tensor_ref(t);
    sy_apply(SY_OP_CAST_, &t, 1, &attrs, &y, err);
    return y;
}

/* ---- stored inputs ---- */

static int refuse_stored(const struct sy_op *op, int i, const struct sy_tensor *t,
                         struct sy_err *err)
{
    char name[24];
    const char *why = sy_op_takes_stored(op, i) ? "this view of it cannot be read in rows"
                                                : "only products and embeddings read that";
    return sy_err_set(err, SY_E_DTYPE, "%s: %s is stored as %s: %s; decode it with :cast(\"f32\")",
                      op->name, sy_op_input_name(op, i, name), sy_dtype_name(t->dtype), why);
}

/* A run of values along the last dimension is what is decoded; a view of a view is not copied. */
static int check_stored(const struct sy_op *op, int i, const struct sy_tensor *t,
                        struct sy_err *err)
{
    const bool rows = !t->ndim || t->stride[t->ndim - 1] == 1 || t->shape[t->ndim - 1] == 1;
    const bool fits = op->flags & SY_OP_STRIDED ? true
                      : op->flags & SY_OP_VIEW  ? sy_tensor_contiguous(t)
                                                : rows;
    return fits && sy_op_takes_stored(op, i) ? 0 : refuse_stored(op, i, t, err);
}

/* bf16 is a dtype like others, but a product with f32 reads it as it lies, if nobody wants its
 * gradient. */
static bool read_as_is(const struct sy_op *op, int i, const struct sy_tensor *t,
                       enum sy_dtype widest)
{
    const bool plain = sy_tensor_contiguous(t) ||
                       (t->ndim == 2 && t->stride[0] == 1 && t->stride[1] >= t->shape[0]);
    return t->dtype == SY_BF16 && widest == SY_F32 && sy_op_takes_stored(op, i) && plain &&
           !t->requires_grad;
}

/* The dtype that inputs from `first` on are brought to. */
static enum sy_dtype widest_of(struct sy_tensor *const *in, int first, int nin)
{
    enum sy_dtype widest = SY_BOOL;
    for (int i = first; i < nin; i++)
        if (in[i] && dtype_rank(in[i]->dtype) > dtype_rank(widest))
            widest = sy_dtype_stored(in[i]->dtype) ? SY_F32 : in[i]->dtype;
    return widest;
}

/* Owned inputs in the form that op takes; on failure all are released. */
static int prepare_inputs(const struct sy_op *op, struct sy_tensor *const *in, int nin,
                          struct sy_tensor **ready, struct sy_err *err)
{
    int first = op->flags & SY_OP_PROMOTE ? 0 : op->flags & SY_OP_PROMOTE_REST ? 1 : nin;
    const enum sy_dtype widest = widest_of(in, first, nin);
    for (int i = 0; i < nin; i++) {
        struct sy_tensor *t = sy_tensor_ref(in[i]);
        const bool stored = t && sy_dtype_stored(t->dtype);
        if (stored && check_stored(op, i, t, err)) {
            sy_tensor_unref(t);
            t = NULL;
        }
        if (t && !stored && i >= first && t->dtype != widest && !read_as_is(op, i, t, widest)) {
            struct sy_tensor *wide = as_dtype(t, widest, err);
            sy_tensor_unref(t);
            t = wide;
        }
        if (t && !stored && !(op->flags & SY_OP_STRIDED) && !sy_tensor_contiguous(t)) {
            struct sy_tensor *dense = as_contiguous(t, err);
            sy_tensor_unref(t);
            t = dense;
        }
        ready[i] = t;
        if (in[i] && !t) {
            while (i >= 0)
                sy_tensor_unref(ready[i--]);
            return -1;
        }
    }
    return 0;
}

/* ---- outputs ---- */

static struct sy_tensor *make_output(const struct sy_op *op, const struct sy_infer *x, int i,
                                     bool with_data)
{
    const struct sy_meta *m = &x->out[i];
    if (op->flags & SY_OP_VIEW)
        return sy_tensor_over(x->in[0]->storage, m->dtype, m->ndim, m->shape, x->view_stride,
                              x->view_offset, x->err);
    return with_data ? sy_tensor_empty(m->dtype, m->ndim, m->shape, x->err)
                     : sy_tensor_traced(m->dtype, m->ndim, m->shape, x->err);
}

static struct sy_node *make_node(const struct sy_op *op, const struct sy_infer *x, int nout,
                                 struct sy_tensor **out)
{
    struct sy_node *n = sy_calloc(1, sizeof *n);
    if (!n) {
        sy_err_set(x->err, SY_E_MEMORY, "%s: out of memory: %zu bytes wanted", op->name, sizeof *n);
        return NULL;
    }
    atomic_init(&n->refs, 1);
    n->op = op;
    n->attrs = *x->attrs;
    n->seq = atomic_fetch_add(&next_seq, 1);
    n->nin = x->nin;
    n->nout = nout;
    n->scratch = x->scratch;
    n->always = x->always;
    memcpy(n->reuse, x->reuse, sizeof n->reuse);
    if (op->flags & SY_OP_INPLACE)
        n->reuse[0] = 1;
    for (int i = 0; i < x->nin; i++)
        n->in[i] = sy_tensor_ref(x->in[i]);
    for (int i = 0; i < nout; i++) {
        n->out[i] = sy_tensor_alias(out[i], x->err);
        if (!n->out[i]) {
            sy_node_unref(n);
            return NULL;
        }
    }
    return n;
}

static int run_now(const struct sy_op *op, const struct sy_infer *x, int nout,
                   struct sy_tensor **out)
{
    if (op->flags & SY_OP_VIEW)
        return 0;
    struct sy_context *ctx = sy_context();
    struct sy_run run = {.attrs = x->attrs, .nin = x->nin, .nout = nout, .in = x->in, .out = out,
                         .seed = ctx->seed, .step = ctx->step, .err = x->err};
    if (op->flags & SY_OP_RANDOM)
        run.node = (uint64_t)ctx->step++; /* eager: every draw is a new one */
    if (x->scratch && !(run.scratch = sy_alloc(x->scratch)))
        return sy_err_set(x->err, SY_E_MEMORY, "%s: out of memory: %zu bytes wanted", op->name,
                          x->scratch);
    int rc = op->run(&run);
    sy_free(run.scratch);
    return rc ? rc : sy_tensors_check(x->in, x->nin, op->name, x->err);
}

static bool wants_grad(const struct sy_op *op, struct sy_tensor *const *in, int nin)
{
    for (int i = 0; i < nin && op->vjp; i++)
        if (in[i] && in[i]->requires_grad)
            return true;
    return false;
}

static bool float_dtype(enum sy_dtype d) { return d == SY_F32 || d == SY_F64 || d == SY_BF16; }

/* infer is done: make outputs, run or record, attach the producer. */
static int finish_apply(const struct sy_op *op, struct sy_infer *x, struct sy_tensor **out)
{
    struct sy_context *ctx = sy_context();
    int nout = sy_op_outputs(op);
    bool grad = wants_grad(op, x->in, x->nin) && !ctx->no_grad;
    struct sy_node *node = NULL;
    memset(out, 0, (size_t)nout * sizeof *out);
    for (int i = 0; i < nout; i++)
        if (!(out[i] = make_output(op, x, i, !ctx->record)))
            goto fail;
    if (!ctx->record && run_now(op, x, nout, out))
        goto fail;
    if (!ctx->record && !grad)
        return 0;
    node = make_node(op, x, nout, out);
    if (!node || (ctx->record && ctx->record(ctx->recorder, node, x->err)))
        goto fail;
    for (int i = 0; i < nout; i++) {
        out[i]->node = sy_node_ref(node);
        out[i]->out = i;
        out[i]->requires_grad = grad && float_dtype(out[i]->dtype);
    }
    sy_node_unref(node);
    return 0;
fail:
    for (int i = 0; i < nout; i++) {
        sy_tensor_unref(out[i]);
        out[i] = NULL;
    }
    sy_node_unref(node);
    return -1;
}

int sy_apply(enum sy_opcode code, struct sy_tensor *const *in, int nin,
             const struct sy_attrs *attrs, struct sy_tensor **out, struct sy_err *err)
{
    const struct sy_op *op = sy_op_get(code);
    struct sy_tensor *ready[SY_MAX_IN] = {0};
    struct sy_attrs own;
    int required;
    int most = sy_op_inputs(op, &required);
    if (nin < required || nin > most)
        return sy_err_set(err, SY_E_TYPE, "%s: takes %d tensors (%s), got %d", op->name, required,
                          op->inputs, nin);
    for (int i = 0; i < required; i++)
        if (!in[i])
            return -1; /* an earlier failure, already reported */
    if (attrs)
        own = *attrs;
    else
        sy_op_default_attrs(op, &own);
    own.precision = (uint8_t)sy_context()->precision;
    if (prepare_inputs(op, in, nin, ready, err))
        return -1;
    struct sy_infer x = {.op = op, .nin = most, .in = ready, .attrs = &own, .err = err};
    int rc = op->infer(&x);
    if (!rc)
        rc = finish_apply(op, &x, out);
    for (int i = 0; i < nin; i++)
        sy_tensor_unref(ready[i]);
    return rc;
}

/* ---- scopes and builders ---- */

static _Thread_local struct sy_scope *innermost;

void sy_scope_begin(struct sy_scope *s, struct sy_err *err)
{
    memset(s, 0, sizeof *s);
    s->outer = innermost;
    s->err = err;
    innermost = s;
}

void sy_scope_end(struct sy_scope *s)
{
    for (int i = 0; i < s->count; i++)
        sy_tensor_unref(s->tensors[i]);
    sy_free(s->tensors);
    innermost = s->outer;
}

struct sy_tensor *sy_scope_own(struct sy_tensor *t)
{
    struct sy_scope *s = innermost;
    if (!t)
        return NULL;
    if (SY_GROW(s->tensors, s->room, s->count + 1)) {
        sy_tensor_unref(t);
        sy_err_set(s->err, SY_E_MEMORY, "scope: out of memory");
        return NULL;
    }
    return s->tensors[s->count++] = t;
}

int sy_b_apply_all(enum sy_opcode code, const struct sy_attrs *attrs, struct sy_tensor *const *in,
                   int nin, struct sy_tensor **out)
{
    if (sy_apply(code, in, nin, attrs, out, innermost->err))
        return -1;
    int rc = 0;
    for (int i = 0; i < sy_op_outputs(sy_op_get(code)); i++)
        if (!(out[i] = sy_scope_own(out[i])))
            rc = -1;
    return rc;
}

struct sy_tensor *sy_b_apply(enum sy_opcode code, const struct sy_attrs *attrs, int nin, ...)
{
    struct sy_tensor *in[SY_MAX_IN], *out[SY_MAX_OUT];
    va_list ap;
    va_start(ap, nin);
    for (int i = 0; i < nin; i++)
        in[i] = va_arg(ap, struct sy_tensor *);
    va_end(ap);
    return sy_b_apply_all(code, attrs, in, nin, out) ? NULL : out[0];
}

struct sy_tensor *sy_b_add(struct sy_tensor *a, struct sy_tensor *b)
{
    return sy_b_apply(SY_OP_ADD_, NULL, 2, a, b);
}

struct sy_tensor *sy_b_sub(struct sy_tensor *a, struct sy_tensor *b)
{
    return sy_b_apply(SY_OP_SUB_, NULL, 2, a, b);
}

struct sy_tensor *sy_b_mul(struct sy_tensor *a, struct sy_tensor *b)
{
    return sy_b_apply(SY_OP_MUL_, NULL, 2, a, b);
}

struct sy_tensor *sy_b_div(struct sy_tensor *a, struct sy_tensor *b)
{
    return sy_b_apply(SY_OP_DIV_, NULL, 2, a, b);
}

struct sy_tensor *sy_b_neg(struct sy_tensor *a) { return sy_b_apply(SY_OP_NEG_, NULL, 1, a); }

struct sy_tensor *sy_b_const(const struct sy_tensor *t, double v)
{
    struct sy_tensor *c = t ? sy_tensor_scalar(t->dtype, v, innermost->err) : NULL;
    if (c)
        c->constant = true;
    return sy_scope_own(c);
}

struct sy_tensor *sy_b_scale(struct sy_tensor *x, struct sy_tensor *factor)
{
    if (factor && factor->constant && !factor->ndim && sy_tensor_get(factor, 0) == 1.0)
        return x;
    return sy_b_mul(x, factor);
}

static struct sy_attrs list_attrs(int n, const int64_t *values)
{
    struct sy_attrs a = {0};
    a.i[0] = n;
    for (int i = 0; i < n; i++)
        a.i[1 + i] = values[i];
    return a;
}

struct sy_tensor *sy_b_reshape(struct sy_tensor *x, int ndim, const int64_t *shape)
{
    struct sy_attrs a = list_attrs(ndim, shape);
    return sy_b_apply(SY_OP_RESHAPE_, &a, 1, x);
}

struct sy_tensor *sy_b_reshape_like(struct sy_tensor *x, const struct sy_tensor *like)
{
    return x && sy_tensor_same_shape(x, like) ? x : sy_b_reshape(x, like->ndim, like->shape);
}

struct sy_tensor *sy_b_expand(struct sy_tensor *x, int ndim, const int64_t *shape)
{
    struct sy_attrs a = list_attrs(ndim, shape);
    return sy_b_apply(SY_OP_EXPAND_, &a, 1, x);
}

struct sy_tensor *sy_b_permute(struct sy_tensor *x, const int *order)
{
    int64_t wide[SY_MAX_DIMS] = {0};
    if (!x)
        return NULL;
    for (int i = 0; i < x->ndim; i++)
        wide[i] = order[i];
    struct sy_attrs a = list_attrs(x->ndim, wide);
    return sy_b_apply(SY_OP_PERMUTE_, &a, 1, x);
}

struct sy_tensor *sy_b_swap(struct sy_tensor *x, int dim0, int dim1)
{
    int order[SY_MAX_DIMS];
    if (!x)
        return NULL;
    for (int i = 0; i < x->ndim; i++)
        order[i] = i == dim0 ? dim1 : i == dim1 ? dim0 : i;
    return sy_b_permute(x, order);
}

struct sy_tensor *sy_b_sum(struct sy_tensor *x, int dim, bool keep)
{
    struct sy_attrs a = {.i = {dim, keep}};
    return sy_b_apply(SY_OP_SUM_, &a, 1, x);
}

struct sy_tensor *sy_b_sum_to(struct sy_tensor *x, const struct sy_tensor *like)
{
    if (!x || sy_tensor_same_shape(x, like))
        return x;
    int extra = x->ndim - like->ndim;
    while (x && extra-- > 0)
        x = sy_b_sum(x, 0, false);
    for (int d = 0; x && d < like->ndim; d++)
        if (like->shape[d] == 1 && x->shape[d] != 1)
            x = sy_b_sum(x, d, true);
    return x;
}

/* ---- tools of infer functions ---- */

int sy__dim(struct sy_infer *x, int64_t *dim, const struct sy_tensor *t)
{
    char text[128];
    int64_t d = *dim < 0 ? *dim + t->ndim : *dim;
    if (d < 0 || d >= t->ndim)
        return sy_err_set(x->err, SY_E_RANGE, "%s: no dimension %lld: the tensor is %s",
                          x->op->name, (long long)(*dim < 0 ? *dim : *dim + 1),
                          sy_shape_text(t->ndim, t->shape, text, sizeof text));
    *dim = d;
    return 0;
}

int sy__want_dtype(struct sy_infer *x, int input, enum sy_dtype dtype)
{
    char name[24];
    if (x->in[input]->dtype == dtype)
        return 0;
    return sy_err_set(x->err, SY_E_DTYPE, "%s: %s is %s, must be %s", x->op->name,
                      sy_op_input_name(x->op, input, name), sy_dtype_name(x->in[input]->dtype),
                      sy_dtype_name(dtype));
}

int sy__want_float(struct sy_infer *x, int input)
{
    char name[24];
    enum sy_dtype d = x->in[input]->dtype;
    if (d == SY_F32 || d == SY_F64)
        return 0;
    return sy_err_set(x->err, SY_E_DTYPE, "%s: %s is %s, must be f32 or f64", x->op->name,
                      sy_op_input_name(x->op, input, name), sy_dtype_name(d));
}

int sy__want_weight(struct sy_infer *x, int like, int input)
{
    const struct sy_tensor *w = x->in[input];
    if (x->in[like]->dtype != SY_F32 || !sy__is_packed(w) || w->requires_grad)
        return sy__same_dtype(x, like, input);
    return 0;
}

struct sy_mat sy__mat(const struct sy_tensor *t, int64_t first, int64_t ld, bool trans)
{
    if (!sy__is_packed(t))
        return (struct sy_mat){.data = (const float *)sy_data(t) + first, .ld = ld, .trans = trans};
    return (struct sy_mat){
        .packed = sy_packed(t), .first = t->offset + first, .ld = ld, .trans = trans};
}

int sy__want_ndim(struct sy_infer *x, int input, int ndim)
{
    char name[24], text[128];
    const struct sy_tensor *t = x->in[input];
    if (t->ndim == ndim)
        return 0;
    return sy_err_set(x->err, SY_E_SHAPE, "%s: %s must have %d dimension%s: it is %s", x->op->name,
                      sy_op_input_name(x->op, input, name), ndim, ndim == 1 ? "" : "s",
                      sy_shape_text(t->ndim, t->shape, text, sizeof text));
}

int sy__same_dtype(struct sy_infer *x, int a, int b)
{
    char na[24], nb[24];
    if (x->in[a]->dtype == x->in[b]->dtype)
        return 0;
    return sy_err_set(x->err, SY_E_DTYPE, "%s: dtypes differ: %s is %s, %s is %s", x->op->name,
                      sy_op_input_name(x->op, a, na), sy_dtype_name(x->in[a]->dtype),
                      sy_op_input_name(x->op, b, nb), sy_dtype_name(x->in[b]->dtype));
}

int sy__shape_error(struct sy_infer *x, const char *fmt, ...)
{
    char reason[200], list[256] = "";
    size_t at = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    for (int i = 0; i < x->nin && at < sizeof list; i++) {
        char name[24], text[128];
        if (x->in[i])
            at +=
                (size_t)snprintf(list + at, sizeof list - at, "%s%s is %s", at ? ", " : "",
                                 sy_op_input_name(x->op, i, name),
                                 sy_shape_text(x->in[i]->ndim, x->in[i]->shape, text, sizeof text));
    }
    return sy_err_set(x->err, SY_E_SHAPE, "%s: %s: %s", x->op->name, reason, list);
}

struct range {
    int64_t n, grain;
    sy_range_fn f;
    void *ctx;
};

static void run_range(void *ctx, int64_t task)
{
    const struct range *r = ctx;
    int64_t begin = task * r->grain, end = begin + r->grain;
    r->f(r->ctx, begin, end < r->n ? end : r->n);
}

void sy__parallel(int64_t n, int64_t grain, sy_range_fn f, void *ctx)
{
    struct range r = {n, grain < 1 ? 1 : grain, f, ctx};
    if (n <= 0)
        return;
    if (n <= r.grain)
        f(ctx, 0, n);
    else
        sy_pool_run((n + r.grain - 1) / r.grain, run_range, &r);
}
