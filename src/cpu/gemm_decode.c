/* Matrix products: packing of operands in a storage form (cpu/storage_form.h).
 *
 *     stored rows along the lanes (x W'):  a run of k of each row of a panel is decoded, one below
 *                                          the other, and packed as a small matrix of its own
 *     stored rows along k (dy W):          some panels' width of every k likewise
 *
 *  1. What is decoded at once stays in the core's nearest cache (PIECE floats; along k: DECODED),
 *     so memory is read once, and as it lies.
 *  2. Rounding to bf16 is the set's own packing of the decoded values. */
#include "cpu/gemm_int.h"

#include "base/assert.h"
#include "base/scratch.h"
#include "cpu/cpu.h"
#include "cpu/int64.h"

enum { PIECE = 4096, DECODED = 32768 }; /* the latter more than a panel of a slice of k */

float *sy__decode_scratch(void)
{
    return sy_scratch(SY_SCRATCH_DECODE, DECODED * sizeof(float));
}

/* What follows a run of stored bytes is decoded next but some rows later, which the CPU does not
 * foresee. */
static void ask_for_next(const unsigned char *run, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(run + bytes + i);
}

/* rows x n floats from (row0, col0) of the stored matrix, dense; whole blocks go to the kernel. */
static void decode_rows(float *dst, const struct sy_mat *m, int64_t row0, int64_t rows,
                        int64_t col0, int64_t n)
{
    const struct sy_form_row *f = &sy_forms[m->packed.form];
    const int64_t v = f->values, col = m->first + col0;
    const bool whole = v == 1 || (col % v | m->ld % v | n % v) == 0;
    const int64_t step = m->ld / v, blocks = n / v;
    const sy_form_decode_fn decode = sy_cpu()->form->decode[m->packed.form];
    const unsigned char *beside = m->packed.beside;
    for (int64_t r = row0; r < row0 + rows; r++, dst += n) {
        const int64_t row = m->rows ? (int64_t)m->rows[r] : r, at = col / v + row * step;
        const unsigned char *data = m->packed.data + at * (int64_t)f->bytes;
        ask_for_next(data, blocks * (int64_t)f->bytes);
        if (whole)
            decode(dst, data, beside ? beside + at * (int64_t)f->beside : NULL, blocks);
        else
            sy_form_decode(dst, &m->packed, col + row * m->ld, n);
    }
}

/* One panel of stored rows along the lanes, k in pieces. */
static void pack_panel(const struct sy_gemm_kernels *kern, enum sy_precision precision,
                       uint32_t *dst, int width, const struct sy__strip *s)
{
    float *decoded = sy__decode_scratch();
    const int64_t piece = PIECE / s->np / 32 * 32;
    const int in_step = precision == SY_PREC_BF16 && kern->pairs ? 2 : 1;
    SY_ASSERT(piece > 0);
    for (int64_t k = 0; k < s->kc; k += piece) {
        const int64_t kc = min64(piece, s->kc - k);
        const struct sy_mat dense = {.data = decoded, .ld = kc};
        const struct sy__strip part = {&dense, false, 0, s->np, 0, kc};
        decode_rows(decoded, s->mat, s->p0, s->np, s->k0 + k, kc);
        kern->pack[precision](dst + k / in_step * width, width, (int)s->np, &part);
    }
}

static void pack_along_lanes(const struct sy_gemm_kernels *kern, enum sy_precision precision,
                             uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    const bool pairs = precision == SY_PREC_BF16 && kern->pairs;
    const int64_t steps = pairs ? (s->kc + 1) / 2 : s->kc;
    for (int64_t p = 0; p < s->np; p += step, dst += width * steps) {
        const int64_t lanes = min64(step, s->np - p);
        const struct sy__strip panel = {s->mat, false, s->p0 + p, lanes, s->k0, s->kc};
        pack_panel(kern, precision, dst, width, &panel);
    }
}

static void pack_along_k(const struct sy_gemm_kernels *kern, enum sy_precision precision,
                         uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    const bool pairs = precision == SY_PREC_BF16 && kern->pairs;
    const int64_t steps = pairs ? (s->kc + 1) / 2 : s->kc;
    const int64_t chunk = DECODED / max64(s->kc, 1) / step * step;
    float *decoded = sy__decode_scratch();
    SY_ASSERT(chunk > 0);
    for (int64_t p = 0; p < s->np; p += chunk, dst += chunk / step * width * steps) {
        const int64_t lanes = min64(chunk, s->np - p);
        const struct sy_mat dense = {.data = decoded, .ld = lanes};
        const struct sy__strip part = {&dense, true, 0, lanes, 0, s->kc};
        decode_rows(decoded, s->mat, s->k0, s->kc, s->p0 + p, lanes);
        kern->pack[precision](dst, width, step, &part);
    }
}

void sy__pack_decoded(const struct sy_gemm_kernels *kern, enum sy_precision precision,
                      uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    if (s->along_k)
        pack_along_k(kern, precision, dst, width, step, s);
    else
        pack_along_lanes(kern, precision, dst, width, step, s);
}
