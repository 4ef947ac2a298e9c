/* UTF-8: validation, decoding, encoding; what a terminal would obey. */
#ifndef SY_BASE_UTF8_H
#define SY_BASE_UTF8_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Length of the valid prefix of s[0..n) in bytes (n when all is valid). */
size_t sy_utf8_valid(const char *s, size_t n);
/* Decode one character; returns its length 1..4, or 0 when invalid or cut short. */
int sy_utf8_decode(const char *s, size_t n, uint32_t *code);
int sy_utf8_encode(uint32_t code, char out[4]); /* length, 0 when not a scalar value */
/* What a terminal would obey, or what reorders text: the characters that the sanitizer makes
 * visible. */
bool sy_utf8_is_control(uint32_t code);
/* Nothing, or a space of another kind: what makes two names look like one. */
bool sy_utf8_is_invisible(uint32_t code);
#endif
