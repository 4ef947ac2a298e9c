/* Rotary position embedding: pairs of each head are turned by position * theta^(-2i/dims).
 *
 *  1. Angles are computed in double by our own polynomials and rounded once: the same bits
 *     everywhere.
 *  2. A task takes a run of tokens, makes their table of cosines and sines once, and uses it for
 *     all sequences of the batch that are at the same positions.  No table outlives the call.
 *  3. The gradient is the rotation by the negative angle.
 *
 * Source: Su et al. 2021, eq. 34.
 */
#include "cpu/cpu.h"
#include "cpu/kern_row.h"
#include "cpu/math.h"
#include "ops/build.h"
#include "ops/ops_int.h"

#include <string.h>

enum { GRAIN = 16 };          /* tokens of a task */
enum { HALF, DIMS, INVERSE }; /* integer attributes */

/* ---- rope (x (B,T,H,D), positions (T) or (B,T); theta, half, dims) -> y ---- */

int sy__infer_rope(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0], *p = x->in[1];
    if (sy__want_float(x, 0) || sy__want_ndim(x, 0, 4) || (p && sy__want_dtype(x, 1, SY_I32)))
        return -1;
    const bool one = p && p->ndim == 1 && p->shape[0] == t->shape[1];
    const bool each = p && p->ndim == 2 && p->shape[0] == t->shape[0] && p->shape[1] == t->shape[1];
    if (p && !one && !each)
        return sy__shape_error(x, "positions must be (T) or (B, T)");
    if (!x->attrs->i[DIMS])
        x->attrs->i[DIMS] = t->shape[3];
    const int64_t dims = x->attrs->i[DIMS];
    if (dims < 2 || dims % 2 || dims > t->shape[3])
        return sy_err_set(x->err, SY_E_RANGE,
                          "rope: dims is %lld, must be even and at most D = %lld", (long long)dims,
                          (long long)t->shape[3]);
    if (!(x->attrs->f[0] > 0))
        return sy_err_set(x->err, SY_E_RANGE, "rope: theta is %g, must be positive",
                          x->attrs->f[0]);
    sy_meta_like(&x->out[0], t);
    x->reuse[0] = 1;
    x->scratch = (size_t)dims / 2 * sizeof(double) + (size_t)(t->shape[1] * dims) * sizeof(float);
    return 0;
}

struct rope {
    const void *x;
    void *y;
    const int32_t *pos; /* or NULL: 0..T-1 */
    bool pos_each;      /* (B,T) */
    int64_t b, t, h, d, half;
    bool split, inverse;
    const double *freq; /* (half) */
    float *table;       /* (T, 2 half): each task's own part */
};

static int32_t position(const struct rope *r, int64_t b, int64_t t)
{
    return r->pos ? r->pos[r->pos_each ? b * r->t + t : t] : (int32_t)t;
}

/* Rows of the table (cos, sin: tokens x half) whose position is not what it was for the sequence
 * before. */
static void fill_table(const struct rope *r, float *cosine, float *sine, int64_t b, int64_t begin,
                       int64_t end)
{
    for (int64_t t = begin; t < end; t++) {
        const int32_t p = position(r, b, t);
        if (b > 0 && p == position(r, b - 1, t))
            continue;
        for (int64_t i = 0; i < r->half; i++) {
            double s, c;
            sy_sincos((double)p * r->freq[i], &s, &c);
            cosine[(t - begin) * r->half + i] = (float)c;
            sine[(t - begin) * r->half + i] = (float)s;
        }
    }
}

static void rotate_f32(void *ctx, int64_t begin, int64_t end)
{
    const struct rope *r = ctx;
    const int64_t width = r->h * r->d;
    float *cosine = r->table + begin * 2 * r->half, *sine = cosine + (end - begin) * r->half;
    struct sy_rope kernel = {.cos = cosine,
                             .sin = sine,
                             .h = r->h,
                             .d = r->d,
                             .half = r->half,
                             .interleaved = !r->split,
                             .inverse = r->inverse};
    for (int64_t b = 0; b < r->b; b++) {
        const int64_t at = (b * r->t + begin) * width;
        fill_table(r, cosine, sine, b, begin, end);
        sy_cpu()->row->rope((float *)r->y + at, width, (const float *)r->x + at, width, &kernel,
                            end - begin);
    }
}

static void rotate_token_f64(const struct rope *r, int64_t token, int32_t p)
{
    for (int64_t j = 0; j < r->h; j++) {
        const double *x = (const double *)r->x + (token * r->h + j) * r->d;
        double *y = (double *)r->y + (token * r->h + j) * r->d;
        for (int64_t i = 0; i < r->half; i++) {
            const int64_t a = r->split ? i : 2 * i, b = r->split ? i + r->half : 2 * i + 1;
            const double xa = x[a], xb = x[b];
            double s, c;
            sy_sincos((double)p * r->freq[i], &s, &c);
            s = r->inverse ? -s : s;
            y[a] = xa * c - xb * s;
            y[b] = xb * c + xa * s;
        }
        for (int64_t i = 2 * r->half; i < r->d; i++)
            y[i] = x[i];
    }
}

static void rotate_f64(void *ctx, int64_t begin, int64_t end)
{
    const struct rope *r = ctx;
    for (int64_t b = 0; b < r->b; b++)
        for (int64_t t = begin; t < end; t++)
            rotate_token_f64(r, b * r->t + t, position(r, b, t));
}

int sy__run_rope(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0], *p = x->in[1];
    const int64_t half = x->attrs->i[DIMS] / 2;
    double *freq = x->scratch;
    const double step = sy_log(x->attrs->f[0]) / (double)half;
    for (int64_t i = 0; i < half; i++)
        freq[i] = sy_exp(-step * (double)i);
    struct rope r = {.x = sy_data(t),
                     .y = sy_data(x->out[0]),
                     .pos = p ? sy_data(p) : NULL,
                     .pos_each = p && p->ndim == 2,
                     .b = t->shape[0],
                     .t = t->shape[1],
                     .h = t->shape[2],
                     .d = t->shape[3],
                     .half = half,
                     .split = x->attrs->i[HALF] != 0,
                     .inverse = x->attrs->i[INVERSE] != 0,
                     .freq = freq,
                     .table = (float *)(freq + half)};
    sy__parallel(r.t, GRAIN, t->dtype == SY_F64 ? rotate_f64 : rotate_f32, &r);
    return 0;
}

int sy__vjp_rope(struct sy_vjp *x)
{
    struct sy_attrs a = *x->attrs;
    a.i[INVERSE] = !a.i[INVERSE];
    x->din[0] = sy_b_apply(SY_OP_ROPE_, &a, 2, x->dout[0], x->in[1]);
    return 0;
}
