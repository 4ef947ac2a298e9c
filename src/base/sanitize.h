/* The one sanitizer through which text from data, files and models passes before it reaches a
 * terminal. */
#ifndef SY_BASE_SANITIZE_H
#define SY_BASE_SANITIZE_H

#include "base/str.h"

/* Append s to out; C0 (but newline and tab), DEL, C1, bidi controls and invalid bytes become
 * visible: \xNN for bytes, \u{N} for characters. */
void sy_utf8_sanitize(struct sy_str *out, const char *s, size_t n);
/* The same for what must stay one line: newline and tab, too. */
void sy_utf8_line(struct sy_str *out, const char *s, size_t n);

#endif
