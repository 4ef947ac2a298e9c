/* UTF-8: validation, decoding, and the one sanitizer through which text from data, files and models
 * passes before it reaches a terminal. */
#ifndef SY_BASE_UTF8_H
#define SY_BASE_UTF8_H
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>
/* Length of the valid prefix of s[0..n) in bytes (n when all is valid). */
size_t sy_utf8_valid(const char *s, size_t n);
/* Decode one character; returns its length 1..4, or 0 when invalid or cut short. */
int sy_utf8_decode(const char *s, size_t n, uint32_t *code);
int sy_utf8_encode(uint32_t code, char out[4]); /* length, 0 when not a scalar value */
/* Append s to out; C0 (but newline and tab), DEL, C1, bidi controls and invalid bytes become
 * visible: \xNN for bytes, \u{N} for characters. */
void sy_utf8_sanitize(struct sy_str *out, const char *s, size_t n);
/* The same for what must stay one line: newline and tab, too. */
void sy_utf8_line(struct sy_str *out, const char *s, size_t n);
/* What a terminal would obey, or what reorders text: the characters that the sanitizer makes
 * visible. */
bool sy_utf8_is_control(uint32_t code);
/* Nothing, or a space of another kind: what makes two names look like one. */
bool sy_utf8_is_invisible(uint32_t code);
#endif
