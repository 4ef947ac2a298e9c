/* Where a run is in its data: the place of the next step, and of any other.  Layer train.
 *
 *  1. The place is how many windows were drawn (sy_place), so that a change of batch, accumulate or
 *     context between two steps sees no window twice and leaves none out.
 *  2. A step draws batch * accumulate windows whatever comes of it: those of a step that is skipped
 *     or left out are gone, for they are what made it stand out.
 *  3. t->place is that of the next step.  It is a function of the journal, which has every change
 *     of a shape: the places of past steps are derived from it again.
 *  4. Runs from before windows were counted (by_step) go on by their own rule: step N begins at
 *     window N * accumulate * batch, by what accumulate and batch are now. */
#include "train/trainer_int.h"

#include <string.h>

static struct sy_place of_step(int64_t step, int64_t batch, int64_t accumulate)
{
    return (struct sy_place){.windows = (uint64_t)step * (uint64_t)accumulate * (uint64_t)batch,
                             .step = step};
}

static void set_by_step(struct sy_trainer *t)
{
    t->place = of_step(t->status.step + 1, t->c.plan->batch, t->c.plan->accumulate);
}

/* ---- shares of a mix ---- */

/* As it was made. */
static void first_shares(const struct sy_trainer *t, double *shares)
{
    for (int i = 0; i < sy_corpus_mix_parts(t->c.corpus); i++)
        shares[i] = sy_corpus_mix_share(t->c.corpus, i);
}

/* Those of an entry, which has passed sy__mix_check. */
static void put_shares(const struct sy_journal_entry *e, double *shares)
{
    double given[SY_MIX_MOST] = {0};
    for (int64_t i = 0; i < e->n; i++)
        given[i] = (double)e->values[i];
    sy_mix_shares(given, (int)e->n, shares, NULL);
}

int sy__mix_check(const struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err)
{
    double given[SY_MIX_MOST], shares[SY_MIX_MOST];
    int parts = sy_corpus_mix_parts(t->c.corpus);
    if (!parts)
        return sy_err_set(err, SY_E_UNSUPPORTED, "mix: the data is no mix (data.mix)");
    if (e->n != parts)
        return sy_err_set(err, SY_E_RANGE, "mix: %lld shares for a mix of %d data sets",
                          (long long)e->n, parts);
    for (int i = 0; i < parts; i++)
        given[i] = (double)e->values[i];
    return sy_mix_shares(given, parts, shares, err);
}

void sy__mix_apply(struct sy_trainer *t, const struct sy_journal_entry *e)
{
    pthread_mutex_lock(&t->lock);
    put_shares(e, t->mix);
    pthread_mutex_unlock(&t->lock);
}

int sy_trainer_mix(struct sy_trainer *t, double shares[SY_MIX_MOST])
{
    pthread_mutex_lock(&t->lock);
    memcpy(shares, t->mix, sizeof t->mix);
    pthread_mutex_unlock(&t->lock);
    return sy_corpus_mix_parts(t->c.corpus);
}

/* ---- at its beginning, and from step to step ---- */

void sy__order_begin(struct sy_trainer *t)
{
    const struct sy_plan *plan = t->c.plan;
    t->sampler = (struct sy_sampler){.corpus = t->c.corpus, .split = SY_SPLIT_TRAIN,
                                     .mode = t->c.sampling, .batch = plan->batch,
                                     .context = plan->context,
                                     .inputs = plan->inputs,
                                     .objectives = t->c.objectives,
                                     .seed = (uint64_t)t->hyper.v[SY_HYPER_seed]};
    t->place = (struct sy_place){0};
    first_shares(t, t->mix);
    if (sy_corpus_mix_parts(t->c.corpus))
        t->sampler.share = t->mix;
    if (t->c.by_step)
        set_by_step(t);
}

void sy__order_done(struct sy_trainer *t)
{
    sy_place_advance(&t->sampler, &t->place,
                     (uint64_t)t->c.plan->batch * (uint64_t)t->c.plan->accumulate);
    if (t->c.by_step)
        set_by_step(t);
}

void sy__order_plan(struct sy_trainer *t)
{
    const struct sy_plan *plan = t->c.plan;
    if (plan->context != t->sampler.context)
        sy_place_turn(&t->sampler, &t->place);
    t->sampler.batch = plan->batch;
    t->sampler.context = plan->context;
    t->sampler.inputs = plan->inputs;
    if (t->c.by_step)
        set_by_step(t);
}

/* ---- of any step ---- */

