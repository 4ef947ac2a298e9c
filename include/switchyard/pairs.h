/* Pairs of texts, input and target: translations.  A corpus of pairs has a document a pair, the
 * input's ids before the target's, each with the tokenizer's end-of-text behind it.
 *
 *  1. Rows of a batch hold several whole pairs; which stand together depends on the corpus, the
 *     part and the lengths of a row alone (src/data/pairs/packing.c).  A window of the sampler is a
 *     row.
 *  2. Pairs are held out for validation by one of their texts, the key: the one on the side that
 *     has one language, over all languages of the other; of two languages the target, in
 *     catalogues the English one.  Keys with the same letters (of any alphabet) are on the same
 *     side, whatever their digits, case, spaces and punctuation.
 *  3. A pair that is there twice is taken once; one of equal texts, or with an empty one, is left
 *     out.  What was left out is counted and stands in sy_corpus_reading. */
#ifndef SWITCHYARD_PAIRS_H
#define SWITCHYARD_PAIRS_H

#include "switchyard/data.h"

struct sy_pair_options {
    struct sy_tokenizer *tokenizer; /* another count is taken, it must have an end-of-text; NULL: a
                                     * BPE of `vocab` ids, trained on the training pairs; or with
                                     * vocab 0 bytes with end-of-text and <pad> */
    int32_t vocab;
    double val;      /* share of the keys that is held out, 0 <= val < 1 */
    const char *tag; /* stands before each input, {from} and {to} being languages; NULL: none, or
                      * "<2{to}> " where there are several to translate into */
    bool cut;        /* what is longer than a row is cut, else left out (sy_packing) */
    const char *help; /* of catalogues: a folder of LibreOffice's help, LANGUAGE/text, whose pages
                       * are read as well; NULL: none */
    int words;       /* fewest words of a key; 0: any */
    int64_t unpack_max; /* as in sy_read_options */
    const struct sy_progress *progress;
};

/* Tables with tabs (input, target; or language, input, target), named so or not; or exactly two
 * files, neither named .tsv, whose lines belong together.  .gz and .zst are unpacked.  from, to:
 * languages; NULL: the endings of aligned files, else "from" and "to".  Shared: count 1.  Errors:
 * FORMAT names file and line, or both counts of lines; IO, NOTFOUND, RANGE, MEMORY, CANCELLED. */
struct sy_corpus *sy_corpus_pairs(const char *const *paths, int count, const char *from,
                                  const char *to, const struct sy_pair_options *options,
                                  struct sy_err *err);

/* FOLDER/LANGUAGE/LC_MESSAGES: the translations in message catalogues (.mo), whose messages are
 * English: one of from and to is "en" alone.  folder NULL: /usr/share/locale; languages as folders
 * are named: "de", "pt_BR"; a file that is linked into two of them is read for both.  What is no
 * catalogue, or damaged, is left out as a whole and counted.  Errors: NOTFOUND says which languages
 * are there, or what to install; NAME (a language that is named twice); the rest as above. */
struct sy_corpus *sy_corpus_catalogues(const char *folder, const char *const *from, int from_count,
                                       const char *const *to, int to_count,
                                       const struct sy_pair_options *options, struct sy_err *err);

int64_t sy_corpus_pair_count(const struct sy_corpus *c); /* 0: it is of text */
int64_t sy_corpus_pair_train(const struct sy_corpus *c); /* the first so many are for training */
struct sy_pair {
    int64_t first;         /* token of the corpus: the input's, then the target's */
    int32_t input, target; /* tokens, with their end-of-text */
    int32_t source;
};
/* Pair `number`, from 0 to their count - 1. */
void sy_corpus_pair(const struct sy_corpus *c, int64_t number, struct sy_pair *out);

struct sy_languages {
    const char *tag; /* borrowed; "": none */
    bool sources_are_targets; /* the sources (sy_corpus_source) are languages translated into */
    const char *other; /* the one language of the other side; borrowed */
};
/* Of a corpus of pairs. */
struct sy_languages sy_corpus_languages(const struct sy_corpus *c);

struct sy_packing { /* of the training or validation pairs into rows */
    int64_t rows, pairs; /* pairs in them */
    int64_t left, cut;   /* pairs that are longer than a row */
    int64_t input_tokens, target_tokens;
};
/* How pairs stand in rows of S input and T target tokens (S 0: input and target in one of T).
 * Errors: RANGE (no pair fits), MEMORY. */
int sy_corpus_packing(const struct sy_corpus *c, enum sy_split split, int64_t inputs,
                      int64_t context, struct sy_packing *out, struct sy_err *err);

#endif
