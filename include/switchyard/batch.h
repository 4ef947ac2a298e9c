/* A batch: named fields that a program reads and the sampler fills.
 *
 *  1. A field is a row of SY_FIELD_MAP and a row of the table in src/data/batch.c: how a sequence
 *     of it is made, and why a corpus cannot give it.  Nothing else lists them.
 *  2. A field of a batch is a pure function of (corpus, seed, windows drawn), as the windows are.
 *  3. Every field is (B,T): T values a sequence, of 4 bytes each. */
#ifndef SWITCHYARD_BATCH_H
#define SWITCHYARD_BATCH_H

#include "switchyard/dtype.h"

#include <stdint.h>

struct sy_corpus;

/* X(id, name, dtype, of a text that is of no corpus, what it is) */
#define SY_FIELD_MAP(X)                                                                            \
    X(TOKENS, "tokens", SY_I32, 0, "token ids of the windows")                                     \
    X(TARGETS, "targets", SY_I32, -1, "each token's next; -1 counts nothing")                      \
    X(WEIGHTS, "weights", SY_F32, 1,                                                               \
      "weight of each target in the loss, scaled to average 1 over a step or an evaluation")       \
    X(DOCUMENTS, "documents", SY_I32, 0, "number of each token's document")

enum sy_field {
#define SY_FIELD_ID(id, name, dtype, alone, help) SY_FIELD_##id,
    SY_FIELD_MAP(SY_FIELD_ID)
#undef SY_FIELD_ID
        SY_FIELD_COUNT
};

struct sy_field_spec {
    const char *name;
    enum sy_dtype dtype;
    double alone; /* all its values for a text that is of no corpus */
    const char *help;
};
/* The row of a field; static. */
const struct sy_field_spec *sy_field_spec(enum sy_field f);
/* The field of this name (enum sy_field), or -1. */
int sy_field_find(const char *name);
/* NULL, or why this corpus cannot give the field: "the data has no loss weights (...)". */
const char *sy_field_missing(enum sy_field f, const struct sy_corpus *c);

/* Where the fields of a batch go. */
struct sy_batch {
    void *at[SY_FIELD_COUNT]; /* (B,T) of the field's dtype; borrowed; NULL: not wanted */
    /* of weights: sy_sampler_scale, sy_eval_scale; looked at with them only */
    double scale;
};
#define SY_FIELD_BYTES 4 /* of a value */
/* Scale n weights to average 1; all 0 stay so. */
void sy_weights_average(float *weights, int64_t n);

#endif
