/* Operations against plain loops and identities, and the exact text of users' mistakes.  Gradients:
 * tests/grad; the same bits everywhere: tests/isa. */
#include "ops/op.h"
#include "unit/tap.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define I(...)                                                                                     \
    (struct sy_attrs)                                                                              \
    {                                                                                              \
        .i = { __VA_ARGS__ }                                                                       \
    }

static struct sy_err err;

/* "2x3" and values in row-major order. */
static struct sy_tensor *make(enum sy_dtype dtype, const char *shape_text, ...)
{
    int64_t shape[SY_MAX_DIMS];
    int ndim = 0;
    va_list ap;
    for (const char *p = shape_text; *p; p++)
        if (*p != 'x')
            shape[ndim++] = *p - '0';
    struct sy_tensor *t = sy_tensor_empty(dtype, ndim, shape, NULL);
    va_start(ap, shape_text);
    for (int64_t i = 0; i < sy_tensor_count(t); i++)
        sy_tensor_set(t, i, va_arg(ap, double));
    va_end(ap);
    return t;
}

static struct sy_tensor *ramp(enum sy_dtype dtype, int ndim, const int64_t *shape, double step)
{
    struct sy_tensor *t = sy_tensor_empty(dtype, ndim, shape, NULL);
    for (int64_t i = 0; i < sy_tensor_count(t); i++)
        sy_tensor_set(t, i, step * (double)(i * 37 % 101 - 50));
    return t;
}

/* Apply to borrowed inputs; output `which`, owned, or NULL with the message in err. */
static struct sy_tensor *get(enum sy_opcode op, struct sy_attrs *attrs, int which, int nin, ...)
{
    struct sy_tensor *in[SY_MAX_IN] = {0}, *out[SY_MAX_OUT] = {0}, *y;
    va_list ap;
    va_start(ap, nin);
    for (int i = 0; i < nin; i++)
        in[i] = va_arg(ap, struct sy_tensor *);
    va_end(ap);
    memset(&err, 0, sizeof err);
    if (sy_apply(op, in, nin, attrs, out, &err))
        return NULL;
    y = sy_tensor_ref(out[which]);
    for (int k = 0; k < SY_MAX_OUT; k++)
        sy_tensor_unref(out[k]);
    return y;
}

/* t (released) is want (released), within tolerance; NaN equals NaN. */
static void is(struct sy_tensor *t, struct sy_tensor *want, double tolerance, const char *name)
{
    bool good = t && t->dtype == want->dtype && sy_tensor_same_shape(t, want);
    for (int64_t i = 0; good && i < sy_tensor_count(t); i++) {
        double a = sy_tensor_get(t, i), b = sy_tensor_get(want, i);
        good = fabs(a - b) <= tolerance || a == b || (isnan(a) && isnan(b));
        if (!good)
            tap_note("element %lld: %.17g, not %.17g", (long long)i, a, b);
    }
    if (!tap_ok(good, "%s", name))
        tap_note("%s", err.msg);
    sy_tensor_unref(t);
    sy_tensor_unref(want);
}

/* The operation fails with this line. */
static void fails(struct sy_tensor *t, const char *line)
{
    tap_is_str(t ? "(no error)" : err.msg, line, "%s", line);
    sy_tensor_unref(t);
}

/* ---- elementwise ---- */

static void test_broadcast(void)
{
    static const int64_t sa[3] = {3, 1, 70}, sb[2] = {40, 1};
    struct sy_tensor *a = ramp(SY_F32, 3, sa, 0.25), *b = ramp(SY_F32, 2, sb, 0.5);
    struct sy_tensor *y = get(SY_OP_SUB_, NULL, 0, 2, a, b);
    bool good = y && y->ndim == 3 && y->shape[0] == 3 && y->shape[1] == 40 && y->shape[2] == 70;
    for (int64_t i = 0; good && i < 3 * 40 * 70; i++)
        good = sy_tensor_get(y, i) ==
               sy_tensor_get(a, i / 2800 * 70 + i % 70) - sy_tensor_get(b, i / 70 % 40);
    tap_ok(good, "sub broadcasts (3,1,70) and (40,1)");
    sy_tensor_unref(a);
    sy_tensor_unref(b);
    sy_tensor_unref(y);
}

