/* Evaluation: mean loss over fixed windows of the validation text, without auxiliary losses.  The windows
 * depend on the text, the context and their number alone (sy_eval_windows); the plan's batch says only how
 * many go through the program at once.  Layer train. */
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

int sy_trainer_eval_sum(struct sy_trainer *t, int64_t first, int64_t end, double *sum,
                        struct sy_err *err)
{
    struct sy_phase *p = &t->c.plan->eval;
    struct sy_sampler s = validation(t);
    if (sy_sampler_check(&s, err))
        return -1;
    for (int64_t at = first; at < end; at += s.batch) {
        int64_t rows = end - at < s.batch ? end - at : s.batch;
        sy_eval_batch(&s, at, end, sy_data(p->tokens), sy_data(p->targets),
                      p->documents ? sy_data(p->documents) : NULL);
        if (sy_program_run(p->program, s.seed, (uint64_t)at, err))
            return -1;
        *sum += sy_tensor_get(p->loss, 0) * (double)rows;
    }
    return 0;
}

double sy_trainer_eval(struct sy_trainer *t, int64_t n, struct sy_err *err)
{
    double sum = 0;
    return sy_trainer_eval_sum(t, 0, n, &sum, err) ? (double)NAN : sum / (double)n;
}

static bool has_validation(const struct sy_trainer *t)
{
    return sy_corpus_tokens(t->c.corpus) - sy_corpus_train(t->c.corpus) > t->c.plan->context;
}

bool sy__eval_if_due(struct sy_trainer *t)
{
    int64_t every = (int64_t)t->hyper.v[SY_HYPER_eval_every], step = t->status.step;
    struct sy_err err = SY_ERR_INIT;
    if (!every || (step % every && step != t->status.steps) || !has_validation(t))
        return false;
    int64_t n = sy_trainer_eval_windows(t, (int64_t)t->hyper.v[SY_HYPER_eval_batches], &err);
    double loss = n < 0 ? (double)NAN : sy_trainer_eval(t, n, &err);
    if (err.code) { /* told once, until one succeeds again: each would say the same */
        sy__alarm(t, SY_ALARM_EVAL, step, "no evaluation: %s; the run goes on", err.msg);
        return false;
    }
    sy__alarm_end(t, SY_ALARM_EVAL);
    pthread_mutex_lock(&t->lock);
    t->status.val_loss = loss;
    t->status.val_step = step;
    pthread_mutex_unlock(&t->lock);
    sy__put(t, VAL_LOSS, step, loss);
    return true;
}
