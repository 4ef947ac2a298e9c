/* Inside cpu: what a kernel set gives to the matrix product.
 *
 * A panel is a strip of an operand as a tile reads it: `kl` steps of `width` 32-bit lanes.  In fp32
 * a step is one k; in bf16 on a CPU with dot products (`pairs`) a step is two neighbouring k, the
 * even one in the low half, and an odd last k is paired with zero.  Panels of A are `aw` lanes wide
 * with at most `mr` of them in use; panels of B are `nr` lanes wide.  Unused lanes hold anything.
 *
 *     A panel, one step: [ row 0 | row 1 | ... | row mr-1 | unused to aw ]
 *     B panel, one step: [ col 0 | col 1 | ...            | col nr-1     ]
 *
 *  1. A tile function does one FMA (or one dot product of a pair) for each element and step, in
 *     ascending order, whatever mr and nc.
 *  2. Packing never reads a stored element outside the operand.
 */
#ifndef SY_CPU_GEMM_INT_H
#define SY_CPU_GEMM_INT_H

#include "cpu/gemm.h"

/* Which stored elements a call packs: `np` lanes from p0 on, `kc` values of k from k0 on. */
struct sy__strip {
    const struct sy_mat *mat;
    bool along_k; /* stored rows are numbered by k (else by the lane) */
    int64_t p0, np;
    int64_t k0, kc;
};

/* Panels of `step` lanes each (the last one may have fewer), `width` lanes a step, one after
 * another in dst. */
typedef void (*sy__pack_fn)(uint32_t *dst, int width, int step, const struct sy__strip *s);

/* c[0..mr) x [0..nc) (+)= A panel · B panel; `load`: the chain starts from c, else from 0.
 * `fetch`: what will be needed soon, or NULL.  A tile asks for a line with each step, since a CPU
 * drops what it is asked for in one burst; for runs of lines and no list of them, since the stores
 * that make a list would wait behind the stores of the last tile. */
enum { SY__RUNS = 24 };
struct sy__fetch {
    const float *c;  /* the tile of C that comes next, c_rows high */
    int64_t c_rows;
    struct {
        const char *at, *end; /* whole lines; a run without an end comes last */
    } run[SY__RUNS + 1];
};
typedef void (*sy__tile_fn)(int64_t kl, const uint32_t *a, const uint32_t *b, float *c, int64_t ldc,
                            int mr, int nc, bool load, const struct sy__fetch *fetch);

struct sy_gemm_kernels {
    int mr, aw, nr;
    bool pairs;            /* bf16 panels hold pairs */
    sy__pack_fn pack[2];   /* by enum sy_precision */
    sy__tile_fn tile[2];
    double (*peak[2])(int64_t rounds); /* FMAs in registers; returns the FLOPs done */
};

extern const struct sy_gemm_kernels sy__gemm_ref, sy__gemm_avx2, sy__gemm_avx512,
    sy__gemm_avx512bf16;

/* The stored row r of a matrix, index list applied. */
static inline const float *sy__mat_row(const struct sy_mat *m, int64_t r)
{
    return m->data + (m->rows ? (int64_t)m->rows[r] : r) * m->ld;
}

/* As a set's pack, of a matrix in a storage form: decoded, piece by piece, into this thread's
 * scratch, and packed from there.  Only after sy__decode_scratch gave the scratch, or NULL. */
void sy__pack_decoded(const struct sy_gemm_kernels *kern, enum sy_precision precision,
                      uint32_t *dst, int width, int step, const struct sy__strip *s);
float *sy__decode_scratch(void);

/* Bits of x rounded to bf16 (nearest even), still in fp32 format.  As the CPU's conversion does:
 * subnormal numbers become zeros, NaN becomes quiet. */
static inline uint32_t sy__bf16_bits(uint32_t u)
{
    uint32_t mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u)
        return (u | 0x00400000u) & 0xffff0000u;
    if (mag < 0x00800000u)
        return u & 0x80000000u;
    return (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
}

#endif
