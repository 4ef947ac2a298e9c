/* Inside of a corpus, shared by its makers (text, synthetic text, shards) and the sampler. */
#ifndef SY_DATA_CORPUS_INT_H
#define SY_DATA_CORPUS_INT_H

#include "base/hash.h"
#include "data/documents_int.h"
#include "data/mix_int.h"
#include "data/pairs/pairs_int.h"
#include "switchyard/data.h"

#include <stdatomic.h>

struct sy__doc {
    int64_t first, line;
    int32_t file, domain; /* -1: none */
};

struct sy_corpus {
    atomic_int refs;
    int64_t tokens, cap, train;
    int32_t vocab;
    int width;           /* bytes an id: 1, 2 or 4, the least that holds vocab - 1 */
    void *ids;           /* owned */
    float *weights;      /* owned, one a token: of its loss where it is a target; or NULL */
    struct sy__doc *doc; /* owned, ascending by first; doc[0].first is 0 */
    int64_t docs;
    size_t docs_cap;
    struct sy__files files;
    int64_t val_file;     /* files from here on are for validation; INT64_MAX: none is */
    struct sy_str reading; /* what was read as what; of no file: empty */
    bool plain;
    struct sy_tokenizer *tokenizer; /* counted, or NULL */
    uint64_t hash;
    int domains;
    double *entropy; /* [domains], owned */
    struct sy__pairs pairs;
    struct sy__mix mix;
    char **source; /* owned names of its sources */
    int32_t sources;
};

/* Building: new, then documents with their tokens, then finish.  All but the first return 0/-1. */
struct sy_corpus *sy__corpus_new(int32_t vocab, struct sy_tokenizer *tokenizer, struct sy_err *err);
int sy__corpus_begin(struct sy_corpus *c, int32_t file, int64_t line, int32_t domain,
                     struct sy_err *err);
int sy__corpus_append(struct sy_corpus *c, const int32_t *ids, int64_t n, struct sy_err *err);
/* The byte tokenizer's ids, as they are: for a corpus of width 1. */
int sy__corpus_append_bytes(struct sy_corpus *c, const char *bytes, int64_t n, struct sy_err *err);
/* Expand the paths, and behind them those for validation, if there are any. */
int sy__corpus_find(struct sy_corpus *c, const char *const *paths, int count,
                    const char *const *val_paths, int val_count, struct sy_err *err);
int sy__corpus_finish(struct sy_corpus *c, double val, struct sy_err *err); /* split */
/* The border of separate files counts into the hash of the data. */
uint64_t sy__corpus_id_hash(const struct sy_corpus *c);
void sy__corpus_hash_border(const struct sy_corpus *c, struct sy_hash *h);
int sy__check_val(double val, struct sy_err *err);

static inline int32_t sy__corpus_id(const struct sy_corpus *c, int64_t i)
{
    return c->width == 1   ? ((const uint8_t *)c->ids)[i]
           : c->width == 2 ? ((const uint16_t *)c->ids)[i]
                           : ((const int32_t *)c->ids)[i];
}
void sy__corpus_copy(const struct sy_corpus *c, int64_t first, int64_t n, int32_t *ids);

#endif
