/* Row kernels of routing (cpu/kern_row.h): top-k, gather, gather-sum. */
#include "cpu/kern/row_int.h"

/* The order of topk: NaN is the largest, and no NaN is larger than another. */
SY_INLINE bool above(float a, float b)
{
    return a > b || (a != a && b == b);
}

/* Insert (v, at) into the descending list of `len` entries; behind its equals, whose index is
 * lower.  The list has room for one more. */
SY_INLINE void insert(float *val, int32_t *idx, int64_t len, float v, int32_t at)
{
    int64_t j = len;
    for (; j > 0 && above(v, val[j - 1]); j--) {
        val[j] = val[j - 1];
        idx[j] = idx[j - 1];
    }
    val[j] = v;
    idx[j] = at;
}

/* The list starts with the first k; after that only what beats the last entry is inserted, which
 * a vector comparison finds: not (x <= last) holds of a NaN too. */
static void topk_row(float *val, int32_t *idx, const float *x, int64_t n, int64_t k)
{
    int64_t i = 0;
    for (; i < k; i++)
        insert(val, idx, i, x[i], (int32_t)i);
    for (; i < n; i += SY_W) {
        vf v = vf_load_part(x + i, n - i, -__builtin_inff());
        uint32_t hit = ~vm_mask(vf_le(v, vf_set1(val[k - 1]))) & ((1u << SY_W) - 1);
        for (; hit; hit &= hit - 1) {
            int64_t at = i + __builtin_ctz(hit);
            if (above(x[at], val[k - 1]))
                insert(val, idx, k - 1, x[at], (int32_t)at);
        }
    }
}

void SY_KERN(sy__topk)(float *val, int32_t *idx, const float *x, int64_t ld, int64_t rows,
                       int64_t n, int64_t k)
{
    float v[64];
    for (int64_t r = 0; r < rows; r++, x += ld, idx += k) {
        topk_row(v, idx, x, n, k);
        if (val)
            memcpy(val + r * k, v, (size_t)k * sizeof *v);
    }
}

void SY_KERN(sy__gather_sum)(float *out, int64_t ldo, const float *x, int64_t ldx,
                             const int32_t *idx, const float *s, int64_t k, int64_t rows, int64_t n,
                             bool add)
{
    for (int64_t r = 0; r < rows; r++, out += ldo, idx += k) {
        for (int64_t i = 0; i < n; i += SY_W) {
            const int64_t m = n - i;
            vf a = add ? vf_load_part(out + i, m, 0.0f) : vf_zero();
            for (int64_t j = 0; j < k; j++) {
                if (idx[j] < 0)
                    continue;
                vf v = vf_load_part(x + idx[j] * ldx + i, m, 0.0f);
                a = a + (s ? vf_set1(s[r * k + j]) * v : v);
            }
            vf_store_part(out + i, m, a);
        }
    }
}

void SY_KERN(sy__gather)(float *out, int64_t ldo, const float *x, int64_t ldx, const int32_t *idx,
                         int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, out += ldo)
        if (idx[r] < 0)
            memset(out, 0, (size_t)n * sizeof *out);
        else
            memmove(out, x + idx[r] * ldx, (size_t)n * sizeof *out);
}
