/* Cells: putting, comparing, copying.  See grid.h. */
#include "tui/grid.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <string.h>
#include <wchar.h>

static const struct sy_cell blank = {' ', {0}, {-1, -1, 0}};

int sy_grid_resize(struct sy_grid *g, int w, int h, struct sy_err *err)
{
    w = w < 1 ? 1 : w;
    h = h < 1 ? 1 : h;
    size_t n = (size_t)w * (size_t)h;
    if (g->w != w || g->h != h || !g->cell) {
        struct sy_cell *cell = sy_alloc(n * sizeof *cell);
        if (!cell)
            return sy_err_set(err, SY_E_MEMORY, "screen: out of memory for %d x %d cells", w, h);
        sy_free(g->cell);
        *g = (struct sy_grid){w, h, cell, g->light};
    }
    for (size_t i = 0; i < n; i++)
        g->cell[i] = blank;
    return 0;
}

void sy_grid_free(struct sy_grid *g)
{
    sy_free(g->cell);
    *g = (struct sy_grid){0};
}

struct sy_cell *sy_grid_at(struct sy_grid *g, int x, int y)
{
    if (x < 0 || y < 0 || x >= g->w || y >= g->h)
        return NULL;
    return &g->cell[(size_t)y * (size_t)g->w + (size_t)x];
}

/* ---- characters ---- */

/* Bidi controls reorder what stands beside them; zero-width ones hide what is there; tags and the
 * line separators are nothing that a cell can show. */
static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || c == 0xAD ||
           (c >= 0x200B && c <= 0x200F && c != 0x200D) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF0 && c <= 0xFFFB) ||
           (c >= 0xE0000 && c <= 0xE0FFF) || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF);
}

/* Lines, blocks, geometry, braille, arrows and the signs of our own drawing: one column, whatever
 * the C library's locale says. */
static bool is_ours(uint32_t c)
{
    return (c >= 0x2190 && c <= 0x2193) || (c >= 0x2500 && c <= 0x25C6) ||
           (c >= 0x2800 && c <= 0x28FF) || c == 0xB7 || c == 0xD7 || c == 0x2013 || c == 0x2014 ||
           c == 0x2026 || c == 0xFFFD;
}

/* What makes one picture of two or widens one, on some terminals: then columns are others than
 * ours, and what was deleted stays.  It takes no room and is never sent. */
static bool is_joining(uint32_t c)
{
    return c == 0x200D || c == 0xFE0E || c == 0xFE0F || (c >= 0x1F3FB && c <= 0x1F3FF);
}

#define FLAG_A 0x1F1E6 /* letters of which two are a flag, somewhere: here they are letters */
#define FLAG_Z 0x1F1FF

int sy_char_width(uint32_t c)
{
    if (c < 0x7F || is_ours(c) || is_unsafe(c) || (c >= FLAG_A && c <= FLAG_Z))
        return 1;
    if (is_joining(c))
        return 0;
    int w = wcwidth((wchar_t)c);
    return w < 0 ? 1 : w;
}

/* The next character of text; what is not one is U+FFFD.  Returns its bytes. */
static size_t next_char(const char *s, size_t n, uint32_t *c)
{
    int k = sy_utf8_decode(s, n, c);
    if (k <= 0 || is_unsafe(*c))
        *c = 0xFFFD;
    else if (*c >= FLAG_A && *c <= FLAG_Z)
        *c = 'A' + *c - FLAG_A;
    else if (sy_char_width(*c) == 1 && *c >= 0x7F && !is_ours(*c) && wcwidth((wchar_t)*c) < 0)
        *c = 0xFFFD; /* no font has it: its width would be a guess */
    return k > 0 ? (size_t)k : 1;
}

int sy_text_width(const char *text, size_t n)
{
    int columns = 0;
    uint32_t c;
    for (size_t i = 0; i < n; columns += sy_char_width(c))
        i += next_char(text + i, n - i, &c);
    return columns;
}

size_t sy_text_fit(const char *text, size_t n, int columns)
{
    size_t i = 0;
    while (i < n) {
        uint32_t c;
        size_t k = next_char(text + i, n - i, &c);
        columns -= sy_char_width(c);
        if (columns < 0)
            break;
        i += k;
    }
    return i;
}

