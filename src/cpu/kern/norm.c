/* RMSNorm and LayerNorm over rows (cpu/kern_row.h).
 *
 * With h = x rstd (RMSNorm) or (x - mean) rstd (LayerNorm), y = h w + b and g = dy w:
 *   RMSNorm     dx = rstd (g - h <g, h> / n)
 *   LayerNorm   dx = rstd (g - <g, 1> / n - h <g, h> / n)
 *   dw += dy h,  db += dy
 * Sources: Zhang & Sennrich 2019, eq. 4; Ba, Kiros, Hinton 2016, eq. 3. */
#include "cpu/kern/row_int.h"

void SY_KERN(sy__rms_norm)(float *y, int64_t ldy, float *rstd, const float *x, int64_t ldx,
                           const float *w, float eps, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        v16f a = v16_zero();
        ROW_LOOP(i, m, n, {
            v16f v = v16_load_part(x + i, m, 0.0f);
            a = v16_muladd(v, v, a);
        });
        const float rs = row_rsqrt(v16_sum(a) / (float)n + eps);
        const v16f s = v16_set1(rs);
        if (rstd)
            rstd[r] = rs;
        ROW_LOOP(i, m, n, {
            v16f v = v16_mul(v16_load_part(x + i, m, 0.0f), s);
            if (w)
                v = v16_mul(v, v16_load_part(w + i, m, 0.0f));
            v16_store_part(y + i, m, v);
        });
    }
}

/* dy w, or dy */
SY_INLINE v16f weighted(v16f dy, const float *w, int64_t i, int64_t m)
{
    return w ? v16_mul(dy, v16_load_part(w + i, m, 0.0f)) : dy;
}

SY_INLINE void add_to(float *out, int64_t m, v16f v)
{
    v16_store_part(out, m, v16_add(v16_load_part(out, m, 0.0f), v));
}

void SY_KERN(sy__rms_norm_back)(float *dx, int64_t lddx, float *dw, const float *dy, int64_t lddy,
                                const float *x, int64_t ldx, const float *w, const float *rstd,
                                int64_t rows, int64_t n, bool add)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, dy += lddy, dx += lddx) {
        const v16f s = v16_set1(rstd[r]);
        v16f a = v16_zero();
        ROW_LOOP(i, m, n, {
            v16f h = v16_mul(v16_load_part(x + i, m, 0.0f), s);
            v16f d = v16_load_part(dy + i, m, 0.0f);
            a = v16_muladd(weighted(d, w, i, m), h, a);
        });
        const v16f c = v16_set1(v16_sum(a) / (float)n);
        ROW_LOOP(i, m, n, {
            v16f h = v16_mul(v16_load_part(x + i, m, 0.0f), s);
            v16f d = v16_load_part(dy + i, m, 0.0f);
            v16f g = v16_mul(s, v16_sub(weighted(d, w, i, m), v16_mul(h, c)));
            if (dw)
                add_to(dw + i, m, v16_mul(d, h));
            if (add)
                g = v16_add(v16_load_part(dx + i, m, 0.0f), g);
            v16_store_part(dx + i, m, g);
        });
    }
}

void SY_KERN(sy__layer_norm)(float *y, int64_t ldy, float *mean, float *rstd, const float *x,
                             int64_t ldx, const float *w, const float *b, float eps, int64_t rows,
                             int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        v16f a = v16_zero();
        ROW_LOOP(i, m, n, { a = v16_add(a, v16_load_part(x + i, m, 0.0f)); });
        const float mu = v16_sum(a) / (float)n;
        const v16f c = v16_set1(mu);
        a = v16_zero();
        /* idle lanes load mu, so that they add 0 */
        ROW_LOOP(i, m, n, {
            v16f v = v16_sub(v16_load_part(x + i, m, mu), c);
            a = v16_muladd(v, v, a);
        });
        const float rs = row_rsqrt(v16_sum(a) / (float)n + eps);
        const v16f s = v16_set1(rs);
        if (mean)
            mean[r] = mu;
        if (rstd)
            rstd[r] = rs;
        ROW_LOOP(i, m, n, {
            v16f v = v16_mul(v16_sub(v16_load_part(x + i, m, 0.0f), c), s);
            if (w)
                v = v16_mul(v, v16_load_part(w + i, m, 0.0f));
            if (b)
                v = v16_add(v, v16_load_part(b + i, m, 0.0f));
            v16_store_part(y + i, m, v);
        });
    }
}

void SY_KERN(sy__layer_norm_back)(float *dx, int64_t lddx, float *dw, float *db, const float *dy,
                                  int64_t lddy, const float *x, int64_t ldx, const float *w,
                                  const float *mean, const float *rstd, int64_t rows, int64_t n,
                                  bool add)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, dy += lddy, dx += lddx) {
        const v16f s = v16_set1(rstd[r]), mu = v16_set1(mean[r]);
        v16f a = v16_zero(), a1 = v16_zero();
        ROW_LOOP(i, m, n, {
            v16f h = v16_mul(v16_sub(v16_load_part(x + i, m, 0.0f), mu), s);
            v16f g = weighted(v16_load_part(dy + i, m, 0.0f), w, i, m);
            a = v16_muladd(g, h, a);
            a1 = v16_add(a1, g);
        });
        const v16f c = v16_set1(v16_sum(a) / (float)n), c1 = v16_set1(v16_sum(a1) / (float)n);
        ROW_LOOP(i, m, n, {
            v16f h = v16_mul(v16_sub(v16_load_part(x + i, m, 0.0f), mu), s);
            v16f d = v16_load_part(dy + i, m, 0.0f);
            v16f g = v16_sub(v16_sub(weighted(d, w, i, m), c1), v16_mul(h, c));
            g = v16_mul(s, g);
            if (dw)
                add_to(dw + i, m, v16_mul(d, h));
            if (db)
                add_to(db + i, m, d);
            if (add)
                g = v16_add(v16_load_part(dx + i, m, 0.0f), g);
            v16_store_part(dx + i, m, g);
        });
    }
}
