/* Matrix products: matmul (vectors, matrices, batches with broadcasting) and linear.
 *
 *  1. Operands are read as they lie: a transposed view is a logical transpose of the GEMM.  Only an
 *     operand whose last two strides are neither (ld, 1) nor (1, ld) is copied, into scratch.
 *  2. A batch times one matrix is one tall product.
 *  3. A packed operand (bf16, q8_0 ...) is never copied: the product decodes it while packing.
 *  4. Gradients are products again, over transposed views: nothing is transposed in memory.
 */
#include "ops/build.h"
#include "ops/ops_int.h"

#include "base/mem.h"

#include <string.h>

/* A stack of matrices over a tensor's last two dimensions (a vector is one row or one column). */
struct stack {
    const struct sy_tensor *t;
    int64_t rows, cols, row_stride, col_stride;
    int batch_dims;
};

static struct stack stack_of(const struct sy_tensor *t, bool right)
{
    struct stack s = {.t = t};
    int n = t->ndim;
    if (n == 1 && right)
        return (struct stack){t, t->shape[0], 1, t->stride[0], 1, 0};
    if (n == 1)
        return (struct stack){t, 1, t->shape[0], t->shape[0], t->stride[0], 0};
    s.rows = t->shape[n - 2];
    s.cols = t->shape[n - 1];
    s.row_stride = t->stride[n - 2];
    s.col_stride = t->stride[n - 1];
    s.batch_dims = n - 2;
    return s;
}

/* Can the GEMM read it in place?  Sets the leading dimension and whether it is stored transposed.
 */
static bool readable(const struct stack *s, int64_t *ld, bool *trans)
{
    bool plain = (s->cols == 1 || s->col_stride == 1) && (s->rows == 1 || s->row_stride >= s->cols);
    *trans = !plain;
    *ld =
        plain ? (s->rows == 1 ? s->cols : s->row_stride) : (s->cols == 1 ? s->rows : s->col_stride);
    return plain ||
           ((s->rows == 1 || s->row_stride == 1) && (s->cols == 1 || s->col_stride >= s->rows));
}

static size_t round64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static size_t copy_bytes(const struct stack *s)
{
    int64_t ld;
    bool trans;
    return readable(s, &ld, &trans) ? 0 : round64(sy_tensor_bytes(s->t));
}

static int64_t batch_count(const struct sy_meta *m, int batch_dims)
{
    int64_t n = 1;
    for (int d = 0; d < batch_dims; d++)
        n *= m->shape[d];
    return n;
}

/* Batch dimensions of a and b broadcast into out->shape[0..]; returns how many, or -1. */
static int batch_shape(struct sy_infer *x, const struct stack *a, const struct stack *b)
{
    struct sy_meta *m = &x->out[0];
    int n = a->batch_dims > b->batch_dims ? a->batch_dims : b->batch_dims;
    for (int d = 0; d < n; d++) {
        int da = d - (n - a->batch_dims), db = d - (n - b->batch_dims);
        int64_t sa = da < 0 ? 1 : a->t->shape[da], sb = db < 0 ? 1 : b->t->shape[db];
        if (sa != sb && sa != 1 && sb != 1)
            return sy__shape_error(x, "batch dimensions do not broadcast");
        m->shape[d] = sa == 1 ? sb : sa;
    }
    return n;
}

/* f32 or f64, both; or packed with f32, or packed both (but bf16 alone is no f32). */
static int want_factors(struct sy_infer *x)
{
    const struct sy_tensor *a = x->in[0], *b = x->in[1];
    const bool packed = sy__is_packed(a) || sy__is_packed(b);
    if (!packed || (a->dtype == SY_BF16 && b->dtype == SY_BF16))
        return sy__want_float(x, 0);
    for (int i = 0; i < 2; i++)
        if (x->in[i]->dtype == SY_F64)
            return sy_err_set(x->err, SY_E_DTYPE, "matmul: %s is f64, and %s, which is read as f32",
                              i ? "b" : "a", sy_dtype_name(x->in[!i]->dtype));
    return 0;
}

