/* The experts' views: the table of layers and experts at one step, and one layer over time.  See
 * panel_int.h. */
#include "tui/panel_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *title, *none;
} heats[SY__HEATS] = {{"load", "this run records no loads"},
                      {"probability", "this run records no probabilities"},
                      {"dropped", "no capacity: no token is dropped"},
                      {"change", "this run records no loads"}};

/* The series that shows it of a layer; *instead: one of the whole layer, of runs that have no
 * expert's; or -1. */
static int series_of(const struct sy__layer *l, enum sy__heat heat, int *instead)
{
    *instead = heat == SY__HEAT_DROP ? l->drop : -1;
    return heat == SY__HEAT_GATE ? l->gate : heat == SY__HEAT_DROP ? l->dropped : l->series;
}

/* Seconds between two pictures of a run that trains: more of them nobody reads, and each is most of
 * what a frame sends to the terminal. */
#define REFRESH 0.25

void sy__heat_free(struct sy_panel *p)
{
    sy_free(p->table.v);
    sy_free(p->times.bucket);
    sy_free(p->times.found);
    sy_free(p->times.v);
    p->table = (struct sy__table){0};
    p->times = (struct sy__times){0};
}

/* ---- the table ---- */

/* A layer's row at a step into out[cols]; a series of one column stands for all of them. */
static int64_t read_row(const struct sy__run *r, int id, int64_t step, float *out, int cols)
{
    float *row = out;
    for (int i = 0; i < cols; i++)
        out[i] = NAN;
    if (id < 0)
        return -2;
    int width = sy_source_width(r->source, id);
    if (width > cols && !(row = sy_alloc((size_t)width * sizeof *row)))
        return -1;
    int64_t found = sy_source_at(r->source, id, step, row);
    if (width == 1 && found >= 0)
        for (int i = 1; i < cols; i++)
            out[i] = row[0];
    if (row != out) {
        memcpy(out, row, (size_t)cols * sizeof *row);
        sy_free(row);
    }
    return found;
}

static void fill_table(struct sy_panel *p, const struct sy__run *r, int64_t step)
{
    struct sy__table *t = &p->table;
    float *was = t->v + (size_t)t->rows * (size_t)t->cols; /* one row behind the table */
    t->missing = true;
    t->whole = false;
    t->shown = -1;
    for (int i = 0; i < t->rows; i++) {
        float *row = t->v + (size_t)i * (size_t)t->cols;
        int instead, id = series_of(&r->layers[i], t->mode, &instead);
        int64_t found = read_row(r, id, step, row, t->cols);
        if (found == -2 && instead >= 0) {
            found = read_row(r, instead, step, row, t->cols);
            t->whole |= found != -2;
        }
        t->missing &= found == -2;
        t->shown = found > t->shown ? found : t->shown;
        if (t->mode != SY__HEAT_CHANGE)
            continue;
        read_row(r, r->layers[i].series, t->base, was, t->cols);
        for (int k = 0; k < t->cols; k++)
            row[k] -= was[k];
    }
}

/* Which step: the cursor's, or the newest. */
static int64_t table_step(const struct sy_panel *p, const struct sy__run *r)
{
    return p->cursor >= 0 && p->cursor < r->status.step ? p->cursor : r->status.step;
}

bool sy__table_read(struct sy_panel *p)
{
    struct sy__table *t = &p->table;
    const struct sy__run *r = sy__front(p);
    if (!r || !r->nlayers || !sy__shows(p, SY__EXPERTS))
        return false;
    int64_t step = table_step(p, r), base = p->base >= 0 ? p->base : 1;
    bool same = t->run == r && t->mode == p->heat && t->base == base && t->rows == r->nlayers &&
                t->cols == r->experts;
    bool moving = p->cursor < 0 && r->status.state == SY_RUN_RUNNING;
    if (same && (t->step == step || (moving && p->now >= t->at && p->now - t->at < REFRESH)))
        return false;
    if (SY_GROW(t->v, t->room, (size_t)(r->nlayers + 1) * (size_t)r->experts))
        return false;
    t->at = p->now;
    t->run = r;
    t->mode = p->heat;
    t->step = step;
    t->base = base;
    t->rows = r->nlayers;
    t->cols = r->experts;
    fill_table(p, r, p->cursor >= 0 ? step : INT64_MAX);
    return true;
}

