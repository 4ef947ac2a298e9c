/* Blocked attention on raw pointers, fp32, forward and backward; never materializes T x S.
 *
 * q (B, T, H, D), k and v (B, S, G, D), o (B, T, H, D): H query heads share G key-value heads
 * (H % G == 0, grouped-query); rows of one token are `ldq`, `ldk`, ... elements apart (so q, k, v
 * may be slices of one fused projection).  lse (B, H, T): log-sum-exp of each row's scaled scores,
 * kept for the backward pass.  Softmax is in fp32 with a running maximum over key blocks whose size
 * depends on the shape only.
 *
 * Masks: SY_ATTN_FULL; SY_ATTN_CAUSAL (query t sees keys 0..t+S-T); SY_ATTN_PREFIX (causal, and
 * keys < prefix[b] are seen by all).  `doc` (B, T) and `doc_k` (B, S) i32 or NULL: a query sees
 * only keys of its own document number (doc_k NULL with doc given: self attention, doc_k = doc and
 * S = T).  `len` (B) i32 or NULL: only keys < len[b] exist (key-value cache; causal then counts
 * from len: query t sees keys 0..len-T+t).
 * A query that sees no key gives zeros and lse -inf, and zero gradients.
 *
 * `bias` (H, 2R-1) or NULL is added to the scaled scores by distance: column R-1 + s - p for key s
 * and a query at position p, which is t under SY_ATTN_FULL and t + (keys - T) otherwise; R >= S, T.
 * Its gradient comes for each sequence apart, (B, H, 2R-1): the caller adds these up in order.
 * `rate` > 0: each weight is zeroed with this probability, the others divided by 1 - rate, after
 * the sum of the softmax is taken; element (b,h,t,s) is draw ((b*H + h)*T + t)*S64 + s of the key,
 * S64 = S rounded up to 64, so forward and backward draw the same.
 * Source: Dao et al. 2022 (FlashAttention), Rabe & Staats 2021; Ainslie et al. 2023 (GQA); Raffel
 * et al. 2020 (bias by distance).
 */
#ifndef SY_CPU_ATTENTION_H
#define SY_CPU_ATTENTION_H

#include "base/rng.h"
#include "cpu/gemm.h"

#include <stdbool.h>
#include <stdint.h>

enum sy_attn_mask { SY_ATTN_FULL, SY_ATTN_CAUSAL, SY_ATTN_PREFIX };

struct sy_attn {
    int64_t b, t, s, h, g, d; /* batch, queries, keys, query heads, key-value heads, head width */
    const float *q, *k, *v;
    int64_t ldq, ldk, ldv; /* elements between tokens; head j of a token at j*d */
    float scale;           /* usually 1/sqrt(D) */
    enum sy_attn_mask mask;
    const int32_t *prefix, *doc, *doc_k, *len;
    const float *bias; /* (H, 2 reach - 1) or NULL */
    int64_t reach;
    struct sy_rng drop; /* with rate > 0 */
    float rate;
    float *o; /* (B,T,H,D) */
    int64_t ldo;
    float *lse; /* (B,H,T) or NULL in a forward-only call */
    enum sy_precision precision;
    /* backward only: */
    const float *d_o; /* (B,T,H,D), ldo apart */
    /* with ldq, ldk, ldv of their own below; NULL where not wanted is not allowed */
    float *dq, *dk, *dv;
    int64_t lddq, lddk, lddv;
    float *dbias; /* (B, H, 2 reach - 1), with bias */
};

/* False: there was no memory for scratch, and some of the outputs are not written. */
bool sy_attention(const struct sy_attn *a);          /* writes o, lse */
bool sy_attention_backward(const struct sy_attn *a); /* reads q k v o lse d_o, writes dq dk dv */

#endif
