/* The panel: which runs it shows, when something is new.  See panel.h. */
#include "tui/panel_int.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct sy_panel *sy_panel_new(const struct sy_theme *look, struct sy_err *err)
{
    struct sy_panel *p = sy_calloc(1, sizeof *p);
    if (!p) {
        sy_err_set(err, SY_E_MEMORY, "panel: out of memory");
        return NULL;
    }
    p->look = *look;
    p->use_board = p->fit = p->follow = p->cloud = true;
    p->log[SY__LOSS] = true;
    p->losses = -1;
    p->smooth = 1;
    p->cursor = p->base = -1;
    for (int i = 0; i < SY__VIEWS; i++)
        p->swapped[i] = (enum sy__view)i;
    sy_panel_layout(p, 80, 24, 1);
    return p;
}

static void drop_runs(struct sy_panel *p)
{
    for (int i = 0; i < p->nruns; i++)
        sy__run_free(p->runs[i]);
    sy_free(p->runs);
    p->runs = NULL;
    p->nruns = p->front = 0;
    p->table.run = p->times.run = NULL;
}

void sy_panel_free(struct sy_panel *p)
{
    if (!p)
        return;
    drop_runs(p);
    sy__heat_free(p);
    sy__traced_free(p);
    sy_pyramid_free(p->memory.used);
    sy_free(p->over);
    sy_free(p);
}

void sy_panel_set_look(struct sy_panel *p, const struct sy_theme *look)
{
    p->look = *look;
    p->dirty = true;
}

/* ---- runs ---- */

static struct sy__run *find_run(const struct sy_panel *p, const struct sy_source *s)
{
    for (int i = 0; i < p->nruns; i++)
        if (p->runs[i] && p->runs[i]->source == s)
            return p->runs[i];
    return NULL;
}

static int place_of(const struct sy_panel *p, const char *name)
{
    for (int i = 0; i < p->nruns; i++)
        if (!strcmp(p->runs[i]->status.name, name))
            return i;
    return -1;
}

/* The runs of the list, those that are known with what was read of them. */
static int replace_runs(struct sy_panel *p, struct sy_source *const *list, int n,
                        struct sy_err *err)
{
    struct sy__run **runs = sy_calloc((size_t)n + 1, sizeof *runs), *front = sy__front(p);
    int was = p->nruns, rc = runs ? 0 : -1, shown = 0;
    bool newer = n && !find_run(p, list[n - 1]) && sy_source_is_live(list[n - 1]);
    for (int i = 0; i < n && !rc; i++) {
        struct sy__run *known = find_run(p, list[i]);
        runs[i] = known ? known : sy__run_new(list[i], err);
        rc = runs[i] ? 0 : -1;
    }
    if (rc) {
        for (int i = 0; i < n && runs; i++)
            if (runs[i] && !find_run(p, list[i]))
                sy__run_free(runs[i]);
        sy_free(runs);
        return sy_err_set(err, SY_E_MEMORY, "panel: out of memory");
    }
    for (int i = 0; i < n; i++) {
        shown = runs[i] == front ? i : shown;
        for (int k = 0; k < was; k++)
            if (p->runs[k] == runs[i])
                p->runs[k] = NULL;
    }
    bool kept = false;
    for (int i = 0; i < n; i++)
        kept |= front && runs[i] == front;
    for (int k = 0; k < was; k++)
        sy__run_free(p->runs[k]);
    sy_free(p->runs);
    p->runs = runs;
    p->nruns = n;
    /* A new run of this process comes to the front: it is what was just typed.  Not before the eyes
     * of who looks at another one with keys. */
    p->front = p->use_board && newer && !p->pane_mode ? n - 1 : kept ? shown : n ? n - 1 : 0;
    if (!p->use_board && !kept)
        p->front = 0;
    for (int i = 0; i < n; i++)
        runs[i]->colour = i;
    p->table.run = p->times.run = NULL;
    return 0;
}

/* before: the run that was in front; it may be gone. */
static void after_runs(struct sy_panel *p, const struct sy__run *before)
{
    int at = p->wanted[0] ? place_of(p, p->wanted) : -1;
    if (at >= 0) {
        p->front = at;
        p->wanted[0] = 0;
    }
    if (sy__front(p) != before) {
        p->cursor = -1;
        p->base = -1;
        p->fit = p->follow = true;
    }
    sy__layout(p);
}

