/* Tokenizers: text to ids and back.
 *
 *  1. Ids are int32, 0..size-1.  decode(encode(s)) == s for any bytes s, valid UTF-8 or not, where
 *     the tokenizer is byte-level and has no normalizer; text that is normalized comes back so.
 *  2. A tokenizer never changes after it was made: any number of threads may use one.  It is
 *     counted: sy_tokenizer_ref for another owner, sy_tokenizer_unref to let go.
 *  3. Added tokens, special or not, are found in text, as the tokenizers library does: the text
 *     "<|endoftext|>" gives that token's id.  Tokens around a text are put when asked for.
 *  4. The file format is Hugging Face's tokenizer.json: ids are those of its tokenizers library, or
 *     the file is refused with the name of what is not done here.  A file that was read is saved as
 *     it was; what we write loads there and gives the same ids. */
#ifndef SWITCHYARD_TOKENIZER_H
#define SWITCHYARD_TOKENIZER_H

#include "switchyard/err.h"
#include "switchyard/progress.h"
#include "switchyard/reading.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sy_tokenizer;

/* Special tokens of a tokenizer that is made here.  Where any is asked for, end-of-text and <pad>
 * are there, too; ids in the order: end-of-text, <pad>, the three of fim, names, sentinels.  A text
 * gives one only where it spells its name (invariant 3). */
#define SY_SENTINELS_MAX 4096
struct sy_special_tokens {
    int32_t sentinels; /* <extra_id_n-1> ... <extra_id_0>: this one is the last id, as T5 has it */
    bool pad;          /* end-of-text and <pad>, if nothing else */
    bool fim;          /* <|fim_prefix|> <|fim_middle|> <|fim_suffix|> */
    const char *const *names; /* others */
    int32_t count;
};

/* One id a byte, 256 ids, no special token.  Shared: count 1.  Errors: MEMORY. */
struct sy_tokenizer *sy_tokenizer_bytes(struct sy_err *err);
/* The same, with special tokens from id 256 on (NULL: none).  Errors: MEMORY, RANGE, FORMAT (a name
 * that is named twice, or is none). */
struct sy_tokenizer *sy_tokenizer_bytes_with(const struct sy_special_tokens *special,
                                             struct sy_err *err);

struct sy_bpe_options {
    int32_t vocab;       /* ids in all: 256 bytes, merges, special tokens; 257..1048576 */
    const char *pattern; /* "qwen2" (NULL), "gpt-2", "llama-bpe", "gpt-4o": GGUF's names */
    struct sy_special_tokens special; /* zeros: end-of-text alone */
    struct sy_read_options read;
    char **reading; /* gets what was read as what, owned (sy_free), or NULL: one plain text; NULL:
                       not wanted */
    const struct sy_progress *progress;
};

/* Byte-level BPE.  Ids 0..255 are the bytes, then the merges in order, last "<|endoftext|>"
 * and the other special tokens.  The
 * most frequent pair is merged first, ties by ascending (left, right); pairs seen once are not
 * merged, so a short text gives fewer ids than asked for.  The result does not depend on threads.
 * Paths as in sy_corpus_text (data.h).  Errors: RANGE, NAME, MEMORY, IO, NOTFOUND, FORMAT,
 * CANCELLED.  Source: Sennrich et al. 2016, algorithm 1; byte level as in Radford et al. 2019. */
struct sy_tokenizer *sy_bpe_train(const char *const *paths, int count,
                                  const struct sy_bpe_options *options, struct sy_err *err);
/* The same of one text of n bytes in memory. */
struct sy_tokenizer *sy_bpe_train_text(const char *text, size_t n,
                                       const struct sy_bpe_options *options, struct sy_err *err);

struct sy_tokenizer *sy_tokenizer_ref(struct sy_tokenizer *tok); /* returns tok */
void sy_tokenizer_unref(struct sy_tokenizer *tok);               /* NULL is allowed */