/* BATCH, CONTEXT, ACCUMULATE, or -1: the entry changes none of them. */
enum { BATCH, CONTEXT, ACCUMULATE };
static int shape_of(const struct sy_journal_entry *e)
{
    int id = e->kind == SY_ENTRY_SET ? sy_hyper_find(e->key) : -1;
    int which = id == SY_HYPER_batch        ? BATCH
                : id == SY_HYPER_context    ? CONTEXT
                : id == SY_HYPER_accumulate ? ACCUMULATE
                                            : -1;
    return e->value >= 1 && e->value < 1e9 ? which : -1;
}

/* How `step` draws; the lock is held.  shares: room for those of a mix, which s borrows.  -1: the
 * corpus is too short for what the journal says. */
static int derive_draw(const struct sy_trainer *t, int64_t step, struct sy_sampler *s,
                       struct sy_place *p, int64_t *accumulate, double shares[SY_MIX_MOST])
{
    int64_t shape[3] = {t->shape[0], t->shape[1], t->shape[2]}, done = 0;
    *s = t->sampler;
    *p = (struct sy_place){0};
    first_shares(t, shares);
    s->share = sy_corpus_mix_parts(t->c.corpus) ? shares : NULL;
    for (int i = 0; i < t->njournal && t->journal[i].step < step; i++) {
        const struct sy_journal_entry *e = &t->journal[i];
        int which = shape_of(e);
        bool mixed = e->kind == SY_ENTRY_MIX && !sy__mix_check(t, e, NULL);
        if (which < 0 && !mixed)
            continue;
        s->context = shape[CONTEXT];
        if (sy_sampler_check(s, NULL))
            return -1;
        sy_place_advance(s, p,
                         (uint64_t)(e->step - done) * (uint64_t)(shape[BATCH] * shape[ACCUMULATE]));
        done = e->step;
        if (mixed) {
            put_shares(e, shares);
            continue;
        }
        if (which == CONTEXT && (int64_t)e->value != shape[CONTEXT])
            sy_place_turn(s, p);
        shape[which] = (int64_t)e->value;
    }
    sy_place_advance(s, p,
                     (uint64_t)(step - 1 - done) * (uint64_t)(shape[BATCH] * shape[ACCUMULATE]));
    s->batch = shape[BATCH];
    s->context = shape[CONTEXT];
    *accumulate = shape[ACCUMULATE];
    if (t->c.by_step)
        *p = of_step(step, shape[BATCH], shape[ACCUMULATE]);
    return sy_sampler_check(s, NULL);
}

/* Of a mix the shares, and the places of its parts, which checkpoints do not have: the journal has
 * all that they are made of. */
static void load_mix(struct sy_trainer *t)
{
    struct sy_sampler s;
    struct sy_place p;
    int64_t accumulate;
    double shares[SY_MIX_MOST] = {0};
    int rc = derive_draw(t, t->status.step + 1, &s, &p, &accumulate, shares);
    memcpy(t->mix, shares, sizeof t->mix);
    if (!rc)
        memcpy(t->place.part, p.part, sizeof p.part);
}

void sy__order_load(struct sy_trainer *t, const struct sy_place *place, bool by_step)
{
    t->c.by_step = by_step;
    t->place = *place;
    if (sy_corpus_mix_parts(t->c.corpus))
        load_mix(t);
    if (by_step)
        set_by_step(t);
}

int64_t sy_trainer_windows(struct sy_trainer *t, int64_t step)
{
    struct sy_sampler s;
    struct sy_place p;
    int64_t accumulate;
    double shares[SY_MIX_MOST];
    pthread_mutex_lock(&t->lock);
    int rc = step < 1 || t->c.by_step ? -1 : derive_draw(t, step, &s, &p, &accumulate, shares);
    pthread_mutex_unlock(&t->lock);
    return rc ? -1 : (int64_t)p.windows;
}

int64_t sy_trainer_rows(struct sy_trainer *t, int64_t step, int64_t first, int64_t n,
                        struct sy_row *out, int64_t *context)
{
    struct sy_sampler s;
    struct sy_place p;
    int64_t accumulate;
    double shares[SY_MIX_MOST];
    pthread_mutex_lock(&t->lock);
    int rc = step < 1 || first < 0 ? -1 : derive_draw(t, step, &s, &p, &accumulate, shares);
    pthread_mutex_unlock(&t->lock);
    if (rc)
        return 0;
    int64_t rows = s.batch * accumulate;
    *context = sy_sampler_window(&s);
    n = n < rows - first ? n : rows - first;
    for (int64_t i = 0; i < n; i++)
        out[i] = (struct sy_row){(first + i) / s.batch, (first + i) % s.batch,
                                 sy_sampler_start(&s, &p, first + i)};
    return n < 0 ? 0 : n;
}
