/* The scrollback as it is seen.  See scroll.h.  A view is the line and row at the bottom of the
 * rectangle; rows are found by laying lines out again, from there upwards: a screenful, whatever
 * the number of lines. */
#include "tui/scroll_int.h"

#include "base/utf8.h"
#include "tui/sgr.h"

#include <stdio.h>
#include <string.h>

#define TAB 8

/* ---- laying out ---- */

static const char *text_of(const struct sy_scroll *s, int64_t number, size_t *n, struct sy_pen *pen)
{
    if (number == s->end) {
        *n = s->open.len;
        *pen = s->open_pen;
        return s->open.data;
    }
    const struct sy__line *l = sy__line_at(s, number);
    *n = l->len;
    *pen = l->pen;
    return l->text;
}

static struct sy_pen limit(struct sy_pen pen, const struct sy_theme *look)
{
    if (!look->colours)
        pen.fg = pen.bg = -1;
    else if (look->colours == 8) {
        pen.fg = pen.fg >= 16 ? -1 : (int16_t)(pen.fg >= 8 ? pen.fg - 8 : pen.fg);
        pen.bg = pen.bg >= 16 ? -1 : (int16_t)(pen.bg >= 8 ? pen.bg - 8 : pen.bg);
    }
    return pen;
}

/* Behind the escape sequence at i. */
static size_t skip_escape(const char *text, size_t n, size_t i)
{
    return i + (i + 2 < n ? strcspn(text + i + 2, "m") : 0) + 3;
}

/* The character at *i, which goes behind it, and its cells at a column. */
static int next_char(const char *text, size_t n, size_t *i, int col, int w, uint32_t *c)
{
    int k = sy_utf8_decode(text + *i, n - *i, c);
    *i += k > 0 ? (size_t)k : 1;
    int cells = *c == '\t' ? TAB - col % TAB : sy_char_width(*c);
    if (*c == '\t' && col + cells > w)
        cells = w > col ? w - col : 0;
    return cells;
}

/* Where the row ends that begins at i: behind the last space of its last third, else where it is
 * full.  A space that has no room any more belongs to it all the same. */
static size_t row_end(const char *text, size_t n, size_t i, int w)
{
    size_t space = 0;
    int col = 0;
    while (i < n) {
        if (text[i] == '\033') {
            i = skip_escape(text, n, i);
            continue;
        }
        uint32_t c;
        size_t at = i;
        int cells = next_char(text, n, &i, col, w, &c);
        if (col + cells > w && col) {
            if (c != ' ')
                return space ? space : at;
            while (i < n && text[i] == '\033')
                i = skip_escape(text, n, i);
            return i;
        }
        col += cells;
        if ((c == ' ' || c == '\t') && 3 * col >= 2 * w)
            space = i;
    }
    return n;
}

/* Rows that a line takes; with a grid they are put there, row 0 at y (which may be above r). */
static int lay_line(const struct sy_scroll *s, int64_t number, int w, struct sy_grid *g,
                    struct sy_rect r, int y, const struct sy_theme *look)
{
    size_t n, i = 0;
    int row = 0, col = 0;
    struct sy_pen pen;
    const char *text = text_of(s, number, &n, &pen);
    size_t end = row_end(text, n, 0, w);
    while (i < n) {
        if (i >= end) {
            row++;
            col = 0;
            end = row_end(text, n, i, w);
        }
        if (text[i] == '\033') {
            size_t k = i + 2 < n ? strcspn(text + i + 2, "m") : 0;
            sy__sgr_apply(&pen, text + i + 2, k);
            i += k + 3;
            continue;
        }
        uint32_t c;
        int cells = next_char(text, n, &i, col, w, &c);
        if (g && y + row >= r.y && y + row < r.y + r.h) {
            if (c == '\t')
                sy_grid_fill(g, (struct sy_rect){r.x + col, y + row, cells, 1}, ' ',
                             limit(pen, look));
            else if (col + cells <= r.w)
                sy_grid_put(g, r.x + col, y + row, c, limit(pen, look));
        }
        col += cells;
    }
    return row + 1;
}

static int rows_of(const struct sy_scroll *s, int64_t number)
{
    return lay_line(s, number, s->w, NULL, (struct sy_rect){0, 0, 0, 0}, 0, NULL);
}

/* The last line there is to see: the open one, if something stands in it. */
static int64_t last_line(const struct sy_scroll *s)
{
    return s->open.len ? s->end : s->end - 1;
}

/* ---- the view ---- */

/* The view's bottom, corrected for lines that are gone or laid out otherwise. */
static void settle_bottom(struct sy_scroll *s)
{
    int64_t last = last_line(s);
    if (s->follow || s->line > last) {
        s->follow = true;
        s->line = last;
        s->row = last >= s->first ? rows_of(s, last) - 1 : 0;
        return;
    }
    if (s->line < s->first) {
        s->line = s->first;
        s->row = 0;
    }
    int rows = rows_of(s, s->line);
    if (s->row >= rows)
        s->row = rows - 1;
}

