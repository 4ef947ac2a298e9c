/* A corpus: token ids, narrow in memory, and where their documents begin (data.h, corpus_int.h).
 *
 *  1. 0 = doc[0].first < doc[1].first < ..., all below tokens: no document is empty.
 *  2. 0 <= train <= tokens. */
#include "data/corpus_int.h"

#include "base/grow.h"
#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct sy_err *err, const char *what, int64_t bytes)
{
    char size[16];
    sy_human_bytes((double)bytes, size);
    return sy_err_set(err, SY_E_MEMORY, "data: out of memory for %s (%s)", what, size);
}

struct sy_corpus *sy__corpus_new(int32_t vocab, struct sy_tokenizer *tokenizer, struct sy_err *err)
{
    struct sy_corpus *c = sy_calloc(1, sizeof *c);
    if (!c) {
        no_memory(err, "a corpus", sizeof *c);
        return NULL;
    }
    atomic_init(&c->refs, 1);
    c->vocab = vocab;
    c->width = vocab <= 256 ? 1 : vocab <= 65536 ? 2 : 4;
    c->val_file = INT64_MAX;
    c->tokenizer = tokenizer ? sy_tokenizer_ref(tokenizer) : NULL;
    return c;
}

struct sy_corpus *sy_corpus_ref(struct sy_corpus *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void sy_corpus_unref(struct sy_corpus *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    sy_tokenizer_unref(c->tokenizer);
    sy__files_free(&c->files);
    sy_str_free(&c->reading);
    sy_free(c->ids);
    sy_free(c->weights);
    sy_free(c->doc);
    sy_free(c->entropy);
    sy__pairs_free(&c->pairs);
    for (int i = 0; i < c->mix.n; i++) {
        sy_corpus_unref(c->mix.part[i].corpus);
        sy_free(c->mix.part[i].name);
    }
    for (int32_t i = 0; i < c->sources; i++)
        sy_free(c->source[i]);
    sy_free(c->source);
    sy_free(c);
}

/* ---- building ---- */

int sy__check_val(double val, struct sy_err *err)
{
    if (!(val >= 0 && val < 1))
        return sy_err_set(err, SY_E_RANGE, "data: val is %g, must be 0 or more and below 1", val);
    return 0;
}

int sy__corpus_find(struct sy_corpus *c, const char *const *paths, int count,
                    const char *const *val_paths, int val_count, struct sy_err *err)
{
    if (sy__files_find(&c->files, paths, count, err))
        return -1;
    if (!val_count)
        return 0;
    c->val_file = c->files.count;
    return sy__files_find(&c->files, val_paths, val_count, err);
}

int sy__corpus_begin(struct sy_corpus *c, int32_t file, int64_t line, int32_t domain,
                     struct sy_err *err)
{
    if (SY_GROW(c->doc, c->docs_cap, c->docs + 1))
        return no_memory(err, "documents", 2 * c->docs * (int64_t)sizeof *c->doc);
    c->doc[c->docs++] = (struct sy__doc){c->tokens, line, file, domain};
    return 0;
}

static int make_room(struct sy_corpus *c, int64_t n, struct sy_err *err)
{
    if (c->cap - c->tokens >= n)
        return 0;
    if (n > INT64_MAX / 64 - c->tokens)
        return no_memory(err, "tokens", n);
    int64_t cap = c->cap + c->cap / 2;
    cap = cap < c->tokens + n ? c->tokens + n : cap;
    void *ids = sy_realloc(c->ids, (size_t)(cap * c->width));
    if (!ids)
        return no_memory(err, "tokens", cap * c->width);
    c->ids = ids;
    c->cap = cap;
    return 0;
}

int sy__corpus_append(struct sy_corpus *c, const int32_t *ids, int64_t n, struct sy_err *err)
{
    if (make_room(c, n, err))
        return -1;
    if (c->width == 1)
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)c->ids)[c->tokens + i] = (uint8_t)ids[i];
    else if (c->width == 2)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)c->ids)[c->tokens + i] = (uint16_t)ids[i];
    else if (n)
        memcpy((int32_t *)c->ids + c->tokens, ids, (size_t)n * sizeof *ids);
    c->tokens += n;
    return 0;
}

