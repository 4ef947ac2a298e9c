/* Looks at routers at few steps: the phase `health` of a plan, on a step's first micro-batch before
 * it is learned from, and what it observes as series.
 *
 *  1. It changes nothing that the step computes with: no state, no gradient, no series of `begin`.
 *  2. It allocates nothing; a step's row is kept until the step is recorded.
 *  3. What is not finite has no row: a margin where no token has a next expert.  Layer train. */
#include "base/mem.h"
#include "run/metrics.h"
#include "train/trainer_int.h"

#include <math.h>

int sy__health_make(struct sy_trainer *t, struct sy_err *err)
{
    const struct sy_program *p = t->c.plan->health.program;
    int n = p ? sy_program_observes(p) : 0;
    struct sy__look *list = sy_calloc((size_t)n + 1, sizeof *list);
    if (!list)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    sy_free(t->health.list);
    t->health.list = list;
    t->health.n = n;
    t->health.step = -1;
    for (int i = 0; i < n; i++) {
        list[i].series = sy_metrics_declare(t->metrics, sy_program_observe_name(p, i), 1,
                                            sy_program_observe_what(p, i), err);
        if (list[i].series < 0)
            return -1;
    }
    return 0;
}

void sy__health_free(struct sy_trainer *t) { sy_free(t->health.list); }

bool sy__health_due(const struct sy_trainer *t, int64_t step)
{
    double every = t->hyper.v[SY_HYPER_health_every];
    bool due = every > 0 && (step == 1 || !(fmod((double)step, every) > 0));
    return due && t->c.plan->health.program;
}

void sy__health_take(struct sy_trainer *t, int64_t step)
{
    const struct sy_program *p = t->c.plan->health.program;
    for (int i = 0; i < t->health.n && i < sy_program_observes(p); i++)
        t->health.list[i].value = *(const float *)sy_data(sy_program_observe_at(p, i));
    t->health.step = step;
}

void sy__health_put(struct sy_trainer *t, int64_t step)
{
    for (int i = 0; i < t->health.n && t->health.step == step; i++)
        if (isfinite(t->health.list[i].value))
            sy_metrics_add(t->metrics, t->health.list[i].series, step, &t->health.list[i].value);
}
