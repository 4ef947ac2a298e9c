/* Losses of the parts of a mixture: of the rows that each objective made, as series of their own,
 * of steps (loss.span) and of evaluations (val_loss.span).  A step that has no row of an objective
 * has no value of it.  Layer train.
 *
 *     loss of a part  =  sum of weight * loss over its targets  /  sum of their weights
 *
 * over all micro-batches.  The losses of targets are the phase's, and have their weights in them as
 * these lie in the batch: multiplied by its scale, which is divided out again. */
#include "run/metrics.h"
#include "train/trainer_int.h"

#include <stdio.h>
#include <string.h>

static int declare_part(struct sy_trainer *t, const char *of, enum sy_series_kind kind,
                        const char *name, struct sy_err *err)
{
    struct sy_series_what what = {.kind = kind};
    char text[64];
    snprintf(text, sizeof text, "%s.%s", of, name);
    return sy_metrics_declare(t->metrics, text, 1, &what, err);
}

int sy__parts_make(struct sy_trainer *t, struct sy_err *err)
{
    int n = sy_objectives_count(t->c.objectives);
    if (sy__sources_make(t, err))
        return -1;
    for (int i = 0; n > 1 && i < n; i++) {
        enum sy_objective o = sy_objectives_part(t->c.objectives, i).objective;
        const char *name = sy_objective_spec(o)->name;
        struct sy__part_loss *p = &t->parts[o];
        p->series = declare_part(t, "loss", SY_SERIES_PART_LOSS, name, err);
        p->val_series = declare_part(t, "val_loss", SY_SERIES_PART_VAL_LOSS, name, err);
        if (p->series < 0 || p->val_series < 0)
            return -1;
        p->on = true;
    }
    return 0;
}

void sy__parts_begin(struct sy_trainer *t)
{
    sy__sources_begin(t);
    for (int i = 0; i < SY_OBJECTIVE_COUNT; i++)
        t->parts[i].sum = t->parts[i].weight = 0;
}

/* The row's targets that count. */
static void add_row(struct sy__part_loss *p, const float *losses, const int32_t *targets,
                    const float *weights, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (targets[i] >= 0) {
            p->sum += (double)losses[i];
            p->weight += weights ? (double)weights[i] : 1;
        }
}

void sy__parts_add(struct sy_trainer *t, const struct sy_phase *p, double scale)
{
    const struct sy_batch b = sy_phase_batch(p);
    const int32_t *objective = b.at[SY_FIELD_OBJECTIVES], *targets = b.at[SY_FIELD_TARGETS];
    const float *losses = p->losses ? sy_data(p->losses) : NULL, *weights = b.at[SY_FIELD_WEIGHTS];
    int64_t T = t->sampler.context;
    sy__sources_add(t, p, scale);
    if (!losses || !objective || !targets || !(scale > 0))
        return;
    struct sy__part_loss now[SY_OBJECTIVE_COUNT] = {{0}};
    for (int64_t row = 0; row < t->sampler.batch; row++)
        add_row(&now[objective[row]], losses + row * T, targets + row * T,
                weights ? weights + row * T : NULL, T);
    for (int i = 0; i < SY_OBJECTIVE_COUNT; i++) {
        t->parts[i].sum += now[i].sum / (weights ? scale : 1);
        t->parts[i].weight += now[i].weight / (weights ? scale : 1);
    }
}

void sy__parts_put(struct sy_trainer *t, int64_t step, bool evaluated)
{
    sy__sources_put(t, step, evaluated);
    for (int i = 0; i < SY_OBJECTIVE_COUNT; i++) {
        const struct sy__part_loss *p = &t->parts[i];
        float loss = (float)(p->sum / p->weight);
        if (p->on && p->weight > 0)
            sy_metrics_add(t->metrics, evaluated ? p->val_series : p->series, step, &loss);
    }
}
