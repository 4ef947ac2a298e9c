/* A grid as text, with ANSI colours, as a picture (SVG), and in the form of the golden screens.
 * See grid.h.
 *
 * SVG: a monospace grid of 9 x 18 units a cell.  Backgrounds are rectangles, block elements and
 * braille are drawn as shapes (fonts leave gaps between them and differ in their widths), all other
 * text is put column by column, so that it stands in its cell with whatever font. */
#include "tui/grid.h"

#include "base/utf8.h"

#include <string.h>

static const struct sy_cell *cell_at(const struct sy_grid *g, int x, int y)
{
    return &g->cell[(size_t)y * (size_t)g->w + (size_t)x];
}

static void add_char(struct sy_str *out, uint32_t ch)
{
    char text[4];
    int n = sy_utf8_encode(ch, text);
    sy_str_add(out, text, (size_t)n);
}

static void add_cell(struct sy_str *out, const struct sy_cell *c)
{
    if (!c->ch)
        return;
    add_char(out, c->ch);
    for (int i = 0; i < SY_MARKS && c->mark[i]; i++)
        add_char(out, c->mark[i]);
}

static bool is_blank(const struct sy_cell *c)
{
    return c->ch == ' ' && !c->mark[0] && c->pen.bg < 0 &&
           !(c->pen.attr & (SY_REVERSE | SY_UNDERLINE));
}

static int used_columns(const struct sy_grid *g, int y)
{
    int n = g->w;
    while (n > 0 && is_blank(cell_at(g, n - 1, y)))
        n--;
    return n;
}

/* ---- text ---- */

static void write_text(const struct sy_grid *g, struct sy_str *out)
{
    for (int y = 0; y < g->h; y++) {
        int n = g->w;
        while (n > 0 && cell_at(g, n - 1, y)->ch == ' ')
            n--;
        for (int x = 0; x < n; x++)
            add_cell(out, cell_at(g, x, y));
        sy_str_puts(out, "\n");
    }
}

/* ---- ANSI ---- */

static void add_sgr(struct sy_str *out, struct sy_pen p)
{
    static const struct {
        enum sy_attr attr;
        const char *code;
    } codes[] = {{SY_BOLD, ";1"}, {SY_DIM, ";2"}, {SY_UNDERLINE, ";4"}, {SY_REVERSE, ";7"}};
    sy_str_puts(out, "\x1b[0");
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (p.attr & codes[i].attr)
            sy_str_puts(out, codes[i].code);
    if (p.fg >= 0)
        sy_str_printf(out, p.fg < 8 ? ";3%d" : ";38;5;%d", p.fg);
    if (p.bg >= 0)
        sy_str_printf(out, p.bg < 8 ? ";4%d" : ";48;5;%d", p.bg);
    sy_str_puts(out, "m");
}

static void write_ansi(const struct sy_grid *g, struct sy_str *out)
{
    for (int y = 0; y < g->h; y++) {
        struct sy_pen pen = {-1, -1, 0};
        int n = used_columns(g, y);
        for (int x = 0; x < n; x++) {
            const struct sy_cell *c = cell_at(g, x, y);
            if (!sy_same_pen(c->pen, pen))
                add_sgr(out, c->pen);
            pen = c->pen;
            add_cell(out, c);
        }
        sy_str_puts(out, sy_same_pen(pen, (struct sy_pen){-1, -1, 0}) ? "\n" : "\x1b[0m\n");
    }
}

/* ---- golden ---- */

/* Text between bars, then for each row that is not all plain: row, then column+length:fg,bg,attr.
 */
