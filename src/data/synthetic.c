/* The synthetic language: documents written by sparse Markov chains of known entropy (data.h).
 *
 * A chain of order k over S symbols has S^k contexts; in each, `branch` distinct successors have
 * probabilities that are whole multiples of 2^-32, so the chain that is sampled is exactly the one
 * whose entropy is stated:
 *
 *     h = sum over contexts s of pi(s) * -sum over successors j of p(j|s) ln p(j|s)
 *
 * with pi the stationary distribution, found by power iteration of the lazy chain (I + P) / 2,
 * which has the same pi and no period (Levin, Peres, Wilmer 2009, section 1.3).  A document's first
 * `order` tokens are drawn from pi, so every token in it is in the stationary state.
 *
 *  1. In every context of order 1 one successor is the next symbol round the circle: each state is
 *     reached from each, and pi is unique.  (For order 2 pi is the limit from the uniform
 *     distribution; documents start there, so the stated rate holds whether it is unique or not.)
 *  2. With a shared vocabulary all chains write with the same ids: a token says nothing of its
 *     domain but by what stands before it.
 *  3. Chains depend on (seed, domain), documents on (seed, number): nothing depends on threads. */
#include "base/mem.h"
#include "base/rng.h"
#include "data/corpus_int.h"

#include <math.h>
#include <string.h>

#define ITERATIONS 20000
#define EPSILON 1e-15

enum stream { STREAM_CHAIN, STREAM_TEXT, STREAM_DOMAIN };

struct chain {
    int states, branch, order;
    int64_t contexts;  /* states^order */
    int32_t *next;     /* [contexts][branch] symbols */
    uint64_t *upto;    /* [contexts][branch] cumulative weights, the last is 2^32 */
    double *pi, *work; /* [contexts] */
    double *start;     /* [contexts] cumulative pi */
    int32_t *deck;     /* [states] scratch */
};

static struct sy_rng stream_rng(uint64_t seed, enum stream which, uint64_t step)
{
    return (struct sy_rng){seed, SY_RNG_SYNTHETIC + 256 * (uint32_t)which, step};
}

/* Distinct successors of a context: the next symbol, then a partial shuffle of the others. */
static void draw_successors(struct chain *c, int64_t context, const struct sy_rng *r)
{
    int32_t *next = c->next + context * c->branch;
    uint64_t at = (uint64_t)context * (uint64_t)c->states * 2;
    int32_t follow = (int32_t)((context + 1) % c->states);
    for (int i = 0; i < c->states; i++)
        c->deck[i] = i;
    c->deck[0] = follow;
    c->deck[follow] = 0;
    for (int i = 0; i < c->branch; i++) {
        int j = i ? i + (int)sy_rng_below(r, at + (uint64_t)i, (uint64_t)(c->states - i)) : 0;
        int32_t chosen = c->deck[j];
        c->deck[j] = c->deck[i];
        c->deck[i] = chosen;
        next[i] = chosen;
    }
}

/* Weights (u + 1/16)^2, so that some successors are likely and none is impossible. */
static void draw_weights(struct chain *c, int64_t context, const struct sy_rng *r)
{
    uint64_t *upto = c->upto + context * c->branch,
             at = (uint64_t)context * (uint64_t)c->states * 2;
    double sum = 0, part = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < c->branch; i++) {
            double u = sy_rng_uniform(r, at + (uint64_t)(c->states + i)) + 1.0 / 16;
            if (pass == 0) {
                sum += u * u;
                continue;
            }
            part += u * u;
            upto[i] = (uint64_t)(part / sum * 4294967296.0);
        }
    upto[c->branch - 1] = (uint64_t)1 << 32;
}

static double weight(const struct chain *c, int64_t context, int i)
{
    const uint64_t *upto = c->upto + context * c->branch;
    return (double)(upto[i] - (i ? upto[i - 1] : 0)) / 4294967296.0;
}

static int64_t next_context(const struct chain *c, int64_t context, int32_t symbol)
{
    return c->order == 1 ? symbol : context % c->states * c->states + symbol;
}

