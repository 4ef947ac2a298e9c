/* A strict JSON reader (RFC 8259) and the pieces a writer needs; see base/json.h.  Layer base.
 *
 *  1. A document is one block: the root, all other nodes, all strings.  A first look at the text
 *     counts an upper bound of the nodes (a value follows '[', '{' or ','; those in strings do not
 *     count); strings, decoded and with their NUL, are never longer than their text with its
 *     quotes.
 *  2. parser.strings never overtakes the text read so far, so it always has room; a number is put
 *     there for strtod and forgotten again.
 *  3. Numbers are read and written with a point, whatever the locale.
 */
#include "base/json.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

struct parser {
    const char *text;
    size_t n, at;
    struct sy_json *node; /* the next free one */
    char *strings;        /* the next free byte */
    int depth;
    bool loose;
    struct sy_err *err;
};

static int parse_value(struct parser *p, struct sy_json *v);

static int syntax_error(struct parser *p, const char *what)
{
    if (p->at >= p->n)
        return sy_err_set(p->err, SY_E_FORMAT, "json: %s: at the end of the text (byte %zu)", what,
                          p->n);
    return sy_err_set(p->err, SY_E_FORMAT, "json: %s: at byte %zu", what, p->at);
}

static int peek_byte(const struct parser *p)
{
    return p->at < p->n ? (unsigned char)p->text[p->at] : -1;
}

