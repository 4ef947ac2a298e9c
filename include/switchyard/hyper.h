/* Hyper-parameters: one table.  A row is all that there is to write for one: it is an option of
 * train, a field of a run (r.NAME, its range, its completion), a line of ?train and of the manual,
 * an entry of the journal when it is changed, a field of checkpoints, and tells what a change of it
 * does.  What it is for reads h->v[SY_HYPER_name].
 *
 *  1. A checkpoint or a stored run without a row was made when its preset held: give a new row the
 *     preset that means what was done before there was one. */
#ifndef SWITCHYARD_HYPER_H
#define SWITCHYARD_HYPER_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sy_live {
    SY_LIVE_NEXT, /* a change holds from the next step */
    SY_LIVE_PLAN, /* changes shapes: the program is traced and planned again */
    SY_LIVE_NEVER /* fixed for the run */
};

enum sy_bears {
    SY_BEARS_RATE,  /* on the learning rate of steps (sy_hyper_lr) */
    SY_BEARS_STEPS, /* on what is learned otherwise */
    SY_BEARS_NONE   /* on neither: steps before a change tell what to expect of those after it */
};

#ifndef SY_HYPER_EXTRA /* more rows: for tests */
#define SY_HYPER_EXTRA(X)
#endif

/* X(name, integer?, least, most, preset, live, bears, help).  An integer from 0 to 1 is true or
 * false in Lua; a preset that is under least means that the value is computed from others, as help
 * says. */
#define SY_HYPER_MAP(X)                                                                            \
    X(steps, true, 0, 1e12, 1000, NEXT, NONE, "optimizer steps of the whole run")                  \
    X(batch, true, 1, 1e6, 16, PLAN, STEPS, "sequences of a micro-batch (B)")                      \
    X(context, true, 1, 1e7, 0, PLAN, STEPS,                                                       \
      "tokens of a sequence (T); default: the model's context")                                    \
    X(accumulate, true, 1, 1e6, 1, PLAN, STEPS, "micro-batches of a step")                         \
    X(lr, false, 0, 1e6, 1e-3, NEXT, RATE, "learning rate at its highest")                         \
    X(min_lr, false, 0, 1e6, -1, NEXT, RATE, "learning rate at the end; default: a tenth of lr")   \
    X(warmup, true, 0, 1e12, -1, NEXT, RATE,                                                       \
      "steps of linear warm-up; default: a tenth of the steps at the start, at most 100")          \
    X(decay, false, 0, 1, 0.2, NEXT, RATE, "share of the steps in which wsd decays; 0: never")     \
    X(beta1, false, 0, 0.999999, 0.9, NEXT, STEPS, "adamw and muon: decay of the first moment")    \
    X(beta2, false, 0, 0.9999999, 0.95, NEXT, STEPS, "adamw and muon: decay of the second moment") \
    X(eps, false, 1e-30, 1, 1e-8, NEXT, STEPS, "adamw and muon: added to the denominator")         \
    X(weight_decay, false, 0, 1e3, 0.1, NEXT, STEPS,                                               \
      "decoupled decay of parameters with 2 dimensions or more; not of adafactor")                 \
    X(momentum, false, 0, 0.999999, 0.95, NEXT, STEPS, "sgd and muon: decay of the momentum")      \
    X(nesterov, true, 0, 1, 1, NEXT, STEPS,                                                        \
      "sgd and muon: step by the gradient and the momentum that it leads to")                      \
    X(clip, false, 0, 1e9, 1.0, NEXT, STEPS, "largest global gradient norm; 0: no clipping")       \
    X(eval_every, true, 0, 1e12, 100, NEXT, NONE, "steps between evaluations; 0: never")           \
    X(eval_batches, true, 1, 1e9, 20, NEXT, NONE,                                                  \
      "batches of an evaluation, of 16 windows each whatever batch is")                            \
    X(sample_every, true, 0, 1e12, 0, NEXT, NONE, "steps between samples; 0: never")               \
    X(checkpoint_every, true, 0, 1e12, 500, NEXT, NONE,                                            \
      "steps between checkpoints; 0: never but at the end")                                        \
    X(skip_sigma, false, 0, 1e6, 30, NEXT, NONE,                                                   \
      "a step whose loss is so many deviations, and a 20th of that in nats, over what is usual "   \
      "is skipped; 0: none but what is not finite")                                                \
    X(max_skips, true, 1, 1e6, 5, NEXT, NONE,                                                      \
      "so many steps in a row that are not finite end the run")                                    \
    X(auto_rewind, true, 0, 1, 0, NEXT, NONE,                                                      \
      "instead of ending there: go back and leave out the data around it")                         \
    X(health_every, true, 0, 1e12, 200, PLAN, NONE,                                                \
      "steps between looks at margins, bf16 and gradients of routers (r:health), beside the "      \
      "first; 0: never")                                                                           \
    X(distill, false, 0, 1, 0.25, NEXT, STEPS,                                                     \
      "share of the loss that is the cross entropy to the teacher's probabilities")                \
    X(seed, true, 0, 9007199254740992.0, 1, NEVER, STEPS,                                          \
      "of data order and random operations")                                                       \
    SY_HYPER_EXTRA(X)

