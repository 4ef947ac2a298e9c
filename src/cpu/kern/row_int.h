/* What the row kernels' sources share: loops, and the functions that row.c puts into the table. */
#ifndef SY_CPU_KERN_ROW_INT_H
#define SY_CPU_KERN_ROW_INT_H

#include "cpu/kern/isa.h"
#include "cpu/kern/vec_math.h"
#include "cpu/kern_row.h"

/* Run the statements for i = 0, 16, ... with m = 16 lanes, and once more with the m = n - i left.
 */
#define ROW_LOOP(i, m, n, ...)                                                                     \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; i + 16 <= (n); i += 16) {                                                           \
            const int64_t m = 16;                                                                  \
            (void)m;                                                                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (i < (n)) {                                                                             \
            const int64_t m = (n)-i;                                                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

/* Exactly rounded scalar 1 / sqrt(x). */
SY_INLINE float row_rsqrt(float x)
{
    return 1.0f / SY_LANE(vf_sqrt, x);
}

/* Largest element; a NaN may get lost. */
SY_INLINE float row_max(const float *x, int64_t n)
{
    v16f a = v16_set1(-__builtin_inff());
    ROW_LOOP(i, m, n, a = v16_max(v16_load_part(x + i, m, -__builtin_inff()), a););
    return v16_hmax(a);
}

/* Sum of exp(x - top), kept in y unless y is NULL. */
SY_INLINE float row_exp_sum(float *y, const float *x, float top, int64_t n)
{
    v16f a = v16_zero(), t = v16_set1(top);
    ROW_LOOP(i, m, n, v16f e = v16_exp(v16_sub(v16_load_part(x + i, m, -__builtin_inff()), t));
             a = v16_add(a, e); if (y) v16_store_part(y + i, m, e););
    return v16_sum(a);
}

SY_INLINE bool row_any_nan(const float *x, int64_t n)
{
    bool any = false;
    ROW_LOOP(i, m, n, any |= v16_any_nan(v16_load_part(x + i, m, 0.0f)););
    return any;
}

SY_INLINE float row_lse(const float *x, int64_t n)
{
    float top = row_max(x, n);
    if (top - top != 0.0f) /* an inf, or nothing but -inf and NaN */
        return row_any_nan(x, n) ? __builtin_nanf("") : top;
    return top + SY_LANE(vf_log, row_exp_sum(NULL, x, top, n));
}

/* The functions that other sources contribute to row.c's table, typed by their place in it. */
#define ROW_DECLARE(name)                                                                          \
    extern __typeof__(*((const struct sy_row_kernels *)0)->name) SY_KERN(sy__##name);
ROW_DECLARE(rms_norm)
ROW_DECLARE(rms_norm_back)
ROW_DECLARE(layer_norm)
ROW_DECLARE(layer_norm_back)
ROW_DECLARE(cross_entropy)
ROW_DECLARE(rope)
ROW_DECLARE(topk)
ROW_DECLARE(gather_sum)
ROW_DECLARE(gather)

#define ROW_DECLARE_ACT(NAME, name)                                                                \
    extern __typeof__(*((const struct sy_row_kernels *)0)->glu[0]) SY_KERN(sy__glu_##name);        \
    extern __typeof__(*((const struct sy_row_kernels *)0)->glu_back[0]) SY_KERN(                   \
        sy__glu_back_##name);                                                                      \
    extern __typeof__(*((const struct sy_row_kernels *)0)->expert_back[0]) SY_KERN(                \
        sy__expert_back_##name);
SY_ACTIVATION_MAP(ROW_DECLARE_ACT)

#endif
