/* Added tokens: those that are looked for in the text itself, before it is cut into words.
 *
 *  1. At each place from the left the longest token wins (tokenizers: Aho-Corasick, leftmost
 *     longest); what it covers is not looked at again.
 *  2. Tokens with `normalized` are looked for in the normalized text, under their normalized name;
 *     the others before that, in the text as it came. */
#ifndef SY_DATA_TOKENIZER_ADDED_TOKENS_INT_H
#define SY_DATA_TOKENIZER_ADDED_TOKENS_INT_H

#include "data/tokenizer/regex_split_int.h"

struct sy__added {
    const char *text; /* what is looked for; borrowed from the tokenizer's `names` */
    size_t n;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

struct sy__added_set {
    struct sy__added *token; /* owned, in ascending order of their bytes */
    int32_t n;
    int32_t first[257]; /* tokens that begin with byte b: first[b]..first[b + 1] */
};
/* Sorts and indexes token[0..n); takes the array. */
void sy__added_index(struct sy__added_set *set, struct sy__added *token, int32_t n);
/* The first token in text[*at..n): *at becomes its place.  NULL: there is none, or it was ended
 * (*ended). */
const struct sy__added *sy__added_find(const struct sy__added_set *set, const char *text, size_t n,
                                       size_t *at, struct sy__poll *poll, bool *ended);
/* Whether a token found at text[*from..*to) counts; widens the place by the white space that it
 * takes in, to no earlier than `taken`. */
bool sy__added_fits(const struct sy__added *t, const char *text, size_t n, size_t taken,
                    size_t *from, size_t *to);

#endif
