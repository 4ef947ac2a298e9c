/* The rows of the prompt: a prompt and a line of any length, with newlines, in a window of rows
 * that holds the cursor.  Layer tui, knows no editor. */
#ifndef SY_TUI_INPUT_H
#define SY_TUI_INPUT_H

#include "tui/grid.h"

#include <stddef.h>

struct sy_input {
    const char *prompt;
    const char *text;    /* UTF-8; control characters are shown as ^X */
    size_t n, point;     /* bytes; point <= n: the cursor */
    size_t from, to;     /* bytes shown in reverse (search, region); from == to: none */
    const uint8_t *role; /* [n] enum sy_role of each byte (SY_ROLE_TEXT: as it is), or NULL */
};

/* Rows that it takes at this width; at least 1. */
int sy_input_rows(const struct sy_input *in, int width);
/* Into a rectangle; when it has fewer rows, those around the cursor.  *x, *y: the cursor. */
void sy_input_draw(const struct sy_input *in, struct sy_grid *g, struct sy_rect r,
                   const struct sy_theme *look, struct sy_pen prompt, int *x, int *y);

#endif
