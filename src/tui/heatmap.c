/* See heatmap.h. */
#include "tui/heatmap.h"

#include "switchyard/series.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How entries lie on pixels along one side: `size` pixels an entry, or `group` entries a pixel. */
struct side {
    int n, pixels, size, group;
    bool stretch; /* all pixels are used: some entries have one more than others */
};

static struct side side_of(int n, int pixels, bool stretch)
{
    struct side s = {n, pixels, 1, 1, false};
    if (n < 1 || pixels < 1)
        return (struct side){0, 0, 1, 1, false};
    if (stretch) {
        s.stretch = true;
        return s;
    }
    if (n <= pixels)
        s.size = pixels / n;
    else
        s.group = (n + pixels - 1) / pixels;
    s.pixels = s.group > 1 ? (n + s.group - 1) / s.group : n * s.size;
    return s;
}

/* The entries first..end-1 at a pixel; none: empty. */
static void entries_at(const struct side *s, int pixel, int *first, int *end)
{
    *first = s->stretch     ? (int)((int64_t)pixel * s->n / s->pixels)
             : s->group > 1 ? pixel * s->group
                            : pixel / s->size;
    *end = s->stretch ? (int)((int64_t)(pixel + 1) * s->n / s->pixels) : *first + s->group;
    *end = *end > *first ? *end : *first + 1;
    *end = *end > s->n ? s->n : *end;
}

struct tile {
    bool any, dead, over, disabled;
    double v;
};

static struct tile tile_at(const struct sy_heat *h, const struct side *rows,
                           const struct side *cols, int px, int py)
{
    struct tile t = {false, false, false, false, (double)NAN};
    int r0, r1, c0, c1;
    if (px >= cols->pixels || py >= rows->pixels)
        return t;
    entries_at(rows, py, &r0, &r1);
    entries_at(cols, px, &c0, &c1);
    for (int r = r0; r < r1; r++)
        for (int c = c0; c < c1; c++) {
            double v = (double)h->v[(size_t)r * (size_t)h->cols + (size_t)c];
            if (isnan(v))
                continue;
            bool disabled = h->dead && v < 0;
            t.any = true;
            t.disabled |= disabled;
            t.dead |= h->dead && sy_expert_dead(v, 0, disabled);
            v = disabled ? 0 : v;
            t.over |= h->over && v > h->limit;
            if (isnan(t.v) || (h->diverging ? fabs(v) > fabs(t.v) : v > t.v))
                t.v = v;
        }
    return t;
}

static double shade(const struct sy_heat *h, double v)
{
    return h->diverging ? v / h->hi : (v - h->lo) / (h->hi - h->lo);
}

static int16_t colour(const struct sy_heat *h, const struct sy_theme *look, const struct tile *t)
{
    if (!t->any)
        return -1;
    return (int16_t)(h->diverging ? sy_theme_diverge(look, shade(h, t->v))
                                  : sy_theme_heat(look, shade(h, t->v)));
}

#define LABEL_LEAST 3 /* columns of row labels; one more is for the sign of the selected row */
#define LABEL_MOST 10
#define LABEL_GAP 6 /* columns from one column's number to the next, at least */

#define LABEL_FAIR 5 /* "enc 1" */

/* What labels may have without that each entry of a row gets a column less. */
static int spare_columns(const struct sy_heat *h, int room)
{
    int inside = room - LABEL_LEAST - 1, each = h->cols > 0 ? inside / h->cols : 0;
    return each < 1 || each > 2 ? room : room - 1 - each * h->cols;
}

/* As wide as the widest, but at most a quarter of the room. */
static int label_columns_of(const struct sy_heat *h, int room)
{
    char text[32];
    int widest = LABEL_LEAST, most = room / 4 < LABEL_MOST ? room / 4 : LABEL_MOST;
    int spare = spare_columns(h, room);
    spare = spare < LABEL_FAIR ? LABEL_FAIR : spare;
    most = most > spare ? spare : most;
    for (int row = 0; row < h->rows; row++) {
        h->row_label(h->ctx, row, text);
        int n = sy_text_width(text, strlen(text));
        widest = n > widest ? n : widest;
    }
    most = most < LABEL_LEAST ? LABEL_LEAST : most;
    return widest < most ? widest : most;
}

struct sy_rect sy_heat_inside(const struct sy_heat *h, struct sy_rect r)
{
    if (h->row_label && r.w > 12) {
        int label = label_columns_of(h, r.w) + 1;
        r.x += label;
        r.w -= label;
    }
    if (h->number_columns && r.h > 4 && r.h > h->rows / 2) {
        r.y++;
        r.h--;
    }
    return r;
}

static int pixels_a_cell(const struct sy_theme *look)
{
    return look->colours == 256 ? 2 : 1;
}

