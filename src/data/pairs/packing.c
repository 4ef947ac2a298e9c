/* Packing pairs into rows (pairs_int.h).
 *
 *  1. The pairs of a part are taken in a shuffled order that depends on how many there are alone.
 *     Each goes into the fullest of at most OPEN open rows in which it has room on both sides;
 *     where there is none a row is opened, and when OPEN are open the fullest is closed.  So every
 *     pair that fits is in one row, and about 2% of the longer side is left free.
 *  2. A packing is a function of (corpus, part, S, T).  The corpus keeps those that were asked for,
 *     in a list that only grows: readers need no lock. */
#include "base/mem.h"
#include "base/rng.h"
#include "data/pairs/pair_list_int.h"
#include "data/row_int.h"

#include <string.h>

#define OPEN 64
#define STREAM_PACKING 64 /* of SY_RNG_DATA: none of the sampler's */

/* ---- what a pair takes ---- */

struct room { /* positions on both sides */
    int64_t in, out;
};

/* In a row of its own it is as long as this: without an encoder both are one sequence, whose last
 * token has no next. */
static struct room needs(const struct sy_pair *p, int64_t inputs)
{
    return inputs ? (struct room){p->input, p->target}
                  : (struct room){0, (int64_t)p->input + p->target - 1};
}

/* What it takes when it is cut to the row; false: it is left out. */
static bool takes(const struct sy__packing *k, const struct sy_pair *p, bool cut,
                  struct room *room)
{
    *room = needs(p, k->inputs);
    bool fits = room->in <= k->inputs && room->out <= k->context;
    if (!fits && (!cut || (!k->inputs && p->input > k->context)))
        return false;
    room->in = room->in < k->inputs ? room->in : k->inputs;
    room->out = room->out < k->context ? room->out : k->context;
    return true;
}

/* ---- packing ---- */

struct packer {
    struct sy__packing *k;
    const struct sy__pairs *pairs;
    int64_t first, count; /* of the part's pairs */
    int32_t *order;       /* owned: shuffled numbers, from `first` on */
    int64_t *row;         /* owned: of each of order; -1: left out */
    struct room left[OPEN];
    int64_t open[OPEN]; /* rows */
    int n_open;
};

