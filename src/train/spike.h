/* The spike rule: which steps a run leaves out, and what is remembered of steps that stood out.
 * Layer train.
 *
 *     not finite --> skipped; max_skips of these in a row end the run, or pause it for a rewind
 *                    (auto_rewind)
 *     a spike    --> skipped; after SY_SPIKES of these in a row the next one is learned from, the
 *                    window begins anew, and an alarm says so: when the data is not to blame,
 *                    skipping leaves things as they are
 *
 *  1. Statistics are those of the last 128 accepted steps, at least 64, loss and gradient norm
 *     before clipping.  A value that is not finite never enters them, nor does one of a skipped
 *     step.
 *  2. What is usual is the median of the last 32; a deviation is the median change from one step to
 *     the next (by 0.954, which makes it the standard deviation of what is normally distributed and
 *     stands still), at least 1% of the usual loss.  Neither the fall of the loss nor an outlier
 *     that was accepted hides the next one: by mean and standard deviation a document of noise at
 *     step 106 was 0.6 deviations above, by these 42.  Of gradient norms the logarithms are looked
 *     at, for their tail is heavy; a deviation is at least a factor of 1.05.
 *  3. A loss is a spike when it is more than skip_sigma deviations AND skip_sigma / 20 nats above
 *     what is usual; a norm when it is as many deviations above AND 1,000 times clip (1,000 without
 *     clipping).
 *  4. For 64 steps after an intervention (a journal entry that changes what is learned) nothing
 *     finite is skipped: what was measured before it says nothing about what comes after.
 *  5. A skipped step changes no parameter, and nothing that the optimizer or the model keeps.  It
 *     counts as a step, but not in the optimizer's time; a replay decides the same.
 *  6. By the rules 1 (switchyard/hyper.h) it was mean and standard deviation of the 128 steps,
 *     without the floors in nats and in clip; max_skips of either kind in a row ended the run;
 *     the optimizer's time counted every step.
 *
 * The default, 30 deviations and 1.5 nats, is from 390 runs of small models, 500 to 3,000 steps
 * each, learning rates of 1e-3 to 4e-3, 20 seeds each on Shakespeare, on the licences of Debian and
 * on data.synthetic, and more.  By 6 standard deviations the rules 1 skipped steps in 61 of 180 of
 * those, and ended runs that had learned their text by heart.
 *
 *     256 tokens a step, Shakespeare, synthetic     70,000 steps, none over 7 deviations
 *     ... licences                                  67,000 steps; the farthest: 1.7 nats and 26
 *                                                   deviations
 *     ... a text that is known by heart             48,000 steps; 0.61 nats over 0.03, and 58
 *                                                   deviations
 *     32 tokens a step, one or two short windows    38,000 steps, 1 over both; no statistic is
 *                                                   better there
 *     a document of noise in a batch of 2           1.9 to 3.6 nats, 34 to 75 deviations
 *     ... in a batch of 8                           0.3 to 1 nats, 13 to 42: like an unusual
 *                                                   licence, and as harmless
 *     gradient norms of all of these                up to 52 (32 tokens: 222), with clip = 1
 *
 * A norm that is only large is no reason: clipping makes it clip, which is what most steps have.
 *
 * Source: after the rule of OLMo 2 (2024, section 3.1) and OLMo-core's SkipStepOptimizer; rewinding
 * and leaving data out: Chowdhery et al. 2022, PaLM, section 5.1. */
#ifndef SY_TRAIN_SPIKE_H
#define SY_TRAIN_SPIKE_H

#include <stdbool.h>
#include <stdint.h>

#define SY_WINDOW 128     /* accepted steps that are looked back on */
#define SY_WINDOW_LEAST 64 /* fewer say nothing */
#define SY_LATELY 32      /* of these the median is what is usual */
#define SY_QUIET 64       /* steps after an intervention */
#define SY_SPIKES 3       /* that are skipped in a row */

/* All of it is state of the run: saved and restored. */
struct sy_window {
    double loss[SY_WINDOW], norm[SY_WINDOW]; /* the oldest first */
    int n;
    int64_t in_a_row;    /* steps that are not finite, until now (rules 1: skipped steps) */
    int64_t spikes;      /* skipped since the last accepted step */
    int64_t quiet_until; /* step up to which nothing finite is skipped */
};

struct sy_sigma { /* a value against the window; of logarithms, where asked for */
    double mean, deviation; /* mean: what is usual */
    double above; /* deviations above it; NaN: too little to say */
};

struct sy_sigma sy_window_loss(const struct sy_window *w, double loss, int rules);
/* of logarithms */
struct sy_sigma sy_window_norm(const struct sy_window *w, double norm, int rules);
/* Append an accepted step.  Values that are not finite are refused. */
void sy_window_add(struct sy_window *w, double loss, double norm);

struct sy_spike_floor { /* what is no more than this is no spike, whatever its deviations */
    double nats; /* of a loss above the mean */
    double norm;
};
/* sigma: skip_sigma; clip: 0: no clipping */
struct sy_spike_floor sy_spike_floor(int rules, double sigma, double clip);
/* Could it be a spike at all?  Costs little; most steps could not. */
bool sy_window_suspects(const struct sy_window *w, double loss, double norm,
                        struct sy_spike_floor floor);

#endif
