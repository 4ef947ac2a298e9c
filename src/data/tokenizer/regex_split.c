/* Pre-splitting with PCRE2 (regex_split_int.h).
 *
 * The patterns are those of the named models' published tokenizers, and those of files
 * (regex_spelling.c turns what was written for Oniguruma into PCRE2's language).
 *
 * Three of the four patterns take a run of ASCII letters with at most one character before it in
 * the same way; that is three quarters of English text, so it is done here and PCRE2 is asked for
 * the rest.  tests/unit/test_tokenizer.c holds both ways against each other. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/regex_split_int.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <ctype.h>
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

/* Steps of backtracking: a hostile pattern ends in an error.  A search begins with SLICE of them
 * and, when that was not enough, asks whether it shall go on and begins anew with four times as
 * many: so it can be ended, at the cost of a third. */
#define SLICE 1000000u
#define STEPS_A_BYTE 64
#define HEAP_A_BYTE 256 /* of the interpreter, where the JIT's stack is too small */
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

static int compile(struct sy__pattern *p, struct sy_err *err)
{
    struct sy_str re = SY_STR_INIT;
    if (sy__pattern_spell(&re, p->text, strlen(p->text), err)) {
        sy_str_free(&re);
        return -1;
    }
    p->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    pcre2_compile_context *cc = p->memory ? pcre2_compile_context_create(p->memory) : NULL;
    int code = 0;
    PCRE2_SIZE at = 0;
    if (cc && !re.failed) {
        uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;
        pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
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

struct sy__pattern *sy__pattern_literal(const char *text, size_t n, struct sy_err *err)
{
    struct sy_str re = SY_STR_INIT;
    struct sy__pattern *p = NULL;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < 128 && ispunct((unsigned char)text[i]))
            sy_str_puts(&re, "\\");
        sy_str_add(&re, text + i, 1);
    }
    if (re.failed)
        sy_err_set(err, SY_E_MEMORY, "tokenizer: out of memory for the splitting pattern");
    else
        p = sy__pattern_new(re.data ? re.data : "", re.len, err);
    sy_str_free(&re);
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
    pcre2_set_match_limit(context, SLICE);
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
    s->ahead = s->matched = false;
    s->last = SIZE_MAX;
}

void sy__splitter_start_valid(struct sy__splitter *s, const char *text, size_t n)
{
    sy__splitter_start(s, text, n);
    s->valid = n;
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

static int match_once(struct sy__splitter *s, PCRE2_SPTR text, size_t n, size_t at)
{
    const struct sy__pattern *p = s->pattern;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit)
        rc = pcre2_jit_match(p->code, text, n, at, 0, s->match, s->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* groups that repeat; the heap has room for more */
        rc = pcre2_match(p->code, text, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match,
                         s->context);
    return rc;
}

/* A match in text[at..n) by as many steps as that length deserves. */
static int search_match(struct sy__splitter *s, PCRE2_SPTR text, size_t n, size_t at)
{
    int rc = match_once(s, text, n, at);
    if (rc != PCRE2_ERROR_MATCHLIMIT && rc != PCRE2_ERROR_HEAPLIMIT)
        return rc;
    uint64_t most = (uint64_t)(n - at) * STEPS_A_BYTE + SLICE;
    uint64_t heap = (uint64_t)(n - at) * HEAP_A_BYTE / 1024 + 64 * 1024;
    pcre2_set_heap_limit(s->context, heap < UINT32_MAX ? (uint32_t)heap : UINT32_MAX);
    most = most < UINT32_MAX ? most : UINT32_MAX;
    for (uint64_t limit = SLICE; rc == PCRE2_ERROR_MATCHLIMIT && limit < most;) {
        if (s->poll && s->poll->stop && s->poll->stop())
            return PCRE2_ERROR_CALLOUT;
        limit = limit * 4 < most ? limit * 4 : most;
        pcre2_set_match_limit(s->context, (uint32_t)limit);
        rc = match_once(s, text, n, at);
    }
    pcre2_set_match_limit(s->context, SLICE);
    return rc;
}

static int gave_up(int rc, struct sy_err *err)
{
    PCRE2_UCHAR why[128];
    if (rc == PCRE2_ERROR_CALLOUT)
        return sy_err_set(err, SY_E_CANCELLED, "encode: cancelled");
    pcre2_get_error_message(rc, why, sizeof why);
    return sy_err_set(err, SY_E_FORMAT, "the splitting pattern gives up: %s", (const char *)why);
}

/* The next match, *from..*to, at pos or behind it; where there is none, valid..valid and 0. */
static int match_at(struct sy__splitter *s, size_t *from, size_t *to, struct sy_err *err)
{
    PCRE2_SPTR text = (PCRE2_SPTR)(s->text + s->base);
    size_t n = s->valid - s->base, at = s->pos - s->base;
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
    *from = *to = s->valid;
    for (;;) {
        int rc = s->poll && s->poll->stop && s->poll->stop() ? PCRE2_ERROR_CALLOUT
                                                             : search_match(s, text, n, at);
        if (rc == PCRE2_ERROR_NOMATCH)
            return 0;
        if (rc < 0)
            return gave_up(rc, err);
        /* \K and lookbehind tricks may report a span that begins before pos */
        if (span[0] < s->pos - s->base || span[1] < span[0])
            return sy_err_set(err, SY_E_FORMAT, "the splitting pattern matches backwards");
        if (span[0] < span[1] || span[0] + s->base != s->last)
            break;
        /* nothing, where the last match ended: Oniguruma goes on behind the next character */
        uint32_t c;
        if (at == n)
            return 0;
        at += (size_t)sy_utf8_decode((const char *)text + at, n - at, &c);
    }
    *from = span[0] + s->base;
    *to = s->last = span[1] + s->base;
    return 1;
}

static int give_word(struct sy__splitter *s, size_t to, bool matched, const char **word,
                     size_t *len)
{
    *word = s->text + s->pos;
    *len = to - s->pos;
    s->pos = to;
    s->matched = matched;
    return 1;
}

/* The stretch of valid UTF-8 at pos; false: there is an invalid byte. */
static bool next_stretch(struct sy__splitter *s)
{
    s->base = s->pos;
    s->last = SIZE_MAX;
    s->valid += sy_utf8_valid(s->text + s->pos, s->n - s->pos);
    return s->valid > s->pos;
}

int sy__splitter_next(struct sy__splitter *s, const char **word, size_t *len, struct sy_err *err)
{
    const struct sy__pattern *p = s->pattern;
    if (s->ahead) {
        s->ahead = false;
        return give_word(s, s->ahead_end, true, word, len);
    }
    if (s->pos == s->n)
        return 0;
    if (s->pos == s->valid && !next_stretch(s))
        return give_word(s, ++s->valid, false, word, len);
    if (!p)
        return give_word(s, s->valid, false, word, len);
    if (p->known && p->known->shortcut != SHORT_NONE && !s->plain) {
        size_t k = ascii_word(p, s->text + s->pos, s->valid - s->pos);
        if (k)
            return give_word(s, s->pos + k, true, word, len);
    }
    size_t from = 0, to = 0;
    int found = match_at(s, &from, &to, err);
    if (found < 0)
        return -1;
    if (from == s->pos && found)
        return give_word(s, to, true, word, len);
    s->ahead = found != 0;
    s->ahead_end = to;
    return give_word(s, from, false, word, len);
}
