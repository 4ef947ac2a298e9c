/* Attention in double, row by row: two passes over the keys, the scores of one row held. */
#include "ops/attention_f64.h"

#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/kern_map.h"
#include "ops/vector_f64.h"

#include <math.h>
#include <string.h>

/* One query of one head: where its numbers are. */
struct row {
    int64_t b, t, h;
    int64_t q, lse;  /* elements of q and lse */
    double *score;   /* (S): scaled and biased, -inf where unseen */
    float *kept;     /* (S): 1/(1-rate), or 0 where dropped; NULL: nothing is dropped */
};

static bool visible(const struct sy_attn *a, int64_t b, int64_t t, int64_t s)
{
    const int32_t *doc_k = a->doc_k ? a->doc_k : a->doc;
    const int64_t len = a->len ? a->len[b] : a->s;
    if (s >= len || (a->doc && a->doc[b * a->t + t] != doc_k[b * a->s + s]))
        return false;
    return a->mask == SY_ATTN_FULL || s <= t + len - a->t ||
           (a->mask == SY_ATTN_PREFIX && s < a->prefix[b]);
}

/* Element of bias for key 0; those of the others follow. */
static int64_t bias_at(const struct sy_attn *a, const struct row *r)
{
    const int64_t len = a->len ? a->len[r->b] : a->s, wide = 2 * a->reach - 1;
    const int64_t position = a->mask == SY_ATTN_FULL ? r->t : r->t + len - a->t;
    return r->h * wide + a->reach - 1 - position;
}

static int64_t key_at(const struct sy_attn *a, const struct row *r, int64_t s)
{
    return ((r->b * a->s + s) * a->g + r->h / (a->h / a->g)) * a->d;
}

static void fill_row(const struct sy__attention_f64 *m, struct row *r)
{
    const struct sy_attn *a = &m->a;
    const int64_t wide = (a->s + 63) / 64 * 64, n = (r->b * a->h + r->h) * a->t + r->t;
    r->q = ((r->b * a->t + r->t) * a->h + r->h) * a->d;
    r->lse = n;
    for (int64_t s = 0; s < a->s; s++) {
        r->score[s] = -HUGE_VAL;
        if (visible(a, r->b, r->t, s))
            r->score[s] =
                m->scale * sy__dot_f64(m->q + r->q, m->k + key_at(a, r, s), a->d) +
                (m->bias ? m->bias[bias_at(a, r) + s] : 0);
    }
    if (!r->kept)
        return;
    sy_cpu()->map->fill(r->kept, 1, a->s); /* the decisions are those of f32 */
    sy_cpu()->map->dropout(r->kept, r->kept, &a->drop, (uint64_t)(n * wide), a->rate, a->s);
}

static double kept(const struct sy_attn *a, const struct row *r, int64_t s)
{
    return !r->kept ? 1 : r->kept[s] > 0 ? 1 / (1 - (double)a->rate) : 0;
}

static void forward_row(const struct sy__attention_f64 *m, const struct row *r)
{
    const struct sy_attn *a = &m->a;
    double top = -HUGE_VAL, sum = 0;
    for (int64_t s = 0; s < a->s; s++)
        top = fmax(top, r->score[s]);
    for (int64_t s = 0; s < a->s; s++)
        if (visible(a, r->b, r->t, s))
            sum += exp(r->score[s] - top);
    const double lse = sum > 0 ? top + log(sum) : -HUGE_VAL;
    memset(m->o + r->q, 0, (size_t)a->d * sizeof(double));
    for (int64_t s = 0; s < a->s; s++)
        if (visible(a, r->b, r->t, s))
            sy__axpy_f64(m->o + r->q, exp(r->score[s] - lse) * kept(a, r, s),
                         m->v + key_at(a, r, s), a->d);
    if (m->lse)
        m->lse[r->lse] = lse;
}

/* dS = P (dP - <do, o>): Dao et al. 2022, eq. 4. */
static void backward_row(const struct sy__attention_f64 *m, const struct row *r)
{
    const struct sy_attn *a = &m->a;
    const int64_t d = a->d;
    const double all = sy__dot_f64(m->d_o + r->q, m->o_in + r->q, d);
    for (int64_t s = 0; s < a->s; s++)
        if (visible(a, r->b, r->t, s)) {
            const int64_t k = key_at(a, r, s);
            const double p = exp(r->score[s] - m->lse_in[r->lse]), by = kept(a, r, s);
            const double ds = p * (sy__dot_f64(m->d_o + r->q, m->v + k, d) * by - all);
            sy__axpy_f64(m->dv + k, p * by, m->d_o + r->q, d);
            sy__axpy_f64(m->dk + k, ds * m->scale, m->q + r->q, d);
            sy__axpy_f64(m->dq + r->q, ds * m->scale, m->k + k, d);
            if (m->dbias)
                m->dbias[bias_at(a, r) + s] += ds;
        }
}

static bool each_row(const struct sy__attention_f64 *m,
                     void (*f)(const struct sy__attention_f64 *, const struct row *))
{
    const struct sy_attn *a = &m->a;
    double *score = sy_alloc((size_t)(a->s + 1) * (sizeof(double) + sizeof(float)));
    struct row r = {.score = score, .kept = a->rate > 0 ? (float *)(score + a->s + 1) : NULL};
    if (!score)
        return false;
    for (r.b = 0; r.b < a->b; r.b++)
        for (r.t = 0; r.t < a->t; r.t++)
            for (r.h = 0; r.h < a->h; r.h++) {
                fill_row(m, &r);
                f(m, &r);
            }
    sy_free(score);
    return true;
}

bool sy__attention_f64(const struct sy__attention_f64 *m)
{
    return each_row(m, forward_row);
}

bool sy__attention_backward_f64(const struct sy__attention_f64 *m)
{
    return each_row(m, backward_row);
}
