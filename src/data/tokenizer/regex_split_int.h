/* Pre-splitting: cutting text into the words inside which BPE merges, by a regular expression of
 * the GPT-2 type.
 *
 *  1. The pieces of a text, put together, are the text: stretches that the pattern does not match
 *     are pieces of their own ("Isolated" in Hugging Face's terms).
 *  2. Text is cut into valid UTF-8 and invalid bytes first; every invalid byte is a piece, and the
 *     valid stretches are matched one by one, each as if it were the whole text.
 *  3. A pattern is shared by threads, a splitter belongs to one.
 *  4. Patterns of tokenizer.json are written for Oniguruma.  What PCRE2 reads otherwise is spelled
 *     out so that both match the same, or refused by name; nothing is matched approximately.
 *  5. A search has a limit of steps that grows with the text, so that linear work never meets it.
 */
#ifndef SY_DATA_TOKENIZER_REGEX_SPLIT_INT_H
#define SY_DATA_TOKENIZER_REGEX_SPLIT_INT_H

#include "base/str.h"
#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sy__pattern;

/* Long work that can be ended from outside.  stop is asked from any thread; NULL: never. */
struct sy__poll {
    int (*stop)(void);
    uint32_t done; /* work since it was asked last, in bytes or so */
};
/* Whether to end; asks about once for each megabyte of work. */
static inline bool sy__poll(struct sy__poll *p, size_t work)
{
    if (!p || !p->stop || (p->done += work < 1 << 20 ? (uint32_t)work : 1 << 20) < 1 << 20)
        return false;
    p->done = 0;
    return p->stop() != 0;
}

/* Compile.  Errors: FORMAT with PCRE2's reason and place, UNSUPPORTED, MEMORY. */
struct sy__pattern *sy__pattern_new(const char *regex, size_t n, struct sy_err *err);
/* The pattern that matches a text as it stands. */
struct sy__pattern *sy__pattern_literal(const char *text, size_t n, struct sy_err *err);
void sy__pattern_free(struct sy__pattern *p);
/* Append Oniguruma's regular expression in PCRE2's words (regex_spelling.c).  UNSUPPORTED, MEMORY.
 */
int sy__pattern_spell(struct sy_str *out, const char *re, size_t n, struct sy_err *err);
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
    size_t ahead_end;                  /* of a match behind an unmatched piece, or 0 */
    size_t last;                       /* where the last match ended; SIZE_MAX: none yet */
    bool ahead, matched;               /* a match waits; what was given out last is one */
    struct sy__poll *poll;             /* borrowed; NULL: cannot be ended */
};

int sy__splitter_init(struct sy__splitter *s, const struct sy__pattern *p, struct sy_err *err);
void sy__splitter_free(struct sy__splitter *s);
void sy__splitter_start(struct sy__splitter *s, const char *text, size_t n);
/* The same for text that is known to be valid UTF-8. */
void sy__splitter_start_valid(struct sy__splitter *s, const char *text, size_t n);
/* 1 and a word; 0 at the end; -1 when the pattern gives up (FORMAT) or was ended (CANCELLED); then
 * pos is where.  A word is empty only where the pattern matches nothing: a border. */
int sy__splitter_next(struct sy__splitter *s, const char **word, size_t *len, struct sy_err *err);

#endif
