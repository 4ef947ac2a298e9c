/* Inside of a tokenizer, shared by its makers (bytes, trainer, tokenizer.json) and the encoder. */
#ifndef SY_DATA_TOKENIZER_TOKENIZER_INT_H
#define SY_DATA_TOKENIZER_TOKENIZER_INT_H

#include "base/str.h"
#include "data/tokenizer/added_tokens_int.h"
#include "data/tokenizer/normalizer_int.h"
#include "data/tokenizer/pretokenizer_int.h"
#include "data/text_int.h"
#include "data/word_map_int.h"
#include "switchyard/tokenizer.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SY__EOT_NAME "<|endoftext|>"

struct sy__merge {
    int32_t left, right, id;
};

struct sy__pair { /* of the hash table (left, right) -> rank, id */
    uint64_t key; /* left << 32 | right, plus 1; 0: free */
    uint32_t rank;
    int32_t id;
};

struct sy__template { /* ids that a post-processor puts around a text */
    int32_t *id;      /* owned: before[0..before), then after */
    size_t room;
    int32_t before, after;
};

struct sy__strip { /* what a decoder takes away at the ends of the whole text */
    char c[5];     /* UTF-8 */
    int32_t start, stop;
    bool spaces; /* every space of the first token (Metaspace) */
};

struct sy_tokenizer {
    atomic_int refs;
    int32_t size, eot, bos;
    char *bytes;       /* what each token decodes to, one after another */
    uint32_t *start;   /* [size + 1]: token i is bytes[start[i] .. start[i + 1]) */
    bool *special;     /* [size]: added tokens */
    int32_t byte[256]; /* id of each byte, or -1; with `chars` for characters without a token */
    struct sy__merge *merge;
    int32_t merges; /* 0: the byte tokenizer, when byte[b] == b and size == 256 */
    struct sy__pair *pair;
    uint32_t pairs; /* slots, a power of two; 0 without merges */
    struct sy__normals normals;
    struct sy__pretok pretok;
    const struct sy__pattern *pattern; /* the only stage's, when that isolates; else NULL */
    struct sy__added_set raw, normalized;
    char *names;            /* of both sets */
    struct sy__words vocab; /* text of a token -> id + 1; with chars or ignore_merges only */
    bool chars;             /* merging begins with characters, not with bytes */
    bool ignore_merges;     /* a word that is a token is taken whole */
    bool fuse_unk, cuttable;
    bool bare;   /* read as before added tokens were looked for in text */
    int32_t unk; /* for a character that has no token and no bytes; -1: it is left out */
    struct sy__template around;
    struct sy__strip strip;
    char *source; /* the file as it was read; NULL: made here */
    size_t source_n;
    uint64_t hash;
};

struct sy__token { /* what sy__tokenizer_make is given for each id */
    const char *bytes;
    size_t len;
    bool special, present; /* an id that is not present decodes to nothing */
    bool model;            /* of the vocabulary: merges may give it */
};

/* All that makes a tokenizer.  sy__tokenizer_make copies tokens, merges and added; it takes, also
 * on failure, what is owned. */
struct sy__recipe {
    const struct sy__token *tokens;
    int32_t size;
    const struct sy__merge *merges;
    int32_t n;
    const struct sy__added *added;
    int32_t n_added;
    struct sy__normals normals; /* owned */
    struct sy__pretok pretok;   /* owned */
    struct sy__words vocab;     /* owned */
    bool chars, ignore_merges, byte_fallback, fuse_unk;
    int32_t unk;                /* -1: none */
    int32_t byte[256];          /* with byte_fallback */
    struct sy__template around; /* owned */
    struct sy__strip strip;
    char *source; /* owned */
    size_t source_n;
    const char *beyond; /* what the hash must hold beside tokens, merges and one pattern; or NULL */
};
/* NULL: MEMORY, or FORMAT for a missing byte or a pair that is merged twice. */
struct sy_tokenizer *sy__tokenizer_make(struct sy__recipe *r, struct sy_err *err);
void sy__recipe_free(struct sy__recipe *r); /* what is owned */
bool sy__tokenizer_is_bytes(const struct sy_tokenizer *tok);
/* The id of a newline, or -1. */
int32_t sy__tokenizer_newline(const struct sy_tokenizer *tok);
/* sy__pattern_cut for all that a tokenizer does. */
size_t sy__tokenizer_cut(const struct sy_tokenizer *tok, const char *text, size_t n, size_t want);
/* One stage that isolates the pattern's matches; takes the pattern.  NULL: no stage. */
struct sy__pretok sy__pretok_of(struct sy__pattern *pattern);

/* ---- encoding: one encoder a thread ---- */

struct sy__ids {   /* growing list */
    int32_t *data; /* owned */
    int64_t len;
    size_t cap;
};
int sy__ids_reserve(struct sy__ids *v, int64_t more); /* 0, or -1 when memory is out */

struct sy__encoder;
struct sy__encoder *sy__encoder_new(const struct sy_tokenizer *tok, int (*stop)(void),
                                    struct sy_err *err);
void sy__encoder_free(struct sy__encoder *e);
/* Append the ids of text[0..n). */
int sy__encode(struct sy__encoder *e, const char *text, size_t n, struct sy__ids *out,
               struct sy_err *err);

/* Encode texts[0..count) by the pool's threads; out[i] gets the ids of text i.  Long texts are cut
 * into pieces at safe places, so the ids are those of one encoder for each text as a whole. */
struct sy__place { /* where encoding failed: byte `at` of texts[text] */
    int64_t text;
    size_t at;
};
struct sy__encoders;
struct sy__encoders *sy__encoders_new(const struct sy_tokenizer *tok,
                                      const struct sy_progress *progress, struct sy_err *err);
void sy__encoders_free(struct sy__encoders *set);
/* Appends all texts' ids to out, in order; ends[i] is out->len after text i (NULL: not wanted).
 * After FORMAT *place says where. */
int sy__encode_many(struct sy__encoders *set, const struct sy__text *texts, int64_t count,
                    struct sy__ids *out, int64_t *ends, struct sy__place *place,
                    struct sy_err *err);

#endif
