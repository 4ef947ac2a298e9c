/* Kernels on row-major blocks (rows x n, rows `ld` elements apart), one table for each instruction
 * set.
 *
 *  1. Every row's result depends on that row only (and on per-column inputs), so callers split
 *     rows over threads as they like.  Kernels with per-column *outputs* (dw, db, col_sum) add to
 *     them in ascending row order: give each block of rows, cut by shape, a partial of its own,
 *     and add the partials in order.
 *  2. Outputs may be the same array as an input of the same shape (y over x, dx over dy), not
 *     otherwise overlapping.  `add`: the output is added to instead of written.
 *  3. Sums over a row: 16 virtual lanes and one tree (cpu/cpu.h).  n >= 1, rows >= 0.
 *  4. Weights, biases and statistics marked (NULL) may be absent.
 */
#ifndef SY_CPU_KERN_ROW_H
#define SY_CPU_KERN_ROW_H

#include <stdbool.h>
#include <stdint.h>

/* Activations of an expert or a feed-forward block. */
#define SY_ACTIVATION_MAP(A)                                                                       \
    A(SILU, silu) A(GELU, gelu) A(GELU_TANH, gelu_tanh) A(RELU, relu) A(RELU2, relu2)

enum sy_activation {
#define SY_A(NAME, name) SY_ACTIVATION_##NAME,
    SY_ACTIVATION_MAP(SY_A)
#undef SY_A
        SY_ACTIVATION_COUNT
};

/* Rotary embedding of rows of h heads, d wide, head j at j*d.  The first 2*half elements of a head
 * are rotated (2*half
 * <= d), the rest is copied: pairs (i, i + half), or (2i, 2i+1) when interleaved. */
struct sy_rope {
    const float *cos, *sin; /* (positions, half) */
    const int32_t *pos;     /* table row of each row, or NULL: first + row */
    int64_t first, h, d, half;
    bool interleaved, inverse; /* inverse: by -angle, which is the backward pass */
};

struct sy_row_kernels {
    /* Reductions, out (rows).  max and min propagate NaN; argmax: lowest index of the largest,
     * which a NaN is. */
    void (*sum)(float *out, const float *x, int64_t ld, int64_t rows, int64_t n);
    void (*sumsq)(float *out, const float *x, int64_t ld, int64_t rows, int64_t n);
    void (*max)(float *out, const float *x, int64_t ld, int64_t rows, int64_t n);
    void (*min)(float *out, const float *x, int64_t ld, int64_t rows, int64_t n);
    void (*argmax)(int32_t *out, const float *x, int64_t ld, int64_t rows, int64_t n);
    void (*dot)(float *out, const float *x, int64_t ldx, const float *y, int64_t ldy, int64_t rows,
                int64_t n);
    /* out (n) += the rows, ascending; weighted by s (rows) (NULL) */
    void (*col_sum)(float *out, const float *x, int64_t ld, const float *s, int64_t rows,
                    int64_t n);

    /* y = exp(x - max) / sum;  dx = y (dy - <y, dy>) */
    void (*softmax)(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t n);
    void (*softmax_back)(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *y,
                         int64_t ldy, int64_t rows, int64_t n, bool add);
    /* y = x - lse(x);  dx = dy - exp(y) sum(dy) */
    void (*log_softmax)(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                        int64_t n);
    void (*log_softmax_back)(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *y,
                             int64_t ldy, int64_t rows, int64_t n, bool add);
    void (*logsumexp)(float *out, const float *x, int64_t ld, int64_t rows, int64_t n);

