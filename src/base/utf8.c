/* UTF-8 by the table of well-formed byte sequences (Unicode 15, table 3-7); see base/utf8.h. */
#include "base/utf8.h"

#include <stdbool.h>

int sy_utf8_decode(const char *s, size_t n, uint32_t *code)
{
    const unsigned char *p = (const unsigned char *)s;
    if (n == 0)
        return 0;
    unsigned b = p[0];
    if (b < 0x80) {
        *code = b;
        return 1;
    }
    if (b < 0xC2 || b > 0xF4)
        return 0;
    int length = b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
    if (n < (size_t)length)
        return 0;
    /* The second byte's range excludes overlong forms, surrogates and codes past U+10FFFF. */
    unsigned low = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
    unsigned high = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    uint32_t c = b & (0x7Fu >> length);
    c = c << 6 | (p[1] & 0x3Fu);
    for (int i = 2; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    *code = c;
    return length;
}

size_t sy_utf8_valid(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t code;
        int length = sy_utf8_decode(s + i, n - i, &code);
        if (length == 0)
            break;
        i += (size_t)length;
    }
    return i;
}

int sy_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        if (code >= 0xD800 && code < 0xE000)
            return 0;
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    if (code > 0x10FFFF)
        return 0;
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* Characters that reorder text on the screen and so can disguise it (Unicode TR 36, 2.6). */
static bool is_bidi_control(uint32_t c)
{
    return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

static bool is_c0(uint32_t c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
}

void sy_utf8_sanitize(struct sy_str *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t code;
        int length = sy_utf8_decode(s + i, n - i, &code);
        if (length == 0 || is_c0(code)) {
            sy_str_printf(out, "\\x%02X", (unsigned)(unsigned char)s[i]);
            i++;
            continue;
        }
        if ((code >= 0x80 && code < 0xA0) || is_bidi_control(code))
            sy_str_printf(out, "\\u{%X}", (unsigned)code);
        else
            sy_str_add(out, s + i, (size_t)length);
        i += (size_t)length;
    }
}
