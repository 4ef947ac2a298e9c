/* sort, topk and kth.
 *
 * Every element becomes an unsigned key of the same order (sign flipped for integers, the usual
 * trick for floats; NaN is the largest; -0 equals 0), and (key, index) pairs are merged bottom up:
 * the sort is stable, so ties keep the lower index, and it takes n log n whatever the data.  kth
 * goes by the keys' bytes instead, from the highest (a radix selection): of all pairs only those
 * stay, in their order, that share the byte of the one that is sought.
 */
#include "ops/build.h"
#include "ops/ops_int.h"

#include "base/mem.h"
#include "base/scratch.h"
#include "cpu/cpu.h"
#include "cpu/kern_row.h"

#include <stdatomic.h>
#include <string.h>

struct pair {
    uint64_t key;
    int64_t index;
};

struct order_ctx {
    enum sy_dtype dtype;
    int64_t n, keep; /* elements of a row; how many go out */
    bool descending;
    bool few; /* topk of so few that the kernel does it */
    atomic_bool failed;
};

static uint64_t float_key(double v, bool descending)
{
    union {
        double d;
        uint64_t u;
    } b = {v + 0.0};
    if (v != v)
        return descending ? 0 : UINT64_MAX;
    if (v == 0)
        b.d = 0;
    uint64_t k = b.u >> 63 ? ~b.u : b.u | 1ull << 63;
    return descending ? ~k : k;
}

static uint64_t int_key(int64_t v, bool descending)
{
    uint64_t k = (uint64_t)v ^ 1ull << 63;
    return descending ? ~k : k;
}

static uint64_t key_of(const struct order_ctx *c, const void *x, int64_t i)
{
    switch (c->dtype) {
    case SY_F32:
        return float_key((double)((const float *)x)[i], c->descending);
    case SY_F64:
        return float_key(((const double *)x)[i], c->descending);
    case SY_I32:
        return int_key(((const int32_t *)x)[i], c->descending);
    case SY_I64:
        return int_key(((const int64_t *)x)[i], c->descending);
    default:
        return int_key(((const uint8_t *)x)[i], c->descending);
    }
}

static void merge_pairs(const struct pair *a, int64_t na, const struct pair *b, int64_t nb,
                        struct pair *to)
{
    int64_t i = 0, j = 0;
    while (i < na && j < nb)
        *to++ = b[j].key < a[i].key ? b[j++] : a[i++];
    memcpy(to, a + i, (size_t)(na - i) * sizeof *a);
    memcpy(to + (na - i), b + j, (size_t)(nb - j) * sizeof *b);
}

/* Sorts p[0..n) with the help of q[0..n); returns which of them holds the result. */
static struct pair *sort_pairs(struct pair *p, struct pair *q, int64_t n)
{
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t at = 0; at < n; at += 2 * width) {
            int64_t na = n - at < width ? n - at : width;
            int64_t nb = n - at - na < width ? n - at - na : width;
            merge_pairs(p + at, na, p + at + na, nb, q + at);
        }
        struct pair *t = p;
        p = q;
        q = t;
    }
    return p;
}

static void order_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    struct order_ctx *c = ctx;
    if (c->dtype == SY_F32 && c->few && out[1]) {
        sy_cpu()->row->topk(out[0], out[1], in[0], c->n, rows, c->n, c->keep);
        return;
    }
    size_t size = sy_dtype_size(c->dtype);
    struct pair *p = sy_scratch(SY_SCRATCH_OP1, 2 * (size_t)c->n * sizeof *p);
    if (!p) {
        atomic_store(&c->failed, true);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const char *x = (const char *)in[0] + (size_t)(r * c->n) * size;
        for (int64_t i = 0; i < c->n; i++)
            p[i] = (struct pair){key_of(c, x, i), i};
        struct pair *sorted = sort_pairs(p, p + c->n, c->n);
        for (int64_t i = 0; i < c->keep; i++) {
            if (out[0])
                memcpy((char *)out[0] + (size_t)(r * c->keep + i) * size,
                       x + (size_t)sorted[i].index * size, size);
            if (out[1])
                ((int32_t *)out[1])[r * c->keep + i] = (int32_t)sorted[i].index;
        }
    }
}

