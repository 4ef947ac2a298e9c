/* Losses by source, of data that has several (parts of a mix, languages of pairs): a series of one
 * value a source, of steps (loss.by_source) and of evaluations (val_loss.by_source).  A source that
 * has no target in a step has NaN there.  Layer train.
 *
 *     loss of a source  =  sum of weight * loss over its targets  /  sum of their weights
 *
 * over all micro-batches, as parts.c has it of objectives. */
#include "base/mem.h"
#include "run/metrics.h"
#include "train/trainer_int.h"

#include <math.h>
#include <string.h>

static int declare_losses(struct sy_trainer *t, const char *name, enum sy_series_kind kind,
                          struct sy_err *err)
{
    struct sy_series_what what = {.kind = kind};
    return sy_metrics_declare(t->metrics, name, t->sources.n, &what, err);
}

int sy__sources_make(struct sy_trainer *t, struct sy_err *err)
{
    struct sy__source_losses *s = &t->sources;
    s->n = sy_corpus_sources(t->c.corpus);
    if (s->n < 2)
        return 0;
    s->sum = sy_calloc((size_t)s->n, sizeof *s->sum);
    s->weight = sy_calloc((size_t)s->n, sizeof *s->weight);
    s->now = sy_calloc((size_t)s->n, sizeof *s->now);
    if (!s->sum || !s->weight || !s->now)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory for losses of sources");
    s->series = declare_losses(t, "loss.by_source", SY_SERIES_SOURCE_LOSS, err);
    s->val_series = declare_losses(t, "val_loss.by_source", SY_SERIES_SOURCE_VAL_LOSS, err);
    return s->series < 0 || s->val_series < 0 ? -1 : 0;
}

void sy__sources_free(struct sy_trainer *t)
{
    sy_free(t->sources.sum);
    sy_free(t->sources.weight);
    sy_free(t->sources.now);
}

void sy__sources_begin(struct sy_trainer *t)
{
    for (int i = 0; t->sources.now && i < t->sources.n; i++)
        t->sources.sum[i] = t->sources.weight[i] = 0;
}

void sy__sources_add(struct sy_trainer *t, const struct sy_phase *p, double scale)
{
    struct sy__source_losses *s = &t->sources;
    const struct sy_batch b = sy_phase_batch(p);
    const int32_t *source = b.at[SY_FIELD_SOURCES], *targets = b.at[SY_FIELD_TARGETS];
    const float *losses = p->losses ? sy_data(p->losses) : NULL, *weights = b.at[SY_FIELD_WEIGHTS];
    int64_t n = t->sampler.batch * t->sampler.context;
    if (!s->now || !losses || !source || !targets || !weights || !(scale > 0))
        return;
    for (int64_t i = 0; i < n; i++)
        if (targets[i] >= 0) {
            s->sum[source[i]] += (double)losses[i] / scale;
            s->weight[source[i]] += (double)weights[i] / scale;
        }
}

void sy__sources_put(struct sy_trainer *t, int64_t step, bool evaluated)
{
    struct sy__source_losses *s = &t->sources;
    if (!s->now)
        return;
    for (int i = 0; i < s->n; i++)
        s->now[i] = s->weight[i] > 0 ? (float)(s->sum[i] / s->weight[i]) : NAN;
    sy_metrics_add(t->metrics, evaluated ? s->val_series : s->series, step, s->now);
}
