/* Where a run is in its data: the place of the next step, and of any other.  Layer train.
 *
 *  1. The place is how many windows were drawn (sy_place), so that a change of batch, accumulate or
 *     context between two steps sees no window twice and leaves none out.
 *  2. A step draws batch * accumulate windows whatever comes of it: those of a step that is skipped
 *     or left out are gone, for they are what made it stand out.
 *  3. t->place is that of the next step.  It is a function of the journal, which has every change
 *     of a shape: the places of past steps are derived from it again.  That takes long (a draw for
 *     each row of a mix; pairs packed for each context), so it is done without the lock: from a
 *     copy of what matters, or from a checkpoint's journal before it is the run's.
 *  4. Runs from before windows were counted (by_step) go on by their own rule: step N begins at
 *     window N * accumulate * batch, by what accumulate and batch are now. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/number.h"
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
enum { BATCH, CONTEXT, ACCUMULATE, SHAPES };
static int shape_of(const struct sy_journal_entry *e)
{
    int id = e->kind == SY_ENTRY_SET ? sy_hyper_find(e->key) : -1;
    int which = id == SY_HYPER_batch        ? BATCH
                : id == SY_HYPER_context    ? CONTEXT
                : id == SY_HYPER_accumulate ? ACCUMULATE
                                            : -1;
    return e->value >= 1 && e->value < 1e9 ? which : -1;
}

/* An entry that decides how the steps after it draw. */
struct change {
    int64_t step;
    int which; /* BATCH ..; -1: the shares of a mix */
    int64_t value;
    double share[SY_MIX_MOST];
};

/* false: it decides nothing of it. */
static bool change_of(const struct sy_trainer *t, const struct sy_journal_entry *e,
                      struct change *out)
{
    int which = shape_of(e);
    if (which < 0 && (e->kind != SY_ENTRY_MIX || sy__mix_check(t, e, NULL)))
        return false;
    *out = (struct change){.step = e->step, .which = which, .value = sy_to_int64(e->value)};
    if (which < 0)
        put_shares(e, out->share);
    return true;
}

/* A walk through a run's steps, from change to change. */
struct walk {
    int64_t shape[SHAPES]; /* of the step at hand */
    int64_t done;          /* steps behind it */
    struct sy_draw *draw;
};

/* Nobody changes the sampler meanwhile: the lock is held, or the trainer is. */
static struct walk begin_walk(const struct sy_trainer *t, struct sy_draw *d)
{
    *d = (struct sy_draw){.sampler = t->sampler};
    first_shares(t, d->share);
    d->sampler.share = sy_corpus_mix_parts(t->c.corpus) ? d->share : NULL;
    return (struct walk){{t->shape[0], t->shape[1], t->shape[2]}, 0, d};
}

/* -1: the corpus is too short for the steps, or there is no memory for its rows. */
static int pass_steps(struct walk *w, int64_t upto, struct sy_err *err)
{
    struct sy_draw *d = w->draw;
    d->sampler.context = w->shape[CONTEXT];
    SY_ASSERT(upto >= w->done); /* a journal's steps do not fall */
    if (sy_sampler_check(&d->sampler, err))
        return -1;
    sy_place_advance(&d->sampler, &d->place,
                     (uint64_t)(upto - w->done) *
                         (uint64_t)(w->shape[BATCH] * w->shape[ACCUMULATE]));
    w->done = upto;
    return 0;
}

static int pass_change(struct walk *w, const struct change *c, struct sy_err *err)
{
    if (pass_steps(w, c->step, err))
        return -1;
    if (c->which == CONTEXT && c->value != w->shape[CONTEXT])
        sy_place_turn(&w->draw->sampler, &w->draw->place);
    if (c->which >= 0)
        w->shape[c->which] = c->value;
    else
        memcpy(w->draw->share, c->share, sizeof c->share);
    return 0;
}

/* At `step`, which is drawn by the shape of now. */
static int end_walk(struct walk *w, int64_t step, struct sy_err *err)
{
    struct sy_draw *d = w->draw;
    if (pass_steps(w, step - 1, err))
        return -1;
    d->sampler.batch = w->shape[BATCH];
    d->rows = w->shape[BATCH] * w->shape[ACCUMULATE];
    return 0;
}

/* Of a mix the shares, and the places of its parts, which checkpoints do not have: the journal has
 * all that they are made of. */
static int derive_mix(const struct sy_trainer *t, const struct sy_image *image,
                      struct sy__order *out, struct sy_err *err)
{
    struct sy_draw d;
    struct walk w = begin_walk(t, &d);
    struct change c;
    int rc = 0;
    for (int i = 0; i < image->njournal && !rc; i++)
        if (change_of(t, &image->journal[i], &c))
            rc = pass_change(&w, &c, err);
    if (rc || end_walk(&w, image->status.step + 1, err))
        return -1;
    memcpy(out->mix, d.share, sizeof out->mix);
    memcpy(out->place.part, d.place.part, sizeof out->place.part);
    return 0;
}

int sy__order_derive(const struct sy_trainer *t, const struct sy_image *image,
                     struct sy__order *out, struct sy_err *err)
{
    const struct sy_plan *plan = t->c.plan;
    *out = (struct sy__order){.place = image->place, .by_step = image->by_step};
    if (sy_corpus_mix_parts(t->c.corpus) && derive_mix(t, image, out, err))
        return sy_err_prefix(err, "checkpoint: the places in the data at step %lld",
                             (long long)image->status.step);
    if (out->by_step)
        out->place = of_step(image->status.step + 1, plan->batch, plan->accumulate);
    return 0;
}

void sy__order_put(struct sy_trainer *t, const struct sy__order *o)
{
    t->c.by_step = o->by_step;
    t->place = o->place;
    memcpy(t->mix, o->mix, sizeof t->mix);
}

/* Those before `step`, owned; the lock is held.  NULL: no memory. */
static struct change *copy_changes(const struct sy_trainer *t, int64_t step, int *n)
{
    struct change *list, c;
    *n = 0;
    for (int i = 0; i < t->njournal; i++)
        *n += t->journal[i].step < step && change_of(t, &t->journal[i], &c);
    list = sy_calloc((size_t)*n + 1, sizeof *list);
    for (int i = 0, k = 0; list && k < *n; i++)
        k += t->journal[i].step < step && change_of(t, &t->journal[i], &list[k]);
    return list;
}

int sy_trainer_draw(struct sy_trainer *t, int64_t step, struct sy_draw *out)
{
    int n, rc = 0;
    pthread_mutex_lock(&t->lock);
    struct walk w = begin_walk(t, out);
    struct change *list = step < 1 ? NULL : copy_changes(t, step, &n);
    pthread_mutex_unlock(&t->lock);
    if (!list)
        return -1;
    for (int i = 0; i < n && !rc; i++)
        rc = pass_change(&w, &list[i], NULL);
    if (!rc)
        rc = end_walk(&w, step, NULL);
    sy_free(list);
    if (t->c.by_step)
        out->place = of_step(step, w.shape[BATCH], w.shape[ACCUMULATE]);
    return rc;
}

int64_t sy_trainer_windows(struct sy_trainer *t, int64_t step)
{
    struct sy_draw d;
    return t->c.by_step || sy_trainer_draw(t, step, &d) ? -1 : (int64_t)d.place.windows;
}
