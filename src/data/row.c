/* Writing a row of a batch (row_int.h). */
#include "data/row_int.h"

#include <string.h>

/* Where the value of position i of a field goes; NULL: not wanted, or outside 0..most-1. */
static int32_t *cell(const struct sy__row *r, enum sy_field f, int64_t i, int64_t most)
{
    return r->at[f] && i >= 0 && i < most ? (int32_t *)r->at[f] + i : NULL;
}

static void put_all(const struct sy__row *r, enum sy_field f, int64_t i, int64_t n, int32_t value)
{
    for (int32_t *to = r->at[f]; to && n > 0; n--)
        to[i++] = value;
}

static void set_weights(const struct sy__row *r, int64_t i, int64_t n, double value)
{
    for (float *to = r->at[SY_FIELD_WEIGHTS]; to && n > 0; n--)
        to[i++] = (float)value;
}

/* ---- what stands beside the tokens ---- */

/* The number of the document that the corpus's token is of. */
static int64_t document_at(const struct sy__row *r, int64_t token)
{
    return r->first_document + sy_corpus_document_at(r->corpus, token);
}

static void number_documents(const struct sy__row *r, int32_t *to, int64_t token, int64_t n)
{
    const struct sy_corpus *c = r->corpus;
    int64_t d = sy_corpus_document_at(c, token);
    for (int64_t i = 0; i < n; i++) {
        while (d + 1 < c->docs && c->doc[d + 1].first <= token + i)
            d++;
        to[i] = (int32_t)(r->first_document + d);
    }
}

/* Documents and sources of n positions from i on; token: where they are in the corpus, or -1. */
static void put_beside(const struct sy__row *r, enum sy__side side, int64_t i, int64_t token,
                       int64_t n)
{
    enum sy_field documents = side == SY__INPUT ? SY_FIELD_INPUT_DOCUMENTS : SY_FIELD_DOCUMENTS;
    int32_t *to = r->at[documents];
    if (to && r->documents && token >= 0)
        number_documents(r, to + i, token, n);
    else
        put_all(r, documents, i, n, r->document);
    put_all(r, side == SY__INPUT ? SY_FIELD_INPUT_SOURCES : SY_FIELD_SOURCES, i, n,
            r->source);
}

/* ---- targets ---- */

/* Those of positions i .. i+n-1 are tokens of the corpus from `token` on, and count. */
static void count_text(struct sy__row *r, int64_t i, int64_t token, int64_t n)
{
    const float *from = r->corpus->weights;
    float *to = r->at[SY_FIELD_WEIGHTS];
    r->tally.targets += n;
    if (r->at[SY_FIELD_TARGETS])
        sy__corpus_copy(r->corpus, token, n, (int32_t *)r->at[SY_FIELD_TARGETS] + i);
    if (!from) {
        r->tally.weight += (double)n;
        set_weights(r, i, n, r->scale);
        return;
    }
    for (int64_t k = 0; k < n; k++)
        r->tally.weight += (double)from[token + k];
    for (int64_t k = 0; to && k < n; k++)
        to[i + k] = (float)((double)from[token + k] * r->scale);
}

static void count_nothing(const struct sy__row *r, int64_t i, int64_t n)
{
    put_all(r, SY_FIELD_TARGETS, i, n, -1);
    set_weights(r, i, n, 0);
}

static void put_targets(struct sy__row *r, int64_t i, int64_t token, int64_t n)
{
    if (r->counts)
        count_text(r, i, token, n);
    else
        count_nothing(r, i, n);
}

/* ---- what layouts call ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void put_text(const struct sy__row *r, enum sy__side side, int64_t i, int64_t token,
                     int64_t n)
{
    enum sy_field f = side == SY__INPUT ? SY_FIELD_INPUTS : SY_FIELD_TOKENS;
    if (n < 1)
        return;
    if (r->at[f])
        sy__corpus_copy(r->corpus, token, n, (int32_t *)r->at[f] + i);
    put_beside(r, side, i, token, n);
}

void sy__row_text(struct sy__row *r, enum sy__side side, int64_t from, int64_t n)
{
    int64_t token = r->start + from;
    if (side == SY__INPUT) {
        n = least(n, r->inputs - r->in);
        put_text(r, side, r->in, token, n);
        r->in += n;
        return;
    }
    n = least(n, r->context + 1 - r->out);
    put_text(r, side, r->out, token, least(n, r->context - r->out));
    int64_t first = r->out == 0; /* nothing has x0 for a target */
    if (n > first)
        put_targets(r, r->out + first - 1, token + first, n - first);
    r->out += n;
}

