/* The scrollback: what was printed, and where one looks at it.  Layer tui, knows no terminal.
 *
 *     bytes of any kind --write--> lines (sanitized UTF-8 with colours) --draw--> rows of a grid
 *
 *  1. Bytes are read as a terminal would, in pieces cut anywhere: newline, carriage return (the
 *     line begins anew), backspace, tabs, colours (SGR).  Any other escape sequence is dropped;
 *     control characters, bidi controls and invalid UTF-8 become visible text (base/utf8.h).
 *  2. Memory is bounded: SY_SCROLL_LINES lines of at most SY_SCROLL_LINE bytes, SY_SCROLL_BYTES in
 *     all; the oldest go.  When memory is out, text is lost, nothing else.
 *  3. At the end the view follows what comes; scrolled up it stays on its lines while others come.
 */
#ifndef SY_TUI_SCROLL_H
#define SY_TUI_SCROLL_H

#include "tui/grid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY_SCROLL_LINES 10000
#define SY_SCROLL_LINE 8192
#define SY_SCROLL_BYTES (16u << 20)

struct sy_scroll;

struct sy_scroll *sy_scroll_new(void); /* owned; NULL: out of memory */
void sy_scroll_free(struct sy_scroll *s);

void sy_scroll_write(struct sy_scroll *s, const char *bytes, size_t n);
/* A text of our own in one pen, on lines of its own; a newline at its end is not needed. */
void sy_scroll_say(struct sy_scroll *s, const char *text, struct sy_pen pen);
/* What was entered at a prompt: the prompt in its pen, the text as it is. */
void sy_scroll_echo(struct sy_scroll *s, const char *prompt, const char *text, struct sy_pen pen);
/* End the line that has no newline yet, if there is one. */
void sy_scroll_break(struct sy_scroll *s);
/* Let the view begin empty (Ctrl-L); what was there can still be scrolled to. */
void sy_scroll_clear_view(struct sy_scroll *s);

/* Into a rectangle, newest at the bottom.  Colours that the look lacks are left out.  tell: when it
 * is scrolled up, its last row says how much is below. */
void sy_scroll_draw(struct sy_scroll *s, struct sy_grid *g, struct sy_rect r,
                    const struct sy_theme *look, bool tell);
/* Move by rows of the last drawing: up is negative.  false: it was at that end already. */
bool sy_scroll_move(struct sy_scroll *s, int rows);
void sy_scroll_end(struct sy_scroll *s);            /* follow again */
int64_t sy_scroll_below(const struct sy_scroll *s); /* lines below the view; 0: it follows */
bool sy_scroll_changed(struct sy_scroll *s);        /* would a drawing differ?  Asking answers. */

bool sy_scroll_bell(struct sy_scroll *s);           /* did a bell come?  Asking answers. */
int64_t sy_scroll_count(const struct sy_scroll *s); /* lines that ever came */
/* The newest lines, at most so many, as text with or without colours. */
void sy_scroll_tail(const struct sy_scroll *s, int lines, bool colours, struct sy_str *out);

#endif