/* work = pi (I + P) / 2; returns how far it moved. */
static double lazy_step(struct chain *c)
{
    double moved = 0, sum = 0;
    for (int64_t s = 0; s < c->contexts; s++)
        c->work[s] = c->pi[s] / 2;
    for (int64_t s = 0; s < c->contexts; s++)
        for (int i = 0; i < c->branch; i++)
            c->work[next_context(c, s, c->next[s * c->branch + i])] +=
                c->pi[s] / 2 * weight(c, s, i);
    for (int64_t s = 0; s < c->contexts; s++)
        sum += c->work[s];
    for (int64_t s = 0; s < c->contexts; s++) {
        double p = c->work[s] / sum;
        moved += fabs(p - c->pi[s]);
        c->pi[s] = p;
    }
    return moved;
}

static double find_entropy(struct chain *c)
{
    double h = 0, sum = 0;
    for (int64_t s = 0; s < c->contexts; s++)
        c->pi[s] = 1.0 / (double)c->contexts;
    for (int i = 0; i < ITERATIONS && lazy_step(c) > EPSILON * (double)c->contexts; i++)
        continue;
    for (int64_t s = 0; s < c->contexts; s++) {
        for (int i = 0; i < c->branch; i++) {
            double p = weight(c, s, i);
            h -= p > 0 ? c->pi[s] * p * log(p) : 0;
        }
        c->start[s] = sum += c->pi[s];
    }
    return h;
}

static double make_chain(struct chain *c, uint64_t seed, int domain)
{
    struct sy_rng r = stream_rng(seed, STREAM_CHAIN, (uint64_t)domain);
    for (int64_t s = 0; s < c->contexts; s++) {
        draw_successors(c, s, &r);
        draw_weights(c, s, &r);
    }
    return find_entropy(c);
}

