/* Lines of parameters with what the optimizer keeps of them, exchanged and blended: what is done to
 * an expert of a run, or to its row of the router.  See params.h.
 *
 *  1. One thread, in the order of memory: the bits are the same whatever the machine.
 *  2. A state has its parameter's lines when it has as many in its first dimension.  Where a
 *     parameter is square, one of fewer dimensions is by lines when it is the first such (Adafactor
 *     keeps rows, then columns). */
#include "train/optimizers/optimizer.h"
#include "train/params.h"

#include "base/assert.h"

#include <string.h>

/* Does state i of a parameter lie by its lines? */
static bool has_lines(const struct sy_params *ps, int param, int i)
{
    const struct sy_tensor *t = ps->list[param].tensor;
    const struct sy_slot *s = sy_params_slot(ps, param, i);
    if (!s->count || !s->ndim || s->shape[0] != t->shape[0])
        return false;
    return ps->list[param].experts || s->ndim == t->ndim || i == 0;
}

static void swap_floats(float *a, float *b, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        float x = a[k];
        a[k] = b[k];
        b[k] = x;
    }
}

static void blend_floats(float *to, const float *from, int64_t n, float share)
{
    bool both = share > 0 && share < 1; /* what has no share may not be finite */
    if (share == 0)
        memcpy(to, from, (size_t)n * sizeof *to);
    for (int64_t k = 0; both && k < n; k++)
        to[k] = share * to[k] + (1 - share) * from[k];
}

/* Exchange whether chunks of two experts are frozen; they lie alike. */
static void swap_frozen(struct sy_params *ps, int param, int64_t a, int64_t b)
{
    int at = 0;
    while (ps->groups[at].param != param)
        at++;
    const struct sy_group *ga = &ps->groups[at + a], *gb = &ps->groups[at + b];
    for (int k = 0; k < ga->chunks; k++) {
        bool was = ps->chunks[ga->first + k].frozen;
        ps->chunks[ga->first + k].frozen = (bool)ps->chunks[gb->first + k].frozen;
        ps->chunks[gb->first + k].frozen = was;
    }
}

void sy_params_swap(struct sy_params *ps, int param, int64_t a, int64_t b)
{
    const struct sy_param *p = &ps->list[param];
    int64_t lines = p->tensor->shape[0], n = p->count / lines;
    SY_ASSERT(a >= 0 && a < lines && b >= 0 && b < lines);
    swap_floats(ps->p + p->offset + a * n, ps->p + p->offset + b * n, n);
    for (int i = 0; i < ps->nslots; i++) {
        const struct sy_slot *s = sy_params_slot(ps, param, i);
        n = s->count / lines;
        if (has_lines(ps, param, i))
            swap_floats(ps->kept + s->offset + a * n, ps->kept + s->offset + b * n, n);
    }
    if (p->experts)
        swap_frozen(ps, param, a, b);
}

void sy_params_blend(struct sy_params *ps, int param, int64_t to, int64_t from, float share)
{
    const struct sy_param *p = &ps->list[param];
    int64_t lines = p->tensor->shape[0], n = p->count / lines;
    SY_ASSERT(to >= 0 && to < lines && from >= 0 && from < lines);
    blend_floats(ps->p + p->offset + to * n, ps->p + p->offset + from * n, n, share);
    for (int i = 0; i < ps->nslots; i++) {
        const struct sy_slot *s = sy_params_slot(ps, param, i);
        n = s->count / lines;
        if (has_lines(ps, param, i))
            blend_floats(ps->kept + s->offset + to * n, ps->kept + s->offset + from * n, n, share);
    }
}
