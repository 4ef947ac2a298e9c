/* The sampler: windows of a corpus as a pure function of (seed, place, row) (data.h).
 *
 * Every row ever drawn has a number g, counted over the whole run: place.windows + row.
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
#include "data/objectives/objective_int.h"

/* Streams of SY_RNG_DATA, so that no use can see another's draws. */
enum stream {
    STREAM_TRAIN,
    STREAM_EVAL = 2,
    STREAM_ORDER,
    STREAM_SHIFT,
    STREAM_ROW, /* what is drawn for a row: step is the number of its window */
    STREAM_EVAL_ROW
};

#define ROUNDS 6

/* ---- where windows may begin ---- */

/* Rows of pairs are their windows: places are then numbers of rows, a window is one of them. */
static const struct sy__packing *rows_of(const struct sy_sampler *s)
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
        return sy__packing_rows(rows_of(s)) + 1;
    return s->split == SY_SPLIT_VAL ? s->corpus->tokens - s->corpus->train : s->corpus->train;
}

int64_t sy_sampler_window(const struct sy_sampler *s)
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

int sy_sampler_check(const struct sy_sampler *s, struct sy_err *err)
{
    if (s->batch < 1 || s->context < 1 || s->batch > INT32_MAX || s->context > INT32_MAX)
        return sy_err_set(err, SY_E_RANGE, "data: batch %lld and context %lld must be 1 or more",
                          (long long)s->batch, (long long)s->context);
    if (s->corpus->pairs.count)
        return check_pairs(s, err);
    if (sy_objectives_check(s->objectives, s->context, s->inputs, err))
        return -1;
    int64_t window = sy_sampler_window(s);
    if (span_tokens(s) < window + 1)
        return sy_err_set(err, SY_E_RANGE, "data: %lld %s tokens are fewer than %s %lld + 1",
                          (long long)span_tokens(s),
                          s->split == SY_SPLIT_VAL ? "validation" : "training",
                          window == s->context ? "context" : "a window of the objective's,",
                          (long long)window);
    return 0;
}

int64_t sy_sampler_windows(const struct sy_sampler *s)
{
    return (span_tokens(s) - 1) / sy_sampler_window(s);
}

static struct sy_rng stream_rng(const struct sy_sampler *s, enum stream which, uint64_t step)
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

/* Windows that SEQUENTIAL has left in the pass at hand, from the row place.first on. */
static uint64_t windows_ahead(const struct sy_sampler *s, const struct sy_place *p)
{
    int64_t left = span_tokens(s) - 1 - p->token;
    return p->token > 0 && left > 0 ? (uint64_t)(left / sy_sampler_window(s)) : 0;
}

static int64_t sequential_start(const struct sy_sampler *s, const struct sy_place *p, uint64_t a)
{
    uint64_t ahead = windows_ahead(s, p);
    if (a < ahead)
        return p->token + (int64_t)a * sy_sampler_window(s);
    return (int64_t)((a - ahead) % (uint64_t)sy_sampler_windows(s)) * sy_sampler_window(s);
}

static int64_t epoch_start(const struct sy_sampler *s, const struct sy_place *p, uint64_t a)
{
    uint64_t windows = (uint64_t)sy_sampler_windows(s), epoch = p->epochs + a / windows;
    struct sy_rng order = stream_rng(s, STREAM_ORDER, epoch),
                  shift = stream_rng(s, STREAM_SHIFT, epoch);
    int64_t length = sy_sampler_window(s), spare = span_tokens(s) - 1 - (int64_t)windows * length;
    int64_t offset = (int64_t)sy_rng_below(&shift, 0, (uint64_t)spare + 1);
    return offset + (int64_t)permute(&order, a % windows, windows) * length;
}

static int64_t random_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    struct sy_rng r = stream_rng(s, STREAM_TRAIN, (uint64_t)p->step);
    uint64_t index = p->windows + (uint64_t)row;
    if (p->step)
        index = (uint64_t)(row / s->batch) << 32 | (uint64_t)(row % s->batch);
    return (int64_t)sy_rng_below(&r, index, (uint64_t)(span_tokens(s) - sy_sampler_window(s)));
}

int64_t sy_sampler_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    uint64_t a = p->windows - p->first + (uint64_t)row;
    if (s->mode == SY_SAMPLE_RANDOM)
        return span_first(s) + random_start(s, p, row);
    return span_first(s) +
           (s->mode == SY_SAMPLE_EPOCH ? epoch_start(s, p, a) : sequential_start(s, p, a));
}

int64_t sy_place_epochs(const struct sy_sampler *s, const struct sy_place *p)
{
    bool within = s->mode == SY_SAMPLE_SEQUENTIAL && p->token > 0;
    uint64_t a = p->windows - p->first, ahead = within ? windows_ahead(s, p) : 0;
    uint64_t windows = (uint64_t)sy_sampler_windows(s);
    return (int64_t)(p->epochs + within + (a > ahead ? (a - ahead + windows - 1) / windows : 0));
}

