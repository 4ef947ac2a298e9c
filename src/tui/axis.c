/* What charts share: x of steps, columns of rows, axes.  See plot.h, plot_int.h. */
#include "tui/plot_int.h"

#include "base/mem.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- x ---- */

const char *sy_x_name(enum sy_x_kind kind)
{
    static const char *const names[] = {"step", "tokens", "time", "FLOPs"};
    return names[kind];
}

enum sy_unit sy_x_unit(enum sy_x_kind kind)
{
    return kind == SY_X_TIME ? SY_UNIT_SECONDS : SY_UNIT_PLAIN;
}

static double x_of_row(const struct sy_x_axis *a, int64_t row)
{
    int64_t n = sy_pyramid_rows(a->p);
    if (a->kind == SY_X_TIME)
        return sy_pyramid_query(a->p, 0, row + 1).sum;
    row = row >= n ? n - 1 : row;
    return row < 0 ? 0 : (double)sy_pyramid_value(a->p, row) * a->scale;
}

double sy_x_of_step(const struct sy_x_axis *a, int64_t step)
{
    if (a->kind == SY_X_STEP || !a->p)
        return (double)step;
    return x_of_row(a, sy_pyramid_find(a->p, step));
}

int64_t sy_x_to_step(const struct sy_x_axis *a, double x)
{
    if (a->kind == SY_X_STEP || !a->p)
        return (int64_t)ceil(x);
    int64_t low = 0, high = sy_pyramid_rows(a->p);
    if (!high)
        return 0;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (x_of_row(a, middle) >= x)
            high = middle;
        else
            low = middle + 1;
    }
    return low < sy_pyramid_rows(a->p) ? sy_pyramid_step(a->p, low)
                                       : sy_pyramid_step(a->p, low - 1) + 1;
}

int sy__column_of(double x, double x0, double x1, int w)
{
    double at = (x - x0) / (x1 - x0) * w;
    if (x == x1) /* the newest step belongs to the last column */
        return w - 1;
    return at >= 0 && at < w ? (int)at : -1;
}

/* ---- columns ---- */

static void fill_column(const struct sy_pyramid *p, struct sy__column *c)
{
    struct sy_extent e = sy_pyramid_query(p, c->first, c->end);
    c->lo = e.min;
    c->hi = e.max;
    c->bad = e.bad > 0;
    c->line = (double)NAN;
    if (e.count)
        c->line = sy_pyramid_decay(p) > 0 ? sy_pyramid_ema(p, c->end - 1) : e.sum / (double)e.count;
}

struct sy__column *sy__columns(const struct sy_pyramid *p, const struct sy_x_axis *x, double x0,
                               double x1, int w)
{
    struct sy__column *list = sy_calloc((size_t)w + 1, sizeof *list);
    if (!list)
        return NULL;
    int64_t row = sy_pyramid_find(p, sy_x_to_step(x, x0));
    for (int i = 0; i < w; i++) {
        double end = x0 + (x1 - x0) * (i + 1) / w;
        int64_t step = i + 1 < w ? sy_x_to_step(x, end) : sy_x_to_step(x, end) + 1;
        list[i].first = row;
        list[i].end = row = sy_pyramid_find(p, step);
        fill_column(p, &list[i]);
    }
    return list;
}

/* ---- axes ---- */

double sy__range_at(const struct sy__range *r, double v)
{
    if (r->log)
        return v > 0 ? (log(v) - log(r->lo)) / (log(r->hi) - log(r->lo)) : -1;
    return (v - r->lo) / (r->hi - r->lo);
}

int sy__label_columns(struct sy_rect frame)
{
    return frame.w < 22 ? 0 : frame.w < 50 ? 5 : 6;
}

struct sy_rect sy_plot_inside(struct sy_rect r)
{
    int labels = sy__label_columns(r);
    return (struct sy_rect){r.x + 1 + labels, r.y + 1, r.w - 2 - labels, r.h - 2};
}

