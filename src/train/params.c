/* Flat buffers and their layout.  See params.h. */
#include "train/params.h"

#include "base/find.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "cpu/cpu.h"
#include "cpu/kern_optim.h"
#include "train/optimizers/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CHUNK 65536 /* floats of one task: 256 KB of each buffer */
#define ALIGN 16    /* floats */

static const char *const roles[] = {
#define X(id, name, help) name,
    SY_ROLE_MAP(X)
#undef X
};

const char *sy_role_name(enum sy_role role) { return roles[role]; }

int sy_role_find(const char *name)
{
    return SY_FIND_NAME(roles, name);
}

static int64_t padded(int64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static int check_one(const struct sy_tensor *t, const char *name, struct sy_err *err)
{
    if (t->dtype != SY_F32 || !sy_tensor_contiguous(t) || t->offset ||
        sy_tensor_bytes(t) != t->storage->bytes)
        return sy_err_set(err, SY_E_DTYPE,
                          "train: parameter '%s' must be a whole f32 tensor, is %s", name,
                          sy_dtype_name(t->dtype));
    return 0;
}

static int fill_list(struct sy_params *ps, struct sy_tensor *const *tensors,
                     const struct sy_param_spec *specs, int n, struct sy_err *err)
{
    for (int i = 0; i < n; i++) {
        struct sy_param *p = &ps->list[i];
        if (check_one(tensors[i], specs[i].name, err))
            return -1;
        p->tensor = sy_tensor_ref(tensors[i]);
        ps->count++;
        p->offset = ps->floats;
        p->count = sy_tensor_count(tensors[i]);
        p->experts = specs[i].experts;
        p->role = specs[i].role;
        p->layer = specs[i].layer;
        p->frozen = specs[i].frozen;
        p->decay = ps->optimizer->decays(p);
        snprintf(p->mixture, sizeof p->mixture, "%s", specs[i].mixture ? specs[i].mixture : "");
        ps->floats += padded(p->count);
        if (!(p->name = sy_strdup(specs[i].name)))
            return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    }
    return 0;
}

/* The group of an expert of p, with its chunks but the first's number. */
static struct sy_group group_of(const struct sy_param *p, int which, int expert)
{
    const int64_t *shape = p->tensor->shape + (p->experts ? 1 : 0);
    int64_t each = p->experts ? p->count / p->experts : p->count;
    bool matrix = p->tensor->ndim == (p->experts ? 3 : 2);
    return (struct sy_group){.param = which,
                             .expert = p->experts ? expert : -1,
                             .chunks = (int)((each + CHUNK - 1) / CHUNK),
                             .rows = matrix ? shape[0] : 1,
                             .cols = matrix ? shape[1] : each};
}

static void cut_group(struct sy_params *ps, struct sy_group *g)
{
    const struct sy_param *p = &ps->list[g->param];
    int64_t n = g->rows * g->cols, begin = p->offset + (g->expert > 0 ? g->expert * n : 0);
    g->first = ps->nchunks;
    for (int64_t at = 0; at < n; at += CHUNK)
        ps->chunks[ps->nchunks++] =
            (struct sy_chunk){.offset = begin + at,
                              .count = n - at < CHUNK ? n - at : CHUNK,
                              .param = g->param,
                              .expert = g->expert,
                              .group = (int)(g - ps->groups),
                              .frozen = p->frozen};
}

static int make_chunks(struct sy_params *ps, struct sy_err *err)
{
    int n = 0, groups = 0;
    for (int i = 0; i < ps->count; i++) {
        int experts = ps->list[i].experts ? (int)ps->list[i].experts : 1;
        groups += experts;
        n += experts * group_of(&ps->list[i], i, 0).chunks;
    }
    ps->groups = sy_calloc((size_t)groups + 1, sizeof *ps->groups);
    ps->chunks = sy_calloc((size_t)n + 1, sizeof *ps->chunks);
    ps->partials = sy_calloc((size_t)n + 1, sizeof *ps->partials);
    if (!ps->groups || !ps->chunks || !ps->partials)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    for (int i = 0; i < ps->count; i++)
        for (int e = 0; e < (ps->list[i].experts ? ps->list[i].experts : 1); e++) {
            ps->groups[ps->ngroups] = group_of(&ps->list[i], i, e);
            cut_group(ps, &ps->groups[ps->ngroups++]);
        }
    return 0;
}

static void place_slot(struct sy_params *ps, struct sy_slot *slot, const struct sy_param *p,
                       int state)
{
    slot->offset = ps->kept_floats;
    slot->ndim = ps->optimizer->shape(p, state, slot->shape);
    slot->count = slot->ndim < 0 ? 0 : 1;
    for (int i = 0; i < slot->ndim; i++)
        slot->count *= slot->shape[i];
    ps->kept_floats += padded(slot->count);
}

static int make_slots(struct sy_params *ps, struct sy_err *err)
{
    while (ps->nslots < SY_OPTIMIZER_STATES && ps->optimizer->states[ps->nslots])
        ps->nslots++;
    ps->slots = sy_calloc((size_t)(ps->nslots * ps->count) + 1, sizeof *ps->slots);
    if (!ps->slots)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    for (int s = 0; s < ps->nslots; s++)
        for (int i = 0; i < ps->count; i++)
            place_slot(ps, &ps->slots[s * ps->count + i], &ps->list[i], s);
    return 0;
}

struct sy_params *sy_params_plan(struct sy_tensor *const *tensors,
                                 const struct sy_param_spec *specs, int n,
                                 struct sy_tensor *const *states, int nstates,
                                 const struct sy_optimizer *optimizer, struct sy_err *err)
{
    struct sy_params *ps = sy_calloc(1, sizeof *ps);
    if (ps) {
        ps->optimizer = optimizer;
        ps->list = sy_calloc((size_t)n + 1, sizeof *ps->list);
        ps->states = sy_calloc((size_t)nstates + 1, sizeof(struct sy_tensor *));
    }
    if (!ps || !ps->list || !ps->states)
        sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    else if (!fill_list(ps, tensors, specs, n, err) && !make_chunks(ps, err) &&
             !make_slots(ps, err)) {
        for (; ps->nstates < nstates; ps->nstates++)
            ps->states[ps->nstates] = sy_tensor_ref(states[ps->nstates]);
        return ps;
    }
    sy_params_free(ps);
    return NULL;
}

static size_t work_bytes(const struct sy_params *ps)
{
    return ps->optimizer->work ? ps->optimizer->work(ps) : 0;
}

size_t sy_params_bytes(const struct sy_params *ps)
{
    return (size_t)(2 * ps->floats + ps->kept_floats) * sizeof(float) + work_bytes(ps);
}

/* At least one byte, so that NULL is a failure. */
static void *alloc_zeroed(size_t bytes) { return sy_calloc(1, bytes ? bytes : 1); }

int sy_params_take(struct sy_params *ps, struct sy_err *err)
{
    size_t bytes = (size_t)ps->floats * sizeof(float), work = work_bytes(ps);
    ps->home = sy_storage_new(bytes, err);
    ps->g = alloc_zeroed(bytes);
    ps->kept = alloc_zeroed((size_t)ps->kept_floats * sizeof(float));
    ps->work = work ? alloc_zeroed(work) : NULL;
    if (!ps->home || !ps->g || !ps->kept || (work && !ps->work))
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory: %zu bytes wanted",
                          sy_params_bytes(ps));
    ps->p = ps->home->data;
    memset(ps->p, 0, bytes);
    for (int i = 0; i < ps->count; i++) {
        struct sy_param *p = &ps->list[i];
        memcpy(ps->p + p->offset, sy_data(p->tensor), (size_t)p->count * sizeof(float));
        if (sy_tensor_check(p->tensor, "train", err)) /* it may come from a mapped file */
            return -1;
        sy_storage_move(p->tensor->storage, ps->home, ps->p + p->offset);
    }
    return 0;
}

