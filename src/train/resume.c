/* Loading a checkpoint into a trainer.
 *
 *     verify all files -> parse state.json -> compare with this trainer -> read everything into
 *     memory of its own, derive what is not in it -> change the trainer, which cannot fail
 *
 * so that a damaged file, a full memory or a wrong run leaves the trainer as it was. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "cpu/cpu.h"
#include "run/metrics.h"
#include "switchyard/io.h"
#include "train/optimizers/optimizer.h"
#include "train/trainer_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OP "checkpoint"

struct target { /* one small tensor of the trainer */
    struct sy_tensor *tensor;
    const void *from; /* in loading.block */
};

struct loading {
    struct sy_trainer *t;
    const char *path;
    struct sy_image *image;
    float *flat; /* p and kept; borrowed from the saver's second buffer, or owned */
    bool flat_owned;
    struct target *targets;
    int ntargets;
    char *block; /* bytes of targets */
    struct sy__order order; /* where the run is in its data */
    struct difference {
        const char *what; /* the key of its entry in the journal */
        char text[112];
    } differences[3];
    int ndifferences;
};

/* ---- what the run depends on ---- */

static void differs(struct loading *l, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void differs(struct loading *l, const char *what, const char *fmt, ...)
{
    if (l->ndifferences == 3)
        return;
    struct difference *d = &l->differences[l->ndifferences++];
    va_list ap;
    va_start(ap, fmt);
    d->what = what;
    vsnprintf(d->text, sizeof d->text, fmt, ap);
    va_end(ap);
}

static void compare_hash(struct loading *l, const char *what, uint64_t now, uint64_t was)
{
    char a[17], b[17];
    sy_hash_hex(now, a);
    sy_hash_hex(was, b);
    if (now != was)
        differs(l, what, "the %s changed: hash %s, was %s", what, a, b);
}

static int compare_image(struct loading *l, bool force, struct sy_err *err)
{
    const struct sy_trainer *t = l->t;
    const struct sy_image *image = l->image;
    struct sy_tokenizer *tokenizer = sy_corpus_tokenizer(t->c.corpus);
    compare_hash(l, "data", sy_corpus_hash(t->c.corpus), image->data);
    compare_hash(l, "tokenizer", tokenizer ? sy_tokenizer_hash(tokenizer) : 0, image->tokenizer);
    bool old = image->fingerprint < SY_FINGERPRINT_VERSION;
    compare_hash(l, "program", old ? sy__fingerprint(t, image->fingerprint) : t->program,
                 image->program);
    if (image->exact != SY_EXACT_VERSION)
        differs(l, "kernels", "the kernels changed: version %d, was %d", SY_EXACT_VERSION,
                image->exact);
    if (t->c.bf16 && *image->bf16 && strcmp(image->bf16, sy_cpu_bf16()))
        differs(l, "kernels", "the kernels changed: bf16 products are by %s, were by %s",
                sy_cpu_bf16(), image->bf16);
    if (image->sampling != t->c.sampling)
        differs(l, "sampling", "sampling changed: mode %d, was %d", (int)t->c.sampling,
                (int)image->sampling);
    if (!l->ndifferences || force)
        return 0;
    return sy_err_set(err, SY_E_STATE, "resume: %s%s%s", l->differences[0].text,
                      l->ndifferences > 1 ? "; " : "",
                      l->ndifferences > 1 ? l->differences[1].text : "");
}

/* ---- reading ---- */

static struct sy_st *open_file(const struct loading *l, const char *name, struct sy_err *err)
{
    char path[SY_PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", l->path, name) >= (int)sizeof path) {
        sy_err_set(err, SY_E_RANGE, OP ": the path is too long: %s", l->path);
        return NULL;
    }
    return sy_st_open(path, err);
}

/* name's bytes into `to`, if it has this dtype and shape. */
static int read_array(const struct sy_st *st, const char *name, enum sy_dtype dtype, int ndim,
                      const int64_t *shape, void *to, struct sy_err *err)
{
    char have[128], want[128];
    const struct sy_array *a = sy_st_find(st, name);
    if (!a)
        return sy_err_set(err, SY_E_NAME, OP ": there is no '%s' in it", name);
    if (a->dtype != dtype || a->ndim != ndim ||
        memcmp(a->shape, shape, (size_t)ndim * sizeof *shape))
        return sy_err_set(err, SY_E_SHAPE, OP ": '%s' is %s %s, the run has %s %s", name, a->type,
                          sy_shape_text(a->ndim, a->shape, have, sizeof have), sy_dtype_name(dtype),
                          sy_shape_text(ndim, shape, want, sizeof want));
    return sy_st_read(st, a, to, err);
}

static int read_slot(const struct sy_st *st, const struct sy_params *ps, int param, int state,
                     float *kept, struct sy_err *err)
{
    const struct sy_slot *slot = sy_params_slot(ps, param, state);
    struct sy_str name = SY_STR_INIT;
    if (!slot->count)
        return 0;
    sy_str_printf(&name, "%s.%s", ps->list[param].name, ps->optimizer->states[state]);
    int rc = name.failed ? sy_err_set(err, SY_E_MEMORY, OP ": out of memory")
                         : read_array(st, name.data, SY_F32, slot->ndim, slot->shape,
                                      kept + slot->offset, err);
    sy_str_free(&name);
    return rc;
}

static int read_param(const struct sy_st *model, const struct sy_st *slots,
                      const struct sy_params *ps, int i, float *flat, struct sy_err *err)
{
    const struct sy_param *p = &ps->list[i];
    int rc = read_array(model, p->name, SY_F32, p->tensor->ndim, p->tensor->shape,
                        flat + p->offset, err);
    for (int s = 0; s < ps->nslots && !rc; s++)
        rc = read_slot(slots, ps, i, s, flat + ps->floats, err);
    return rc;
}

static int64_t count_slots(const struct sy_params *ps)
{
    int64_t n = 0;
    for (int i = 0; i < ps->nslots * ps->count; i++)
        n += ps->slots[i].count > 0;
    return n;
}

/* What it keeps means nothing to another; nothing is to be forced. */
static int check_optimizer(const struct loading *l, struct sy_err *err)
{
    const char *have = l->t->c.params->optimizer->name;
    if (!strcmp(have, l->image->optimizer))
        return 0;
    return sy_err_set(err, SY_E_STATE, OP ": its optimizer is %s, the run's is %s: %s",
                      l->image->optimizer, have, l->path);
}

static int check_count(const struct sy_st *st, const char *file, int64_t want, struct sy_err *err)
{
    if (sy_st_count(st) == want)
        return 0;
    return sy_err_set(err, SY_E_SHAPE, OP ": %s holds %" PRId64 " tensors, the run has %" PRId64,
                      file, sy_st_count(st), want);
}

static int read_flat(struct loading *l, struct sy_err *err)
{
    const struct sy_params *ps = l->t->c.params;
    size_t bytes = sy__saver_bytes(ps);
    l->flat = sy__saver_buffer(l->t);
    if (!l->flat) {
        l->flat = sy_alloc(bytes ? bytes : 1);
        l->flat_owned = true;
    }
    if (!l->flat)
        return sy_err_set(err, SY_E_MEMORY, OP ": out of memory: %zu bytes wanted", bytes);
    memset(l->flat, 0, bytes); /* the padding is part of the run's hash */
    struct sy_st *model = open_file(l, "model.safetensors", err);
    struct sy_st *slots = model ? open_file(l, "optimizer.safetensors", err) : NULL;
    int rc = slots && !check_count(model, "model.safetensors", ps->count, err) &&
                     !check_count(slots, "optimizer.safetensors", count_slots(ps), err)
                 ? 0
                 : -1;
    for (int i = 0; i < ps->count && !rc; i++)
        rc = read_param(model, slots, ps, i, l->flat, err);
    sy_st_close(model);
    sy_st_close(slots);
    return rc;
}

static void add_target(struct loading *l, struct sy_tensor *x, size_t *at)
{
    l->targets[l->ntargets].from = l->block ? l->block + *at : NULL;
    l->targets[l->ntargets++].tensor = x;
    *at += sy__value_room(x);
}

static int count_targets(const struct sy_trainer *t, size_t *bytes)
{
    const struct sy_phase *phases[2] = {&t->c.plan->begin, &t->c.plan->eval};
    int n = t->c.params->nstates;
    for (int i = 0; i < n; i++)
        *bytes += sy__value_room(t->c.params->states[i]);
    for (int k = 0; k < 2; k++)
        for (int i = 0; phases[k]->graph && i < sy_graph_inputs(phases[k]->graph); i++, n++)
            *bytes += sy__value_room(sy_graph_input_at(phases[k]->graph, i));
    return n;
}

static int read_value(struct loading *l, const struct sy_st *st, enum sy_image_part part,
                      const char *name, struct sy_tensor *x, size_t *at, struct sy_err *err)
{
    char full[128];
    char *to = l->block + *at;
    sy__value_name(part, name, full);
    if (read_array(st, full, x->dtype, x->ndim, x->shape, to, err))
        return -1;
    add_target(l, x, at);
    return 0;
}

static int read_inputs(struct loading *l, const struct sy_st *st, enum sy_image_part part,
                       const struct sy_graph *g, size_t *at, struct sy_err *err)
{
    for (int i = 0; g && i < sy_graph_inputs(g); i++) {
        struct sy_tensor *x = sy_graph_input_at(g, i);
        if (sy__is_value(x) && read_value(l, st, part, sy_graph_input_name(g, i), x, at, err))
            return -1;
    }
    return 0;
}

static int read_journal_values(struct loading *l, const struct sy_st *st, struct sy_err *err)
{
    for (int i = 0; i < l->image->njournal; i++) {
        struct sy_journal_entry *e = &l->image->journal[i];
        char name[32];
        snprintf(name, sizeof name, "journal.%d", i + 1);
        const struct sy_array *a = e->n ? sy_st_find(st, name) : NULL;
        if (e->n && (!a || a->bytes != (uint64_t)e->n * sizeof(float)))
            return sy_err_set(err, SY_E_FORMAT, OP ": state.safetensors lacks the values of %s",
                              name);
        float *values = e->n ? sy_alloc(a->bytes) : NULL;
        e->values = values;
        if (e->n && !values)
            return sy_err_set(err, SY_E_MEMORY, OP ": out of memory");
        if (e->n && read_array(st, name, SY_F32, 1, &e->n, values, err))
            return -1;
    }
    return 0;
}

static int read_values(struct loading *l, struct sy_err *err)
{
    const struct sy_trainer *t = l->t;
    size_t bytes = 64, at = 0;
    int n = count_targets(t, &bytes);
    l->targets = sy_calloc((size_t)n + 1, sizeof *l->targets);
    l->block = sy_alloc(bytes);
    if (!l->targets || !l->block)
        return sy_err_set(err, SY_E_MEMORY, OP ": out of memory");
    struct sy_st *st = open_file(l, "state.safetensors", err);
    int rc = st ? 0 : -1;
    for (int i = 0; i < t->c.params->nstates && !rc; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i + 1);
        rc = read_value(l, st, SY_IMAGE_STATE, number, t->c.params->states[i], &at, err);
    }
    if (!rc)
        rc = read_inputs(l, st, SY_IMAGE_INPUT, t->c.plan->begin.graph, &at, err) ||
                     read_inputs(l, st, SY_IMAGE_EVAL, t->c.plan->eval.graph, &at, err) ||
                     read_journal_values(l, st, err)
                 ? -1
                 : 0;
    sy_st_close(st);
    return rc;
}

