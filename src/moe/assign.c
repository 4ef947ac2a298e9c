/* Balanced assignment: each token to one expert, no expert to more than its share, so that the sum
 * of scores is the largest that is possible (Lewis et al. 2021, BASE layers, section 3.2).
 *
 *  1. Exact: tokens are added one by one, each along the path of moves that costs least (successive
 *     shortest paths).  gain[e][f] is the most that a token of expert e wins by going to f; when
 *     the sum is the largest for the tokens so far there is no cycle with a gain.
 *  2. Scores are whole numbers here, multiples of 2^-40 of the largest one: sums have no rounding,
 *     so the paths end and the result is one on every machine.  Of equal ones the lower wins.
 *  3. A share is ceil(n / E'), n the tokens of the group and E' the experts; neither counts where
 *     all its scores are -infinity or NaN (a disabled expert, padding), and such a token gets none.
 *  4. O(n (E^2 + n)) for a group of n tokens.
 */
#include "moe/moe_int.h"

#include <math.h>
#include <string.h>

static const int64_t FORBIDDEN = -((int64_t)1 << 46); /* a score of -infinity */
enum { BITS = 40 };

struct assignment {
    const float *scores; /* (n, e) */
    int32_t *expert;     /* (n): -1: none yet */
    int64_t n, e, share;
    int64_t *value; /* (n, e): scores as whole numbers */
    int64_t *gain;  /* (e, e) */
    int64_t *path;  /* (e): the most that a chain to e wins */
    int32_t *mover; /* (e, e): whose gain it is, -1: nobody's */
    int32_t *from;  /* (e): the expert before it in the chain, -1: the token itself */
    int32_t *load;  /* (e), -1: takes no tokens */
};

int sy__infer_moe_assign(struct sy_infer *x)
{
    const int64_t groups = x->attrs->i[0];
    if (sy__want_dtype(x, 0, SY_F32) || sy__want_ndim(x, 0, 2))
        return -1;
    const int64_t rows = x->in[0]->shape[0], e = x->in[0]->shape[1];
    if (groups < 1 || rows % groups)
        return sy__shape_error(x, "%lld groups do not divide the tokens", (long long)groups);
    if (e < 1)
        return sy__shape_error(x, "there are no experts");
    sy__meta(&x->out[0], SY_I32, 2, rows, 1);
    x->scratch = (size_t)(rows / groups * e + e * e + e) * sizeof(int64_t) +
                 (size_t)(e * e + 2 * e) * sizeof(int32_t);
    return 0;
}

/* ---- scores as whole numbers ---- */

/* Power of two that makes the largest finite score some 2^BITS. */
static int scale_of(const struct assignment *g)
{
    float most = 0;
    int exponent;
    for (int64_t i = 0; i < g->n * g->e; i++)
        if (isfinite(g->scores[i]) && fabsf(g->scores[i]) > most)
            most = fabsf(g->scores[i]);
    frexp((double)most, &exponent);
    return BITS - exponent;
}

/* Experts and tokens that count: load and expert become 0, the others -1.  The number of tokens. */
static int64_t mark_counted(struct assignment *g)
{
    int64_t tokens = 0;
    for (int64_t e = 0; e < g->e; e++)
        g->load[e] = -1;
    for (int64_t t = 0; t < g->n; t++) {
        bool counts = false;
        for (int64_t e = 0; e < g->e; e++)
            if (g->scores[t * g->e + e] > -INFINITY) {
                g->load[e] = 0;
                counts = true;
            }
        g->expert[t] = counts ? 0 : -1;
        tokens += counts;
    }
    return tokens;
}

static void set_values(struct assignment *g)
{
    const int scale = scale_of(g);
    for (int64_t i = 0; i < g->n * g->e; i++) {
        const float s = g->scores[i];
        g->value[i] = s > -INFINITY ? (s < INFINITY ? llrint(ldexp((double)s, scale)) : -FORBIDDEN)
                                    : FORBIDDEN;
    }
}

