/* Matrix products: packing of operands in a storage form (cpu/form.h).
 *
 *     stored rows along the lanes (x @ W'):  a panel's rows, each a run of k, are decoded one below the
 *                                            other and packed as a small matrix of their own
 *     stored rows along k (dy @ W):          the same of some panels' width of every k
 *
 *  1. What is decoded at once stays in the core's cache (DECODED floats), so memory is read once,
 *     in the stored form.
 *  2. Rounding to bf16 is the set's own packing of the decoded values. */
#include "cpu/gemm_int.h"

#include "base/scratch.h"
#include "cpu/int64.h"

enum { DECODED = 32768 }; /* more than a panel of a slice of k */

float *sy__decode_scratch(void)
{
    return sy_scratch(SY_SCRATCH_DECODE, DECODED * sizeof(float));
}

/* rows x n floats from (row0, col0) of the stored matrix, dense. */
static void decode_rows(float *dst, const struct sy_mat *m, int64_t row0, int64_t rows,
                        int64_t col0, int64_t n)
{
    for (int64_t r = row0; r < row0 + rows; r++, dst += n) {
        const int64_t row = m->rows ? (int64_t)m->rows[r] : r;
        sy_form_decode(dst, &m->packed, m->first + row * m->ld + col0, n);
    }
}

/* Lanes that are decoded at once: whole panels. */
static int64_t chunk_of(const struct sy__strip *s, int step)
{
    const int64_t fit = DECODED / (s->kc > 0 ? s->kc : 1) / step * step;
    return fit < step ? step : fit;
}

void sy__pack_decoded(const struct sy_gemm_kernels *kern, enum sy_precision precision,
                      uint32_t *dst, int width, int step, const struct sy__strip *s)
{
    const bool pairs = precision == SY_PREC_BF16 && kern->pairs;
    const int64_t chunk = chunk_of(s, step), steps = pairs ? (s->kc + 1) / 2 : s->kc;
    float *decoded = sy__decode_scratch();
    for (int64_t p = 0; p < s->np; p += chunk, dst += chunk / step * width * steps) {
        const int64_t lanes = min64(chunk, s->np - p);
        const struct sy_mat dense = {.data = decoded, .ld = s->along_k ? lanes : s->kc};
        const struct sy__strip part = {&dense, s->along_k, 0, lanes, 0, s->kc};
        if (s->along_k)
            decode_rows(decoded, s->mat, s->k0, s->kc, s->p0 + p, lanes);
        else
            decode_rows(decoded, s->mat, s->p0 + p, lanes, s->k0, s->kc);
        kern->pack[precision](dst, width, step, &part);
    }
}