/* Read a BPE tokenizer.json (a file, or a folder that holds one).  `parse` reads the text of one;
 * `name` stands in messages.  Errors: NOTFOUND, IO, FORMAT, UNSUPPORTED, MEMORY. */
struct sy_tokenizer *sy_tokenizer_load(const char *path, struct sy_err *err);
struct sy_tokenizer *sy_tokenizer_parse(const char *json, size_t n, const char *name,
                                        struct sy_err *err);
/* The same as versions before 0.2 did it: added tokens are not looked for in text and nothing is
 * normalized.  For runs that were recorded with such ids. */
struct sy_tokenizer *sy_tokenizer_load_bare(const char *path, struct sy_err *err);
bool sy_tokenizer_is_bare(const struct sy_tokenizer *tok); /* it came from load_bare */
/* Write it, replacing the file as a whole or not at all.  Errors: IO, MEMORY. */
int sy_tokenizer_save(const struct sy_tokenizer *tok, const char *path, struct sy_err *err);

/* Returns the number of ids and sets *ids to an owned array (sy_free), or returns -1.  Long texts
 * are encoded by the pool's threads; the ids do not depend on how many there are. */
int64_t sy_tokenizer_encode(const struct sy_tokenizer *tok, const char *text, size_t n,
                            int32_t **ids, struct sy_err *err);
struct sy_encode_options {
    bool special; /* put what the file's post-processor puts around a text */
    const struct sy_progress *progress; /* its stop ends the work; NULL: nobody does */
};
/* As sy_tokenizer_encode (options NULL: the same).  Errors: MEMORY, CANCELLED, RANGE (a word over
 * 2 GB). */
int64_t sy_tokenizer_encode_with(const struct sy_tokenizer *tok, const char *text, size_t n,
                                 const struct sy_encode_options *options, int32_t **ids,
                                 struct sy_err *err);
/* Owned bytes (sy_free), NUL-terminated, *len without the NUL.  Errors: RANGE names the id. */
char *sy_tokenizer_decode(const struct sy_tokenizer *tok, const int32_t *ids, int64_t n,
                          size_t *len, struct sy_err *err);
/* The same; with goes_on the ids go on from others: nothing is taken away at the beginning. */
char *sy_tokenizer_decode_on(const struct sy_tokenizer *tok, const int32_t *ids, int64_t n,
                             bool goes_on, size_t *len, struct sy_err *err);

int32_t sy_tokenizer_size(const struct sy_tokenizer *tok); /* V */
int32_t sy_tokenizer_eot(const struct sy_tokenizer *tok);  /* end-of-text, or -1 */
/* What a decoder begins with, and what rows are padded with: <pad>; without one the end-of-text;
 * without that, and of no tokenizer (NULL), 0. */
int32_t sy_tokenizer_start(const struct sy_tokenizer *tok);
int32_t sy_tokenizer_bos(const struct sy_tokenizer *tok);  /* as known from a file, or -1 */
/* The special token of this name, or -1; any of the file's.  Those of fim, <pad> and <|endoftext|>
 * are also found under the names that other families have for them. */
int32_t sy_tokenizer_special(const struct sy_tokenizer *tok, const char *name);
/* Bytes of one token, borrowed; NULL outside 0..size-1.  A special token's bytes are its name. */
const char *sy_tokenizer_token(const struct sy_tokenizer *tok, int32_t id, size_t *len);
/* "bytes" (special tokens beside them, or none) or "bpe". */
const char *sy_tokenizer_kind(const struct sy_tokenizer *tok);
/* Name of the splitting pattern as GGUF knows it (`tokenizer.ggml.pre`), "" when unknown. */
const char *sy_tokenizer_pattern(const struct sy_tokenizer *tok);
/* Equal hashes: equal tokens, merges and pattern. */
uint64_t sy_tokenizer_hash(const struct sy_tokenizer *tok);

#endif