struct sy_params *sy_params_new(struct sy_tensor *const *tensors, const struct sy_param_spec *specs,
                                int n, struct sy_tensor *const *states, int nstates,
                                const struct sy_optimizer *optimizer, struct sy_err *err)
{
    struct sy_params *ps = sy_params_plan(tensors, specs, n, states, nstates, optimizer, err);
    if (!ps || !sy_params_take(ps, err))
        return ps;
    sy_params_free(ps);
    return NULL;
}

void sy_params_free(struct sy_params *ps)
{
    if (!ps)
        return;
    for (int i = 0; i < ps->count; i++) {
        sy_free(ps->list[i].name);
        sy_tensor_unref(ps->list[i].tensor);
    }
    for (int i = 0; i < ps->nstates; i++)
        sy_tensor_unref(ps->states[i]);
    sy_storage_unref(ps->home);
    sy_free(ps->list);
    sy_free(ps->states);
    sy_free(ps->groups);
    sy_free(ps->chunks);
    sy_free(ps->partials);
    sy_free(ps->g);
    sy_free(ps->kept);
    sy_free(ps->work);
    sy_free(ps->slots);
    sy_free(ps);
}

int sy_params_set_states(struct sy_params *ps, struct sy_tensor *const *states, int n,
                         struct sy_err *err)
{
    struct sy_tensor **list = sy_calloc((size_t)n + 1, sizeof *list);
    if (!list)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    for (int i = 0; i < n; i++)
        list[i] = sy_tensor_ref(states[i]);
    for (int i = 0; i < ps->nstates; i++)
        sy_tensor_unref(ps->states[i]);
    sy_free(ps->states);
    ps->states = list;
    ps->nstates = n;
    return 0;
}

