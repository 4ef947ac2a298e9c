/* See canvas.h. */
#include "tui/canvas.h"

#include "base/mem.h"

#include <stdlib.h>

int sy_canvas_init(struct sy_canvas *c, const struct sy_theme *look, int cells_w, int cells_h)
{
    static const int across[] = {1, 2, 2}, down[] = {3, 2, 4};
    *c = (struct sy_canvas){.cw = cells_w, .ch = cells_h, .symbols = look->symbols};
    c->dx = across[look->symbols];
    c->dy = down[look->symbols];
    c->w = cells_w * c->dx;
    c->h = cells_h * c->dy;
    c->cell = sy_calloc((size_t)cells_w * (size_t)cells_h + 1, sizeof *c->cell);
    return c->cell ? 0 : -1;
}

void sy_canvas_free(struct sy_canvas *c)
{
    sy_free(c->cell);
    c->cell = NULL;
}

/* Braille: dots 1-3 and 7 in the left column, 4-6 and 8 in the right one (Unicode, chapter 21.1).
 * Quadrants and thirds: bit = y * dx + x. */
static uint8_t bit_of(const struct sy_canvas *c, int x, int y)
{
    static const uint8_t braille[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    if (c->symbols == SY_SYMBOLS_BRAILLE)
        return braille[y][x];
    return (uint8_t)(1 << (y * c->dx + x));
}

void sy_canvas_dot(struct sy_canvas *c, enum sy_canvas_layer layer, int x, int y, struct sy_pen pen)
{
    if (x < 0 || y < 0 || x >= c->w || y >= c->h)
        return;
    struct sy_canvas_cell *to = &c->cell[(size_t)(y / c->dy) * (size_t)c->cw + (size_t)(x / c->dx)];
    to->dots[layer] |= bit_of(c, x % c->dx, y % c->dy);
    to->pen[layer] = pen;
}

void sy_canvas_column(struct sy_canvas *c, enum sy_canvas_layer layer, int x, int y0, int y1,
                      struct sy_pen pen)
{
    y0 = y0 < 0 ? 0 : y0;
    y1 = y1 >= c->h ? c->h - 1 : y1;
    for (int y = y0; y <= y1; y++)
        sy_canvas_dot(c, layer, x, y, pen);
}

void sy_canvas_line(struct sy_canvas *c, enum sy_canvas_layer layer, int x0, int y0, int x1, int y1,
                    struct sy_pen pen)
{
    int dx = abs(x1 - x0), dy = abs(y1 - y0), n = dx > dy ? dx : dy;
    for (int i = 0; i <= n; i++)
        sy_canvas_dot(c, layer, x0 + (n ? (x1 - x0) * i / n : 0),
                      y0 + (n ? ((y1 - y0) * i + (y1 > y0 ? n / 2 : -n / 2)) / n : 0), pen);
}

/* Of one cell in ASCII: where in the cell a line passes, or that it goes through. */
static uint32_t ascii_of(uint8_t dots, bool back)
{
    static const char line[8] = {' ', '\'', '-', '|', '.', '|', '|', '|'};
    static const char cloud[8] = {' ', '\'', ':', ':', '.', ':', ':', ':'};
    return (uint32_t)(back ? cloud : line)[dots & 7];
}

static uint32_t glyph_of(const struct sy_canvas *c, uint8_t dots, bool back)
{
    static const uint16_t quadrants[16] = {0x20,   0x2598, 0x259D, 0x2580, 0x2596, 0x258C,
                                           0x259E, 0x259B, 0x2597, 0x259A, 0x2590, 0x259C,
                                           0x2584, 0x2599, 0x259F, 0x2588};
    switch (c->symbols) {
    case SY_SYMBOLS_BRAILLE:
        return 0x2800u + dots;
    case SY_SYMBOLS_BLOCKS:
        return quadrants[dots & 15];
    default:
        return ascii_of(dots, back);
    }
}

void sy_canvas_put(const struct sy_canvas *c, struct sy_grid *g, int x, int y)
{
    for (int j = 0; j < c->ch; j++)
        for (int i = 0; i < c->cw; i++) {
            const struct sy_canvas_cell *from = &c->cell[(size_t)j * (size_t)c->cw + (size_t)i];
            int layer = from->dots[SY_FRONT] ? SY_FRONT : SY_BACK;
            if (from->dots[layer])
                sy_grid_put(g, x + i, y + j, glyph_of(c, from->dots[layer], layer == SY_BACK),
                            from->pen[layer]);
        }
}