struct figures {
    int dead, over;
    double most, entropy, largest;
};

/* The table's entropy in nats: the mean over layers of the entropy of their loads as shares. */
static struct figures figures_of(const struct sy__table *t)
{
    struct figures f = {0, 0, 0, 0, 0};
    int layers = 0;
    for (int i = 0; i < t->rows; i++) {
        const float *row = t->v + (size_t)i * (size_t)t->cols;
        double sum = 0, h = 0;
        for (int k = 0; k < t->cols; k++)
            sum += isnan(row[k]) ? 0 : (double)row[k];
        for (int k = 0; k < t->cols; k++) {
            double v = (double)row[k], share = v / sum;
            if (isnan(v))
                continue;
            f.dead += v <= 0;
            f.over += v > 2;
            f.most = v > f.most ? v : f.most;
            f.largest = fabs(v) > f.largest ? fabs(v) : f.largest;
            h -= share > 0 ? share * log(share) : 0;
        }
        f.entropy += sum > 0 ? h : 0;
        layers += sum > 0;
    }
    f.entropy /= layers ? layers : 1;
    return f;
}

static void table_title(const struct sy_panel *p, const struct sy__table *t, char *out, size_t size)
{
    const struct sy__run *r = sy__front(p);
    int n = snprintf(out, size, "experts");
    if (p->heat != SY__HEAT_LOAD)
        n += snprintf(out + n, size - (size_t)n, " · %s", heats[p->heat].title);
    if (p->heat == SY__HEAT_CHANGE) {
        snprintf(out + n, size - (size_t)n, " since step %lld", (long long)t->base);
        return;
    }
    if (p->heat == SY__HEAT_LOAD || p->cursor < 0) /* there is not room for all */
        n += snprintf(out + n, size - (size_t)n, "  L%d–%d × 1–%d", r->layers[0].what.layer,
                  r->layers[t->rows - 1].what.layer, t->cols);
    if (p->cursor >= 0)
        snprintf(out + n, size - (size_t)n, " · step %lld",
                 (long long)(t->shown >= 0 ? t->shown : t->step));
}

#define KEY_ROOM 16

/* The ramp's key, 0 to 2, at the right end of a row of the frame, of which so much is used. */
static bool draw_key(const struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g,
                     int y, int used)
{
    if (used + KEY_ROOM > slot->r.w)
        return false;
    struct sy_pen dim = sy_theme_pen(&p->look, SY_ROLE_DIM);
    for (int i = 0; i < 8; i++) {
        int c = sy_theme_heat(&p->look, i / 7.0), x = slot->r.x + slot->r.w - 12 + i;
        struct sy_pen pen = {c >= 0 ? (int16_t)c : dim.fg, -1, 0};
        bool block = c >= 0 && p->look.symbols != SY_SYMBOLS_ASCII;
        sy_grid_put(g, x, y,
                    block ? 0x2588 : (uint32_t)sy_theme_ramp(i / 7.0), pen);
    }
    sy_grid_text(g, slot->r.x + slot->r.w - 13, y, 1, "0", dim);
    sy_grid_text(g, slot->r.x + slot->r.w - 4, y, 1, "2", dim);
    return true;
}

/* As many figures as there is room for. */
static int load_foot(const struct sy_panel *p, const struct figures *f, int room, char *out,
                     size_t size)
{
    char text[128];
    for (int parts = 3; parts > 0; parts--) {
        int n = snprintf(text, sizeof text, " dead %d ", f->dead);
        if (parts > 1)
            n += snprintf(text + n, sizeof text - (size_t)n, "· max/mean %.1f ", f->most);
        if (parts > 2)
            snprintf(text + n, sizeof text - (size_t)n, "· entropy %.2f ", f->entropy);
        sy_theme_text(&p->look, text, out, size);
        if (sy_text_width(out, strlen(out)) <= room)
            break;
    }
    return sy_text_width(out, strlen(out));
}

