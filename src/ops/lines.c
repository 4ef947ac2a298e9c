/* Work along one dimension, for operations that know only rows.
 *
 *  1. A row function gets `rows` dense rows of every operand.  Along the last dimension these are
 *     the tensors' own bytes; otherwise LANES neighbouring lines are gathered into scratch, and
 *     their results spread out again.
 *  2. Tasks are cut by shape, so what a row function computes for a row may not depend on `rows`.
 */
#include "ops/ops_int.h"

#include "base/mem.h"
#include "base/scratch.h"

#include <stdatomic.h>

#define LANES 16

struct lines_task {
    const struct sy__line_work *w;
    atomic_bool out_of_memory;
};

static void add_pointers(const struct sy__line_work *w, int64_t row, const void **in, void **out)
{
    for (int i = 0; i < w->nin; i++)
        in[i] = (const char *)w->in[i].data + (size_t)(row * w->in[i].n) * w->in[i].size;
    for (int i = 0; i < w->nout; i++)
        out[i] = w->out[i].data
                     ? (char *)w->out[i].data + (size_t)(row * w->out[i].n) * w->out[i].size
                     : NULL;
}

static void dense_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct sy__line_work *w = ((struct lines_task *)ctx)->w;
    const void *in[SY_LINE_IN];
    void *out[SY_LINE_OUT];
    add_pointers(w, begin, in, out);
    w->rows(w->ctx, end - begin, in, out);
}

/* Line j of `lines` from o, s0 of an operand on <-> row j of buf, in square tiles: long rows of buf
 * are often a power of two apart, which caches dislike. */
#define TRANSFER(T)                                                                                \
    for (int64_t i0 = 0; i0 < p->n; i0 += LANES) {                                                 \
        T *x = (T *)p->data + (o * p->n + i0) * inner + s0, *b = (T *)(void *)buf + i0;            \
        int64_t tile = p->n - i0 < LANES ? p->n - i0 : LANES;                                      \
        for (int64_t j = 0; j < lines; j++)                                                        \
            for (int64_t i = 0; i < tile; i++)                                                     \
                if (gather)                                                                        \
                    b[j * p->n + i] = x[i * inner + j];                                            \
                else                                                                               \
                    x[i * inner + j] = b[j * p->n + i];                                            \
    }

static void transfer_lines(const struct sy__line_operand *p, int64_t inner, int64_t o, int64_t s0,
                           int64_t lines, char *buf, bool gather)
{
    switch (p->size) {
    case 1:
        TRANSFER(uint8_t) break;
    case 2:
        TRANSFER(uint16_t) break;
    case 4:
        TRANSFER(uint32_t) break;
    default:
        TRANSFER(uint64_t) break;
    }
}

static size_t room_of(const struct sy__line_operand *p)
{
    return ((size_t)p->n * LANES * p->size + 63) & ~(size_t)63;
}

static void strided_rows(void *ctx, int64_t begin, int64_t end)
{
    struct lines_task *task = ctx;
    const struct sy__line_work *w = task->w;
    int64_t blocks = (w->l.inner + LANES - 1) / LANES;
    const void *in[SY_LINE_IN];
    void *out[SY_LINE_OUT];
    size_t bytes = 0;
    for (int i = 0; i < w->nin + w->nout; i++)
        bytes += room_of(i < w->nin ? &w->in[i] : &w->out[i - w->nin]);
    char *buf = sy_scratch(SY_SCRATCH_OP0, bytes + 64);
    if (!buf) {
        atomic_store(&task->out_of_memory, true);
        return;
    }
    for (int64_t u = begin; u < end; u++) {
        int64_t o = u / blocks, s0 = u % blocks * LANES;
        int64_t lines = w->l.inner - s0 < LANES ? w->l.inner - s0 : LANES;
        char *at = buf;
        for (int i = 0; i < w->nin; at += room_of(&w->in[i]), i++) {
            transfer_lines(&w->in[i], w->l.inner, o, s0, lines, at, true);
            in[i] = at;
        }
        for (int i = 0; i < w->nout; at += room_of(&w->out[i]), i++)
            out[i] = w->out[i].data ? at : NULL;
        w->rows(w->ctx, lines, in, out);
        for (int i = 0; i < w->nout; i++)
            if (out[i])
                transfer_lines(&w->out[i], w->l.inner, o, s0, lines, (char *)out[i], false);
    }
}

int sy__lines_run(const struct sy__line_work *w, const char *name, struct sy_err *err)
{
    struct lines_task task = {.w = w};
    int64_t longest = 1;
    for (int i = 0; i < w->nin + w->nout; i++) {
        int64_t n = i < w->nin ? w->in[i].n : w->out[i - w->nin].n;
        longest = n > longest ? n : longest;
    }
    atomic_init(&task.out_of_memory, false);
    if (w->l.inner == 1)
        sy__parallel(w->l.outer, 16384 / longest + 1, dense_rows, &task);
    else
        sy__parallel(w->l.outer * ((w->l.inner + LANES - 1) / LANES), 16384 / (longest * LANES) + 1,
                     strided_rows, &task);
    if (atomic_load(&task.out_of_memory))
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory", name);
    return 0;
}

struct sy__line_operand sy__line_operand(const struct sy_tensor *t, int64_t n)
{
    struct sy__line_operand p = {NULL, n, 0};
    if (!t)
        return p;
    p.data = sy_data(t);
    p.size = sy_dtype_size(t->dtype);
    return p;
}
