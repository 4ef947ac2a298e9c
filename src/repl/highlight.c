/* See highlight.h.  A lexer of Lua 5.4 (manual, section 3.1) that never fails: what is not finished
 * goes to the end of the text. */
#include "repl/highlight.h"

#include <string.h>

#define DEPTH 200 /* brackets beyond are taken as they come */

struct lexer {
    const char *s;
    size_t n, at;
    char open[DEPTH]; /* the closing brackets that are awaited */
    size_t where[DEPTH], depth, beyond;
};

struct token {
    size_t at, n;
    int kind; /* enum sy_span_kind, or one of: */
};
enum { PLAIN = -1, OPENS = -2, CLOSES = -3, END = -4 };

static int peek_char(const struct lexer *x, size_t ahead)
{
    return x->at + ahead < x->n ? (unsigned char)x->s[x->at + ahead] : -1;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_between(int c, int a, int z) { return c >= a && c <= z; }
static bool is_hex(int c) { return is_digit(c) || is_between(c | 32, 'a', 'f'); }
static bool is_letter(int c) { return is_between(c | 32, 'a', 'z') || c == '_'; }
static bool is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The = signs of [==[ at `ahead`, or -1. */
static int long_level(const struct lexer *x, size_t ahead)
{
    size_t i = ahead + 1;
    if (peek_char(x, ahead) != '[')
        return -1;
    while (peek_char(x, i) == '=')
        i++;
    return peek_char(x, i) == '[' ? (int)(i - ahead - 1) : -1;
}

static void skip_long(struct lexer *x, int level)
{
    for (x->at += (size_t)level + 2; x->at < x->n; x->at++) {
        size_t i = 1;
        if (x->s[x->at] != ']')
            continue;
        while (peek_char(x, i) == '=')
            i++;
        if ((int)i - 1 == level && peek_char(x, i) == ']') {
            x->at += i + 1;
            return;
        }
    }
}

static void skip_quoted(struct lexer *x)
{
    char quote = x->s[x->at++];
    while (x->at < x->n && x->s[x->at] != quote && x->s[x->at] != '\n')
        x->at += x->s[x->at] == '\\' ? 2 : 1;
    if (x->at < x->n && x->s[x->at] == quote)
        x->at++;
    if (x->at > x->n)
        x->at = x->n;
}

static void skip_number(struct lexer *x)
{
    bool hex = peek_char(x, 0) == '0' && (peek_char(x, 1) | 32) == 'x';
    int exponent = hex ? 'p' : 'e';
    x->at += hex ? 2 : 0;
    for (int c; (c = peek_char(x, 0)) >= 0; x->at++) {
        bool sign = (c == '+' || c == '-') && (x->s[x->at - 1] | 32) == exponent;
        if (c == '.' && peek_char(x, 1) == '.') /* 1..2 is a mistake, but not ours */
            return;
        if (!(hex ? is_hex(c) : is_digit(c)) && (c | 32) != exponent && c != '.' && !sign)
            return;
    }
}

static bool is_keyword(const char *s, size_t n)
{
    static const char words[] = " and break do else elseif end false for function goto if in local "
                                "nil not or repeat return then true until while ";
    char word[12];
    if (n > 8)
        return false;
    word[0] = ' ';
    memcpy(word + 1, s, n);
    memcpy(word + 1 + n, " ", 2);
    return strstr(words, word) != NULL;
}

static int skip_word(struct lexer *x)
{
    size_t begin = x->at;
    while (is_letter(peek_char(x, 0)) || is_digit(peek_char(x, 0)))
        x->at++;
    return is_keyword(x->s + begin, x->at - begin) ? SY_SPAN_KEYWORD : PLAIN;
}

static int skip_comment(struct lexer *x)
{
    int level = long_level(x, 2);
    if (level >= 0) {
        x->at += 2;
        skip_long(x, level);
    } else
        while (x->at < x->n && x->s[x->at] != '\n')
            x->at++;
    return SY_SPAN_COMMENT;
}

static int skip_other(struct lexer *x)
{
    int c = peek_char(x, 0);
    x->at++;
    if (c < 128 && strchr("([{", c) && c)
        return OPENS;
    if (c < 128 && strchr(")]}", c) && c)
        return CLOSES;
    if (c >= 128) /* of a character in UTF-8: all of it */
        while (peek_char(x, 0) >= 128)
            x->at++;
    return c < 128 && c && strchr("+-*/%^#&~|<>=;:,.?!", c) ? PLAIN : SY_SPAN_WRONG;
}

static struct token next_token(struct lexer *x)
{
    while (is_space(peek_char(x, 0)))
        x->at++;
    struct token t = {x->at, 0, END};
    int c = peek_char(x, 0), level = long_level(x, 0);
    if (c < 0)
        return t;
    if (c == '-' && peek_char(x, 1) == '-')
        t.kind = skip_comment(x);
    else if (c == '"' || c == '\'' || level >= 0) {
        if (level >= 0)
            skip_long(x, level);
        else
            skip_quoted(x);
        t.kind = SY_SPAN_STRING;
    } else if (is_digit(c) || (c == '.' && is_digit(peek_char(x, 1)))) {
        skip_number(x);
        t.kind = SY_SPAN_NUMBER;
    } else
        t.kind = is_letter(c) ? skip_word(x) : skip_other(x);
    t.n = x->at - t.at;
    return t;
}

/* Takes notice of a bracket: the kind to show, and where the partner of a closing one is. */
static int bracket(struct lexer *x, const struct token *t, size_t *partner)
{
    char c = x->s[t->at];
    if (t->kind == OPENS) {
        if (x->depth < DEPTH) {
            x->open[x->depth] = c == '(' ? ')' : c == '[' ? ']' : '}';
            x->where[x->depth++] = t->at;
        } else
            x->beyond++;
        return PLAIN;
    }
    if (x->beyond) {
        x->beyond--;
        return PLAIN;
    }
    if (!x->depth || x->open[x->depth - 1] != c)
        return SY_SPAN_WRONG;
    *partner = x->where[--x->depth];
    return PLAIN;
}

/* A line for the prompt itself: its length as a span, 0: it is Lua. */
static size_t command(const char *s, size_t n, size_t *at)
{
    size_t i = 0, k;
    while (i < n && is_space((unsigned char)s[i]))
        i++;
    *at = i;
    if (i == n || !strchr("?!:", s[i]) || !s[i] || (s[i] == ':' && i + 1 < n && s[i + 1] == ':'))
        return 0;
    if (s[i] != ':')
        return n - i;
    for (k = i + 1; k < n && is_letter((unsigned char)s[k]);)
        k++;
    return k - i;
}

size_t sy_highlight(const char *text, size_t n, struct sy_span *spans, size_t max)
{
    struct lexer x = {.s = text, .n = n};
    size_t count = 0, partner, at, k = command(text, n, &at);
    if (k && max)
        spans[count++] = (struct sy_span){at, k, SY_SPAN_COMMAND};
    if (k)
        return count;
    for (struct token t; count < max && (t = next_token(&x)).kind != END;) {
        int kind = t.kind <= OPENS ? bracket(&x, &t, &partner) : t.kind;
        if (kind >= 0)
            spans[count++] = (struct sy_span){t.at, t.n, (enum sy_span_kind)kind};
    }
    return count;
}

bool sy_highlight_pair(const char *text, size_t n, size_t point, size_t *from, size_t *to)
{
    struct lexer x = {.s = text, .n = n};
    bool before = false;
    for (struct token t; (t = next_token(&x)).kind != END;) {
        size_t partner = n;
        if (t.kind > OPENS)
            continue;
        bracket(&x, &t, &partner);
        if (partner == n)
            continue;
        bool at_point = partner == point || t.at == point;
        if (at_point || (!before && (partner + 1 == point || t.at + 1 == point))) {
            bool opening = partner == point || (!at_point && partner + 1 == point);
            *from = opening ? partner : t.at;
            *to = opening ? t.at : partner;
            before = true;
            if (at_point)
                return true;
        }
    }
    return before;
}
