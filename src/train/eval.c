/* Evaluation: mean loss over fixed windows of the validation text, without auxiliary losses.  The
 * windows depend on the text, the context and their number alone (sy_eval_windows); the plan's
 * batch says only how many go through the program at once.  One that an end gives up is left out,
 * for later it would not be of its step: what has been set by then counts from now on, and a replay
 * would have another.  Layer train. */
#include "base/clock.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>

static struct sy_sampler validation(const struct sy_trainer *t)
{
    struct sy_sampler s = t->sampler;
    s.split = SY_SPLIT_VAL;
    return s;
}

int64_t sy_trainer_eval_windows(struct sy_trainer *t, int64_t batches, struct sy_err *err)
{
    struct sy_sampler s = validation(t);
    return sy_sampler_check(&s, err) ? -1 : sy_eval_windows(&s, batches);
}

/* Of windows first .. end-1 of an evaluation of n.  going NULL: it is not given up.  0, -1, or
 * SY__GIVEN_UP. */
static int add_losses(struct sy_trainer *t, int64_t first, int64_t end, int64_t n,
                      struct sy__going *going, double *sum, struct sy_err *err)
{
    struct sy_phase *p = &t->c.plan->eval;
    struct sy_sampler s = validation(t);
    struct sy_batch b = sy_phase_batch(p);
    if (sy_sampler_check(&s, err))
        return -1;
    const struct sy_tally whole = sy_eval_tally(&s, 0, n);
    b.scale = sy_tally_scale(&whole, &whole, 1);
    sy_phase_number(p, t->status.step, 0);
    for (int64_t at = first; at < end; at += s.batch) {
        int64_t rows = end - at < s.batch ? end - at : s.batch;
        struct sy_tally part = sy_eval_tally(&s, at, at + rows);
        sy_eval_batch(&s, at, end, &b);
        if (going)
            going->at = at;
        int rc = sy_program_run_until(p->program, s.seed, (uint64_t)at, going ? sy__poll : NULL,
                                      going, err);
        if (rc)
            return rc > 0 ? SY__GIVEN_UP : -1;
        sy__parts_add(t, p, b.scale);
        *sum += sy_tensor_get(p->loss, 0) * sy_tally_windows(&part, &whole, n);
    }
    return 0;
}

int sy_trainer_eval_sum(struct sy_trainer *t, int64_t first, int64_t end, int64_t n, double *sum,
                        struct sy_err *err)
{
    return add_losses(t, first, end, n, NULL, sum, err);
}

double sy_trainer_eval(struct sy_trainer *t, int64_t n, struct sy_err *err)
{
    double sum = 0;
    return sy_trainer_eval_sum(t, 0, n, n, &sum, err) ? (double)NAN : sum / (double)n;
}

static bool has_validation(const struct sy_trainer *t)
{
    struct sy_sampler s = validation(t);
    return !sy_sampler_check(&s, NULL);
}

/* What was done last: the evaluation. */
static void put_loss(struct sy_trainer *t, double loss)
{
    pthread_mutex_lock(&t->lock);
    t->status.val_loss = loss;
    t->status.val_step = t->status.step;
    pthread_mutex_unlock(&t->lock);
    sy__put(t, VAL_LOSS, t->status.step, loss);
    sy__parts_put(t, t->status.step, true);
}

static bool measure_loss(struct sy_trainer *t)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t n = sy_trainer_eval_windows(t, (int64_t)t->hyper.v[SY_HYPER_eval_batches], &err);
    struct sy__going g = {.t = t,
                          .what = "the evaluation of step",
                          .unit = "window",
                          .step = t->status.step,
                          .of = n,
                          .begun = sy_now(),
                          .patience = t->patience,
                          .left_out = true};
    double sum = 0;
    sy__parts_begin(t);
    int rc = n < 0 ? -1 : add_losses(t, 0, n, n, &g, &sum, &err);
    if (rc == SY__GIVEN_UP) {
        sy__given_up(&g);
        return false;
    }
    if (rc) { /* told once, until one succeeds again: each would say the same */
        sy__alarm(t, SY_ALARM_EVAL, g.step, "no evaluation: %s; the run goes on", err.msg);
        return false;
    }
    sy__alarm_end(t, SY_ALARM_EVAL);
    put_loss(t, sum / (double)n);
    return true;
}

bool sy__eval_if_due(struct sy_trainer *t)
{
    int64_t every = (int64_t)t->hyper.v[SY_HYPER_eval_every], step = t->status.step;
    return every && (step % every == 0 || step == t->status.steps) && has_validation(t) &&
           measure_loss(t);
}