static void skip_space(struct parser *p)
{
    int c;
    while ((c = peek_byte(p)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        p->at++;
}

/* ---- strings ---- */

static int hex4(struct parser *p, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        int c = peek_byte(p);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return syntax_error(p, "four hexadecimal digits expected after \\u");
        v = v << 4 | (uint32_t)digit;
    }
    *out = v;
    return 0;
}

/* After "\u": one character, of two escapes when the first is a high surrogate. */
static int parse_unicode(struct parser *p)
{
    uint32_t code, low;
    if (hex4(p, &code) != 0)
        return -1;
    if (code >= 0xD800 && code < 0xDC00) {
        if (p->n - p->at < 2 || p->text[p->at] != '\\' || p->text[p->at + 1] != 'u')
            return syntax_error(p, "lone surrogate");
        p->at += 2;
        if (hex4(p, &low) != 0)
            return -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return syntax_error(p, "lone surrogate");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    int length = sy_utf8_encode(code, p->strings);
    if (length == 0)
        return syntax_error(p, "lone surrogate");
    p->strings += length;
    return 0;
}

static int parse_escape(struct parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek_byte(p);
    if (c == 'u') {
        p->at++;
        return parse_unicode(p);
    }
    const char *found = c > 0 ? strchr(from, c) : NULL;
    if (!found)
        return syntax_error(p, "unknown escape");
    p->at++;
    *p->strings++ = to[found - from];
    return 0;
}

static int parse_character(struct parser *p)
{
    uint32_t code;
    int length = sy_utf8_decode(p->text + p->at, p->n - p->at, &code);
    if (length == 0)
        return syntax_error(p, "invalid UTF-8");
    if (code < 0x20)
        return syntax_error(p, "control character in a string");
    memcpy(p->strings, p->text + p->at, (size_t)length);
    p->strings += length;
    p->at += (size_t)length;
    return 0;
}

static int parse_string(struct parser *p, const char **out, size_t *len)
{
    char *start = p->strings;
    int c;
    p->at++; /* the quote */
    while ((c = peek_byte(p)) != '"') {
        if (c < 0)
            return syntax_error(p, "unfinished string");
        if (c == '\\')
            p->at++;
        if ((c == '\\' ? parse_escape(p) : parse_character(p)) != 0)
            return -1;
    }
    p->at++;
    *out = start;
    *len = (size_t)(p->strings - start);
    *p->strings++ = '\0';
    return 0;
}

/* ---- numbers ---- */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double to_double(const char *text)
{
    pthread_once(&c_locale_once, make_c_locale);
    return c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
}

static int digits(struct parser *p)
{
    size_t from = p->at;
    while (peek_byte(p) >= '0' && peek_byte(p) <= '9')
        p->at++;
    return p->at > from ? 0 : syntax_error(p, "digit expected");
}

/* The grammar of a number; *whole tells whether it has neither fraction nor exponent. */
static int scan_number(struct parser *p, bool *whole)
{
    *whole = true;
    if (peek_byte(p) == '-')
        p->at++;
    if (peek_byte(p) == '0')
        p->at++;
    else if (digits(p) != 0)
        return -1;
    if (peek_byte(p) == '.') {
        *whole = false;
        p->at++;
        if (digits(p) != 0)
            return -1;
    }
    if (peek_byte(p) == 'e' || peek_byte(p) == 'E') {
        *whole = false;
        p->at++;
        if (peek_byte(p) == '+' || peek_byte(p) == '-')
            p->at++;
        return digits(p);
    }
    return 0;
}

static int parse_number(struct parser *p, struct sy_json *v)
{
    size_t from = p->at;
    bool whole;
    if (scan_number(p, &whole) != 0)
        return -1;
    memcpy(p->strings, p->text + from, p->at - from);
    p->strings[p->at - from] = '\0';
    v->type = SY_JSON_REAL;
    v->real = to_double(p->strings);
    if (!isfinite(v->real) && !p->loose) {
        p->at = from;
        return syntax_error(p, "number too large");
    }
    if (whole) {
        errno = 0;
        long long i = strtoll(p->strings, NULL, 10);
        if (errno == 0) {
            v->type = SY_JSON_INT;
            v->integer = i;
        }
    }
    return 0;
}

/* ---- containers ---- */

static int compare_keys(const void *a, const void *b)
{
    const struct sy_json *x = *(const struct sy_json *const *)a;
    const struct sy_json *y = *(const struct sy_json *const *)b;
    size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key, y->key, n);
    return order != 0 ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static int fail_duplicate(struct parser *p, const struct sy_json *member)
{
    return sy_err_set(p->err, SY_E_FORMAT, "json: duplicate key: \"%.100s\"", member->key);
}

/* Sorted neighbours, so that an object of a hundred thousand keys takes no quadratic time. */
static int check_keys_sorted(struct parser *p, const struct sy_json *object)
{
    size_t n = 0;
    const struct sy_json **list = sy_calloc((size_t)object->count, sizeof *list);
    if (!list)
        return sy_err_set(p->err, SY_E_MEMORY, "json: no memory for %zu keys",
                          (size_t)object->count);
    for (const struct sy_json *m = object->first; m; m = m->next)
        list[n++] = m;
    qsort(list, n, sizeof *list, compare_keys);
    int status = 0;
    for (size_t i = 1; i < n && status == 0; i++)
        if (compare_keys(&list[i - 1], &list[i]) == 0)
            status = fail_duplicate(p, list[i]);
    sy_free(list);
    return status;
}

static int check_keys(struct parser *p, const struct sy_json *object)
{
    if (object->count > 16)
        return check_keys_sorted(p, object);
    for (const struct sy_json *a = object->first; a; a = a->next)
        for (const struct sy_json *b = a->next; b; b = b->next)
            if (compare_keys(&a, &b) == 0)
                return fail_duplicate(p, a);
    return 0;
}

static int parse_key(struct parser *p, struct sy_json *member)
{
    if (peek_byte(p) != '"')
        return syntax_error(p, "a key in quotes expected");
    if (parse_string(p, &member->key, &member->key_len) != 0)
        return -1;
    skip_space(p);
    if (peek_byte(p) != ':')
        return syntax_error(p, "':' expected");
    p->at++;
    skip_space(p);
    return 0;
}

/* After the opening bracket. */
static int parse_children(struct parser *p, struct sy_json *v, int close)
{
    struct sy_json **link = &v->first;
    skip_space(p);
    if (peek_byte(p) == close) {
        p->at++;
        return 0;
    }
    for (;;) {
        struct sy_json *child = p->node++;
        skip_space(p);
        if ((v->type == SY_JSON_OBJECT && parse_key(p, child) != 0) || parse_value(p, child) != 0)
            return -1;
        *link = child;
        link = &child->next;
        v->count++;
        skip_space(p);
        int c = peek_byte(p);
        if (c != ',' && c != close)
            return syntax_error(p, close == ']' ? "',' or ']' expected" : "',' or '}' expected");
        p->at++;
        if (c == close)
            return 0;
    }
}

static int parse_container(struct parser *p, struct sy_json *v, enum sy_json_type type)
{
    if (p->depth == DEPTH_MAX)
        return syntax_error(p, "nested too deeply");
    p->depth++;
    p->at++;
    v->type = type;
    if (parse_children(p, v, type == SY_JSON_ARRAY ? ']' : '}') != 0)
        return -1;
    p->depth--;
    return type == SY_JSON_OBJECT && !p->loose ? check_keys(p, v) : 0;
}

static int parse_word(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    if (p->n - p->at < n || memcmp(p->text + p->at, word, n) != 0)
        return syntax_error(p, "a value expected");
    p->at += n;
    return 0;
}

/* NaN, Infinity and -Infinity, as Python's json writes them; 0: none of them stands here. */
static size_t loose_number(const struct parser *p, double *out)
{
    static const struct {
        const char *word;
        double value;
    } words[] = {{"NaN", (double)NAN}, {"Infinity", HUGE_VAL}, {"-Infinity", -HUGE_VAL}};
    for (size_t i = 0; p->loose && i < 3; i++) {
        size_t n = strlen(words[i].word);
        if (p->n - p->at >= n && memcmp(p->text + p->at, words[i].word, n) == 0) {
            *out = words[i].value;
            return n;
        }
    }
    return 0;
}

static int parse_value(struct parser *p, struct sy_json *v)
{
    size_t special = loose_number(p, &v->real);
    if (special) {
        v->type = SY_JSON_REAL;
        p->at += special;
        return 0;
    }
    switch (peek_byte(p)) {
    case '{':
        return parse_container(p, v, SY_JSON_OBJECT);
    case '[':
        return parse_container(p, v, SY_JSON_ARRAY);
    case '"':
        v->type = SY_JSON_STRING;
        return parse_string(p, &v->string, &v->string_len);
    case 't':
        v->type = SY_JSON_BOOL;
        v->boolean = true;
        return parse_word(p, "true");
    case 'f':
        v->type = SY_JSON_BOOL;
        return parse_word(p, "false");
    case 'n':
        v->type = SY_JSON_NULL;
        return parse_word(p, "null");
    case '-':
    case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        return parse_number(p, v);
    default:
        return syntax_error(p, "a value expected");
    }
}

/* ---- documents ---- */

static size_t count_nodes(const char *text, size_t n)
{
    size_t nodes = 1;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == ',' || c == '[' || c == '{'))
            nodes++;
    }
    return nodes;
}