/* ---- moves ---- */

/* Token t is now of expert e: what it would win elsewhere. */
static void offer_moves(struct assignment *g, int64_t e, int64_t t)
{
    const int64_t *value = g->value + t * g->e;
    for (int64_t f = 0; f < g->e; f++) {
        const int64_t at = e * g->e + f, win = value[f] - value[e];
        if (g->mover[at] < 0 || win > g->gain[at]) {
            g->gain[at] = win;
            g->mover[at] = (int32_t)t;
        }
    }
}

/* A token left expert e. */
static void renew_moves(struct assignment *g, int64_t e, int64_t added)
{
    for (int64_t f = 0; f < g->e; f++)
        g->mover[e * g->e + f] = -1;
    for (int64_t t = 0; t <= added; t++)
        if (g->expert[t] == e)
            offer_moves(g, e, t);
}

/* The most that each expert's place can win for token t: straight, or by moving others on. */
static void find_paths(struct assignment *g, int64_t t)
{
    bool changed = true;
    for (int64_t e = 0; e < g->e; e++) {
        g->path[e] = g->value[t * g->e + e];
        g->from[e] = -1;
    }
    while (changed) {
        changed = false;
        for (int64_t e = 0; e < g->e; e++)
            for (int64_t f = 0; g->load[e] == g->share && f < g->e; f++) {
                const int64_t at = e * g->e + f;
                if (f == e || g->load[f] < 0 || g->path[e] + g->gain[at] <= g->path[f])
                    continue;
                g->path[f] = g->path[e] + g->gain[at];
                g->from[f] = (int32_t)e;
                changed = true;
            }
    }
}

static int64_t best_end(const struct assignment *g)
{
    int64_t best = -1;
    for (int64_t e = 0; e < g->e; e++)
        if (g->load[e] >= 0 && g->load[e] < g->share && (best < 0 || g->path[e] > g->path[best]))
            best = e;
    return best;
}

/* Moves along the path that ends at expert e, the last first, and puts t where it begins. */
static void add_token(struct assignment *g, int64_t t, int64_t e)
{
    g->load[e]++;
    for (int32_t before = g->from[e]; before >= 0; before = g->from[e]) {
        const int32_t mover = g->mover[before * g->e + e];
        g->expert[mover] = (int32_t)e;
        offer_moves(g, e, mover);
        renew_moves(g, before, t);
        e = before;
    }
    g->expert[t] = (int32_t)e;
    offer_moves(g, e, t);
}

static void assign_group(struct assignment *g)
{
    const int64_t tokens = mark_counted(g);
    int64_t open = 0;
    for (int64_t e = 0; e < g->e; e++)
        open += g->load[e] == 0;
    g->share = open ? (tokens + open - 1) / open : 0;
    set_values(g);
    for (int64_t i = 0; i < g->e * g->e; i++)
        g->mover[i] = -1;
    /* those to come are nobody's yet; -2: to be added */
    for (int64_t t = 0; t < g->n; t++)
        g->expert[t] = g->expert[t] < 0 ? -1 : -2;
    for (int64_t t = 0; t < g->n; t++)
        if (g->expert[t] == -2) {
            find_paths(g, t);
            add_token(g, t, best_end(g));
        }
}

int sy__run_moe_assign(const struct sy_run *x)
{
    const int64_t groups = x->attrs->i[0], rows = x->in[0]->shape[0], e = x->in[0]->shape[1];
    struct assignment g = {.scores = sy_data(x->in[0]),
                           .expert = sy_data(x->out[0]),
                           .n = rows / groups,
                           .e = e,
                           .value = x->scratch};
    g.gain = g.value + g.n * e;
    g.path = g.gain + e * e;
    g.mover = (int32_t *)(g.path + e);
    g.from = g.mover + e * e;
    g.load = g.from + e;
    for (int64_t i = 0; i < groups; i++) {
        assign_group(&g);
        g.scores += g.n * e;
        g.expert += g.n;
    }
    return 0;
}
