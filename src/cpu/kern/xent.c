/* Cross entropy of rows of logits (cpu/kern_row.h):
 *
 *     loss = lse(x) - x[target]        dx = softmax(x) - onehot(target)
 *
 * With the gradient the exponentials stay in the row between the two passes. */
#include "cpu/kern/row_int.h"

static void ignored(float *x, bool grad, int64_t n)
{
    if (grad)
        ROW_LOOP(i, m, n, { v16_store_part(x + i, m, v16_zero()); });
}

void SY_KERN(sy__cross_entropy)(float *loss, float *lse, float *x, int64_t ld,
                                const int32_t *target, float scale, bool grad, int64_t rows,
                                int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += ld) {
        float l = 0.0f, z = 0.0f;
        if (target[r] < 0) {
            ignored(x, grad, n);
        } else {
            const float top = row_max(x, n), xt = x[target[r]];
            const float s = row_exp_sum(grad ? x : NULL, x, top, n);
            const float logs = SY_LANE(vf_log, s);
            l = (top - xt) + logs;
            z = top + logs;
            if (grad) {
                const v16f c = v16_set1(scale / s);
                ROW_LOOP(i, m, n,
                         { v16_store_part(x + i, m, v16_mul(v16_load_part(x + i, m, 0.0f), c)); });
                x[target[r]] -= scale;
            }
        }
        if (loss)
            loss[r] = l;
        if (lse)
            lse[r] = z;
    }
}