static void write_golden(const struct sy_grid *g, struct sy_str *out)
{
    sy_str_printf(out, "%d x %d\n", g->w, g->h);
    for (int y = 0; y < g->h; y++) {
        sy_str_puts(out, "|");
        for (int x = 0; x < g->w; x++)
            add_cell(out, cell_at(g, x, y));
        sy_str_puts(out, "|\n");
    }
    for (int y = 0; y < g->h; y++) {
        bool any = false;
        for (int x = 0, end; x < g->w; x = end) {
            struct sy_pen p = cell_at(g, x, y)->pen;
            for (end = x + 1; end < g->w && sy_same_pen(cell_at(g, end, y)->pen, p); end++)
                continue;
            if (sy_same_pen(p, (struct sy_pen){-1, -1, 0}))
                continue;
            if (!any)
                sy_str_printf(out, "%d", y);
            any = true;
            sy_str_printf(out, " %d+%d:%d,%d,%d", x, end - x, p.fg, p.bg, p.attr);
        }
        if (any)
            sy_str_puts(out, "\n");
    }
}

/* ---- SVG ---- */

#define CELL_W 9.0
#define CELL_H 18.0
#define PAD 12.0
/* What a pen without colours of its own stands on, and is: dark, light. */
static const char *const papers[2] = {"#14171c", "#fbfbf9"}, *const inks[2] = {"#d4d7dc",
                                                                               "#1c1f24"};

/* xterm's 256 colours, the first eight a little softer. */
static void colour_text(int c, char out[8])
{
    static const uint32_t first[16] = {0x1c1f24, 0xe06c75, 0x98c379, 0xe5c07b, 0x61afef, 0xc678dd,
                                       0x56b6c2, 0xdcdfe4, 0x5c6370, 0xe06c75, 0x98c379, 0xe5c07b,
                                       0x61afef, 0xc678dd, 0x56b6c2, 0xffffff};
    static const uint32_t levels[6] = {0, 95, 135, 175, 215, 255};
    uint32_t v;
    if (c < 16)
        v = first[c];
    else if (c < 232)
        v = levels[(c - 16) / 36] << 16 | levels[(c - 16) / 6 % 6] << 8 | levels[(c - 16) % 6];
    else
        v = (uint32_t)(8 + 10 * (c - 232)) * 0x10101;
    static const char hex[] = "0123456789abcdef";
    out[0] = '#';
    for (int i = 0; i < 6; i++)
        out[1 + i] = hex[v >> (20 - 4 * i) & 15];
    out[7] = 0;
}

struct ink {
    char fg[8], bg[8];
    bool has_bg;
};

static struct ink ink_of(const struct sy_grid *g, struct sy_pen p)
{
    struct ink k = {.has_bg = p.bg >= 0};
    memcpy(k.fg, inks[g->light], sizeof k.fg);
    memcpy(k.bg, papers[g->light], sizeof k.bg);
    if (p.fg >= 0)
        colour_text(p.fg, k.fg);
    if (p.bg >= 0)
        colour_text(p.bg, k.bg);
    if (p.attr & SY_REVERSE) {
        struct ink swapped = k;
        memcpy(swapped.fg, k.bg, sizeof k.bg);
        memcpy(swapped.bg, k.fg, sizeof k.fg);
        swapped.has_bg = true;
        return swapped;
    }
    return k;
}

static double px(int x)
{
    return PAD + CELL_W * x;
}
static double py(int y)
{
    return PAD + CELL_H * y;
}

static void add_box(struct sy_str *out, double x, double y, double w, double h, const char *fill)
{
    sy_str_printf(out, "<rect x=\"%.4g\" y=\"%.5g\" width=\"%.4g\" height=\"%.4g\" fill=\"%s\"/>\n",
                  x, y, w, h, fill);
}

static void add_backgrounds(const struct sy_grid *g, int y, struct sy_str *out)
{
    for (int x = 0, end; x < g->w; x = end) {
        struct ink k = ink_of(g, cell_at(g, x, y)->pen);
        for (end = x + 1; end < g->w; end++) {
            struct ink other = ink_of(g, cell_at(g, end, y)->pen);
            if (other.has_bg != k.has_bg || strcmp(other.bg, k.bg) != 0)
                break;
        }
        if (k.has_bg)
            add_box(out, px(x), py(y), CELL_W * (end - x), CELL_H, k.bg);
    }
}

