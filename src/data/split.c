/* Pre-splitting with PCRE2 (split_int.h).
 *
 * The patterns are those of the named models' published tokenizers.  They are written for engines
 * whose \s is Unicode's White_Space; PCRE2's \s holds U+180E besides, so \s and \S are spelled out
 * before compiling and all Unicode text splits as it does elsewhere.
 *
 * Three of the four patterns take a run of ASCII letters with at most one character before it in
 * the same way; that is three quarters of English text, so it is done here and PCRE2 is asked for
 * the rest.  tests/unit/test_tokenizer.c holds both ways against each other. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/split_int.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#include <pcre2.h>
#include <string.h>

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

/* What may stand before ASCII letters for the short cut. */
enum shortcut {
    SHORT_NONE,
    SHORT_SPACE,   /* a space or nothing: gpt-2 */
    SHORT_NONALNUM /* anything but \r, \n, letters, digits, and ' because of contractions */
};

static const struct known {
    const char *name, *regex;
    enum shortcut shortcut;
} known[] = {
    {"qwen2", CONTRACTION "|" WORD "\\p{L}+|\\p{N}|" REST, SHORT_NONALNUM},
    {"gpt-2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     SHORT_SPACE},
    {"llama-bpe", CONTRACTION "|" WORD "\\p{L}+|\\p{N}{1,3}|" REST, SHORT_NONALNUM},
    {"gpt-4o",
     WORD UPPER "*" LOWER "+" CONTRACTION "?|" WORD UPPER "+" LOWER "*" CONTRACTION
                "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     SHORT_NONE},
};
#define KNOWN (sizeof known / sizeof *known)

#define WHITE "\\p{Z}\\t-\\r\\x{85}"
#define MATCH_LIMIT 1000000 /* steps of backtracking: a hostile pattern ends in an error */
#define JIT_STACK_MAX (1 << 20)

struct sy__pattern {
    pcre2_general_context *memory;
    pcre2_code *code;
    bool jit;
    char *text;
    const struct known *known; /* NULL: none of ours */
};

static void *pcre_alloc(size_t n, void *ctx)
{
    (void)ctx;
    return sy_alloc(n);
}

static void pcre_free(void *block, void *ctx)
{
    (void)ctx;
    sy_free(block);
}

const char *sy__pattern_regex(const char *name)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (!strcmp(known[i].name, name))
            return known[i].regex;
    return NULL;
}

const char *const *sy__pattern_names(void)
{
    static const char *const names[] = {"qwen2", "gpt-2", "llama-bpe", "gpt-4o", NULL};
    return names;
}

const char *sy__pattern_name(const struct sy__pattern *p)
{
    return p && p->known ? p->known->name : "";
}

const char *sy__pattern_text(const struct sy__pattern *p)
{
    return p->text;
}

/* Spell out \s and \S; everything else is copied. */
static void spell_white(struct sy_str *out, const char *re, size_t n)
{
    bool in_class = false;
    for (size_t i = 0; i < n; i++) {
        if (re[i] == '\\' && i + 1 < n) {
            i++;
            if (re[i] == 's')
                sy_str_puts(out, in_class ? WHITE : "[" WHITE "]");
            else if (re[i] == 'S' && !in_class)
                sy_str_puts(out, "[^" WHITE "]");
            else
                sy_str_add(out, re + i - 1, 2);
            continue;
        }
        if (re[i] == '[')
            in_class = true;
        else if (re[i] == ']')
            in_class = false;
        sy_str_add(out, re + i, 1);
    }
}

static int compile(struct sy__pattern *p, struct sy_err *err)
{
    struct sy_str re = SY_STR_INIT;
    spell_white(&re, p->text, strlen(p->text));
    p->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    pcre2_compile_context *cc = p->memory ? pcre2_compile_context_create(p->memory) : NULL;
    int code = 0;
    PCRE2_SIZE at = 0;
    if (cc && !re.failed) {
        uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY;
        p->code = pcre2_compile((PCRE2_SPTR)re.data, re.len, options, &code, &at, cc);
    }
    pcre2_compile_context_free(cc);
    sy_str_free(&re);
    if (!p->code && (!code || code == PCRE2_ERROR_NOMEMORY || code == 121))
        return sy_err_set(err, SY_E_MEMORY, "tokenizer: out of memory for the splitting pattern");
    if (!p->code) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(code, why, sizeof why);
        return sy_err_set(err, SY_E_FORMAT, "tokenizer: splitting pattern: %s (at byte %zu)",
                          (const char *)why, (size_t)at);
    }
    /* Without permission for executable memory the interpreter matches the same, slower. */
    p->jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    return 0;
}

struct sy__pattern *sy__pattern_new(const char *regex, size_t n, struct sy_err *err)
{
    struct sy__pattern *p = sy_calloc(1, sizeof *p);
    if (p)
        p->text = sy_strndup(regex, n);
    if (!p || !p->text) {
        sy_err_set(err, SY_E_MEMORY, "tokenizer: out of memory for the splitting pattern");
        sy__pattern_free(p);
        return NULL;
    }
    for (size_t i = 0; i < KNOWN; i++)
        if (!strcmp(known[i].regex, p->text))
            p->known = &known[i];
    if (compile(p, err)) {
        sy__pattern_free(p);
        return NULL;
    }
    return p;
}

