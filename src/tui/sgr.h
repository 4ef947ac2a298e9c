/* Pens as escape sequences: "ESC [ 1 ; 31 m" (SGR, ECMA-48 8.3.117).  Layer tui. */
#ifndef SY_TUI_SGR_H
#define SY_TUI_SGR_H

#include "base/str.h"
#include "tui/grid.h"

/* The n bytes of numbers, without ESC [ and m, on a pen. */
void sy__sgr_apply(struct sy_pen *pen, const char *s, size_t n);
/* The sequence that makes it this pen, whatever was before. */
void sy__sgr_put(struct sy_str *out, struct sy_pen pen);

/* For what others print, a line each: what dims, then the SY_MEMBERS pens of sy_theme_member.
 * Nothing where the look has no colours. */
void sy_sgr_pens(struct sy_str *out, const struct sy_theme *look);

#endif
