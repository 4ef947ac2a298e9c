/* What is known of a step that stood out: what each of its sequences (order.c) cost, and the states
 * before it.  Layer train.
 *
 *     Losses of single sequences are measured at once, while the parameters are still those of
 *     before the step: the evaluation's program runs with one sequence in all its rows.  That is a
 *     forward pass each, so it is done where a step stood out, and of many sequences only the worst
 *     is looked for. */
#include "base/mem.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <math.h>
#include <string.h>

#define EACH_MOST 8   /* sequences that are measured one by one */
#define MICRO_MOST 16 /* micro-batches that are looked at */
#define VALUES_MOST 65536 /* numbers of states that are kept */

/* ---- keeping ---- */

static size_t row_bytes(const struct sy_sampler *s, enum sy_field f)
{
    return (size_t)sy_field_values(f, s->context, s->inputs) * SY_FIELD_BYTES;
}

/* Rows first .. first+n-1 of b, over and over, into all rows of the phase; those that are left
 * where n does not divide B count nothing. */
static void copy_rows(const struct sy_phase *p, const struct sy_batch *b, int64_t first, int64_t n,
                      const struct sy_sampler *s)
{
    const struct sy_batch to = sy_phase_batch(p);
    for (int f = 0; f < SY_FIELD_COUNT; f++)
        for (size_t r = 0, row = row_bytes(s, (enum sy_field)f);
             to.at[f] && r < (size_t)s->batch; r++)
            memcpy((char *)to.at[f] + r * row,
                   (const char *)b->at[f] + ((size_t)first + r % (size_t)n) * row, row);
    int64_t count = s->batch / n * n * s->context;
    for (int64_t i = count; to.at[SY_FIELD_TARGETS] && i < s->batch * s->context; i++)
        ((int32_t *)to.at[SY_FIELD_TARGETS])[i] = -1;
    if (to.at[SY_FIELD_WEIGHTS])
        sy_weights_average(to.at[SY_FIELD_WEIGHTS], to.at[SY_FIELD_TARGETS], s->batch * s->context);
}

/* Mean loss of some sequences of the micro-batch in b; NaN as well when the step is given up. */
static double mean_loss(struct sy__going *g, const struct sy_batch *b, int64_t first, int64_t n)
{
    const struct sy_trainer *t = g->t;
    struct sy_phase *p = &t->c.plan->eval;
    copy_rows(p, b, first, n, &t->sampler);
    sy_phase_number(p, t->status.step, 0);
    if (sy_program_run_until(p->program, t->sampler.seed, (uint64_t)g->step, sy__poll, g, NULL))
        return (double)NAN;
    return sy_tensor_get(p->loss, 0);
}

/* What the mean over rows first .. first+n-1 of b is made of: the weights of their targets. */
static double weight_of(const struct sy_batch *b, int64_t first, int64_t n, int64_t context)
{
    const int32_t *targets = b->at[SY_FIELD_TARGETS];
    const float *weights = b->at[SY_FIELD_WEIGHTS];
    double sum = 0;
    for (int64_t i = first * context; i < (first + n) * context; i++)
        sum += targets && targets[i] < 0 ? 0 : weights ? (double)weights[i] : 1;
    return sum;
}

static void draw_batch(struct sy_trainer *t, int64_t micro, const struct sy_batch *b)
{
    sy_sampler_batch(&t->sampler, &t->place, micro * t->sampler.batch, b);
}

static void measure_each(struct sy__going *g, const struct sy_batch *b, float *losses, int64_t rows)
{
    struct sy_trainer *t = g->t;
    int64_t B = t->sampler.batch;
    for (int64_t i = 0; i < rows; i++) {
        if (i % B == 0)
            draw_batch(t, i / B, b);
        losses[i] = (float)mean_loss(g, b, i % B, 1);
    }
}

static bool is_worse(double a, double b) { return !isfinite(a) || (isfinite(b) && a > b); }

static int64_t worst_micro(struct sy__going *g, const struct sy_batch *b, double *loss)
{
    struct sy_trainer *t = g->t;
    int64_t worst = 0;
    for (int64_t a = 0; a < t->c.plan->accumulate && a < MICRO_MOST; a++) {
        draw_batch(t, a, b);
        double l = mean_loss(g, b, 0, t->sampler.batch);
        if (!a || is_worse(l, *loss)) {
            worst = a;
            *loss = l;
        }
    }
    draw_batch(t, worst, b);
    return worst;
}

/* By halves: the one that is worse than the whole, a mean over targets, has it.  log2(B) + 2 passes
 * instead of B. */
static void find_worst(struct sy__going *g, const struct sy_batch *b, float *losses)
{
    const struct sy_trainer *t = g->t;
    double mean = 0;
    int64_t micro = worst_micro(g, b, &mean), first = 0, n = t->sampler.batch;
    while (n > 1) {
        int64_t half = n / 2;
        double l = mean_loss(g, b, first, half);
        bool here = isfinite(mean) ? !(l < mean) : !isfinite(l);
        double all = weight_of(b, first, n, t->sampler.context),
               in_half = weight_of(b, first, half, t->sampler.context);
        mean = here                                 ? l
               : isfinite(mean) && all > in_half ? (mean * all - l * in_half) / (all - in_half)
                                                 : mean;
        first += here ? 0 : half;
        n = here ? half : n - half;
    }
    losses[micro * t->sampler.batch + first] = (float)mean_loss(g, b, first, 1);
}

