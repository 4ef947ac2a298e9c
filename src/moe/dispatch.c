/* Dispatch: from the experts that tokens chose to slots sorted by expert.
 *
 *  1. A stable counting sort: slots of an expert are in the order of tokens (moe_int.h).
 *  2. With a capacity, first choices of all tokens are served before second choices, and among
 *     equal choices earlier tokens before later ones; what finds its expert full is dropped
 *     (GShard, Lepikhin et al. 2020, algorithm 1).  Kept choices are then sorted as if the others
 *     did not exist.
 *  3. A negative expert is no choice: it takes no slot, and its pos is -1.
 *
 * All of it is a few passes over N*K integers, done by the calling thread.
 */
#include "moe/moe_int.h"

#include <string.h>

int sy__want_index(struct sy_infer *x, int i, int ndim)
{
    return sy__want_dtype(x, i, SY_I32) || sy__want_ndim(x, i, ndim) ? -1 : 0;
}

/* ---- moe_dispatch (expert (N,K); experts, capacity) -> rows (N*K), pos (N,K), offsets (E+1) ----
 */

int sy__want_experts(struct sy_infer *x)
{
    if (x->attrs->i[0] >= 1)
        return 0;
    return sy_err_set(x->err, SY_E_RANGE, "%s: experts is %lld, must be at least 1", x->op->name,
                      (long long)x->attrs->i[0]);
}

int sy__infer_moe_dispatch(struct sy_infer *x)
{
    const struct sy_tensor *expert = x->in[0];
    if (sy__want_index(x, 0, 2) || sy__want_experts(x))
        return -1;
    if (x->attrs->i[1] < 0)
        return sy_err_set(x->err, SY_E_RANGE, "%s: capacity is %lld, must be 0 (none) or more",
                          x->op->name, (long long)x->attrs->i[1]);
    sy__meta(&x->out[0], SY_I32, 1, expert->shape[0] * expert->shape[1], 0);
    sy__meta(&x->out[1], SY_I32, 2, expert->shape[0], expert->shape[1]);
    sy__meta(&x->out[2], SY_I32, 1, x->attrs->i[0] + 1, 0);
    x->scratch = (size_t)(x->attrs->i[0] + 1) * sizeof(int32_t);
    x->always = 7;
    return 0;
}

int sy__check_experts(const struct sy_run *x, const char *op, const struct sy_tensor *expert,
                      int64_t experts)
{
    const int32_t *e = sy_data(expert);
    int64_t nk = sy_tensor_count(expert), k = expert->shape[1];
    for (int64_t i = 0; i < nk; i++)
        if (e[i] < -1 || e[i] >= experts) /* counted from 1, as in Lua, where none is 0 */
            return sy_err_set(x->err, SY_E_RANGE,
                              "%s: expert %lld of token %lld is outside 1 to %lld (0: none)", op,
                              (long long)e[i] + 1, (long long)(i / k + 1), (long long)experts);
    return 0;
}

/* pos = 0 for choices that get a slot, -1 for the others; count (E) of the former. */
static void admit_choices(int32_t *pos, int32_t *count, const int32_t *expert, int64_t n, int64_t k,
                          int64_t capacity)
{
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = j; i < n * k; i += k) {
            int32_t e = expert[i];
            bool take = e >= 0 && (!capacity || count[e] < capacity);
            pos[i] = take ? 0 : -1;
            if (take)
                count[e]++;
        }
}

int sy__run_moe_dispatch(const struct sy_run *x)
{
    const struct sy_tensor *chosen = x->in[0];
    const int32_t *expert = sy_data(chosen);
    const int64_t n = chosen->shape[0], k = chosen->shape[1], experts = x->attrs->i[0];
    int32_t *rows = sy_data(x->out[0]), *pos = sy_data(x->out[1]), *offsets = sy_data(x->out[2]);
    int32_t *next = x->scratch;
    if (sy__check_experts(x, "moe_dispatch", chosen, experts))
        return -1;
    memset(next, 0, (size_t)experts * sizeof *next);
    admit_choices(pos, next, expert, n, k, x->attrs->i[1]);
    offsets[0] = 0;
    for (int64_t e = 0; e < experts; e++) {
        offsets[e + 1] = offsets[e] + next[e];
        next[e] = offsets[e];
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i * k; j < (i + 1) * k; j++)
            if (pos[j] >= 0) {
                pos[j] = next[expert[j]]++;
                rows[pos[j]] = (int32_t)i;
            }
    for (int64_t s = offsets[experts]; s < n * k; s++)
        rows[s] = -1;
    return 0;
}

/* ---- what the other operations of this folder ask of a routing ---- */

static int check_rows(const struct sy_run *x, const char *op, const struct sy__routing *r,
                      int64_t used)
{
    for (int64_t s = 0; r->rows && s < used; s++)
        if (r->rows[s] < 0 || r->rows[s] >= r->n)
            return sy_err_set(x->err, SY_E_RANGE, "%s: rows: slot %lld holds token %d of %lld", op,
                              (long long)s, r->rows[s], (long long)r->n);
    return 0;
}

static int check_pos(const struct sy_run *x, const char *op, const struct sy__routing *r,
                     int64_t used)
{
    for (int64_t i = 0; r->pos && i < r->nk; i++)
        if (r->pos[i] >= used)
            return sy_err_set(x->err, SY_E_RANGE, "%s: pos: choice %lld has slot %d of %lld", op,
                              (long long)i, r->pos[i], (long long)used);
    return 0;
}

int sy__check_routing(const struct sy_run *x, const char *op, const struct sy__routing *r)
{
    int64_t used = r->slots;
    if (r->offsets) {
        for (int64_t e = 0; e < r->experts; e++)
            if (r->offsets[e] > r->offsets[e + 1])
                return sy_err_set(x->err, SY_E_RANGE,
                                  "%s: offsets: expert %lld ends before it begins", op,
                                  (long long)e);
        if (r->offsets[0] != 0 || r->offsets[r->experts] > r->slots)
            return sy_err_set(x->err, SY_E_RANGE, "%s: offsets: %d to %d, there are %lld slots", op,
                              r->offsets[0], r->offsets[r->experts], (long long)r->slots);
        used = r->offsets[r->experts];
    }
    return check_rows(x, op, r, used) || check_pos(x, op, r, used) ? -1 : 0;
}

void sy__slot_owners(int32_t *owner, int64_t slots, const int32_t *pos, int64_t nk)
{
    for (int64_t s = 0; s < slots; s++)
        owner[s] = -1;
    for (int64_t i = 0; i < nk; i++)
        if (pos[i] >= 0)
            owner[pos[i]] = (int32_t)i;
}