/* ---- norm ---- */

static void sumsq_task(void *ctx, int64_t i)
{
    struct sy_params *ps = ctx;
    const struct sy_chunk *c = &ps->chunks[i];
    ps->partials[i] = c->frozen ? 0 : sy_cpu()->optim->sumsq(ps->g + c->offset, c->count, NULL);
}

double sy_params_grad_norm(struct sy_params *ps, double scale, int *bad)
{
    double sum = 0;
    *bad = -1;
    sy_pool_run(ps->nchunks, sumsq_task, ps);
    for (int i = 0; i < ps->nchunks; i++) {
        if (!isfinite(ps->partials[i]) && *bad < 0)
            *bad = ps->chunks[i].param;
        sum += ps->partials[i];
    }
    return sqrt(sum) * scale;
}

/* ---- the rest ---- */

uint64_t sy_params_hash(const struct sy_params *ps)
{
    struct sy_hash h;
    sy_hash_init(&h);
    sy_hash_update(&h, ps->p, (size_t)ps->floats * sizeof(float));
    sy_hash_update(&h, ps->kept, (size_t)ps->kept_floats * sizeof(float));
    for (int i = 0; i < ps->nstates; i++)
        sy_hash_update(&h, sy_data(ps->states[i]), sy_tensor_bytes(ps->states[i]));
    return sy_hash_final(&h);
}

const char *sy_params_name(const struct sy_params *ps, const struct sy_tensor *x)
{
    for (int i = 0; i < ps->count; i++)
        if (ps->list[i].tensor->storage == x->storage)
            return ps->list[i].name;
    return NULL;
}

/* Of slot i what belongs to one expert (-1: to all), *n floats; borrowed. */
static float *kept_part(const struct sy_params *ps, int param, int i, int64_t expert, int64_t *n)
{
    const struct sy_slot *s = sy_params_slot(ps, param, i);
    int64_t experts = ps->list[param].experts;
    bool part = expert >= 0 && experts > 0;
    *n = part ? s->count / experts : s->count;
    return ps->kept + s->offset + (part ? expert * *n : 0);
}

void sy_params_forget(struct sy_params *ps, int param, int64_t expert)
{
    for (int i = 0; i < ps->nslots; i++) {
        int64_t n;
        float *kept = kept_part(ps, param, i, expert, &n);
        memset(kept, 0, (size_t)n * sizeof *kept);
    }
}

double sy_params_kept(const struct sy_params *ps, int param, int64_t expert)
{
    double most = 0;
    for (int i = 0; i < ps->nslots; i++) {
        int64_t n;
        const float *kept = kept_part(ps, param, i, expert, &n);
        for (int64_t k = 0; k < n; k++)
            most = fmax(most, fabs((double)kept[k]));
    }
    return most;
}

static bool is_of(const struct sy_params *ps, const struct sy_chunk *c, const char *prefix,
                  int expert)
{
    return (expert < 0 || c->expert == expert) &&
           !strncmp(ps->list[c->param].name, prefix, strlen(prefix));
}

void sy_params_freeze(struct sy_params *ps, const char *prefix, int expert, bool frozen)
{
    for (int i = 0; i < ps->nchunks; i++)
        if (is_of(ps, &ps->chunks[i], prefix, expert))
            ps->chunks[i].frozen = frozen;
}

int sy_params_frozen(const struct sy_params *ps, const char *prefix, int expert, int *frozen)
{
    int n = 0;
    *frozen = 0;
    for (int i = 0; i < ps->nchunks; i++)
        if (is_of(ps, &ps->chunks[i], prefix, expert)) {
            n++;
            *frozen += ps->chunks[i].frozen;
        }
    return n;
}