enum sy_hyper_id {
#define X(name, integer, least, most, preset, live, bears, help) SY_HYPER_##name,
    SY_HYPER_MAP(X)
#undef X
        SY_HYPER_COUNT
};

struct sy_hyper_spec {
    const char *name;
    bool integer;
    double least, most, preset;
    enum sy_live live;
    enum sy_bears bears;
    const char *help;
};

/* X(ID, name, the hyper-parameters that it reads beside lr and steps). */
#define SY_SCHEDULE_MAP(X)                                                                         \
    X(COSINE, "cosine", "warmup", "min_lr")                                                        \
    X(WSD, "wsd", "warmup", "min_lr", "decay")                                                     \
    X(LINEAR, "linear", "warmup", "min_lr")                                                        \
    X(CONSTANT, "constant", "warmup")

enum sy_schedule {
#define X(id, ...) SY_##id,
    SY_SCHEDULE_MAP(X)
#undef X
        SY_SCHEDULE_COUNT
};

/* What a trainer decides by itself, by versions; a run keeps its own until its journal says
 * otherwise (kind "rules"):
 *   1  warm-up is a tenth of whatever `steps` is now, and a change of `steps` computes the rate
 *      anew, jumps and all; wsd with decay 0 falls to min_lr after the warm-up; the optimizer's
 *      time counts steps that were skipped; the spike rule knows standard deviations alone (6), and
 *      ends the run after max_skips
 *   2  warm-up is of the `steps` of the start (`planned`), and a change of `steps` begins the
 *      schedule anew at the rate that is (`from`, `share`); wsd with decay 0 does not fall; the
 *      optimizer's time leaves out what was skipped; usual is a median, and a spike has floors as
 *      well (src/train/spike.h) */
#define SY_RULES 2

struct sy_hyper {
    double v[SY_HYPER_COUNT];
    enum sy_schedule schedule;
    int rules;
    double planned; /* `steps` at the start, which sets the default of warmup; 0: the current one */
    int64_t from;   /* the schedule was begun anew after this step; 0: it was not */
    double share;   /* of lr over min_lr that was left then */
};

const struct sy_hyper_spec *sy_hyper_spec(enum sy_hyper_id id); /* its row; borrowed for ever */
/* A whole number from 0 to 1: in Lua true or false. */
static inline bool sy_hyper_is_flag(enum sy_hyper_id id)
{
    const struct sy_hyper_spec *s = sy_hyper_spec(id);
    return s->integer && s->least == 0 && s->most == 1;
}
int sy_hyper_find(const char *name); /* id, or -1 */
void sy_hyper_defaults(struct sy_hyper *h); /* every row's preset, cosine, SY_RULES */
/* RANGE: `train: lr is -1, must be from 0 to 1e+06` */
int sy_hyper_check(enum sy_hyper_id id, double value, struct sy_err *err);
const char *sy_schedule_name(enum sy_schedule s); /* "cosine" ... */
int sy_schedule_parse(const char *name); /* or -1 */
/* Whether a hyper-parameter is read by some schedule, but not by this one. */
bool sy_schedule_ignores(enum sy_schedule s, const char *hyper);
/* Learning rate of step (the first is 1).  Warm-up rises linearly to lr; then cosine or linear to
 * min_lr at `steps`, constant, or wsd: constant, then linear to min_lr over the last `decay` share.
 * Sources: Loshchilov & Hutter 2017 (cosine); Hu et al. 2024, MiniCPM (warm-up, stable, decay). */
double sy_hyper_lr(const struct sy_hyper *h, int64_t step);
/* A value changes after `step`.  When it is `steps`, the warm-up stays what it was, and the
 * schedule goes from the rate that stands then to min_lr at the new end, without a jump: a run that
 * had come to min_lr stays there; wsd holds the rate that stands until the last `decay` share of
 * all steps. */
void sy_hyper_put(struct sy_hyper *h, enum sy_hyper_id id, double value, int64_t step);
/* What the learning rate will do after `step`, for people: "lr falls from 0.00055 to 0.0001 at step
 * 2000 (cosine)" */
void sy_hyper_outlook(const struct sy_hyper *h, int64_t step, char *text, size_t n);
/* What changing a to b means for the steps behind `step`, which both have as many of. */
enum sy_hyper_effect {
    SY_EFFECT_RATE,  /* some step has another rate */
    SY_EFFECT_LEAST, /* lr itself is not reached any more: it moves min_lr alone */
    SY_EFFECT_NONE
};
enum sy_hyper_effect sy_hyper_effect(const struct sy_hyper *a, const struct sy_hyper *b,
                                     int64_t step);

#endif
