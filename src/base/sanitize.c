/* Text made safe for a terminal; see base/sanitize.h. */
#include "base/sanitize.h"

#include "base/utf8.h"

#include <string.h>

static void sanitize(struct sy_str *out, const char *s, size_t n, const char *kept)
{
    for (size_t i = 0; i < n;) {
        uint32_t code;
        int length = sy_utf8_decode(s + i, n - i, &code);
        bool keep = length &&
                    (!sy_utf8_is_control(code) || (code && code < 0x80 && strchr(kept, (int)code)));
        if (keep)
            sy_str_add(out, s + i, (size_t)length);
        else if (length < 2)
            sy_str_printf(out, "\\x%02X", (unsigned)(unsigned char)s[i]);
        else
            sy_str_printf(out, "\\u{%X}", (unsigned)code);
        i += length ? (size_t)length : 1;
    }
}

void sy_utf8_sanitize(struct sy_str *out, const char *s, size_t n) { sanitize(out, s, n, "\n\t"); }

void sy_utf8_line(struct sy_str *out, const char *s, size_t n) { sanitize(out, s, n, ""); }
