/* Reading .mo files (catalogue_int.h).
 *
 *     0  magic 0x950412de, in either byte order    12  O, where the messages' table begins
 *     4  revision, major 0 or 1 in its upper half  16  T, where the translations' table begins
 *     8  N, how many there are                     20  S, H: a hash table, not looked at
 *     table: N times (length, offset); offset + length has a zero byte, which is not counted
 *     message: [context \4] text [\0 plural];  translation: form [\0 form]...
 *
 *  1. The file is hostile: all lengths and offsets are checked before any message is given, so that
 *     of a damaged file nothing is taken.  Strings of a table may not overlap, as none of msgfmt's
 *     do: their lengths together are at most the file's, and so is what is made of them.
 *  2. The translation of the empty message is the head, whose charset all translations have; where
 *     it says none, or msginit's CHARSET, they must be UTF-8.
 *  Source: GNU gettext's manual, "The Format of GNU MO Files". */
#include "data/pairs/catalogue_int.h"

#include "base/str.h"
#include "base/utf8.h"
#include "data/text_int.h"

#include <errno.h>
#include <iconv.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define MAGIC 0x950412deu
#define HEAD 28
#define CHARSET_MOST 40

struct reader {
    const unsigned char *bytes;
    size_t n;
    const char *name;
    bool swapped;
    uint32_t count, messages, translations;
    iconv_t convert;                /* (iconv_t)-1: it is UTF-8 */
    struct sy_str message, meaning; /* what was converted */
    struct sy_err *err;
};

/* ---- numbers and strings ---- */

static uint32_t number_at(const struct reader *r, size_t at)
{
    const unsigned char *p = r->bytes + at;
    uint32_t low = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                   (uint32_t)p[3] << 24;
    return r->swapped ? low >> 24 | (low >> 8 & 0xff00) | (low << 8 & 0xff0000) | low << 24 : low;
}

static int bad_string(const struct reader *r, const char *what, uint32_t i, const char *why,
                      uint64_t value)
{
    return sy_err_set(r->err, SY_E_FORMAT, "%s: %s %u %s: %llu", r->name, what, i + 1, why,
                      (unsigned long long)value);
}

static struct sy__text string_at(const struct reader *r, uint32_t table, uint32_t i)
{
    size_t at = table + 8 * (size_t)i;
    return (struct sy__text){(const char *)r->bytes + number_at(r, at + 4), number_at(r, at)};
}

/* Of one table, what: "message" or "translation". */
static int check_strings(const struct reader *r, uint32_t table, const char *what)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t length = number_at(r, table + 8 * (size_t)i);
        uint64_t end = number_at(r, table + 8 * (size_t)i + 4) + length;
        sum += length;
        if (end >= r->n)
            return bad_string(r, what, i, "ends outside of the file, at byte", end);
        if (r->bytes[end])
            return bad_string(r, what, i, "has no zero byte at its end, at byte", end);
    }
    if (sum <= r->n)
        return 0;
    return sy_err_set(r->err, SY_E_FORMAT,
                      "%s: %ss overlap: they have %llu bytes together, the file %zu", r->name, what,
                      (unsigned long long)sum, r->n);
}

static int check_magic(struct reader *r)
{
    if (r->n < HEAD)
        return sy_err_set(r->err, SY_E_FORMAT, "%s: no message catalogue: it has %zu bytes",
                          r->name, r->n);
    uint32_t magic = number_at(r, 0);
    r->swapped = magic != MAGIC;
    if (number_at(r, 0) != MAGIC)
        return sy_err_set(r->err, SY_E_FORMAT,
                          "%s: no message catalogue: it begins with 0x%08x, not 0x%08x", r->name,
                          magic, MAGIC);
    uint32_t revision = number_at(r, 4);
    if (revision >> 16 > 1)
        return sy_err_set(r->err, SY_E_UNSUPPORTED,
                          "%s: revision %u.%u of message catalogues is not known", r->name,
                          revision >> 16, revision & 0xffff);
    return 0;
}

static int check_tables(struct reader *r)
{
    r->count = number_at(r, 8);
    r->messages = number_at(r, 12);
    r->translations = number_at(r, 16);
    uint64_t table = 8 * (uint64_t)r->count;
    if (r->messages + table > r->n || r->translations + table > r->n)
        return sy_err_set(r->err, SY_E_FORMAT,
                          "%s: tables of %u messages at %u and %u end outside of its %zu bytes",
                          r->name, r->count, r->messages, r->translations, r->n);
    return check_strings(r, r->messages, "message") ||
                   check_strings(r, r->translations, "translation")
               ? -1
               : 0;
}

/* ---- the character set ---- */

/* The name behind "charset=" in the head, which may be cut; "": none. */
static void find_charset(struct sy__text head, char out[CHARSET_MOST + 1])
{
    static const char key[] = "charset=";
    const char *at = memmem(head.s, head.n, key, sizeof key - 1), *end = head.s + head.n;
    size_t n = 0;
    if (at)
        for (at += sizeof key - 1; at < end && n < CHARSET_MOST && *at > ' ' && *at < 127; at++)
            out[n++] = *at;
    out[n] = 0;
}

static bool is_utf8(const char *charset)
{
    static const char *const names[] = {"", "CHARSET", "UTF-8", "UTF8", "ASCII", "US-ASCII"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(charset, names[i]))
            return true;
    return false;
}