static void sides(const struct sy_heat *h, const struct sy_theme *look, struct sy_rect in,
                  struct side *rows, struct side *cols)
{
    bool fill = h->number_columns && h->cols * 3 <= in.w; /* one column more or less is not seen */
    *cols = side_of(h->cols, in.w, fill);
    int down = in.h * pixels_a_cell(look);
    *rows = side_of(h->rows, down, h->stretch || h->rows > down);
}

int sy_heat_row_at(const struct sy_heat *h, const struct sy_theme *look, struct sy_rect r, int y)
{
    struct side rows, cols;
    struct sy_rect in = sy_heat_inside(h, r);
    int first, end;
    sides(h, look, in, &rows, &cols);
    if (y < in.y || (y - in.y) * pixels_a_cell(look) >= rows.pixels)
        return -1;
    entries_at(&rows, (y - in.y) * pixels_a_cell(look), &first, &end);
    return first;
}

/* Is this pixel the middle of its entry?  The sign stands there once. */
static bool is_middle(const struct side *s, int pixel)
{
    if (s->stretch && s->n > s->pixels)
        return true;
    if (s->stretch) { /* between the first pixel of this entry and that of the next */
        int64_t i = (int64_t)pixel * s->n / s->pixels;
        int64_t a = (i * s->pixels + s->n - 1) / s->n, b = ((i + 1) * s->pixels + s->n - 1) / s->n;
        int64_t middle = (a + b - 1) / 2;
        if (middle % 2 && b - a > 1) /* the upper half of a cell: the one that labels name */
            middle += middle + 1 < b ? 1 : -1;
        return pixel == middle;
    }
    return s->group > 1 || pixel % s->size == (s->size - 1) / 2;
}

static bool has_sign(const struct tile *t)
{
    return t->dead || t->over || t->disabled;
}

static void put_sign(const struct sy_theme *look, struct sy_grid *g, int x, int y,
                     const struct tile *t, struct sy_pen pen)
{
    int bg = pen.bg >= 0 ? pen.bg : pen.fg;
    struct sy_pen sign = sy_theme_pen(look, t->dead   ? SY_ROLE_BAD
                                            : t->over ? SY_ROLE_VALUE
                                                      : SY_ROLE_DIM);
    if (look->colours == 256) {
        sign.bg = (int16_t)bg;
        sign.fg = t->dead ? 203 : t->over ? 16 : 250; /* black before the bright end of the ramp */
        sign.attr = SY_BOLD;
    }
    sy_grid_put(g, x, y,
                t->dead   ? sy_glyph(look, SY_GLYPH_DEAD)
                : t->over ? '!'
                          : sy_glyph(look, SY_GLYPH_DASH),
                sign);
}

static void put_half_blocks(const struct sy_heat *h, const struct sy_theme *look, struct sy_grid *g,
                            struct sy_rect in, const struct side *rows, const struct side *cols,
                            int i, int j)
{
    struct tile top = tile_at(h, rows, cols, i, 2 * j), low = tile_at(h, rows, cols, i, 2 * j + 1);
    struct sy_pen pen = {colour(h, look, &top), colour(h, look, &low), 0};
    int x = in.x + i, y = in.y + j;
    if (!top.any && !low.any)
        return;
    if (!top.any) {
        sy_grid_put(g, x, y, 0x2584, (struct sy_pen){pen.bg, -1, 0});
        return;
    }
    sy_grid_put(g, x, y, look->symbols == SY_SYMBOLS_ASCII ? ' ' : 0x2580, pen);
    if (look->symbols == SY_SYMBOLS_ASCII) /* a terminal with colours and without blocks: one row */
        sy_grid_put(g, x, y, ' ', (struct sy_pen){-1, pen.fg, 0});
    bool at = is_middle(cols, i);
    bool sign_top = at && is_middle(rows, 2 * j), sign_low = at && is_middle(rows, 2 * j + 1);
    const struct tile *t = sign_top && has_sign(&top)   ? &top
                           : sign_low && has_sign(&low) ? &low
                                                        : NULL;
    if (t)
        put_sign(look, g, x, y, t, (struct sy_pen){-1, t == &top ? pen.fg : pen.bg, 0});
}

static void put_ramp(const struct sy_heat *h, const struct sy_theme *look, struct sy_grid *g,
                     struct sy_rect in, const struct side *rows, const struct side *cols, int i,
                     int j)
{
    struct tile t = tile_at(h, rows, cols, i, j);
    struct sy_pen pen = sy_theme_pen(look, SY_ROLE_TEXT);
    if (!t.any)
        return;
    double v = shade(h, t.v);
    if (h->diverging && look->colours)
        pen.fg = v < 0 ? 4 : 3;
    char ch = sy_theme_ramp(h->diverging ? fabs(v) : v);
    if (h->diverging && !look->colours && fabs(v) > 0.06) /* down and up by other signs */
        ch = v < 0 ? (v < -0.5 ? 'V' : 'v') : (v > 0.5 ? 'A' : '^');
    sy_grid_put(g, in.x + i, in.y + j, (uint32_t)ch, pen);
    if (has_sign(&t) && is_middle(cols, i) && is_middle(rows, j))
        put_sign(look, g, in.x + i, in.y + j, &t, pen);
}

