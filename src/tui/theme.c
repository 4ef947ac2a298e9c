/* Symbols and colours.  See theme.h.  The heat ramp is viridis (Smith & van der Walt 2015) taken to
 * the colours of the 256-colour cube whose lightness rises from each to the next. */
#include "tui/theme.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_utf8(const char *codeset)
{
    return codeset && (!strcasecmp(codeset, "UTF-8") || !strcasecmp(codeset, "UTF8"));
}

static bool starts_with(const char *s, const char *with)
{
    return s && !strncmp(s, with, strlen(with));
}

/* The Linux console has no braille in its fonts, but blocks. */
static enum sy_symbols natural_symbols(const char *codeset, const char *term)
{
    if (!is_utf8(codeset) || !term || !*term || starts_with(term, "vt") || !strcmp(term, "dumb"))
        return SY_SYMBOLS_ASCII;
    return !strcmp(term, "linux") ? SY_SYMBOLS_BLOCKS : SY_SYMBOLS_BRAILLE;
}

/* rxvt, Konsole and others say "15;0", or "0;default;15": the last is the background, one of the 16
 * colours, of which 7 and the bright ones but grey (8) are light. */
static bool is_light(const char *fgbg)
{
    const char *last = fgbg ? strrchr(fgbg, ';') : NULL;
    char *end;
    long bg = last ? strtol(last + 1, &end, 10) : -1;
    return last && end != last + 1 && !*end && (bg == 7 || (bg > 8 && bg < 16));
}

static const struct sy_theme_row themes[] = {{"auto", SY_THEME_AUTO, 0},
                                             {"dark", SY_THEME_LIGHT, false},
                                             {"light", SY_THEME_LIGHT, true},
                                             {"256", SY_THEME_COLOURS, 256},
                                             {"8", SY_THEME_COLOURS, 8},
                                             {"none", SY_THEME_COLOURS, 0},
                                             {"braille", SY_THEME_SYMBOLS, SY_SYMBOLS_BRAILLE},
                                             {"blocks", SY_THEME_SYMBOLS, SY_SYMBOLS_BLOCKS},
                                             {"ascii", SY_THEME_SYMBOLS, SY_SYMBOLS_ASCII}};
#define THEMES (sizeof themes / sizeof *themes)

const struct sy_theme_row *sy_theme_find(const char *name)
{
    for (size_t i = 0; i < THEMES; i++)
        if (!strcmp(themes[i].name, name))
            return &themes[i];
    return NULL;
}

static void print_names(char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < THEMES && n < size; i++) {
        bool other = i && themes[i].part == SY_THEME_SYMBOLS &&
                     themes[i - 1].part != SY_THEME_SYMBOLS;
        n += (size_t)snprintf(out + n, size - n, "%s%s", !i ? "" : other ? "; " : ", ",
                              themes[i].name);
    }
}

const char *sy_theme_names(void)
{
    static _Thread_local char names[128];
    if (!*names)
        print_names(names, sizeof names);
    return names;
}

void sy_theme_apply(struct sy_theme *look, const struct sy_theme_row *row, bool utf8, int colours)
{
    if (row->part == SY_THEME_LIGHT)
        look->light = row->value;
    else if (row->part == SY_THEME_COLOURS)
        look->colours = row->value < colours ? row->value : colours > 0 ? colours : 0;
    else if (row->part == SY_THEME_SYMBOLS)
        look->symbols = utf8 ? (enum sy_symbols)row->value : SY_SYMBOLS_ASCII;
}

struct sy_theme sy_theme_choose(const char *codeset, const char *term, const char *symbols,
                              const char *no_color, const char *fgbg, int colours)
{
    struct sy_theme look = {natural_symbols(codeset, term), 0, is_light(fgbg)};
    const struct sy_theme_row *wanted = symbols ? sy_theme_find(symbols) : NULL;
    if (wanted && wanted->part == SY_THEME_SYMBOLS) /* its word is taken, whatever the codeset */
        sy_theme_apply(&look, wanted, true, 0);
    if (!(no_color && *no_color))
        look.colours = colours >= 256 ? 256 : colours >= 8 ? 8 : 0;
    return look;
}

struct role {
    struct sy_pen many, eight, none; /* with 256, 8 and no colours */
};

