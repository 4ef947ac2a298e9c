/* The scrollback's lines: what is written becomes lines of text and colours.  See scroll.h;
 * scroll_view.c shows them.  Bytes go through a small automaton, for they come in pieces cut
 * anywhere:
 *
 *     TEXT --ESC--> ESC --[--> CSI --final byte--> TEXT      only ... m (colours) has an effect
 *                   ESC --] P X ^ _--> STRING --BEL, ESC \--> TEXT
 *                   ESC --( ) ...--> CHARSET --one byte--> TEXT */
#include "tui/scroll_int.h"

#include "base/mem.h"
#include "base/sanitize.h"
#include "base/utf8.h"
#include "tui/sgr.h"

#include <stdlib.h>
#include <string.h>

enum state { TEXT, ESC, CSI, STRING, STRING_ESC, CHARSET };

struct sy_scroll *sy_scroll_new(void)
{
    struct sy_scroll *s = sy_calloc(1, sizeof *s);
    if (!s || !(s->ring = sy_calloc(SY_SCROLL_LINES, sizeof *s->ring))) {
        sy_free(s);
        return NULL;
    }
    s->open_pen = s->pen = plain;
    s->follow = s->changed = true;
    s->w = 80;
    s->h = 1;
    return s;
}

static void drop_first(struct sy_scroll *s)
{
    struct sy__line *l = sy__line_at(s, s->first);
    s->bytes -= l->len;
    sy_free(l->text);
    *l = (struct sy__line){0};
    s->first++;
}

void sy_scroll_free(struct sy_scroll *s)
{
    if (!s)
        return;
    while (s->first < s->end)
        drop_first(s);
    sy_str_free(&s->open);
    sy_free(s->ring);
    sy_free(s);
}

/* ---- writing ---- */

static void finish_line(struct sy_scroll *s)
{
    if (s->end - s->first >= SY_SCROLL_LINES)
        drop_first(s);
    struct sy__line *l = sy__line_at(s, s->end);
    *l = (struct sy__line){NULL, 0, s->open_pen};
    if (s->open.len && (l->text = sy_alloc(s->open.len))) {
        memcpy(l->text, s->open.data, s->open.len);
        l->len = (uint32_t)s->open.len;
        s->bytes += l->len;
    }
    s->end++;
    while (s->bytes > SY_SCROLL_BYTES && s->first < s->end)
        drop_first(s);
    sy_str_clear(&s->open);
    s->open.failed = false;
    s->open_pen = s->pen;
    s->returned = false;
}

static void add_text(struct sy_scroll *s, const char *text, size_t n)
{
    if (s->returned) {
        sy_str_clear(&s->open);
        s->open_pen = s->pen;
        s->returned = false;
    }
    while (n) {
        size_t k = n;
        if (s->open.len >= SY_SCROLL_LINE)
            finish_line(s);
        if (k > SY_SCROLL_LINE / 4)
            k = sy_utf8_valid(text, SY_SCROLL_LINE / 4);
        if (!k)
            k = 1;
        sy_utf8_sanitize(&s->open, text, k);
        text += k;
        n -= k;
    }
}

static void rub_out(struct sy_scroll *s)
{
    size_t n = s->open.len;
    if (!n || s->returned || s->open.data[n - 1] == 'm')
        return; /* the end of a colour, perhaps */
    while (n && ((unsigned char)s->open.data[--n] & 0xC0) == 0x80)
        continue;
    s->open.data[s->open.len = n] = 0;
}

static void take_control(struct sy_scroll *s, unsigned char c)
{
    switch (c) {
    case '\n':
        finish_line(s);
        break;
    case '\r':
        s->returned = s->open.len > 0;
        break;
    case '\b':
        rub_out(s);
        break;
    case '\t':
        add_text(s, "\t", 1);
        break;
    case '\033':
        s->state = ESC;
        break;
    case '\a':
        s->bell = true;
        break;
    case '\016':
    case '\017':
        break;
    default:
        add_text(s, (const char *)&c, 1);
    }
}

static bool is_sgr(const char *s, int n)
{
    return (int)strspn(s, "0123456789;:") == n;
}

static void end_escape(struct sy_scroll *s, char last)
{
    s->state = TEXT;
    s->escape[s->escape_len] = 0;
    if (last != 'm' || !is_sgr(s->escape, s->escape_len))
        return;
    sy__sgr_apply(&s->pen, s->escape, (size_t)s->escape_len);
    if (s->returned || !s->open.len) {
        if (!s->returned)
            s->open_pen = s->pen;
        return;
    }
    if (s->open.len < SY_SCROLL_LINE)
        sy__sgr_put(&s->open, s->pen);
}

