/* The parts of a typed line that deserve a colour.  Layer repl.  It draws nothing: the screen
 * decides. */
#ifndef SY_REPL_HIGHLIGHT_H
#define SY_REPL_HIGHLIGHT_H

#include <stdbool.h>
#include <stddef.h>

enum sy_span_kind {
    SY_SPAN_KEYWORD,
    SY_SPAN_STRING,  /* with its quotes; also one that is not closed yet */
    SY_SPAN_NUMBER,
    SY_SPAN_COMMENT,
    SY_SPAN_WRONG,   /* closes nothing, or a character that Lua has no use for */
    SY_SPAN_COMMAND  /* ?name, !command, :command */
};

struct sy_span {
    size_t at, n; /* bytes */
    enum sy_span_kind kind;
};

/* Spans of text[0..n), in order and apart, at most max of them.  Any bytes; may hold newlines.
 * Returns how many.  Thread: any. */
size_t sy_highlight(const char *text, size_t n, struct sy_span *spans, size_t max);

/* The bracket that belongs to the one at `point`, or before it when there is none at point: for
 * showing the pair.  Those in strings and comments do not count.  False: there is none. */
bool sy_highlight_pair(const char *text, size_t n, size_t point, size_t *from, size_t *to);

#endif