void sy_place_turn(const struct sy_sampler *s, struct sy_place *p)
{
    uint64_t begun = (uint64_t)sy_place_epochs(s, p);
    if (s->mode == SY_SAMPLE_SEQUENTIAL && s->corpus->pairs.count)
        p->token = 0; /* other rows, and no place in them: a new pass */
    else if (s->mode == SY_SAMPLE_SEQUENTIAL && p->windows > p->first)
        p->token = sy_sampler_start(s, p, -1) - span_first(s) + sy_sampler_window(s);
    p->epochs = s->mode == SY_SAMPLE_SEQUENTIAL && p->token > 0 ? begun - 1 : begun;
    p->first = p->windows;
}

/* ---- rows ---- */

struct place_of_row {
    int64_t start;
    struct sy_rng rng;
};

static struct place_of_row train_row(const struct sy_sampler *s, const struct sy_place *p,
                                     int64_t row)
{
    return (struct place_of_row){sy_sampler_start(s, p, row),
                                 stream_rng(s, STREAM_ROW, p->windows + (uint64_t)row)};
}

static struct place_of_row eval_row(const struct sy_sampler *s, int64_t number)
{
    return (struct place_of_row){
        sy_eval_start(s, number),
        {0, SY_RNG_DATA + 256 * STREAM_EVAL_ROW, (uint64_t)number}};
}

/* Where row `row` of the batch's fields is. */
static void point_at(struct sy__row *r, const struct sy_batch *b, int64_t row)
{
    for (int f = 0; f < SY_FIELD_COUNT; f++) {
        int64_t n = sy_field_values((enum sy_field)f, r->context, r->inputs);
        r->at[f] = b->at[f] ? (char *)b->at[f] + row * n * SY_FIELD_BYTES : NULL;
    }
    r->scale = b->scale;
}

/* Into row `row` of b; NULL: it is only counted. */
static struct sy_tally write_row(const struct sy_sampler *s, struct place_of_row p,
                                 const struct sy_batch *b, int64_t row)
{
    struct sy__row r = {.corpus = s->corpus,
                        .start = p.start,
                        .rng = p.rng,
                        .context = s->context,
                        .inputs = s->inputs,
                        .blind = !b && !s->corpus->weights,
                        .counts = true};
    if (b)
        point_at(&r, b, row);
    if (s->corpus->pairs.count)
        sy__packing_write(rows_of(s), p.start, &r);
    else
        sy__objectives_lay(s->objectives, &r);
    sy__row_end(&r);
    return r.tally;
}

static void add_tally(struct sy_tally *sum, struct sy_tally t)
{
    sum->tokens += t.tokens;
    sum->targets += t.targets;
    sum->weight += t.weight;
}

void sy_sampler_batch(const struct sy_sampler *s, const struct sy_place *p, int64_t first,
                      const struct sy_batch *b)
{
    for (int64_t row = 0; row < s->batch; row++)
        write_row(s, train_row(s, p, first + row), b, row);
}

/* Every row is full and weighs the same. */
static bool is_even(const struct sy_sampler *s)
{
    return !s->corpus->weights && !s->corpus->pairs.count && sy_objectives_even(s->objectives);
}

static struct sy_tally even_tally(const struct sy_sampler *s, int64_t rows)
{
    int64_t n = rows * s->context;
    return (struct sy_tally){n, n, (double)n};
}

struct sy_tally sy_sampler_tally(const struct sy_sampler *s, const struct sy_place *p,
                                 int64_t first, int64_t rows)
{
    struct sy_tally sum = {0};
    if (is_even(s))
        return even_tally(s, rows);
    for (int64_t row = 0; row < rows; row++)
        add_tally(&sum, write_row(s, train_row(s, p, first + row), NULL, 0));
    return sum;
}

/* ---- evaluation ---- */

int64_t sy_eval_windows(const struct sy_sampler *s, int64_t batches)
{
    int64_t all = sy_sampler_windows(s);
    return batches < all / SY_EVAL_ROWS + 1 && batches * SY_EVAL_ROWS < all ? batches * SY_EVAL_ROWS
                                                                            : all;
}

int64_t sy_eval_start(const struct sy_sampler *s, int64_t number)
{
    struct sy_rng key = {0, SY_RNG_DATA + 256 * STREAM_EVAL, 0};
    uint64_t windows = (uint64_t)sy_sampler_windows(s);
    return span_first(s) + (int64_t)permute(&key, (uint64_t)number % windows, windows) *
                               sy_sampler_window(s);
}

void sy_eval_batch(const struct sy_sampler *s, int64_t first, int64_t end,
                   const struct sy_batch *b)
{
    int32_t *targets = b->at[SY_FIELD_TARGETS];
    for (int64_t row = 0; row < s->batch; row++) {
        bool counts = first + row < end;
        write_row(s, eval_row(s, counts ? first + row : first), b, row);
        for (int64_t i = 0; targets && !counts && i < s->context; i++)
            targets[row * s->context + i] = -1;
    }
}

struct sy_tally sy_eval_tally(const struct sy_sampler *s, int64_t first, int64_t end)
{
    struct sy_tally sum = {0};
    if (is_even(s))
        return even_tally(s, end - first);
    for (int64_t i = first; i < end; i++)
        add_tally(&sum, write_row(s, eval_row(s, i), NULL, 0));
    return sum;
}

double sy_tally_windows(const struct sy_tally *part, const struct sy_tally *whole, int64_t windows)
{
    return whole->targets ? (double)(part->targets * windows) / (double)whole->targets : 0;
}