static int want_readable(struct sy_infer *x, const struct stack *s, const char *name)
{
    int64_t ld;
    bool trans;
    if (!sy__is_packed(s->t) || readable(s, &ld, &trans))
        return 0;
    return sy__shape_error(x, "neither rows nor columns of %s lie in order, which is %s", name,
                           sy_dtype_name(s->t->dtype));
}

int sy__infer_matmul(struct sy_infer *x)
{
    if (want_factors(x))
        return -1;
    if (!x->in[0]->ndim || !x->in[1]->ndim)
        return sy__shape_error(x, "a scalar is no matrix");
    struct stack a = stack_of(x->in[0], false), b = stack_of(x->in[1], true);
    struct sy_meta *m = &x->out[0];
    if (a.cols != b.rows)
        return sy__shape_error(x, "inner dimensions differ");
    int n = batch_shape(x, &a, &b);
    if (n < 0 || want_readable(x, &a, "a") || want_readable(x, &b, "b"))
        return -1;
    x->scratch = round64((size_t)batch_count(m, n) * sizeof(struct sy_gemm_problem)) +
                 copy_bytes(&a) + copy_bytes(&b);
    m->dtype = x->in[0]->dtype == SY_F64 ? SY_F64 : SY_F32;
    m->ndim = n;
    if (x->in[0]->ndim > 1)
        m->shape[m->ndim++] = a.rows;
    if (x->in[1]->ndim > 1)
        m->shape[m->ndim++] = b.cols;
    return 0;
}

/* Where matrix number i of the output's batch lies in the operand, in elements. */
static int64_t batch_offset(const struct stack *s, const struct sy_tensor *y, int batch_dims,
                            int64_t i)
{
    int64_t off = 0;
    for (int d = batch_dims - 1; d >= 0; d--) {
        int own = d - (batch_dims - s->batch_dims);
        if (own >= 0 && s->t->shape[own] != 1)
            off += i % y->shape[d] * s->t->stride[own];
        i /= y->shape[d];
    }
    return off;
}

/* Operand ready for the GEMM: data, ld, trans; copied to *scratch when it must be. */
struct operand {
    struct stack s;
    struct sy_tensor dense; /* stands for the copy */
    const void *data;
    int64_t ld;
    bool trans;
};

static void make_operand(struct operand *o, const struct sy_tensor *t, bool right, char **scratch)
{
    o->s = stack_of(t, right);
    o->data = sy_data(t);
    if (readable(&o->s, &o->ld, &o->trans))
        return;
    sy__copy_dense(t, *scratch);
    o->dense = *t;
    int64_t dense = 1;
    for (int d = t->ndim - 1; d >= 0; d--) {
        o->dense.stride[d] = dense;
        dense *= t->shape[d];
    }
    o->s = stack_of(&o->dense, right);
    o->data = *scratch;
    readable(&o->s, &o->ld, &o->trans);
    *scratch += round64(sy_tensor_bytes(t));
}

/* a (.., M, K) whose batch and rows are one run of rows, times one matrix: one product. */
static bool folds(const struct operand *a, const struct operand *b)
{
    if (b->s.batch_dims || a->trans)
        return false;
    int64_t rows = a->s.rows, stride = a->s.rows == 1 ? a->ld : a->s.row_stride;
    for (int d = a->s.batch_dims - 1; d >= 0; d--) {
        if (a->s.t->shape[d] != 1 && a->s.t->stride[d] != rows * stride)
            return false;
        rows *= a->s.t->shape[d];
    }
    return true;
}

static void product_f64(const struct sy_run *x, const struct operand *a, const struct operand *b,
                        int64_t count, int batch_dims, int64_t m)
{
    for (int64_t i = 0; i < count; i++)
        sy_gemm_f64(m, b->s.cols, a->s.cols,
                    (const double *)a->data + batch_offset(&a->s, x->out[0], batch_dims, i), a->ld,
                    a->trans,
                    (const double *)b->data + batch_offset(&b->s, x->out[0], batch_dims, i), b->ld,
                    b->trans, (double *)sy_data(x->out[0]) + i * m * b->s.cols, b->s.cols, false);
}

