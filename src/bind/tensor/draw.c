/* A token drawn from logits: temperature, top-k, top-p.  Layer bind/tensor. */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>

struct choice {
    float logit;
    int32_t id;
};

static int larger_logit(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    return x->logit < y->logit ? 1 : x->logit > y->logit ? -1 : x->id - y->id;
}

/* Ties go to the lower id. */
static int32_t likeliest(const struct choice *c, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = c[i].logit > c[best].logit ? i : best;
    return c[best].id;
}

/* Draw from softmax(logits / temperature) cut to the top_k likeliest and to the smallest set of
 * mass top_p.  Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (nucleus). */
static int32_t draw_token(struct choice *c, int64_t n, double temperature, int64_t top_k,
                          double top_p, double u)
{
    if (temperature <= 0)
        return likeliest(c, n);
    qsort(c, (size_t)n, sizeof *c, larger_logit);
    n = top_k > 0 && top_k < n ? top_k : n;
    double sum = 0, kept = 0, best = (double)c[0].logit;
    for (int64_t i = 0; i < n; i++)
        sum += exp(((double)c[i].logit - best) / temperature);
    int64_t m = 0;
    while (m < n && (m == 0 || kept < top_p * sum))
        kept += exp(((double)c[m++].logit - best) / temperature);
    double at = u * kept;
    for (int64_t i = 0; i < m; i++)
        if ((at -= exp(((double)c[i].logit - best) / temperature)) < 0)
            return c[i].id;
    return c[m - 1].id;
}

/* engine.draw(logits, row, temperature, top_k, top_p, seed, index, ids) -> id, below ids where that
 * is given */
static int l_draw(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "generate", "logits");
    int64_t row = luaL_checkinteger(L, 2), top_k = luaL_checkinteger(L, 4);
    double temperature = luaL_checknumber(L, 3), top_p = luaL_checknumber(L, 5);
    struct sy_rng r = {.seed = (uint64_t)luaL_checkinteger(L, 6), .purpose = SY_RNG_SAMPLE};
    double u = sy_rng_uniform(&r, (uint64_t)luaL_checkinteger(L, 7));
    int64_t n = t->ndim ? t->shape[t->ndim - 1] : 0, rows = n ? sy_tensor_count(t) / n : 0;
    if (t->dtype != SY_F32 || !sy_tensor_contiguous(t))
        return lsy_error(L, "generate: the logits must be contiguous f32");
    if (row < 1 || row > rows)
        return lsy_error(L, "generate: row %d of the logits is wanted, there are %d", (int)row,
                         (int)rows);
    int64_t ids = luaL_optinteger(L, 8, n), among = ids > 0 && ids < n ? ids : n;
    const float *x = (const float *)sy_data(t) + (row - 1) * n;
    /* nothing raises from here to its end */
    struct choice *c = sy_alloc((size_t)among * sizeof *c);
    if (!c)
        return lsy_error(L, "generate: out of memory");
    for (int64_t i = 0; i < among; i++)
        c[i] = (struct choice){isnan(x[i]) ? -INFINITY : x[i], (int32_t)i};
    int32_t id = draw_token(c, among, temperature, top_k, top_p, u);
    sy_free(c);
    lua_pushinteger(L, id);
    return 1;
}

static const luaL_Reg functions[] = {{"draw", l_draw}, {NULL, NULL}};

void lsy_open_draw(lua_State *L) { lsy_add_functions(L, functions); }
