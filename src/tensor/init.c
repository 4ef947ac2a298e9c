/* Draws of parameters' initial values; see init.h. */
#include "tensor/init.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>

enum { TRIES = 64 }; /* of a truncated draw: the 65th is cut at the border, with odds of 1e-86 */

const char *sy_init_name(enum sy_init form)
{
    static const char *const names[SY_INIT_COUNT] = {"zeros",     "ones",    "normal",
                                                     "truncated", "uniform", "orthogonal"};
    return names[form];
}

/* Try number n of all elements is a stream of its own. */
static struct sy_rng stream(const struct sy_rng *r, int n)
{
    struct sy_rng s = *r;
    s.purpose += 256 * (uint32_t)n;
    return s;
}

static float cut_normal(const struct sy_rng *r, int64_t i, float first)
{
    float x = first;
    for (int n = 1; n <= TRIES && fabsf(x) > 2.0f; n++) {
        struct sy_rng s = stream(r, n);
        sy_rng_fill_normal(&s, (uint64_t)i, &x, 1);
    }
    return x > 2.0f ? 2.0f : x < -2.0f ? -2.0f : x;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

/* Rows of q (rows, n), rows <= n, made orthonormal, each against those before it, twice. */
static void orthonormal_rows(double *q, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        double *v = q + r * n;
        for (int64_t j = 0; j < 2 * r; j++) {
            const double *u = q + j % r * n, s = dot(u, v, n);
            for (int64_t i = 0; i < n; i++)
                v[i] -= s * u[i];
        }
        const double length = sqrt(dot(v, v, n));
        for (int64_t i = 0; i < n; i++)
            v[i] /= length;
    }
}

/* x (rows, cols) is normal on entry; q: room for as many doubles. */
static void orthogonal(float *x, int64_t rows, int64_t cols, double gain, double *q)
{
    const bool wide = rows <= cols;
    const int64_t m = wide ? rows : cols, n = wide ? cols : rows;
    const int64_t down = wide ? n : 1, right = wide ? 1 : n;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            q[r * down + c * right] = (double)x[r * cols + c];
    orthonormal_rows(q, m, n);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            x[r * cols + c] = (float)(gain * q[r * down + c * right]);
}

static int fill_orthogonal(struct sy_tensor *t, double gain, struct sy_err *err)
{
    if (t->ndim < 2)
        return sy_err_set(err, SY_E_SHAPE, "orthogonal: it takes a matrix: there %s %d dimension%s",
                          t->ndim == 1 ? "is" : "are", t->ndim, t->ndim == 1 ? "" : "s");
    const int64_t rows = t->shape[t->ndim - 2], cols = t->shape[t->ndim - 1], size = rows * cols;
    double *q = sy_alloc((size_t)size * sizeof *q);
    if (!q)
        return sy_err_set(err, SY_E_MEMORY, "orthogonal: out of memory: %lld bytes",
                          (long long)size * (long long)sizeof *q);
    for (int64_t at = 0; at < sy_tensor_count(t); at += size)
        orthogonal((float *)sy_data(t) + at, rows, cols, gain, q);
    sy_free(q);
    return 0;
}

int sy_init_fill(struct sy_tensor *t, enum sy_init form, double scale, uint64_t seed, uint64_t key,
                 struct sy_err *err)
{
    const struct sy_rng r = {.seed = seed, .purpose = SY_RNG_INIT, .step = key};
    const int64_t n = sy_tensor_count(t);
    const float std = (float)scale;
    float *x = sy_data(t);
    if (form == SY_INIT_UNIFORM)
        sy_rng_fill_uniform(&r, 0, x, n);
    else if (form >= SY_INIT_NORMAL)
        sy_rng_fill_normal(&r, 0, x, n);
    if (form == SY_INIT_ORTHOGONAL)
        return fill_orthogonal(t, scale, err);
    for (int64_t i = 0; i < n; i++) {
        if (form == SY_INIT_TRUNCATED)
            x[i] = cut_normal(&r, i, x[i]);
        if (form == SY_INIT_UNIFORM)
            x[i] = 2.0f * x[i] - 1.0f;
        x[i] = form >= SY_INIT_NORMAL ? x[i] * std : form == SY_INIT_ONES;
    }
    return 0;
}