void sy__pattern_free(struct sy__pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    pcre2_general_context_free(p->memory);
    sy_free(p->text);
    sy_free(p);
}

static bool is_letter(char c)
{
    return (unsigned char)((c | 32) - 'a') < 26;
}

/* A single newline between a visible ASCII character and an ASCII letter: the newline ends a piece
 * and the letter begins one in all known patterns, whether or not the text goes on behind. */
size_t sy__pattern_cut(const struct sy__pattern *p, const char *text, size_t n, size_t want)
{
    if (!p || !p->known || want >= n)
        return n;
    for (size_t i = want < 2 ? 2 : want; i < n; i++) {
        const char *nl = memchr(text + i - 1, '\n', n - i);
        if (!nl)
            return n;
        i = (size_t)(nl - text) + 1;
        if (nl[-1] > ' ' && nl[-1] < 127 && is_letter(text[i]))
            return i;
    }
    return n;
}

int sy__splitter_init(struct sy__splitter *s, const struct sy__pattern *p, struct sy_err *err)
{
    *s = (struct sy__splitter){.pattern = p};
    if (!p)
        return 0;
    pcre2_match_context *context = pcre2_match_context_create(p->memory);
    s->context = context;
    s->match = pcre2_match_data_create(1, p->memory);
    if (context && p->jit)
        s->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_MAX, p->memory);
    if (!context || !s->match || (p->jit && !s->stack)) {
        sy__splitter_free(s);
        return sy_err_set(err, SY_E_MEMORY, "tokenizer: out of memory for splitting");
    }
    pcre2_set_match_limit(context, MATCH_LIMIT);
    pcre2_set_heap_limit(context, 64 * 1024);
    if (s->stack)
        pcre2_jit_stack_assign(context, NULL, s->stack);
    return 0;
}

void sy__splitter_free(struct sy__splitter *s)
{
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    *s = (struct sy__splitter){0};
}

void sy__splitter_start(struct sy__splitter *s, const char *text, size_t n)
{
    s->text = text;
    s->n = n;
    s->pos = s->valid = s->base = 0;
    s->ahead_end = 0;
}

/* Length of the word at p[0..n) if the short cut can tell, else 0. */
static size_t ascii_word(const struct sy__pattern *p, const char *t, size_t n)
{
    size_t i = 0;
    char c = t[0];
    if (!is_letter(c)) {
        if (p->known->shortcut == SHORT_SPACE ? c != ' '
                                              : (unsigned char)c >= 128 || c == '\'' || c == '\r' ||
                                                    c == '\n' || (c >= '0' && c <= '9'))
            return 0;
        i = 1;
    }
    size_t first = i;
    while (i < n && is_letter(t[i]))
        i++;
    return i == first || (i < n && (unsigned char)t[i] >= 128) ? 0 : i;
}

static int match_at(struct sy__splitter *s, size_t *from, size_t *to, struct sy_err *err)
{
    const struct sy__pattern *p = s->pattern;
    PCRE2_SPTR text = (PCRE2_SPTR)(s->text + s->base);
    size_t n = s->valid - s->base, at = s->pos - s->base;
    int rc = p->jit ? pcre2_jit_match(p->code, text, n, at, PCRE2_NOTEMPTY, s->match, s->context)
                    : pcre2_match(p->code, text, n, at, PCRE2_NOTEMPTY | PCRE2_NO_UTF_CHECK,
                                  s->match, s->context);
    if (rc == PCRE2_ERROR_NOMATCH) {
        *from = *to = s->valid;
        return 0;
    }
    if (rc < 0) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(rc, why, sizeof why);
        return sy_err_set(err, SY_E_FORMAT, "tokenizer: splitting pattern: %s (at byte %zu)",
                          (const char *)why, s->pos);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
    *from = span[0] + s->base;
    *to = span[1] + s->base;
    /* \K and lookbehind tricks may report a span that begins before pos or is empty */
    if (*from < s->pos || *to <= *from)
        return sy_err_set(err, SY_E_FORMAT, "tokenizer: splitting pattern matches backwards");
    return 0;
}

static int give(struct sy__splitter *s, size_t to, const char **word, size_t *len)
{
    *word = s->text + s->pos;
    *len = to - s->pos;
    s->pos = to;
    return 1;
}

int sy__splitter_next(struct sy__splitter *s, const char **word, size_t *len, struct sy_err *err)
{
    if (s->pos == s->n)
        return 0;
    if (s->pos == s->valid) {
        s->base = s->pos;
        s->valid += sy_utf8_valid(s->text + s->pos, s->n - s->pos);
        if (s->pos == s->valid) {
            s->valid++;
            return give(s, s->valid, word, len);
        }
    }
    const struct sy__pattern *p = s->pattern;
    if (!p)
        return give(s, s->valid, word, len);
    if (s->ahead_end) {
        size_t end = s->ahead_end;
        s->ahead_end = 0;
        return give(s, end, word, len);
    }
    if (p->known && p->known->shortcut != SHORT_NONE && !s->plain) {
        size_t k = ascii_word(p, s->text + s->pos, s->valid - s->pos);
        if (k)
            return give(s, s->pos + k, word, len);
    }
    size_t from = 0, to = 0;
    if (match_at(s, &from, &to, err))
        return -1;
    if (from > s->pos) {
        s->ahead_end = to > from ? to : 0;
        return give(s, from, word, len);
    }
    return give(s, to, word, len);
}
