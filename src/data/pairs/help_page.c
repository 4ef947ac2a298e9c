/* Reading help pages (help_page_int.h).
 *
 *     <p id="par_id3155069" class="paragraph">Opens the <span class="emph">file</span>.</p>
 *
 *  1. Pages are hostile as any file: what does not end ends with the page, and nothing is nested
 *     but tags in an element's text, which are skipped.
 *  2. An id that stands twice in a page is that of its first element. */
#include "data/pairs/help_page_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "data/pairs/pair_list_int.h"
#include "data/text_int.h"

#include <string.h>
#include <strings.h>

/* ---- text of an element ---- */

static const struct {
    const char *name, *utf8;
} names[] = {{"amp;", "&"}, {"lt;", "<"}, {"gt;", ">"}, {"quot;", "\""}, {"apos;", "'"},
             {"nbsp;", " "}};

/* Number of a character, "#233;" or "#xe9;"; how many bytes it took; 0: it is none. */
static size_t read_number(struct sy__text s, uint32_t *c)
{
    bool hex = s.n > 1 && (s.s[1] | 32) == 'x';
    size_t i = hex ? 2 : 1, first = i;
    *c = 0;
    for (; i < s.n && i < first + 8; i++) {
        char d = s.s[i];
        int digit = d >= '0' && d <= '9'                        ? d - '0'
                    : hex && (d | 32) >= 'a' && (d | 32) <= 'f' ? (d | 32) - 'a' + 10
                                                                : -1;
        if (digit < 0)
            break;
        *c = *c * (hex ? 16 : 10) + (uint32_t)digit;
    }
    return i > first && i < s.n && s.s[i] == ';' ? i + 1 : 0;
}

/* Behind an ampersand: append the character; how many bytes it took, 0: it is none. */
static size_t put_character(struct sy_str *out, struct sy__text s)
{
    uint32_t c;
    char utf8[4];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t k = strlen(names[i].name);
        if (s.n >= k && !memcmp(s.s, names[i].name, k)) {
            sy_str_puts(out, names[i].utf8);
            return k;
        }
    }
    size_t k = s.n && s.s[0] == '#' ? read_number(s, &c) : 0;
    int bytes = k && c >= ' ' ? sy_utf8_encode(c, utf8) : 0;
    sy_str_add(out, utf8, (size_t)bytes);
    return bytes ? k : 0;
}

static void put_space(struct sy_str *out, size_t from)
{
    if (out->len > from && out->data[out->len - 1] != ' ')
        sy_str_add(out, " ", 1);
}

static void put_text(struct sy_str *out, struct sy__text s)
{
    size_t from = out->len;
    for (size_t i = 0; i < s.n;) {
        char c = s.s[i];
        if (c == '<') {
            const char *end = memchr(s.s + i, '>', s.n - i);
            if (s.n - i > 3 && !strncasecmp(s.s + i, "<br", 3))
                put_space(out, from);
            i = end ? (size_t)(end - s.s) + 1 : s.n;
        } else if (sy__is_space(c)) {
            put_space(out, from);
            i++;
        } else {
            struct sy__text rest = {s.s + i + 1, s.n - i - 1};
            size_t k = c == '&' ? put_character(out, rest) : 0;
            if (!k)
                sy_str_add(out, &c, 1);
            i += 1 + k;
        }
    }
}

/* ---- elements ---- */

/* 1 to 6 of a heading, 0 of a paragraph, -1: another tag. */
static int kind_of(struct sy__text tag)
{
    if (tag.n > 2 && (tag.s[0] | 32) == 'p' && tag.s[1] == ' ')
        return 0;
    bool heading = tag.n > 3 && (tag.s[0] | 32) == 'h' && tag.s[1] >= '1' && tag.s[1] <= '6' &&
                   tag.s[2] == ' ';
    return heading ? tag.s[1] - '0' : -1;
}

/* The id of a tag that begins with one of the help's; none: n 0. */
static struct sy__text id_of(struct sy__text tag)
{
    static const char key[] = " id=\"";
    const char *at = memmem(tag.s, tag.n, key, sizeof key - 1);
    if (!at)
        return (struct sy__text){tag.s, 0};
    at += sizeof key - 1;
    size_t left = tag.n - (size_t)(at - tag.s);
    const char *end = memchr(at, '"', left);
    size_t n = end ? (size_t)(end - at) : 0;
    bool ours = (n > 6 && !memcmp(at, "par_id", 6)) || (n > 5 && !memcmp(at, "hd_id", 5));
    return (struct sy__text){at, ours ? n : 0};
}

static int add_element(struct sy__help_page *p, struct sy__text id, struct sy__text inner,
                       struct sy_err *err)
{
    int64_t *number = sy__words_at(&p->ids, id.s, id.n);
    if (!number || SY_GROW(p->element, p->cap, p->n + 1))
        return sy__no_pair_memory(err);
    if (*number)
        return 0;
    size_t at = p->text.len;
    put_text(&p->text, inner);
    p->element[p->n++] = (struct sy__help_element){at, p->text.len - at};
    *number = p->n;
    return p->text.failed ? sy__no_pair_memory(err) : 0;
}

/* What is before "</p>" or "</h1>", or the rest. */
static size_t inner_length(struct sy__text rest, int kind)
{
    char close[6] = "</p>";
    if (kind)
        memcpy(close, (char[]){'<', '/', 'h', (char)('0' + kind), '>', 0}, 6);
    const char *end = memmem(rest.s, rest.n, close, strlen(close));
    return end ? (size_t)(end - rest.s) : rest.n;
}

int sy__help_page_read(struct sy__help_page *p, const char *html, size_t n, struct sy_err *err)
{
    const char *at = html, *end = html + n;
    sy_str_clear(&p->text);
    sy__words_clear(&p->ids);
    p->n = 0;
    while (at < end && (at = memchr(at, '<', (size_t)(end - at)))) {
        const char *close = memchr(at, '>', (size_t)(end - at));
        if (!close)
            return 0;
        struct sy__text tag = {at + 1, (size_t)(close - at - 1)}, id = {at, 0};
        int kind = kind_of(tag);
        at = close + 1;
        if (kind >= 0)
            id = id_of(tag);
        if (!id.n)
            continue;
        struct sy__text rest = {at, (size_t)(end - at)};
        rest.n = inner_length(rest, kind);
        if (add_element(p, id, rest, err))
            return -1;
        at += rest.n;
    }
    return 0;
}

void sy__help_page_free(struct sy__help_page *p)
{
    sy_str_free(&p->text);
    sy_free(p->element);
    sy__words_free(&p->ids);
    *p = (struct sy__help_page){0};
}
