/* Admission: which of the tokens' choices find a place when experts have so many each, and where
 * those go that find none.
 *
 *  1. Groups of consecutive tokens are apart: each has `capacity` places of every expert, or as
 *     many as `places` says of it where that is less (of which tokens are padding).
 *  2. First choices of all tokens are served before second ones; among these the token with the
 *     larger priority (NaN is as infinity), the earlier of equal ones; without priority the earlier
 *     (Lepikhin et al. 2020, algorithm 1; Riquelme et al. 2021, section 4: the largest score).
 *     A priority (N,K) is of the choices.  With the E experts as choices of each token each expert
 *     takes the tokens of its largest ones (Zhou et al. 2022).
 *  3. Rounds: a choice without a place asks, in the same order, its token's next best expert by
 *     scores > 0 among those that the token has not chosen (Fedus et al. 2021, appendix B).
 *  4. Plain C on the calling thread: one result on every machine.
 */
#include "moe/moe_int.h"

#include <math.h>
#include <string.h>

enum { EXPERT, PRIORITY, SCORES, PLACES };
enum { EXPERTS, CAPACITY, GROUPS, ROUNDS };

static int range_error(struct sy_infer *x, const char *name, int64_t is, int64_t least)
{
    return sy_err_set(x->err, SY_E_RANGE, "%s: %s is %lld, must be at least %lld", x->op->name,
                      name, (long long)is, (long long)least);
}

static int want_numbers(struct sy_infer *x)
{
    const int64_t *a = x->attrs->i, n = x->in[EXPERT]->shape[0];
    if (a[CAPACITY] < 1)
        return range_error(x, "capacity", a[CAPACITY], 1);
    if (a[ROUNDS] < 0)
        return range_error(x, "rounds", a[ROUNDS], 0);
    if (a[GROUPS] < 1 || n % a[GROUPS])
        return sy__shape_error(x, "%lld groups do not divide the tokens", (long long)a[GROUPS]);
    if (a[ROUNDS] && !x->in[SCORES])
        return sy__shape_error(x, "rounds go by scores, and there are none");
    return 0;
}

static int want_beside(struct sy_infer *x)
{
    const int64_t n = x->in[EXPERT]->shape[0], e = x->attrs->i[EXPERTS];
    const struct sy_tensor *priority = x->in[PRIORITY], *scores = x->in[SCORES],
                           *places = x->in[PLACES];
    if (places && (sy__want_dtype(x, PLACES, SY_I32) || sy__want_ndim(x, PLACES, 1)))
        return -1;
    if (places && places->shape[0] != x->attrs->i[GROUPS])
        return sy__shape_error(x, "places must be (groups)");
    if (priority && sy__want_dtype(x, PRIORITY, SY_F32))
        return -1;
    if (scores && (sy__want_dtype(x, SCORES, SY_F32) || sy__want_ndim(x, SCORES, 2)))
        return -1;
    if (priority && !(priority->ndim == 1 && priority->shape[0] == n) &&
        !sy_tensor_same_shape(priority, x->in[EXPERT]))
        return sy__shape_error(x, "priority must be (N) or (N, K) as expert");
    if (scores && (scores->shape[0] != n || scores->shape[1] != e))
        return sy__shape_error(x, "scores must be (N, E)");
    return 0;
}

/* One group. */
struct admission {
    const int32_t *expert;          /* (n, k) */
    int32_t *kept;                  /* (n, k): the expert that has it, -1: none */
    const float *priority, *scores; /* (n), (n, experts) or NULL */
    int64_t n, k, experts, capacity, rounds;
    int64_t columns;         /* of priority: k, 1, or 0 without it */
    int32_t *count;          /* (experts): places taken */
    int32_t *asked;          /* (n, k): the last that a round asked, -1: none yet */
    uint64_t *order, *spare; /* (n): the token in the lower half */
};

int sy__infer_moe_admit(struct sy_infer *x)
{
    if (sy__want_index(x, EXPERT, 2) || sy__want_experts(x) || want_numbers(x) || want_beside(x))
        return -1;
    const int64_t n = x->in[EXPERT]->shape[0] / x->attrs->i[GROUPS], k = x->in[EXPERT]->shape[1];
    sy_meta_like(&x->out[0], x->in[EXPERT]);
    x->scratch =
        (size_t)n * 2 * sizeof(uint64_t) + (size_t)(n * k + x->attrs->i[EXPERTS]) * sizeof(int32_t);
    return 0;
}

/* ---- the order in which tokens are served ---- */

/* Ascending keys are descending priorities, of equal ones ascending tokens. */
static uint64_t key_of(float priority, int64_t token)
{
    uint32_t bits;
    priority = priority != priority ? INFINITY : priority + 0.0f; /* -0 is 0 */
    memcpy(&bits, &priority, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)~bits << 32 | (uint64_t)token;
}

