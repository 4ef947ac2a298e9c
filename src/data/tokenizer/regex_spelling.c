/* Regular expressions of tokenizer.json (Oniguruma, Ruby's syntax, UTF-8) in PCRE2's words.
 *
 *  1. What both read alike is copied; what they read differently is spelled out; what is left is
 *     refused with its place.  So a pattern that compiles matches what it matches in Oniguruma.
 *  2. Oniguruma's \s is Unicode's White_Space and \w the letters, marks, decimal digits and
 *     connectors of Unicode, and outside of a class also six digits and fractions of Latin-1; PCRE2
 *     has others.  \p{Han} is a script, not its extensions.
 *  3. ^ and $ are those of lines in Ruby; the pattern is compiled with MULTILINE.
 *
 * Source: Oniguruma's doc/RE and pcre2pattern(3). */
#include "data/tokenizer/regex_split_int.h"

#include <string.h>

#define WHITE "\\p{Z}\\t-\\r\\x{85}"
#define NO_WHITE "\\P{White_Space}"
#define FRACTIONS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"

struct spelling {
    struct sy_str *out;
    const char *re;
    size_t n, at;
    struct sy_err *err;
};

static int refuse_construct(const struct spelling *s, const char *what)
{
    return sy_err_set(s->err, SY_E_UNSUPPORTED,
                      "tokenizer: splitting pattern: %s is not read here (at byte %zu)", what,
                      s->at);
}

static bool follows_text(const struct spelling *s, const char *text)
{
    size_t n = strlen(text);
    return s->n - s->at >= n && !memcmp(s->re + s->at, text, n);
}

static void copy_bytes(struct spelling *s, size_t n)
{
    sy_str_add(s->out, s->re + s->at, n);
    s->at += n;
}

/* The first of `words` that follows is copied. */
static bool copy_one_of(struct spelling *s, const char *const *words)
{
    for (; *words; words++)
        if (follows_text(s, *words)) {
            copy_bytes(s, strlen(*words));
            return true;
        }
    return false;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* \p{Han}: names of more than two letters are scripts; PCRE2 says of others what it thinks. */
static int property(struct spelling *s)
{
    size_t open = s->at + 3, end = open;
    if (s->at + 2 >= s->n || s->re[s->at + 2] != '{')
        return refuse_construct(s, "\\p without a name");
    while (end < s->n && s->re[end] != '}')
        end++;
    if (end == s->n)
        return refuse_construct(s, "\\p without an end");
    size_t not = s->re[open] == '^';
    sy_str_add(s->out, s->re + s->at, 3 + not );
    if (end - open - not > 2)
        sy_str_puts(s->out, "sc:");
    sy_str_add(s->out, s->re + open + not, end + 1 - open - not );
    s->at = end + 1;
    return 0;
}

/* \x{1F600} and \u1F60; \xF0 is a byte for Oniguruma. */
static int by_number(struct spelling *s)
{
    bool u = s->re[s->at + 1] == 'u', braces = !u && s->at + 2 < s->n && s->re[s->at + 2] == '{';
    size_t from = s->at + 2 + braces, end = from;
    while (end < s->n && end - from < (u ? 4 : 6) && is_hex(s->re[end]))
        end++;
    if (end == from || (u && end - from < 4) || (!u && !braces) ||
        (braces && (end == s->n || s->re[end] != '}')))
        return refuse_construct(s, u ? "this \\u" : "this \\x");
    sy_str_puts(s->out, "\\x{");
    sy_str_add(s->out, s->re + from, end - from);
    sy_str_puts(s->out, "}");
    s->at = end + braces;
    return 0;
}

/* What a letter after a backslash stands for, outside and inside of a class; NULL: itself. */
static const struct letter {
    char c;
    const char *outside, *inside;
} letters[] = {
    {'s', "[" WHITE "]", WHITE},
    {'S', NO_WHITE, NO_WHITE},
    {'w', "[" WORD FRACTIONS "]", WORD},
    {'W', "[^" WORD FRACTIONS "]", ""},
    {'d', NULL, NULL},
    {'D', NULL, NULL},
    {'n', NULL, NULL},
    {'r', NULL, NULL},
    {'t', NULL, NULL},
    {'f', NULL, NULL},
    {'a', NULL, NULL},
    {'e', NULL, NULL},
    {'v', "\\x0b", "\\x0b"},
    {'h', "[0-9a-fA-F]", "0-9a-fA-F"},
    {'A', NULL, ""},
    {'z', NULL, ""},
    {'Z', NULL, ""},
};

static int escaped(struct spelling *s, bool inside)
{
    char c = s->at + 1 < s->n ? s->re[s->at + 1] : 0;
    bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (c == 'p' || c == 'P')
        return property(s);
    if (c == 'x' || c == 'u')
        return by_number(s);
    if (!alnum && c) {
        copy_bytes(s, 2);
        return 0;
    }
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        const char *words = inside ? letters[i].inside : letters[i].outside;
        if (letters[i].c != c || (words && !*words))
            continue;
        if (words)
            sy_str_puts(s->out, words);
        else
            sy_str_add(s->out, s->re + s->at, 2);
        s->at += 2;
        return 0;
    }
    char what[] = {'\\', c, 0};
    return refuse_construct(s, what);
}

