/* Span corruption: some spans of the text are left out, each with a sentinel in its place, and are
 * to be told one after the other.
 *
 *     text      keep1 noise1 keep2 noise2 ... keepn noisen
 *     inputs    keep1 S0 keep2 S1 ... keepn S(n-1) EOS
 *     targets   S0 noise1 S1 noise2 ... S(n-1) noisen EOS
 *
 * An encoder reads inputs, and the decoder writes targets, beginning from padding.  A model of one
 * stack reads both in one row; only the targets count, and `prefix` is the length of the inputs.
 * There tokens have the numbers of their documents, a sentinel that of what it stands for; what an
 * encoder reads is one document.
 *
 * Of L tokens round(L density) are noise, in round(noise / mean) spans; noise and kept tokens are
 * cut into so many parts, none empty, all compositions being equally likely.
 *
 * Source: Raffel et al. 2020, "Exploring the limits of transfer learning", 3.1.4;
 * random_spans_helper and random_spans_noise_mask of text-to-text-transfer-transformer.  Rounding
 * is that of Python, to the even one. */
#include "data/objectives/objective_int.h"

#include <math.h>

enum { DENSITY, MEAN };

/* ---- lengths ---- */

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct counts {
    int64_t noise, kept, spans;
};

static struct counts counts_of(const double *option, int64_t raw)
{
    int64_t noise = most(least((int64_t)rint((double)raw * option[DENSITY]), raw - 1), 1);
    int64_t spans = most((int64_t)rint((double)noise / option[MEAN]), 1);
    return (struct counts){noise, raw - noise, least(spans, least(noise, raw - noise))};
}

static struct sy_span_lengths lengths_of(const double *option, int64_t raw)
{
    struct counts c = counts_of(option, raw);
    return (struct sy_span_lengths){raw, c.kept + c.spans + 1, c.noise + c.spans + 1};
}

/* S tokens of input and T of output; S 0: both in one row of T + 1, the last of which is a target
 * alone. */
static bool is_room(struct sy_span_lengths n, int64_t T, int64_t S)
{
    return S ? n.inputs <= S && n.targets <= T : n.inputs + n.targets <= T + 1;
}

/* The longest window that there is room for, 0: none.  No length falls as the window grows. */
static struct sy_span_lengths longest(const double *option, int64_t T, int64_t S)
{
    int64_t low = 1, high = S ? S + T : T + 1;
    while (low < high) {
        int64_t mid = low + (high - low + 1) / 2;
        if (is_room(lengths_of(option, mid), T, S))
            low = mid;
        else
            high = mid - 1;
    }
    return low < 2 ? (struct sy_span_lengths){0} : lengths_of(option, low);
}

struct sy_span_lengths sy_span_lengths(double density, double mean, int64_t inputs)
{
    const double option[SY_OBJECTIVE_OPTIONS] = {density, mean};
    return longest(option, inputs * 16, inputs); /* a density of 0.9 makes ten times as many */
}

/* ---- drawing ---- */

/* A composition of `items` into `parts`, part by part: of the items - 1 places between two items
 * parts - 1 are chosen, all such choices being equally likely (Knuth, 3.4.2, algorithm S). */
struct composition {
    const struct sy_rng *rng;
    uint64_t index; /* of the next draw */
    int64_t items, parts;
};

static int64_t next_part(struct composition *c)
{
    int64_t n = 1;
    c->items--;
    if (--c->parts == 0) {
        n += c->items;
        c->items = 0;
        return n;
    }
    while ((int64_t)sy_rng_below(c->rng, c->index++, (uint64_t)c->items) >= c->parts) {
        n++;
        c->items--;
    }
    return n;
}

/* ---- the row ---- */

/* As many tokens as one of the two texts has. */
static void count_side(struct sy__row *r, enum sy__side side, int64_t text, int64_t specials)
{
    sy__row_text(r, side, 0, text);
    while (specials-- > 0)
        sy__row_id(r, side, r->pad);
}

/* One of the two texts: kept tokens with a sentinel behind each of their parts, or sentinels with
 * the noise behind each. */
static void write_side(const struct sy__part *p, struct sy__row *r, enum sy__side side, bool noise)
{
    struct counts c = counts_of(p->option, longest(p->option, r->context, r->inputs).raw);
    if (r->blind) {
        count_side(r, side, noise ? c.noise : c.kept, c.spans + 1);
        return;
    }
    struct composition kept = {&r->rng, 0, c.kept, c.spans},
                       gone = {&r->rng, (uint64_t)1 << 32, c.noise, c.spans};
    int64_t at = 0;
    for (int64_t i = 0; i < c.spans; i++) {
        int64_t keep = next_part(&kept), lost = next_part(&gone);
        if (!noise)
            sy__row_text(r, side, at, keep);
        if (r->documents)
            sy__row_documents(r, at + keep);
        sy__row_id(r, side, p->ids->sentinel[i]);
        if (noise)
            sy__row_text(r, side, at + keep, lost);
        at += keep + lost;
    }
    sy__row_id(r, side, p->ids->eot);
}

static void lay_span(const struct sy__part *p, struct sy__row *r)
{
    if (r->inputs) {
        write_side(p, r, SY__INPUT, false);
        sy__row_id(r, SY__OUTPUT, r->pad); /* what a decoder begins with */
        write_side(p, r, SY__OUTPUT, true);
        return;
    }
    sy__row_documents(r, 0);
    r->counts = false;
    write_side(p, r, SY__OUTPUT, false);
    sy__row_prefix(r, (int32_t)r->out);
    r->counts = true;
    write_side(p, r, SY__OUTPUT, true);
}

/* ---- what it needs ---- */

static const char *lacks_sentinels(const struct sy__specials *ids)
{
    return ids->sentinels && ids->eot >= 0 ? NULL
           : "objective 'span': the tokenizer has no sentinels <extra_id_0>, <extra_id_1> ... or "
             "no end-of-text: make it with tokenizer.bytes{sentinels = 100} or "
             "tokenizer.train_bpe(path, {vocab =, sentinels = 100})";
}

static int check_span(const struct sy__part *p, int64_t T, int64_t S, struct sy_err *err)
{
    struct sy_span_lengths n = longest(p->option, T, S);
    if (!n.raw)
        return sy_err_set(err, SY_E_RANGE,
                          "objective 'span': no window of text fits %s%lld tokens%s%lld",
                          S ? "" : "a row of ", S ? (long long)S : (long long)T,
                          S ? " of input and a context of " : ": context is ", (long long)T);
    int64_t spans = counts_of(p->option, n.raw).spans;
    if (spans > p->ids->sentinels)
        return sy_err_set(err, SY_E_RANGE,
                          "objective 'span': a window of %lld tokens has %lld spans, the tokenizer "
                          "has %lld sentinels: make it with sentinels = %lld, or take a larger "
                          "mean",
                          (long long)n.raw, (long long)spans, (long long)p->ids->sentinels,
                          (long long)spans);
    return 0;
}

static int64_t window_of_span(const struct sy__part *p, int64_t T, int64_t S)
{
    return longest(p->option, T, S).raw;
}

const struct sy__objective sy__objective_span = {
    .spec = {.name = "span",
             .help = "spans that were left out, as T5 does (Raffel et al. 2020)",
             .option = {{"density", 0.01, 0.9, 0.15, "share of the tokens that is left out"},
                        {"mean", 1, 1000, 3, "tokens of a span, on average"}}},
    .lacks = lacks_sentinels,
    .pads = true,
    .check = check_span,
    .window = window_of_span,
    .lay = lay_span,
};
