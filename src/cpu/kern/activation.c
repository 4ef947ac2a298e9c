/* Gated and plain activations of feed-forward blocks and experts (cpu/kern_row.h).
 * Source: Shazeer 2020, "GLU variants improve Transformer", eq. 5-6. */
#include "cpu/kern/map_math.h"
#include "cpu/kern/row_int.h"

/* The loops, inlined once for each activation `fd`, which computes value and derivative. */
typedef void act_fd(vf x, vf *f, vf *d);

SY_INLINE void glu_rows(act_fd *fd, float *h, int64_t ldh, const float *g, int64_t ldg,
                        const float *u, int64_t ldu, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, h += ldh, g += ldg) {
        const float *ur = u ? u + r * ldu : NULL;
        for (int64_t i = 0; i < n; i += SY_W) {
            const int64_t m = n - i;
            vf f, d;
            fd(vf_load_part(g + i, m, 0.0f), &f, &d);
            vf_store_part(h + i, m, ur ? f * vf_load_part(ur + i, m, 0.0f) : f);
        }
    }
}

SY_INLINE void glu_back_rows(act_fd *fd, float *dg, int64_t lddg, float *du, int64_t lddu,
                             const float *dh, int64_t lddh, const float *g, int64_t ldg,
                             const float *u, int64_t ldu, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *dhr = dh + r * lddh, *gr = g + r * ldg, *ur = u ? u + r * ldu : NULL;
        for (int64_t i = 0; i < n; i += SY_W) {
            const int64_t m = n - i;
            vf f, d, e = vf_load_part(dhr + i, m, 0.0f);
            fd(vf_load_part(gr + i, m, 0.0f), &f, &d);
            if (ur) {
                vf_store_part(dg + r * lddg + i, m, e * vf_load_part(ur + i, m, 0.0f) * d);
                vf_store_part(du + r * lddu + i, m, e * f);
            } else {
                vf_store_part(dg + r * lddg + i, m, e * d);
            }
        }
    }
}

SY_INLINE void expert_back_rows(act_fd *fd, float *dgate, float *dh, int64_t lddh, float *g,
                                int64_t ldg, float *u, int64_t ldu, const float *s, int64_t rows,
                                int64_t n)
{
    for (int64_t r = 0; r < rows; r++, dh += lddh, g += ldg) {
        float *ur = u ? u + r * ldu : NULL;
        const vf gate = vf_set1(s[r]);
        v16f a = v16_zero();
        ROW_LOOP(i, m, n, {
            for (int k = 0; k < SY_P; k++) {
                const int64_t j = i + k * SY_W;
                const int64_t l = m - k * SY_W;
                vf f, d, up = vf_set1(1.0f), e = vf_load_part(dh + j, l, 0.0f);
                fd(vf_load_part(g + j, l, 0.0f), &f, &d);
                if (ur)
                    up = vf_load_part(ur + j, l, 0.0f);
                vf h = f * up;
                vf se = gate * e;
                a.p[k] = a.p[k] + e * h;
                vf_store_part(dh + j, l, gate * h);
                vf_store_part(g + j, l, se * up * d);
                if (ur)
                    vf_store_part(ur + j, l, se * f);
            }
        });
        dgate[r] = v16_sum(a);
    }
}

#define ACT_DEFINE(NAME, name)                                                                     \
    void SY_KERN(sy__glu_##name)(float *h, int64_t ldh, const float *g, int64_t ldg,               \
                                 const float *u, int64_t ldu, int64_t rows, int64_t n)             \
    {                                                                                              \
        glu_rows(fd_##name, h, ldh, g, ldg, u, ldu, rows, n);                                      \
    }                                                                                              \
    void SY_KERN(sy__glu_back_##name)(float *dg, int64_t lddg, float *du, int64_t lddu,            \
                                      const float *dh, int64_t lddh, const float *g, int64_t ldg,  \
                                      const float *u, int64_t ldu, int64_t rows, int64_t n)        \
    {                                                                                              \
        glu_back_rows(fd_##name, dg, lddg, du, lddu, dh, lddh, g, ldg, u, ldu, rows, n);           \
    }                                                                                              \
    void SY_KERN(sy__expert_back_##name)(float *dgate, float *dh, int64_t lddh, float *g,          \
                                         int64_t ldg, float *u, int64_t ldu, const float *s,       \
                                         int64_t rows, int64_t n)                                  \
    {                                                                                              \
        expert_back_rows(fd_##name, dgate, dh, lddh, g, ldg, u, ldu, s, rows, n);                  \
    }
SY_ACTIVATION_MAP(ACT_DEFINE)
