/* Where windows begin in one text, or in pairs (windows_int.h).
 *
 * RANDOM draws row g with Philox at index g.  EPOCH and SEQUENTIAL go by a = g - place.first, the
 * rows since the present context holds.  With W windows an epoch, EPOCH takes window p(a mod W) of
 * epoch a / W, where p is a permutation of 0..W-1 from a Feistel network over the next power of
 * four, walked until it falls below W (Black and Rogaway 2002, "Ciphers with arbitrary finite
 * domains", cycle walking).  The windows of an epoch are shifted by a random offset, so that the
 * tokens left over are not always the last ones and borders between windows move.
 *
 *     SEQUENTIAL   0 ....... token |--T--|--T--|--T--| . |   then from 0 over and over
 *                                   a=0                ^ fewer than T are left: the epoch ends
 *
 * A window of pairs is a row of them (pairs/packing.c): places are then numbers of rows.
 *
 * Evaluation takes the windows of its part in one such permutation with a key of its own. */
#include "data/windows_int.h"

#include "data/objectives/objective_int.h"

#define ROUNDS 6

const struct sy__packing *sy__window_rows(const struct sy_sampler *s)
{
    return s->corpus->pairs.count
               ? sy__packing_of(s->corpus, s->split, s->inputs, s->context, NULL)
               : NULL;
}

static int64_t span_first(const struct sy_sampler *s)
{
    return s->split == SY_SPLIT_VAL && !s->corpus->pairs.count ? s->corpus->train : 0;
}

/* A window reads one more than it is long: its last token's next. */
static int64_t span_tokens(const struct sy_sampler *s)
{
    if (s->corpus->pairs.count)
        return sy__packing_rows(sy__window_rows(s)) + 1;
    return s->split == SY_SPLIT_VAL ? s->corpus->tokens - s->corpus->train : s->corpus->train;
}

int64_t sy__window_length(const struct sy_sampler *s)
{
    return s->corpus->pairs.count ? 1
                                  : sy_objectives_window(s->objectives, s->context, s->inputs);
}

static int check_pairs(const struct sy_sampler *s, struct sy_err *err)
{
    if (s->objectives)
        return sy_err_set(err, SY_E_UNSUPPORTED,
                          "data: objective = \"%s\" is for text: pairs are shown as they are",
                          sy_objective_spec(sy_objectives_part(s->objectives, 0).objective)->name);
    return sy__packing_of(s->corpus, s->split, s->inputs, s->context, err) ? 0 : -1;
}

int sy__window_check(const struct sy_sampler *s, struct sy_err *err)
{
    if (s->corpus->pairs.count)
        return check_pairs(s, err);
    if (sy_objectives_check(s->objectives, s->context, s->inputs, err))
        return -1;
    int64_t window = sy__window_length(s);
    if (span_tokens(s) < window + 1)
        return sy_err_set(err, SY_E_RANGE, "data: %lld %s tokens are fewer than %s %lld + 1",
                          (long long)span_tokens(s),
                          s->split == SY_SPLIT_VAL ? "validation" : "training",
                          window == s->context ? "context" : "a window of the objective's,",
                          (long long)window);
    return 0;
}

int64_t sy__window_count(const struct sy_sampler *s)
{
    return (span_tokens(s) - 1) / sy__window_length(s);
}

/* One step of the network: a permutation of 0 .. 4^half - 1. */
static uint64_t feistel(const struct sy_rng *r, uint64_t x, int half)
{
    uint64_t mask = ((uint64_t)1 << half) - 1, left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t next = left ^ (sy_rng_u64(r, round << 32 | right) & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

static uint64_t permute(const struct sy_rng *r, uint64_t x, uint64_t n)
{
    int half = 1;
    while (half < 31 && (uint64_t)1 << 2 * half < n)
        half++;
    do
        x = feistel(r, x, half);
    while (x >= n);
    return x;
}

/* Windows that SEQUENTIAL has left in the pass at hand, from the row place.first on. */
static uint64_t windows_ahead(const struct sy_sampler *s, const struct sy_place *p)
{
    int64_t left = span_tokens(s) - 1 - p->token;
    return p->token > 0 && left > 0 ? (uint64_t)(left / sy__window_length(s)) : 0;
}

static int64_t sequential_start(const struct sy_sampler *s, const struct sy_place *p, uint64_t a)
{
    uint64_t ahead = windows_ahead(s, p);
    if (a < ahead)
        return p->token + (int64_t)a * sy__window_length(s);
    return (int64_t)((a - ahead) % (uint64_t)sy__window_count(s)) * sy__window_length(s);
}

static int64_t epoch_start(const struct sy_sampler *s, const struct sy_place *p, uint64_t a)
{
    uint64_t windows = (uint64_t)sy__window_count(s), epoch = p->epochs + a / windows;
    struct sy_rng order = sy__stream_rng(s, SY__STREAM_ORDER, epoch),
                  shift = sy__stream_rng(s, SY__STREAM_SHIFT, epoch);
    int64_t length = sy__window_length(s), spare = span_tokens(s) - 1 - (int64_t)windows * length;
    int64_t offset = (int64_t)sy_rng_below(&shift, 0, (uint64_t)spare + 1);
    return offset + (int64_t)permute(&order, a % windows, windows) * length;
}

static int64_t random_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    struct sy_rng r = sy__stream_rng(s, SY__STREAM_TRAIN, (uint64_t)p->step);
    uint64_t index = p->windows + (uint64_t)row;
    if (p->step)
        index = (uint64_t)(row / s->batch) << 32 | (uint64_t)(row % s->batch);
    return (int64_t)sy_rng_below(&r, index, (uint64_t)(span_tokens(s) - sy__window_length(s)));
}

int64_t sy__window_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    uint64_t a = p->windows - p->first + (uint64_t)row;
    if (s->mode == SY_SAMPLE_RANDOM)
        return span_first(s) + random_start(s, p, row);
    return span_first(s) +
           (s->mode == SY_SAMPLE_EPOCH ? epoch_start(s, p, a) : sequential_start(s, p, a));
}

int64_t sy__window_epochs(const struct sy_sampler *s, const struct sy_place *p)
{
    bool within = s->mode == SY_SAMPLE_SEQUENTIAL && p->token > 0;
    uint64_t a = p->windows - p->first, ahead = within ? windows_ahead(s, p) : 0;
    uint64_t windows = (uint64_t)sy__window_count(s);
    return (int64_t)(p->epochs + within + (a > ahead ? (a - ahead + windows - 1) / windows : 0));
}

void sy__window_turn(const struct sy_sampler *s, struct sy_place *p)
{
    uint64_t begun = (uint64_t)sy__window_epochs(s, p);
    if (s->mode == SY_SAMPLE_SEQUENTIAL && s->corpus->pairs.count)
        p->token = 0; /* other rows, and no place in them: a new pass */
    else if (s->mode == SY_SAMPLE_SEQUENTIAL && p->windows > p->first)
        p->token = sy__window_start(s, p, -1) - span_first(s) + sy__window_length(s);
    p->epochs = s->mode == SY_SAMPLE_SEQUENTIAL && p->token > 0 ? begun - 1 : begun;
    p->first = p->windows;
}

int64_t sy__window_eval(const struct sy_sampler *s, int64_t number)
{
    struct sy_rng key = {0, SY_RNG_DATA + 256 * SY__STREAM_EVAL, 0};
    uint64_t windows = (uint64_t)sy__window_count(s);
    return span_first(s) + (int64_t)permute(&key, (uint64_t)number % windows, windows) *
                               sy__window_length(s);
}
