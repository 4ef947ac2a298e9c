/* What each view shows of a run, as plots.  See panel_int.h. */
#include "tui/panel_int.h"

#include "base/mem.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const double sy__decays[4] = {0, 0.9, 0.99, 0.999};
static const char *const decay_names[4] = {"", "ema .9", "ema .99", "ema .999"};

/* ---- x ---- */

static struct sy__feed *x_feed(struct sy_panel *p, struct sy__run *r)
{
    return p->x_kind == SY_X_STEP ? NULL : sy__feed(r, sy__x_of(p->x_kind), 0);
}

bool sy__x_known(const struct sy_panel *p, enum sy_x_kind kind)
{
    const struct sy__run *r = sy__front(p);
    if (!r || kind == SY_X_STEP)
        return true;
    if (kind == SY_X_TIME)
        return sy_source_find(r->source, "time.compute") >= 0;
    return sy_source_find(r->source, "tokens") >= 0 &&
           (kind != SY_X_FLOPS || r->status.flops_per_token > 0);
}

/* Strips of router health, on two pages: loads, and how a router chooses and what it learns by. */
struct strip {
    const char *name;
    enum sy_series_kind kind;
    enum sy__reduce reduce;
    int which, colour;
    bool choices;
};
static const struct strip strips[] = {
    {"entropy", SY_SERIES_ENTROPY, SY__MEAN, 0, 0, false},
    {"of gates", SY_SERIES_GATE_ENTROPY, SY__MEAN, 0, 2, false},
    {"max/mean", SY_SERIES_LOAD, SY__LOAD, 0, 1, false},
    {"dead", SY_SERIES_LOAD, SY__LOAD, 1, 3, false},
    {"dropped", SY_SERIES_DROP, SY__MEAN, 0, 4, false},
    {"rerouted", SY_SERIES_REROUTED, SY__MEAN, 0, 5, false},
    {"per token", SY_SERIES_EXPERTS_PER_TOKEN, SY__MEAN, 0, 6, false},
    {"margin", SY_SERIES_MARGIN, SY__MEAN, 0, 0, true},
    {"grad lm", SY_SERIES_ROUTER_NORM_LM, SY__MEAN, 0, 1, true},
    {"grad bal.", SY_SERIES_ROUTER_NORM_BALANCE, SY__MEAN, 0, 2, true},
    {"bf16 diff", SY_SERIES_BF16_CHANGED, SY__MEAN, 0, 3, true},
    {"close", SY_SERIES_CLOSE, SY__MEAN, 0, 4, true},
    {"gate max", SY_SERIES_CONFIDENCE, SY__MEAN, 0, 5, true},
    {"logsumexp", SY_SERIES_LOGSUMEXP, SY__MEAN, 0, 6, true}};
#define STRIPS ((int)(sizeof strips / sizeof *strips))

bool sy__has_choices(const struct sy__run *r)
{
    for (int i = 0; r && i < sy_source_count(r->source); i++)
        for (int k = 0; k < STRIPS; k++)
            if (strips[k].choices && sy_source_what(r->source, i).kind == strips[k].kind)
                return true;
    return false;
}

static bool shows_choices(const struct sy_panel *p, const struct sy__run *r)
{
    return p->choices && sy__has_choices(r);
}

/* ---- wanting ---- */

static double decay_of(const struct sy_panel *p)
{
    return sy__decays[p->smooth];
}

static struct sy_series_what what_of(const struct sy__run *r, const char *series)
{
    int id = r ? sy_source_find(r->source, series) : -1;
    return id < 0 ? (struct sy_series_what){SY_SERIES_VALUE, 0, ""} : sy_source_what(r->source, id);
}

static bool is_smoothed(const struct sy_panel *p, const struct sy__run *r, const char *series)
{
    return p->smooth && sy_series_row(what_of(r, series).kind)->draw != SY_DRAW_POINTS;
}

/* How a chart of a series that was asked for by its name shows several columns. */
static enum sy__reduce reduce_of(const struct sy__run *r, const char *series)
{
    int id = r ? sy_source_find(r->source, series) : -1;
    if (id < 0 || sy_source_width(r->source, id) < 2)
        return SY__FIRST;
    return sy_series_row(sy_source_what(r->source, id).kind)->each == SY_EACH_SOURCE ? SY__TOP
                                                                                    : SY__LARGEST;
}

