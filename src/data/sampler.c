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
 * Row g of a mix is of the part that Philox draws at index g by the shares of now.  By EPOCH and
 * SEQUENTIAL a part counts the rows that were drawn of it and goes its own way (place.part).
 *
 * A window of pairs is a row of them (pairs/packing.c): places are then numbers of rows.
 *
 * Evaluation takes the windows of its part in one such permutation with a key of its own. */
#include "base/assert.h"
#include "data/objectives/objective_int.h"

/* Streams of SY_RNG_DATA, so that no use can see another's draws. */
enum stream {
    STREAM_TRAIN,
    STREAM_EVAL = 2,
    STREAM_ORDER,
    STREAM_SHIFT,
    STREAM_ROW, /* what is drawn for a row: step is the number of its window */
    STREAM_EVAL_ROW,
    STREAM_MIX /* which part of a mix a row is of */
};

#define ROUNDS 6

/* ---- one text, or pairs: where windows may begin ---- */

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

static int64_t window_of(const struct sy_sampler *s)
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

static int check_one(const struct sy_sampler *s, struct sy_err *err)
{
    if (s->corpus->pairs.count)
        return check_pairs(s, err);
    if (sy_objectives_check(s->objectives, s->context, s->inputs, err))
        return -1;
    int64_t window = window_of(s);
    if (span_tokens(s) < window + 1)
        return sy_err_set(err, SY_E_RANGE, "data: %lld %s tokens are fewer than %s %lld + 1",
                          (long long)span_tokens(s),
                          s->split == SY_SPLIT_VAL ? "validation" : "training",
                          window == s->context ? "context" : "a window of the objective's,",
                          (long long)window);
    return 0;
}

static int64_t windows_of(const struct sy_sampler *s)
{
    return (span_tokens(s) - 1) / window_of(s);
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
    return p->token > 0 && left > 0 ? (uint64_t)(left / window_of(s)) : 0;
}

static int64_t sequential_start(const struct sy_sampler *s, const struct sy_place *p, uint64_t a)
{
    uint64_t ahead = windows_ahead(s, p);
    if (a < ahead)
        return p->token + (int64_t)a * window_of(s);
    return (int64_t)((a - ahead) % (uint64_t)windows_of(s)) * window_of(s);
}

static int64_t epoch_start(const struct sy_sampler *s, const struct sy_place *p, uint64_t a)
{
    uint64_t windows = (uint64_t)windows_of(s), epoch = p->epochs + a / windows;
    struct sy_rng order = stream_rng(s, STREAM_ORDER, epoch),
                  shift = stream_rng(s, STREAM_SHIFT, epoch);
    int64_t length = window_of(s), spare = span_tokens(s) - 1 - (int64_t)windows * length;
    int64_t offset = (int64_t)sy_rng_below(&shift, 0, (uint64_t)spare + 1);
    return offset + (int64_t)permute(&order, a % windows, windows) * length;
}

static int64_t random_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    struct sy_rng r = stream_rng(s, STREAM_TRAIN, (uint64_t)p->step);
    uint64_t index = p->windows + (uint64_t)row;
    if (p->step)
        index = (uint64_t)(row / s->batch) << 32 | (uint64_t)(row % s->batch);
    return (int64_t)sy_rng_below(&r, index, (uint64_t)(span_tokens(s) - window_of(s)));
}

static int64_t start_of(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    uint64_t a = p->windows - p->first + (uint64_t)row;
    if (s->mode == SY_SAMPLE_RANDOM)
        return span_first(s) + random_start(s, p, row);
    return span_first(s) +
           (s->mode == SY_SAMPLE_EPOCH ? epoch_start(s, p, a) : sequential_start(s, p, a));
}

static int64_t epochs_of(const struct sy_sampler *s, const struct sy_place *p)
{
    bool within = s->mode == SY_SAMPLE_SEQUENTIAL && p->token > 0;
    uint64_t a = p->windows - p->first, ahead = within ? windows_ahead(s, p) : 0;
    uint64_t windows = (uint64_t)windows_of(s);
    return (int64_t)(p->epochs + within + (a > ahead ? (a - ahead + windows - 1) / windows : 0));
}

static void turn_one(const struct sy_sampler *s, struct sy_place *p)
{
    uint64_t begun = (uint64_t)epochs_of(s, p);
    if (s->mode == SY_SAMPLE_SEQUENTIAL && s->corpus->pairs.count)
        p->token = 0; /* other rows, and no place in them: a new pass */
    else if (s->mode == SY_SAMPLE_SEQUENTIAL && p->windows > p->first)
        p->token = start_of(s, p, -1) - span_first(s) + window_of(s);
    p->epochs = s->mode == SY_SAMPLE_SEQUENTIAL && p->token > 0 ? begun - 1 : begun;
    p->first = p->windows;
}

