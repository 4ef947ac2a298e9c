/* See sgr.h.  Colours beyond the first 16 are taken to the nearest of the 256. */
#include "tui/sgr.h"

static const struct sy_pen plain = {-1, -1, 0};

/* The nearest of the 6x6x6 cube. */
static int cube(int r, int g, int b)
{
    int i = r < 48 ? 0 : r < 115 ? 1 : (r - 35) / 40, j = g < 48 ? 0 : g < 115 ? 1 : (g - 35) / 40;
    int k = b < 48 ? 0 : b < 115 ? 1 : (b - 35) / 40;
    return 16 + 36 * i + 6 * j + k;
}

static int clamp255(int v)
{
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

/* 5;n or 2;r;g;b behind a 38 or 48 at p[0]; returns how many numbers it took. */
static int extended(const int *p, int n, int16_t *colour)
{
    if (n >= 2 && p[0] == 5) {
        *colour = (int16_t)clamp255(p[1]);
        return 2;
    }
    if (n >= 4 && p[0] == 2) {
        *colour = (int16_t)cube(clamp255(p[1]), clamp255(p[2]), clamp255(p[3]));
        return 4;
    }
    return n;
}

static void apply_one(struct sy_pen *pen, int v)
{
    static const uint8_t on[] = {0, SY_BOLD, SY_DIM, 0, SY_UNDERLINE, 0, 0, SY_REVERSE};
    if (v == 0)
        *pen = plain;
    else if (v < 8)
        pen->attr |= on[v];
    else if (v == 22)
        pen->attr &= (uint8_t) ~(SY_BOLD | SY_DIM);
    else if (v == 24)
        pen->attr &= (uint8_t)~SY_UNDERLINE;
    else if (v == 27)
        pen->attr &= (uint8_t)~SY_REVERSE;
    else if (v >= 30 && v <= 37)
        pen->fg = (int16_t)(v - 30);
    else if (v == 39)
        pen->fg = -1;
    else if (v >= 40 && v <= 47)
        pen->bg = (int16_t)(v - 40);
    else if (v == 49)
        pen->bg = -1;
    else if (v >= 90 && v <= 97)
        pen->fg = (int16_t)(v - 90 + 8);
    else if (v >= 100 && v <= 107)
        pen->bg = (int16_t)(v - 100 + 8);
}

void sy__sgr_apply(struct sy_pen *pen, const char *s, size_t n)
{
    int p[16], count = 0, v = 0;
    for (size_t i = 0; i <= n && count < 16; i++)
        if (i == n || s[i] == ';' || s[i] == ':') {
            p[count++] = v;
            v = 0;
        } else if (v < 1000)
            v = v * 10 + (s[i] - '0');
    for (int i = 0; i < count; i++)
        if (p[i] == 38)
            i += extended(p + i + 1, count - i - 1, &pen->fg);
        else if (p[i] == 48)
            i += extended(p + i + 1, count - i - 1, &pen->bg);
        else
            apply_one(pen, p[i]);
}

void sy__sgr_put(struct sy_str *out, struct sy_pen pen)
{
    sy_str_puts(out, "\033[0");
    for (int i = 0; i < 4; i++)
        if (pen.attr & (1 << i))
            sy_str_printf(out, ";%d", (const int[]){1, 2, 7, 4}[i]);
    if (pen.fg >= 0)
        sy_str_printf(out, pen.fg < 8 ? ";3%d" : ";38;5;%d", pen.fg);
    if (pen.bg >= 0)
        sy_str_printf(out, pen.bg < 8 ? ";4%d" : ";48;5;%d", pen.bg);
    sy_str_puts(out, "m");
}

void sy_sgr_pens(struct sy_str *out, const struct sy_theme *look)
{
    if (!look->colours)
        return;
    sy__sgr_put(out, sy_theme_pen(look, SY_ROLE_DIM));
    for (int i = 0; i < SY_MEMBERS; i++) {
        sy_str_puts(out, "\n");
        sy__sgr_put(out, sy_theme_member(look, i));
    }
}
