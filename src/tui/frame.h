/* Boxes with a title above and text below, and glyphs that depend on the symbols.  Layer tui. */
#ifndef SY_TUI_FRAME_H
#define SY_TUI_FRAME_H

#include "tui/grid.h"

enum sy_glyph {
    SY_GLYPH_H,
    SY_GLYPH_V,
    SY_GLYPH_TL,
    SY_GLYPH_TR,
    SY_GLYPH_BL,
    SY_GLYPH_BR,
    SY_GLYPH_VALID, /* a validation */
    SY_GLYPH_EVENT, /* an intervention */
    SY_GLYPH_CLIP,  /* more above */
    SY_GLYPH_CLIP_LOW,
    SY_GLYPH_NAN, /* not a number */
    SY_GLYPH_NAN_LINE,
    SY_GLYPH_CURSOR,
    SY_GLYPH_TICK,
    SY_GLYPH_DOT,
    SY_GLYPH_DASH,
    SY_GLYPH_TIMES,
    SY_GLYPH_DEAD,
    SY_GLYPH_SAVED,
    SY_GLYPH_READOUT,
    SY_GLYPH_MORE,
    SY_GLYPH_LEGEND,
    SY_GLYPH_COUNT
};
uint32_t sy_glyph(const struct sy_theme *look, enum sy_glyph glyph);
/* The same as UTF-8. */
const char *sy_glyph_text(const struct sy_theme *look, enum sy_glyph glyph);

/* Draw the frame of r and clear what is in it; the title's first part (to " ·" or two
 * spaces) stands out.  Returns the
 * inside. */
struct sy_rect sy_frame(struct sy_grid *g, const struct sy_theme *look, struct sy_rect r,
                        const char *title, bool focus);
/* Text in the frame's lower line, from column x of the inside; returns the columns used. */
int sy_frame_foot(struct sy_grid *g, struct sy_rect r, int x, const char *text, struct sy_pen pen);
/* In ASCII looks, our own signs in a text become ASCII: "·" "–" "×" "…" "←" ... */
void sy_theme_text(const struct sy_theme *look, const char *text, char *out, size_t size);

#endif