static int64_t eval_start_of(const struct sy_sampler *s, int64_t number)
{
    struct sy_rng key = {0, SY_RNG_DATA + 256 * STREAM_EVAL, 0};
    uint64_t windows = (uint64_t)windows_of(s);
    return span_first(s) + (int64_t)permute(&key, (uint64_t)number % windows, windows) *
                               window_of(s);
}

/* ---- mixes ---- */

static struct sy_sampler part_of(const struct sy_sampler *s, int i)
{
    struct sy_sampler part = *s;
    part.corpus = s->corpus->mix.part[i].corpus;
    if (part.corpus->pairs.count)
        part.objectives = NULL;
    return part;
}

static int parts_of(const struct sy_sampler *s)
{
    return s->corpus->mix.n;
}

/* Of row g, counted over the whole run. */
static int draw_part(const struct sy_sampler *s, uint64_t g)
{
    const struct sy_rng r = stream_rng(s, STREAM_MIX, 0);
    double u = sy_rng_uniform(&r, g), upto = 0;
    int last = 0; /* that is drawn at all: sums may end below 1 */
    for (int i = 0; i < parts_of(s); i++) {
        double share = s->share ? s->share[i] : s->corpus->mix.part[i].share;
        last = share > 0 ? i : last;
        upto += share;
        if (u < upto)
            return i;
    }
    return last;
}

static struct sy_place place_of_part(const struct sy_place *p, int i)
{
    const struct sy_place_part *of = &p->part[i];
    return (struct sy_place){.windows = of->windows, .first = of->first, .epochs = of->epochs,
                             .token = of->token};
}

struct drawn { /* a row of one text, or of pairs */
    struct sy_sampler s;
    int64_t start;
    int part; /* -1: not of a mix */
    struct sy_rng rng;
};

/* Rows before row `row` from the place that are of part i. */
static int64_t rows_before(const struct sy_sampler *s, const struct sy_place *p, int64_t row, int i)
{
    int64_t n = 0;
    for (int64_t r = 0; r < row; r++)
        n += draw_part(s, p->windows + (uint64_t)r) == i;
    return n;
}

static struct drawn train_row(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    struct drawn d = {.s = *s, .part = -1,
                      .rng = stream_rng(s, STREAM_ROW, p->windows + (uint64_t)row)};
    if (parts_of(s)) {
        d.part = draw_part(s, p->windows + (uint64_t)row);
        d.s = part_of(s, d.part);
    }
    if (d.part < 0 || s->mode == SY_SAMPLE_RANDOM) {
        d.start = start_of(&d.s, p, row);
    } else {
        struct sy_place own = place_of_part(p, d.part);
        d.start = start_of(&d.s, &own, rows_before(s, p, row, d.part));
    }
    return d;
}

void sy_place_advance(const struct sy_sampler *s, struct sy_place *p, uint64_t rows)
{
    for (uint64_t r = 0; parts_of(s) && s->mode != SY_SAMPLE_RANDOM && r < rows; r++)
        p->part[draw_part(s, p->windows + r)].windows++;
    p->windows += rows;
}

void sy_place_turn(const struct sy_sampler *s, struct sy_place *p)
{
    if (!parts_of(s)) {
        turn_one(s, p);
        return;
    }
    for (int i = 0; i < parts_of(s); i++) {
        struct sy_sampler part = part_of(s, i);
        struct sy_place own = place_of_part(p, i);
        turn_one(&part, &own);
        p->part[i] = (struct sy_place_part){own.windows, own.first, own.epochs, own.token};
    }
    p->first = p->windows;
}

int64_t sy_place_epochs(const struct sy_sampler *s, const struct sy_place *p)
{
    int64_t most = 0;
    if (!parts_of(s))
        return epochs_of(s, p);
    for (int i = 0; i < parts_of(s); i++) {
        struct sy_sampler part = part_of(s, i);
        struct sy_place own = place_of_part(p, i);
        int64_t epochs = epochs_of(&part, &own);
        most = epochs > most ? epochs : most;
    }
    return most;
}

