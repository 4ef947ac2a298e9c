/* See frame.h. */
#include "tui/frame.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *fine, *ascii;
} glyphs[SY_GLYPH_COUNT] = {
    [SY_GLYPH_H] = {"─", "-"},      [SY_GLYPH_V] = {"│", "|"},
    [SY_GLYPH_TL] = {"┌", "+"},     [SY_GLYPH_TR] = {"┐", "+"},
    [SY_GLYPH_BL] = {"└", "+"},     [SY_GLYPH_BR] = {"┘", "+"},
    [SY_GLYPH_VALID] = {"◆", "o"},  [SY_GLYPH_EVENT] = {"▾", "v"},
    [SY_GLYPH_CLIP] = {"▲", "^"},   [SY_GLYPH_CLIP_LOW] = {"▼", "_"},
    [SY_GLYPH_NAN] = {"×", "N"},    [SY_GLYPH_NAN_LINE] = {"╎", "!"},
    [SY_GLYPH_CURSOR] = {"│", "|"}, [SY_GLYPH_TICK] = {"┤", "+"},
    [SY_GLYPH_DOT] = {"·", "-"},    [SY_GLYPH_DASH] = {"–", "-"},
    [SY_GLYPH_TIMES] = {"×", "x"},  [SY_GLYPH_DEAD] = {"×", "x"},
    [SY_GLYPH_SAVED] = {"▪", "s"},  [SY_GLYPH_READOUT] = {"▏", "|"},
    [SY_GLYPH_MORE] = {"…", "~"},   [SY_GLYPH_LEGEND] = {"━", "="},
};

const char *sy_glyph_text(const struct sy_theme *look, enum sy_glyph glyph)
{
    return look->symbols == SY_SYMBOLS_ASCII ? glyphs[glyph].ascii : glyphs[glyph].fine;
}

uint32_t sy_glyph(const struct sy_theme *look, enum sy_glyph glyph)
{
    const char *text = sy_glyph_text(look, glyph);
    uint32_t c = ' ';
    sy_utf8_decode(text, strlen(text), &c);
    return c;
}

void sy_theme_text(const struct sy_theme *look, const char *text, char *out, size_t size)
{
    static const char *const pairs[][2] = {
        {"·", "-"},  {"–", "-"},    {"×", "x"}, {"…", "..."}, {"←", "Left"}, {"→", "Right"},
        {"↑", "Up"}, {"↓", "Down"}, {"▸", ">"}, {"Δ", "d"},   {"⏸", "="}};
    size_t used = 0;
    while (*text && used + 1 < size) {
        size_t i = 0, n = sizeof pairs / sizeof *pairs;
        while (i < n && strncmp(text, pairs[i][0], strlen(pairs[i][0])))
            i++;
        if (i < n && look->symbols == SY_SYMBOLS_ASCII) {
            int k = snprintf(out + used, size - used, "%s", pairs[i][1]);
            used += (size_t)k < size - used ? (size_t)k : size - used - 1;
            text += strlen(pairs[i][0]);
        } else {
            out[used++] = *text++;
        }
    }
    out[used] = 0;
}

static void draw_lines(struct sy_grid *g, const struct sy_theme *look, struct sy_rect r,
                       struct sy_pen pen)
{
    int right = r.x + r.w - 1, bottom = r.y + r.h - 1;
    for (int x = r.x + 1; x < right; x++) {
        sy_grid_put(g, x, r.y, sy_glyph(look, SY_GLYPH_H), pen);
        sy_grid_put(g, x, bottom, sy_glyph(look, SY_GLYPH_H), pen);
    }
    for (int y = r.y + 1; y < bottom; y++) {
        sy_grid_put(g, r.x, y, sy_glyph(look, SY_GLYPH_V), pen);
        sy_grid_put(g, right, y, sy_glyph(look, SY_GLYPH_V), pen);
    }
    sy_grid_put(g, r.x, r.y, sy_glyph(look, SY_GLYPH_TL), pen);
    sy_grid_put(g, right, r.y, sy_glyph(look, SY_GLYPH_TR), pen);
    sy_grid_put(g, r.x, bottom, sy_glyph(look, SY_GLYPH_BL), pen);
    sy_grid_put(g, right, bottom, sy_glyph(look, SY_GLYPH_BR), pen);
}

static void draw_title(struct sy_grid *g, const struct sy_theme *look, struct sy_rect r,
                       const char *title)
{
    char text[256];
    sy_theme_text(look, title, text, sizeof text);
    int room = r.w - 4;
    if (room < 1 || !*text)
        return;
    const char *dot = strstr(text, look->symbols == SY_SYMBOLS_ASCII ? " - " : " ·");
    const char *gap = strstr(text, "  ");
    const char *end = dot && (!gap || dot < gap) ? dot : gap;
    size_t first = end ? (size_t)(end - text) : strlen(text);
    struct sy_pen dim = sy_theme_pen(look, SY_ROLE_DIM);
    sy_grid_put(g, r.x + 1, r.y, ' ', dim);
    int x = sy_grid_textn(g, r.x + 2, r.y, room, text, first, sy_theme_pen(look, SY_ROLE_TITLE));
    x += sy_grid_text(g, r.x + 2 + x, r.y, room - x, text + first, dim);
    sy_grid_put(g, r.x + 2 + x, r.y, ' ', dim);
}

struct sy_rect sy_frame(struct sy_grid *g, const struct sy_theme *look, struct sy_rect r,
                        const char *title, bool focus)
{
    sy_grid_fill(g, r, ' ', sy_theme_pen(look, SY_ROLE_TEXT));
    draw_lines(g, look, r, sy_theme_pen(look, focus ? SY_ROLE_FOCUS : SY_ROLE_FRAME));
    draw_title(g, look, r, title);
    return (struct sy_rect){r.x + 1, r.y + 1, r.w > 2 ? r.w - 2 : 0, r.h > 2 ? r.h - 2 : 0};
}

int sy_frame_foot(struct sy_grid *g, struct sy_rect r, int x, const char *text, struct sy_pen pen)
{
    int room = r.w - 2 - x;
    return room > 0 ? sy_grid_text(g, r.x + 1 + x, r.y + r.h - 1, room, text, pen) : 0;
}