static const struct role roles[SY_ROLE_COUNT] = {
    [SY_ROLE_TEXT] = {{-1, -1, 0}, {-1, -1, 0}, {-1, -1, 0}},
    [SY_ROLE_DIM] = {{245, -1, 0}, {-1, -1, SY_DIM}, {-1, -1, 0}},
    [SY_ROLE_FRAME] = {{240, -1, 0}, {4, -1, 0}, {-1, -1, 0}},
    [SY_ROLE_FOCUS] = {{80, -1, SY_BOLD}, {6, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_TITLE] = {{-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_VALUE] = {{-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_GOOD] = {{114, -1, 0}, {2, -1, 0}, {-1, -1, 0}},
    [SY_ROLE_WARN] = {{214, -1, SY_BOLD}, {3, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_BAD] = {{203, -1, SY_BOLD}, {1, -1, SY_BOLD}, {-1, -1, SY_BOLD | SY_REVERSE}},
    [SY_ROLE_EVENT] = {{177, -1, SY_BOLD}, {5, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_VALID] = {{220, -1, SY_BOLD}, {3, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_CURSOR] = {{-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_BAR] = {{252, 236, 0}, {-1, -1, SY_REVERSE}, {-1, -1, SY_REVERSE}},
    [SY_ROLE_PROMPT] = {{80, -1, SY_BOLD}, {6, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
};

/* On white: 256 colours of contrast 4.5 or more (WCAG 2.1, 1.4.3), but for frames. */
static const struct role light_roles[SY_ROLE_COUNT] = {
    [SY_ROLE_TEXT] = {{-1, -1, 0}, {-1, -1, 0}, {-1, -1, 0}},
    [SY_ROLE_DIM] = {{241, -1, 0}, {-1, -1, SY_DIM}, {-1, -1, 0}},
    [SY_ROLE_FRAME] = {{248, -1, 0}, {4, -1, 0}, {-1, -1, 0}},
    [SY_ROLE_FOCUS] = {{24, -1, SY_BOLD}, {4, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_TITLE] = {{-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_VALUE] = {{-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_GOOD] = {{22, -1, 0}, {2, -1, 0}, {-1, -1, 0}},
    [SY_ROLE_WARN] = {{94, -1, SY_BOLD}, {1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_BAD] = {{124, -1, SY_BOLD}, {1, -1, SY_BOLD}, {-1, -1, SY_BOLD | SY_REVERSE}},
    [SY_ROLE_EVENT] = {{90, -1, SY_BOLD}, {5, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_VALID] = {{88, -1, SY_BOLD}, {1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_CURSOR] = {{-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
    [SY_ROLE_BAR] = {{234, 253, 0}, {-1, -1, SY_REVERSE}, {-1, -1, SY_REVERSE}},
    [SY_ROLE_PROMPT] = {{24, -1, SY_BOLD}, {4, -1, SY_BOLD}, {-1, -1, SY_BOLD}},
};

struct sy_pen sy_theme_pen(const struct sy_theme *look, enum sy_role role)
{
    const struct role *r = look->light ? &light_roles[role] : &roles[role];
    return look->colours == 256 ? r->many : look->colours == 8 ? r->eight : r->none;
}

/* Hues that the usual kinds of colour blindness keep apart (after Okabe & Ito 2008). */
static const int16_t curves[] = {81, 215, 79, 211, 227, 146, 174, 255};
static const int16_t envelopes[] = {24, 94, 23, 89, 100, 60, 95, 240};
static const int16_t eight[] = {6, 3, 2, 5, 7, 4, 1, 7};
static const int16_t light_curves[] = {25, 130, 29, 125, 58, 61, 95, 238};
static const int16_t light_envelopes[] = {153, 223, 158, 218, 187, 189, 181, 250};
static const int16_t light_eight[] = {4, 1, 2, 5, 6, 0, 1, 0};

struct sy_pen sy_theme_curve(const struct sy_theme *look, int i)
{
    int k = i % 8;
    if (look->colours == 256)
        return (struct sy_pen){look->light ? light_curves[k] : curves[k], -1, 0};
    int16_t one = look->light ? light_eight[k] : eight[k];
    return (struct sy_pen){look->colours == 8 ? one : (int16_t)-1, -1, SY_BOLD};
}

struct sy_pen sy_theme_member(const struct sy_theme *look, int i)
{
    static const uint8_t attr[] = {0, SY_UNDERLINE, SY_REVERSE, SY_REVERSE | SY_UNDERLINE};
    int hues = look->colours == 256 ? 8 : 6; /* of 8 colours, so many are not one another */
    struct sy_pen pen = sy_theme_curve(look, i % hues);
    pen.attr |= attr[i / hues % 4];
    return pen;
}

struct sy_pen sy_theme_envelope(const struct sy_theme *look, int i)
{
    int k = i % 8;
    if (look->colours == 256)
        return (struct sy_pen){look->light ? light_envelopes[k] : envelopes[k], -1, 0};
    return (struct sy_pen){look->colours == 8 ? (eight[k] == 4 ? 6 : 4) : (int16_t)-1, -1, SY_DIM};
}

static double unit(double v)
{
    return v > 0 ? v < 1 ? v : 1 : 0; /* NaN: 0 */
}

int sy_theme_heat(const struct sy_theme *look, double v)
{
    static const int ramp[] = {53, 54, 24, 30, 36, 77, 113, 149, 191, 227};
    enum { N = sizeof ramp / sizeof *ramp };
    if (look->colours != 256)
        return -1;
    return ramp[(int)(unit(v) * (N - 1) + 0.5)];
}

int sy_theme_diverge(const struct sy_theme *look, double v)
{
    static const int ramp[] = {39, 33, 26, 19, 236, 94, 136, 178, 221};
    if (look->colours != 256)
        return -1;
    return ramp[(int)(unit((v + 1) / 2) * 8 + 0.5)];
}

char sy_theme_ramp(double v)
{
    return " .:-=+*#%@"[(int)(unit(v) * 9 + 0.5)];
}
