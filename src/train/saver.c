/* Taking the state of a trainer and having it written: at once, or by a thread of its own while the
 * training goes on.
 *
 *     border, due --memory for a second buffer?--yes--> writer thread: copy p, kept -> write
 *                                              \--no--> write here, training waits, said so once
 *     border, landed           --> join, report
 *     border, due, one writes  --> the next border (a multiple of keep_every waits for it)
 *
 *  1. At most one writer.  Until its copy is made nobody writes p or kept: the next step computes
 *     its gradients meanwhile, and waits before its update (sy__saver_copied), as does who parks.
 *     After that the writer reads only the image, which shares nothing that a step writes.
 *  2. The second buffer stays until the trainer ends.  Its pages are touched in the background when
 *     the run gets its directory, so that the first copy takes no longer than others. */
#include "base/clock.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/wait.h"
#include "cpu/cpu.h"
#include "train/optimizers/optimizer.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SPARE ((uint64_t)64 << 20) /* bytes of memory that must stay available */

/* ---- the image ---- */

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "checkpoint: out of memory");
}

bool sy__is_value(const struct sy_tensor *x)
{
    return x->dtype == SY_F32 && sy_data(x) && sy_tensor_contiguous(x);
}

size_t sy__value_room(const struct sy_tensor *x)
{
    return (sy_tensor_bytes(x) + 63) / 64 * 64;
}

void sy__value_name(enum sy_image_part part, const char *n, char out[128])
{
    static const char *const parts[] = {"state", "input", "eval"}; /* by enum sy_image_part */
    snprintf(out, 128, "%s.%s", parts[part], n);
}

static void put_value(struct sy_image *image, enum sy_image_part part, const char *name,
                      const struct sy_tensor *x, size_t *at)
{
    struct sy_image_value *v = &image->values[image->nvalues++];
    v->part = part;
    sy__value_name(part, name, v->name);
    v->dtype = x->dtype;
    v->ndim = x->ndim;
    memcpy(v->shape, x->shape, sizeof v->shape);
    v->bytes = sy_tensor_bytes(x);
    char *to = (char *)image->block + *at;
    memcpy(to, sy_data(x), v->bytes);
    v->data = to;
    *at += sy__value_room(x);
}

static void count_values(const struct sy_graph *g, size_t *bytes, int *n)
{
    for (int i = 0; g && i < sy_graph_inputs(g); i++)
        if (sy__is_value(sy_graph_input_at(g, i))) {
            *bytes += sy__value_room(sy_graph_input_at(g, i));
            ++*n;
        }
}

static void put_inputs(struct sy_image *image, enum sy_image_part part, const struct sy_graph *g,
                       size_t *at)
{
    for (int i = 0; g && i < sy_graph_inputs(g); i++)
        if (sy__is_value(sy_graph_input_at(g, i)))
            put_value(image, part, sy_graph_input_name(g, i), sy_graph_input_at(g, i), at);
}

static int take_values(const struct sy_trainer *t, struct sy_image *image, struct sy_err *err)
{
    const struct sy_params *ps = t->c.params;
    const struct sy_plan *plan = t->c.plan;
    size_t bytes = 64, at = 0;
    int n = ps->nstates;
    for (int i = 0; i < ps->nstates; i++)
        bytes += sy__value_room(ps->states[i]);
    count_values(plan->begin.graph, &bytes, &n);
    count_values(plan->eval.graph, &bytes, &n);
    image->values = sy_calloc((size_t)n + 1, sizeof *image->values);
    image->block = sy_alloc(bytes);
    if (!image->values || !image->block)
        return no_memory(err);
    for (int i = 0; i < ps->nstates; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i + 1);
        put_value(image, SY_IMAGE_STATE, number, ps->states[i], &at);
    }
    put_inputs(image, SY_IMAGE_INPUT, plan->begin.graph, &at);
    put_inputs(image, SY_IMAGE_EVAL, plan->eval.graph, &at);
    return 0;
}

static int take_frozen(const struct sy_params *ps, struct sy_image *image, struct sy_err *err)
{
    image->frozen = sy_calloc((size_t)ps->nchunks + 1, sizeof *image->frozen);
    if (!image->frozen)
        return no_memory(err);
    for (int i = 0; i < ps->nchunks; i++) {
        const struct sy_chunk *c = &ps->chunks[i];
        const struct sy_frozen *last = image->nfrozen ? &image->frozen[image->nfrozen - 1] : NULL;
        if (c->frozen && !(last && last->param == c->param && last->expert == c->expert))
            image->frozen[image->nfrozen++] = (struct sy_frozen){c->param, c->expert};
    }
    return 0;
}