static void test_elementwise(void)
{
    struct sy_tensor *i = make(SY_I32, "3", 7.0, -2.0, 3.0), *two = make(SY_I32, "", 2.0);
    struct sy_tensor *f = make(SY_F32, "3", 0.5, (double)NAN, -1.5);
    struct sy_tensor *big = make(SY_I32, "1", 2147483647.0), *u = make(SY_U8, "2", 250.0, 3.0);
    is(get(SY_OP_DIV_, NULL, 0, 2, i, two), make(SY_F32, "3", 3.5, -1.0, 1.5), 0,
       "integers divide to f32");
    is(get(SY_OP_ADD_, NULL, 0, 2, i, f), make(SY_F32, "3", 7.5, (double)NAN, 1.5), 0,
       "i32 + f32 is f32");
    is(get(SY_OP_ADD_, NULL, 0, 2, big, big), make(SY_I32, "1", -2.0), 0, "i32 wraps around");
    is(get(SY_OP_ADD_, NULL, 0, 2, u, u), make(SY_U8, "2", 244.0, 6.0), 0, "u8 wraps around");
    is(get(SY_OP_MAXIMUM_, NULL, 0, 2, f, i), make(SY_F32, "3", 7.0, (double)NAN, 3.0), 0,
       "maximum: NaN wins");
    is(get(SY_OP_LT_, NULL, 0, 2, f, i), make(SY_BOOL, "3", 1.0, 0.0, 1.0), 0, "lt gives bool");
    is(get(SY_OP_ROUND_, NULL, 0, 1, f), make(SY_F32, "3", 0.0, (double)NAN, -2.0), 0,
       "round: halves to even");
    is(get(SY_OP_CAST_, &I(SY_I32), 0, 1, f), make(SY_I32, "3", 0.0, 0.0, -1.0), 0,
       "cast truncates");
    is(get(SY_OP_CAST_, &I(SY_I64), 0, 1, big), make(SY_I64, "1", 2147483647.0), 0,
       "cast i32 to i64");
    is(get(SY_OP_CAST_, &I(SY_BF16), 0, 1, f), make(SY_BF16, "3", 0.5, (double)NAN, -1.5), 0,
       "cast to bf16");
    is(get(SY_OP_NEG_, NULL, 0, 1, i), make(SY_I32, "3", -7.0, 2.0, -3.0), 0, "neg of i32");
    sy_tensor_unref(i);
    sy_tensor_unref(two);
    sy_tensor_unref(f);
    sy_tensor_unref(big);
    sy_tensor_unref(u);
}

/* ---- reductions, order, index ---- */

static void test_sums(void)
{
    static const int64_t shape[2] = {1000, 77};
    struct sy_tensor *x = ramp(SY_F32, 2, shape, 1), *all = get(SY_OP_SUM_, NULL, 0, 1, x);
    double total = 0, column = 0, row = 0;
    for (int64_t i = 0; i < 77000; i++)
        total += sy_tensor_get(x, i);
    for (int64_t i = 0; i < 1000; i++)
        column += sy_tensor_get(x, i * 77 + 5);
    for (int64_t i = 0; i < 77; i++)
        row += sy_tensor_get(x, 9 * 77 + i);
    tap_ok(sy_tensor_get(all, 0) == total, "sum of all (integers in f32: exact)");
    struct sy_tensor *cols = get(SY_OP_SUM_, &I(0), 0, 1, x),
                     *rows = get(SY_OP_SUM_, &I(-1), 0, 1, x);
    tap_ok(sy_tensor_get(cols, 5) == column && cols->shape[0] == 77,
           "sum over the first dimension");
    tap_ok(sy_tensor_get(rows, 9) == row && rows->shape[0] == 1000, "sum over the last dimension");
    sy_tensor_unref(x);
    sy_tensor_unref(all);
    sy_tensor_unref(cols);
    sy_tensor_unref(rows);
}