/* A name and nothing else, in any locale: iconv obeys what stands behind a slash. */
static bool is_name(const char *charset)
{
    return !charset[strspn(charset, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789._:-()+")];
}

static int open_charset(struct reader *r)
{
    char charset[CHARSET_MOST + 1] = "";
    for (uint32_t i = 0; i < r->count && !*charset; i++)
        if (!string_at(r, r->messages, i).n)
            find_charset(string_at(r, r->translations, i), charset);
    if (is_utf8(charset))
        return 0;
    r->convert = is_name(charset) ? iconv_open("UTF-8", charset) : (iconv_t)-1;
    if (r->convert == (iconv_t)-1)
        return sy_err_set(r->err, SY_E_UNSUPPORTED,
                          "%s: its character set '%s' is not known to this system's iconv", r->name,
                          charset);
    return 0;
}

/* A step of iconv, appended to out; s NULL: what it has held back.  true: there is no more to do,
 * or *bad. */
static bool convert_some(struct reader *r, struct sy__text *s, struct sy_str *out, bool *bad)
{
    char room[512], *from = s ? (char *)(uintptr_t)s->s : NULL, *to = room;
    size_t left = s ? s->n : 0, free = sizeof room;
    bool stopped = iconv(r->convert, s ? &from : NULL, s ? &left : NULL, &to, &free) == (size_t)-1;
    sy_str_add(out, room, sizeof room - free);
    *bad = stopped && (errno != E2BIG || free == sizeof room);
    if (s)
        *s = (struct sy__text){from, left};
    return !stopped || *bad;
}

/* Append s to out as UTF-8; false: it is not in the character set.  Where marks stand behind their
 * letter (CP1258) iconv holds the last letter back until it is told that no more comes. */
static bool convert(struct reader *r, struct sy__text s, struct sy_str *out)
{
    size_t before = out->len;
    bool bad = false;
    iconv(r->convert, NULL, NULL, NULL, NULL);
    while (!convert_some(r, &s, out, &bad) && !out->failed)
        ;
    while (!bad && !convert_some(r, NULL, out, &bad) && !out->failed)
        ;
    out->len = bad ? before : out->len;
    return !bad;
}

/* s as UTF-8, in place or in `room`; false: it is none. */
static bool as_utf8(struct reader *r, struct sy__text *s, struct sy_str *room)
{
    if (r->convert == (iconv_t)-1)
        return sy_utf8_valid(s->s, s->n) == s->n;
    sy_str_clear(room);
    sy_str_puts(room, "");
    if (!convert(r, *s, room))
        return false;
    *s = (struct sy__text){room->data ? room->data : "", room->len};
    return sy_utf8_valid(s->s, s->n) == s->n;
}

/* ---- messages ---- */

static struct sy__text without_context(struct sy__text message)
{
    const char *end = message.n ? memchr(message.s, 4, message.n) : NULL;
    size_t n = end ? (size_t)(end + 1 - message.s) : 0;
    return (struct sy__text){message.s + n, message.n - n};
}

/* The form at *rest, which moves behind it; false: there is none. */
static bool next_form(struct sy__text *rest, bool *more, struct sy__text *form)
{
    if (!*more)
        return false;
    const char *end = rest->n ? memchr(rest->s, 0, rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->s) : rest->n;
    *form = (struct sy__text){rest->s, n};
    *more = end != NULL;
    *rest = (struct sy__text){rest->s + n + *more, rest->n - n - *more};
    return true;
}

static int give_text(struct reader *r, struct sy__text message, struct sy__text meaning,
                     sy__message_fn fn, void *ctx, int64_t *bad)
{
    if (!message.n || !meaning.n)
        return 0;
    if (!as_utf8(r, &message, &r->message) || !as_utf8(r, &meaning, &r->meaning)) {
        ++*bad;
        return 0;
    }
    if (r->message.failed || r->meaning.failed)
        return sy_err_set(r->err, SY_E_MEMORY, "%s: out of memory", r->name);
    if (!message.n || !meaning.n) /* nothing but shifts, or a byte-order mark */
        return 0;
    return fn(ctx, message.s, message.n, meaning.s, meaning.n, r->err);
}

static int give_message(struct reader *r, uint32_t i, sy__message_fn fn, void *ctx, int64_t *bad)
{
    struct sy__text one, many, form, first = {"", 0}, last = {"", 0};
    struct sy__text message = without_context(string_at(r, r->messages, i)),
                meaning = string_at(r, r->translations, i);
    bool more = true, forms_left = true;
    int forms = 0;
    if (!message.n)
        return 0;
    next_form(&message, &more, &one);
    if (!next_form(&message, &more, &many)) {
        next_form(&meaning, &forms_left, &form); /* what is behind a zero byte nobody sees */
        return give_text(r, one, form, fn, ctx, bad);
    }
    for (; next_form(&meaning, &forms_left, &form); forms++) {
        first = forms ? first : form;
        last = form;
    }
    if (forms == 2 && give_text(r, one, first, fn, ctx, bad))
        return -1;
    return give_text(r, many, last, fn, ctx, bad);
}

int sy__catalogue_read(const char *bytes, size_t n, const char *name, sy__message_fn fn, void *ctx,
                       int64_t *bad, struct sy_err *err)
{
    struct reader r = {.bytes = (const unsigned char *)bytes, .n = n, .name = name,
                       .convert = (iconv_t)-1, .err = err};
    int rc = check_magic(&r) || check_tables(&r) || open_charset(&r) ? -1 : 0;
    for (uint32_t i = 0; i < r.count && !rc; i++)
        rc = give_message(&r, i, fn, ctx, bad);
    if (r.convert != (iconv_t)-1)
        iconv_close(r.convert);
    sy_str_free(&r.message);
    sy_str_free(&r.meaning);
    return rc;
}