static int take_journal(struct sy_trainer *t, struct sy_image *image, struct sy_err *err)
{
    image->journal = sy_calloc((size_t)t->njournal + 1, sizeof *image->journal);
    if (!image->journal)
        return no_memory(err);
    for (int i = 0; i < t->njournal; i++) {
        struct sy_journal_entry *e = &image->journal[image->njournal++];
        size_t bytes = (size_t)t->journal[i].n * sizeof(float);
        float *values = bytes ? sy_alloc(bytes) : NULL;
        *e = t->journal[i];
        e->values = values;
        if (bytes && !values)
            return no_memory(err);
        if (bytes)
            memcpy(values, t->journal[i].values, bytes);
    }
    return 0;
}

static void take_numbers(struct sy_trainer *t, struct sy_image *image)
{
    struct sy_tokenizer *tokenizer = sy_corpus_tokenizer(t->c.corpus);
    const struct sy_params *ps = t->c.params;
    image->status = t->status;
    image->hyper = t->hyper;
    image->window = t->window;
    for (int i = 0; i < SY_HYPER_COUNT; i++) /* what trains, not what was asked for */
        if (sy_hyper_spec((enum sy_hyper_id)i)->live == SY_LIVE_PLAN)
            image->hyper.v[i] = sy_plan_value(t->c.plan, (enum sy_hyper_id)i);
    image->sampling = t->c.sampling;
    snprintf(image->bf16, sizeof image->bf16, "%s", t->c.bf16 ? sy_cpu_bf16() : "");
    image->data = sy_corpus_hash(t->c.corpus);
    image->tokenizer = tokenizer ? sy_tokenizer_hash(tokenizer) : 0;
    image->program = t->program;
    image->fingerprint = SY_FINGERPRINT_VERSION;
    image->params = ps;
    image->p = ps->p;
    image->kept = ps->kept;
    snprintf(image->optimizer, sizeof image->optimizer, "%s", ps->optimizer->name);
    image->place = t->place;
    image->by_step = t->c.by_step;
}

/* All but p and kept, which stay where they are. */
static struct sy_image *take_image(struct sy_trainer *t, struct sy_err *err)
{
    struct sy_image *image = sy_calloc(1, sizeof *image);
    if (!image) {
        no_memory(err);
        return NULL;
    }
    pthread_mutex_lock(&t->lock);
    take_numbers(t, image);
    image->run = sy_strdup(t->name);
    memcpy(image->id, t->id, sizeof image->id);
    image->config = t->config ? sy_strdup(t->config) : NULL;
    int rc =
        !image->run || (t->config && !image->config) ? no_memory(err) : take_journal(t, image, err);
    pthread_mutex_unlock(&t->lock);
    if (rc || take_values(t, image, err) || take_frozen(t->c.params, image, err)) {
        sy_image_free(image);
        return NULL;
    }
    return image;
}

uint64_t sy_checkpoint_bytes(struct sy_trainer *t)
{
    struct sy_image *image = take_image(t, NULL);
    uint64_t bytes = image ? sy__image_bytes(image) : 0;
    sy_image_free(image);
    return bytes;
}

/* ---- the second buffer ---- */

size_t sy__saver_bytes(const struct sy_params *ps)
{
    return (size_t)(ps->floats + ps->kept_floats) * sizeof(float);
}

float *sy__saver_buffer(struct sy_trainer *t)
{
    struct sy__saver *s = &t->saver;
    size_t bytes = sy__saver_bytes(t->c.params);
    if (!s->copy && sy_machine_available() >= bytes + SPARE)
        s->copy = sy_alloc(bytes ? bytes : 1);
    return s->copy;
}

/* On the writer's thread: the pool is the trainer's. */
static void copy_flat(const struct sy_params *ps, float *to)
{
    memcpy(to, ps->p, (size_t)ps->floats * sizeof(float));
    memcpy(to + ps->floats, ps->kept, (size_t)ps->kept_floats * sizeof(float));
}

static void set_writer(struct sy__saver *s, enum sy__writer writing)
{
    pthread_mutex_lock(&s->lock);
    s->writing = writing;
    pthread_cond_broadcast(&s->done);
    pthread_mutex_unlock(&s->lock);
}

static enum sy__writer writer_of(struct sy__saver *s)
{
    pthread_mutex_lock(&s->lock);
    enum sy__writer writing = s->writing;
    pthread_mutex_unlock(&s->lock);
    return writing;
}

