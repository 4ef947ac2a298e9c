/* A row of a batch as it is written: all fields at once, token by token or in stretches of text.
 *
 *     output   x0 x1 x2 ... xT          tokens   x0 .. x(T-1)
 *                                       targets  x1 .. xT, -1 where the token does not count
 *     input    y0 y1 ... y(S-1)         inputs, of a model with an encoder
 *
 *  1. A layout writes what a row of it is and nothing else: fields, weights, padding and counting
 *     are made of that here, so that counting a row (no fields wanted) is the same as filling it.
 *  2. What does not fit behind xT or y(S-1) is left out.
 *  3. What is drawn for a row is keyed by the number of its window, which the sampler counts. */
#ifndef SY_DATA_ROW_INT_H
#define SY_DATA_ROW_INT_H

#include "base/rng.h"
#include "data/corpus_int.h"

#include <stdbool.h>

struct sy__row {
    const struct sy_corpus *corpus;
    int64_t start;           /* first token of its window */
    int64_t first_document;  /* of a mix: what the corpus's first one is there */
    struct sy_rng rng;       /* of this row */
    int64_t context, inputs; /* T; S, 0: there is no encoder */
    int32_t pad;             /* token id of padding */
    void *at[SY_FIELD_COUNT]; /* of this row; NULL: not wanted */
    double scale;             /* of weights */
    bool blind; /* it is only counted, and all weigh alike: which tokens they are matters not */
    /* written so far */
    int64_t out, in;
    struct sy_tally tally;
    /* of what is written next */
    bool counts;      /* it counts in the loss */
    bool documents;   /* it has the numbers of its documents in the corpus */
    int32_t document; /* or else this one */
    int32_t source;
    bool closed; /* the last token has its target already: no xT comes */
};

enum sy__side { SY__OUTPUT, SY__INPUT };

/* n tokens of the corpus, of the window from its `from`th (from 0) on. */
void sy__row_text(struct sy__row *r, enum sy__side side, int64_t from, int64_t n);
/* A token that is not in the text; it weighs 1. */
void sy__row_id(struct sy__row *r, enum sy__side side, int32_t id);
/* What follows has the numbers of its documents: text its own, tokens that are not in it that of
 * the document of the window's token `at`. */
void sy__row_documents(struct sy__row *r, int64_t at);
/* Where the document of the window's token `at` begins in the window, and where it ends at most n
 * tokens from the window's beginning. */
void sy__row_document(const struct sy__row *r, int64_t at, int64_t n, int64_t *first, int64_t *end);
/* The id of the window's token `at`. */
int32_t sy__row_token(const struct sy__row *r, int64_t at);
/* n tokens of the corpus that are given and do not count; then n that answer, each the target of
 * the one before it: `begin`, x1 .. x(n-1) with the targets x1 .. xn. */
void sy__row_prompt(struct sy__row *r, int64_t from, int64_t n);
void sy__row_answer(struct sy__row *r, int32_t begin, int64_t from, int64_t n);
/* What is one for the row. */
void sy__row_prefix(struct sy__row *r, int32_t tokens);
void sy__row_objective(struct sy__row *r, int32_t number);
/* Nothing more comes: the rest is padding. */
void sy__row_end(struct sy__row *r);

#endif