static void measure_losses(struct sy__going *g, float *losses, int64_t rows)
{
    const struct sy_trainer *t = g->t;
    const struct sy_phase *p = &t->c.plan->eval;
    size_t bytes = 0;
    for (int f = 0; f < SY_FIELD_COUNT; f++)
        bytes += p->field[f] ? sy_tensor_bytes(p->field[f]) : 0;
    char *room = p->program ? sy_alloc(bytes) : NULL, *end = room;
    struct sy_batch b = {.scale = 1};
    for (int f = 0; f < SY_FIELD_COUNT; f++)
        if (room && p->field[f]) {
            b.at[f] = end;
            end += sy_tensor_bytes(p->field[f]);
        }
    for (int64_t i = 0; i < rows; i++)
        losses[i] = -1;
    if (room && rows <= EACH_MOST)
        measure_each(g, &b, losses, rows);
    else if (room)
        find_worst(g, &b, losses);
    sy_free(room);
}

static int64_t count_values(const struct sy_params *ps)
{
    int64_t n = 0;
    for (int i = 0; i < ps->nstates; i++)
        n += ps->states[i]->dtype == SY_F32 ? sy_tensor_count(ps->states[i]) : 0;
    return n <= VALUES_MOST ? n : 0;
}

static void copy_values(const struct sy_params *ps, float *to)
{
    for (int i = 0; i < ps->nstates; i++) {
        const struct sy_tensor *x = ps->states[i];
        if (x->dtype != SY_F32)
            continue;
        memcpy(to, sy_data(x), sy_tensor_bytes(x));
        to += sy_tensor_count(x);
    }
}

static void free_spike(struct sy__spike *k)
{
    sy_free(k->losses);
    sy_free(k->states);
    *k = (struct sy__spike){0};
}

static void insert_spike(struct sy_trainer *t, const struct sy__spike *k)
{
    pthread_mutex_lock(&t->lock);
    struct sy__spike *old = &t->spikes[t->spike_at];
    struct sy__spike gone = *old;
    *old = *k;
    t->spike_at = (t->spike_at + 1) % SY__SPIKES;
    t->nspikes += t->nspikes < SY__SPIKES;
    pthread_mutex_unlock(&t->lock);
    free_spike(&gone);
}

bool sy__spike_keep(struct sy_trainer *t, const struct sy_spike *s, struct sy__going *g)
{
    struct sy__spike k = {.s = *s};
    if (!t->spikes && !(t->spikes = sy_calloc(SY__SPIKES, sizeof *t->spikes)))
        return true;
    k.s.rows = t->sampler.batch * t->c.plan->accumulate;
    k.s.values = count_values(t->c.params);
    k.losses = sy_alloc((size_t)k.s.rows * sizeof *k.losses);
    k.states = k.s.values ? sy_alloc((size_t)k.s.values * sizeof *k.states) : NULL;
    if (!k.losses)
        k.s.rows = 0;
    else
        measure_losses(g, k.losses, k.s.rows);
    if (sy__poll(g)) {
        free_spike(&k);
        return false;
    }
    if (!k.states)
        k.s.values = 0;
    else
        copy_values(t->c.params, k.states);
    insert_spike(t, &k);
    return true;
}

void sy__spikes_free(struct sy_trainer *t)
{
    for (int i = 0; t->spikes && i < SY__SPIKES; i++)
        free_spike(&t->spikes[i]);
    sy_free(t->spikes);
    t->spikes = NULL;
    t->nspikes = t->spike_at = 0;
}

int sy_trainer_set_states(struct sy_trainer *t, struct sy_tensor *const *states, int n,
                          struct sy_err *err)
{
    if (sy_params_set_states(t->c.params, states, n, err))
        return -1;
    pthread_mutex_lock(&t->lock);
    sy__spikes_free(t);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

/* The i-th oldest. */
static struct sy__spike *spike_at(struct sy_trainer *t, int i)
{
    return &t->spikes[(t->spike_at - t->nspikes + i + SY__SPIKES) % SY__SPIKES];
}

void sy__spikes_truncate(struct sy_trainer *t, int64_t step)
{
    while (t->nspikes && spike_at(t, t->nspikes - 1)->s.step > step) {
        t->spike_at = (t->spike_at + SY__SPIKES - 1) % SY__SPIKES;
        t->nspikes--;
        free_spike(&t->spikes[t->spike_at]);
    }
}

/* ---- asking ---- */

int sy_trainer_spikes(struct sy_trainer *t, struct sy_spike *out, int n)
{
    pthread_mutex_lock(&t->lock);
    n = n < t->nspikes ? n : t->nspikes;
    for (int i = 0; i < n; i++)
        out[i] = spike_at(t, t->nspikes - n + i)->s;
    pthread_mutex_unlock(&t->lock);
    return n;
}

bool sy_trainer_spike_detail(struct sy_trainer *t, int64_t step, float *losses, float *states)
{
    bool found = false;
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->nspikes && !found; i++) {
        const struct sy__spike *k = spike_at(t, i);
        found = k->s.step == step;
        if (found && losses && k->s.rows)
            memcpy(losses, k->losses, (size_t)k->s.rows * sizeof *losses);
        if (found && states && k->s.values)
            memcpy(states, k->states, (size_t)k->s.values * sizeof *states);
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

bool sy_trainer_rewind_wanted(struct sy_trainer *t, int64_t *first, int64_t *last)
{
    pthread_mutex_lock(&t->lock);
    *first = t->rewind.first;
    *last = t->rewind.last;
    pthread_mutex_unlock(&t->lock);
    return *last > 0;
}