/* Names of frozen parameters to their numbers. */
static int resolve_frozen(struct loading *l, struct sy_err *err)
{
    const struct sy_params *ps = l->t->c.params;
    for (int i = 0; i < l->image->nfrozen; i++) {
        int k = 0;
        while (k < ps->count && strcmp(ps->list[k].name, l->image->frozen_names[i]))
            k++;
        if (k == ps->count)
            return sy_err_set(err, SY_E_NAME, OP ": a frozen parameter is not of the run: %s",
                              l->image->frozen_names[i]);
        l->image->frozen[i].param = k;
    }
    return 0;
}

/* What sy_params_hash would give with what was read. */
static uint64_t hash_of(const struct loading *l)
{
    struct sy_hash h;
    const struct sy_params *ps = l->t->c.params;
    sy_hash_init(&h);
    sy_hash_update(&h, l->flat, sy__saver_bytes(ps));
    for (int i = 0; i < ps->nstates; i++) /* the first of the targets */
        sy_hash_update(&h, l->targets[i].from, sy_tensor_bytes(l->targets[i].tensor));
    return sy_hash_final(&h);
}

/* MANIFEST says what the files were when it was written, this what the run had. */
static int check_hash(const struct loading *l, struct sy_err *err)
{
    char have[17], want[17];
    uint64_t hash = l->image->hash ? hash_of(l) : 0;
    if (hash == l->image->hash)
        return 0;
    sy_hash_hex(hash, have);
    sy_hash_hex(l->image->hash, want);
    return sy_err_set(err, SY_E_FORMAT,
                      OP ": %s is damaged: its tensors hash to %s, state.json says %s", l->path,
                      have, want);
}