static void test_picking(void)
{
    struct sy_tensor *x = make(SY_F32, "2x3", 1.0, 5.0, 5.0, -1.0, (double)NAN, 0.0);
    struct sy_tensor *w = make(SY_F32, "3x2", 0.0, 1.0, 2.0, 3.0, 4.0, 5.0);
    struct sy_tensor *ids = make(SY_U8, "2x2", 2.0, 0.0, 1.0, 2.0),
                     *b = make(SY_BOOL, "2", 1.0, 1.0);
    is(get(SY_OP_MAX_, &I(1), 0, 1, x), make(SY_F32, "2", 5.0, (double)NAN), 0, "max: NaN wins");
    is(get(SY_OP_ARGMAX_, &I(1), 0, 1, x), make(SY_I32, "2", 1.0, 1.0), 0,
       "argmax: first, NaN wins");
    is(get(SY_OP_SORT_, &I(1, 1), 1, 1, x), make(SY_I32, "2x3", 1.0, 2.0, 0.0, 1.0, 2.0, 0.0), 0,
       "sort descending is stable, NaN first");
    is(get(SY_OP_TOPK_, &I(2, 1), 1, 1, x), make(SY_I32, "2x2", 1.0, 2.0, 1.0, 2.0), 0,
       "topk: ties to the lower index, NaN is the largest");
    is(get(SY_OP_SUM_, NULL, 0, 1, b), make(SY_I64, "", 2.0), 0, "sum of bool is i64");
    is(get(SY_OP_CUMSUM_, &I(0), 0, 1, ids), make(SY_I64, "2x2", 2.0, 0.0, 3.0, 2.0), 0,
       "cumsum of u8");
    is(get(SY_OP_EMBEDDING_, NULL, 0, 2, w, ids),
       make(SY_F32, "2x2x2", 4.0, 5.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0), 0, "embedding by u8 ids");
    is(get(SY_OP_SCATTER_ADD_, &I(1, 3), 0, 2, ids, ids),
       make(SY_U8, "2x3", 0.0, 0.0, 2.0, 0.0, 1.0, 2.0), 0, "scatter_add");
    is(get(SY_OP_BINCOUNT_, &I(4), 0, 1, ids), make(SY_F32, "4", 1.0, 1.0, 2.0, 0.0), 0,
       "bincount");
    sy_tensor_unref(x);
    sy_tensor_unref(w);
    sy_tensor_unref(ids);
    sy_tensor_unref(b);
}

/* ---- products and linear algebra ---- */

static struct sy_tensor *product(struct sy_tensor *a, struct sy_tensor *b)
{
    return get(SY_OP_MATMUL_, NULL, 0, 2, a, b);
}

static struct sy_tensor *flipped(struct sy_tensor *a)
{
    return get(SY_OP_PERMUTE_, &I(2, 1, 0), 0, 1, a);
}

static void test_matmul(enum sy_dtype dtype)
{
    static const int64_t sa[3] = {2, 9, 33}, sb[2] = {33, 21};
    struct sy_tensor *a = ramp(dtype, 3, sa, 1), *b = ramp(dtype, 2, sb, 1), *y = product(a, b);
    bool good = y != NULL;
    for (int64_t i = 0; good && i < 2 * 9 * 21; i++) {
        double sum = 0;
        for (int64_t k = 0; k < 33; k++)
            sum += sy_tensor_get(a, i / 21 * 33 + k) * sy_tensor_get(b, k * 21 + i % 21);
        good = sy_tensor_get(y, i) == sum;
    }
    tap_ok(good, "matmul (2,9,33) @ (33,21) in %s (integers: exact)", sy_dtype_name(dtype));
    sy_tensor_unref(a);
    sy_tensor_unref(b);
    sy_tensor_unref(y);
}

