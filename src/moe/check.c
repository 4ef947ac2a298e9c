/* Check: whether the choices of a router of users' are ones.  Layer moe.
 *
 *  1. No expert is one token's twice: it would compute the same twice, and be counted twice in
 *     loads and balance losses.
 *  2. 0 (none) is there only where the router says that there may be fewer.
 *  3. One pass over N*K integers by the calling thread, at every step: what a router gives may
 *     change with what it has learned. */
#include "moe/moe_int.h"

#include <string.h>

enum { EXPERTS, FEWER, LAYER };

/* moe_check (expert (N,K); experts, fewer, layer) -> the same (N,K) */

int sy__infer_moe_check(struct sy_infer *x)
{
    if (sy__want_index(x, 0, 2) || sy__want_experts(x))
        return -1;
    sy_meta_like(&x->out[0], x->in[0]);
    x->scratch = (size_t)x->attrs->i[EXPERTS] * sizeof(int64_t);
    return 0;
}

static int refuse_choice(const struct sy_run *x, int64_t token, const char *what, int64_t expert)
{
    return sy_err_set(x->err, SY_E_RANGE, "router of layer %lld: token %lld: expert %lld %s",
                      (long long)x->attrs->i[LAYER], (long long)token + 1, (long long)expert + 1,
                      what);
}

/* last: of each expert 1 + the token that had it last. */
static int check_token(const struct sy_run *x, int64_t token, const int32_t *expert, int64_t k,
                       int64_t *last)
{
    for (int64_t j = 0; j < k; j++) {
        int64_t e = expert[j];
        if (e < -1 || e >= x->attrs->i[EXPERTS])
            return refuse_choice(x, token, "is none of the layer's", e);
        if (e < 0 && !x->attrs->i[FEWER])
            return refuse_choice(x, token, "is none, which goes with fewer = true", e);
        if (e >= 0 && last[e] == token + 1)
            return refuse_choice(x, token, "is there twice", e);
        if (e >= 0)
            last[e] = token + 1;
    }
    return 0;
}

int sy__run_moe_check(const struct sy_run *x)
{
    const int32_t *expert = sy_data(x->in[0]);
    const int64_t n = x->in[0]->shape[0], k = x->in[0]->shape[1];
    memset(x->scratch, 0, (size_t)x->attrs->i[EXPERTS] * sizeof(int64_t));
    for (int64_t i = 0; i < n; i++)
        if (check_token(x, i, expert + i * k, k, x->scratch))
            return -1;
    memcpy(sy_data(x->out[0]), expert, sy_tensor_bytes(x->in[0]));
    return 0;
}
