/* Line charts.  See plot.h. */
#include "tui/plot_int.h"

#include "base/mem.h"
#include "base/reals.h"
#include "tui/canvas.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the range of y ---- */

/* Median of up to five columns around i: what stands alone for one or two columns is not in it. */
static double median_near(const double *v, int n, int i)
{
    double five[5];
    int k = 0;
    for (int j = i - 2; j <= i + 2; j++)
        if (j >= 0 && j < n)
            five[k++] = v[j];
    return sy_median(five, k);
}

static void widen(struct sy__range *r, double v)
{
    if (!isfinite(v) || (r->log && v <= 0))
        return;
    r->lo = v < r->lo ? v : r->lo;
    r->hi = v > r->hi ? v : r->hi;
}

static void widen_by_columns(struct sy__range *r, const struct sy__column *c, int w, bool cloud,
                             double *room)
{
    double *hi = room, *lo = room + w, *line = room + 2 * w;
    int n = 0;
    for (int i = 0; i < w; i++)
        if (isfinite(c[i].line)) {
            hi[n] = (double)c[i].hi;
            lo[n] = (double)c[i].lo;
            line[n++] = c[i].line;
        }
    for (int i = 0; i < n; i++) {
        bool edge = i == 0 || i == n - 1 || n < 8;
        widen(r, edge ? line[i] : median_near(line, n, i));
        if (cloud || n < 8) {
            widen(r, n < 8 ? hi[i] : median_near(hi, n, i));
            widen(r, n < 8 ? lo[i] : median_near(lo, n, i));
        }
    }
}

/* What stands alone belongs to the range all the same when that makes it larger by half at most. */
static void widen_a_little(struct sy__range *r, const struct sy__column *c, int w)
{
    double lo = (double)INFINITY, hi = -(double)INFINITY;
    for (int i = 0; i < w; i++)
        if (isfinite(c[i].line)) {
            lo = fmin(lo, (double)c[i].lo);
            hi = fmax(hi, (double)c[i].hi);
        }
    if (!(r->hi > r->lo) || !(hi >= lo))
        return;
    double top = sy__range_at(r, hi), bottom = sy__range_at(r, lo);
    if (top <= 1.5)
        widen(r, hi);
    if (bottom >= -0.5 && (!r->log || lo > 0))
        widen(r, lo);
}

static void widen_by_points(struct sy__range *r, const struct sy_plot *p,
                            const struct sy_plot_line *l)
{
    if (!l->valid)
        return;
    int64_t a = sy_pyramid_find(l->valid, sy_x_to_step(&l->x, p->x0));
    int64_t b = sy_pyramid_find(l->valid, sy_x_to_step(&l->x, p->x1) + 1);
    struct sy_extent e = sy_pyramid_query(l->valid, a, b);
    if (e.count) {
        widen(r, (double)e.min);
        widen(r, (double)e.max);
    }
}

/* Outwards to quarters of a tick. */
static void settle_range(struct sy__range *r, bool zero, int rows)
{
    if (!(r->hi >= r->lo)) {
        r->log = false;
        r->lo = 0;
        r->hi = 1;
    }
    if (zero && !r->log) {
        r->lo = r->lo > 0 ? 0 : r->lo;
        r->hi = r->hi < 0 ? 0 : r->hi;
    }
    if (r->log) {
        double a = floor(log10(r->lo) * 20 - 0.2) / 20, b = ceil(log10(r->hi) * 20 + 0.2) / 20;
        r->lo = pow(10, a);
        r->hi = pow(10, b);
        return;
    }
    double span = r->hi - r->lo, size = fmax(fabs(r->hi), fabs(r->lo));
    if (span <= 1e-6 * size || span <= 0) {
        double by = size > 0 ? size * 0.1 : 1;
        r->lo -= zero && r->lo >= 0 && r->lo <= 0 ? 0 : by;
        r->hi += by;
        span = r->hi - r->lo;
    }
    double quarter = sy_tick_step(span, rows > 4 ? rows / 2 : 2) / 4;
    if (!zero || r->lo < 0)
        r->lo = floor(r->lo / quarter - 0.1) * quarter;
    r->hi = ceil(r->hi / quarter + 0.1) * quarter;
}

