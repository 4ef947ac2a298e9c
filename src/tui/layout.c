/* What is where on a screen of any size.  See panel.h.
 *
 *     header                       one row
 *     panes                        a share of the height, cut into slots by fractions
 *     rule
 *     scrollback                   what is left
 *     input                        as many rows as the prompt needs
 *     status                       one row, from 6 rows on
 *
 * The last of the layouts below that fits is taken.  What a run has nothing for (no experts in a
 * dense model) gives its place to another chart. */
#include "tui/panel_int.h"

#include "run/source.h"

#include <stdio.h>
#include <string.h>

struct place {
    enum sy__view view;
    double x, y, w, h; /* of the panes */
};

struct layout {
    int w, h;     /* from this size on */
    double share; /* of the height for panes */
    int n;
    struct place places[8];
};

/* clang-format off */
static const struct layout layouts[] = {
    {1, 1, 0, 0, {{SY__LOSS, 0, 0, 0, 0}}},
    {24, 10, 0.45, 1, {
        {SY__LOSS, 0, 0, 1, 1}}},
    {60, 15, 0.5, 2, {
        {SY__LOSS,      0,    0,   0.5,  1},
        {SY__EXPERTS,   0.5,  0,   0.5,  1}}},
    {120, 15, 0.5, 3, {
        {SY__LOSS,      0,    0,   0.36, 1},
        {SY__EXPERTS,   0.36, 0,   0.36, 1},
        {SY__SPEED,     0.72, 0,   0.28, 1}}},
    {60, 34, 0.6, 4, {
        {SY__LOSS,      0,    0,   0.5,  0.5},
        {SY__EXPERTS,   0.5,  0,   0.5,  0.5},
        {SY__SPEED,     0,    0.5, 0.5,  0.5},
        {SY__ROUTER,    0.5,  0.5, 0.5,  0.5}}},
    {120, 34, 0.62, 6, {
        {SY__LOSS,      0,    0,   0.36, 0.5},
        {SY__EXPERTS,   0.36, 0,   0.36, 0.5},
        {SY__GRAD,      0.72, 0,   0.28, 0.5},
        {SY__SPEED,     0,    0.5, 0.36, 0.5},
        {SY__OVER_TIME, 0.36, 0.5, 0.36, 0.5},
        {SY__ROUTER,    0.72, 0.5, 0.28, 0.5}}},
    {160, 44, 0.65, 7, {
        {SY__LOSS,      0,    0,   0.3,  0.5},
        {SY__GRAD,      0.3,  0,   0.26, 0.5},
        {SY__SPEED,     0,    0.5, 0.3,  0.5},
        {SY__ROUTER,    0.3,  0.5, 0.26, 0.5},
        {SY__EXPERTS,   0.56, 0,   0.44, 0.5},
        {SY__OVER_TIME, 0.56, 0.5, 0.28, 0.5},
        {SY__MEMORY,    0.84, 0.5, 0.16, 0.5}}},
};
/* clang-format on */

static const struct layout *choose_layout(int w, int h)
{
    const struct layout *l = &layouts[0];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (w >= layouts[i].w && h >= layouts[i].h)
            l = &layouts[i];
    return l;
}

/* ---- areas ---- */

static int panes_rows(const struct sy_panel *p, const struct layout *l)
{
    int room = p->h - 2 - p->input_rows - (p->h >= 6); /* header, rule, input, status */
    double share = p->split > 0 ? p->split : l->share;
    int rows = l->n ? (int)(share * p->h + 0.5) : 0;
    if (p->full && l->n)
        rows = room + 1; /* no rule, no scrollback */
    else
        rows = rows > room - 1 ? room - 1 : rows;
    return rows >= 4 ? rows : 0;
}

static struct sy_rect take_rows(int *y, int end, int w, int rows)
{
    struct sy_rect r = {0, *y, w, rows < end - *y ? rows : end - *y};
    r.h = r.h < 0 ? 0 : r.h;
    *y += r.h;
    return r;
}

static void place_areas(struct sy_panel *p, const struct layout *l)
{
    struct sy_areas *a = &p->areas;
    int y = 0, status = p->h >= 6, rows = panes_rows(p, l);
    int input = p->input_rows < p->h - status - 1 ? p->input_rows : p->h - status - 1;
    input = input < 1 ? 1 : input;
    int end = p->h - status - input;
    a->header = take_rows(&y, end, p->w, 1);
    a->panes = take_rows(&y, end, p->w, rows);
    a->rule = take_rows(&y, end, p->w, rows && !p->full);
    a->scrollback = take_rows(&y, end, p->w, end - y);
    a->input = (struct sy_rect){0, p->h - status - input, p->w, input};
    a->status = (struct sy_rect){0, p->h - status, p->w, status};
}