static int read_all(struct loading *l, struct sy_err *err)
{
    return check_optimizer(l, err) || read_flat(l, err) || read_values(l, err) || check_hash(l, err)
               ? -1
               : 0;
}

static void close_loading(struct loading *l)
{
    if (l->flat_owned)
        sy_free(l->flat);
    sy_free(l->targets);
    sy_free(l->block);
    sy_image_free(l->image);
}

/* ---- changing the trainer: nothing here fails ---- */

static void put_flat(const struct loading *l)
{
    struct sy_params *ps = l->t->c.params;
    memcpy(ps->p, l->flat, (size_t)ps->floats * sizeof(float));
    memcpy(ps->kept, l->flat + ps->floats, (size_t)ps->kept_floats * sizeof(float));
    for (int i = 0; i < ps->nchunks; i++) {
        struct sy_chunk *c = &ps->chunks[i];
        c->frozen = false;
        for (int k = 0; k < l->image->nfrozen; k++)
            c->frozen |=
                l->image->frozen[k].param == c->param && l->image->frozen[k].expert == c->expert;
    }
}

static void put_values(const struct loading *l)
{
    struct sy_plan *plan = l->t->c.plan;
    for (int i = 0; i < l->ntargets; i++)
        memcpy(sy_data(l->targets[i].tensor), l->targets[i].from,
               sy_tensor_bytes(l->targets[i].tensor));
    sy__inputs_copy(plan, plan);
}