static void shuffle(int32_t *order, int64_t n)
{
    const struct sy_rng r = {0, SY_RNG_DATA + 256 * STREAM_PACKING, 0};
    for (int64_t i = 0; i < n; i++)
        order[i] = (int32_t)i;
    for (int64_t i = n; i > 1; i--) {
        int64_t j = (int64_t)sy_rng_below(&r, (uint64_t)i, (uint64_t)i);
        int32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

static int64_t free_in(const struct packer *p, int i)
{
    return p->left[i].in + p->left[i].out;
}

/* The fullest open row with so much room; -1: there is none.  Room of nothing: any. */
static int fullest(const struct packer *p, struct room need)
{
    int best = -1;
    for (int i = 0; i < p->n_open; i++)
        if (p->left[i].in >= need.in && p->left[i].out >= need.out &&
            (best < 0 || free_in(p, i) < free_in(p, best)))
            best = i;
    return best;
}

static int64_t place_pair(struct packer *p, struct room need)
{
    int i = fullest(p, need);
    if (i < 0) {
        i = p->n_open < OPEN ? p->n_open++ : fullest(p, (struct room){0, 0});
        p->open[i] = p->k->sum.rows++;
        p->left[i] = (struct room){p->k->inputs, p->k->context};
    }
    p->left[i].in -= need.in;
    p->left[i].out -= need.out;
    return p->open[i];
}

static void place_all(struct packer *p)
{
    struct sy_packing *sum = &p->k->sum;
    for (int64_t i = 0; i < p->count; i++) {
        const struct sy_pair *pair = &p->pairs->pair[p->first + p->order[i]];
        struct room need, whole = needs(pair, p->k->inputs);
        bool in = takes(p->k, pair, p->pairs->cut, &need);
        p->row[i] = in ? place_pair(p, need) : -1;
        sum->pairs += in;
        sum->left += !in;
        if (in) {
            sum->cut += need.in < whole.in || need.out < whole.out;
            sum->input_tokens += need.in;
            sum->target_tokens += need.out;
        }
    }
}

/* Rows from the row of each pair. */
static int sort_rows(struct packer *p, struct sy_err *err)
{
    struct sy__packing *k = p->k;
    k->start = sy_calloc((size_t)k->sum.rows + 2, sizeof *k->start);
    k->pair = sy_calloc((size_t)k->sum.pairs + 1, sizeof *k->pair);
    if (!k->start || !k->pair)
        return sy__no_pair_memory(err);
    for (int64_t i = 0; i < p->count; i++) /* start[row + 2] counts, start[row + 1] is then where */
        if (p->row[i] >= 0)
            k->start[p->row[i] + 2]++;
    for (int64_t r = 2; r < k->sum.rows + 2; r++)
        k->start[r] += k->start[r - 1];
    for (int64_t i = 0; i < p->count; i++)
        if (p->row[i] >= 0)
            k->pair[k->start[p->row[i] + 1]++] = (int32_t)(p->first + p->order[i]);
    return 0;
}

static int fail_longer(const struct sy__packing *k, struct sy_err *err)
{
    const char *part = k->split == SY_SPLIT_VAL ? "validation" : "training";
    if (!k->sum.left)
        return sy_err_set(err, SY_E_RANGE, "data: there are no %s pairs", part);
    if (!k->inputs)
        return sy_err_set(err, SY_E_RANGE,
                          "data: all %lld %s pairs are longer than context %lld, input and target "
                          "together",
                          (long long)k->sum.left, part, (long long)k->context);
    return sy_err_set(err, SY_E_RANGE,
                      "data: all %lld %s pairs are longer than input_context %lld or context %lld",
                      (long long)k->sum.left, part, (long long)k->inputs, (long long)k->context);
}

static int pack(struct packer *p, struct sy_err *err)
{
    p->order = sy_calloc((size_t)p->count + 1, sizeof *p->order);
    p->row = sy_calloc((size_t)p->count + 1, sizeof *p->row);
    if (!p->order || !p->row)
        return sy__no_pair_memory(err);
    shuffle(p->order, p->count);
    place_all(p);
    return sort_rows(p, err);
}

static struct sy__packing *make_rows(const struct sy__pairs *pairs, enum sy_split split,
                                     int64_t inputs, int64_t context, struct sy_err *err)
{
    bool val = split == SY_SPLIT_VAL;
    struct packer p = {.k = sy_calloc(1, sizeof *p.k), .pairs = pairs,
                       .first = val ? pairs->train : 0,
                       .count = val ? pairs->count - pairs->train : pairs->train};
    if (!p.k) {
        sy__no_pair_memory(err);
        return NULL;
    }
    p.k->split = split;
    p.k->inputs = inputs;
    p.k->context = context;
    int rc = pack(&p, err);
    sy_free(p.order);
    sy_free(p.row);
    if (!rc)
        return p.k;
    sy__packing_free(p.k);
    return NULL;
}

/* Made when it is first asked for; it may have no rows. */
static const struct sy__packing *find_or_make(struct sy__pairs *pairs, enum sy_split split,
                                              int64_t inputs, int64_t context, struct sy_err *err)
{
    struct sy__packing *head = atomic_load_explicit(&pairs->packings, memory_order_acquire);
    for (const struct sy__packing *p = head; p; p = p->next)
        if (p->split == split && p->inputs == inputs && p->context == context)
            return p;
    struct sy__packing *made = make_rows(pairs, split, inputs, context, err);
    if (!made)
        return NULL;
    do /* another thread may have made the same: both stay */
        made->next = head;
    while (!atomic_compare_exchange_weak_explicit(&pairs->packings, &head, made,
                                                  memory_order_release, memory_order_acquire));
    return made;
}

const struct sy__packing *sy__packing_of(const struct sy_corpus *c, enum sy_split split,
                                         int64_t inputs, int64_t context, struct sy_err *err)
{
    struct sy__pairs *pairs = (struct sy__pairs *)(uintptr_t)&c->pairs; /* no value of it changes */
    const struct sy__packing *p = find_or_make(pairs, split, inputs, context, err);
    if (!p || p->sum.rows)
        return p;
    fail_longer(p, err);
    return NULL;
}

int sy_corpus_packing(const struct sy_corpus *c, enum sy_split split, int64_t inputs,
                      int64_t context, struct sy_packing *out, struct sy_err *err)
{
    const struct sy__packing *p = sy__packing_of(c, split, inputs, context, err);
    if (!p)
        return -1;
    *out = p->sum;
    return 0;
}

int64_t sy__packing_rows(const struct sy__packing *p)
{
    return p->sum.rows;
}

int64_t sy__packing_first(const struct sy__packing *p, const struct sy_corpus *c, int64_t number)
{
    return c->pairs.pair[p->pair[p->start[number]]].first;
}

/* ---- rows ---- */

static void write_pair(struct sy__row *r, const struct sy__packing *k, const struct sy_pair *p)
{
    const struct sy__pairs *pairs = &r->corpus->pairs;
    int64_t target = p->first + p->input;
    if (k->inputs) {
        sy__row_text(r, SY__INPUT, p->first, p->input);
        sy__row_answer(r, pairs->start, target, p->target);
    } else {
        sy__row_prompt(r, p->first, p->input - 1);
        sy__row_answer(r, sy__corpus_id(r->corpus, target - 1), target, p->target);
    }
}

void sy__packing_write(const struct sy__packing *k, int64_t number, struct sy__row *r)
{
    const struct sy__pairs *pairs = &r->corpus->pairs;
    int32_t source = r->source; /* of the corpus, among those of a mix */
    r->start = 0;
    r->pad = pairs->start;
    r->documents = false;
    sy__row_prefix(r, 0);
    sy__row_objective(r, 0);
    for (int64_t i = k->start[number]; i < k->start[number + 1]; i++) {
        const struct sy_pair *p = &pairs->pair[k->pair[i]];
        r->document = (int32_t)(i - k->start[number]);
        r->source = source + p->source;
        write_pair(r, k, p);
    }
}