/* f(a) recombined is a */
static void test_factors(enum sy_dtype dtype, double tolerance)
{
    static const int64_t shape[2] = {5, 3};
    struct sy_tensor *a = ramp(dtype, 2, shape, 0.05), *at = flipped(a), *s = product(at, a);
    struct sy_tensor *u = get(SY_OP_SVD_, NULL, 0, 1, a), *d = get(SY_OP_SVD_, NULL, 1, 1, a);
    struct sy_tensor *vh = get(SY_OP_SVD_, NULL, 2, 1, a), *ud = get(SY_OP_MUL_, NULL, 0, 2, u, d);
    is(product(ud, vh), sy_tensor_ref(a), tolerance, "svd");
    struct sy_tensor *q = get(SY_OP_QR_, NULL, 0, 1, a), *r = get(SY_OP_QR_, NULL, 1, 1, a);
    is(product(q, r), sy_tensor_ref(a), tolerance, "qr");
    struct sy_tensor *val = get(SY_OP_EIGH_, NULL, 0, 1, s), *vec = get(SY_OP_EIGH_, NULL, 1, 1, s);
    struct sy_tensor *scaled = get(SY_OP_MUL_, NULL, 0, 2, vec, val);
    is(product(s, vec), sy_tensor_ref(scaled), tolerance * 100, "eigh");
    struct sy_tensor *l = get(SY_OP_CHOLESKY_, NULL, 0, 1, s), *lt = flipped(l);
    is(product(l, lt), sy_tensor_ref(s), tolerance * 100, "cholesky");
    struct sy_tensor *inv = get(SY_OP_INVERSE_, NULL, 0, 1, s),
                     *x = get(SY_OP_SOLVE_, NULL, 0, 2, s, at);
    is(product(inv, at), sy_tensor_ref(x), tolerance * 100, "inverse and solve agree");
    is(product(s, x), get(SY_OP_CONTIGUOUS_, NULL, 0, 1, at), tolerance * 100, "solve");
    struct sy_tensor *all[] = {a, at, s, u, d, vh, ud, q, r, val, vec, scaled, l, lt, inv, x};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sy_tensor_unref(all[i]);
}

/* ---- draws ---- */

static void test_draws(void)
{
    struct sy_context *c = sy_context();
    c->seed = 3, c->step = 0;
    struct sy_tensor *a = get(SY_OP_RANDN_, &I(1, 40000), 0, 0);
    struct sy_tensor *b = get(SY_OP_RANDN_, &I(1, 40000), 0, 0);
    c->step = 0;
    is(get(SY_OP_RANDN_, &I(1, 40000), 0, 0), sy_tensor_ref(a), 0, "the same key draws the same");
    double mean = 0, square = 0, both = 0;
    for (int64_t i = 0; i < 40000; i++) {
        double v = sy_tensor_get(a, i);
        mean += v / 40000, square += v * v / 40000, both += v * sy_tensor_get(b, i) / 40000;
    }
    tap_ok(fabs(mean) < 0.02 && fabs(square - 1) < 0.03, "randn: mean %g, variance %g", mean,
           square);
    tap_ok(fabs(both) < 0.02, "the next draw is another: correlation %g", both);
    struct sy_tensor *x = get(SY_OP_DROPOUT_, &(struct sy_attrs){.f = {0.25}}, 0, 1, a);
    int zeros = 0;
    for (int64_t i = 0; i < 40000; i++)
        zeros += sy_tensor_get(x, i) == 0;
    tap_ok(abs(zeros - 10000) < 300, "dropout zeroes a quarter: %d of 40000", zeros);
    sy_tensor_unref(a);
    sy_tensor_unref(b);
    sy_tensor_unref(x);
}

/* ---- mistakes ---- */

