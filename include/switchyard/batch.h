/* A batch: named fields that a program reads and the sampler fills.
 *
 *  1. A field is a row of SY_FIELD_MAP and, where not every data set has it, a reason in
 *     src/data/batch.c.  Nothing else lists them.
 *  2. A field of a batch is a pure function of (corpus, seed, windows drawn), as the windows are.
 *  3. A field has a value of 4 bytes for each token of the model's one stack, or of its decoder (T
 *     a row), for each token of the encoder's input (S a row), or one for a row.
 *  4. Where nothing stands (padding) documents and input_documents are -1, targets -1, tokens and
 *     inputs the tokenizer's id of padding, else 0. */
#ifndef SWITCHYARD_BATCH_H
#define SWITCHYARD_BATCH_H

#include "switchyard/dtype.h"

#include <math.h>
#include <stdint.h>

struct sy_sampler;

/* What a field goes by: (B,T), (B,S), (B).  X(ID, name) */
#define SY_LENGTH_MAP(X) X(CONTEXT, "context") X(INPUT, "input") X(ROW, "row")

enum sy_length {
#define X(id, name) SY_LENGTH_##id,
    SY_LENGTH_MAP(X)
#undef X
};

/* X(id, name, dtype, length, of a text that is of no corpus, what it is); NAN: such a text has
 * none. */
#define SY_FIELD_MAP(X)                                                                            \
    X(TOKENS, "tokens", SY_I32, CONTEXT, 0, "token ids of the windows")                            \
    X(TARGETS, "targets", SY_I32, CONTEXT, -1, "each token's next; -1 counts nothing")             \
    X(WEIGHTS, "weights", SY_F32, CONTEXT, 1,                                                      \
      "weight of each target in the loss, scaled to average 1 over a step or an evaluation")       \
    X(DOCUMENTS, "documents", SY_I32, CONTEXT, 0, "number of each token's document; -1: padding")  \
    X(SOURCES, "sources", SY_I32, CONTEXT, 0,                                                      \
      "which source of the data each token is of; 0 where there is one")                           \
    X(INPUTS, "inputs", SY_I32, INPUT, (double)NAN, "token ids that an encoder reads")             \
    X(INPUT_DOCUMENTS, "input_documents", SY_I32, INPUT, (double)NAN,                              \
      "of each of inputs its document, by the numbers of documents; -1: padding")                  \
    X(INPUT_SOURCES, "input_sources", SY_I32, INPUT, (double)NAN, "as sources, of inputs")         \
    X(PREFIX, "prefix", SY_I32, ROW, 0, "so many first tokens of the row are seen by all of it")   \
    X(OBJECTIVES, "objectives", SY_I32, ROW, 0, "number of the objective that made the row")

enum sy_field {
#define SY_FIELD_ID(id, name, dtype, length, alone, help) SY_FIELD_##id,
    SY_FIELD_MAP(SY_FIELD_ID)
#undef SY_FIELD_ID
        SY_FIELD_COUNT
};

struct sy_field_spec {
    const char *name;
    enum sy_dtype dtype;
    enum sy_length length;
    double alone; /* all its values for a text that is of no corpus; NAN: it has none */
    const char *help;
};
/* The row of a field; static. */
const struct sy_field_spec *sy_field_spec(enum sy_field f);
/* The field of this name (enum sy_field), or -1. */
int sy_field_find(const char *name);
/* Values of a row: T, S or 1. */
int64_t sy_field_values(enum sy_field f, int64_t context, int64_t inputs);
/* NULL, or why what the sampler draws from cannot give the field: "the data has no loss weights
 * (...)". */
const char *sy_field_missing(enum sy_field f, const struct sy_sampler *s);

/* Where the fields of a batch go. */
struct sy_batch {
    void *at[SY_FIELD_COUNT]; /* B rows of the field's dtype; borrowed; NULL: not wanted */
    /* of weights: sy_tally_scale; looked at with them only */
    double scale;
};
#define SY_FIELD_BYTES 4 /* of a value */
/* Scale the n weights of targets that count to average 1 among these; all 0 stay so.  targets NULL:
 * all count. */
void sy_weights_average(float *weights, const int32_t *targets, int64_t n);

/* What some rows hold. */
struct sy_tally {
    int64_t tokens;  /* that are no padding, of both sides */
    int64_t targets; /* that count */
    double weight;   /* of these */
};
/* What loss weights of a micro-batch are multiplied by, one of `parts` whose losses are averaged,
 * so that the mean is that over all targets of the whole: its losses then add up to what one large
 * batch gives.  0 where all weights are 0. */
double sy_tally_scale(const struct sy_tally *part, const struct sy_tally *whole, int64_t parts);

#endif