int sy__corpus_append_bytes(struct sy_corpus *c, const char *bytes, int64_t n, struct sy_err *err)
{
    if (make_room(c, n, err))
        return -1;
    if (n)
        memcpy((uint8_t *)c->ids + c->tokens, bytes, (size_t)n);
    c->tokens += n;
    return 0;
}

/* Nearest document start to `cut` that leaves validation within half and one and a half of what
 * was asked for; `cut` itself when there is none. */
static int64_t near_document(const struct sy_corpus *c, int64_t cut)
{
    int64_t want = c->tokens - cut, best = -1;
    int64_t d = sy_corpus_document_at(c, cut);
    for (int64_t i = d; i <= d + 1 && i < c->docs; i++) {
        int64_t first = c->doc[i].first, val = c->tokens - first;
        if (first == 0 || 2 * val < want || 2 * val > 3 * want)
            continue;
        if (best < 0 || llabs(first - cut) < llabs(best - cut))
            best = first;
    }
    return best < 0 ? cut : best;
}

/* The first document of a file for validation. */
static int find_border(struct sy_corpus *c, struct sy_err *err)
{
    int64_t d = 0;
    while (d < c->docs && c->doc[d].file < c->val_file)
        d++;
    if (d == 0 || d == c->docs)
        return sy_err_set(err, SY_E_FORMAT, "data: %s: no text in the files for %s",
                          c->files.file[d ? c->val_file : 0].path, d ? "validation" : "training");
    c->train = c->doc[d].first;
    return 0;
}

int sy__corpus_finish(struct sy_corpus *c, double val, struct sy_err *err)
{
    if (c->tokens == 0)
        return sy_err_set(err, SY_E_FORMAT, "data: no tokens");
    c->train = c->tokens;
    if (c->val_file < INT64_MAX) {
        if (find_border(c, err))
            return -1;
    } else if (val > 0) {
        c->train = (int64_t)((double)c->tokens * (1 - val));
        if (c->docs > 1)
            c->train = near_document(c, c->train);
    }
    void *fit = sy_realloc(c->ids, (size_t)(c->tokens * c->width));
    if (fit) {
        c->ids = fit;
        c->cap = c->tokens;
    }
    return 0;
}

uint64_t sy__corpus_id_hash(const struct sy_corpus *c)
{
    struct sy_hash h;
    sy_hash_init(&h);
    sy_hash_update(&h, &c->vocab, sizeof c->vocab);
    sy_hash_update(&h, c->ids, (size_t)(c->tokens * c->width));
    for (int64_t i = 0; i < c->docs; i++)
        sy_hash_update(&h, &c->doc[i].first, sizeof c->doc[i].first);
    if (c->weights)
        sy_hash_update(&h, c->weights, (size_t)c->tokens * sizeof *c->weights);
    sy__corpus_hash_border(c, &h);
    return sy_hash_final(&h);
}

void sy__corpus_hash_border(const struct sy_corpus *c, struct sy_hash *h)
{
    if (c->val_file < INT64_MAX)
        sy_hash_update(h, &c->train, sizeof c->train);
}

/* ---- reading ---- */

void sy__corpus_copy(const struct sy_corpus *c, int64_t first, int64_t n, int32_t *ids)
{
    if (n == 0)
        return;
    const uint8_t *u8 = (const uint8_t *)c->ids + first;
    const uint16_t *u16 = (const uint16_t *)c->ids + first;
    if (c->width == 1)
        for (int64_t i = 0; i < n; i++)
            ids[i] = u8[i];
    else if (c->width == 2)
        for (int64_t i = 0; i < n; i++)
            ids[i] = u16[i];
    else
        memcpy(ids, (const int32_t *)c->ids + first, (size_t)n * sizeof *ids);
}

int sy_corpus_read(const struct sy_corpus *c, int64_t first, int64_t n, int32_t *ids,
                   struct sy_err *err)
{
    if (first < 0 || n < 0 || first > c->tokens || n > c->tokens - first)
        return sy_err_set(err, SY_E_RANGE, "data: %lld tokens from %lld on are outside 0..%lld",
                          (long long)n, (long long)first, (long long)c->tokens - 1);
    if (!c->mix.n)
        sy__corpus_copy(c, first, n, ids);
    for (int64_t done = 0, k; c->mix.n && done < n; done += k) {
        const struct sy__mix_part *p = sy__mix_token(&c->mix, first + done);
        int64_t at = first + done - p->token, left = p->corpus->tokens - at;
        k = left < n - done ? left : n - done;
        sy__corpus_copy(p->corpus, at, k, ids + done);
    }
    return 0;
}

