/* Walking tensors: several strided inputs in the row-major order of one output shape.
 *
 *  1. Work is cut by the number of elements only, so a task's border does not depend on threads.
 *  2. Dimensions of size 1 are dropped and neighbours are merged where every input allows it, so
 *     equal contiguous shapes, a scalar and a row vector all become one or two long loops.
 */
#include "ops/ops_int.h"

#include <string.h>

/* Stride of input t along output dimension d (both counted from the right); 0 where broadcast. */
static int64_t stride_at(const struct sy_tensor *t, int ndim, int d)
{
    int own = d - (ndim - t->ndim);
    return own < 0 || t->shape[own] == 1 ? 0 : t->stride[own];
}

static bool merges(const struct sy__iter *it, int d, int64_t n, struct sy_tensor *const *in,
                   int ndim, int outer)
{
    for (int i = 0; i < it->nin; i++)
        if (stride_at(in[i], ndim, outer) != it->stride[i][d] * n)
            return false;
    return true;
}

static void reverse(int64_t *v, int n)
{
    for (int i = 0; i < n / 2; i++) {
        int64_t t = v[i];
        v[i] = v[n - 1 - i];
        v[n - 1 - i] = t;
    }
}

void sy__iter_init(struct sy__iter *it, int ndim, const int64_t *shape, int nin,
                   struct sy_tensor *const *in)
{
    int k = -1; /* dimensions so far, innermost first */
    it->nin = nin;
    it->total = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        it->total *= shape[d];
        if (shape[d] == 1)
            continue;
        if (k >= 0 && merges(it, k, it->shape[k], in, ndim, d)) {
            it->shape[k] *= shape[d];
            continue;
        }
        it->shape[++k] = shape[d];
        for (int i = 0; i < nin; i++)
            it->stride[i][k] = stride_at(in[i], ndim, d);
    }
    if (k < 0) {
        it->shape[k = 0] = 1;
        for (int i = 0; i < nin; i++)
            it->stride[i][0] = 0;
    }
    it->ndim = k + 1;
    reverse(it->shape, it->ndim);
    for (int i = 0; i < nin; i++)
        reverse(it->stride[i], it->ndim);
}

struct walk {
    const struct sy__iter *it;
    sy__span_fn f;
    void *ctx;
};

/* Next row: add one to the coordinates without the last, keeping the offsets in step. */
static void next_row(const struct sy__iter *it, int64_t *at, struct sy__span *s)
{
    for (int d = it->ndim - 2; d >= 0; d--) {
        for (int i = 0; i < it->nin; i++)
            s->offset[i] += it->stride[i][d];
        if (++at[d] < it->shape[d])
            return;
        for (int i = 0; i < it->nin; i++)
            s->offset[i] -= it->stride[i][d] * it->shape[d];
        at[d] = 0;
    }
}

static void walk_range(void *ctx, int64_t begin, int64_t end)
{
    const struct walk *w = ctx;
    const struct sy__iter *it = w->it;
    int last = it->ndim - 1;
    int64_t at[SY_MAX_DIMS], rest = begin, row = it->shape[last];
    struct sy__span s = {.at = begin};
    for (int d = last; d >= 0; d--) {
        at[d] = rest % it->shape[d];
        rest /= it->shape[d];
    }
    for (int i = 0; i < it->nin; i++) {
        s.stride[i] = it->stride[i][last];
        for (int d = 0; d <= last; d++)
            s.offset[i] += at[d] * it->stride[i][d];
    }
    int64_t first = at[last];
    while (s.at < end) {
        s.n = row - first < end - s.at ? row - first : end - s.at;
        w->f(w->ctx, &s);
        s.at += s.n;
        for (int i = 0; i < it->nin; i++)
            s.offset[i] -= first * s.stride[i];
        first = 0;
        next_row(it, at, &s);
    }
}

void sy__iter_run(const struct sy__iter *it, int64_t grain, sy__span_fn f, void *ctx)
{
    struct walk w = {it, f, ctx};
    sy__parallel(it->total, grain, walk_range, &w);
}

struct sy__lines sy__lines_of(int ndim, const int64_t *shape, int64_t dim)
{
    struct sy__lines l = {1, 1, 1};
    for (int d = 0; d < ndim; d++) {
        if (d < dim)
            l.outer *= shape[d];
        else if (d == dim)
            l.n = shape[d];
        else
            l.inner *= shape[d];
    }
    return l;
}

int sy__broadcast(struct sy_infer *x, struct sy_meta *out)
{
    out->ndim = 0;
    for (int i = 0; i < x->nin; i++)
        if (x->in[i] && x->in[i]->ndim > out->ndim)
            out->ndim = x->in[i]->ndim;
    for (int d = 0; d < out->ndim; d++) {
        int64_t size = 1;
        for (int i = 0; i < x->nin; i++) {
            int own = x->in[i] ? d - (out->ndim - x->in[i]->ndim) : -1;
            int64_t n = own < 0 ? 1 : x->in[i]->shape[own];
            if (n != 1 && size != 1 && n != size)
                return sy__shape_error(x, "shapes do not broadcast");
            size = n != 1 ? n : size;
        }
        out->shape[d] = size;
    }
    return 0;
}