static void put_status(struct loading *l)
{
    struct sy_trainer *t = l->t;
    sy__journal_free(t->journal, t->njournal);
    t->journal = l->image->journal;
    t->njournal = l->image->njournal;
    t->entries_lost = 0;
    t->journal_room = (size_t)t->njournal;
    l->image->journal = NULL;
    l->image->njournal = 0;
    sy__inputs_drop(t);
    sy__skips_of_journal(t);
    sy__spikes_truncate(t, l->image->status.step);
    t->window = l->image->window;
    t->rewind.first = t->rewind.last = 0;
    t->status = l->image->status;
    t->status.state = SY_RUN_PAUSED;
    sy__order_put(t, &l->order);
    sy__alarms_reset(t);
    t->hyper = t->wanted = l->image->hyper;
    sy__set_wish(t, SY__PAUSE);
    t->pause_at = -1;
    t->pace.seconds = t->pace.weight = 0;
    t->saver.ended = t->saver.due = false;
    pthread_cond_broadcast(&t->changed);
}

static void put_image(struct loading *l)
{
    struct sy_trainer *t = l->t;
    put_flat(l);
    put_values(l);
    pthread_mutex_lock(&t->lock);
    put_status(l);
    for (int i = 0; i < l->ndifferences; i++) {
        struct sy_journal_entry e = {.kind = SY_ENTRY_RESUME, .expert = -1};
        snprintf(e.key, sizeof e.key, "%s", l->differences[i].what);
        snprintf(e.who, sizeof e.who, "%s", sy_acting());
        snprintf(e.text, sizeof e.text, "%s", l->differences[i].text);
        sy__journal_add(t, &e);
    }
    pthread_mutex_unlock(&t->lock);
    sy_metrics_truncate(t->metrics, t->status.step);
}

int sy_trainer_load(struct sy_trainer *t, const char *path, bool force, struct sy_err *err)
{
    struct loading l = {.t = t, .path = path};
    sy__saver_join(t); /* its buffer is ours now */
    l.image = sy_checkpoint_read(path, err);
    int rc =
        l.image && !compare_image(&l, force, err) && !resolve_frozen(&l, err) &&
                !read_all(&l, err) && !sy__order_derive(t, l.image, &l.order, err)
            ? 0
            : -1;
    if (!rc)
        put_image(&l);
    close_loading(&l);
    return rc;
}

int sy_trainer_stored_hash(struct sy_trainer *t, const char *path, uint64_t *hash,
                           struct sy_err *err)
{
    struct loading l = {.t = t, .path = path};
    sy__saver_join(t);
    l.image = sy_checkpoint_read(path, err);
    int rc = l.image && !read_all(&l, err) ? 0 : -1;
    *hash = rc ? 0 : hash_of(&l);
    close_loading(&l);
    return rc;
}
