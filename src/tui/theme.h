/* How things look on this terminal: which symbols, how many colours, and the colours themselves by
 * what they mean.  Layer tui; knows no environment: whoever does passes what it found.
 *
 *  1. Nothing is shown by colour alone: with colours == 0 every picture still says the same. */
#ifndef SY_TUI_THEME_H
#define SY_TUI_THEME_H

#include <stdbool.h>
#include <stdint.h>

enum sy_symbols { SY_SYMBOLS_ASCII, SY_SYMBOLS_BLOCKS, SY_SYMBOLS_BRAILLE };

struct sy_theme {
    enum sy_symbols symbols;
    int colours; /* 256, 8 or 0 */
    bool light;  /* the terminal's background; ordinary text has its own colour on either */
};

/* What a theme that is asked for by name sets, and to what. */
enum sy_theme_part { SY_THEME_AUTO, SY_THEME_LIGHT, SY_THEME_COLOURS, SY_THEME_SYMBOLS };
struct sy_theme_row {
    const char *name;
    enum sy_theme_part part;
    int value;
};
const struct sy_theme_row *sy_theme_find(const char *name); /* static; NULL: no such name */
/* For people: "auto, dark, ...; braille, ...", borrowed for ever. */
const char *sy_theme_names(void);
/* All but AUTO, on a terminal with so many colours: what it has not is had as near as it has. */
void sy_theme_apply(struct sy_theme *look, const struct sy_theme_row *row, bool utf8, int colours);

/* From nl_langinfo(CODESET), TERM, SWITCHYARD_SYMBOLS, NO_COLOR, COLORFGBG (each may be NULL) and
 * the number of colours that the terminal has.  An unknown SWITCHYARD_SYMBOLS is as none. */
struct sy_theme sy_theme_choose(const char *codeset, const char *term, const char *symbols,
                              const char *no_color, const char *fgbg, int colours);

enum sy_attr { SY_BOLD = 1, SY_DIM = 2, SY_REVERSE = 4, SY_UNDERLINE = 8 };

/* A way to write: colours -1 (the terminal's own) or 0-255 (0-7 when there are 8), and attributes.
 */
struct sy_pen {
    int16_t fg, bg;
    uint8_t attr;
};
static inline bool sy_same_pen(struct sy_pen a, struct sy_pen b)
{
    return a.fg == b.fg && a.bg == b.bg && a.attr == b.attr;
}

enum sy_role {
    SY_ROLE_TEXT,
    SY_ROLE_DIM, /* labels, ticks */
    SY_ROLE_FRAME,
    SY_ROLE_FOCUS, /* the frame of the pane that has the keys */
    SY_ROLE_TITLE,
    SY_ROLE_VALUE, /* numbers that people look for */
    SY_ROLE_GOOD,
    SY_ROLE_WARN,
    SY_ROLE_BAD,   /* NaN, dead, failed */
    SY_ROLE_EVENT, /* interventions */
    SY_ROLE_VALID, /* validation */
    SY_ROLE_CURSOR,
    SY_ROLE_BAR, /* status line */
    SY_ROLE_PROMPT,
    SY_ROLE_COUNT
};
struct sy_pen sy_theme_pen(const struct sy_theme *look, enum sy_role role);
/* The colour of curve number i (from 0), and of the envelope behind it. */
struct sy_pen sy_theme_curve(const struct sy_theme *look, int i);
/* Of many things that are to be told apart, i from 0: the colours of curves, then the same
 * underlined, reversed, and both; after SY_MEMBERS they begin again. */
#define SY_MEMBERS 32
struct sy_pen sy_theme_member(const struct sy_theme *look, int i);
struct sy_pen sy_theme_envelope(const struct sy_theme *look, int i);
/* A ramp for 0 <= v <= 1 (v outside is taken to the nearest end): a colour of 256 (viridis), else
 * -1.  Perceived lightness rises with v, so that it is read the same without hue. */
int sy_theme_heat(const struct sy_theme *look, double v);
/* From blue over dark to yellow for -1 <= v <= 1 (cividis' ends): what went down and up. */
int sy_theme_diverge(const struct sy_theme *look, double v);
char sy_theme_ramp(double v); /* of " .:-=+*#%@" */

#endif
