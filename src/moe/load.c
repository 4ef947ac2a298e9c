/* Load: how evenly a routing fills the experts.  Counts are integers, so the result is exact in
 * any order. */
#include "moe/moe_int.h"

#include <string.h>

/* ---- moe_load (expert (N,K); experts, groups) -> (E) or (groups, E) ---- */

int sy__infer_moe_load(struct sy_infer *x)
{
    const int64_t experts = x->attrs->i[0], groups = x->attrs->i[1];
    if (sy__want_index(x, 0, 2) || sy__want_experts(x))
        return -1;
    if (groups < 1 || x->in[0]->shape[0] % groups)
        return sy__shape_error(x, "%lld groups do not divide the tokens", (long long)groups);
    if (groups == 1)
        sy__meta(&x->out[0], SY_F32, 1, experts, 0);
    else
        sy__meta(&x->out[0], SY_F32, 2, groups, experts);
    x->scratch = (size_t)experts * sizeof(int64_t);
    return 0;
}

static void load_of(float *load, int64_t *count, int64_t experts, const int32_t *expert, int64_t nk)
{
    int64_t total = 0;
    memset(count, 0, (size_t)experts * sizeof *count);
    for (int64_t i = 0; i < nk; i++)
        if (expert[i] >= 0) {
            count[expert[i]]++;
            total++;
        }
    for (int64_t e = 0; e < experts; e++)
        load[e] = total ? (float)((double)count[e] / (double)total) : 0.0f;
}

int sy__run_moe_load(const struct sy_run *x)
{
    const int64_t experts = x->attrs->i[0], groups = x->attrs->i[1];
    const int32_t *expert = sy_data(x->in[0]);
    const int64_t each = sy_tensor_count(x->in[0]) / groups;
    float *load = sy_data(x->out[0]);
    if (sy__check_experts(x, "moe_load", x->in[0], experts))
        return -1;
    for (int64_t g = 0; g < groups; g++)
        load_of(load + g * experts, x->scratch, experts, expert + g * each, each);
    return 0;
}

/* ---- moe_drops (pos (N,K)) -> fraction without a slot ---- */

int sy__infer_moe_drops(struct sy_infer *x)
{
    sy__meta(&x->out[0], SY_F32, 0, 0, 0);
    return sy__want_index(x, 0, 2);
}

int sy__run_moe_drops(const struct sy_run *x)
{
    const int32_t *pos = sy_data(x->in[0]);
    const int64_t nk = sy_tensor_count(x->in[0]);
    int64_t dropped = 0;
    for (int64_t i = 0; i < nk; i++)
        dropped += pos[i] < 0;
    *(float *)sy_data(x->out[0]) = nk ? (float)((double)dropped / (double)nk) : 0.0f;
    return 0;
}
