/* The ring of lines, which scroll.c writes and scroll_view.c shows.  Layer tui.
 *
 *     ring of finished lines, by number:  first ... end - 1, then the open one, end
 *     a line: bytes of UTF-8 and "ESC [ ... m", and the pen at its beginning */
#ifndef SY_TUI_SCROLL_INT_H
#define SY_TUI_SCROLL_INT_H

#include "tui/scroll.h"

#include "base/str.h"

#define SY__ESCAPE_MAX 64

static const struct sy_pen plain = {-1, -1, 0};

struct sy__line {
    char *text; /* owned; NULL is empty */
    uint32_t len;
    struct sy_pen pen;
};

struct sy_scroll {
    struct sy__line *ring;  /* [SY_SCROLL_LINES] */
    int64_t first, end; /* numbers of the oldest line and of the open one */
    size_t bytes;
    struct sy_str open;
    struct sy_pen open_pen, pen; /* at the open line's beginning, now */
    bool returned;               /* a carriage return came: text replaces the line */

    int state; /* scroll.c: in an escape sequence */
    char escape[SY__ESCAPE_MAX];
    int escape_len;
    char cut[4]; /* a character that is not complete yet */
    int cut_len;

    bool follow, changed, bell;
    int64_t line, floor; /* of the view's bottom row; first line shown while following */
    int row, w, h;
};

static inline struct sy__line *sy__line_at(const struct sy_scroll *s, int64_t number)
{
    return &s->ring[number % SY_SCROLL_LINES];
}

#endif