static void escape(struct sy_scroll *s, unsigned char c)
{
    switch (s->state) {
    case ESC:
        s->escape_len = 0;
        s->state = c == '['               ? CSI
                   : strchr("]PX^_", c)   ? STRING
                   : strchr("()*+#% ", c) ? CHARSET
                                          : TEXT;
        break;
    case CSI:
        if (c >= 0x40 && c <= 0x7E)
            end_escape(s, (char)c);
        else if (c < 0x20 || c > 0x7E) /* no sequence after all */
            s->state = TEXT;
        else if (s->escape_len < SY__ESCAPE_MAX - 1)
            s->escape[s->escape_len++] = (char)c;
        break;
    case STRING:
        s->state = c == '\a' ? TEXT : c == '\033' ? STRING_ESC : STRING;
        if (c == '\n') { /* it was none: nothing more is swallowed */
            s->state = TEXT;
            finish_line(s);
        }
        break;
    case STRING_ESC:
        s->state = c == '\\' ? TEXT : STRING;
        break;
    default:
        s->state = TEXT;
    }
}

/* Bytes at the end of s[0..n) that begin a character which may still be completed. */
static size_t cut_tail(const char *s, size_t n)
{
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        unsigned char c = (unsigned char)s[n - k];
        if ((c & 0xC0) == 0x80)
            continue;
        size_t want = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
        return want > k && c < 0xF5 ? k : 0;
    }
    return 0;
}

static size_t text_run(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (unsigned char)s[i] >= ' ' && s[i] != 0x7F)
        i++;
    return i;
}

static void write_text(struct sy_scroll *s, const char *bytes, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (s->state != TEXT) {
            escape(s, (unsigned char)bytes[i++]);
            continue;
        }
        size_t run = text_run(bytes + i, n - i);
        if (run)
            add_text(s, bytes + i, run);
        i += run;
        if (i < n)
            take_control(s, (unsigned char)bytes[i++]);
    }
}

void sy_scroll_write(struct sy_scroll *s, const char *bytes, size_t n)
{
    s->changed = true;
    while (s->cut_len && n) { /* complete the character that was cut */
        char c[5];
        memcpy(c, s->cut, (size_t)s->cut_len);
        if (((unsigned char)*bytes & 0xC0) == 0x80) {
            c[s->cut_len++] = *bytes++;
            n--;
        } else {
            int k = s->cut_len;
            s->cut_len = 0;
            write_text(s, c, (size_t)k);
            break;
        }
        memcpy(s->cut, c, (size_t)s->cut_len);
        if (!cut_tail(c, (size_t)s->cut_len) || s->cut_len == 4) {
            int k = s->cut_len;
            s->cut_len = 0;
            write_text(s, c, (size_t)k);
        }
    }
    size_t tail = cut_tail(bytes, n);
    if (tail > n)
        tail = 0;
    write_text(s, bytes, n - tail);
    if (tail) {
        memcpy(s->cut, bytes + n - tail, tail);
        s->cut_len = (int)tail;
    }
}

void sy_scroll_break(struct sy_scroll *s)
{
    if (s->open.len) {
        finish_line(s);
        s->changed = true;
    }
    s->state = TEXT;
    s->cut_len = 0;
}

void sy_scroll_say(struct sy_scroll *s, const char *text, struct sy_pen pen)
{
    sy_scroll_echo(s, text, "", pen);
}

void sy_scroll_echo(struct sy_scroll *s, const char *prompt, const char *text, struct sy_pen pen)
{
    struct sy_pen before = s->pen;
    size_t n = strlen(text);
    sy_scroll_break(s);
    s->pen = s->open_pen = pen;
    sy_scroll_write(s, prompt, strlen(prompt));
    s->pen = plain;
    sy__sgr_put(&s->open, plain);
    while (n && text[n - 1] == '\n')
        n--;
    sy_scroll_write(s, text, n);
    finish_line(s);
    s->pen = s->open_pen = before;
}

bool sy_scroll_bell(struct sy_scroll *s)
{
    bool was = s->bell;
    s->bell = false;
    return was;
}

int64_t sy_scroll_count(const struct sy_scroll *s)
{
    return s->end + (s->open.len > 0);
}