static int run_order(const struct sy_run *x, const char *name, int64_t dim, bool descending,
                     bool few)
{
    const struct sy_tensor *t = x->in[0];
    struct sy__lines l = sy__lines_of(t->ndim, t->shape, dim);
    int64_t keep = x->out[0] ? x->out[0]->shape[dim] : x->out[1]->shape[dim];
    struct order_ctx c = {.dtype = t->dtype, .n = l.n, .keep = keep, .descending = descending};
    c.few = few && keep <= 64;
    struct sy__line_work w = {
        .l = l,
        .nin = 1,
        .nout = 2,
        .in = {sy__line_operand(t, l.n)},
        .out = {sy__line_operand(x->out[0], keep), sy__line_operand(x->out[1], keep)},
        .rows = order_rows,
        .ctx = &c};
    atomic_init(&c.failed, false);
    if (sy__lines_run(&w, name, x->err))
        return -1;
    return atomic_load(&c.failed) ? sy_err_set(x->err, SY_E_MEMORY, "%s: out of memory", name) : 0;
}

/* ---- kth ---- */

/* f32 keys are in the upper half, so that no byte is spent on what all have. */
static uint64_t kth_key(const struct order_ctx *c, const void *x, int64_t i)
{
    if (c->dtype != SY_F32)
        return key_of(c, x, i);
    union {
        float f;
        uint32_t u;
    } b = {((const float *)x)[i]};
    if (b.f != b.f)
        return 0;
    if (b.f == 0)
        b.u = 0;
    return (uint64_t)(b.u >> 31 ? b.u : ~(b.u | 1u << 31)) << 32;
}

/* The pair of rank *rank (from 0) among p[0..n) by this byte of the keys: how many share its byte
 * come to the front, and *rank is its rank among those. */
static int64_t keep_byte(struct pair *p, int64_t n, int shift, int64_t *rank)
{
    int64_t count[256] = {0}, kept = 0;
    unsigned byte = 0;
    for (int64_t i = 0; i < n; i++)
        count[p[i].key >> shift & 255]++;
    while (*rank >= count[byte])
        *rank -= count[byte++];
    for (int64_t i = 0; i < n; i++)
        if ((p[i].key >> shift & 255) == byte)
            p[kept++] = p[i];
    return kept;
}

/* Index of the element of rank `rank` in descending order, ties by index. */
static int64_t select_index(const struct order_ctx *c, const void *x, struct pair *p, int64_t rank)
{
    int64_t n = c->n;
    for (int64_t i = 0; i < n; i++)
        p[i] = (struct pair){kth_key(c, x, i), i};
    for (int shift = 56; shift >= 0 && n > 1; shift -= 8)
        n = keep_byte(p, n, shift, &rank);
    return p[rank].index;
}

static void kth_rows(void *ctx, int64_t rows, const void *const *in, void *const *out)
{
    struct order_ctx *c = ctx;
    size_t size = sy_dtype_size(c->dtype);
    struct pair *p = sy_scratch(SY_SCRATCH_OP1, (size_t)c->n * sizeof *p);
    if (!p) {
        atomic_store(&c->failed, true);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const char *x = (const char *)in[0] + (size_t)(r * c->n) * size;
        int64_t at = select_index(c, x, p, c->keep - 1);
        if (out[0])
            memcpy((char *)out[0] + (size_t)r * size, x + (size_t)at * size, size);
        if (out[1])
            ((int32_t *)out[1])[r] = (int32_t)at;
    }
}

/* Which is asked for, from 1, of n. */
static int64_t rank_of(const struct sy_run *x, int64_t n)
{
    if (!x->in[1])
        return x->attrs->i[0];
    const int64_t rank = *(const int32_t *)sy_data(x->in[1]);
    return rank < 1 ? 1 : rank > n ? n : rank;
}