static int class(struct spelling *s)
{
    copy_bytes(s, follows_text(s, "[^") ? 2 : 1);
    if (follows_text(s, "]"))
        return refuse_construct(s, "a class that begins with ]");
    while (s->at < s->n && s->re[s->at] != ']') {
        if (s->re[s->at] == '\\') {
            if (escaped(s, true))
                return -1;
        } else if (s->re[s->at] == '[' || follows_text(s, "&&")) {
            return refuse_construct(s, "a class within a class");
        } else {
            copy_bytes(s, 1);
        }
    }
    if (s->at < s->n)
        copy_bytes(s, 1);
    return 0;
}

static int group(struct spelling *s)
{
    static const char *const known[] = {"(?:", "(?=",  "(?!",   "(?<=", "(?<!",
                                        "(?>", "(?i:", "(?-i:", NULL};
    if (!follows_text(s, "(?"))
        copy_bytes(s, 1);
    else if (!copy_one_of(s, known) && !(s->at == 0 && follows_text(s, "(?i)")))
        return refuse_construct(s, "this kind of group");
    else if (s->at == 0)
        copy_bytes(s, 4);
    return 0;
}

/* {n,m}: a + behind it makes PCRE2's possessive, but repeats in Ruby. */
static int spell_count(struct spelling *s)
{
    size_t end = s->at + 1;
    while (end < s->n && ((s->re[end] >= '0' && s->re[end] <= '9') || s->re[end] == ','))
        end++;
    bool is_count = end < s->n && s->re[end] == '}' && end > s->at + 1;
    if (is_count && (s->re[s->at + 1] == ',' || (end + 1 < s->n && s->re[end + 1] == '+')))
        return refuse_construct(s, s->re[s->at + 1] == ',' ? "{,n}" : "{n,m}+");
    copy_bytes(s, 1);
    return 0;
}

int sy__pattern_spell(struct sy_str *out, const char *re, size_t n, struct sy_err *err)
{
    struct spelling s = {out, re, n, 0, err};
    sy_str_puts(out, "");
    while (s.at < n) {
        int rc = 0;
        switch (re[s.at]) {
        case '\\':
            rc = escaped(&s, false);
            break;
        case '[':
            rc = class(&s);
            break;
        case '(':
            rc = group(&s);
            break;
        case '{':
            rc = spell_count(&s);
            break;
        default:
            copy_bytes(&s, 1);
        }
        if (rc)
            return -1;
    }
    return out->failed
               ? sy_err_set(err, SY_E_MEMORY, "tokenizer: out of memory for the splitting pattern")
               : 0;
}
