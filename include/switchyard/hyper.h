/* Hyper-parameters: one table of name, type, range, default, when a change takes effect, and help.
 * train's options, r.NAME, ?help and the manual are read from it. */
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

/* X(name, integer?, least, most, default, live, help) */
#define SY_HYPER_MAP(X)                                                                            \
    X(steps, true, 0, 1e12, 1000, NEXT, "optimizer steps of the whole run")                        \
    X(batch, true, 1, 1e6, 16, PLAN, "sequences of a micro-batch (B)")                             \
    X(context, true, 1, 1e7, 0, PLAN, "tokens of a sequence (T); default: the model's context")    \
    X(accumulate, true, 1, 1e6, 1, PLAN, "micro-batches of a step")                                \
    X(lr, false, 0, 1e6, 1e-3, NEXT, "learning rate at its highest")                               \
    X(min_lr, false, 0, 1e6, -1, NEXT, "learning rate at the end; default: a tenth of lr")         \
    X(warmup, true, 0, 1e12, -1, NEXT,                                                             \
      "steps of linear warm-up; default: a tenth of the steps at the start, at most 100")          \
    X(decay, false, 0, 1, 0.2, NEXT, "share of the steps in which wsd decays; 0: never")           \
    X(beta1, false, 0, 0.999999, 0.9, NEXT, "AdamW: decay of the first moment")                    \
    X(beta2, false, 0, 0.9999999, 0.95, NEXT, "AdamW: decay of the second moment")                 \
    X(eps, false, 1e-30, 1, 1e-8, NEXT, "AdamW: added to the denominator")                         \
    X(weight_decay, false, 0, 1e3, 0.1, NEXT,                                                      \
      "AdamW: decoupled decay of parameters with 2 dimensions or more")                            \
    X(clip, false, 0, 1e9, 1.0, NEXT, "largest global gradient norm; 0: no clipping")              \
    X(eval_every, true, 0, 1e12, 100, NEXT, "steps between evaluations; 0: never")                 \
    X(eval_batches, true, 1, 1e9, 20, NEXT,                                                        \
      "batches of an evaluation, of 16 windows each whatever batch is")                            \
    X(sample_every, true, 0, 1e12, 0, NEXT, "steps between samples; 0: never")                     \
    X(checkpoint_every, true, 0, 1e12, 500, NEXT,                                                  \
      "steps between checkpoints; 0: never but at the end")                                        \
    X(skip_sigma, false, 0, 1e6, 30, NEXT,                                                         \
      "a step whose loss is so many deviations, and a 20th of that in nats, over what is usual "   \
      "is skipped; 0: none but what is not finite")                                                \
    X(max_skips, true, 1, 1e6, 5, NEXT, "so many steps in a row that are not finite end the run")  \
    X(auto_rewind, true, 0, 1, 0, NEXT,                                                            \
      "instead of ending there: go back and leave out the data around it")                         \
    X(seed, true, 0, 9007199254740992.0, 1, NEVER, "of data order and random operations")

enum sy_hyper_id {
#define X(name, integer, least, most, preset, live, help) SY_HYPER_##name,
    SY_HYPER_MAP(X)
#undef X
        SY_HYPER_COUNT
};

struct sy_hyper_spec {
    const char *name;
    bool integer;
    double least, most, preset;
    enum sy_live live;
    const char *help;
};

enum sy_schedule { SY_COSINE, SY_WSD, SY_LINEAR, SY_CONSTANT, SY_SCHEDULE_COUNT };

/* What a trainer decides by itself, by versions; a run keeps its own until its journal says
 * otherwise (kind "rules"):
 *   1  warm-up is a tenth of whatever `steps` is now, and a change of `steps` computes the rate
 *      anew, jumps and all; wsd with decay 0 falls to min_lr after the warm-up; AdamW's time counts
 *      steps that were skipped; the spike rule knows standard deviations alone (6), and ends the run
 *      after max_skips
 *   2  as below */
#define SY_RULES 2

struct sy_hyper {
    double v[SY_HYPER_COUNT];
    enum sy_schedule schedule;
    int rules;
    double planned; /* `steps` of the start, by which the default of warmup goes; 0: that of now */
    int64_t from;   /* the schedule was begun anew after this step; 0: it was not */
    double share;   /* of lr over min_lr that was left then */
};

const struct sy_hyper_spec *sy_hyper_spec(enum sy_hyper_id id);
/* A whole number from 0 to 1: in Lua true or false. */
static inline bool sy_hyper_is_flag(enum sy_hyper_id id)
{
    const struct sy_hyper_spec *s = sy_hyper_spec(id);
    return s->integer && s->least == 0 && s->most == 1;
}
int sy_hyper_find(const char *name); /* id, or -1 */
void sy_hyper_defaults(struct sy_hyper *h);
/* RANGE: `train: lr is -1, must be from 0 to 1e+06` */
int sy_hyper_check(enum sy_hyper_id id, double value, struct sy_err *err);
const char *sy_schedule_name(enum sy_schedule s);
int sy_schedule_parse(const char *name); /* or -1 */
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
enum sy_hyper_effect sy_hyper_effect(const struct sy_hyper *a, const struct sy_hyper *b, int64_t step);

#endif