static void add_braille(struct sy_str *out, int x, int y, uint32_t dots, const char *fill)
{
    static const int order[8][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}};
    sy_str_printf(out, "<path fill=\"%s\" d=\"", fill);
    for (int i = 0; i < 8; i++)
        if (dots >> i & 1)
            sy_str_printf(out, "M%.5g %.5gh3.1v3.1h-3.1z", px(x) + order[i][0] * 4.5 + 0.7,
                          py(y) + order[i][1] * 4.5 + 0.7);
    sy_str_puts(out, "\"/>\n");
}

/* Block elements: lower eighths, halves (n cells of them), left eighths, quadrants.  false: not one
 * of them. */
static bool add_block(struct sy_str *out, int x, int n, int y, uint32_t ch, const char *fill)
{
    static const uint8_t quadrants[10] = {4, 8, 1, 13, 9, 7, 11, 2, 6, 14}; /* from U+2596 */
    if (ch == 0x2580)
        add_box(out, px(x), py(y), CELL_W * n, CELL_H / 2, fill);
    else if (ch >= 0x2581 && ch <= 0x2588) {
        double h = CELL_H * (ch - 0x2580) / 8;
        add_box(out, px(x), py(y) + CELL_H - h, CELL_W * n, h, fill);
    } else if (ch >= 0x2589 && ch <= 0x258F)
        add_box(out, px(x), py(y), CELL_W * (0x2590 - ch) / 8, CELL_H, fill);
    else if (ch == 0x2590)
        add_box(out, px(x) + CELL_W / 2, py(y), CELL_W / 2, CELL_H, fill);
    else if (ch >= 0x2596 && ch <= 0x259F) {
        for (int i = 0; i < 4; i++)
            if (quadrants[ch - 0x2596] >> i & 1)
                add_box(out, px(x) + i % 2 * CELL_W / 2, py(y) + i / 2 * CELL_H / 2, CELL_W / 2,
                        CELL_H / 2, fill);
    } else if (ch >= 0x2591 && ch <= 0x2593)
        sy_str_printf(out,
                      "<rect x=\"%.4g\" y=\"%.5g\" width=\"%.4g\" height=\"%.4g\" fill=\"%s\" "
                      "opacity=\"%.2g\"/>\n",
                      px(x), py(y), CELL_W, CELL_H, fill, (ch - 0x2590) / 4.0);
    else
        return false;
    return true;
}

/* Lines of frames as lines, so that they meet. */
static bool add_line(struct sy_str *out, int x, int y, uint32_t ch, const char *stroke)
{
    double left = px(x), right = left + CELL_W, top = py(y), bottom = top + CELL_H;
    double mx = (left + right) / 2, my = (top + bottom) / 2;
    bool l = ch == 0x2500 || ch == 0x2510 || ch == 0x2518 || ch == 0x2524;
    bool r = ch == 0x2500 || ch == 0x250C || ch == 0x2514;
    bool u = ch == 0x254E || ch == 0x2502 || ch == 0x2514 || ch == 0x2518 || ch == 0x2524;
    bool dashed = ch == 0x254E;
    bool d = dashed || ch == 0x2502 || ch == 0x250C || ch == 0x2510 || ch == 0x2524;
    if (!l && !r && !u && !d)
        return false;
    sy_str_printf(out, "<path stroke=\"%s\" fill=\"none\"%s d=\"", stroke,
                  dashed ? " stroke-dasharray=\"4 5\"" : "");
    if (l || r)
        sy_str_printf(out, "M%.5g %.5gH%.5g", l ? left : mx, my, r ? right : mx);
    if (u || d)
        sy_str_printf(out, "M%.5g %.5gV%.5g", mx, u ? top : my, d ? bottom : my);
    sy_str_puts(out, "\"/>\n");
    return true;
}