/* ---- slots ---- */

static bool is_dense(const struct sy_panel *p)
{
    const struct sy__run *r = sy__front(p);
    return r && !r->nlayers && r->status.step > 0;
}

static bool is_shown(const struct sy_panel *p, enum sy__view v)
{
    for (int i = 0; i < p->nslots; i++)
        if (p->slots[i].view == v)
            return true;
    return false;
}

/* What experts would have shown, a dense model shows otherwise. */
static void replace_experts(struct sy_panel *p)
{
    static const enum sy__view instead[] = {SY__GRAD, SY__SPEED, SY__LR, SY__MEMORY};
    for (int i = 0; i < p->nslots; i++) {
        enum sy__view v = p->slots[i].view;
        if (v != SY__EXPERTS && v != SY__ROUTER && v != SY__OVER_TIME && v != SY__TRACE)
            continue;
        for (int k = 0; k < 4; k++)
            if (!is_shown(p, instead[k])) {
                p->slots[i].view = instead[k];
                break;
            }
    }
}

static struct sy_rect rect_of(struct sy_rect panes, const struct place *at)
{
    int x0 = (int)(at->x * panes.w + 0.5), x1 = (int)((at->x + at->w) * panes.w + 0.5);
    int y0 = (int)(at->y * panes.h + 0.5), y1 = (int)((at->y + at->h) * panes.h + 0.5);
    return (struct sy_rect){panes.x + x0, panes.y + y0, x1 - x0, y1 - y0};
}

static void place_filter(struct sy_panel *p)
{
    struct sy__run *r = sy__front(p);
    int count = r ? sy_source_count(r->source) : 0, found = 0;
    int across = p->w >= 150 ? 4 : p->w >= 100 ? 3 : p->w >= 60 ? 2 : 1;
    int down = p->areas.panes.h / 7 > 0 ? p->areas.panes.h / 7 : 1;
    int most = across * down < SY__SLOTS ? across * down : SY__SLOTS;
    p->found = 0;
    for (int i = 0; i < count; i++) {
        const char *name = sy_source_series(r->source, i);
        if (!strstr(name, p->filter) || strlen(name) >= sizeof p->slots->series)
            continue;
        p->found++;
        if (found < most)
            snprintf(p->slots[found++].series, sizeof p->slots->series, "%s", name);
    }
    across = found < across ? found : across;
    down = across ? (found + across - 1) / across : 0;
    p->nslots = found;
    for (int i = 0; i < found; i++) {
        struct place at = {SY__LOSS, (double)(i % across) / across, (double)(i / across) / down,
                           1.0 / across, 1.0 / down};
        p->slots[i].view = SY__LOSS;
        p->slots[i].r = rect_of(p->areas.panes, &at);
    }
}

static void place_slots(struct sy_panel *p, const struct layout *l)
{
    p->nslots = 0;
    if (!p->areas.panes.h)
        return;
    if (p->filter[0]) {
        place_filter(p);
        return;
    }
    for (int i = 0; i < l->n; i++) {
        p->slots[i] = (struct sy__slot){.r = rect_of(p->areas.panes, &l->places[i])};
        p->slots[i].view = p->swapped[l->places[i].view];
    }
    p->nslots = l->n;
    if (is_dense(p))
        replace_experts(p);
    if (p->focus >= p->nslots)
        p->focus = 0;
    if (p->one || p->full) {
        p->slots[0] = (struct sy__slot){.r = p->areas.panes, .view = p->only};
        p->nslots = 1;
        p->focus = 0;
    }
}

bool sy__shows(const struct sy_panel *p, enum sy__view view)
{
    return !p->filter[0] && is_shown(p, view);
}

void sy__layout(struct sy_panel *p)
{
    /* Who gives the panes more or less of a screen has as much of them as on a larger or smaller
     * one. */
    int h = p->split > 0 ? (int)(p->h * p->split / 0.6) : p->h;
    const struct layout *l = choose_layout(p->w, h > 0 ? h : 1);
    place_areas(p, l);
    place_slots(p, l);
    p->dirty = true;
}
