/* What of a run's series the panel has views of: layers with their loads, and losses apart, of
 * objectives, sources and a teacher.  See feed.h.  Series are told by their kinds; their names are
 * shown.
 */
#include "tui/feed.h"

#include "base/grow.h"
#include "base/mem.h"
#include "tui/heatmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_place(const void *a, const void *b)
{
    const struct sy__layer *x = a, *y = b;
    int by = (x->what.layer > y->what.layer) - (x->what.layer < y->what.layer);
    return by ? by : strcmp(x->what.mixture, y->what.mixture);
}

/* The other series of the mixtures whose loads there are. */
static void take_part(struct sy__run *r, int series, const struct sy_series_what *what)
{
    int kind = (int)what->kind;
    for (int i = 0; i < r->nlayers; i++) {
        struct sy__layer *l = &r->layers[i];
        int *part = kind == SY_SERIES_GATE          ? &l->gate
                    : kind == SY_SERIES_DROPPED     ? &l->dropped
                    : kind == SY_SERIES_DROP        ? &l->drop
                    : kind == SY_SERIES_SOURCE_LOAD ? &l->source
                    : kind == SY_SERIES_DISABLED    ? &l->disabled
                    : kind == SY_SERIES_IMPORTANCE  ? &l->importance
                                                    : NULL;
        if (!part)
            return;
        if (sy_series_same_place(&l->what, what))
            *part = series;
    }
}

static void call_layer(const struct sy__run *r, struct sy__layer *l)
{
    char name[28];
    if (!sy_source_name(r->source, SY_SOURCE_LAYERS, l->what.layer, name, sizeof name))
        snprintf(name, sizeof name, "L%d", l->what.layer);
    snprintf(l->called, sizeof l->called, "%s%.1s", name, l->what.mixture);
}

static void take_layers(struct sy__run *r, int count)
{
    struct sy__layer *list = r->layers;
    int n = 0;
    r->experts = 0;
    for (int i = 0; i < count; i++) {
        struct sy_series_what what = sy_source_what(r->source, i);
        if (what.kind != SY_SERIES_LOAD || !what.layer)
            continue;
        int width = sy_source_width(r->source, i);
        list[n++] = (struct sy__layer){what, i, width, -1, -1, -1, -1, -1, -1, ""};
        call_layer(r, &list[n - 1]);
        r->experts = list[n - 1].width > r->experts ? list[n - 1].width : r->experts;
    }
    qsort(list, (size_t)n, sizeof *list, by_place);
    r->nlayers = n;
    for (int i = 0; i < count; i++) {
        struct sy_series_what what = sy_source_what(r->source, i);
        take_part(r, i, &what);
    }
}

/* The trainer writes which experts are disabled before their loads, at the same steps. */
void sy__mark_disabled(const struct sy__run *r, const struct sy__layer *l, int64_t step, float *row)
{
    if (l->disabled < 0 || step < 0 || sy_source_width(r->source, l->disabled) != l->width)
        return;
    float *off = sy_alloc((size_t)l->width * sizeof *off);
    if (off && sy_source_at(r->source, l->disabled, step, off) == step)
        for (int e = 0; e < l->width; e++)
            if (off[e] > 0)
                row[e] = SY_HEAT_DISABLED;
    sy_free(off);
}

/* An objective is called as its series, "loss.span", without what it is of; a source has a name of
 * its own. */
static void call_part(const struct sy__run *r, struct sy__part *part, enum sy_series_each each)
{
    const char *name = sy_source_series(r->source, part->series), *dot = strchr(name, '.');
    if (each == SY_EACH_NONE)
        snprintf(part->called, sizeof part->called, "%s", dot ? dot + 1 : name);
    else if (!sy_source_name(r->source, SY_SOURCE_DATA, part->column + 1, part->called,
                             sizeof part->called))
        snprintf(part->called, sizeof part->called, "%d", part->column + 1);
}

/* The series of evaluations that belongs to one of steps, "val_loss.span" to "loss.span"; or -1. */
static int valid_of(const struct sy__run *r, int series, enum sy_series_kind kind)
{
    char name[96];
    snprintf(name, sizeof name, "val_%s", sy_source_series(r->source, series));
    int found = sy_source_find(r->source, name);
    bool fits = found >= 0 && sy_source_what(r->source, found).kind == kind &&
                sy_source_width(r->source, found) == sy_source_width(r->source, series);
    return fits ? found : -1;
}

static int by_name(const void *a, const void *b)
{
    const struct sy__part *x = a, *y = b;
    return strcmp(x->called, y->called);
}

/* Objectives by name: their series come in another order from a run than from its store. */
static void take_parts(struct sy__run *r, int count, enum sy_series_kind kind,
                       enum sy_series_kind valid)
{
    int first = r->nparts;
    for (int i = 0; i < count; i++) {
        if (sy_source_what(r->source, i).kind != kind)
            continue;
        int width = sy_source_width(r->source, i), of_valid = valid_of(r, i, valid);
        if (SY_GROW(r->parts, r->parts_room, r->nparts + width))
            return;
        for (int k = 0; k < width; k++) {
            r->parts[r->nparts] = (struct sy__part){kind, i, of_valid, k, ""};
            call_part(r, &r->parts[r->nparts++], sy_series_row(kind)->each);
        }
    }
    if (sy_series_row(kind)->each == SY_EACH_NONE && r->nparts > first)
        qsort(r->parts + first, (size_t)(r->nparts - first), sizeof *r->parts, by_name);
}

bool sy__run_series(struct sy__run *r)
{
    int count = sy_source_count(r->source);
    if (count == r->looked || SY_GROW(r->layers, r->layers_room, count + 1))
        return false;
    take_layers(r, count);
    r->nparts = 0;
    take_parts(r, count, SY_SERIES_PART_LOSS, SY_SERIES_PART_VAL_LOSS);
    take_parts(r, count, SY_SERIES_SOURCE_LOSS, SY_SERIES_SOURCE_VAL_LOSS);
    take_parts(r, count, SY_SERIES_DISTILL_LOSS, SY_SERIES_COUNT); /* none of evaluations */
    r->looked = count;
    return true;
}
