/* The fields of a batch (batch.h): how one sequence of each is made of a window of the corpus.
 *
 *     field       value i of a window that begins at token `start`
 *     tokens      id of start + i
 *     targets     id of start + i + 1
 *     weights     weight of token start + i + 1 (the target's), times the batch's scale
 *     documents   number of the document of start + i
 *
 * A new field is a row of SY_FIELD_MAP and one here. */
#include "data/corpus_int.h"

#include "base/find.h"

#include <string.h>

static const struct sy_field_spec specs[SY_FIELD_COUNT] = {
#define SPEC(id, name, dtype, alone, help) {name, dtype, alone, help},
    SY_FIELD_MAP(SPEC)
#undef SPEC
};

const struct sy_field_spec *sy_field_spec(enum sy_field f)
{
    return &specs[f];
}

int sy_field_find(const char *name)
{
    return SY_FIND_NAME(specs, name);
}

/* ---- how they are made ---- */

struct window {
    const struct sy_corpus *corpus;
    int64_t start, n;
    double scale;
};

static void tokens(const struct window *w, void *out)
{
    sy__corpus_copy(w->corpus, w->start, w->n, out);
}

static void targets(const struct window *w, void *out)
{
    sy__corpus_copy(w->corpus, w->start + 1, w->n, out);
}

static void weights(const struct window *w, void *out)
{
    const float *from = w->corpus->weights + w->start + 1;
    for (int64_t i = 0; i < w->n; i++)
        ((float *)out)[i] = (float)((double)from[i] * w->scale);
}

static void documents(const struct window *w, void *out)
{
    const struct sy_corpus *c = w->corpus;
    int64_t d = sy_corpus_document_at(c, w->start);
    for (int64_t i = 0; i < w->n; i++) {
        while (d + 1 < c->docs && c->doc[d + 1].first <= w->start + i)
            d++;
        ((int32_t *)out)[i] = (int32_t)d;
    }
}

static const char *no_weights(const struct sy_corpus *c)
{
    return c->weights
               ? NULL
               : "the data has no loss weights (data.shards takes them from a file: weights =)";
}

static const struct {
    void (*fill)(const struct window *w, void *out);
    const char *(*missing)(const struct sy_corpus *c); /* NULL: every corpus has it */
} makers[SY_FIELD_COUNT] = {
    [SY_FIELD_TOKENS] = {tokens, NULL},
    [SY_FIELD_TARGETS] = {targets, NULL},
    [SY_FIELD_WEIGHTS] = {weights, no_weights},
    [SY_FIELD_DOCUMENTS] = {documents, NULL},
};

const char *sy_field_missing(enum sy_field f, const struct sy_corpus *c)
{
    return makers[f].missing ? makers[f].missing(c) : NULL;
}

void sy__batch_fill(const struct sy_batch *b, const struct sy_corpus *c, int64_t start, int64_t n,
                    int64_t row)
{
    const struct window w = {c, start, n, b->scale};
    for (int f = 0; f < SY_FIELD_COUNT; f++)
        if (b->at[f])
            makers[f].fill(&w, (char *)b->at[f] + row * n * SY_FIELD_BYTES);
}

double sy__weigh(const struct sy_corpus *c, int64_t start, int64_t n)
{
    double sum = 0;
    for (int64_t i = 1; i <= n; i++)
        sum += (double)c->weights[start + i];
    return sum;
}

void sy_weights_average(float *w, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)w[i];
    for (int64_t i = 0; sum > 0 && i < n; i++)
        w[i] = (float)((double)w[i] * ((double)n / sum));
}
