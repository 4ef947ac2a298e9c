/* Corpora from text: documents from the source, ids from the tokenizer (data.h).
 *
 * A batch of documents is encoded in groups of GROUP bytes, long documents in several: between two
 * groups progress is reported and the work can be cancelled. */
#include "base/hash.h"
#include "base/mem.h"
#include "data/corpus_int.h"
#include "data/tokenizer/tokenizer_int.h"

#include <string.h>

#define GROUP ((size_t)8 << 20)

struct builder {
    struct sy_corpus *c;
    struct sy__encoders *encoders;
    const struct sy_progress *progress;
    struct sy_hash hash;
    struct sy__ids ids;    /* of a group */
    struct sy__text *text; /* of a group's documents */
    int64_t *end;          /* and where their ids end */
    int64_t cap;
};

static int group_room(struct builder *b, int64_t docs, struct sy_err *err)
{
    if (docs <= b->cap)
        return 0;
    sy_free(b->text);
    sy_free(b->end);
    b->text = sy_calloc((size_t)docs, sizeof *b->text);
    b->end = sy_calloc((size_t)docs, sizeof *b->end);
    b->cap = b->text && b->end ? docs : 0;
    return b->cap ? 0 : sy_err_set(err, SY_E_MEMORY, "data: out of memory for documents");
}

/* What ends the document before the next one. */
static int separate(struct sy_corpus *c, struct sy_err *err)
{
    int32_t eot = sy_tokenizer_eot(c->tokenizer), newline = sy__tokenizer_newline(c->tokenizer);
    if (c->docs == 0)
        return 0;
    if (eot < 0 && sy__corpus_id(c, c->tokens - 1) == newline)
        return 0;
    return eot < 0 && newline < 0 ? 0 : sy__corpus_append(c, eot < 0 ? &newline : &eot, 1, err);
}

static int begin_document(struct builder *b, const struct sy__batch *batch, int64_t d,
                          struct sy_err *err)
{
    const struct sy__document *doc = &batch->doc[d];
    uint64_t n = doc->n;
    sy_hash_update(&b->hash, &n, sizeof n);
    sy_hash_update(&b->hash, batch->text.data + doc->start, doc->n);
    return separate(b->c, err) || sy__corpus_begin(b->c, (int32_t)doc->file, doc->line, -1, err);
}

/* Encode; a failure names the file and the line of the document, or its byte. */
static int encode_some(struct builder *b, const struct sy__batch *batch, int64_t first,
                       const struct sy__text *text, int64_t n, struct sy_err *err)
{
    struct sy_err why = SY_ERR_INIT;
    struct sy__place place = {0};
    b->ids.len = 0;
    if (!sy__encode_many(b->encoders, text, n, &b->ids, n > 1 || text == b->text ? b->end : NULL,
                         &place, &why))
        return 0;
    if (why.code != SY_E_FORMAT)
        return sy_err_set(err, why.code, "%s", why.msg);
    const struct sy__document *doc = &batch->doc[first + place.text];
    const char *start = batch->text.data + doc->start, *at = text[place.text].s + place.at;
    int64_t line = doc->line > 0 ? doc->line : 1;
    for (const char *p = start; doc->line <= 0 && p < at; p++)
        line += *p == '\n';
    return sy_err_set(err, why.code, "data: %s: line %lld: %s",
                      doc->file < 0 ? "the text" : b->c->files.file[doc->file].path,
                      (long long)line, why.msg);
}

/* Encode documents first..first+n-1, each as a whole. */
static int add_whole(struct builder *b, const struct sy__batch *batch, int64_t first, int64_t n,
                     struct sy_err *err)
{
    if (group_room(b, n, err))
        return -1;
    for (int64_t i = 0; i < n; i++) {
        const struct sy__document *doc = &batch->doc[first + i];
        b->text[i] = (struct sy__text){batch->text.data + doc->start, doc->n};
    }
    if (encode_some(b, batch, first, b->text, n, err))
        return -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t from = i ? b->end[i - 1] : 0;
        if (begin_document(b, batch, first + i, err) ||
            sy__corpus_append(b->c, b->ids.data + from, b->end[i] - from, err))
            return -1;
    }
    return 0;
}