static void add_escaped(struct sy_str *out, const struct sy_cell *c)
{
    if (c->ch == '<')
        sy_str_puts(out, "&lt;");
    else if (c->ch == '&')
        sy_str_puts(out, "&amp;");
    else
        add_cell(out, c);
}

/* A stretch of ordinary characters with one pen. */
static int add_text(const struct sy_grid *g, int x, int y, struct sy_str *out)
{
    struct sy_pen pen = cell_at(g, x, y)->pen;
    struct ink k = ink_of(g, pen);
    int end = x;
    struct sy_str places = SY_STR_INIT, text = SY_STR_INIT;
    for (; end < g->w && sy_same_pen(cell_at(g, end, y)->pen, pen); end++) {
        const struct sy_cell *c = cell_at(g, end, y);
        if (c->ch == ' ' || (c->ch >= 0x2500 && c->ch < 0x25A0) || (c->ch & ~0xFFu) == 0x2800)
            break;
        if (!c->ch)
            continue;
        sy_str_printf(&places, "%s%.5g", places.len ? " " : "", px(end));
        add_escaped(&text, c);
    }
    if (text.len)
        sy_str_printf(out, "<text x=\"%s\" y=\"%.5g\" fill=\"%s\"%s%s>%s</text>\n", places.data,
                      py(y) + 13.5, k.fg, pen.attr & SY_BOLD ? " font-weight=\"bold\"" : "",
                      pen.attr & SY_DIM ? " opacity=\"0.7\"" : "", text.data);
    sy_str_free(&places);
    sy_str_free(&text);
    return end > x ? end : x + 1;
}

static int same_cells(const struct sy_grid *g, int x, int y)
{
    const struct sy_cell *c = cell_at(g, x, y);
    int end = x + 1;
    while (end < g->w && cell_at(g, end, y)->ch == c->ch &&
           cell_at(g, end, y)->pen.fg == c->pen.fg && cell_at(g, end, y)->pen.attr == c->pen.attr)
        end++;
    return end - x;
}

static void write_svg(const struct sy_grid *g, struct sy_str *out)
{
    double w = 2 * PAD + CELL_W * g->w, h = 2 * PAD + CELL_H * g->h;
    sy_str_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.5g %.5g\" width=\"%.5g\" "
        "height=\"%.5g\" font-family=\"'DejaVu Sans Mono','Menlo','Consolas',monospace\" "
        "font-size=\"15\" shape-rendering=\"crispEdges\" xml:space=\"preserve\">\n"
        "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"%s\"/>\n",
        w, h, w, h, papers[g->light]);
    for (int y = 0; y < g->h; y++)
        add_backgrounds(g, y, out);
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w;) {
            const struct sy_cell *c = cell_at(g, x, y);
            struct ink k = ink_of(g, c->pen);
            if (c->ch == ' ' || !c->ch)
                x++;
            else if ((c->ch & ~0xFFu) == 0x2800)
                add_braille(out, x++, y, c->ch & 0xFF, k.fg);
            else if (c->ch >= 0x2580 && c->ch <= 0x2588) {
                int n = same_cells(g, x, y);
                add_block(out, x, n, y, c->ch, k.fg);
                x += n;
            } else if (add_block(out, x, 1, y, c->ch, k.fg) || add_line(out, x, y, c->ch, k.fg))
                x++;
            else
                x = add_text(g, x, y, out);
        }
    sy_str_puts(out, "</svg>\n");
}

void sy_grid_write(const struct sy_grid *g, enum sy_dump form, struct sy_str *out)
{
    static void (*const write[])(const struct sy_grid *,
                                 struct sy_str *) = {[SY_DUMP_TEXT] = write_text,
                                                     [SY_DUMP_ANSI] = write_ansi,
                                                     [SY_DUMP_SVG] = write_svg,
                                                     [SY_DUMP_GOLDEN] = write_golden};
    write[form](g, out);
}
