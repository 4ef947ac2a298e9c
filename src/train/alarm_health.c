/* Alarms about routers that drop tokens or get no gradient, and about a loss that stands still; who
 * tells them is raise.c.  Layer train.
 *
 *     overflow   off --share over DROPPED--> on --every share under DROPPED_LESS--> off
 *     gradient   off --32 steps in a row---> on --one step with a gradient-------> off
 *     plateau    off --no better for long--> on --better by a share of BETTER----> off
 *
 *  1. Where an alarm ends lies well on the other side of where it begins, so that a value at a
 *     threshold rings once.
 *  2. The share of BETTER: ReduceLROnPlateau of PyTorch and Keras ask for a relative 1e-4 of a
 *     validation loss; ours is of training batches, and a mean over some 100 steps varies by a
 *     tenth of a percent.  By the last quarter of the steps: a loss that falls as a power of the
 *     steps (L ~ s^-0.05: Kaplan et al. 2020, "Scaling laws for neural language models") falls by
 *     1.4% in that, wherever the run is, so a healthy run is silent however long it is. */
#include "train/trainer_int.h"

#include <math.h>

#define DROPPED 0.25      /* of a mixture's assignments */
#define DROPPED_LESS 0.15
#define NO_GRADIENT 1e-6  /* of the norm of all */
#define NO_GRADIENT_STEPS 32
#define SLOW_LEVEL 0.99   /* of the smoothed loss at each step: some 100 steps */
#define BETTER 0.002
#define STILL_STEPS 1000
#define STILL_PART 4      /* the last of so many parts of all steps */

void sy__dropped(struct sy_trainer *t, int64_t step, double share, const char *place,
                 int64_t window)
{
    if (share > DROPPED)
        sy__alarm(t, SY_ALARM_OVERFLOW, step,
                  "%s: capacity left out %.0f%% of the assignments over %lld steps", place,
                  100 * share, (long long)window);
    else if (share < DROPPED_LESS)
        sy__alarm_end(t, SY_ALARM_OVERFLOW);
}

/* Of the windows that judge_loads gathers. */
void sy__judge_overflow(struct sy_trainer *t, int64_t step, int64_t window)
{
    int n = sy_program_observes(t->c.plan->begin.program), worst = -1;
    double most = 0;
    char place[64];
    for (int i = 0; i < n; i++) {
        const struct sy__observed *o = &t->observed[i];
        double share = o->what.kind == SY_SERIES_DROP
                           ? t->alarms.loads[o->first] / (double)window
                           : 0;
        if (share > most) {
            most = share;
            worst = i;
        }
    }
    sy__dropped(t, step, most, worst < 0 ? "" : sy__observed_place(t, worst, place), window);
}

void sy__judge_gradient(struct sy_trainer *t, int64_t step)
{
    struct sy__alarms *a = &t->alarms;
    struct sy_series_what what;
    char place[64];
    bool none = sy__norms_no_gradient(t, NO_GRADIENT, &what);
    if (!none || !sy_series_same_place(&what, &a->no_gradient_of))
        a->no_gradient = 0;
    if (none) {
        a->no_gradient++;
        a->no_gradient_of = what;
    }
    if (!a->no_gradient)
        sy__alarm_end(t, SY_ALARM_GRADIENT);
    else if (a->no_gradient >= NO_GRADIENT_STEPS)
        sy__alarm(t, SY_ALARM_GRADIENT, step, "%s: the router has had no gradient for %d steps",
                  sy__series_place(t, &what, place), NO_GRADIENT_STEPS);
}

void sy__plateau_follow(struct sy__plateau *p, int64_t step, double loss)
{
    p->level = SLOW_LEVEL * p->level + loss;
    p->weight = SLOW_LEVEL * p->weight + 1;
    double now = p->level / p->weight;
    if (p->weight > 1 && now > p->best * (1 - BETTER))
        return;
    p->best = now;
    p->since = step;
}

/* The loss is finite. */
void sy__judge_plateau(struct sy_trainer *t, int64_t step)
{
    struct sy__plateau *p = &t->alarms.plateau;
    sy__plateau_follow(p, step, t->status.loss);
    int64_t still = step - p->since;
    if (!still)
        sy__alarm_end(t, SY_ALARM_PLATEAU);
    else if (still >= STILL_STEPS && still >= step / STILL_PART)
        sy__alarm(t, SY_ALARM_PLATEAU, step,
                  "the loss, smoothed over some 100 steps, is %.4g; it was %.4g at step %lld",
                  p->level / p->weight, p->best, (long long)p->since);
}