/* Encode one long document, part by part. */
static int add_long(struct builder *b, const struct sy__batch *batch, int64_t d, struct sy_err *err)
{
    const char *start = batch->text.data + batch->doc[d].start, *p = start;
    size_t left = batch->doc[d].n;
    if (begin_document(b, batch, d, err))
        return -1;
    while (left) {
        size_t n = sy__tokenizer_cut(b->c->tokenizer, p, left, GROUP);
        struct sy__text part = {p, n};
        if (sy__batch_progress(b->progress, batch,
                               (double)(p - batch->text.data) / (double)batch->text.len, "data",
                               err) ||
            encode_some(b, batch, d, &part, 1, err) ||
            sy__corpus_append(b->c, b->ids.data, b->ids.len, err))
            return -1;
        p += n;
        left -= n;
    }
    return 0;
}

/* The byte tokenizer: nothing to encode. */
static int add_bytes(struct builder *b, const struct sy__batch *batch, struct sy_err *err)
{
    for (int64_t d = 0; d < batch->docs; d++) {
        const struct sy__document *doc = &batch->doc[d];
        if (begin_document(b, batch, d, err) ||
            sy__corpus_append_bytes(b->c, batch->text.data + doc->start, (int64_t)doc->n, err))
            return -1;
    }
    return sy__batch_progress(b->progress, batch, 1, "data", err);
}

static int add_batch(void *ctx, const struct sy__batch *batch, struct sy_err *err)
{
    struct builder *b = ctx;
    if (sy__tokenizer_is_bytes(b->c->tokenizer))
        return add_bytes(b, batch, err);
    for (int64_t d = 0; d < batch->docs;) {
        if (batch->doc[d].n > GROUP) {
            if (add_long(b, batch, d++, err))
                return -1;
            continue;
        }
        int64_t n = 0;
        size_t bytes = 0;
        while (d + n < batch->docs && bytes + batch->doc[d + n].n <= GROUP)
            bytes += batch->doc[d + n++].n;
        if (add_whole(b, batch, d, n, err))
            return -1;
        d += n;
        double part = (double)d / (double)batch->docs;
        if (sy__batch_progress(b->progress, batch, part, "data", err))
            return -1;
    }
    return 0;
}

static int begin_corpus(struct builder *b, const struct sy_text_options *o, struct sy_err *err)
{
    *b = (struct builder){.progress = o->progress};
    if (sy__check_val(o->val, err))
        return -1;
    struct sy_tokenizer *tok =
        o->tokenizer ? sy_tokenizer_ref(o->tokenizer) : sy_tokenizer_bytes(err);
    if (!tok)
        return -1;
    b->c = sy__corpus_new(tok->size, tok, err);
    b->encoders = sy__encoders_new(tok, o->progress, err);
    sy_tokenizer_unref(tok);
    sy_hash_init(&b->hash);
    return b->c && b->encoders ? 0 : -1;
}

static struct sy_corpus *end_corpus(struct builder *b, double val, int rc, struct sy_err *err)
{
    struct sy_corpus *c = b->c;
    sy__encoders_free(b->encoders);
    sy_free(b->ids.data);
    sy_free(b->text);
    sy_free(b->end);
    if (rc || sy__corpus_finish(c, val, err)) {
        sy_corpus_unref(c);
        return NULL;
    }
    sy__corpus_hash_border(c, &b->hash);
    c->hash = sy_hash_final(&b->hash);
    return c;
}

struct sy_corpus *sy_corpus_text(const char *const *paths, int count,
                                 const struct sy_text_options *options, struct sy_err *err)
{
    struct builder b;
    struct sy__tally tally = {.bad = 0};
    int rc = begin_corpus(&b, options, err);
    if (!rc)
        rc = sy__corpus_find(b.c, paths, count, options->val_paths, options->val_count, err) ||
             sy__sources_read(&b.c->files, &options->read, options->progress, 1, add_batch, &b,
                              &tally, err);
    if (!rc)
        b.c->plain = sy__tally_text(&tally, options->read.field, &b.c->reading);
    return end_corpus(&b, options->val, rc, err);
}

struct sy_corpus *sy_corpus_string(const char *text, size_t n,
                                   const struct sy_text_options *options, struct sy_err *err)
{
    struct builder b;
    struct sy__document doc = {0, n, -1, 0};
    const struct sy__batch batch = {
        .text = {.data = (char *)(uintptr_t)text, .len = n}, .doc = &doc, .docs = 1, .to = 1};
    int rc = begin_corpus(&b, options, err);
    if (!rc && n == 0)
        rc = sy_err_set(err, SY_E_FORMAT, "data: the text is empty");
    if (!rc)
        rc = add_batch(&b, &batch, err);
    return end_corpus(&b, options->val, rc, err);
}
