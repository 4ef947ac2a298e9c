/* Draws: pure functions of (seed, step, node), see base/rng.h; and dropout.
 *
 *  1. Element i of a draw depends on the key and i only, so tasks may be cut anywhere.
 *  2. dropout puts its key out beside y.  The gradient draws the same mask from that key: no mask
 *     is kept, and it does not matter that the backward operation has another number.
 */
#include "ops/build.h"
#include "ops/ops_int.h"

#include "base/rng.h"
#include "cpu/cpu.h"
#include "cpu/kern_map.h"

#include <string.h>

#define PIECE 256

static struct sy_rng key_of(const struct sy_run *x, enum sy_purpose purpose)
{
    return (struct sy_rng){x->seed, (uint32_t)(purpose + 256 * x->node), x->step};
}

/* ---- randn, rand, randint: attributes shape (0..8), dtype (9), lo (10), hi (11) ---- */

static int infer_draw(struct sy_infer *x)
{
    const int64_t *a = x->attrs->i;
    size_t bytes;
    if (a[9] < 0 || a[9] >= SY_DTYPE_COUNT)
        return sy_err_set(x->err, SY_E_DTYPE, "%s: no dtype has the number %lld", x->op->name,
                          (long long)a[9]);
    if (a[0] < 0 || a[0] > SY_MAX_DIMS)
        return sy_err_set(x->err, SY_E_RANGE, "%s: %lld dimensions: at most %d are possible",
                          x->op->name, (long long)a[0], SY_MAX_DIMS);
    x->out[0].dtype = (enum sy_dtype)a[9];
    x->out[0].ndim = (int)a[0];
    memcpy(x->out[0].shape, a + 1, sizeof x->out[0].shape);
    return sy_shape_bytes(x->out[0].dtype, (int)a[0], a + 1, &bytes, x->err);
}

int sy__infer_draw(struct sy_infer *x)
{
    if (infer_draw(x))
        return -1;
    if (x->out[0].dtype == SY_F32 || x->out[0].dtype == SY_F64)
        return 0;
    return sy_err_set(x->err, SY_E_DTYPE, "%s: dtype is %s, must be f32 or f64", x->op->name,
                      sy_dtype_name(x->out[0].dtype));
}

struct draw {
    struct sy_rng key;
    void (*fill)(const struct sy_rng *, uint64_t, float *, int64_t);
    enum sy_dtype dtype;
    void *y;
    int64_t lo, hi;
};

static void fill_floats(void *ctx, int64_t begin, int64_t end)
{
    const struct draw *d = ctx;
    float buf[PIECE];
    if (d->dtype == SY_F32) {
        d->fill(&d->key, (uint64_t)begin, (float *)d->y + begin, end - begin);
        return;
    }
    for (int64_t i = begin; i < end; i += PIECE) {
        int64_t n = end - i < PIECE ? end - i : PIECE;
        d->fill(&d->key, (uint64_t)i, buf, n);
        for (int64_t j = 0; j < n; j++)
            ((double *)d->y)[i + j] = (double)buf[j];
    }
}

static int run_floats(const struct sy_run *x,
                      void (*fill)(const struct sy_rng *, uint64_t, float *, int64_t))
{
    struct draw d = {key_of(x, SY_RNG_USER), fill, x->out[0]->dtype, sy_data(x->out[0]), 0, 0};
    sy__parallel(sy_tensor_count(x->out[0]), 8192, fill_floats, &d);
    return 0;
}

int sy__run_randn(const struct sy_run *x)
{
    return run_floats(x, sy_rng_fill_normal);
}
int sy__run_rand(const struct sy_run *x)
{
    return run_floats(x, sy_rng_fill_uniform);
}

int sy__infer_randint(struct sy_infer *x)
{
    const int64_t *a = x->attrs->i;
    if (infer_draw(x))
        return -1;
    if (a[10] > a[11] || (a[10] < 0 && a[11] > INT64_MAX + a[10] - 1))
        return sy_err_set(x->err, SY_E_RANGE, "randint: lo is %lld, hi is %lld", (long long)a[10],
                          (long long)a[11]);
    if (x->out[0].dtype == SY_BOOL || x->out[0].dtype == SY_BF16 ||
        sy_dtype_stored(x->out[0].dtype))
        return sy_err_set(x->err, SY_E_DTYPE, "randint: dtype is %s, must be a number",
                          sy_dtype_name(x->out[0].dtype));
    return 0;
}

static void fill_ints(void *ctx, int64_t begin, int64_t end)
{
    const struct draw *d = ctx;
    uint64_t span = (uint64_t)(d->hi - d->lo) + 1;
    for (int64_t i = begin; i < end; i++) {
        int64_t v = d->lo + (int64_t)sy_rng_below(&d->key, (uint64_t)i, span);
        switch (d->dtype) {
        case SY_F32:
            ((float *)d->y)[i] = (float)v;
            break;
        case SY_F64:
            ((double *)d->y)[i] = (double)v;
            break;
        case SY_I32:
            ((int32_t *)d->y)[i] = (int32_t)v;
            break;
        case SY_I64:
            ((int64_t *)d->y)[i] = v;
            break;
        default:
            ((uint8_t *)d->y)[i] = (uint8_t)v;
            break;
        }
    }
}

