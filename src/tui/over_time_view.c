/* The loads of one layer's experts over time.  See panel_int.h. */
#include "tui/panel_int.h"

#include "base/mem.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct sy_rect times_area(const struct sy__slot *slot)
{
    return sy_plot_inside(slot->r);
}

static bool times_room(struct sy__times *t, int n, int width)
{
    if (t->n == n && t->width == width && t->v)
        return true;
    sy_free(t->bucket);
    sy_free(t->found);
    sy_free(t->v);
    t->bucket = sy_alloc((size_t)n * sizeof *t->bucket);
    t->found = sy_alloc((size_t)n * sizeof *t->found);
    t->v = sy_alloc((size_t)n * (size_t)width * sizeof *t->v);
    t->n = t->bucket && t->found && t->v ? n : 0;
    t->width = width;
    t->run = NULL;
    return t->n > 0;
}

static void forget_times(struct sy__times *t)
{
    for (int i = 0; i < t->n; i++)
        t->bucket[i] = t->found[i] = -1;
}

/* The step shown in each column is the last of its bucket, so that columns stay as they are while
 * the window moves on. */
static int64_t column_step(const struct sy_panel *p, struct sy__run *r, int i, int w)
{
    double x0, x1;
    struct sy_x_axis x = sy__x_axis(p, r);
    sy__x_window(p, r, &x0, &x1);
    return sy_x_to_step(&x, x0 + (x1 - x0) * (i + 1) / w) - 1;
}

static int64_t stride_of(const struct sy_panel *p, struct sy__run *r, int w)
{
    int64_t span = column_step(p, r, w - 1, w) - column_step(p, r, 0, w), stride = 1;
    while (stride * w < span)
        stride *= 2;
    return stride;
}

bool sy__times_read(struct sy_panel *p, const struct sy__slot *slot)
{
    struct sy__times *t = &p->times;
    struct sy__run *r = sy__front(p);
    int w = times_area(slot).w, layer = r && p->layer < r->nlayers ? p->layer : 0;
    if (!r || !r->nlayers || w < 1 || !times_room(t, 4 * w, r->layers[layer].width))
        return false;
    int64_t stride = stride_of(p, r, w);
    bool news = t->run != r || t->layer != layer || t->stride != stride;
    if (news)
        forget_times(t);
    t->run = r;
    t->layer = layer;
    t->stride = stride;
    for (int i = 0; i < w; i++) {
        int64_t bucket = column_step(p, r, i, w) / stride, last = bucket * stride + stride - 1;
        int at = bucket < 0 ? -1 : (int)(bucket % t->n);
        if (at < 0 || bucket * stride > r->status.step)
            continue;
        int64_t newest = last < r->status.step ? last : r->status.step;
        if (t->bucket[at] == bucket && t->found[at] == newest)
            continue;
        int64_t found = sy_source_at(r->source, r->layers[layer].series, last,
                                     t->v + (size_t)at * (size_t)t->width);
        sy__mark_disabled(r, &r->layers[layer], found, t->v + (size_t)at * (size_t)t->width);
        t->bucket[at] = found >= bucket * stride ? bucket : -1;
        t->found[at] = newest;
        news = true;
    }
    return news;
}

/* (experts, w) of what each column shows, NaN where it is not known; the column of the cursor, or
 * -1.  Owned; NULL: nothing was read yet. */
static float *times_values(const struct sy_panel *p, struct sy__run *r, int w, int *cursor)
{
    const struct sy__times *t = &p->times;
    float *v = w > 0 && t->n && t->run == r && r
                   ? sy_alloc((size_t)w * (size_t)t->width * sizeof *v)
                   : NULL;
    *cursor = -1;
    for (int i = 0; v && i < w; i++) {
        int64_t step = column_step(p, r, i, w), bucket = step / t->stride;
        int k = bucket < 0 ? 0 : (int)(bucket % t->n);
        bool known = bucket >= 0 && t->bucket[k] == bucket;
        for (int e = 0; e < t->width; e++)
            v[(size_t)e * (size_t)w + (size_t)i] =
                known ? t->v[(size_t)k * (size_t)t->width + (size_t)e] : NAN;
        if (*cursor < 0 && p->cursor >= 0 && p->cursor <= step)
            *cursor = i;
    }
    return v;
}

/* E1, E2, ... left of the area, where there is room. */
static void label_experts(const struct sy_panel *p, const struct sy_heat *h, struct sy_grid *g,
                          int x, struct sy_rect area)
{
    int last = -1;
    char name[16];
    for (int y = 0; y < area.h && area.x > x; y++) {
        int e = sy_heat_row_at(h, &p->look, area, area.y + y);
        if (e < 0 || e == last || (y % 2 && area.h > 6 && h->rows > area.h))
            continue;
        last = e;
        snprintf(name, sizeof name, "E%d", e + 1);
        sy_grid_text(g, x + 1, area.y + y, 4, name, sy_theme_pen(&p->look, SY_ROLE_DIM));
    }
}

/* "layer 2"; with a name "dec 1". */
static void layer_place(const struct sy__run *r, int layer, char *out, size_t size)
{
    static const struct sy_series_what first = {SY_SERIES_LOAD, 1, ""};
    const struct sy_series_what *what = r && r->nlayers ? &r->layers[layer].what : &first;
    char name[32] = "";
    if (what != &first)
        sy_source_name(r->source, SY_SOURCE_LAYERS, what->layer, name, sizeof name);
    sy_series_place(what, name, out, size);
}

void sy__over_time_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g)
{
    struct sy__run *r = sy__front(p);
    char title[128], at[40], place[64];
    int layer = r && p->layer < r->nlayers ? p->layer : 0, cursor;
    layer_place(r, layer, place, sizeof place);
    snprintf(title, sizeof title, "%s · load of its experts over time", place);
    sy_frame(g, &p->look, slot->r, title, p->pane_mode && slot == &p->slots[p->focus]);
    struct sy_rect area = times_area(slot);
    float *v = times_values(p, r, area.w, &cursor);
    if (!v)
        return;
    struct sy_heat h = {.v = v,
                        .rows = p->times.width,
                        .cols = area.w,
                        .hi = 2,
                        .dead = true,
                        .limit = 2,
                        .selected = -1,
                        .cursor = cursor,
                        .stretch = true};
    sy_heat_draw(&h, &p->look, g, area);
    label_experts(p, &h, g, slot->r.x + 1, area);
    sy_free(v);
    double x0, x1;
    sy__x_window(p, r, &x0, &x1);
    sy_count_text((long long)p->cursor, at);
    sy__x_ticks(x0, x1, p->x_kind, p->cursor >= 0 ? at : NULL, &p->look, g, slot->r, area);
}