static struct sy_json *make_document(const char *text, size_t n, struct parser *p,
                                     struct sy_err *err)
{
    size_t nodes = count_nodes(text, n), bytes;
    struct sy_json *root = NULL;
    if (sy_mul_size(nodes, sizeof *root, &bytes) == 0 && sy_add_size(bytes, n, &bytes) == 0 &&
        sy_add_size(bytes, 1, &bytes) == 0)
        root = sy_calloc(bytes, 1);
    if (!root) {
        sy_err_set(err, SY_E_MEMORY, "json: no memory for a text of %zu bytes", n);
        return NULL;
    }
    *p = (struct parser){
        .text = text, .n = n, .node = root + 1, .strings = (char *)(root + nodes), .err = err};
    return root;
}

static struct sy_json *parse_document(const char *text, size_t n, bool loose, struct sy_err *err)
{
    struct parser p;
    struct sy_json *root = make_document(text, n, &p, err);
    if (!root)
        return NULL;
    p.loose = loose;
    skip_space(&p);
    int status = parse_value(&p, root);
    skip_space(&p);
    if (status == 0 && p.at < n)
        status = syntax_error(&p, "text after the value");
    if (status != 0) {
        sy_free(root);
        return NULL;
    }
    return root;
}

struct sy_json *sy_json_parse(const char *text, size_t n, struct sy_err *err)
{
    return parse_document(text, n, false, err);
}

struct sy_json *sy_json_parse_loose(const char *text, size_t n, struct sy_err *err)
{
    return parse_document(text, n, true, err);
}

void sy_json_free(struct sy_json *root)
{
    sy_free(root);
}

const struct sy_json *sy_json_get(const struct sy_json *object, const char *key)
{
    if (!object || object->type != SY_JSON_OBJECT)
        return NULL;
    size_t n = strlen(key);
    for (const struct sy_json *m = object->first; m; m = m->next)
        if (m->key_len == n && memcmp(m->key, key, n) == 0)
            return m;
    return NULL;
}

/* ---- writing ---- */

static void quote_character(struct sy_str *out, uint32_t code, const char *s, int length)
{
    switch (code) {
    case '"':
        sy_str_puts(out, "\\\"");
        break;
    case '\\':
        sy_str_puts(out, "\\\\");
        break;
    case '\n':
        sy_str_puts(out, "\\n");
        break;
    case '\r':
        sy_str_puts(out, "\\r");
        break;
    case '\t':
        sy_str_puts(out, "\\t");
        break;
    default:
        /* readers take them either way, a terminal must not see them */
        if (sy_utf8_is_control(code))
            sy_str_printf(out, "\\u%04x", (unsigned)code);
        else
            sy_str_add(out, s, (size_t)length);
    }
}

void sy_json_quote(struct sy_str *out, const char *s, size_t n)
{
    sy_str_add(out, "\"", 1);
    for (size_t i = 0; i < n;) {
        uint32_t code;
        int length = sy_utf8_decode(s + i, n - i, &code);
        if (length == 0) {
            sy_str_puts(out, "\xEF\xBF\xBD"); /* U+FFFD */
            i++;
            continue;
        }
        quote_character(out, code, s + i, length);
        i += (size_t)length;
    }
    sy_str_add(out, "\"", 1);
}

/* A locale may write the point otherwise, even with several bytes. */
static void set_point(char *text)
{
    char *w = text;
    for (const char *r = text; *r; r++) {
        if (strchr("0123456789+-eE.", *r))
            *w++ = *r;
        else if (w == text || w[-1] != '.')
            *w++ = '.';
    }
    *w = '\0';
}

void sy_json_number(struct sy_str *out, double v)
{
    char text[40];
    if (!isfinite(v)) {
        sy_str_puts(out, "null");
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, v);
        set_point(text);
        if (to_double(text) == v)
            break;
    }
    sy_str_puts(out, text);
}
