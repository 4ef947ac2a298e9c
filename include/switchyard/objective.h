/* Objectives: what of a window of text a model is shown, and what it is to predict.  An objective
 * is a row of SY_OBJECTIVE_MAP and a file of src/data/objectives/; a run has one, or a mixture of
 * which each row of a batch draws its own.
 *
 *  1. Numbers and names are in stored runs and in the field `objectives`: they are never changed.
 *  2. Which objective makes a row, and all that it draws, is a pure function of the seed and the
 *     number of the row's window.
 *  3. The windows of a mixture are as long as the longest of its objectives needs them; the others
 *     take the first tokens.
 *  4. A model that reads `inputs` is an encoder-decoder: it reads S tokens there, and writes T.
 *     All others read and write T tokens in one row. */
#ifndef SWITCHYARD_OBJECTIVE_H
#define SWITCHYARD_OBJECTIVE_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sy_tokenizer;

/* X(ID, name) */
#define SY_OBJECTIVE_MAP(X) X(NEXT, "next") X(SPAN, "span") X(PREFIX, "prefix") X(FIM, "fim")

enum sy_objective {
#define X(id, name) SY_OBJECTIVE_##id,
    SY_OBJECTIVE_MAP(X)
#undef X
        SY_OBJECTIVE_COUNT
};

#define SY_OBJECTIVE_OPTIONS 2 /* an objective has so many at most */
struct sy_objective_option {
    const char *name; /* NULL: there is none */
    double least, most, preset;
    const char *help;
};
struct sy_objective_spec {
    const char *name, *help;
    struct sy_objective_option option[SY_OBJECTIVE_OPTIONS];
};
/* Its row; static. */
const struct sy_objective_spec *sy_objective_spec(enum sy_objective o);
int sy_objective_find(const char *name); /* or -1 */

struct sy_objective_part { /* of a mixture */
    enum sy_objective objective;
    double share; /* of the rows, over 0; of all parts together 1 is made */
    double option[SY_OBJECTIVE_OPTIONS];
};

struct sy_objectives;

/* n >= 1 parts, no objective twice.  The tokenizer (NULL: there is none) gives the special tokens;
 * it is not needed any more afterwards.  Shared: count 1.  Errors: RANGE (a share, an option),
 * UNSUPPORTED (a special token that the tokenizer lacks, with how to get it), MEMORY. */
struct sy_objectives *sy_objectives_new(const struct sy_objective_part *parts, int n,
                                        const struct sy_tokenizer *tokenizer, struct sy_err *err);
struct sy_objectives *sy_objectives_ref(struct sy_objectives *o); /* returns o; NULL is fine */
void sy_objectives_unref(struct sy_objectives *o);                /* NULL is fine */
int sy_objectives_count(const struct sy_objectives *o);           /* of its parts; NULL: 1 */
/* The i-th of them, from 0, by rising objective. */
struct sy_objective_part sy_objectives_part(const struct sy_objectives *o, int i);

/* Can rows of T tokens (and S, of an encoder's input; 0: there is none) be made?  NULL is "next".
 * Errors: RANGE, UNSUPPORTED; all with the values. */
int sy_objectives_check(const struct sy_objectives *o, int64_t context, int64_t inputs,
                        struct sy_err *err);
/* Tokens by which windows of such rows follow each other; a row reads at most one more.  What
 * follows needs lengths that have passed the check. */
int64_t sy_objectives_window(const struct sy_objectives *o, int64_t context, int64_t inputs);
/* All targets count, and no token is padding. */
bool sy_objectives_even(const struct sy_objectives *o);
/* Rows of a model of one stack may end in padding; NULL: none does. */
bool sy_objectives_pads(const struct sy_objectives *o);
struct sy_span_lengths {
    int64_t raw, inputs, targets;
};
/* Lengths of span corruption by T5's rule: the longest window (raw) whose inputs are at most
 * `inputs` tokens, and what it makes.  Source: Raffel et al. 2020, random_spans_helper of
 * text-to-text-transfer-transformer. */
struct sy_span_lengths sy_span_lengths(double density, double mean, int64_t inputs);

#endif