int sy_panel_set_sources(struct sy_panel *p, struct sy_source *const *list, int n,
                         struct sy_err *err)
{
    const struct sy__run *before = sy__front(p);
    p->use_board = false;
    if (replace_runs(p, list, n, err))
        return -1;
    after_runs(p, before);
    return 0;
}

static bool look_at_board(struct sy_panel *p)
{
    uint64_t version = sy_board_version();
    if (!p->use_board || version == p->board_version)
        return false;
    int n = sy_board_list(NULL, 0), room = n + 8;
    struct sy_source **list = sy_alloc((size_t)room * sizeof *list);
    if (!list)
        return false;
    n = sy_board_list(list, room);
    n = n > room ? room : n;
    const struct sy__run *before = sy__front(p);
    int rc = replace_runs(p, list, n, NULL);
    for (int i = 0; i < n; i++)
        sy_source_unref(list[i]);
    sy_free(list);
    if (rc)
        return false;
    p->board_version = version;
    after_runs(p, before);
    return true;
}

bool sy_panel_has(struct sy_panel *p, const char *run)
{
    look_at_board(p);
    return place_of(p, run) >= 0;
}

bool sy_panel_select(struct sy_panel *p, const char *run)
{
    look_at_board(p);
    int at = place_of(p, run);
    if (at < 0) {
        snprintf(p->wanted, sizeof p->wanted, "%s", run);
        return false;
    }
    p->front = at;
    p->cursor = -1;
    sy__layout(p);
    return true;
}

const char *sy_panel_selected(const struct sy_panel *p)
{
    return p->nruns ? p->runs[p->front]->status.name : "";
}

int sy_panel_overlay(struct sy_panel *p, const char *const *runs, int n, struct sy_err *err)
{
    char(*list)[65] = n ? sy_calloc((size_t)n, sizeof *list) : NULL;
    if (n && !list)
        return sy_err_set(err, SY_E_MEMORY, "panel: out of memory");
    for (int i = 0; i < n; i++)
        snprintf(list[i], sizeof list[i], "%s", runs[i]);
    sy_free(p->over);
    p->over = list;
    p->nover = n;
    p->overlay = n > 0;
    p->dirty = true;
    return 0;
}

static bool is_over(const struct sy_panel *p, const struct sy__run *r)
{
    bool named = !p->nover;
    for (int i = 0; i < p->nover; i++)
        named |= !strcmp(p->over[i], r->status.name);
    return p->overlay && named;
}

/* ---- layout ---- */

void sy_panel_layout(struct sy_panel *p, int w, int h, int input_rows)
{
    p->w = w < 1 ? 1 : w;
    p->h = h < 1 ? 1 : h;
    p->input_rows = input_rows < 1 ? 1 : input_rows;
    sy__layout(p);
}

const struct sy_areas *sy_panel_areas(const struct sy_panel *p)
{
    return &p->areas;
}

void sy_panel_set_split(struct sy_panel *p, double share)
{
    p->split = share <= 0 ? 0 : share < 0.1 ? 0.1 : share > 0.9 ? 0.9 : share;
    sy__layout(p);
}

/* ---- updates ---- */

bool sy_panel_update(struct sy_panel *p, double now, double budget)
{
    double deadline = sy_now() + budget;
    p->now = now;
    bool news = look_at_board(p);
    int layers = sy__front(p) ? sy__front(p)->nlayers : 0;
    for (int i = 0; i < p->nruns; i++) {
        p->runs[i]->over = i != p->front && is_over(p, p->runs[i]);
        if (i == p->front || p->runs[i]->over)
            news |= sy__run_look(p->runs[i], now);
    }
    if (sy__front(p) && (sy__front(p)->nlayers != layers || (news && p->filter[0])))
        sy__layout(p);
    sy__want(p);
    bool loading = false;
    for (int i = 0; i < p->nruns; i++) {
        news |= sy__run_read(p->runs[i], deadline);
        loading |= sy__run_more(p->runs[i]);
    }
    news |= loading != p->loading;
    p->loading = loading;
    news |= sy__memory_read(p, now);
    /* What follows depends on what keys changed, too. */
    news |= sy__views_read(p);
    news |= p->dirty;
    p->dirty = false;
    return news;
}

