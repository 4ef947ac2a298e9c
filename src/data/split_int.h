/* Pre-splitting: cutting text into the words inside which BPE merges, by a regular expression of
 * the GPT-2 type.
 *
 *  1. The pieces of a text, put together, are the text: stretches that the pattern does not match
 *     are pieces of their own ("Isolated" in Hugging Face's terms).
 *  2. Text is cut into valid UTF-8 and invalid bytes first; every invalid byte is a piece, and the
 *     valid stretches are matched one by one, each as if it were the whole text.
 *  3. A pattern is shared by threads, a splitter belongs to one. */
#ifndef SY_DATA_SPLIT_INT_H
#define SY_DATA_SPLIT_INT_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sy__pattern;

/* Compile.  Errors: FORMAT with PCRE2's reason and place, MEMORY. */
struct sy__pattern *sy__pattern_new(const char *regex, size_t n, struct sy_err *err);
void sy__pattern_free(struct sy__pattern *p);
/* The regular expression of a GGUF name, or NULL; all names, NULL-terminated. */
const char *sy__pattern_regex(const char *name);
const char *const *sy__pattern_names(void);
/* The GGUF name of what it was compiled from, or "". */
const char *sy__pattern_name(const struct sy__pattern *p);
const char *sy__pattern_text(const struct sy__pattern *p);
/* Length of the first part of text[0..n) when it is cut near `want` bytes at a place where every
 * text has a border between words, whatever stands around it; n when there is none. */
size_t sy__pattern_cut(const struct sy__pattern *p, const char *text, size_t n, size_t want);

struct sy__splitter {
    const struct sy__pattern *pattern; /* borrowed; NULL: each valid stretch is one word */
    void *match, *context, *stack;     /* PCRE2's, owned */
    bool plain;                        /* never take the short cut for ASCII words (for tests) */
    const char *text;                  /* borrowed while a text is being split */
    size_t n, pos, valid;              /* text[pos..valid) is valid UTF-8 */
    size_t base;                       /* where the valid stretch begins */
    size_t ahead, ahead_end;           /* a match behind an unmatched piece, not yet given out */
};

int sy__splitter_init(struct sy__splitter *s, const struct sy__pattern *p, struct sy_err *err);
void sy__splitter_free(struct sy__splitter *s);
void sy__splitter_start(struct sy__splitter *s, const char *text, size_t n);
/* 1 and a word of at least one byte; 0 at the end; -1 when the pattern gives up (FORMAT). */
int sy__splitter_next(struct sy__splitter *s, const char **word, size_t *len, struct sy_err *err);

#endif
