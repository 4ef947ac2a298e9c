/* Rotary position embedding (cpu/kern_row.h): (a, b) -> (a c - b s, b c + a s).
 * Source: Su et al. 2021, eq. 34; the half-split layout is GPT-NeoX's and Llama's in Hugging Face
 * form. */
#include "cpu/kern/row_int.h"

/* Pairs (i, i + half). */
SY_INLINE void rotate_split(float *y, const float *x, const float *c, const float *s, vf sign,
                            int64_t half)
{
    for (int64_t i = 0; i < half; i += SY_W) {
        const int64_t m = half - i;
        vf a = vf_load_part(x + i, m, 0.0f), b = vf_load_part(x + half + i, m, 0.0f);
        vf co = vf_load_part(c + i, m, 0.0f), si = vf_load_part(s + i, m, 0.0f) * sign;
        vf_store_part(y + i, m, a * co - b * si);
        vf_store_part(y + half + i, m, b * co + a * si);
    }
}

/* Pairs (2i, 2i + 1). */
SY_INLINE void rotate_pairs(float *y, const float *x, const float *c, const float *s, float sign,
                            int64_t half)
{
    for (int64_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1], si = s[i] * sign;
        y[2 * i] = a * c[i] - b * si;
        y[2 * i + 1] = b * c[i] + a * si;
    }
}

void SY_KERN(sy__rope)(float *y, int64_t ldy, const float *x, int64_t ldx, const struct sy_rope *p,
                       int64_t rows)
{
    const float sign = p->inverse ? -1.0f : 1.0f;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t pos = p->pos ? p->pos[r] : p->first + r;
        const float *c = p->cos + pos * p->half, *s = p->sin + pos * p->half;
        for (int64_t h = 0; h < p->h; h++) {
            const float *xh = x + r * ldx + h * p->d;
            float *yh = y + r * ldy + h * p->d;
            if (p->interleaved)
                rotate_pairs(yh, xh, c, s, sign, p->half);
            else
                rotate_split(yh, xh, c, s, vf_set1(sign), p->half);
            if (yh != xh)
                memcpy(yh + 2 * p->half, xh + 2 * p->half,
                       (size_t)(p->d - 2 * p->half) * sizeof *yh);
        }
    }
}