static struct sy_mat operand_mat(const struct operand *o, int64_t first)
{
    if (sy__is_packed(o->s.t))
        return sy__mat(o->s.t, first, o->ld, o->trans);
    return (struct sy_mat){
        .data = (const float *)o->data + first, .ld = o->ld, .trans = o->trans};
}

static void product_f32(const struct sy_run *x, const struct operand *a, const struct operand *b,
                        int64_t count, int batch_dims, int64_t m)
{
    struct sy_gemm_problem *p = x->scratch;
    struct sy_gemm_opts opts = {.precision = (enum sy_precision)x->attrs->precision};
    for (int64_t i = 0; i < count; i++)
        p[i] = (struct sy_gemm_problem){
            .m = m,
            .n = b->s.cols,
            .k = a->s.cols,
            .a = operand_mat(a, batch_offset(&a->s, x->out[0], batch_dims, i)),
            .b = operand_mat(b, batch_offset(&b->s, x->out[0], batch_dims, i)),
            .c = (float *)sy_data(x->out[0]) + i * m * b->s.cols,
            .ldc = b->s.cols};
    sy_gemm_grouped(p, (int)count, &opts);
}

int sy__run_matmul(const struct sy_run *x)
{
    struct operand a, b;
    int64_t total = sy_tensor_count(x->out[0]);
    int batch_dims = x->out[0]->ndim - (x->in[0]->ndim > 1) - (x->in[1]->ndim > 1);
    if (!total)
        return 0;
    struct stack plain = stack_of(x->in[0], false);
    int64_t n = x->in[1]->ndim > 1 ? x->in[1]->shape[x->in[1]->ndim - 1] : 1;
    int64_t m = plain.rows, count = total / (m * n);
    char *scratch = (char *)x->scratch + round64((size_t)count * sizeof(struct sy_gemm_problem));
    make_operand(&a, x->in[0], false, &scratch);
    make_operand(&b, x->in[1], true, &scratch);
    if (count > 1 && folds(&a, &b)) {
        m *= count;
        count = 1;
        if (a.s.rows == 1) /* rows are the batch now: their distance counts */
            a.ld = a.s.cols;
        batch_dims = 0;
    }
    if (x->in[0]->dtype == SY_F64)
        product_f64(x, &a, &b, count, batch_dims, m);
    else
        product_f32(x, &a, &b, count, batch_dims, m);
    return 0;
}

void sy__cost_matmul(struct sy_cost *c)
{
    const struct sy_tensor *a = c->node->in[0];
    sy__cost_map(c);
    c->flops = 2.0 * (double)sy_tensor_count(c->node->out[0]) * (double)a->shape[a->ndim - 1];
}

static struct sy_tensor *transposed(struct sy_tensor *t)
{
    return t ? sy_b_swap(t, t->ndim - 2, t->ndim - 1) : NULL;
}

static struct sy_tensor *product(struct sy_tensor *a, struct sy_tensor *b)
{
    return sy_b_apply(SY_OP_MATMUL_, NULL, 2, a, b);
}

/* t as (rows, last dimension) */
static struct sy_tensor *tall(struct sy_tensor *t)
{
    int64_t shape[2] = {-1, t ? t->shape[t->ndim - 1] : 0};
    if (!t || t->ndim == 2)
        return t;
    shape[0] = sy_rows(t);
    return sy_b_reshape(t, 2, shape);
}

/* y = a b: da = dy b', db = a' dy, with vectors made matrices first. */
int sy__vjp_matmul(struct sy_vjp *x)
{
    struct sy_tensor *a = x->in[0], *b = x->in[1], *dy = x->dout[0];
    int64_t k = a->shape[a->ndim - 1], shape[SY_MAX_DIMS];
    int n = dy->ndim;
    memcpy(shape, dy->shape, sizeof shape);
    if (b->ndim == 1)
        shape[n++] = 1; /* (.., M) -> (.., M, 1) */
    if (a->ndim == 1) { /* (.., N) -> (.., 1, N) */
        shape[n] = shape[n - 1];
        shape[n - 1] = 1;
        n++;
    }
    if (n != dy->ndim)
        dy = sy_b_reshape(dy, n, shape);
    struct sy_tensor *ma = a->ndim == 1 ? sy_b_reshape(a, 2, (int64_t[2]){1, k}) : a;
    struct sy_tensor *mb = b->ndim == 1 ? sy_b_reshape(b, 2, (int64_t[2]){k, 1}) : b;
    if (x->want[0])
        x->din[0] = sy_b_reshape_like(sy_b_sum_to(product(dy, transposed(mb)), ma), a);
    if (x->want[1] && mb && mb->ndim == 2) /* the batch is part of the sum */
        x->din[1] = sy_b_reshape_like(product(transposed(tall(ma)), tall(dy)), b);
    else if (x->want[1])
        x->din[1] = sy_b_reshape_like(sy_b_sum_to(product(transposed(ma), dy), mb), b);
    return 0;
}

