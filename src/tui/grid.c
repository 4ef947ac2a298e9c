/* Cells: putting, comparing, copying.  See grid.h. */
#include "tui/grid.h"

#include "base/mem.h"

#include <string.h>

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
    struct sy_cell *c = sy_cell_joins(ch) ? NULL : sy_grid_at(g, x - 1, y);
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
    ch = sy_cell_shown(ch);
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
        i += sy_cell_next(text + i, n - i, &c);
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