static struct sy__range find_range(const struct sy_plot *p, struct sy__column *const *columns,
                                   int w, int rows)
{
    struct sy__range r = {(double)INFINITY, -(double)INFINITY, p->log};
    double *room = sy_alloc((size_t)w * 3 * sizeof *room + 1);
    for (int i = 0; i < p->n && room; i++) {
        if (columns[i])
            widen_by_columns(&r, columns[i], w, p->lines[i].cloud, room);
        widen_by_points(&r, p, &p->lines[i]);
    }
    for (int i = 0; i < p->n; i++)
        if (columns[i] && p->lines[i].cloud)
            widen_a_little(&r, columns[i], w);
    sy_free(room);
    settle_range(&r, p->zero, rows);
    return r;
}

/* ---- curves ---- */

struct area {
    const struct sy_plot *p;
    const struct sy_theme *look;
    struct sy_grid *g;
    struct sy_rect r; /* of the curves */
    struct sy__range y;
    struct sy_canvas canvas;
};

static int dot_of(const struct area *a, double v)
{
    double at = (1 - sy__range_at(&a->y, v)) * a->canvas.h;
    return at < -1 ? -1 : at > a->canvas.h ? a->canvas.h : (int)floor(at);
}

/* Where there are fewer rows than columns, single values are joined. */
static void draw_cloud(struct area *a, const struct sy_plot_line *l, const struct sy__column *c)
{
    struct sy_pen pen = sy_theme_envelope(a->look, l->colour);
    int before = -1;
    double v = 0;
    for (int i = 0; i < a->canvas.w; i++) {
        if (!isfinite(c[i].line))
            continue;
        int top = dot_of(a, (double)c[i].hi), bottom = dot_of(a, (double)c[i].lo);
        if (before >= 0) {
            float first = sy_pyramid_value(l->p, c[i].first);
            int y0 = dot_of(a, v), y1 = dot_of(a, (double)first);
            if (i - before > 1) {
                sy_canvas_line(&a->canvas, SY_BACK, before, y0, i, y1, pen);
            } else { /* no gap between neighbours */
                top = y0 < top && y0 >= 0 ? (y0 + top) / 2 : top;
                bottom = y0 > bottom && y0 < a->canvas.h ? (y0 + bottom) / 2 : bottom;
            }
        }
        sy_canvas_column(&a->canvas, SY_BACK, i, top, bottom, pen);
        float last = sy_pyramid_value(l->p, c[i].end - 1);
        v = isfinite(last) ? (double)last : c[i].line;
        before = i;
    }
}

static void draw_curve(struct area *a, const struct sy_plot_line *l, const struct sy__column *c)
{
    struct sy_pen pen = sy_theme_curve(a->look, l->colour);
    int before = -1, y0 = 0;
    for (int i = 0; i < a->canvas.w; i++) {
        if (!isfinite(c[i].line))
            continue;
        int y = dot_of(a, c[i].line);
        sy_canvas_line(&a->canvas, SY_FRONT, before < 0 ? i : before, before < 0 ? y : y0, i, y,
                       pen);
        before = i;
        y0 = y;
    }
}

/* What is above or below the range, and what is no number. */
static void draw_outside(const struct area *a, const struct sy_plot_line *l,
                         const struct sy__column *c)
{
    struct sy_pen bad = sy_theme_pen(a->look, SY_ROLE_BAD);
    struct sy_rect r = a->r;
    for (int i = 0; i < a->canvas.w; i++) {
        int x = r.x + i / a->canvas.dx;
        bool any = c[i].hi >= c[i].lo;
        if (any && l->cloud && sy__range_at(&a->y, (double)c[i].hi) > 1)
            sy_grid_put(a->g, x, r.y, sy_glyph(a->look, SY_GLYPH_CLIP), bad);
        if (any && l->cloud && sy__range_at(&a->y, (double)c[i].lo) < -1e-9)
            sy_grid_put(a->g, x, r.y + r.h - 1, sy_glyph(a->look, SY_GLYPH_CLIP_LOW), bad);
    }
    for (int i = 0; i < a->canvas.w; i++) {
        int x = r.x + i / a->canvas.dx;
        for (int y = 0; y < r.h && c[i].bad; y++)
            sy_grid_put(a->g, x, r.y + y, sy_glyph(a->look, y ? SY_GLYPH_NAN_LINE : SY_GLYPH_NAN),
                        bad);
    }
}

