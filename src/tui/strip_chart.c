/* Strips and stacks.  See plot.h. */
#include "tui/plot_int.h"

#include "base/mem.h"
#include "tui/canvas.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- strips ---- */

void sy_strip_draw(const struct sy_pyramid *p, const struct sy_x_axis *x, double x0, double x1,
                   int colour, const struct sy_theme *look, struct sy_grid *g, struct sy_rect r)
{
    struct sy_canvas canvas;
    struct sy__range y = {(double)INFINITY, -(double)INFINITY, false};
    if (r.w < 1 || r.h < 1 || !(x1 > x0) || sy_canvas_init(&canvas, look, r.w, r.h))
        return;
    struct sy__column *c = sy__columns(p, x, x0, x1, canvas.w);
    for (int i = 0; i < canvas.w && c; i++)
        if (isfinite(c[i].line)) {
            y.lo = fmin(y.lo, (double)c[i].lo);
            y.hi = fmax(y.hi, (double)c[i].hi);
        }
    double span = y.hi - y.lo;
    y.lo -= span > 0 ? 0 : 0.5;
    y.hi += span > 0 ? span * 1e-6 : 0.5;
    for (int i = 0, before = -1, y0 = 0; i < canvas.w && c; i++) {
        if (!isfinite(c[i].line))
            continue;
        int top = (int)((1 - sy__range_at(&y, (double)c[i].hi)) * canvas.h);
        int bottom = (int)((1 - sy__range_at(&y, (double)c[i].lo)) * canvas.h);
        int at = (int)((1 - sy__range_at(&y, c[i].line)) * canvas.h);
        bottom = bottom >= canvas.h ? canvas.h - 1 : bottom;
        at = at >= canvas.h ? canvas.h - 1 : at;
        sy_canvas_column(&canvas, SY_BACK, i, top, bottom, sy_theme_envelope(look, colour));
        sy_canvas_line(&canvas, SY_FRONT, before < 0 ? i : before, before < 0 ? at : y0, i, at,
                       sy_theme_curve(look, colour));
        before = i;
        y0 = at;
    }
    sy_canvas_put(&canvas, g, r.x, r.y);
    for (int i = 0; i < canvas.w && c; i++)
        if (c[i].bad)
            sy_grid_put(g, r.x + i / canvas.dx, r.y, sy_glyph(look, SY_GLYPH_NAN),
                        sy_theme_pen(look, SY_ROLE_BAD));
    sy_free(c);
    sy_canvas_free(&canvas);
}

/* ---- stacks ---- */

/* Large areas: softer colours than those of curves. */
static struct sy_pen part_pen(const struct sy_theme *look, int part)
{
    static const int16_t many[SY_PARTS_MAX] = {67, 173, 168, 72},
                         eight[SY_PARTS_MAX] = {4, 3, 5, 2};
    int16_t fg = look->colours == 256 ? many[part] : look->colours == 8 ? eight[part] : (int16_t)-1;
    return (struct sy_pen){fg, -1, 0};
}
static const char part_letter[SY_PARTS_MAX] = {'#', '+', '.', '~'};

struct bar {
    double whole;
    double share[SY_PARTS_MAX]; /* of it, from the bottom */
};

static struct bar bar_of(const struct sy_stack *s, double from, double to, bool last)
{
    struct bar b = {(double)NAN, {0}};
    int64_t first = sy_x_to_step(&s->x, from), end = sy_x_to_step(&s->x, to) + last;
    int64_t i = sy_pyramid_find(s->whole, first), j = sy_pyramid_find(s->whole, end);
    struct sy_extent e = sy_pyramid_query(s->whole, i, j);
    double sum = 0;
    if (!e.count)
        return b;
    b.whole = e.sum / (double)e.count;
    for (int k = 0; k < s->n; k++) {
        if (s->part[k])
            b.share[k] = sy_pyramid_query(s->part[k], sy_pyramid_find(s->part[k], first),
                                          sy_pyramid_find(s->part[k], end))
                             .sum;
        sum += b.share[k];
    }
    for (int k = 0; k < s->n; k++)
        b.share[k] = sum > 0 ? b.share[k] / sum : k == 0;
    return b;
}

/* Which part is at this height (0 to 1 of the whole). */
static int part_at(const struct bar *b, int n, double height)
{
    for (int k = 0; k < n; k++) {
        if (height < b->share[k] || k == n - 1)
            return k;
        height -= b->share[k];
    }
    return 0;
}

/* A cell: eighths of the lower part before the upper one. */
static void put_bar_cell(const struct sy_stack *s, const struct bar *b, double top,
                         const struct sy_theme *look, struct sy_grid *g, int x, int y, double lo,
                         double hi)
{
    int eighths = (int)floor((top - lo) / (hi - lo) * 8 + 0.5);
    if (eighths <= 0)
        return;
    int part = part_at(b, s->n, (lo + fmin(hi, top)) / 2 / top);
    struct sy_pen pen = part_pen(look, part);
    if (look->symbols == SY_SYMBOLS_ASCII) {
        if (eighths >= 4)
            sy_grid_put(g, x, y, (uint32_t)part_letter[part], pen);
        return;
    }
    if (eighths < 8) {
        sy_grid_put(g, x, y, 0x2580u + (uint32_t)eighths, pen);
        return;
    }
    static const uint32_t shades[] = {0x2588, 0x2592, 0x2591, 0x2593}; /* without colours */
    sy_grid_put(g, x, y, look->colours ? 0x2588 : shades[part], pen);
    int low = part_at(b, s->n, lo / top), high = part_at(b, s->n, fmin(hi / top, 1));
    if (low != high && look->colours == 256) {
        double border = 0;
        for (int k = 0; k <= low; k++)
            border += b->share[k];
        int e = (int)floor((border * top - lo) / (hi - lo) * 8 + 0.5);
        pen = part_pen(look, low);
        pen.bg = part_pen(look, high).fg;
        if (e > 0 && e < 8)
            sy_grid_put(g, x, y, 0x2580u + (uint32_t)e, pen);
    }
}

