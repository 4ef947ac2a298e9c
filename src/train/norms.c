/* Gradient norms by layer, router and expert, from the partial sums that the clipping pass leaves.
 *
 *     of layer 2                    -> grad_norm.2             all of the layer
 *     a router of layer 2           -> grad_norm.2, grad_norm.router.2
 *     experts of layer 2            -> grad_norm.2, grad_norm.experts.2 (E)
 *     model.embed_tokens.weight     -> grad_norm.embed_tokens  outside of layers: by name
 *
 *  Layer and role are what the model declared (params.h).
 *
 *  1. A chunk belongs to at most one expert (params.h), so a norm is a sum over whole chunks.
 *  2. A second mixture of a layer has series of its own: grad_norm.router.2.NAME.
 *  3. The wide series of experts get a row at rare steps (sy__rare_step). */
#include "base/mem.h"
#include "run/metrics.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SERIES_MOST 256 /* of parameters outside of layers; the rest share one */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static void main_name(const char *param, int layer, int count, char out[96])
{
    const char *at = !strncmp(param, "model.", 6) ? param + 6 : param;
    size_t n = strlen(at);
    if (ends_with(at, ".weight"))
        n -= 7;
    if (layer)
        snprintf(out, 96, "grad_norm.%d", layer);
    else if (count < SERIES_MOST && n < 80)
        snprintf(out, 96, "grad_norm.%.*s", (int)n, at);
    else
        snprintf(out, 96, "grad_norm.rest");
}

/* First slot of the series of this name and width, made at first sight; -1 and err. */
static int slot_of(struct sy_trainer *t, const char *name, int width,
                   const struct sy_series_what *what, struct sy_err *err)
{
    struct sy__norms *n = &t->norms;
    int series = sy_metrics_declare(t->metrics, name, width, what, err);
    if (series < 0)
        return -1;
    for (int i = 0; i < n->count; i++)
        if (n->list[i].series == series)
            return n->list[i].first;
    n->list[n->count++] =
        (struct sy__norm){series, n->slots, width, sy_series_row(what->kind)->rare};
    n->slots += width;
    return n->slots - width;
}

/* Of a router or of experts: its slot, or -1 and err. */
static int part_slot(struct sy_trainer *t, const struct sy_param *p, int *part, struct sy_err *err)
{
    struct sy_series_what what = {p->experts ? SY_SERIES_EXPERT_NORM : SY_SERIES_ROUTER_NORM,
                                  p->layer, ""};
    int width = p->experts ? (int)p->experts : 1;
    char name[96];
    memcpy(what.mixture, p->mixture, sizeof what.mixture);
    snprintf(name, sizeof name, "grad_norm.%s.%d%s%s", p->experts ? "experts" : "router", p->layer,
             *p->mixture ? "." : "", p->mixture);
    int known = sy_metrics_find(t->metrics, name);
    if (known >= 0 && sy_metrics_width(t->metrics, known) != width)
        return 0; /* two kinds of experts in one mixture: the first has the series */
    return (*part = slot_of(t, name, width, &what, err)) < 0 ? -1 : 0;
}

/* Where parameter i's chunks go: *all and, of its router or first expert, *part (or -1). */
static int find_slots(struct sy_trainer *t, int i, int *all, int *part, struct sy_err *err)
{
    const struct sy_param *p = &t->c.params->list[i];
    struct sy_series_what what = {SY_SERIES_NORM, p->layer, ""};
    char name[96];
    *part = -1;
    main_name(p->name, p->layer, t->norms.count, name);
    if ((*all = slot_of(t, name, 1, &what, err)) < 0)
        return -1;
    return p->layer && (p->experts || p->role == SY_ROLE_ROUTER) ? part_slot(t, p, part, err) : 0;
}

int sy__norms_make(struct sy_trainer *t, struct sy_err *err)
{
    struct sy__norms *n = &t->norms;
    const struct sy_params *ps = t->c.params;
    size_t chunks = (size_t)ps->nchunks + 1;
    n->list = sy_calloc(3 * (size_t)ps->count + 1, sizeof *n->list);
    n->all = sy_calloc(2 * chunks, sizeof *n->all);
    n->part = n->all ? n->all + chunks : NULL;
    if (!n->list || !n->all)
        return sy_err_set(err, SY_E_MEMORY, "train: out of memory");
    for (int i = 0, c = 0; i < ps->count; i++) {
        int all, part;
        if (find_slots(t, i, &all, &part, err))
            return -1;
        for (; c < ps->nchunks && ps->chunks[c].param == i; c++) {
            n->all[c] = all;
            n->part[c] =
                part < 0 ? -1 : part + (ps->chunks[c].expert > 0 ? ps->chunks[c].expert : 0);
        }
    }
    n->sum = sy_calloc((size_t)n->slots + 1, sizeof *n->sum);
    n->norm = sy_calloc((size_t)n->slots + 1, sizeof *n->norm);
    return n->sum && n->norm ? 0 : sy_err_set(err, SY_E_MEMORY, "train: out of memory");
}

void sy__norms_free(struct sy_trainer *t)
{
    struct sy__norms *n = &t->norms;
    sy_free(n->list);
    sy_free(n->all);
    sy_free(n->sum);
    sy_free(n->norm);
}

void sy__norms_take(struct sy_trainer *t, double scale)
{
    struct sy__norms *n = &t->norms;
    const struct sy_params *ps = t->c.params;
    memset(n->sum, 0, (size_t)n->slots * sizeof *n->sum);
    for (int c = 0; c < ps->nchunks; c++) {
        n->sum[n->all[c]] += ps->partials[c];
        if (n->part[c] >= 0)
            n->sum[n->part[c]] += ps->partials[c];
    }
    for (int i = 0; i < n->slots; i++)
        n->norm[i] = (float)(sqrt(n->sum[i]) * scale);
}

void sy__norms_put(struct sy_trainer *t, int64_t step, bool rare)
{
    const struct sy__norms *n = &t->norms;
    for (int i = 0; i < n->count; i++)
        if (!n->list[i].rare || rare)
            sy_metrics_add(t->metrics, n->list[i].series, step, n->norm + n->list[i].first);
}

/* Whether any of the parameters behind a slot learns. */
static bool learns(const struct sy_trainer *t, int slot)
{
    for (int c = 0; c < t->c.params->nchunks; c++)
        if (t->norms.part[c] == slot && !t->c.params->chunks[c].frozen)
            return true;
    return false;
}

bool sy__norms_no_gradient(const struct sy_trainer *t, double share, struct sy_series_what *what)
{
    const struct sy__norms *n = &t->norms;
    for (int i = 0; i < n->count; i++) {
        *what = sy_metrics_what(t->metrics, n->list[i].series);
        if (what->kind == SY_SERIES_ROUTER_NORM &&
            (double)n->norm[n->list[i].first] <= share * t->status.grad_norm &&
            t->status.grad_norm > 0 && learns(t, n->list[i].first))
            return true;
    }
    return false;
}
