/* The sampler: windows of a corpus as a pure function of (seed, place, row) (data.h).  Where they
 * are: windows_int.h; what a row of a batch has of its window: row_int.h. */
#include "data/objectives/objective_int.h"
#include "data/windows_int.h"

/* ---- where rows are ---- */

/* The token of the corpus, or of the mix, that token 0 of the row's own corpus is. */
static int64_t first_token(const struct sy_sampler *s, const struct sy__drawn *d)
{
    return d->part < 0 ? 0 : s->corpus->mix.part[d->part].token;
}

/* Where the row begins. */
static int64_t token_of(const struct sy_sampler *s, const struct sy__drawn *d)
{
    const struct sy_corpus *c = d->s.corpus;
    return first_token(s, d) +
           (c->pairs.count ? sy__packing_first(sy__window_rows(&d->s), c, d->start) : d->start);
}

int64_t sy_sampler_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    struct sy__walk w = sy__walk_from(s, p, row);
    const struct sy__drawn d = sy__walk_row(&w);
    return token_of(s, &d);
}

int64_t sy_eval_start(const struct sy_sampler *s, int64_t number)
{
    const struct sy__drawn d = sy__eval_row(s, number);
    return token_of(s, &d);
}

struct list { /* of stretches */
    struct sy_stretch *out;
    int64_t n, most;
};

static void add_stretch(struct list *l, struct sy_stretch s)
{
    if (l->n < l->most)
        l->out[l->n] = s;
    l->n++;
}

static void add_pairs(struct list *l, int64_t row, int64_t first, const struct sy__drawn *d)
{
    const struct sy__packing *k = sy__window_rows(&d->s);
    for (int64_t i = k->start[d->start]; i < k->start[d->start + 1]; i++) {
        const struct sy_pair *p = &d->s.corpus->pairs.pair[k->pair[i]];
        add_stretch(l, (struct sy_stretch){row, first + p->first, (int64_t)p->input + p->target,
                                           true});
    }
}

int64_t sy_sampler_stretches(const struct sy_sampler *s, const struct sy_place *p, int64_t first,
                             int64_t rows, struct sy_stretch *out, int64_t most)
{
    struct list l = {out, 0, most};
    struct sy__walk w = sy__walk_from(s, p, first);
    for (int64_t row = first; row < first + rows; row++) {
        const struct sy__drawn d = sy__walk_row(&w);
        if (d.s.corpus->pairs.count)
            add_pairs(&l, row, first_token(s, &d), &d);
        else
            add_stretch(&l, (struct sy_stretch){row, first_token(s, &d) + d.start,
                                                sy__window_length(&d.s), false});
    }
    return l.n;
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
static struct sy_tally write_row(const struct sy_sampler *mix, struct sy__drawn d,
                                 const struct sy_batch *b, int64_t row)
{
    const struct sy_sampler *s = &d.s;
    struct sy__row r = {.corpus = s->corpus,
                        .start = d.start,
                        .rng = d.rng,
                        .context = s->context,
                        .inputs = s->inputs,
                        .blind = !b && !s->corpus->weights,
                        .counts = true};
    if (d.part >= 0) {
        r.source = mix->corpus->mix.part[d.part].source;
        r.first_document = mix->corpus->mix.part[d.part].document;
    }
    if (b)
        point_at(&r, b, row);
    if (s->corpus->pairs.count)
        sy__packing_write(sy__window_rows(s), d.start, &r);
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
    struct sy__walk w = sy__walk_from(s, p, first);
    for (int64_t row = 0; row < s->batch; row++)
        write_row(s, sy__walk_row(&w), b, row);
}

/* Every row is full and weighs the same. */
static bool is_even(const struct sy_sampler *s)
{
    for (int i = 0; i < s->corpus->mix.n; i++) {
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
    struct sy__walk w = sy__walk_from(s, p, first);
    for (int64_t row = 0; row < rows; row++)
        add_tally(&sum, write_row(s, sy__walk_row(&w), NULL, 0));
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
        write_row(s, sy__eval_row(s, counts ? first + row : first), b, row);
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
        add_tally(&sum, write_row(s, sy__eval_row(s, i), NULL, 0));
    return sum;
}

double sy_tally_windows(const struct sy_tally *part, const struct sy_tally *whole, int64_t windows)
{
    return whole->targets ? (double)(part->targets * windows) / (double)whole->targets : 0;
}