/* The parts that a title names, in its order. */
struct named {
    int n, part[SY_PARTS_MAX];
};

/* The columns that a title takes with the parts of a share of `least` or more. */
static int title_with(const struct sy_stack *s, const struct bar *b, bool full, double least,
                      struct named *named, char *out, size_t size)
{
    int n = snprintf(out, size, "%s", s->title);
    int columns = sy_text_width(s->title, strlen(s->title));
    named->n = 0;
    for (int k = 0; k < s->n && n < (int)size; k++) {
        if (b->share[k] < least)
            continue;
        const char *name = full ? s->names[k] : s->shorts[k];
        int more = snprintf(out + n, size - (size_t)n, " · %s %.0f%%", name, 100 * b->share[k]);
        n += more;
        columns += more - 1; /* the point is two bytes */
        named->part[named->n++] = k;
    }
    return columns;
}

/* As much as there is room for: all, what is not 0%, all by short names, the largest alone. */
static void stack_title(const struct sy_stack *s, int room, struct named *named, char *out,
                        size_t size)
{
    struct bar b = bar_of(s, s->x0, s->x1, true);
    double most = 0;
    for (int k = 0; k < s->n; k++)
        most = b.share[k] > most ? b.share[k] : most;
    if (title_with(s, &b, true, 0, named, out, size) <= room ||
        title_with(s, &b, true, 0.005, named, out, size) <= room ||
        title_with(s, &b, false, 0, named, out, size) <= room ||
        title_with(s, &b, false, 0.005, named, out, size) <= room ||
        title_with(s, &b, false, most, named, out, size) <= room)
        return;
    named->n = 0;
    snprintf(out, size, "%s", s->title);
}

/* The names in the title get the colours of their parts: behind the k-th point is the k-th. */
static void colour_title(const struct sy_stack *s, const struct named *named,
                         const struct sy_theme *look, struct sy_grid *g, struct sy_rect r)
{
    int k = -1;
    for (int x = r.x + 2 + sy_text_width(s->title, strlen(s->title)); x < r.x + r.w - 1; x++) {
        struct sy_cell *c = sy_grid_at(g, x, r.y);
        if (!c || c->ch == sy_glyph(look, SY_GLYPH_H))
            return;
        if (c->ch == sy_glyph(look, SY_GLYPH_DOT))
            k++;
        else if (k >= 0 && k < named->n)
            c->pen = part_pen(look, named->part[k]);
    }
}

void sy_stack_draw(const struct sy_stack *s, const struct sy_theme *look, struct sy_grid *g,
                   struct sy_rect r)
{
    char text[160];
    struct named named = {0};
    struct sy_rect area = sy_plot_inside(r);
    if (s->whole)
        stack_title(s, r.w - 4, &named, text, sizeof text);
    sy_frame(g, look, r, s->whole ? text : s->title, s->focus);
    colour_title(s, &named, look, g, r);
    if (area.w < 1 || area.h < 1 || !(s->x1 > s->x0) || !s->whole)
        return;
    struct bar *bars = sy_calloc((size_t)area.w, sizeof *bars);
    double most = 0;
    int64_t rows = sy_pyramid_rows(s->whole);
    double newest = rows ? sy_x_of_step(&s->x, sy_pyramid_step(s->whole, rows - 1)) : 0;
    for (int i = 0; i < area.w && bars; i++) {
        double width = (s->x1 - s->x0) / area.w;
        bars[i] = bar_of(s, s->x0 + i * width, s->x0 + (i + 1) * width, i + 1 == area.w);
        if (isnan(bars[i].whole) && i && s->x0 + i * width < newest) /* fewer rows than columns */
            bars[i] = bars[i - 1];
        most = bars[i].whole > most ? bars[i].whole : most;
    }
    struct sy__range y = {0, most > 0 ? most * 1.05 : 1, false};
    double quarter = sy_tick_step(y.hi, area.h > 4 ? area.h / 2 : 2) / 4;
    y.hi = ceil(y.hi / quarter) * quarter;
    sy__y_axis(&y, s->y_unit, look, g, r, area);
    for (int i = 0; i < area.w && bars; i++)
        for (int j = 0; j < area.h && bars[i].whole > 0; j++)
            put_bar_cell(s, &bars[i], bars[i].whole, look, g, area.x + i, area.y + area.h - 1 - j,
                         y.hi * j / area.h, y.hi * (j + 1) / area.h);
    sy_free(bars);
    char at[28], value[16];
    int64_t row = sy_pyramid_find(s->whole, s->cursor + 1) - 1;
    if (s->cursor >= 0 && row >= 0) {
        sy_count_text((long long)s->cursor, at);
        sy_value_text((double)sy_pyramid_value(s->whole, row), s->y_unit, value);
        snprintf(text, sizeof text, "%s: %s", at, value);
        sy__cursor(sy__column_of(sy_x_of_step(&s->x, s->cursor), s->x0, s->x1, area.w), look, g,
                   area);
    }
    sy__x_ticks(s->x0, s->x1, s->x.kind, s->cursor >= 0 && row >= 0 ? text : NULL, look, g, r,
                area);
}
