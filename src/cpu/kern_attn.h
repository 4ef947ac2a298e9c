/* Row kernels of blocked attention, one table for each instruction set (cpu/cpu.h: same bits in
 * each).  A row is one query's scores against a block of n keys; the buffer may be written up to
 * the next multiple of 16 elements. */
#ifndef SY_CPU_KERN_ATTN_H
#define SY_CPU_KERN_ATTN_H

#include <stdint.h>

/* Which keys of the block the query sees: the first `limit`, of those with its document number. */
struct sy_attn_view {
    float scale;
    int64_t limit;
    const int32_t *doc_k; /* or NULL */
    int32_t doc;
    const float *bias; /* of the keys of the block, added to scaled scores; or NULL */
    float *dbias;      /* backward with bias: where its gradient of these keys is added */
};

struct sy_attn_kernels {
    /* s = exp(scale s + bias - new top), 0 where unseen; top and sum go on.  Returns what all that
     * was summed before must be multiplied by. */
    float (*forward)(float *s, int64_t n, const struct sy_attn_view *v, float *top, float *sum);
    /* s = P = exp(scale s + bias - lse), dp = dS = P (dp - delta) scale, both 0 where unseen;
     * dbias += P (dp - delta). */
    void (*backward)(float *s, float *dp, int64_t n, const struct sy_attn_view *v, float lse,
                     float delta);
    void (*scale)(float *x, int64_t n, float by);
    void (*divide)(float *x, int64_t n, float by);
    float (*dot)(const float *x, const float *y, int64_t n);
    float (*lse)(float top, float sum); /* -inf when nothing was seen */
};

extern const struct sy_attn_kernels sy__attn_ref, sy__attn_avx2, sy__attn_avx512;

#endif