static void put_row_label(const struct sy_heat *h, const struct sy_theme *look, struct sy_grid *g,
                          struct sy_rect r, int columns, int y, int row, bool selected)
{
    char text[32];
    h->row_label(h->ctx, row, text);
    sy_grid_text(g, r.x, y, columns, text,
                 sy_theme_pen(look, selected ? SY_ROLE_VALUE : SY_ROLE_DIM));
    if (selected)
        sy_grid_put(g, r.x + columns, y, look->symbols == SY_SYMBOLS_ASCII ? '>' : 0x25B8,
                    sy_theme_pen(look, SY_ROLE_FOCUS));
}

static void label_rows(const struct sy_heat *h, const struct sy_theme *look, struct sy_grid *g,
                       struct sy_rect r, struct sy_rect in, const struct side *rows)
{
    int per = pixels_a_cell(look), shown = -1, columns = in.x - r.x - 1;
    if (!h->row_label || in.x <= r.x)
        return;
    if (!rows->stretch && rows->size >= 2 * per) { /* each has cells of its own: in the middle */
        for (int row = 0; row < rows->n; row++)
            put_row_label(h, look, g, r, columns,
                          in.y + (row * rows->size + (rows->size - 1) / 2) / per, row,
                          row == h->selected);
        return;
    }
    for (int j = 0; j * per < rows->pixels; j++) {
        int first, end, below, unused;
        entries_at(rows, j * per, &first, &end);
        entries_at(rows, j * per + per - 1 < rows->pixels ? j * per + per - 1 : j * per, &below,
                   &unused);
        end = below + 1 > end ? below + 1 : end;
        bool selected = h->selected >= first && h->selected < end;
        if (first == shown && !(selected && h->selected > shown))
            continue;
        int row = selected ? h->selected : first;
        shown = end - 1;
        put_row_label(h, look, g, r, columns, in.y + j, row, selected);
    }
}

static void label_columns(const struct sy_theme *look, struct sy_grid *g, struct sy_rect in,
                          const struct side *cols)
{
    int free_from = 0, last = -1, every = 1;
    while (cols->group == 1 && every * cols->pixels / cols->n < LABEL_GAP)
        every++;
    for (int i = 0; i < cols->pixels; i++) {
        int first, end;
        char text[16];
        entries_at(cols, i, &first, &end);
        if (first == last || (cols->group == 1 && first % every))
            continue;
        last = first;
        int n = snprintf(text, sizeof text, "%d", first + 1);
        if (i < free_from || i + n > in.w)
            continue;
        sy_grid_text(g, in.x + i, in.y - 1, n, text, sy_theme_pen(look, SY_ROLE_DIM));
        free_from = i + (n + 2 > LABEL_GAP ? n + 2 : LABEL_GAP);
    }
}

void sy_heat_draw(const struct sy_heat *h, const struct sy_theme *look, struct sy_grid *g,
                  struct sy_rect r)
{
    struct side rows, cols;
    struct sy_rect in = sy_heat_inside(h, r);
    if (in.w < 1 || in.h < 1 || h->rows < 1 || h->cols < 1)
        return;
    sides(h, look, in, &rows, &cols);
    int per = pixels_a_cell(look);
    for (int j = 0; j * per < rows.pixels; j++)
        for (int i = 0; i < cols.pixels; i++) {
            if (per == 2)
                put_half_blocks(h, look, g, in, &rows, &cols, i, j);
            else
                put_ramp(h, look, g, in, &rows, &cols, i, j);
        }
    if (h->cursor >= 0 && cols.pixels > 0 && h->cursor < h->cols) {
        int x = cols.group > 1 ? h->cursor / cols.group : h->cursor * cols.size;
        for (int j = 0; j * per < rows.pixels; j++) {
            const struct sy_cell *c = sy_grid_at(g, in.x + x, in.y + j);
            struct sy_pen pen = sy_theme_pen(look, SY_ROLE_CURSOR);
            pen.bg = per == 2 && c ? c->pen.bg : (int16_t)-1;
            if (pen.bg >= 0 && pen.fg < 0) /* on the ramp, not on the terminal's own */
                pen.fg = 255;
            sy_grid_put(g, in.x + x, in.y + j, sy_glyph(look, SY_GLYPH_CURSOR), pen);
        }
    }
    label_rows(h, look, g, r, in, &rows);
    if (in.y > r.y)
        label_columns(look, g, in, &cols);
}