static void test_errors(void)
{
    static const int64_t sa[2] = {32, 512}, sb[2] = {768, 64};
    struct sy_tensor *a = ramp(SY_F32, 2, sa, 1), *b = ramp(SY_F32, 2, sb, 1);
    struct sy_tensor *i = make(SY_I32, "2", 0.0, 300.0),
                     *f = make(SY_F32, "2x2", 1.0, 2.0, 2.0, 4.0);
    fails(product(a, b), "matmul: inner dimensions differ: a is (32, 512), b is (768, 64)");
    fails(product(i, i), "matmul: a is i32, must be f32 or f64");
    fails(get(SY_OP_ADD_, NULL, 0, 2, a, b),
          "add: shapes do not broadcast: a is (32, 512), b is (768, 64)");
    fails(get(SY_OP_EXP_, NULL, 0, 1, i), "exp: a is i32, must be f32 or f64");
    fails(get(SY_OP_SUM_, &I(2), 0, 1, a), "sum: no dimension 3: the tensor is (32, 512)");
    fails(get(SY_OP_SUM_, &I(-3), 0, 1, a), "sum: no dimension -3: the tensor is (32, 512)");
    fails(get(SY_OP_RESHAPE_, &I(2, 5, -1), 0, 1, a),
          "view: shape (5, -1) does not hold the 16384 elements of (32, 512)");
    fails(get(SY_OP_EXPAND_, &I(2, 3, 512), 0, 1, a),
          "expand: (32, 512) does not broadcast to (3, 512)");
    fails(get(SY_OP_PERMUTE_, &I(2, 1, 1), 0, 1, a), "permute: dimension 2 is given twice");
    fails(get(SY_OP_NARROW_, &I(0, 30, 3), 0, 1, a),
          "narrow: 3 elements from the 31-th along dimension 1: the tensor is (32, 512)");
    fails(get(SY_OP_CAT_, &I(0), 0, 2, a, b),
          "cat: shapes differ beside dimension 1: a is (32, 512), b is (768, 64)");
    fails(get(SY_OP_EMBEDDING_, NULL, 0, 2, f, i), "embedding: index 300 is out of range: V is 2");
    fails(get(SY_OP_EMBEDDING_, NULL, 0, 2, f, f), "embedding: ids is f32, must be i32, i64 or u8");
    fails(get(SY_OP_TOPK_, &I(3, 1), 0, 1, f), "topk: k is 3 along dimension 2 of (2, 2)");
    fails(get(SY_OP_KTH_, &I(0, 1), 0, 1, f), "kth: k is 0 along dimension 2 of (2, 2)");
    fails(get(SY_OP_WHERE_, NULL, 0, 3, f, f, f), "where: c is f32, must be bool");
    fails(get(SY_OP_INVERSE_, NULL, 0, 1, f), "inverse: the matrix is singular: pivot 2 is 0");
    fails(get(SY_OP_CHOLESKY_, NULL, 0, 1, a), "cholesky: x must be square: it is (32, 512)");
    fails(get(SY_OP_DROPOUT_, &(struct sy_attrs){.f = {1.5}}, 0, 1, a),
          "dropout: p is 1.5, must be at least 0 and below 1");
    fails(get(SY_OP_LINEAR_, NULL, 0, 2, a, b),
          "linear: last dimensions differ: x is (32, 512), w is (768, 64)");
    fails(get(SY_OP_RANDINT_, &I(1, 4, [9] = SY_I32, 5, 4), 0, 0), "randint: lo is 5, hi is 4");
    fails(get(SY_OP_ADD_, NULL, 0, 1, a), "add: takes 2 tensors (a b), got 1");
    sy_tensor_unref(a);
    sy_tensor_unref(b);
    sy_tensor_unref(i);
    sy_tensor_unref(f);
}

/* Shapes with a 0 in them go through. */
static void test_empty(void)
{
    static const int64_t shape[2] = {0, 3};
    struct sy_tensor *x = sy_tensor_empty(SY_F32, 2, shape, NULL), *t = flipped(x);
    is(get(SY_OP_SUM_, NULL, 0, 1, x), make(SY_F32, "", 0.0), 0, "sum of nothing is 0");
    is(get(SY_OP_SUM_, &I(0), 0, 1, x), make(SY_F32, "3", 0.0, 0.0, 0.0), 0,
       "sums over no rows are 0");
    is(get(SY_OP_ADD_, NULL, 0, 2, x, x), sy_tensor_ref(x), 0, "nothing plus nothing");
    is(product(t, x), make(SY_F32, "3x3", 0., 0., 0., 0., 0., 0., 0., 0., 0.), 0,
       "an inner dimension of 0");
    is(get(SY_OP_SOFTMAX_, &I(1), 0, 1, x), sy_tensor_ref(x), 0, "softmax of nothing");
    fails(get(SY_OP_MAX_, &I(0), 0, 1, x), "max: nothing to choose from: x is (0, 3)");
    sy_tensor_unref(x);
    sy_tensor_unref(t);
}

int main(void)
{
    test_broadcast();
    test_elementwise();
    test_sums();
    test_picking();
    test_matmul(SY_F32);
    test_matmul(SY_F64);
    test_factors(SY_F64, 1e-12);
    test_factors(SY_F32, 1e-4);
    test_draws();
    test_errors();
    test_empty();
    return tap_done();
}
