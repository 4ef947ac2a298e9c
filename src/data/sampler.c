/* The sampler: batches as a pure function of (seed, step, micro-batch, row) (data.h).
 *
 * RANDOM draws row r of micro-batch m of step s with Philox at index m << 32 | r, so a row keeps
 * its window when the batch grows.  EPOCH numbers all rows ever drawn, g = (s*accumulate + m)*B +
 * r; with W windows an epoch, row g takes window p(g mod W) of epoch g / W, where p is a
 * permutation of 0..W-1 from a Feistel network over the next power of four, walked until it falls
 * below W (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking).  The
 * windows of an epoch are shifted by a random offset, so that the tokens left over are not always
 * the last ones and borders between windows move. */
#include "base/rng.h"
#include "data/corpus_int.h"

/* Streams of SY_RNG_DATA, so that no use can see another's draws. */
enum stream { STREAM_TRAIN, STREAM_EVAL_TRAIN, STREAM_EVAL_VAL, STREAM_ORDER, STREAM_SHIFT };

#define ROUNDS 6

static int64_t span_first(const struct sy_sampler *s)
{
    return s->split == SY_SPLIT_VAL ? s->corpus->train : 0;
}

static int64_t span_tokens(const struct sy_sampler *s)
{
    return s->split == SY_SPLIT_VAL ? s->corpus->tokens - s->corpus->train : s->corpus->train;
}

int sy_sampler_check(const struct sy_sampler *s, struct sy_err *err)
{
    if (s->batch < 1 || s->context < 1 || s->batch > INT32_MAX || s->context > INT32_MAX)
        return sy_err_set(err, SY_E_RANGE, "data: batch %lld and context %lld must be 1 or more",
                          (long long)s->batch, (long long)s->context);
    if (s->accumulate < 0 || s->accumulate > INT32_MAX)
        return sy_err_set(err, SY_E_RANGE, "data: accumulate %lld must be 1 or more",
                          (long long)s->accumulate);
    if (span_tokens(s) < s->context + 1)
        return sy_err_set(err, SY_E_RANGE,
                          "data: %lld %stokens are fewer than batch context %lld + 1",
                          (long long)span_tokens(s), s->split == SY_SPLIT_VAL ? "validation " : "",
                          (long long)s->context);
    return 0;
}

int64_t sy_sampler_windows(const struct sy_sampler *s)
{
    return (span_tokens(s) - 1) / s->context;
}

static struct sy_rng stream(const struct sy_sampler *s, enum stream which, uint64_t step)
{
    return (struct sy_rng){s->seed, SY_RNG_DATA + 256 * (uint32_t)which, step};
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

/* First token of the window that row number g of all takes. */
static int64_t ordered_start(const struct sy_sampler *s, uint64_t g)
{
    uint64_t windows = (uint64_t)sy_sampler_windows(s), epoch = g / windows, at = g % windows;
    if (s->mode == SY_SAMPLE_SEQUENTIAL)
        return span_first(s) + (int64_t)at * s->context;
    struct sy_rng order = stream(s, STREAM_ORDER, epoch), shift = stream(s, STREAM_SHIFT, epoch);
    int64_t spare = span_tokens(s) - 1 - (int64_t)windows * s->context;
    int64_t offset = (int64_t)sy_rng_below(&shift, 0, (uint64_t)spare + 1);
    return span_first(s) + offset + (int64_t)permute(&order, at, windows) * s->context;
}

static int64_t random_start(const struct sy_sampler *s, enum stream which, uint64_t step,
                            int64_t micro, int64_t row)
{
    struct sy_rng r = stream(s, which, step);
    uint64_t index = (uint64_t)micro << 32 | (uint64_t)row;
    return span_first(s) +
           (int64_t)sy_rng_below(&r, index, (uint64_t)(span_tokens(s) - s->context));
}

int64_t sy_sampler_start(const struct sy_sampler *s, uint64_t step, int64_t micro, int64_t row)
{
    uint64_t accumulate = s->accumulate ? (uint64_t)s->accumulate : 1;
    if (s->mode == SY_SAMPLE_RANDOM)
        return random_start(s, STREAM_TRAIN, step, micro, row);
    uint64_t g = (step * accumulate + (uint64_t)micro) * (uint64_t)s->batch + (uint64_t)row;
    return ordered_start(s, g);
}

static void fill_documents(const struct sy_corpus *c, int64_t start, int64_t n, int32_t *out)
{
    int64_t d = sy_corpus_document_at(c, start);
    for (int64_t i = 0; i < n; i++) {
        while (d + 1 < c->docs && c->doc[d + 1].first <= start + i)
            d++;
        out[i] = (int32_t)d;
    }
}

static void fill_row(const struct sy_sampler *s, int64_t start, int64_t row, int32_t *inputs,
                     int32_t *targets, int32_t *documents)
{
    int64_t n = s->context, at = row * n;
    sy__corpus_copy(s->corpus, start, n, inputs + at);
    sy__corpus_copy(s->corpus, start + 1, n, targets + at);
    if (documents)
        fill_documents(s->corpus, start, n, documents + at);
}

void sy_sampler_batch(const struct sy_sampler *s, uint64_t step, int64_t micro, int32_t *inputs,
                      int32_t *targets, int32_t *documents)
{
    for (int64_t row = 0; row < s->batch; row++)
        fill_row(s, sy_sampler_start(s, step, micro, row), row, inputs, targets, documents);
}

void sy_sampler_eval(const struct sy_sampler *s, int64_t index, int32_t *inputs, int32_t *targets,
                     int32_t *documents)
{
    enum stream which = s->split == SY_SPLIT_VAL ? STREAM_EVAL_VAL : STREAM_EVAL_TRAIN;
    for (int64_t row = 0; row < s->batch; row++) {
        int64_t start =
            s->mode == SY_SAMPLE_RANDOM
                ? random_start(s, which, (uint64_t)index, 0, row)
                : ordered_start(s, (uint64_t)index * (uint64_t)s->batch + (uint64_t)row);
        fill_row(s, start, row, inputs, targets, documents);
    }
}