static void merge_runs(uint64_t *to, const uint64_t *from, int64_t first, int64_t middle,
                       int64_t end)
{
    int64_t a = first, b = middle;
    for (int64_t i = first; i < end; i++)
        to[i] = b >= end || (a < middle && from[a] <= from[b]) ? from[a++] : from[b++];
}

/* The order of tokens for choice j is in g->order afterwards. */
static void sort_tokens(struct admission *g, int64_t j)
{
    if (j > 0 && g->columns < 2)
        return;
    for (int64_t i = 0; i < g->n; i++)
        g->order[i] = g->columns ? key_of(g->priority[i * g->columns + j], i) : (uint64_t)i;
    for (int64_t run = 1; g->columns && run < g->n; run *= 2) {
        for (int64_t first = 0; first < g->n; first += 2 * run) {
            const int64_t middle = first + run, end = first + 2 * run;
            merge_runs(g->spare, g->order, first, middle < g->n ? middle : g->n,
                       end < g->n ? end : g->n);
        }
        uint64_t *sorted = g->spare;
        g->spare = g->order;
        g->order = sorted;
    }
}

/* ---- places ---- */

static bool take_place(struct admission *g, int64_t i, int32_t e)
{
    if (e < 0 || g->count[e] >= g->capacity)
        return false;
    g->count[e]++;
    g->kept[i] = e;
    return true;
}

static bool holds_expert(const int32_t *list, int64_t k, int32_t e)
{
    for (int64_t j = 0; j < k; j++)
        if (list[j] == e)
            return true;
    return false;
}

/* The best expert of a token behind the one asked last that it has not chosen, or -1. */
static int32_t next_best(const struct admission *g, int64_t token, int32_t last)
{
    const float *s = g->scores + token * g->experts;
    int32_t best = -1;
    for (int32_t e = 0; e < g->experts; e++) {
        const bool behind = last < 0 || s[e] < s[last] || (s[e] == s[last] && e > last);
        if (s[e] > 0 && behind && (best < 0 || s[e] > s[best]) &&
            !holds_expert(g->expert + token * g->k, g->k, e) &&
            !holds_expert(g->kept + token * g->k, g->k, e))
            best = e;
    }
    return best;
}

static void serve(struct admission *g)
{
    for (int64_t j = 0; j < g->k; j++) {
        sort_tokens(g, j);
        for (int64_t i = 0; i < g->n; i++) {
            const int64_t at = (int64_t)(uint32_t)g->order[i] * g->k + j;
            take_place(g, at, g->expert[at]);
        }
    }
}

static void reroute(struct admission *g)
{
    for (int64_t j = 0; j < g->k; j++) {
        sort_tokens(g, j);
        for (int64_t i = 0; i < g->n; i++) {
            const int64_t token = (int64_t)(uint32_t)g->order[i], at = token * g->k + j;
            if (g->expert[at] < 0 || g->kept[at] >= 0)
                continue;
            const int32_t e = next_best(g, token, g->asked[at]);
            if (e >= 0 && !take_place(g, at, e))
                g->asked[at] = e;
        }
    }
}

static void admit_group(struct admission *g)
{
    memset(g->count, 0, (size_t)g->experts * sizeof *g->count);
    for (int64_t i = 0; i < g->n * g->k; i++)
        g->kept[i] = g->asked[i] = -1;
    serve(g);
    for (int64_t round = 0; round < g->rounds; round++)
        reroute(g);
}

int sy__run_moe_admit(const struct sy_run *x)
{
    const struct sy_tensor *expert = x->in[EXPERT], *priority = x->in[PRIORITY],
                           *scores = x->in[SCORES];
    const int32_t *places = x->in[PLACES] ? sy_data(x->in[PLACES]) : NULL;
    const int64_t *a = x->attrs->i;
    if (sy__check_experts(x, "moe_admit", expert, a[EXPERTS]))
        return -1;
    struct admission g = {.expert = sy_data(expert),
                          .kept = sy_data(x->out[0]),
                          .priority = priority ? sy_data(priority) : NULL,
                          .scores = scores ? sy_data(scores) : NULL,
                          .n = expert->shape[0] / a[GROUPS],
                          .k = expert->shape[1],
                          .experts = a[EXPERTS],
                          .capacity = a[CAPACITY],
                          .rounds = a[ROUNDS],
                          .columns = priority ? priority->ndim == 2 ? expert->shape[1] : 1 : 0,
                          .order = x->scratch};
    g.spare = g.order + g.n;
    g.asked = (int32_t *)(g.spare + g.n);
    g.count = g.asked + g.n * g.k;
    for (int64_t i = 0; i < a[GROUPS]; i++) {
        if (places)
            g.capacity = places[i] < a[CAPACITY] ? places[i] : a[CAPACITY];
        admit_group(&g);
        g.expert += g.n * g.k;
        g.kept += g.n * g.k;
        g.priority += g.priority ? g.n * g.columns : 0;
        g.scores += g.scores ? g.n * g.experts : 0;
    }
    return 0;
}