static void want_view(struct sy_panel *p, struct sy__run *r, const struct sy__slot *s)
{
    if (s->series[0]) {
        sy__feed(r, sy__of_name(s->series, reduce_of(r, s->series)),
                 is_smoothed(p, r, s->series) ? decay_of(p) : 0);
        return;
    }
    switch (s->view) {
    case SY__LOSS:
        sy__feed(r, sy__of_name("loss", SY__FIRST), decay_of(p));
        sy__feed(r, sy__of_name("val_loss", SY__FIRST), 0);
        sy__losses_want(p, r, decay_of(p));
        break;
    case SY__GRAD:
        sy__feed(r, sy__of_name("grad_norm", SY__FIRST), decay_of(p));
        break;
    case SY__LR:
        sy__feed(r, sy__of_name("lr", SY__FIRST), 0);
        break;
    case SY__SPEED:
        sy__feed(r, sy__of_name("tok_s", SY__FIRST), 0);
        sy__feed(r, sy__of_name("time.compute", SY__FIRST), 0);
        sy__feed(r, sy__of_name("time.optimizer", SY__FIRST), 0);
        sy__feed(r, sy__of_name("time.data", SY__FIRST), 0);
        break;
    case SY__ROUTER:
        for (int i = 0; i < STRIPS; i++)
            if (strips[i].choices == shows_choices(p, r))
                sy__feed(r, sy__of_kind(strips[i].kind, strips[i].reduce), 0);
        break;
    default:
        break;
    }
}

void sy__want(struct sy_panel *p)
{
    for (int i = 0; i < p->nruns; i++) {
        struct sy__run *r = p->runs[i];
        sy__run_unwant(r);
        if (i != p->front && !r->over)
            continue;
        x_feed(p, r);
        for (int k = 0; k < p->nslots; k++)
            if (i == p->front || p->slots[k].series[0] || p->slots[k].view == SY__LOSS ||
                p->slots[k].view == SY__GRAD || p->slots[k].view == SY__LR)
                want_view(p, r, &p->slots[k]);
    }
}

bool sy__views_read(struct sy_panel *p)
{
    bool news = sy__table_read(p);
    news |= sy__traced_read(p);
    for (int i = 0; i < p->nslots; i++)
        if (p->slots[i].view == SY__OVER_TIME && !p->slots[i].series[0])
            news |= sy__times_read(p, &p->slots[i]);
    return news;
}

/* ---- curves ---- */

static const struct sy_pyramid *rows_of(const struct sy__run *r, const char *name,
                                        enum sy__reduce reduce)
{
    return sy__feed_rows(sy__find_feed(r, sy__of_name(name, reduce)), 0);
}

struct chart {
    const char *name, *series, *valid;
    enum sy__reduce reduce;
    enum sy_unit unit;
    bool apart; /* the loss, with its parts (losses.c) */
};

static void chart_title(const struct sy_panel *p, const struct sy__slot *s, const struct chart *c,
                        int runs, char *out, size_t size)
{
    struct sy__loss_page page = sy__loss_page(p);
    int n = c->apart ? sy__loss_title(&page, out, size) : snprintf(out, size, "%s", c->name);
    if (s->series[0] && c->reduce != SY__FIRST)
        n += snprintf(out + n, size - (size_t)n, " · largest");
    if (p->log[s->view])
        n += snprintf(out + n, size - (size_t)n, " · log");
    if (is_smoothed(p, sy__front(p), c->series))
        n += snprintf(out + n, size - (size_t)n, " · %s", decay_names[p->smooth]);
    if (p->x_kind != SY_X_STEP)
        n += snprintf(out + n, size - (size_t)n, " · by %s", sy_x_name(p->x_kind));
    if (runs > 1)
        snprintf(out + n, size - (size_t)n, " · %d runs", runs);
}

static bool add_line(const struct sy_panel *p, struct sy__run *r, const struct chart *c, bool front,
                     struct sy_plot_line *l)
{
    *l = (struct sy_plot_line){.p = rows_of(r, c->series, c->reduce),
                               .valid = c->valid ? rows_of(r, c->valid, SY__FIRST) : NULL,
                               .x = sy__x_axis(p, r),
                               .colour = r->colour,
                               .cloud = front && p->cloud,
                               .label = r->status.name};
    return l->p != NULL;
}

