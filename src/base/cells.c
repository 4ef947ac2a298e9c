/* Columns of characters.  See cells.h. */
#include "base/cells.h"

#include "base/utf8.h"

#include <wchar.h>

/* Bidi controls reorder what stands beside them; zero-width ones hide what is there; tags and the
 * line separators are nothing that a cell can show. */
static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || c == 0xAD ||
           (c >= 0x200B && c <= 0x200F && c != 0x200D) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF0 && c <= 0xFFFB) ||
           (c >= 0xE0000 && c <= 0xE0FFF) || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF);
}

/* Lines, blocks, geometry, braille, arrows and the signs of our own drawing: one column, whatever
 * the C library's locale says. */
static bool is_ours(uint32_t c)
{
    return (c >= 0x2190 && c <= 0x2193) || (c >= 0x2500 && c <= 0x25C6) ||
           (c >= 0x2800 && c <= 0x28FF) || c == 0xB7 || c == 0xD7 || c == 0x2013 || c == 0x2014 ||
           c == 0x2026 || c == 0xFFFD;
}

/* On some terminals: then columns are others than ours, and what was deleted stays. */
bool sy_cell_joins(uint32_t c)
{
    return c == 0x200D || c == 0xFE0E || c == 0xFE0F || (c >= 0x1F3FB && c <= 0x1F3FF);
}

#define FLAG_A 0x1F1E6 /* letters of which two are a flag, somewhere: here they are letters */
#define FLAG_Z 0x1F1FF

int sy_char_width(uint32_t c)
{
    if (c < 0x7F || is_ours(c) || is_unsafe(c) || (c >= FLAG_A && c <= FLAG_Z))
        return 1;
    if (sy_cell_joins(c))
        return 0;
    int w = wcwidth((wchar_t)c);
    return w < 0 ? 1 : w;
}

uint32_t sy_cell_shown(uint32_t c)
{
    return is_unsafe(c) ? 0xFFFD : c >= FLAG_A && c <= FLAG_Z ? 'A' + c - FLAG_A : c;
}

size_t sy_cell_next(const char *s, size_t n, uint32_t *c)
{
    int k = sy_utf8_decode(s, n, c);
    *c = k <= 0 ? 0xFFFD : sy_cell_shown(*c);
    if (sy_char_width(*c) == 1 && *c >= 0x7F && !is_ours(*c) && wcwidth((wchar_t)*c) < 0)
        *c = 0xFFFD; /* no font has it: its width would be a guess */
    return k > 0 ? (size_t)k : 1;
}

int sy_text_width(const char *text, size_t n)
{
    int columns = 0;
    uint32_t c;
    for (size_t i = 0; i < n; columns += sy_char_width(c))
        i += sy_cell_next(text + i, n - i, &c);
    return columns;
}

size_t sy_text_fit(const char *text, size_t n, int columns)
{
    size_t i = 0;
    while (i < n) {
        uint32_t c;
        size_t k = sy_cell_next(text + i, n - i, &c);
        columns -= sy_char_width(c);
        if (columns < 0)
            break;
        i += k;
    }
    return i;
}