static int64_t draw_context(const struct chain *c, double u)
{
    int64_t low = 0, high = c->contexts - 1;
    u *= c->start[high];
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (c->start[mid] > u)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static void write_document(const struct chain *c, const struct sy_rng *r, int32_t base,
                           int32_t *ids, int64_t n)
{
    int64_t context = draw_context(c, sy_rng_uniform(r, 0)), at = 0;
    if (c->order == 2)
        ids[at++] = base + (int32_t)(context / c->states);
    if (at < n)
        ids[at++] = base + (int32_t)(context % c->states);
    uint32_t word[4];
    for (uint64_t draw = 0; at < n; draw++) {
        if (draw % 4 == 0)
            sy_rng_block(r, 16 + draw / 4, word);
        const uint64_t *upto = c->upto + context * c->branch;
        int i = 0;
        while (upto[i] <= word[draw % 4])
            i++;
        int32_t symbol = c->next[context * c->branch + i];
        ids[at++] = base + symbol;
        context = next_context(c, context, symbol);
    }
}

static void free_chain(struct chain *c)
{
    sy_free(c->next);
    sy_free(c->upto);
    sy_free(c->pi);
    sy_free(c->work);
    sy_free(c->start);
    sy_free(c->deck);
}

static int alloc_chain(struct chain *c, struct sy_err *err)
{
    size_t n = (size_t)c->contexts, edges = n * (size_t)c->branch;
    c->next = sy_calloc(edges, sizeof *c->next);
    c->upto = sy_calloc(edges, sizeof *c->upto);
    c->pi = sy_calloc(n, sizeof *c->pi);
    c->work = sy_calloc(n, sizeof *c->work);
    c->start = sy_calloc(n, sizeof *c->start);
    c->deck = sy_calloc((size_t)c->states, sizeof *c->deck);
    if (c->next && c->upto && c->pi && c->work && c->start && c->deck)
        return 0;
    return sy_err_set(err, SY_E_MEMORY, "synthetic: out of memory for %zu transitions", edges);
}

static int out_of(struct sy_err *err, const char *name, int64_t value, int64_t low, int64_t high)
{
    if (value >= low && value <= high)
        return 0;
    return sy_err_set(err, SY_E_RANGE, "synthetic: %s is %lld, must be in %lld..%lld", name,
                      (long long)value, (long long)low, (long long)high);
}

static int check_options(struct sy_synthetic_options *o, struct sy_err *err)
{
    o->order = o->order ? o->order : 1;
    o->states = o->states ? o->states : 32;
    o->branch = o->branch ? o->branch : o->states < 4 ? o->states : 4;
    o->document = o->document ? o->document : 1024;
    return out_of(err, "domains", o->domains, 1, 4096) ||
                   out_of(err, "tokens", o->tokens, 1, (int64_t)1 << 40) ||
                   out_of(err, "order", o->order, 1, 2) ||
                   out_of(err, "states", o->states, 2, o->order == 1 ? 4096 : 256) ||
                   out_of(err, "branch", o->branch, 1, o->states) ||
                   out_of(err, "document", o->document, o->order, 1 << 30) ||
                   sy__check_val(o->val, err)
               ? -1
               : 0;
}

static int32_t domain_of(const struct sy_synthetic_options *o, int64_t document)
{
    struct sy_rng r = stream_rng(o->seed, STREAM_DOMAIN, 0);
    return (int32_t)sy_rng_below(&r, (uint64_t)document, (uint64_t)o->domains);
}

static int add_documents(struct sy_corpus *c, const struct sy_synthetic_options *o, int64_t docs,
                         struct sy_err *err)
{
    int32_t *ids = sy_calloc((size_t)o->document, sizeof *ids);
    if (!ids)
        return sy_err_set(err, SY_E_MEMORY, "synthetic: out of memory for a document");
    int rc = 0;
    for (int64_t d = 0; d < docs && !rc; d++) {
        int64_t left = o->tokens - d * o->document, n = left < o->document ? left : o->document;
        rc = sy__corpus_begin(c, -1, 0, domain_of(o, d), err) ||
             sy__corpus_append(c, ids, n, err); /* room; the chains write over it */
    }
    sy_free(ids);
    return rc ? -1 : 0;
}

static void put_ids(struct sy_corpus *c, int64_t at, const int32_t *ids, int64_t n)
{
    int64_t end = c->tokens;
    c->tokens = at;
    sy__corpus_append(c, ids, n, NULL); /* within what is there: cannot fail */
    c->tokens = end;
}

/* Chains are made one after another, so only one lies in memory. */
static int write_all(struct sy_corpus *c, const struct sy_synthetic_options *o, struct chain *chain,
                     struct sy_err *err)
{
    int32_t *ids = sy_calloc((size_t)o->document, sizeof *ids);
    if (!ids)
        return sy_err_set(err, SY_E_MEMORY, "synthetic: out of memory for a document");
    for (int d = 0; d < o->domains; d++) {
        c->entropy[d] = make_chain(chain, o->seed, d);
        for (int64_t i = 0; i < c->docs; i++) {
            if (c->doc[i].domain != d)
                continue;
            struct sy_rng r = stream_rng(o->seed, STREAM_TEXT, (uint64_t)i);
            int64_t first = c->doc[i].first;
            int64_t n = (i + 1 < c->docs ? c->doc[i + 1].first : c->tokens) - first;
            write_document(chain, &r, o->shared ? 0 : d * o->states, ids, n);
            put_ids(c, first, ids, n);
        }
    }
    sy_free(ids);
    return 0;
}

struct sy_corpus *sy_corpus_synthetic(const struct sy_synthetic_options *options,
                                      struct sy_err *err)
{
    struct sy_synthetic_options o = *options;
    if (check_options(&o, err))
        return NULL;
    struct chain chain = {.states = o.states, .branch = o.branch, .order = o.order};
    chain.contexts = o.order == 1 ? o.states : (int64_t)o.states * o.states;
    struct sy_corpus *c = sy__corpus_new(o.shared ? o.states : o.domains * o.states, NULL, err);
    if (!c)
        return NULL;
    c->domains = o.domains;
    c->entropy = sy_calloc((size_t)o.domains, sizeof *c->entropy);
    int rc = c->entropy ? 0 : sy_err_set(err, SY_E_MEMORY, "synthetic: out of memory");
    rc = rc || alloc_chain(&chain, err) ||
         add_documents(c, &o, (o.tokens + o.document - 1) / o.document, err) ||
         write_all(c, &o, &chain, err) || sy__corpus_finish(c, o.val, err);
    free_chain(&chain);
    if (rc) {
        sy_corpus_unref(c);
        return NULL;
    }
    c->hash = sy__corpus_id_hash(c);
    return c;
}