void sy_panel_draw(struct sy_panel *p, struct sy_grid *g)
{
    g->light = p->look.light;
    sy_grid_fill(g, p->areas.panes, ' ', sy_theme_pen(&p->look, SY_ROLE_TEXT));
    if (!p->nruns)
        sy__welcome_draw(p, g);
    else
        sy__views_draw(p, g);
    sy__bars_draw(p, g);
    if (p->menu)
        sy__menu_draw(p, g);
    if (p->help)
        sy__help_draw(p, g);
}

bool sy_panel_loading(const struct sy_panel *p)
{
    return p->loading;
}

/* ---- what the screen tells ---- */

void sy_panel_message(struct sy_panel *p, const char *text)
{
    char line[sizeof p->message];
    snprintf(line, sizeof line, "%s", text ? text : "");
    if (!strcmp(line, p->message))
        return;
    memcpy(p->message, line, sizeof line);
    p->dirty = true;
}

void sy_panel_set_pane_mode(struct sy_panel *p, bool on)
{
    if (p->pane_mode != on) {
        p->pane_mode = on;
        p->menu = false;
        p->message[0] = 0;
        p->cursor = on ? p->cursor : -1;
        if (!on && p->full) { /* the prompt wants its scrollback */
            p->full = false;
            sy__layout(p);
        }
    }
    p->dirty = true;
}

void sy_panel_set_busy(struct sy_panel *p, int seconds)
{
    p->dirty |= p->busy != seconds + 1;
    p->busy = seconds + 1;
}

void sy_panel_set_only_panes(struct sy_panel *p)
{
    p->only_panes = p->dirty = true;
}

bool sy_panel_pane_mode(const struct sy_panel *p)
{
    return p->pane_mode;
}

void sy_panel_set_scrolled(struct sy_panel *p, int rows)
{
    p->dirty |= p->scrolled != rows;
    p->scrolled = rows;
}

int sy_panel_filter(struct sy_panel *p, const char *text, struct sy_err *err)
{
    size_t n = text ? strlen(text) : 0;
    if (n >= sizeof p->filter)
        return sy_err_set(err, SY_E_RANGE, "filter: more than %zu bytes", sizeof p->filter - 1);
    snprintf(p->filter, sizeof p->filter, "%s", text ? text : "");
    p->focus = 0;
    sy__layout(p);
    return 0;
}

void sy_panel_show_help(struct sy_panel *p, bool on)
{
    p->help = on;
    p->dirty = true;
}

bool sy_panel_help(const struct sy_panel *p)
{
    return p->help;
}

bool sy_panel_over(const struct sy_panel *p)
{
    return p->help || p->menu;
}

static bool inside(struct sy_rect r, int x, int y)
{
    return x >= r.x && y >= r.y && x < r.x + r.w && y < r.y + r.h;
}

bool sy_panel_click(struct sy_panel *p, int x, int y)
{
    struct sy__run *r = sy__front(p);
    for (int i = 0; i < p->nslots && r; i++) {
        struct sy_rect in = sy_plot_inside(p->slots[i].r);
        double x0, x1;
        if (!inside(p->slots[i].r, x, y))
            continue;
        p->focus = i;
        p->dirty = true;
        int row = p->slots[i].view == SY__EXPERTS ? sy__experts_row_at(p, &p->slots[i], y) : -1;
        p->layer = row >= 0 ? row : p->layer;
        enum sy__view v = p->slots[i].view;
        if (!inside(in, x, y) || v == SY__EXPERTS || v == SY__MEMORY || v == SY__TRACE)
            return true;
        struct sy_x_axis axis = sy__x_axis(p, r);
        sy__x_window(p, r, &x0, &x1);
        int64_t step = sy_x_to_step(&axis, x0 + (x1 - x0) * (x - in.x + 0.5) / in.w);
        p->cursor = step < 1 ? 1 : step > r->status.step ? r->status.step : step;
        return true;
    }
    return false;
}
