/* The pairs of a corpus, as ids. */
#ifndef SY_DATA_PAIRS_PAIRS_INT_H
#define SY_DATA_PAIRS_PAIRS_INT_H

#include "switchyard/pairs.h"

#include <stdatomic.h>

struct sy__row;

struct sy__pairs {         /* of a corpus; count 0: it is of text */
    struct sy_pair *pair; /* owned; those for training first */
    int64_t count, train;
    char *tag, *other; /* owned; struct sy_languages */
    bool sources_are_targets, cut;
    int32_t start; /* sy_tokenizer_start */
    _Atomic(struct sy__packing *) packings; /* packing.c: each made when it is first asked for */
};
void sy__pairs_free(struct sy__pairs *p);

struct sy__packing {
    enum sy_split split;
    int64_t inputs, context; /* S, T */
    struct sy_packing sum;
    int64_t *start; /* [rows + 1], owned: row i holds pair[start[i] .. start[i + 1]) */
    int32_t *pair;  /* [sum.pairs], owned */
    struct sy__packing *next;
};
void sy__packing_free(struct sy__packing *p); /* NULL is fine */

/* ---- packing.c ---- */

/* The rows of S input and T target tokens, borrowed from the corpus; NULL: no pair fits, or no
 * memory.  Once it was made, asking again allocates nothing. */
const struct sy__packing *sy__packing_of(const struct sy_corpus *c, enum sy_split split,
                                         int64_t inputs, int64_t context, struct sy_err *err);
int64_t sy__packing_rows(const struct sy__packing *p);
/* Write row `number`, from 0; r has its corpus and lengths. */
void sy__packing_write(const struct sy__packing *p, int64_t number, struct sy__row *r);
/* Token of the corpus at which the first pair of a row begins. */
int64_t sy__packing_first(const struct sy__packing *p, const struct sy_corpus *c, int64_t number);

#endif
