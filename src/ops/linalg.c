/* Linear algebra for the prompt: LAPACK over single matrices, f32 and f64, without gradients.
 *
 *  1. Our matrices are row-major; LAPACK reads the same bytes as the transpose.  Where that is
 *     inconvenient the matrix is transposed into scratch memory first.
 *  2. Input is checked to be finite: some LAPACK routines do not return otherwise.
 */
#include "ops/ops_int.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Fortran interface, 32-bit integers (the hidden lengths of character arguments are not read). */
#define LAPACK(p, T)                                                                               \
    void p##gesdd_(const char *, int *, int *, T *, int *, T *, T *, int *, T *, int *, T *,       \
                   int *, int *, int *);                                                           \
    void p##geqrf_(int *, int *, T *, int *, T *, T *, int *, int *);                              \
    void p##orgqr_(int *, int *, int *, T *, int *, T *, T *, int *, int *);                       \
    void p##syevd_(const char *, const char *, int *, T *, int *, T *, T *, int *, int *, int *,   \
                   int *);                                                                         \
    void p##gesv_(int *, int *, T *, int *, int *, T *, int *, int *);                             \
    void p##potrf_(const char *, int *, T *, int *, int *);                                        \
    void p##getrf_(int *, int *, T *, int *, int *, int *);                                        \
    void p##getri_(int *, T *, int *, int *, T *, int *, int *);
LAPACK(s, float)
LAPACK(d, double)

/* ---- infer ---- */

static int want_matrix(struct sy_infer *x, int input, bool square)
{
    char name[24], text[128];
    const struct sy_tensor *t = x->in[input];
    if (sy__want_float(x, input) || sy__want_ndim(x, input, 2))
        return -1;
    if (t->shape[0] < 1 || t->shape[1] < 1 || t->shape[0] > 1 << 20 || t->shape[1] > 1 << 20 ||
        (square && t->shape[0] != t->shape[1]))
        return sy_err_set(x->err, SY_E_SHAPE, "%s: %s must be %s: it is %s", x->op->name,
                          sy_op_input_name(x->op, input, name),
                          square ? "square" : "a matrix of 1 to 1048576 rows and columns",
                          sy_shape_text(2, t->shape, text, sizeof text));
    return 0;
}

int sy__infer_square(struct sy_infer *x)
{
    return want_matrix(x, 0, true) ? -1 : sy__infer_like(x);
}

int sy__infer_det(struct sy_infer *x)
{
    if (sy__infer_square(x))
        return -1;
    x->out[0].ndim = 0;
    return 0;
}

static void matrix(struct sy_meta *m, enum sy_dtype dtype, int64_t rows, int64_t cols)
{
    *m = (struct sy_meta){dtype, 2, {rows, cols}};
}

static int64_t smaller(const struct sy_tensor *t)
{
    return t->shape[0] < t->shape[1] ? t->shape[0] : t->shape[1];
}

int sy__infer_svd(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    if (want_matrix(x, 0, false))
        return -1;
    matrix(&x->out[0], t->dtype, t->shape[0], smaller(t));
    x->out[1] = (struct sy_meta){t->dtype, 1, {smaller(t)}};
    matrix(&x->out[2], t->dtype, smaller(t), t->shape[1]);
    x->always = 7;
    return 0;
}

int sy__infer_qr(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    if (want_matrix(x, 0, false))
        return -1;
    matrix(&x->out[0], t->dtype, t->shape[0], smaller(t));
    matrix(&x->out[1], t->dtype, smaller(t), t->shape[1]);
    x->always = 3;
    return 0;
}

int sy__infer_eigh(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    if (want_matrix(x, 0, true))
        return -1;
    x->out[0] = (struct sy_meta){t->dtype, 1, {t->shape[0]}};
    matrix(&x->out[1], t->dtype, t->shape[0], t->shape[0]);
    x->always = 3;
    return 0;
}

int sy__infer_solve(struct sy_infer *x)
{
    const struct sy_tensor *b = x->in[1];
    if (want_matrix(x, 0, true) || sy__same_dtype(x, 0, 1))
        return -1;
    if ((b->ndim != 1 && b->ndim != 2) || b->shape[0] != x->in[0]->shape[0])
        return sy__shape_error(x, "rows differ");
    sy_meta_like(&x->out[0], b);
    return 0;
}

/* ---- tools ---- */

static int check_finite(const struct sy_tensor *t, const char *op, struct sy_err *err)
{
    int64_t n = sy_tensor_count(t);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t->dtype == SY_F32 ? (double)((const float *)sy_data(t))[i]
                                         : ((const double *)sy_data(t))[i]))
            return sy_err_set(err, SY_E_NUMERIC, "%s: the matrix has NaN or infinite elements", op);
    return 0;
}

static int no_memory(const char *op, struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "%s: out of memory", op);
}

static int singular(const char *op, int pivot, struct sy_err *err)
{
    return sy_err_set(err, SY_E_NUMERIC, "%s: the matrix is singular: pivot %d is 0", op, pivot);
}

#define T float
#define P(name) s##name
#define F(name) name##_f32
#include "ops/linalg_type.h"
#undef T
#undef P
#undef F
#define T double
#define P(name) d##name
#define F(name) name##_f64
#include "ops/linalg_type.h"

#define RUN(name)                                                                                  \
    int sy__run_##name(const struct sy_run *x)                                                     \
    {                                                                                              \
        if (check_finite(x->in[0], #name, x->err))                                                 \
            return -1;                                                                             \
        return x->in[0]->dtype == SY_F32 ? name##_f32(x) : name##_f64(x);                          \
    }
RUN(svd)
RUN(qr)
RUN(eigh)
RUN(solve)
RUN(cholesky)
RUN(inverse)
RUN(det)
