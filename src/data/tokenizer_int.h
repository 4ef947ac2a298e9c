/* Inside of a tokenizer, shared by its makers (bytes, trainer, tokenizer.json) and the encoder. */
#ifndef SY_DATA_TOKENIZER_INT_H
#define SY_DATA_TOKENIZER_INT_H

#include "base/str.h"
#include "data/split_int.h"
#include "data/words_int.h"
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

struct sy_tokenizer {
    atomic_int refs;
    int32_t size, eot, bos;
    char *bytes;       /* all tokens' bytes, one after another */
    uint32_t *start;   /* [size + 1]: token i is bytes[start[i] .. start[i + 1]) */
    bool *special;     /* [size] */
    int32_t byte[256]; /* id of each byte */
    struct sy__merge *merge;
    int32_t merges; /* 0: the byte tokenizer, when byte[b] == b and size == 256 */
    struct sy__pair *pair;
    uint32_t pairs; /* slots, a power of two; 0 without merges */
    struct sy__pattern *pattern;
    bool ignore_merges;     /* a word that is a token is taken whole */
    struct sy__words vocab; /* bytes -> id + 1, with ignore_merges only */
    uint64_t hash;
};

struct sy__token { /* what sy__tokenizer_make is given for each id */
    const char *bytes;
    size_t len;
    bool special, present; /* an id that is not present decodes to nothing */
};

/* Copies tokens[size] and merges; takes the pattern (also on failure).  The 256 bytes must be among
 * the tokens.  NULL: MEMORY, or FORMAT for a missing byte. */
struct sy_tokenizer *sy__tokenizer_make(const struct sy__token *tokens, int32_t size,
                                        const struct sy__merge *merges, int32_t n,
                                        struct sy__pattern *pattern, bool ignore_merges,
                                        struct sy_err *err);
bool sy__tokenizer_is_bytes(const struct sy_tokenizer *tok);

/* ---- encoding: one encoder a thread ---- */

struct sy__ids {   /* growing list */
    int32_t *data; /* owned */
    int64_t len, cap;
};
int sy__ids_reserve(struct sy__ids *v, int64_t more); /* 0, or -1 when memory is out */

struct sy__encoder;
struct sy__encoder *sy__encoder_new(const struct sy_tokenizer *tok, struct sy_err *err);
void sy__encoder_free(struct sy__encoder *e);
/* Append the ids of text[0..n). */
int sy__encode(struct sy__encoder *e, const char *text, size_t n, struct sy__ids *out,
               struct sy_err *err);

/* Encode texts[0..count) by the pool's threads; out[i] gets the ids of text i.  Long texts are cut
 * into pieces at safe places, so the ids are those of one encoder for each text as a whole. */
struct sy__text {
    const char *text;
    size_t n;
};
struct sy__encoders;
struct sy__encoders *sy__encoders_new(const struct sy_tokenizer *tok, struct sy_err *err);
void sy__encoders_free(struct sy__encoders *set);
/* Appends all texts' ids to out, in order; ends[i] is out->len after text i (NULL: not wanted). */
int sy__encode_many(struct sy__encoders *set, const struct sy__text *texts, int64_t count,
                    struct sy__ids *out, int64_t *ends, struct sy_err *err);

#endif