int sy__run_kth(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0];
    struct sy__lines l = sy__lines_of(t->ndim, t->shape, x->attrs->i[1]);
    struct order_ctx c = {.dtype = t->dtype, .n = l.n, .keep = rank_of(x, l.n), .descending = true};
    struct sy__line_work w = {
        .l = l,
        .nin = 1,
        .nout = 2,
        .in = {sy__line_operand(t, l.n)},
        .out = {sy__line_operand(x->out[0], 1), sy__line_operand(x->out[1], 1)},
        .rows = kth_rows,
        .ctx = &c};
    atomic_init(&c.failed, false);
    if (sy__lines_run(&w, "kth", x->err))
        return -1;
    return atomic_load(&c.failed) ? sy_err_set(x->err, SY_E_MEMORY, "kth: out of memory") : 0;
}

/* ---- what they infer ---- */

static int infer_order(struct sy_infer *x, int64_t *dim)
{
    if (x->in[0]->dtype == SY_BF16)
        return sy__want_float(x, 0);
    if (sy__dim(x, dim, x->in[0]))
        return -1;
    if (x->in[0]->shape[*dim] > INT32_MAX)
        return sy_err_set(x->err, SY_E_RANGE, "%s: %lld elements: indices are i32", x->op->name,
                          (long long)x->in[0]->shape[*dim]);
    sy_meta_like(&x->out[0], x->in[0]);
    sy_meta_like(&x->out[1], x->in[0]);
    x->out[1].dtype = SY_I32;
    return 0;
}

int sy__infer_sort(struct sy_infer *x)
{
    return infer_order(x, &x->attrs->i[0]);
}

/* keep: how many of the dimension go out; 0: k. */
static int infer_k(struct sy_infer *x, int64_t keep)
{
    int64_t k = x->attrs->i[0], *dim = &x->attrs->i[1];
    if (infer_order(x, dim))
        return -1;
    if (k < 1 || k > x->in[0]->shape[*dim]) {
        char text[128];
        return sy_err_set(x->err, SY_E_RANGE, "%s: k is %lld along dimension %lld of %s",
                          x->op->name, (long long)k, (long long)*dim + 1,
                          sy_shape_text(x->in[0]->ndim, x->in[0]->shape, text, sizeof text));
    }
    x->out[0].shape[*dim] = x->out[1].shape[*dim] = keep ? keep : k;
    return 0;
}

int sy__infer_topk(struct sy_infer *x) { return infer_k(x, 0); }
int sy__infer_kth(struct sy_infer *x)
{
    if (x->in[1] && (sy__want_dtype(x, 1, SY_I32) || sy__want_ndim(x, 1, 1)))
        return -1;
    if (x->in[1] && x->in[1]->shape[0] != 1)
        return sy__shape_error(x, "rank must be (1)");
    return infer_k(x, 1);
}

int sy__run_sort(const struct sy_run *x)
{
    return run_order(x, "sort", x->attrs->i[0], x->attrs->i[1], false);
}
int sy__run_topk(const struct sy_run *x)
{
    return run_order(x, "topk", x->attrs->i[1], true, true);
}

/* Every value's gradient goes back to where it came from. */
static int vjp_order(struct sy_vjp *x, int64_t dim)
{
    struct sy_attrs a = {.i = {dim, x->in[0]->shape[dim]}};
    if (x->dout[0])
        x->din[0] = sy_b_apply(SY_OP_SCATTER_ADD_, &a, 2, x->out[1], x->dout[0]);
    return 0;
}

int sy__vjp_sort(struct sy_vjp *x)
{
    return vjp_order(x, x->attrs->i[0]);
}
int sy__vjp_topk(struct sy_vjp *x)
{
    return vjp_order(x, x->attrs->i[1]);
}
int sy__vjp_kth(struct sy_vjp *x)
{
    return vjp_order(x, x->attrs->i[1]);
}
