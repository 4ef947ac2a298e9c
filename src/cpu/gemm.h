/* Matrix products on packed panels: C = A·B (+ C), one problem or many in one parallel region.
 *
 * A problem's logical product is (M x K)·(K x N).  An operand is described by its *stored*
 * row-major matrix S: `trans` 0 means that the logical operand is S, 1 that it is S transposed.
 * `rows`, when given, is an index list over the stored rows: logical stored row r is S[rows[r]].
 * Thus the dispatch of a mixture of experts is the packing step, forward (rows of A are tokens) and
 * backward (k runs over tokens): no gathered copy exists.
 *
 *  1. Each element of C is one chain of FMAs over k ascending, from 0 or (accumulate) from C's
 *     value, whatever the tile, thread or ISA; with a second term the chain goes on over k2.  Hence
 *     the same bits everywhere in fp32.
 *  2. bf16: operands are rounded to nearest even at packing; products and sums are fp32
 *     (vdpbf16ps where the CPU has it, else fp32 FMAs over the rounded values).
 *  3. Tasks are blocks of C cut by shape; all problems' blocks go into one queue, largest first.
 *     A task packs what it needs into its thread's scratch.
 *  4. An operand in a storage form (cpu/storage_form.h) is decoded while packing: the bits
 *     of the product are those of the operand decoded first.
 *  5. M, N of 0 are fine (nothing happens); K of 0 zeroes C unless accumulating.
 */
#ifndef SY_CPU_GEMM_H
#define SY_CPU_GEMM_H

#include "cpu/storage_form.h"

#include <stdbool.h>
#include <stdint.h>

enum sy_precision { SY_PREC_FP32, SY_PREC_BF16 };

struct sy_mat {
    const float *data;
    int64_t ld;          /* elements between stored rows */
    const int32_t *rows; /* index list over stored rows, or NULL */
    bool trans;
    /* Unless its form is f32 (0), the elements are here and not at data: stored row r begins with
     * element first + r * ld. */
    struct sy_packed packed;
    int64_t first;
};

struct sy_gemm_problem {
    int64_t m, n, k;
    struct sy_mat a, b;
    float *c; /* (m, n), row-major, ldc >= n */
    int64_t ldc;
    bool accumulate;
    /* Second term, when k2 > 0: C = A·B + A2·B2, one chain. */
    int64_t k2;
    struct sy_mat a2, b2;
    /* Second result with the same A, when dual_c is not NULL: dual_c (m, n, ldc) = A·dual_b.  Both
     * blocks are ready when the epilogue sees them (gate and up of SwiGLU).  Not together with
     * k2. */
    struct sy_mat dual_b;
    float *dual_c;
};

/* Called by the thread that finished the block C[row0..row0+rows, col0..col0+cols] of problem p,
 * while the block is warm in its cache.  Column blocks of one row may be finished by different
 * threads at the same time. */
typedef void (*sy_gemm_epilogue)(void *ctx, int problem, int64_t row0, int64_t rows, int64_t col0,
                                 int64_t cols);

struct sy_gemm_opts {
    enum sy_precision precision;
    /* a task spans all n columns, so that the epilogue sees whole rows (n <= 4096) */
    bool whole_rows;
    sy_gemm_epilogue done; /* or NULL */
    void *ctx;
};

/* One problem; opts may be NULL (fp32, no epilogue). */
void sy_gemm(const struct sy_gemm_problem *p, const struct sy_gemm_opts *opts);
/* Many problems, one parallel region (the experts of a layer). */
void sy_gemm_grouped(const struct sy_gemm_problem *p, int count, const struct sy_gemm_opts *opts);
/* float64 by OpenBLAS, single-threaded, logical operands as in BLAS; C = A·B (+ C). */
void sy_gemm_f64(int64_t m, int64_t n, int64_t k, const double *a, int64_t lda, bool ta,
                 const double *b, int64_t ldb, bool tb, double *c, int64_t ldc, bool accumulate);

/* Columns of a block that every ISA agrees on: epilogues may rely on col0 % SY_GEMM_COLS == 0. */
#define SY_GEMM_COLS 32

#endif