/* Training needs all parts, an evaluation one. */
static int check_mix(const struct sy_sampler *s, struct sy_err *err)
{
    struct sy_err first = SY_ERR_INIT;
    int fit = 0;
    for (int i = 0; i < parts_of(s); i++) {
        struct sy_sampler part = part_of(s, i);
        struct sy_err why = SY_ERR_INIT;
        if (!check_one(&part, &why))
            fit++;
        else
            sy_err_set(&first, why.code, "data.mix: '%s': %s",
                       s->corpus->source[s->corpus->mix.part[i].source], why.msg);
    }
    if (fit == parts_of(s) || (fit && s->split == SY_SPLIT_VAL))
        return 0;
    return sy_err_set(err, first.code, "%s", first.msg);
}

int sy_sampler_check(const struct sy_sampler *s, struct sy_err *err)
{
    if (s->batch < 1 || s->context < 1 || s->batch > INT32_MAX || s->context > INT32_MAX)
        return sy_err_set(err, SY_E_RANGE, "data: batch %lld and context %lld must be 1 or more",
                          (long long)s->batch, (long long)s->context);
    return parts_of(s) ? check_mix(s, err) : check_one(s, err);
}

/* Windows of a part; 0: it has none in this split. */
static int64_t windows_of_part(const struct sy_sampler *s, int i)
{
    struct sy_sampler part = part_of(s, i);
    return check_one(&part, NULL) ? 0 : windows_of(&part);
}

int64_t sy_sampler_windows(const struct sy_sampler *s)
{
    int64_t sum = 0;
    for (int i = 0; i < parts_of(s); i++)
        sum += windows_of_part(s, i);
    return parts_of(s) ? sum : windows_of(s);
}

int64_t sy_sampler_window(const struct sy_sampler *s)
{
    if (!parts_of(s))
        return window_of(s);
    struct sy_sampler part = part_of(s, 0);
    return window_of(&part);
}

/* The token of the corpus at which a row begins. */
static int64_t token_of(const struct sy_sampler *s, const struct drawn *d)
{
    const struct sy_corpus *c = d->s.corpus;
    int64_t token = c->pairs.count ? sy__packing_first(rows_of(&d->s), c, d->start) : d->start;
    return d->part < 0 ? token : s->corpus->mix.part[d->part].token + token;
}

int64_t sy_sampler_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    const struct drawn d = train_row(s, p, row);
    return token_of(s, &d);
}

/* Window `number` of a mix is of its parts in turn, as long as each has one: which, and the number
 * among its own. */
static int part_in_turn(const struct sy_sampler *s, int64_t number, int64_t *own)
{
    int64_t level = 0, windows[SY_MIX_MOST];
    for (int i = 0; i < parts_of(s); i++)
        windows[i] = windows_of_part(s, i);
    for (;;) {
        int left[SY_MIX_MOST], n = 0;
        int64_t next = INT64_MAX;
        for (int i = 0; i < parts_of(s); i++)
            if (windows[i] > level) {
                left[n++] = i;
                next = windows[i] < next ? windows[i] : next;
            }
        SY_ASSERT(n);
        if (number < (next - level) * n) {
            *own = level + number / n;
            return left[number % n];
        }
        number -= (next - level) * n;
        level = next;
    }
}

static struct drawn eval_row(const struct sy_sampler *s, int64_t number)
{
    struct drawn d = {.s = *s, .part = -1,
                      .rng = {0, SY_RNG_DATA + 256 * STREAM_EVAL_ROW, (uint64_t)number}};
    if (parts_of(s)) {
        int64_t windows = sy_sampler_windows(s);
        d.part = part_in_turn(s, number % windows, &number);
        d.s = part_of(s, d.part);
    }
    d.start = eval_start_of(&d.s, number);
    return d;
}

int64_t sy_eval_start(const struct sy_sampler *s, int64_t number)
{
    const struct drawn d = eval_row(s, number);
    return token_of(s, &d);
}

/* ---- rows ---- */

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
static struct sy_tally write_row(const struct sy_sampler *mix, struct drawn d,
                                 const struct sy_batch *b, int64_t row)
{
    const struct sy_sampler *s = &d.s;
    struct sy__row r = {.corpus = s->corpus,
                        .start = d.start,
                        .rng = d.rng,
                        .context = s->context,
                        .inputs = s->inputs,
                        .blind = !b && !s->corpus->weights,
                        .source = d.part < 0 ? 0 : mix->corpus->mix.part[d.part].source,
                        .counts = true};
    if (b)
        point_at(&r, b, row);
    if (s->corpus->pairs.count)
        sy__packing_write(rows_of(s), d.start, &r);
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
    for (int i = 0; i < parts_of(s); i++) {
        const struct sy_corpus *c = s->corpus->mix.part[i].corpus;
        if (c->weights || c->pairs.count)
            return false;
    }
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