static void draw_below(const struct sy_scroll *s, struct sy_grid *g, struct sy_rect r,
                       const struct sy_theme *look)
{
    char text[48];
    int64_t n = sy_scroll_below(s);
    const char *arrow = look->symbols == SY_SYMBOLS_ASCII ? "v" : "\xE2\x96\xBC";
    snprintf(text, sizeof text, " %s %lld more line%s: PgDn ", arrow, (long long)n,
             n == 1 ? "" : "s");
    int w = sy_text_width(text, strlen(text));
    if (r.h > 1 && w <= r.w)
        sy_grid_text(g, r.x + r.w - w, r.y + r.h - 1, w, text, sy_theme_pen(look, SY_ROLE_BAR));
}

void sy_scroll_draw(struct sy_scroll *s, struct sy_grid *g, struct sy_rect r,
                    const struct sy_theme *look, bool tell)
{
    s->changed = false;
    sy_grid_fill(g, r, ' ', plain);
    if (r.w < 1 || r.h < 1)
        return;
    s->w = r.w;
    s->h = r.h;
    settle_bottom(s);
    int64_t from = s->follow && s->floor > s->first ? s->floor : s->first, number = s->line;
    int y = r.y + r.h; /* row below what is drawn next */
    for (; number >= from && y > r.y; number--) {
        int rows = number == s->line ? s->row + 1 : rows_of(s, number);
        y -= rows;
        lay_line(s, number, r.w, g, r, y, look);
    }
    if (!s->follow && tell)
        draw_below(s, g, r, look);
}

/* The bottom may not go above the row at which the oldest line stands at the top. */
static void stay_below_top(struct sy_scroll *s)
{
    int64_t number = s->first, last = last_line(s);
    int left = s->h;
    for (; number <= last; number++) {
        int rows = rows_of(s, number);
        if (rows >= left)
            break;
        left -= rows;
    }
    if (number > last) { /* all of it fits */
        s->follow = true;
        return;
    }
    if (s->line < number || (s->line == number && s->row < left - 1)) {
        s->line = number;
        s->row = left - 1;
    }
}

static void move_up(struct sy_scroll *s, int rows)
{
    s->row -= rows;
    while (s->row < 0 && s->line > s->first) {
        s->line--;
        s->row += rows_of(s, s->line);
    }
    if (s->row < 0)
        s->row = 0;
    s->follow = false;
    stay_below_top(s);
}

static void move_down(struct sy_scroll *s, int rows)
{
    int64_t last = last_line(s);
    s->row += rows;
    while (s->line <= last) {
        int have = rows_of(s, s->line);
        if (s->row < have)
            break;
        s->row -= have;
        s->line++;
    }
    if (s->line > last || (s->line == last && s->row >= rows_of(s, last) - 1))
        s->follow = true;
}

bool sy_scroll_move(struct sy_scroll *s, int rows)
{
    settle_bottom(s);
    int64_t line = s->line;
    int row = s->row;
    bool followed = s->follow;
    if (rows < 0)
        move_up(s, -rows);
    else if (rows > 0 && !s->follow)
        move_down(s, rows);
    settle_bottom(s);
    bool moved = line != s->line || row != s->row || followed != s->follow;
    s->changed |= moved;
    return moved;
}

void sy_scroll_end(struct sy_scroll *s)
{
    s->changed |= !s->follow;
    s->follow = true;
}

void sy_scroll_clear_view(struct sy_scroll *s)
{
    sy_scroll_break(s);
    s->floor = s->end;
    s->follow = s->changed = true;
}

int64_t sy_scroll_below(const struct sy_scroll *s)
{
    return s->follow ? 0 : last_line(s) - s->line;
}

bool sy_scroll_changed(struct sy_scroll *s)
{
    bool was = s->changed;
    s->changed = false;
    return was;
}

void sy_scroll_tail(const struct sy_scroll *s, int lines, bool colours, struct sy_str *out)
{
    int64_t last = last_line(s), number = last - lines + 1;
    for (number = number < s->first ? s->first : number; number <= last; number++) {
        struct sy_pen pen;
        size_t n, i = 0;
        const char *text = text_of(s, number, &n, &pen);
        bool coloured = !sy_same_pen(pen, plain);
        if (colours && coloured)
            sy__sgr_put(out, pen);
        while (i < n) {
            size_t k = 0;
            while (i + k < n && text[i + k] != '\033')
                k++;
            sy_str_add(out, text + i, k);
            i += k;
            if (i >= n)
                break;
            for (k = 2; i + k < n && text[i + k] != 'm'; k++)
                continue;
            if (colours)
                sy_str_add(out, text + i, k + 1);
            coloured = true;
            i += k + 1;
        }
        if (colours && coloured)
            sy_str_puts(out, "\033[0m");
        sy_str_puts(out, "\n");
    }
}
