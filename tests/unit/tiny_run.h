/* A small model and its trainer, made in C: embedding, dropout, two matrices with tanh between, a
 * mask (an input), a state that follows the mean of the hidden values, cross entropy. */
#ifndef SY_TESTS_TINY_RUN_H
#define SY_TESTS_TINY_RUN_H

#include "switchyard/train.h"

struct tiny_options {
    int64_t steps, accumulate, checkpoint_every, width;
    uint64_t seed, data_seed;
    const char *optimizer; /* NULL: the default */
    double dropout; /* 0: a tenth */
    struct sy_corpus *corpus; /* borrowed; NULL: a text of its own */
    enum sy_sample_mode sampling;
    bool swapped;   /* the embedding's matrix and the head's, of one shape, change places */
    void (*on_event)(void *ctx, const struct sy_event *e);
    void (*on_step)(void *ctx, const struct sy_status *s, bool evaluated);
    void *ctx;
};

/* Owned (sy_trainer_free), or NULL and err. */
struct sy_trainer *tiny_trainer(const struct tiny_options *o, struct sy_err *err);
/* Start if it was not, go on to `step` (or the end), wait until it stands. */
void tiny_run_to(struct sy_trainer *t, int64_t step);
uint64_t tiny_hash(struct sy_trainer *t); /* parameters, moments, states */

#endif