static void draw_chart(struct sy_panel *p, const struct sy__slot *s, const struct chart *c,
                       struct sy_grid *g)
{
    struct sy__run *front = sy__front(p);
    char title[128];
    int n = 0, parts = 0;
    struct sy_plot_line *lines = sy_calloc((size_t)p->nruns + 1 + SY__LOSS_PARTS, sizeof *lines);
    if (!lines)
        return;
    for (int i = 0; i < p->nruns; i++)
        if (i != p->front && p->runs[i]->over)
            n += add_line(p, p->runs[i], c, false, &lines[n]);
    if (front && c->apart)
        n += parts = sy__losses_lines(p, front, lines + n);
    if (front && add_line(p, front, c, true, &lines[n]))
        n++;
    if (parts && n > parts) /* then this run alone is shown */
        lines[n - 1].label = "all";
    if (n - parts == 1)
        lines[n - 1].colour = 0;
    chart_title(p, s, c, n - parts, title, sizeof title);
    struct sy_plot plot = {.title = title,
                           .lines = lines,
                           .n = n,
                           .marks = front ? front->marks : NULL,
                           .nmarks = front ? front->nmarks : 0,
                           .x_kind = n ? lines[n - 1].x.kind : SY_X_STEP,
                           .y_unit = c->unit,
                           .log = p->log[s->view],
                           .focus = p->pane_mode && s == &p->slots[p->focus],
                           .cursor = p->cursor};
    sy__x_window(p, front, &plot.x0, &plot.x1);
    sy_plot_draw(&plot, &p->look, g, s->r);
    sy_free(lines);
}

/* ---- throughput ---- */

static void draw_speed(struct sy_panel *p, const struct sy__slot *s, struct sy_grid *g)
{
    struct sy__run *r = sy__front(p);
    struct sy_stack stack = {.title = "tok/s",
                             .names = {"compute", "optimizer", "data"},
                             .shorts = {"comp", "opt", "data"},
                             .n = 3,
                             .focus = p->pane_mode && s == &p->slots[p->focus],
                             .cursor = p->cursor};
    if (r) {
        stack.whole = rows_of(r, "tok_s", SY__FIRST);
        stack.part[0] = rows_of(r, "time.compute", SY__FIRST);
        stack.part[1] = rows_of(r, "time.optimizer", SY__FIRST);
        stack.part[2] = rows_of(r, "time.data", SY__FIRST);
        stack.x = sy__x_axis(p, r);
        sy__x_window(p, r, &stack.x0, &stack.x1);
    }
    sy_stack_draw(&stack, &p->look, g, s->r);
}

/* ---- router health ---- */

/* least: rows of the lowest strip, for all look alike. */
static void draw_strip(struct sy_panel *p, const struct strip *t, const struct sy_pyramid *rows,
                       struct sy__run *r, struct sy_grid *g, struct sy_rect in, int least)
{
    char value[16];
    double x0, x1;
    struct sy_x_axis x = sy__x_axis(p, r);
    int64_t row =
        p->cursor >= 0 ? sy_pyramid_find(rows, p->cursor + 1) - 1 : sy_pyramid_rows(rows) - 1;
    double v = row >= 0 ? (double)sy_pyramid_value(rows, row) : (double)NAN;
    if (t->reduce == SY__LOAD && t->which == 1)
        snprintf(value, sizeof value, "%.0f", v);
    else
        sy_value_text(v, sy__unit_of(t->kind), value);
    sy__x_window(p, r, &x0, &x1);
    sy_grid_text(g, in.x + 1, in.y, 9, t->name, sy_theme_pen(&p->look, SY_ROLE_DIM));
    int n = (int)strlen(value), y = least > 1 ? in.y + 1 : in.y, at = least > 1 ? 1 : 16 - n;
    bool bad = t->which == 1 && v > 0;
    sy_grid_text(g, in.x + at, y, n, value,
                 sy_theme_pen(&p->look, bad ? SY_ROLE_BAD : SY_ROLE_VALUE));
    if (least > 3) { /* from where to where the strip goes */
        char low[16], high[16], both[36];
        struct sy_extent e = sy_pyramid_query(rows, sy_pyramid_find(rows, sy_x_to_step(&x, x0)),
                                              sy_pyramid_find(rows, sy_x_to_step(&x, x1) + 1));
        snprintf(low, sizeof low, "%.3g", (double)e.min);
        snprintf(high, sizeof high, "%.3g", (double)e.max);
        snprintf(both, sizeof both, "%s..%s", low, high);
        sy_grid_text(g, in.x + 1, in.y + 2, 11, both, sy_theme_pen(&p->look, SY_ROLE_DIM));
    }
    int left = least > 3 ? 13 : least > 1 ? 10 : 17;
    struct sy_rect area = {in.x + left, in.y, in.w - left - 1, in.h > 2 ? in.h - 1 : in.h};
    sy_strip_draw(rows, &x, x0, x1, t->colour, &p->look, g, area);
    if (p->cursor >= 0)
        sy__cursor(sy__column_of(sy_x_of_step(&x, p->cursor), x0, x1, area.w), &p->look, g, area);
}