int sy__run_randint(const struct sy_run *x)
{
    struct draw d = {key_of(x, SY_RNG_USER), NULL,           x->out[0]->dtype, sy_data(x->out[0]),
                     x->attrs->i[10],        x->attrs->i[11]};
    sy__parallel(sy_tensor_count(x->out[0]), 8192, fill_ints, &d);
    return 0;
}

/* ---- dropout ---- */

static int check_rate(double p, struct sy_err *err)
{
    if (p >= 0 && p < 1)
        return 0;
    return sy_err_set(err, SY_E_RANGE, "dropout: p is %g, must be at least 0 and below 1", p);
}

int sy__infer_dropout(struct sy_infer *x)
{
    if (sy__want_float(x, 0))
        return -1;
    if (x->in[1] && (sy__want_dtype(x, 1, SY_F32) || sy__want_ndim(x, 1, 0)))
        return -1;
    if (!x->in[1] && check_rate(x->attrs->f[0], x->err))
        return -1;
    sy_meta_like(&x->out[0], x->in[0]);
    x->out[1] = (struct sy_meta){SY_I64, 1, {3}};
    x->reuse[0] = 1;
    return 0;
}

int sy__infer_dropout_backward(struct sy_infer *x)
{
    x->reuse[0] = 1;
    return sy__infer_like(x);
}

struct dropping {
    struct sy_rng key;
    float p;
    enum sy_dtype dtype;
    const void *x;
    void *y;
};

/* f64 takes its decisions from the f32 kernel, over ones. */
static void drop_task(void *ctx, int64_t begin, int64_t end)
{
    const struct dropping *d = ctx;
    const struct sy_map_kernels *k = sy_cpu()->map;
    float buf[PIECE];
    if (d->dtype == SY_F32) {
        k->dropout((float *)d->y + begin, (const float *)d->x + begin, &d->key, (uint64_t)begin,
                   d->p, end - begin);
        return;
    }
    for (int64_t i = begin; i < end; i += PIECE) {
        int64_t n = end - i < PIECE ? end - i : PIECE;
        k->fill(buf, 1, n);
        k->dropout(buf, buf, &d->key, (uint64_t)i, d->p, n);
        for (int64_t j = 0; j < n; j++)
            ((double *)d->y)[i + j] =
                buf[j] > 0 ? ((const double *)d->x)[i + j] / (1 - (double)d->p) : 0;
    }
}

static int run_drop(const struct sy_run *x, const struct sy_tensor *rate, struct sy_rng key)
{
    double p = rate ? (double)*(const float *)sy_data(rate) : x->attrs->f[0];
    struct dropping d = {key, (float)p, x->in[0]->dtype, sy_data(x->in[0]), sy_data(x->out[0])};
    if (check_rate(p, x->err))
        return -1;
    if (p == 0)
        memmove(d.y, d.x, sy_tensor_bytes(x->in[0]));
    else
        sy__parallel(sy_tensor_count(x->in[0]), 8192, drop_task, &d);
    return 0;
}

static void save_key(struct sy_tensor *t, const struct sy_rng *key)
{
    int64_t *saved = sy_data(t);
    saved[0] = (int64_t)key->seed;
    saved[1] = key->purpose;
    saved[2] = (int64_t)key->step;
}

struct sy_rng sy__saved_key(const struct sy_tensor *t)
{
    const int64_t *saved = sy_data(t);
    return (struct sy_rng){(uint64_t)saved[0], (uint32_t)saved[1], (uint64_t)saved[2]};
}

int sy__run_dropout(const struct sy_run *x)
{
    struct sy_rng key = key_of(x, SY_RNG_DROPOUT);
    if (x->out[1])
        save_key(x->out[1], &key);
    return run_drop(x, x->in[1], key);
}

/* ---- the key alone, for an operation that draws in its own kernel ---- */

int sy__infer_draw_key(struct sy_infer *x)
{
    x->out[0] = (struct sy_meta){SY_I64, 1, {3}};
    return 0;
}

int sy__run_draw_key(const struct sy_run *x)
{
    struct sy_rng key = key_of(x, SY_RNG_DROPOUT);
    save_key(x->out[0], &key);
    return 0;
}

int sy__vjp_dropout(struct sy_vjp *x)
{
    if (x->dout[0])
        x->din[0] =
            sy_b_apply(SY_OP_DROPOUT_BACKWARD_, x->attrs, 3, x->dout[0], x->out[1], x->in[1]);
    return 0;
}

/* dy, key, rate? -> dx */
int sy__run_dropout_backward(const struct sy_run *x)
{
    return run_drop(x, x->in[2], sy__saved_key(x->in[1]));
}