    /* rstd = 1 / sqrt(mean(x^2) + eps);  y = x rstd w.  w (n) (NULL), rstd (rows) (NULL).
     * Backward: dx, and over the rows dw (n) (NULL) += dy x rstd. */
    void (*rms_norm)(float *y, int64_t ldy, float *rstd, const float *x, int64_t ldx,
                     const float *w, float eps, int64_t rows, int64_t n);
    void (*rms_norm_back)(float *dx, int64_t lddx, float *dw, const float *dy, int64_t lddy,
                          const float *x, int64_t ldx, const float *w, const float *rstd,
                          int64_t rows, int64_t n, bool add);
    /* y = (x - mean) rstd w + b; variance by a second pass.  w, b, mean, rstd, dw, db (NULL). */
    void (*layer_norm)(float *y, int64_t ldy, float *mean, float *rstd, const float *x, int64_t ldx,
                       const float *w, const float *b, float eps, int64_t rows, int64_t n);
    void (*layer_norm_back)(float *dx, int64_t lddx, float *dw, float *db, const float *dy,
                            int64_t lddy, const float *x, int64_t ldx, const float *w,
                            const float *mean, const float *rstd, int64_t rows, int64_t n,
                            bool add);

    /* Cross entropy against target (rows) i32; a negative target is ignored: loss 0, gradient 0.
     * loss[r] = lse(x[r]) - x[r][target], nats (NULL); lse (rows) (NULL; 0 where ignored).
     * grad: x becomes (softmax(x) - onehot(target)) * scale in place. */
    void (*cross_entropy)(float *loss, float *lse, float *x, int64_t ld, const int32_t *target,
                          float scale, bool grad, int64_t rows, int64_t n);

    /* h = act(g) u, or act(g) with u NULL.  h may be g or u. */
    void (*glu[SY_ACTIVATION_COUNT])(float *h, int64_t ldh, const float *g, int64_t ldg,
                                     const float *u, int64_t ldu, int64_t rows, int64_t n);
    /* dg = dh u act'(g),  du = dh act(g);  u and du NULL:  dg = dh act'(g).
     * dg may be dh or g, du may be u or dh (not both of dg, du the same array). */
    void (*glu_back[SY_ACTIVATION_COUNT])(float *dg, int64_t lddg, float *du, int64_t lddu,
                                   const float *dh, int64_t lddh, const float *g, int64_t ldg,
                                   const float *u, int64_t ldu, int64_t rows, int64_t n);
    /* Backward through an expert whose output row was weighted by the gate s (rows):
     *
     *     array         comes in as                              goes out as
     *     dh (rows, n)  the gradient of s y with respect to s h  hs = s h
     *                   (= dout Wdown^T)
     *     g             the gate's pre-activation                dg = s dh u act'(g)
     *     u (NULL)      up                                       du = s dh act(g)
     *     dgate (rows)                                           <dh, h>
     *
     * h = act(g) u is computed anew, so the forward pass need not keep it. */
    void (*expert_back[SY_ACTIVATION_COUNT])(float *dgate, float *dh, int64_t lddh, float *g,
                                             int64_t ldg, float *u, int64_t ldu, const float *s,
                                             int64_t rows, int64_t n);

    void (*rope)(float *y, int64_t ldy, const float *x, int64_t ldx, const struct sy_rope *r,
                 int64_t rows);

    /* The k largest of each row, descending; equal values by ascending index; NaN is the largest.
     * val, idx (rows, k), 1 <= k <= min(n, 64).  val (NULL). */
    void (*topk)(float *val, int32_t *idx, const float *x, int64_t ld, int64_t rows, int64_t n,
                 int64_t k);

    /* out[r] (+)= sum over j < k, ascending, of s[r*k+j] x[idx[r*k+j]]; s (NULL); an index < 0
     * gives nothing. */
    void (*gather_sum)(float *out, int64_t ldo, const float *x, int64_t ldx, const int32_t *idx,
                       const float *s, int64_t k, int64_t rows, int64_t n, bool add);
    /* out[r] = x[idx[r]], zeros for an index < 0 */
    void (*gather)(float *out, int64_t ldo, const float *x, int64_t ldx, const int32_t *idx,
                   int64_t rows, int64_t n);
};

extern const struct sy_row_kernels sy__row_ref, sy__row_avx2, sy__row_avx512;

#endif