#define POINTS_APART 3 /* columns, of several curves: else their points hide the curves */

static void draw_points(const struct area *a, const struct sy_plot_line *l)
{
    if (!l->valid)
        return;
    int apart = a->p->n > 1 ? POINTS_APART : 1;
    struct sy_pen pen =
        a->p->n > 1 ? sy_theme_curve(a->look, l->colour) : sy_theme_pen(a->look, SY_ROLE_VALID);
    int64_t i = sy_pyramid_find(l->valid, sy_x_to_step(&l->x, a->p->x0)), last = -1;
    for (; i < sy_pyramid_rows(l->valid); i++) {
        double x = sy_x_of_step(&l->x, sy_pyramid_step(l->valid, i));
        int at = sy__column_of(x, a->p->x0, a->p->x1, a->r.w);
        double y = sy__range_at(&a->y, (double)sy_pyramid_value(l->valid, i));
        if (at < 0)
            break;
        if ((last >= 0 && at - last < apart) || !(y >= 0 && y <= 1)) /* of several the first */
            continue;
        int row = (int)floor((1 - y) * a->r.h);
        sy_grid_put(a->g, a->r.x + at, a->r.y + (row < a->r.h ? row : a->r.h - 1),
                    sy_glyph(a->look, SY_GLYPH_VALID), pen);
        last = at;
    }
}

/* ---- names of several curves ---- */

static void draw_legend(const struct area *a)
{
    const struct sy_plot *p = a->p;
    int most = a->r.h / 2, width = 0, named = 0;
    for (int i = 0; i < p->n; i++) {
        int n = p->lines[i].label ? sy_text_width(p->lines[i].label, strlen(p->lines[i].label)) : 0;
        width = n > width ? n : width;
        named += n > 0;
    }
    width = width > a->r.w / 3 ? a->r.w / 3 : width;
    if (named < 2 || width < 3 || most < 1)
        return;
    int x = a->r.x + a->r.w - width - 3, shown = named > most ? most - 1 : named;
    for (int k = 0; k < shown; k++) {
        const struct sy_plot_line *l = &p->lines[p->n - 1 - k]; /* the one in front first */
        struct sy_pen pen = sy_theme_curve(a->look, l->colour);
        sy_grid_fill(a->g, (struct sy_rect){x, a->r.y + 1 + k, width + 3, 1}, ' ', pen);
        sy_grid_put(a->g, x + 1, a->r.y + 1 + k, (uint32_t)('a' + l->colour % 26), pen);
        sy_grid_text(a->g, x + 3, a->r.y + 1 + k, width, l->label ? l->label : "", pen);
    }
    if (named > shown) {
        char more[32];
        snprintf(more, sizeof more, "+%d", named - shown);
        sy_grid_text(a->g, x + 3, a->r.y + 1 + shown, width, more,
                     sy_theme_pen(a->look, SY_ROLE_DIM));
    }
}

/* Letters at the ends of curves: which is which without colours. */
static void draw_letters(const struct area *a, int i, const struct sy__column *c)
{
    const struct sy_plot_line *l = &a->p->lines[i];
    for (int k = a->canvas.w - 1; k >= 0 && a->p->n > 1; k--) {
        if (!isfinite(c[k].line))
            continue;
        int y = dot_of(a, c[k].line) / a->canvas.dy;
        if (y >= 0 && y < a->r.h)
            sy_grid_put(a->g, a->r.x + k / a->canvas.dx, a->r.y + y,
                        (uint32_t)('a' + l->colour % 26), sy_theme_curve(a->look, l->colour));
        return;
    }
}

