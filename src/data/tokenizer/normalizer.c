/* Normalizers (normalizer_int.h), with Unicode's tables from utf8proc.
 *
 * Forms NFC to NFKD (UAX 15): decompose each character, put marks in order of their combining
 * class, compose.  An ASCII character never joins what stands before it, so text is taken in
 * stretches of other characters with one ASCII character in front, and ASCII is only copied.  Nor
 * do U+4000..U+9FFF, ideographs, so that a stretch of Chinese may end at STRETCH bytes.
 * Marks are put in order by counting: a text of nothing but marks costs no more than any
 * other. */
#include "data/tokenizer/normalizer_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

#define STRETCH 4096
#define EXPANDS 24 /* characters that one may become; Unicode's most is 18 */

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "encode: out of memory");
}

/* ---- characters ---- */

bool sy__is_white(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

bool sy__is_word(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* joiners, and letters in circles and squares that are symbols */
        return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
               (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
               (c >= 0x1f170 && c <= 0x1f189);
    }
}

size_t sy__last_char(const char *s, size_t n, uint32_t *c)
{
    for (size_t k = 1; k <= 4 && k <= n; k++)
        if (((unsigned char)s[n - k] & 0xc0) != 0x80)
            return (size_t)sy_utf8_decode(s + n - k, k, c) == k ? k : 0;
    return 0;
}

size_t sy__white_front(const char *s, size_t n)
{
    size_t i = 0;
    for (uint32_t c; i < n;) {
        int k = sy_utf8_decode(s + i, n - i, &c);
        if (!k || !sy__is_white(c))
            break;
        i += (size_t)k;
    }
    return i;
}

size_t sy__white_end(const char *s, size_t n)
{
    size_t left = n, k;
    for (uint32_t c; (k = sy__last_char(s, left, &c)) && sy__is_white(c);)
        left -= k;
    return n - left;
}

/* ---- forms ---- */

bool sy__normal_is_form(enum sy__normal_kind kind)
{
    return kind <= SY__NORMAL_NFKD;
}

static int class_of(int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Sort the marks code[0..n) by class, equals as they stand; temp has room for as many. */
static void sort_marks(int32_t *code, size_t n, int32_t *temp)
{
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++)
        start[class_of(code[i]) + 1]++;
    for (int c = 0; c < 256; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++)
        temp[start[class_of(code[i])]++] = code[i];
    memcpy(code, temp, n * sizeof *code);
}

static void order_marks(struct sy__normal_run *r, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t first = i;
        bool sorted = true;
        for (int last = 0, c; i < n && (c = class_of(r->code[i])) != 0; i++) {
            sorted &= c >= last;
            last = c;
        }
        if (!sorted)
            sort_marks(r->code + first, i - first, r->code + r->room / 2);
        i += i == first;
    }
}

static int form_stretch(struct sy__normal_run *r, enum sy__normal_kind kind, const char *s,
                        size_t n, struct sy_str *out, struct sy_err *err)
{
    bool compose = kind == SY__NORMAL_NFC || kind == SY__NORMAL_NFKC;
    bool compat = kind == SY__NORMAL_NFKC || kind == SY__NORMAL_NFKD;
    int options = (int)UTF8PROC_STABLE | (int)(compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                  (compat ? (int)UTF8PROC_COMPAT : 0);
    size_t m = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        i += (size_t)sy_utf8_decode(s + i, n - i, &c);
        if (SY_GROW(r->code, r->room, 2 * (m + EXPANDS)))
            return no_memory(err);
        m += (size_t)utf8proc_decompose_char((utf8proc_int32_t)c, r->code + m, EXPANDS,
                                             (utf8proc_option_t)options, NULL);
    }
    order_marks(r, m);
    if (compose)
        m = (size_t)utf8proc_normalize_utf32(r->code, (utf8proc_ssize_t)m,
                                             (utf8proc_option_t)options);
    for (size_t i = 0; i < m; i++) {
        char c[4];
        sy_str_add(out, c, (size_t)sy_utf8_encode((uint32_t)r->code[i], c));
    }
    return 0;
}

/* Every character below U+0300 is in NFC as it stands. */
static bool is_low(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] >= 0xcc)
            return false;
    return true;
}

/* Whether a byte begins a character of U+4000..U+9FFF. */
static bool is_ideograph(char byte)
{
    return (unsigned char)byte >= 0xe4 && (unsigned char)byte <= 0xe9;
}

static int normalize_form(struct sy__normal_run *r, enum sy__normal_kind kind, const char *s,
                          size_t n, struct sy_str *out, struct sy_err *err)
{
    for (size_t i = 0; i < n;) {
        size_t from = i;
        while (i < n && (unsigned char)s[i] < 128)
            i++;
        size_t ascii = i == n || i == from ? i : i - 1; /* the last may be a letter of what comes */
        sy_str_add(out, s + from, ascii - from);
        while (i < n && (unsigned char)s[i] >= 128 && !(i - ascii > STRETCH && is_ideograph(s[i])))
            i++;
        if (kind == SY__NORMAL_NFC && is_low(s + ascii, i - ascii))
            sy_str_add(out, s + ascii, i - ascii);
        else if (form_stretch(r, kind, s + ascii, i - ascii, out, err))
            return -1;
        if (sy__poll(r->poll, i - from))
            return sy_err_set(err, SY_E_CANCELLED, "encode: cancelled");
    }
    return 0;
}