/* ---- putting ---- */

/* Before cell x, y is written: the other half of a wide character that it belongs to is no longer.
 */
static void split_wide(struct sy_grid *g, int x, int y)
{
    struct sy_cell *c = sy_grid_at(g, x, y), *left = sy_grid_at(g, x - 1, y),
                   *right = sy_grid_at(g, x + 1, y);
    if (c->ch == 0 && left) {
        left->ch = ' ';
        memset(left->mark, 0, sizeof left->mark);
    }
    if (c->ch != 0 && right && right->ch == 0)
        right->ch = ' ';
}

static void add_mark(struct sy_grid *g, int x, int y, uint32_t ch)
{
    struct sy_cell *c = is_joining(ch) ? NULL : sy_grid_at(g, x - 1, y);
    if (c && c->ch == 0)
        c = sy_grid_at(g, x - 2, y);
    for (int i = 0; c && i < SY_MARKS; i++)
        if (!c->mark[i]) {
            c->mark[i] = ch;
            return;
        }
}

void sy_grid_put(struct sy_grid *g, int x, int y, uint32_t ch, struct sy_pen pen)
{
    if (is_unsafe(ch))
        ch = 0xFFFD;
    if (ch >= FLAG_A && ch <= FLAG_Z)
        ch = 'A' + ch - FLAG_A;
    int width = sy_char_width(ch);
    if (width == 0) {
        add_mark(g, x, y, ch);
        return;
    }
    struct sy_cell *c = sy_grid_at(g, x, y), *next = sy_grid_at(g, x + 1, y);
    if (!c)
        return;
    if (width == 2 && !next)
        ch = ' '; /* half of it would stand out */
    split_wide(g, x, y);
    *c = (struct sy_cell){ch, {0}, pen};
    if (width == 2 && next) {
        split_wide(g, x + 1, y);
        *c = (struct sy_cell){ch, {0}, pen};
        *next = (struct sy_cell){0, {0}, pen};
    }
}

void sy_grid_fill(struct sy_grid *g, struct sy_rect r, uint32_t ch, struct sy_pen pen)
{
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++)
            sy_grid_put(g, x, y, ch, pen);
}

int sy_grid_textn(struct sy_grid *g, int x, int y, int columns, const char *text, size_t n,
                  struct sy_pen pen)
{
    int used = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += next_char(text + i, n - i, &c);
        int w = sy_char_width(c);
        if (used + w > columns)
            break;
        if (w || used) /* a mark without a character before it would land outside */
            sy_grid_put(g, x + used, y, c, pen);
        used += w;
    }
    return used;
}

int sy_grid_text(struct sy_grid *g, int x, int y, int columns, const char *text, struct sy_pen pen)
{
    return sy_grid_textn(g, x, y, columns, text, strlen(text), pen);
}

/* ---- comparing ---- */

bool sy_cell_equal(const struct sy_cell *a, const struct sy_cell *b)
{
    return a->ch == b->ch && !memcmp(a->mark, b->mark, sizeof a->mark) && a->pen.fg == b->pen.fg &&
           a->pen.bg == b->pen.bg && a->pen.attr == b->pen.attr;
}

bool sy_grid_changed(const struct sy_grid *old, const struct sy_grid *now, int y, int *x0, int *x1)
{
    const struct sy_cell *a = old->cell + (size_t)y * (size_t)old->w;
    const struct sy_cell *b = now->cell + (size_t)y * (size_t)now->w;
    int x = *x0, end;
    while (x < now->w && sy_cell_equal(&a[x], &b[x]))
        x++;
    if (x >= now->w)
        return false;
    for (end = x; end < now->w && !sy_cell_equal(&a[end], &b[end]); end++)
        continue;
    while (x > 0 && (a[x].ch == 0 || b[x].ch == 0))
        x--;
    while (end < now->w && (a[end].ch == 0 || b[end].ch == 0))
        end++;
    *x0 = x;
    *x1 = end;
    return true;
}
