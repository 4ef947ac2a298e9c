/* Row kernels (cpu/kern_row.h): reductions, softmax, and the table.  Compiled once for each
 * instruction set; norm.c, xent.c, activation.c, rope.c and route.c hold the other families. */
#include "cpu/kern/row_int.h"

static void sum(float *out, const float *x, int64_t ld, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ld) {
        v16f a = v16_zero();
        ROW_LOOP(i, m, n, { a = v16_add(a, v16_load_part(x + i, m, 0.0f)); });
        out[r] = v16_sum(a);
    }
}

static void dot(float *out, const float *x, int64_t ldx, const float *y, int64_t ldy, int64_t rows,
                int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        v16f a = v16_zero();
        ROW_LOOP(i, m, n, {
            a = v16_muladd(v16_load_part(x + i, m, 0.0f), v16_load_part(y + i, m, 0.0f), a);
        });
        out[r] = v16_sum(a);
    }
}

static void sumsq(float *out, const float *x, int64_t ld, int64_t rows, int64_t n)
{
    dot(out, x, ld, x, ld, rows, n);
}

static void max(float *out, const float *x, int64_t ld, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ld) {
        v16f a = v16_set1(-__builtin_inff());
        ROW_LOOP(i, m, n, { a = v16_maxn(a, v16_load_part(x + i, m, -__builtin_inff())); });
        out[r] = v16_any_nan(a) ? __builtin_nanf("") : v16_hmax(a);
    }
}

static void min(float *out, const float *x, int64_t ld, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ld) {
        v16f a = v16_set1(__builtin_inff());
        ROW_LOOP(i, m, n, { a = v16_minn(a, v16_load_part(x + i, m, __builtin_inff())); });
        out[r] = v16_any_nan(a) ? __builtin_nanf("") : v16_hmin(a);
    }
}

/* Two passes: the largest value, then the first place that holds it; NaN is the largest. */
static void argmax(int32_t *out, const float *x, int64_t ld, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ld) {
        int64_t i = 0;
        uint32_t hit = 0;
        float largest;
        max(&largest, x, ld, 1, n);
        if (largest != largest) {
            while (x[i] == x[i])
                i++;
            out[r] = (int32_t)i;
            continue;
        }
        const vf top = vf_set1(largest);
        for (; i < n && !hit; i += SY_W)
            hit = vm_mask(vf_eq(vf_load_part(x + i, n - i, __builtin_nanf("")), top));
        out[r] = hit ? (int32_t)(i - SY_W + __builtin_ctz(hit)) : 0;
    }
}

/* Four rows at a time, so that out passes through the registers once for all of them. */
static void col_sum(float *out, const float *x, int64_t ld, const float *s, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r += 4) {
        const int64_t end = rows - r < 4 ? rows - r : 4;
        const float *xr = x + r * ld;
        for (int64_t i = 0; i < n; i += SY_W) {
            vf a = vf_load_part(out + i, n - i, 0.0f);
            for (int64_t j = 0; j < end; j++) {
                vf v = vf_load_part(xr + j * ld + i, n - i, 0.0f);
                a = a + (s ? vf_set1(s[r + j]) * v : v);
            }
            vf_store_part(out + i, n - i, a);
        }
    }
}

static void softmax(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const v16f scale = v16_set1(1.0f / row_exp_sum(y, x, row_max(x, n), n));
        ROW_LOOP(i, m, n,
                 { v16_store_part(y + i, m, v16_mul(v16_load_part(y + i, m, 0.0f), scale)); });
    }
}

static void softmax_back(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *y,
                         int64_t ldy, int64_t rows, int64_t n, bool add)
{
    for (int64_t r = 0; r < rows; r++, dx += lddx, dy += lddy, y += ldy) {
        float d;
        dot(&d, y, ldy, dy, lddy, 1, n);
        const v16f c = v16_set1(d);
        ROW_LOOP(i, m, n, {
            v16f g =
                v16_mul(v16_load_part(y + i, m, 0.0f), v16_sub(v16_load_part(dy + i, m, 0.0f), c));
            if (add)
                g = v16_add(v16_load_part(dx + i, m, 0.0f), g);
            v16_store_part(dx + i, m, g);
        });
    }
}

static void logsumexp(float *out, const float *x, int64_t ld, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        out[r] = row_lse(x + r * ld, n);
}

static void log_softmax(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const v16f c = v16_set1(row_lse(x, n));
        ROW_LOOP(i, m, n, { v16_store_part(y + i, m, v16_sub(v16_load_part(x + i, m, 0.0f), c)); });
    }
}

static void log_softmax_back(float *dx, int64_t lddx, const float *dy, int64_t lddy, const float *y,
                             int64_t ldy, int64_t rows, int64_t n, bool add)
{
    for (int64_t r = 0; r < rows; r++, dx += lddx, dy += lddy, y += ldy) {
        float d;
        sum(&d, dy, lddy, 1, n);
        const v16f c = v16_set1(d);
        ROW_LOOP(i, m, n, {
            v16f g = v16_sub(v16_load_part(dy + i, m, 0.0f),
                             v16_mul(v16_exp(v16_load_part(y + i, m, 0.0f)), c));
            if (add)
                g = v16_add(v16_load_part(dx + i, m, 0.0f), g);
            v16_store_part(dx + i, m, g);
        });
    }
}

#define ROW_GLU(NAME, name) [SY_ACTIVATION_##NAME] = SY_KERN(sy__glu_##name),
#define ROW_GLU_BACK(NAME, name) [SY_ACTIVATION_##NAME] = SY_KERN(sy__glu_back_##name),
#define ROW_EXPERT_BACK(NAME, name) [SY_ACTIVATION_##NAME] = SY_KERN(sy__expert_back_##name),

const struct sy_row_kernels SY_KERN(sy__row) = {
    .sum = sum,
    .sumsq = sumsq,
    .max = max,
    .min = min,
    .argmax = argmax,
    .dot = dot,
    .col_sum = col_sum,
    .softmax = softmax,
    .softmax_back = softmax_back,
    .log_softmax = log_softmax,
    .log_softmax_back = log_softmax_back,
    .logsumexp = logsumexp,
    .rms_norm = SY_KERN(sy__rms_norm),
    .rms_norm_back = SY_KERN(sy__rms_norm_back),
    .layer_norm = SY_KERN(sy__layer_norm),
    .layer_norm_back = SY_KERN(sy__layer_norm_back),
    .cross_entropy = SY_KERN(sy__cross_entropy),
    .glu = {SY_ACTIVATION_MAP(ROW_GLU)},
    .glu_back = {SY_ACTIVATION_MAP(ROW_GLU_BACK)},
    .expert_back = {SY_ACTIVATION_MAP(ROW_EXPERT_BACK)},
    .rope = SY_KERN(sy__rope),
    .topk = SY_KERN(sy__topk),
    .gather_sum = SY_KERN(sy__gather_sum),
    .gather = SY_KERN(sy__gather),
};