/* ---- the others ---- */

/* A character at a time, as Rust's char::to_lowercase; one of them becomes two. */
static int lower(const char *s, size_t n, struct sy_str *out)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        char u[4];
        i += (size_t)sy_utf8_decode(s + i, n - i, &c);
        if (c == 0x130)
            sy_str_puts(out, "i\xcc\x87");
        else
            sy_str_add(out, u,
                       (size_t)sy_utf8_encode((uint32_t)utf8proc_tolower((utf8proc_int32_t)c), u));
    }
    return 0;
}

static int strip(const struct sy__normal *step, const char *s, size_t n, struct sy_str *out,
                 bool *front)
{
    size_t left = step->left ? sy__white_front(s, n) : 0;
    size_t right = step->right ? sy__white_end(s + left, n - left) : 0;
    sy_str_add(out, s + left, n - left - right);
    *front &= left == 0;
    return 0;
}

static int prepend_text(const struct sy__normal *step, const char *s, size_t n, struct sy_str *out)
{
    if (n)
        sy_str_add(out, step->text.data, step->text.len);
    sy_str_add(out, s, n);
    return 0;
}

static int replace_literal(const struct sy__normal *step, const char *s, size_t n,
                           struct sy_str *out)
{
    const char *end = s + n, *at;
    while ((at = memmem(s, (size_t)(end - s), step->literal.data, step->literal.len))) {
        sy_str_add(out, s, (size_t)(at - s));
        sy_str_add(out, step->text.data, step->text.len);
        s = at + step->literal.len;
    }
    sy_str_add(out, s, (size_t)(end - s));
    return 0;
}

static int replace_matches(const struct sy__normal *step, struct sy__splitter *split, const char *s,
                           size_t n, struct sy_str *out, struct sy_err *err)
{
    const char *word;
    size_t len;
    int more;
    if (!step->pattern)
        return replace_literal(step, s, n, out);
    sy__splitter_start_valid(split, s, n);
    while ((more = sy__splitter_next(split, &word, &len, err)) > 0) {
        if (split->matched)
            sy_str_add(out, step->text.data, step->text.len);
        else
            sy_str_add(out, word, len);
        if (sy__poll(split->poll, len + 1))
            return sy_err_set(err, SY_E_CANCELLED, "encode: cancelled");
    }
    return more;
}

static int do_step(struct sy__normal_run *r, int i, const char *s, size_t n, struct sy_str *out,
                   bool *front, struct sy_err *err)
{
    const struct sy__normal *step = &r->list->step[i];
    switch (step->kind) {
    case SY__NORMAL_LOWER:
        return lower(s, n, out);
    case SY__NORMAL_STRIP:
        return strip(step, s, n, out, front);
    case SY__NORMAL_PREPEND:
        return prepend_text(step, s, n, out);
    case SY__NORMAL_REPLACE:
        return replace_matches(step, &r->split[i], s, n, out, err);
    default:
        return normalize_form(r, step->kind, s, n, out, err);
    }
}

int sy__normalize(struct sy__normal_run *r, const char **text, size_t *n, bool *front,
                  struct sy_err *err)
{
    struct sy_str *to = &r->a, *other = &r->b;
    for (int i = 0; i < r->list->n; i++) {
        sy_str_clear(to);
        sy_str_puts(to, "");
        if (do_step(r, i, *text, *n, to, front, err))
            return -1;
        if (to->failed) {
            to->failed = false;
            return no_memory(err);
        }
        *text = to->data;
        *n = to->len;
        struct sy_str *last = to;
        to = other;
        other = last;
    }
    return 0;
}

int sy__normal_run_init(struct sy__normal_run *r, const struct sy__normals *list,
                        struct sy__poll *poll, struct sy_err *err)
{
    *r = (struct sy__normal_run){.list = list, .poll = poll};
    for (int i = 0; i < list->n; i++) {
        if (sy__splitter_init(&r->split[i], list->step[i].pattern, err)) {
            sy__normal_run_free(r);
            return -1;
        }
        r->split[i].poll = poll;
    }
    return 0;
}

void sy__normal_run_free(struct sy__normal_run *r)
{
    for (int i = 0; i < SY__NORMALS; i++)
        sy__splitter_free(&r->split[i]);
    sy_str_free(&r->a);
    sy_str_free(&r->b);
    sy_free(r->code);
    *r = (struct sy__normal_run){0};
}

void sy__normals_free(struct sy__normals *list)
{
    for (int i = 0; i < list->n; i++) {
        sy_str_free(&list->step[i].text);
        sy_str_free(&list->step[i].literal);
        sy__pattern_free(list->step[i].pattern);
    }
    list->n = 0;
}
