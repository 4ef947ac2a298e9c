/* The table of objectives, and mixtures of them (switchyard/objective.h). */
#include "base/mem.h"
#include "data/objectives/objective_int.h"
#include "switchyard/tokenizer.h"

#include <stdio.h>
#include <string.h>

static const struct sy__objective *const table[SY_OBJECTIVE_COUNT] = {
    [SY_OBJECTIVE_NEXT] = &sy__objective_next,
    [SY_OBJECTIVE_SPAN] = &sy__objective_span,
    [SY_OBJECTIVE_PREFIX] = &sy__objective_prefix,
    [SY_OBJECTIVE_FIM] = &sy__objective_fim,
};

const struct sy_objective_spec *sy_objective_spec(enum sy_objective o)
{
    return &table[o]->spec;
}

int sy_objective_find(const char *name)
{
    for (int i = 0; i < SY_OBJECTIVE_COUNT; i++)
        if (!strcmp(table[i]->spec.name, name))
            return i;
    return -1;
}

/* ---- special tokens ---- */

static int32_t special(const struct sy_tokenizer *tok, const char *name)
{
    return tok ? sy_tokenizer_special(tok, name) : -1;
}

static int32_t sentinel(const struct sy_tokenizer *tok, int64_t i)
{
    char name[32];
    snprintf(name, sizeof name, "<extra_id_%lld>", (long long)i);
    return special(tok, name);
}

static int find_specials(const struct sy_tokenizer *tok, struct sy__specials *ids,
                         struct sy_err *err)
{
    *ids = (struct sy__specials){.eot = tok ? sy_tokenizer_eot(tok) : -1,
                                 .pad = sy_tokenizer_start(tok),
                                 .fim_prefix = special(tok, "<|fim_prefix|>"),
                                 .fim_middle = special(tok, "<|fim_middle|>"),
                                 .fim_suffix = special(tok, "<|fim_suffix|>")};
    while (ids->sentinels < SY_SENTINELS_MAX && sentinel(tok, ids->sentinels) >= 0)
        ids->sentinels++;
    if (!ids->sentinels)
        return 0;
    ids->sentinel = sy_calloc((size_t)ids->sentinels, sizeof *ids->sentinel);
    if (!ids->sentinel)
        return sy_err_set(err, SY_E_MEMORY, "objective: out of memory");
    for (int64_t i = 0; i < ids->sentinels; i++)
        ids->sentinel[i] = sentinel(tok, i);
    return 0;
}

/* ---- mixtures ---- */

static int check_options(const struct sy_objective_part *p, struct sy_err *err)
{
    const struct sy_objective_spec *spec = &table[p->objective]->spec;
    if (!(p->share > 0 && p->share <= 1e9))
        return sy_err_set(err, SY_E_RANGE, "objective '%s': its share is %g, must be over 0",
                          spec->name, p->share);
    for (int i = 0; i < SY_OBJECTIVE_OPTIONS && spec->option[i].name; i++)
        if (!(p->option[i] >= spec->option[i].least && p->option[i] <= spec->option[i].most))
            return sy_err_set(err, SY_E_RANGE, "objective '%s': %s is %g, must be from %g to %g",
                              spec->name, spec->option[i].name, p->option[i],
                              spec->option[i].least, spec->option[i].most);
    return 0;
}

static int check_lacks(const struct sy__part *p, struct sy_err *err)
{
    const char *lacks = p->of->lacks ? p->of->lacks(p->ids) : NULL;
    return lacks ? sy_err_set(err, SY_E_UNSUPPORTED, "%s", lacks) : 0;
}

static int add_part(struct sy_objectives *o, const struct sy_objective_part *from,
                    struct sy_err *err)
{
    int at = o->n;
    if (check_options(from, err))
        return -1;
    while (at > 0 && o->part[at - 1].id > from->objective)
        at--;
    if (at > 0 && o->part[at - 1].id == from->objective)
        return sy_err_set(err, SY_E_RANGE, "objective '%s': it is named twice",
                          table[from->objective]->spec.name);
    memmove(o->part + at + 1, o->part + at, (size_t)(o->n++ - at) * sizeof *o->part);
    struct sy__part *p = &o->part[at];
    *p = (struct sy__part){from->objective, table[from->objective], &o->ids, from->share, 0, {0}};
    memcpy(p->option, from->option, sizeof p->option);
    return check_lacks(p, err);
}