void sy__saver_copied(struct sy_trainer *t)
{
    struct sy__saver *s = &t->saver;
    pthread_mutex_lock(&s->lock);
    if (s->writing == SY__COPIES) {
        double start = sy_now();
        while (s->writing == SY__COPIES)
            pthread_cond_wait(&s->done, &s->lock);
        s->pause += sy_now() - start; /* while there is a writer it is the border's */
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- writing and reporting ---- */

static void *writer_thread(void *arg)
{
    struct sy_trainer *t = arg;
    struct sy__saver *s = &t->saver;
    sy_mem_uncounted();
    if (!s->image) {
        memset(s->copy, 0, sy__saver_bytes(t->c.params));
    } else {
        copy_flat(t->c.params, s->copy);
        set_writer(s, SY__WRITES);
        sy_checkpoint_write(&s->dir, s->keep, s->keep_every, s->image, &s->result, &s->err);
    }
    set_writer(s, SY__LANDED);
    return NULL;
}

/* s->result and s->err are final. */
static void report_save(struct sy_trainer *t)
{
    struct sy__saver *s = &t->saver;
    char text[SY_PATH_MAX + 160], size[16];
    pthread_mutex_lock(&t->lock);
    t->unsaved = s->err;
    pthread_mutex_unlock(&t->lock);
    if (s->err.code) {
        sy__alarm(t, SY_ALARM_DISK, t->status.step, "%s; the run goes on, older checkpoints stay",
                  s->err.msg);
        return;
    }
    sy__alarm_end(t, SY_ALARM_DISK);
    pthread_mutex_lock(&t->lock);
    t->saved = s->result;
    pthread_mutex_unlock(&t->lock);
    sy_human_bytes((double)s->result.bytes, size);
    snprintf(text, sizeof text, "%s: %s, training stood still for %.3g s of %.3g", s->result.path,
             size, s->result.pause, s->result.seconds);
    sy__tell(t, SY_EVENT_CHECKPOINT, text);
}

static void settle_save(struct sy_trainer *t, bool beside)
{
    struct sy__saver *s = &t->saver;
    sy_image_free(s->image);
    s->image = NULL;
    s->result.pause = s->pause;
    s->result.asynchronous = beside;
    report_save(t);
}

void sy__saver_join(struct sy_trainer *t)
{
    if (writer_of(&t->saver) == SY__NO_WRITER)
        return;
    pthread_join(t->saver.writer, NULL);
    set_writer(&t->saver, SY__NO_WRITER);
    if (t->saver.image)
        settle_save(t, true);
}

static void begin_save(struct sy_trainer *t)
{
    struct sy__saver *s = &t->saver;
    s->due = false;
    s->err = (struct sy_err)SY_ERR_INIT;
    s->result = (struct sy_saved){.step = -1};
}

void sy_trainer_give_up_dir(struct sy_trainer *t, const char *why)
{
    if (atomic_exchange(&t->saver.given_up, true))
        return;
    pthread_mutex_lock(&t->lock);
    t->unsaved = (struct sy_err)SY_ERR_INIT;
    sy_err_set(&t->unsaved, SY_E_STATE, "%s", why);
    pthread_mutex_unlock(&t->lock);
}

int sy__saver_save(struct sy_trainer *t, struct sy_err *err)
{
    struct sy__saver *s = &t->saver;
    if (atomic_load(&s->given_up))
        return sy_err_set(err, SY_E_IO, "checkpoint: another process writes run '%s'", t->name);
    sy__saver_join(t);
    begin_save(t);
    double start = sy_now();
    s->image = take_image(t, &s->err);
    if (s->image)
        sy_checkpoint_write(&s->dir, s->keep, s->keep_every, s->image, &s->result, &s->err);
    s->pause = sy_now() - start;
    settle_save(t, false);
    return s->err.code ? sy_err_set(err, s->err.code, "%s", s->err.msg) : 0;
}

/* first: what it does first. */
static int start_writer(struct sy_trainer *t, enum sy__writer first)
{
    set_writer(&t->saver, first);
    int rc = sy_thread_start(&t->saver.writer, writer_thread, t);
    if (rc)
        set_writer(&t->saver, SY__NO_WRITER);
    return rc;
}

/* Let a thread copy and write; -1: not possible, nothing is begun. */
static int save_beside(struct sy_trainer *t)
{
    struct sy__saver *s = &t->saver;
    double start = sy_now();
    float *to = sy__saver_buffer(t);
    struct sy_image *image = to ? take_image(t, NULL) : NULL;
    if (!image)
        return -1;
    begin_save(t);
    image->p = to;
    image->kept = to + t->c.params->floats;
    s->image = image;
    s->pause = sy_now() - start; /* more may come before the next update */
    if (!start_writer(t, SY__COPIES))
        return 0;
    sy_image_free(image);
    s->image = NULL;
    s->due = true;
    return -1;
}

/* The first save would wait for the kernel to find and clear so many pages. */
static void warm(struct sy_trainer *t)
{
    struct sy__saver *s = &t->saver;
    double every = t->hyper.v[SY_HYPER_checkpoint_every];
    bool wanted = every > 0 && every < t->hyper.v[SY_HYPER_steps];
    if (writer_of(s) != SY__NO_WRITER || s->copy || !wanted || !sy__saver_buffer(t))
        return;
    start_writer(t, SY__WRITES);
}

/* Whether the run has checkpoints now. */
static bool saves(const struct sy__saver *s)
{
    return s->dir.fd >= 0 && !s->off && !atomic_load(&s->given_up);
}

void sy__saver_border(struct sy_trainer *t)
{
    struct sy__saver *s = &t->saver;
    int64_t every = (int64_t)t->hyper.v[SY_HYPER_checkpoint_every], step = t->status.step;
    if (!saves(s))
        return;
    if (writer_of(s) == SY__LANDED)
        sy__saver_join(t);
    bool now = every > 0 && step > 0 && step % every == 0;
    s->due |= now;
    if (!s->due || step == t->status.steps) /* at the end it is saved anyway */
        return;
    if (now && s->keep_every > 0 && step % s->keep_every == 0)
        sy__saver_join(t); /* of this very step there is to be one */
    if (writer_of(s) != SY__NO_WRITER)
        return;
    if (!save_beside(t))
        return;
    if (!s->told) {
        s->told = true;
        sy__tell(t, SY_EVENT_NOTE,
                 "no memory for a second copy of the state: training waits for each "
                 "checkpoint");
    }
    sy__saver_save(t, NULL);
}

bool sy__saver_wants_last(const struct sy_trainer *t)
{
    return saves(&t->saver) && !t->saver.ended;
}

void sy__saver_init(struct sy_trainer *t)
{
    t->saver.dir = (struct sy_dir)SY_DIR_INIT;
    pthread_mutex_init(&t->saver.lock, NULL);
    sy_cond_init(&t->saver.done);
}

void sy__saver_free(struct sy_trainer *t)
{
    sy__saver_join(t);
    pthread_cond_destroy(&t->saver.done);
    pthread_mutex_destroy(&t->saver.lock);
    sy_free(t->saver.copy);
    sy_dir_close(&t->saver.dir);
    sy_free(t->config);
}

/* ---- what others ask ---- */

int sy_trainer_set_dir(struct sy_trainer *t, const char *dir, int keep, int64_t keep_every,
                       struct sy_err *err)
{
    struct sy_dir opened;
    if (sy_dir_open(&opened, NULL, dir, true, err))
        return -1;
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 1))
        ;
    sy__saver_join(t);
    sy__checkpoint_clean(&opened);
    sy_dir_close(&t->saver.dir);
    t->saver.dir = opened;
    t->saver.keep = keep < 2 ? 2 : keep;
    t->saver.keep_every = keep_every;
    t->saver.ended = false;
    warm(t);
    sy_trainer_release(t);
    return 0;
}

