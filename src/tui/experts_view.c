/* The experts' table at one step: layers by experts, or a layer's sources by experts.  See
 * panel_int.h; one layer over time: over_time_view.c. */
#include "tui/panel_int.h"

#include "base/find.h"
#include "base/grow.h"
#include "base/mem.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *title, *none;
} heats[SY__HEATS] = {{"load", "load", "this run records no loads"},
                      {"gate", "probability", "this run records no probabilities"},
                      {"drops", "dropped", "no capacity: no token is dropped"},
                      {"change", "change", "this run records no loads"},
                      {"sources", "sources", "the data of this run have one source"},
                      {"importance", "importance", "this run records no sums of gates"}};

int sy_panel_find_heat(const char *name)
{
    return SY_FIND_NAME(heats, name);
}

const char *sy_panel_heats(void)
{
    static _Thread_local char names[64];
    size_t n = 0;
    for (int i = 0; i < SY__HEATS; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", heats[i].name);
    return names;
}

/* The series that shows it of a layer; *instead: one of the whole layer, of runs that have no
 * expert's; or -1. */
static int series_of(const struct sy__layer *l, enum sy__heat heat, int *instead)
{
    *instead = heat == SY__HEAT_DROP ? l->drop : -1;
    return heat == SY__HEAT_GATE         ? l->gate
           : heat == SY__HEAT_DROP       ? l->dropped
           : heat == SY__HEAT_IMPORTANCE ? l->importance
                                         : l->series;
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

/* The selected layer's sources by experts.  A source without tokens is a row of nothing, for no
 * expert is to blame. */
static void fill_sources(struct sy__table *t, const struct sy__run *r, int64_t step)
{
    int id = r->layers[t->layer].source;
    t->whole = false;
    t->missing = id < 0;
    t->shown = read_row(r, id, step, t->v, t->rows * t->cols);
    for (int i = 0; i < t->rows && t->shown >= 0; i++) {
        float *row = t->v + (size_t)i * (size_t)t->cols;
        bool any = false;
        for (int k = 0; k < t->cols; k++)
            any |= row[k] > 0;
        for (int k = 0; k < t->cols && !any; k++)
            row[k] = NAN;
    }
}

/* Of what is 0 of a dead expert, and of one that someone disabled. */
static bool marks_experts(enum sy__heat mode)
{
    return mode == SY__HEAT_LOAD || mode == SY__HEAT_GATE || mode == SY__HEAT_IMPORTANCE;
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
        if (marks_experts(t->mode))
            sy__mark_disabled(r, &r->layers[i], found, row);
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

static int selected_layer(const struct sy_panel *p, const struct sy__run *r)
{
    return p->layer < r->nlayers ? p->layer : 0;
}

/* Layers by experts, or the selected layer's sources by its experts. */
static void table_size(const struct sy_panel *p, const struct sy__run *r, int *rows, int *cols)
{
    const struct sy__layer *l = &r->layers[selected_layer(p, r)];
    bool sources = p->heat == SY__HEAT_SOURCE && l->source >= 0 && l->width > 0;
    *rows = sources ? sy_source_width(r->source, l->source) / l->width : r->nlayers;
    *cols = sources ? l->width : r->experts;
}

bool sy__table_read(struct sy_panel *p)
{
    struct sy__table *t = &p->table;
    const struct sy__run *r = sy__front(p);
    int rows, cols;
    if (!r || !r->nlayers || !sy__shows(p, SY__EXPERTS))
        return false;
    table_size(p, r, &rows, &cols);
    int64_t step = table_step(p, r), base = p->base >= 0 ? p->base : 1;
    bool same = t->run == r && t->mode == p->heat && t->base == base && t->rows == rows &&
                t->cols == cols &&
                (p->heat != SY__HEAT_SOURCE || t->layer == selected_layer(p, r));
    bool moving = p->cursor < 0 && r->status.state == SY_RUN_RUNNING;
    if (same && (t->step == step || (moving && p->now >= t->at && p->now - t->at < REFRESH)))
        return false;
    if (SY_GROW(t->v, t->room, (size_t)(rows + 1) * (size_t)cols))
        return false;
    t->at = p->now;
    t->run = r;
    t->mode = p->heat;
    t->step = step;
    t->base = base;
    t->rows = rows;
    t->cols = cols;
    t->layer = selected_layer(p, r);
    int64_t upto = p->cursor >= 0 ? step : INT64_MAX;
    if (p->heat == SY__HEAT_SOURCE)
        fill_sources(t, r, upto);
    else
        fill_table(p, r, upto);
    return true;
}

struct figures {
    int dead, disabled, over;
    double most, entropy, largest;
    int row, col; /* of most */
};

/* The table's entropy in nats: the mean over layers of the entropy of their loads as shares. */
static struct figures figures_of(const struct sy__table *t)
{
    struct figures f = {0};
    int layers = 0;
    for (int i = 0; i < t->rows; i++) {
        const float *row = t->v + (size_t)i * (size_t)t->cols;
        double sum = 0, h = 0;
        for (int k = 0; k < t->cols; k++)
            sum += row[k] > 0 ? (double)row[k] : 0;
        for (int k = 0; k < t->cols; k++) {
            double v = (double)row[k], share = v / sum;
            bool disabled = marks_experts(t->mode) && v < 0;
            f.disabled += disabled;
            if (isnan(v) || disabled)
                continue;
            f.dead += sy_expert_dead(v, 0, disabled);
            f.over += v > 2;
            if (v > f.most) {
                f.most = v;
                f.row = i;
                f.col = k;
            }
            f.largest = fabs(v) > f.largest ? fabs(v) : f.largest;
            h -= share > 0 ? share * log(share) : 0;
        }
        f.entropy += sum > 0 ? h : 0;
        layers += sum > 0;
    }
    f.entropy /= layers ? layers : 1;
    return f;
}

/* "L1–6 × 1–16", or with names "enc 2–dec 4 × 1–16", in so many columns: without what there is no
 * room for, for half a number is another one. */
static int rows_text(const struct sy__run *r, char *out, size_t size, int cols, int room)
{
    const struct sy__layer *first = &r->layers[0], *last = &r->layers[r->nlayers - 1];
    bool called = sy_source_called(r->source, SY_SOURCE_LAYERS) > 0;
    int n = called ? snprintf(out, size, "  %s–%s", first->called, last->called)
                   : snprintf(out, size, "  L%d–%d", first->what.layer, last->what.layer);
    char more[32];
    snprintf(more, sizeof more, " × 1–%d", cols);
    if (sy_text_width(out, strlen(out)) + sy_text_width(more, strlen(more)) <= room)
        n += snprintf(out + n, size - (size_t)n, "%s", more);
    return n;
}

static void table_title(const struct sy_panel *p, const struct sy__table *t, int room, char *out,
                        size_t size)
{
    const struct sy__run *r = sy__front(p);
    int n = snprintf(out, size, "experts");
    if (p->heat != SY__HEAT_LOAD)
        n += snprintf(out + n, size - (size_t)n, " · %s", heats[p->heat].title);
    if (p->heat == SY__HEAT_CHANGE) {
        snprintf(out + n, size - (size_t)n, " since step %lld", (long long)t->base);
        return;
    }
    if (p->heat == SY__HEAT_SOURCE)
        n += snprintf(out + n, size - (size_t)n, " of %s", r->layers[t->layer].called);
    else if (p->heat == SY__HEAT_LOAD || p->cursor < 0) /* there is not room for all */
        n += rows_text(r, out + n, size - (size_t)n, t->cols,
                       room - sy_text_width(out, strlen(out)));
    if (p->cursor >= 0)
        snprintf(out + n, size - (size_t)n, " · step %lld",
                 (long long)(t->shown >= 0 ? t->shown : t->step));
}

#define KEY_ROOM 16

/* The ramp's key, 0 to `top`, at the right end of a row of the frame, of which so much is used. */
static bool draw_key(const struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g,
                     int y, int used, double top)
{
    char text[8];
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
    snprintf(text, sizeof text, "%.0f", top);
    sy_grid_text(g, slot->r.x + slot->r.w - 4, y, 3, text, dim);
    return true;
}

/* As many figures as there is room for. */
static int load_foot(const struct sy_panel *p, const struct figures *f, int room, char *out,
                     size_t size)
{
    char text[128];
    for (int parts = 3; parts > 0; parts--) {
        int n = snprintf(text, sizeof text, " dead %d ", f->dead);
        if (f->disabled)
            n += snprintf(text + n, sizeof text - (size_t)n, "· disabled %d ", f->disabled);
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

static void source_name(const void *ctx, int row, char out[32])
{
    const struct sy__run *r = ctx;
    if (!sy_source_name(r->source, SY_SOURCE_DATA, row + 1, out, 32))
        snprintf(out, 32, "%d", row + 1);
}

/* The end of the ramp: what would be even is 1; of a source some experts get many times that, and
 * powers of two do not tremble. */
static double source_top(double most)
{
    double top = 2;
    while (top < most && top < 512)
        top *= 2;
    return top;
}

/* Who has most. */
static void source_foot(const struct sy_panel *p, const struct figures *f,
                        const struct sy__slot *slot, struct sy_grid *g, int title_width)
{
    char name[32], text[128], fine[160];
    source_name(p->table.run, f->row, name);
    snprintf(text, sizeof text, " max/mean %.1f · E%d of %s ", f->most, f->col + 1, name);
    sy_theme_text(&p->look, text, fine, sizeof fine);
    sy_frame_foot(g, slot->r, 0, fine, sy_theme_pen(&p->look, SY_ROLE_DIM));
    int used = sy_text_width(fine, strlen(fine));
    double top = source_top(f->most);
    if (!draw_key(p, slot, g, slot->r.y + slot->r.h - 1, used, top))
        draw_key(p, slot, g, slot->r.y, title_width + 2, top);
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
        if (!draw_key(p, slot, g, slot->r.y + slot->r.h - 1, n, 2))
            draw_key(p, slot, g, slot->r.y, title_width + 2, 2);
        return;
    }
    if (p->heat == SY__HEAT_SOURCE) {
        source_foot(p, f, slot, g, title_width);
        return;
    }
    sy_value_text(f->most,
                  p->heat == SY__HEAT_DROP ? sy__unit_of(SY_SERIES_DROPPED) : SY_UNIT_PLAIN, value);
    if (p->heat == SY__HEAT_CHANGE)
        snprintf(text, sizeof text, " blue less · yellow more · max %.2f ", f->largest);
    else if (p->heat == SY__HEAT_IMPORTANCE)
        snprintf(text, sizeof text, " max %s · even 1 ", value);
    else if (p->heat == SY__HEAT_GATE)
        snprintf(text, sizeof text, " max %s · even %.3f ", value, 1.0 / p->table.cols);
    else
        snprintf(text, sizeof text, " max %s of %s tokens ", value,
                 p->table.whole ? "a layer's" : "an expert's");
    sy_theme_text(&p->look, text, fine, sizeof fine);
    sy_frame_foot(g, slot->r, 0, fine, dim);
}

static void label_row(const void *ctx, int row, char out[32])
{
    const struct sy__run *r = ctx;
    snprintf(out, 32, "%s", r->layers[row < r->nlayers ? row : 0].called);
}

/* The table as a heatmap.  Loads, importance and probabilities are shown beside what would be even:
 * 1, or 1/E. */
static struct sy_heat heat_of(const struct sy_panel *p, double largest)
{
    const struct sy__table *t = &p->table;
    bool load = t->mode == SY__HEAT_LOAD || t->mode == SY__HEAT_IMPORTANCE;
    bool gate = t->mode == SY__HEAT_GATE;
    bool source = t->mode == SY__HEAT_SOURCE;
    double top = load     ? 2
                 : gate   ? 2.0 / t->cols
                 : source ? source_top(largest)
                          : largest > 0 ? largest
                                        : 1;
    return (struct sy_heat){.v = t->v,
                            .rows = t->rows,
                            .cols = t->cols,
                            .hi = top,
                            .diverging = t->mode == SY__HEAT_CHANGE,
                            .dead = marks_experts(t->mode),
                            .over = load || gate,
                            .limit = top,
                            .row_label = source ? source_name : label_row,
                            .ctx = t->run,
                            .number_columns = true,
                            .selected = source ? -1 : p->layer < t->rows ? p->layer : 0,
                            .cursor = sy__menu_expert(p)};
}

int sy__experts_row_at(const struct sy_panel *p, const struct sy__slot *slot, int y)
{
    struct sy_heat h = heat_of(p, 1);
    struct sy_rect in = {slot->r.x + 1, slot->r.y + 1, slot->r.w - 2, slot->r.h - 2};
    bool layers = p->table.v && p->table.mode != SY__HEAT_SOURCE;
    return layers ? sy_heat_row_at(&h, &p->look, in, y) : -1;
}

/* In rows that have experts of fewer columns than others, what is not there stays NaN. */
void sy__experts_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g)
{
    const struct sy__table *t = &p->table;
    char title[128] = "experts";
    bool focus = p->pane_mode && slot == &p->slots[p->focus];
    bool ready = t->v && t->run == sy__front(p) && t->rows > 0;
    if (ready)
        table_title(p, t, slot->r.w - 4, title, sizeof title);
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