static void share_rows(struct sy_objectives *o)
{
    double sum = 0, upto = 0;
    for (int i = 0; i < o->n; i++)
        sum += o->part[i].share;
    for (int i = 0; i < o->n; i++) {
        o->part[i].share /= sum;
        o->part[i].upto = upto += o->part[i].share;
    }
}

struct sy_objectives *sy_objectives_new(const struct sy_objective_part *parts, int n,
                                        const struct sy_tokenizer *tokenizer, struct sy_err *err)
{
    struct sy_objectives *o = sy_calloc(1, sizeof *o);
    if (!o) {
        sy_err_set(err, SY_E_MEMORY, "objective: out of memory");
        return NULL;
    }
    atomic_init(&o->refs, 1);
    int rc = find_specials(tokenizer, &o->ids, err);
    for (int i = 0; i < n && !rc; i++)
        rc = add_part(o, &parts[i], err);
    if (!rc) {
        share_rows(o);
        return o;
    }
    sy_objectives_unref(o);
    return NULL;
}

struct sy_objectives *sy_objectives_ref(struct sy_objectives *o)
{
    if (o)
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

void sy_objectives_unref(struct sy_objectives *o)
{
    if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
        return;
    sy_free(o->ids.sentinel);
    sy_free(o);
}

int sy_objectives_count(const struct sy_objectives *o)
{
    return o ? o->n : 1;
}

struct sy_objective_part sy_objectives_part(const struct sy_objectives *o, int i)
{
    struct sy_objective_part part = {.objective = SY_OBJECTIVE_NEXT, .share = 1};
    if (!o)
        return part;
    part.objective = o->part[i].id;
    part.share = o->part[i].share;
    memcpy(part.option, o->part[i].option, sizeof part.option);
    return part;
}

/* ---- rows ---- */

static const struct sy__part only_next = {.of = &sy__objective_next, .share = 1, .upto = 1};

static const struct sy__part *part_at(const struct sy_objectives *o, int i)
{
    return o ? &o->part[i] : &only_next;
}

int sy_objectives_check(const struct sy_objectives *o, int64_t T, int64_t S, struct sy_err *err)
{
    for (int i = 0; i < sy_objectives_count(o); i++)
        if (part_at(o, i)->of->check(part_at(o, i), T, S, err))
            return -1;
    return 0;
}

int64_t sy_objectives_window(const struct sy_objectives *o, int64_t T, int64_t S)
{
    int64_t most = 0;
    for (int i = 0; i < sy_objectives_count(o); i++) {
        int64_t n = part_at(o, i)->of->window(part_at(o, i), T, S);
        most = n > most ? n : most;
    }
    return most;
}

bool sy_objectives_even(const struct sy_objectives *o)
{
    bool even = true;
    for (int i = 0; i < sy_objectives_count(o); i++)
        even = even && part_at(o, i)->of->even;
    return even;
}

bool sy_objectives_pads(const struct sy_objectives *o)
{
    bool pads = false;
    for (int i = 0; i < sy_objectives_count(o); i++)
        pads = pads || part_at(o, i)->of->pads;
    return pads;
}

void sy__objectives_lay(const struct sy_objectives *o, struct sy__row *r)
{
    int i = 0;
    if (o && o->n > 1) {
        double u = sy_rng_uniform(&r->rng, SY__OWN_DRAWS);
        while (i < o->n - 1 && u >= o->part[i].upto)
            i++;
    }
    const struct sy__part *p = part_at(o, i);
    r->pad = o ? o->ids.pad : 0;
    sy__row_prefix(r, 0);
    sy__row_objective(r, p->id);
    p->of->lay(p, r);
}