const char *sy_trainer_dir(const struct sy_trainer *t) { return t->saver.dir.path; }

int sy_trainer_set_config(struct sy_trainer *t, const char *text, const char *id,
                          struct sy_err *err)
{
    char *copy = sy_strdup(text);
    if (!copy)
        return no_memory(err);
    pthread_mutex_lock(&t->lock);
    sy_free(t->config);
    t->config = copy;
    snprintf(t->id, sizeof t->id, "%s", id);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

int sy_trainer_checkpoint(struct sy_trainer *t, char *path, size_t n, struct sy_err *err)
{
    int rc = 0;
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 1))
        ;
    if (t->saver.dir.fd < 0)
        rc = sy_err_set(err, SY_E_STATE, "checkpoint: run '%s' has no folder to save in", t->name);
    else
        rc = sy__saver_save(t, err);
    if (!rc && path)
        snprintf(path, n, "%s", t->saver.result.path);
    sy_trainer_release(t);
    return rc;
}

int sy_trainer_checkpoint_to(struct sy_trainer *t, const char *dir, const char *sub,
                             struct sy_saved *out, struct sy_err *err)
{
    sy__saver_join(t);
    struct sy_image *image = take_image(t, err);
    int rc = image ? sy_checkpoint_write_to(dir, sub, image, out, err) : -1;
    sy_image_free(image);
    return rc;
}

void sy_trainer_repeating(struct sy_trainer *t, bool on)
{
    sy_trainer_hold(t);
    while (!sy_trainer_held(t, 1))
        ;
    sy__saver_join(t);
    t->saver.off = on;
    t->saver.due = false;
    sy_trainer_release(t);
}

bool sy_trainer_unsaved(struct sy_trainer *t, struct sy_err *err)
{
    pthread_mutex_lock(&t->lock);
    bool unsaved = t->unsaved.code != SY_E_OK;
    if (unsaved)
        sy_err_set(err, t->unsaved.code, "%s", t->unsaved.msg);
    pthread_mutex_unlock(&t->lock);
    return unsaved;
}

bool sy_trainer_saved(struct sy_trainer *t, struct sy_saved *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->saved;
    pthread_mutex_unlock(&t->lock);
    return out->ok;
}