static void table_foot(const struct sy_panel *p, const struct figures *f,
                       const struct sy__slot *slot, struct sy_grid *g, int title_width)
{
    char text[128], fine[160], value[16];
    struct sy_pen dim = sy_theme_pen(&p->look, SY_ROLE_DIM);
    if (p->heat == SY__HEAT_LOAD) {
        int n = load_foot(p, f, slot->r.w - 2, fine, sizeof fine);
        sy_frame_foot(g, slot->r, 0, fine, dim);
        if (f->dead) { /* the number that alarms */
            snprintf(value, sizeof value, "%d", f->dead);
            sy_frame_foot(g, slot->r, 6, value, sy_theme_pen(&p->look, SY_ROLE_BAD));
        }
        if (!draw_key(p, slot, g, slot->r.y + slot->r.h - 1, n))
            draw_key(p, slot, g, slot->r.y, title_width + 2);
        return;
    }
    sy_value_text(f->most,
                  p->heat == SY__HEAT_DROP ? sy__unit_of(SY_SERIES_DROPPED) : SY_UNIT_PLAIN, value);
    if (p->heat == SY__HEAT_CHANGE)
        snprintf(text, sizeof text, " blue less · yellow more · max %.2f ", f->largest);
    else if (p->heat == SY__HEAT_GATE)
        snprintf(text, sizeof text, " max %s · even %.3f ", value, 1.0 / p->table.cols);
    else
        snprintf(text, sizeof text, " max %s of %s tokens ", value,
                 p->table.whole ? "a layer's" : "an expert's");
    sy_theme_text(&p->look, text, fine, sizeof fine);
    sy_frame_foot(g, slot->r, 0, fine, dim);
}

/* L2; of a second mixture of the layer with the first letter of its name. */
static void label_row(const void *ctx, int row, char out[16])
{
    const struct sy__run *r = ctx;
    const struct sy_series_what *what = &r->layers[row < r->nlayers ? row : 0].what;
    snprintf(out, 16, "L%d%.1s", what->layer, what->mixture);
}

/* The table as a heatmap.  Loads and probabilities are shown beside what would be even: 1, or 1/E.
 */
static struct sy_heat heat_of(const struct sy_panel *p, double largest)
{
    const struct sy__table *t = &p->table;
    bool load = t->mode == SY__HEAT_LOAD, gate = t->mode == SY__HEAT_GATE;
    double top = load ? 2 : gate ? 2.0 / t->cols : largest > 0 ? largest : 1;
    return (struct sy_heat){.v = t->v,
                            .rows = t->rows,
                            .cols = t->cols,
                            .hi = top,
                            .diverging = t->mode == SY__HEAT_CHANGE,
                            .dead = load || gate,
                            .over = load || gate,
                            .limit = top,
                            .row_label = label_row,
                            .ctx = t->run,
                            .number_columns = true,
                            .selected = p->layer < t->rows ? p->layer : 0,
                            .cursor = -1};
}

int sy__experts_row_at(const struct sy_panel *p, const struct sy__slot *slot, int y)
{
    struct sy_heat h = heat_of(p, 1);
    struct sy_rect in = {slot->r.x + 1, slot->r.y + 1, slot->r.w - 2, slot->r.h - 2};
    return p->table.v ? sy_heat_row_at(&h, &p->look, in, y) : -1;
}

/* In rows that have experts of fewer columns than others, what is not there stays NaN. */
void sy__experts_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g)
{
    const struct sy__table *t = &p->table;
    char title[128] = "experts";
    bool focus = p->pane_mode && slot == &p->slots[p->focus];
    bool ready = t->v && t->run == sy__front(p) && t->rows > 0;
    if (ready)
        table_title(p, t, title, sizeof title);
    struct sy_rect in = sy_frame(g, &p->look, slot->r, title, focus);
    if (!ready)
        return;
    if (t->missing) {
        sy_grid_text(g, in.x + 1, in.y + in.h / 2, in.w - 2, heats[t->mode].none,
                     sy_theme_pen(&p->look, SY_ROLE_DIM));
        return;
    }
    struct figures f = figures_of(t);
    struct sy_heat h = heat_of(p, f.largest);
    sy_heat_draw(&h, &p->look, g, in);
    if (t->shown >= 0) /* before there is a row, nothing is known of any expert */
        table_foot(p, &f, slot, g, sy_text_width(title, strlen(title)));
}

/* ---- one layer over time ---- */

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

void sy__over_time_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g)
{
    struct sy__run *r = sy__front(p);
    char title[128], at[40], place[64];
    struct sy_series_what first = {SY_SERIES_LOAD, 1, ""};
    int layer = r && p->layer < r->nlayers ? p->layer : 0, cursor;
    sy_series_place(r && r->nlayers ? &r->layers[layer].what : &first, place, sizeof place);
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
