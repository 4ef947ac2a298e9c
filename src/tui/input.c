/* See input.h.  A line that goes on after a newline is indented as far as the prompt reaches; one
 * that is wrapped is not, so that a terminal's width of text can be copied. */
#include "tui/input.h"

#include "base/utf8.h"

#include <string.h>

struct walk {
    struct sy_grid *g; /* NULL: count rows only */
    struct sy_rect r;
    int top; /* the row that stands at r.y */
    int width, row, col;
};

static void place_char(struct walk *w, uint32_t c, struct sy_pen pen)
{
    int cells = sy_char_width(c);
    if (w->col + cells > w->width && w->col) {
        w->row++;
        w->col = 0;
    }
    int y = w->row - w->top;
    if (w->g && y >= 0 && y < w->r.h && w->col + cells <= w->r.w)
        sy_grid_put(w->g, w->r.x + w->col, w->r.y + y, c, pen);
    w->col += cells;
}

/* A cursor before a character that no longer fits stands on the next row, as that will. */
static void wrap_row(struct walk *w, const char *s, size_t n)
{
    uint32_t c;
    int cells = n && *s != '\n' && sy_utf8_decode(s, n, &c) > 0 ? sy_char_width(c) : 1;
    if (w->col + cells > w->width && w->col) {
        w->row++;
        w->col = 0;
    }
}

static size_t place_next(struct walk *w, const char *s, size_t n, struct sy_pen pen)
{
    uint32_t c;
    int k = sy_utf8_decode(s, n, &c);
    unsigned char byte = (unsigned char)*s;
    if (k <= 0) {
        place_char(w, 0xFFFD, pen);
        return 1;
    }
    if (byte == '\t') {
        do
            place_char(w, ' ', pen);
        while (w->col % 8 && w->col < w->width);
        return 1;
    }
    if (byte < ' ' || byte == 0x7F) {
        place_char(w, '^', pen);
        place_char(w, byte ^ 0x40u, pen);
        return 1;
    }
    place_char(w, c, pen);
    return (size_t)k;
}

static struct sy_pen pen_at(const struct sy_input *in, size_t i, const struct sy_theme *look)
{
    struct sy_pen pen = {-1, -1, 0};
    if (look && in->role && in->role[i] != SY_ROLE_TEXT)
        pen = sy_theme_pen(look, in->role[i]);
    if (i >= in->from && i < in->to)
        pen.attr ^= SY_REVERSE;
    return pen;
}

/* Lay everything out; the cursor's place in *x, *y (rows of the text, from 0). */
static void walk_input(struct walk *w, const struct sy_input *in, const struct sy_theme *look,
                       struct sy_pen prompt, int *x, int *y)
{
    size_t n = strlen(in->prompt);
    for (size_t i = 0; i < n; i += place_next(w, in->prompt + i, n - i, prompt))
        continue;
    int indent = w->row ? 0 : w->col;
    *x = *y = -1;
    for (size_t i = 0; i < in->n;) {
        if (i >= in->point && *x < 0) {
            wrap_row(w, in->text + i, in->n - i);
            *x = w->col;
            *y = w->row;
        }
        if (in->text[i] == '\n') {
            w->row++;
            for (w->col = 0; w->col < indent && indent < w->width;)
                place_char(w, w->col == indent - 2 ? '.' : ' ', prompt);
            i++;
        } else
            i += place_next(w, in->text + i, in->n - i, pen_at(in, i, look));
    }
    if (*x < 0) {
        wrap_row(w, "", 0);
        *x = w->col;
        *y = w->row;
    }
}

int sy_input_rows(const struct sy_input *in, int width)
{
    struct walk w = {.width = width < 1 ? 1 : width};
    int x, y;
    walk_input(&w, in, NULL, (struct sy_pen){-1, -1, 0}, &x, &y);
    return w.row + 1;
}

void sy_input_draw(const struct sy_input *in, struct sy_grid *g, struct sy_rect r,
                   const struct sy_theme *look, struct sy_pen prompt, int *x, int *y)
{
    struct walk w = {.width = r.w < 1 ? 1 : r.w};
    walk_input(&w, in, NULL, prompt, x, y);
    int rows = w.row + 1, top = rows > r.h ? *y - r.h / 2 : 0;
    if (top > rows - r.h)
        top = rows - r.h;
    if (top < 0)
        top = 0;
    w = (struct walk){.g = g, .r = r, .top = top, .width = w.width};
    sy_grid_fill(g, r, ' ', (struct sy_pen){-1, -1, 0});
    walk_input(&w, in, look, prompt, x, y);
    *x += r.x;
    *y += r.y - top;
}
