/* The spike rule: which steps a run leaves out, and what is remembered of steps that stood out.  Layer train.
 *
 *  1. Statistics are those of the last 128 accepted steps, loss and gradient norm before clipping.  A value
 *     that is not finite never enters them, nor does one of a skipped step.
 *  2. A value is a spike when it is more than skip_sigma deviations above the mean of at least 64 such steps.
 *     Of gradient norms the logarithms are compared: their tail is heavy, and by the norms themselves 0.8% of
 *     30,000 steps of healthy small runs were spikes (none of them by the loss, but for batches of 8 tokens).
 *     A deviation is at least 1% of the mean loss, or a factor of 1.05: what stands still must not make
 *     noise a spike.
 *  3. For 64 steps after an intervention (a journal entry that changes what is learned) nothing finite is
 *     skipped: what was measured before it says nothing about what comes after.
 *  4. A skipped step changes no parameter, moment or state.  It counts as a step; a replay decides the same.
 *  5. max_skips in a row end the run, or pause it for a rewind (auto_rewind).
 *
 * Source: after the rule of OLMo 2 (2024, section 3.1) and OLMo-core's SkipStepOptimizer; rewinding and leaving data
 * out: Chowdhery et al. 2022, PaLM, section 5.1. */
#ifndef SY_TRAIN_SPIKE_H
#define SY_TRAIN_SPIKE_H

#include <stdbool.h>
#include <stdint.h>

#define SY_WINDOW 128     /* accepted steps that are looked back on */
#define SY_WINDOW_LEAST 64 /* fewer say nothing */
#define SY_QUIET 64       /* steps after an intervention */

/* All of it is state of the run: saved and restored. */
struct sy_window {
    double loss[SY_WINDOW], norm[SY_WINDOW]; /* the oldest first */
    int n;
    int64_t in_a_row;    /* skipped until now */
    int64_t quiet_until; /* step up to which nothing finite is skipped */
};

struct sy_sigma { /* a value against the window; of logarithms, where asked for */
    double mean, deviation;
    double above; /* deviations above the mean; NaN: too little to say */
};

struct sy_sigma sy_window_loss(const struct sy_window *w, double loss);
struct sy_sigma sy_window_norm(const struct sy_window *w, double norm); /* of logarithms */
/* Append an accepted step.  Values that are not finite are refused. */
void sy_window_add(struct sy_window *w, double loss, double norm);

#endif