/* ---- linear: y = x w' + b ---- */

int sy__infer_linear(struct sy_infer *x)
{
    const struct sy_tensor *in = x->in[0], *w = x->in[1], *b = x->in[2];
    if (sy__want_float(x, 0) || sy__want_weight(x, 0, 1) || sy__want_ndim(x, 1, 2) ||
        (b && (sy__same_dtype(x, 0, 2) || sy__want_ndim(x, 2, 1))))
        return -1;
    if (!in->ndim || in->shape[in->ndim - 1] != w->shape[1])
        return sy__shape_error(x, "last dimensions differ");
    if (b && b->shape[0] != w->shape[0])
        return sy__shape_error(x, "outputs of w and b differ");
    sy_meta_like(&x->out[0], in);
    x->out[0].shape[in->ndim - 1] = w->shape[0];
    return 0;
}

struct bias {
    const void *b;
    void *y;
    int64_t n;
};

static void add_bias_f32(void *ctx, int problem, int64_t row0, int64_t rows, int64_t col0,
                         int64_t cols)
{
    const struct bias *s = ctx;
    const float *b = (const float *)s->b + col0;
    (void)problem;
    for (int64_t r = row0; r < row0 + rows; r++) {
        float *y = (float *)s->y + r * s->n + col0;
        for (int64_t j = 0; j < cols; j++)
            y[j] += b[j];
    }
}

int sy__run_linear(const struct sy_run *x)
{
    const struct sy_tensor *in = x->in[0], *w = x->in[1], *y = x->out[0];
    int64_t m = sy_rows(in), k = w->shape[1], n = w->shape[0];
    struct bias bias = {x->in[2] ? sy_data(x->in[2]) : NULL, sy_data(y), n};
    if (in->dtype == SY_F64) {
        sy_gemm_f64(m, n, k, sy_data(in), k, false, sy_data(w), k, true, sy_data(y), n, false);
        for (int64_t i = 0; bias.b && i < m * n; i++)
            ((double *)bias.y)[i] += ((const double *)bias.b)[i % n];
        return 0;
    }
    struct sy_gemm_problem p = {.m = m,
                                .n = n,
                                .k = k,
                                .a = {.data = sy_data(in), .ld = k},
                                .b = sy__mat(w, 0, w->stride[0], true),
                                .c = sy_data(y),
                                .ldc = n};
    struct sy_gemm_opts opts = {.precision = (enum sy_precision)x->attrs->precision,
                                .done = bias.b ? add_bias_f32 : NULL,
                                .ctx = &bias};
    sy_gemm(&p, &opts);
    return 0;
}

/* dx = dy w, dw = dy' x, db = sum of dy's rows */
int sy__vjp_linear(struct sy_vjp *x)
{
    struct sy_tensor *dy = tall(x->dout[0]);
    if (x->in[0]->ndim == 1)
        dy = sy_b_reshape(x->dout[0], 2, (int64_t[2]){1, x->in[1]->shape[0]});
    if (x->want[0])
        x->din[0] = sy_b_reshape_like(product(dy, x->in[1]), x->in[0]);
    if (x->want[1]) {
        struct sy_tensor *in = x->in[0];
        if (in->ndim == 1)
            in = sy_b_reshape(in, 2, (int64_t[2]){1, in->shape[0]});
        x->din[1] = product(transposed(dy), tall(in));
    }
    if (x->nin > 2 && x->want[2])
        x->din[2] = sy_b_sum(dy, 0, false);
    return 0;
}