/* ---- the whole ---- */

static void readout(const struct sy_plot *p, int width, char *out, size_t size)
{
    const struct sy_plot_line *l = &p->lines[p->n - 1];
    int64_t row = l->p ? sy_pyramid_find(l->p, p->cursor + 1) - 1 : -1;
    char raw[16] = "-", smooth[16], at[28];
    double x = sy_x_of_step(&l->x, p->cursor);
    if (row >= 0)
        sy_value_text((double)sy_pyramid_value(l->p, row), p->y_unit, raw);
    if (p->x_kind == SY_X_STEP)
        sy_count_text((long long)p->cursor, at);
    else
        sy_value_text(x, sy_x_unit(p->x_kind), at);
    int n = snprintf(out, size, "%s: %s", at, raw);
    if (row >= 0 && width >= 60 && sy_pyramid_decay(l->p) > 0) {
        sy_value_text(sy_pyramid_ema(l->p, row), p->y_unit, smooth);
        snprintf(out + n, size - (size_t)n, "  average %s", smooth);
    }
}

static void draw_curves(struct area *a, struct sy__column *const *columns)
{
    const struct sy_plot *p = a->p;
    for (int i = 0; i < p->n; i++)
        if (columns[i] && p->lines[i].cloud)
            draw_cloud(a, &p->lines[i], columns[i]);
    for (int i = 0; i < p->n; i++)
        if (columns[i])
            draw_curve(a, &p->lines[i], columns[i]);
    sy_canvas_put(&a->canvas, a->g, a->r.x, a->r.y);
    for (int i = 0; i < p->n; i++) {
        if (!columns[i])
            continue;
        draw_outside(a, &p->lines[i], columns[i]);
        if (p->n <= 4 || i == p->n - 1)
            draw_points(a, &p->lines[i]);
        draw_letters(a, i, columns[i]);
    }
}

static void draw_inside(struct area *a, struct sy_rect frame)
{
    const struct sy_plot *p = a->p;
    char text[64];
    struct sy__column **columns = sy_calloc((size_t)p->n + 1, sizeof *columns);
    for (int i = 0; i < p->n && columns; i++)
        if (p->lines[i].p)
            columns[i] = sy__columns(p->lines[i].p, &p->lines[i].x, p->x0, p->x1, a->canvas.w);
    if (columns) {
        a->y = find_range(p, columns, a->canvas.w, a->r.h);
        sy__y_axis(&a->y, p->y_unit, a->look, a->g, frame, a->r);
        draw_curves(a, columns);
        draw_legend(a);
        sy__marks(a->p, a->look, a->g, a->r);
    }
    bool cursor = p->cursor >= 0 && p->n;
    if (cursor) {
        readout(p, frame.w, text, sizeof text);
        double x = sy_x_of_step(&p->lines[p->n - 1].x, p->cursor);
        sy__cursor(sy__column_of(x, p->x0, p->x1, a->r.w), a->look, a->g, a->r);
    }
    sy__x_ticks(p->x0, p->x1, p->x_kind, cursor ? text : NULL, a->look, a->g, frame, a->r);
    for (int i = 0; i < p->n && columns; i++)
        sy_free(columns[i]);
    sy_free(columns);
}

void sy_plot_draw(const struct sy_plot *p, const struct sy_theme *look, struct sy_grid *g,
                  struct sy_rect r)
{
    struct area a = {.p = p, .look = look, .g = g, .r = sy_plot_inside(r)};
    sy_frame(g, look, r, p->title, p->focus);
    if (a.r.w < 1 || a.r.h < 1 || !(p->x1 > p->x0) || sy_canvas_init(&a.canvas, look, a.r.w, a.r.h))
        return;
    draw_inside(&a, r);
    sy_canvas_free(&a.canvas);
}