const struct sy__mix_part *sy__mix_token(const struct sy__mix *m, int64_t number)
{
    int i = m->n - 1;
    while (i > 0 && m->part[i].token > number)
        i--;
    return &m->part[i];
}

const struct sy__mix_part *sy__mix_document(const struct sy__mix *m, int64_t number)
{
    int i = m->n - 1;
    while (i > 0 && m->part[i].document > number)
        i--;
    return &m->part[i];
}

int sy_corpus_mix_parts(const struct sy_corpus *c)
{
    return c->mix.n;
}

const struct sy_corpus *sy_corpus_mix_part(const struct sy_corpus *c, int i)
{
    return c->mix.part[i].corpus;
}

int32_t sy_corpus_mix_source(const struct sy_corpus *c, int i)
{
    return c->mix.part[i].source;
}

double sy_corpus_mix_share(const struct sy_corpus *c, int i)
{
    return c->mix.part[i].share;
}

int64_t sy_corpus_tokens(const struct sy_corpus *c)
{
    return c->tokens;
}

int64_t sy_corpus_train(const struct sy_corpus *c)
{
    return c->train;
}

int32_t sy_corpus_vocab(const struct sy_corpus *c)
{
    return c->vocab;
}

uint64_t sy_corpus_hash(const struct sy_corpus *c)
{
    return c->hash;
}

const char *sy_corpus_reading(const struct sy_corpus *c, bool *plain)
{
    *plain = c->plain;
    return c->reading.len ? c->reading.data : NULL;
}

struct sy_tokenizer *sy_corpus_tokenizer(const struct sy_corpus *c)
{
    return c->tokenizer;
}

int64_t sy_corpus_documents(const struct sy_corpus *c)
{
    return c->docs;
}

int sy_corpus_document(const struct sy_corpus *c, int64_t number, struct sy_document *out,
                       struct sy_err *err)
{
    if (number < 0 || number >= c->docs)
        return sy_err_set(err, SY_E_RANGE, "data: document %lld is outside 0..%lld",
                          (long long)number, (long long)c->docs - 1);
    if (c->mix.n) {
        const struct sy__mix_part *p = sy__mix_document(&c->mix, number);
        int rc = sy_corpus_document(p->corpus, number - p->document, out, err);
        out->first += p->token;
        return rc;
    }
    const struct sy__doc *d = &c->doc[number];
    int64_t end = number + 1 < c->docs ? c->doc[number + 1].first : c->tokens;
    const char *source = d->domain >= 0 ? "synthetic" : "string";
    if (d->file >= 0 && d->file < c->files.count)
        source = c->files.file[d->file].path;
    *out = (struct sy_document){source, d->line, d->first, end - d->first, d->domain};
    return 0;
}

int64_t sy_corpus_document_at(const struct sy_corpus *c, int64_t token)
{
    if (token < 0 || token >= c->tokens)
        return -1;
    if (c->mix.n) {
        const struct sy__mix_part *p = sy__mix_token(&c->mix, token);
        return p->document + sy_corpus_document_at(p->corpus, token - p->token);
    }
    int64_t low = 0, high = c->docs; /* doc[low].first <= token < doc[high].first */
    while (high - low > 1) {
        int64_t mid = low + (high - low) / 2;
        if (c->doc[mid].first <= token)
            low = mid;
        else
            high = mid;
    }
    return low;
}

int sy_corpus_domains(const struct sy_corpus *c)
{
    return c->domains;
}

double sy_corpus_entropy(const struct sy_corpus *c, int domain)
{
    if (c->domains == 0 || domain < -1 || domain >= c->domains)
        return (double)NAN;
    if (domain >= 0)
        return c->entropy[domain];
    double sum = 0;
    for (int d = 0; d < c->domains; d++)
        sum += c->entropy[d];
    return sum / c->domains;
}
