/* Pairs as text, before they are encoded: collected by readers, without what is no pair and what is
 * there twice.
 *
 *  1. A pair is held out for validation by its key, its text on the side that has one language: all
 *     pairs with this key, in all languages and files, are on the same side; so are those whose key
 *     has the same letters, whatever its digits, spaces, case and punctuation (by Unicode).
 *  2. Whether a key is held out depends on itself and the share alone; but of any share over 0 the
 *     least of all keys is. */
#ifndef SY_DATA_PAIRS_PAIR_LIST_INT_H
#define SY_DATA_PAIRS_PAIR_LIST_INT_H

#include "base/str.h"
#include "data/word_map_int.h"
#include "switchyard/err.h"
#include "switchyard/progress.h"

#include <stdbool.h>
#include <stdint.h>

#define SY__SOURCES_MOST 4096
#define SY__TEXT_MOST ((size_t)1 << 20) /* bytes of one side */

struct sy__pair_text {
    size_t at;           /* in text: input, then target */
    uint32_t input, target; /* bytes */
    int32_t source, file;
    int64_t line;
    uint64_t key; /* hash of what it is held out by; of sy__pair_keys */
    bool held;
    bool left; /* out, as it was encoded: it spells a special token */
};

struct sy__pair_list {
    struct sy_str text;
    struct sy__pair_text *pair; /* owned */
    int64_t n;
    size_t cap;
    struct sy__words seen;   /* hashes of pairs */
    struct sy__words known;  /* names of sources -> number + 1 */
    char **source;           /* owned names */
    int32_t sources;
    size_t sources_cap;
    int64_t twice, equal, empty, few, bad, special; /* left out, why */
    int64_t damaged, foreign, unread;       /* files that were */
    const struct sy_progress *progress;     /* NULL: nobody watches */
    double done;                            /* of the work, for it */
    int64_t offered;
};

int sy__no_pair_memory(struct sy_err *err);

/* The number of the source of this name, a new one where there was none; -1: MEMORY, RANGE. */
int32_t sy__pair_source(struct sy__pair_list *l, const char *name, size_t n, struct sy_err *err);
/* Add a pair, or count why not.  The texts are UTF-8 and are copied.  Errors: MEMORY, CANCELLED. */
struct sy__new_pair {
    const char *input, *target;
    size_t input_n, target_n;
    int32_t source, file;
    int64_t line;
};
int sy__pair_add(struct sy__pair_list *l, const struct sy__new_pair *p, struct sy_err *err);
/* Give each its key, the input or else the target; those whose key has fewer words are left out. */
void sy__pair_keys(struct sy__pair_list *l, bool inputs, int words);
/* By the keys, which are held out: the share `val` of the keys, at least one key and not all. */
int sy__pair_hold(struct sy__pair_list *l, double val, struct sy_err *err);
/* "36034 pairs: de 20000, fr 16034; held out: 1801; left out: 80 there twice, 30 empty" */
void sy__pair_tell(const struct sy__pair_list *l, struct sy_str *out);
void sy__pair_list_free(struct sy__pair_list *l);

#endif