static void draw_router(struct sy_panel *p, const struct sy__slot *s, struct sy_grid *g)
{
    struct sy__run *r = sy__front(p);
    bool focus = p->pane_mode && s == &p->slots[p->focus];
    bool choices = shows_choices(p, r);
    char title[48];
    sy_theme_text(&p->look, choices ? "router health · choices" : "router health", title,
                  sizeof title);
    struct sy_rect in = sy_frame(g, &p->look, s->r, title, focus);
    const struct sy_pyramid *rows[STRIPS];
    int n = 0, k = 0;
    for (int i = 0; i < STRIPS; i++) {
        struct sy__of of = sy__of_kind(strips[i].kind, strips[i].reduce);
        bool shown = r && strips[i].choices == choices;
        rows[i] = shown ? sy__feed_rows(sy__find_feed(r, of), strips[i].which) : NULL;
        n += rows[i] != NULL;
    }
    for (int i = 0; i < STRIPS && in.h > 0; i++) {
        if (!rows[i] || k >= in.h)
            continue;
        int each = n < in.h ? n : in.h;
        int y0 = in.h * k / each, y1 = in.h * (k + 1) / each;
        draw_strip(p, &strips[i], rows[i], r, g, (struct sy_rect){in.x, in.y + y0, in.w, y1 - y0},
                   in.h / each);
        k++;
    }
}

/* ---- all ---- */

static void draw_series(struct sy_panel *p, const struct sy__slot *s, struct sy_grid *g)
{
    struct chart c = {s->series, s->series, NULL, reduce_of(sy__front(p), s->series), SY_UNIT_PLAIN,
                      false};
    draw_chart(p, s, &c, g);
}

static void draw_slot(struct sy_panel *p, const struct sy__slot *s, struct sy_grid *g)
{
    static const struct chart loss = {"loss", "loss", "val_loss", SY__FIRST, SY_UNIT_PLAIN,
                                      true};
    static const struct chart grad = {"gradient norm", "grad_norm", NULL, SY__FIRST, SY_UNIT_PLAIN,
                                      false};
    static const struct chart lr = {"learning rate", "lr", NULL, SY__FIRST, SY_UNIT_PLAIN, false};
    if (s->series[0]) {
        draw_series(p, s, g);
        return;
    }
    switch (s->view) {
    case SY__LOSS:
        draw_chart(p, s, &loss, g);
        break;
    case SY__GRAD:
        draw_chart(p, s, &grad, g);
        break;
    case SY__LR:
        draw_chart(p, s, &lr, g);
        break;
    case SY__SPEED:
        draw_speed(p, s, g);
        break;
    case SY__ROUTER:
        draw_router(p, s, g);
        break;
    case SY__EXPERTS:
        sy__experts_draw(p, s, g);
        break;
    case SY__OVER_TIME:
        sy__over_time_draw(p, s, g);
        break;
    case SY__TRACE:
        sy__trace_draw(p, s, g);
        break;
    case SY__MEMORY:
        sy__memory_draw(p, s, g);
        break;
    default:
        break;
    }
}

/* Into the first chart while all would say nothing: a step of a large model takes its time. */
static void tell_first_step(const struct sy_panel *p, struct sy_grid *g)
{
    static const char text[] = "the first step is being computed";
    const struct sy__run *r = sy__front(p);
    const struct sy_pyramid *loss = r ? rows_of(r, "loss", SY__FIRST) : NULL;
    struct sy_rect a = p->nslots ? p->slots[0].r : (struct sy_rect){0};
    int n = (int)sizeof text - 1, x = a.w > n ? (a.w - n + 5) / 2 : 1; /* 5: the axis' labels */
    if (!r || !r->status.live || r->status.state != SY_RUN_RUNNING || r->status.step > 0 ||
        (loss && sy_pyramid_rows(loss)) || a.h < 3)
        return;
    sy_grid_text(g, a.x + x, a.y + a.h / 2, a.w - 1 - x, text, sy_theme_pen(&p->look, SY_ROLE_DIM));
}

void sy__views_draw(struct sy_panel *p, struct sy_grid *g)
{
    for (int i = 0; i < p->nslots; i++)
        draw_slot(p, &p->slots[i], g);
    tell_first_step(p, g);
    if (p->filter[0] && !p->nslots && p->areas.panes.h) {
        char text[120];
        snprintf(text, sizeof text, "no series with '%s' in its name; / and Enter show the panels",
                 p->filter);
        sy_grid_text(g, 2, p->areas.panes.y + p->areas.panes.h / 2, p->w - 4, text,
                     sy_theme_pen(&p->look, SY_ROLE_DIM));
    }
}