void sy__y_axis(const struct sy__range *range, enum sy_unit unit, const struct sy_theme *look,
                struct sy_grid *g, struct sy_rect frame, struct sy_rect area)
{
    struct sy_ticks t;
    struct sy_pen dim = sy_theme_pen(look, SY_ROLE_DIM);
    int labels = sy__label_columns(frame);
    int most = area.h > 12 ? area.h / 3 : (area.h + 1) / 2;
    if (range->log)
        sy_ticks_log(range->lo, range->hi, most, unit, &t);
    else
        sy_ticks_linear(range->lo, range->hi, most, unit, &t);
    for (int y = 0; y < area.h && labels; y++)
        sy_grid_put(g, area.x - 1, area.y + y, sy_glyph(look, SY_GLYPH_V),
                    sy_theme_pen(look, SY_ROLE_FRAME));
    for (int i = 0; i < t.n; i++) {
        int y = area.h - 1 - (int)floor(sy__range_at(range, t.at[i]) * area.h);
        int n = (int)strlen(t.text[i]);
        if (y < 0)
            y = 0;
        if (y >= area.h || n > labels - 1)
            continue;
        sy_grid_text(g, area.x - 1 - n, area.y + y, n, t.text[i], dim);
        sy_grid_put(g, area.x - 1, area.y + y, sy_glyph(look, SY_GLYPH_TICK),
                    sy_theme_pen(look, SY_ROLE_FRAME));
    }
}

/* At the right end: what the cursor reads, or, where nothing is in its way, what x is. */
static int put_readout(const char *text, int room, struct sy_pen pen, struct sy_grid *g,
                       struct sy_rect frame)
{
    int n = sy_text_width(text, strlen(text)), end = frame.x + frame.w - 2;
    if (n > room)
        return end;
    sy_grid_text(g, end - n, frame.y + frame.h - 1, n, text, pen);
    return end - n;
}

void sy__x_ticks(double x0, double x1, enum sy_x_kind kind, const char *readout,
                 const struct sy_theme *look, struct sy_grid *g, struct sy_rect frame,
                 struct sy_rect area)
{
    struct sy_ticks t;
    char text[96];
    int end = frame.x + frame.w - 1, free_from = frame.x + 2, y = frame.y + frame.h - 1;
    struct sy_pen dim = sy_theme_pen(look, SY_ROLE_DIM);
    if (readout) {
        snprintf(text, sizeof text, " %s%s ", sy_glyph_text(look, SY_GLYPH_READOUT), readout);
        end = put_readout(text, frame.w - 4, sy_theme_pen(look, SY_ROLE_VALUE), g, frame);
    }
    sy_ticks_linear(x0, x1, area.w / 8 > 2 ? area.w / 8 : 2, sy_x_unit(kind), &t);
    for (int i = 0; i < t.n; i++) {
        int len = (int)strlen(t.text[i]);
        int at = area.x + (int)((t.at[i] - x0) / (x1 - x0) * area.w) - len / 2;
        if (at < free_from || at + len + 1 > end)
            continue;
        sy_grid_put(g, at - 1, y, ' ', dim);
        sy_grid_text(g, at, y, len, t.text[i], dim);
        sy_grid_put(g, at + len, y, ' ', dim);
        free_from = at + len + 3;
    }
    snprintf(text, sizeof text, " %s ", sy_x_name(kind));
    if (!readout)
        put_readout(text, frame.x + frame.w - 2 - free_from, dim, g, frame);
}

void sy__cursor(int column, const struct sy_theme *look, struct sy_grid *g, struct sy_rect area)
{
    for (int y = 0; y < area.h && column >= 0; y++) {
        const struct sy_cell *c = sy_grid_at(g, area.x + column, area.y + y);
        if (c && c->ch == ' ')
            sy_grid_put(g, area.x + column, area.y + y, sy_glyph(look, SY_GLYPH_CURSOR),
                        sy_theme_pen(look, SY_ROLE_CURSOR));
    }
}