static void put_id(struct sy__row *r, enum sy__side side, int64_t i, int64_t most, int32_t id)
{
    int32_t *to = cell(r, side == SY__INPUT ? SY_FIELD_INPUTS : SY_FIELD_TOKENS, i, most);
    if (to)
        *to = id;
    if (i < most)
        put_beside(r, side, i, -1, 1);
}

/* The target of position i is this id. */
static void put_target(struct sy__row *r, int64_t i, int32_t id)
{
    if (i < 0)
        return;
    put_all(r, SY_FIELD_TARGETS, i, 1, r->counts ? id : -1);
    set_weights(r, i, 1, r->counts ? r->scale : 0);
    r->tally.targets += r->counts;
    r->tally.weight += r->counts;
}

void sy__row_id(struct sy__row *r, enum sy__side side, int32_t id)
{
    if (side == SY__INPUT && r->in < r->inputs) {
        put_id(r, side, r->in++, r->inputs, id);
    } else if (side == SY__OUTPUT && r->out <= r->context) {
        put_id(r, side, r->out, r->context, id);
        put_target(r, r->out - 1, id);
        r->out++;
    }
}

void sy__row_prompt(struct sy__row *r, int64_t from, int64_t n)
{
    n = least(n, r->context - r->out);
    put_text(r, SY__OUTPUT, r->out, r->start + from, n);
    count_nothing(r, r->out, n);
    r->out += n > 0 ? n : 0;
    r->closed = true;
}

void sy__row_answer(struct sy__row *r, int32_t begin, int64_t from, int64_t n)
{
    int64_t i = r->out, token = r->start + from;
    n = least(n, r->context - i);
    if (n < 1)
        return;
    put_id(r, SY__OUTPUT, i, r->context, begin);
    put_text(r, SY__OUTPUT, i + 1, token, n - 1);
    put_targets(r, i, token, n);
    r->out += n;
    r->closed = true;
}

/* ---- documents of the text ---- */

void sy__row_documents(struct sy__row *r, int64_t at)
{
    r->documents = true;
    if (!r->blind)
        r->document = (int32_t)document_at(r, r->start + at);
}

void sy__row_document(const struct sy__row *r, int64_t at, int64_t n, int64_t *first, int64_t *end)
{
    const struct sy_corpus *c = r->corpus;
    int64_t d = sy_corpus_document_at(c, r->start + at);
    *first = c->docs ? most(c->doc[d].first - r->start, 0) : 0;
    *end = d + 1 < c->docs ? least(c->doc[d + 1].first - r->start, n) : n;
}

int32_t sy__row_token(const struct sy__row *r, int64_t at)
{
    int32_t id;
    sy__corpus_copy(r->corpus, r->start + at, 1, &id);
    return id;
}

/* ---- what is one for the row ---- */

void sy__row_prefix(struct sy__row *r, int32_t tokens)
{
    put_all(r, SY_FIELD_PREFIX, 0, 1, tokens);
}

void sy__row_objective(struct sy__row *r, int32_t number)
{
    put_all(r, SY_FIELD_OBJECTIVES, 0, 1, number);
}

static void pad(const struct sy__row *r, enum sy__side side, int64_t i, int64_t n)
{
    struct sy__row none = *r;
    none.documents = false;
    none.document = -1;
    none.source = 0;
    put_all(r, side == SY__INPUT ? SY_FIELD_INPUTS : SY_FIELD_TOKENS, i, n, r->pad);
    put_beside(&none, side, i, -1, n);
}

void sy__row_end(struct sy__row *r)
{
    int64_t tokens = least(r->out, r->context);
    int64_t targets = r->closed ? r->out : r->out > 0 ? r->out - 1 : 0;
    pad(r, SY__OUTPUT, tokens, r->context - tokens);
    pad(r, SY__INPUT, r->in, r->inputs - r->in);
    count_nothing(r, targets, r->context - targets);
    r->tally.tokens = tokens + r->in;
}
