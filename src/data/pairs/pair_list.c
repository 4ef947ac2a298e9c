/* Collecting pairs of texts (pair_list_int.h). */
#include "data/pairs/pair_list_int.h"

#include "base/grow.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sanitize.h"

#include <string.h>

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data: out of memory for pairs");
}

int32_t sy__pair_source(struct sy__pair_list *l, const char *name, size_t n, struct sy_err *err)
{
    int64_t *number = sy__words_at(&l->known, name, n);
    if (!number || SY_GROW(l->source, l->sources_cap, l->sources + 1))
        return no_memory(err);
    if (*number)
        return (int32_t)(*number - 1);
    if (l->sources == SY__SOURCES_MOST)
        return sy_err_set(err, SY_E_RANGE, "data: over %d languages", SY__SOURCES_MOST);
    if (!(l->source[l->sources] = sy_strndup(name, n)))
        return no_memory(err);
    *number = ++l->sources;
    return l->sources - 1;
}

/* ---- keys ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter(unsigned char c) /* or of no ASCII character */
{
    return c >= 128 || (unsigned char)((c | 32) - 'a') < 26;
}

/* The letters of a text alone: no digits, spaces and signs of ASCII, and its capitals as small
 * letters.  A text without any is what it is. */
static uint64_t key_of(const char *s, size_t n)
{
    struct sy_hash h;
    char room[256];
    size_t kept = 0, all = 0;
    sy_hash_init(&h);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (!is_letter(c))
            continue;
        room[kept++] = (char)(c < 128 ? c | 32 : c);
        all++;
        if (kept == sizeof room) {
            sy_hash_update(&h, room, kept);
            kept = 0;
        }
    }
    sy_hash_update(&h, room, kept);
    return all ? sy_hash_final(&h) : sy_hash_bytes(s, n);
}

static int words_of(const char *s, size_t n)
{
    int words = 0;
    for (size_t i = 0; i < n; i++)
        words += !is_space(s[i]) && (!i || is_space(s[i - 1]));
    return words;
}

/* ---- adding ---- */

/* White space at the ends is no text: catalogues carry newlines, and tables spaces. */
static void trim_spaces(const char **s, size_t *n)
{
    while (*n && is_space((*s)[*n - 1]))
        --*n;
    while (*n && is_space(**s))
        ++*s, --*n;
}

/* 1: it was there; 0: it is new. */
static int seen_before(struct sy__pair_list *l, const struct sy__new_pair *p, struct sy_err *err)
{
    uint64_t id[2];
    struct sy_hash h;
    sy_hash_init(&h);
    sy_hash_update(&h, &p->source, sizeof p->source);
    sy_hash_update(&h, &p->input_n, sizeof p->input_n);
    sy_hash_update(&h, p->input, p->input_n);
    sy_hash_update(&h, p->target, p->target_n);
    id[0] = sy_hash_final(&h);
    sy_hash_update(&h, "2", 1);
    id[1] = sy_hash_final(&h);
    int64_t *seen = sy__words_at(&l->seen, (const char *)id, sizeof id);
    if (!seen)
        return no_memory(err);
    int was = *seen != 0;
    *seen = 1;
    return was;
}

/* Counts why it is no pair; false: it is one. */
static bool is_none(struct sy__pair_list *l, const struct sy__new_pair *p)
{
    const char *key = l->key_is_input ? p->input : p->target;
    size_t n = l->key_is_input ? p->input_n : p->target_n;
    if (!p->input_n || !p->target_n)
        l->empty++;
    else if (p->input_n == p->target_n && !memcmp(p->input, p->target, p->input_n))
        l->equal++;
    else if (p->input_n > SY__TEXT_MOST || p->target_n > SY__TEXT_MOST)
        l->bad++;
    else if (l->words > 1 && words_of(key, n) < l->words)
        l->few++;
    else
        return false;
    return true;
}

int sy__pair_add(struct sy__pair_list *l, const struct sy__new_pair *given, struct sy_err *err)
{
    struct sy__new_pair p = *given;
    trim_spaces(&p.input, &p.input_n);
    trim_spaces(&p.target, &p.target_n);
    if (is_none(l, &p))
        return 0;
    int seen = seen_before(l, &p, err);
    if (seen) {
        l->twice += seen > 0;
        return seen < 0 ? -1 : 0;
    }
    if (SY_GROW(l->pair, l->cap, l->n + 1) || l->n == INT32_MAX)
        return no_memory(err);
    l->pair[l->n++] = (struct sy__pair_text){
        .at = l->text.len, .input = (uint32_t)p.input_n, .target = (uint32_t)p.target_n,
        .source = p.source, .file = p.file, .line = p.line,
        .key = l->key_is_input ? key_of(p.input, p.input_n) : key_of(p.target, p.target_n)};
    sy_str_add(&l->text, p.input, p.input_n);
    sy_str_add(&l->text, p.target, p.target_n);
    return l->text.failed ? no_memory(err) : 0;
}

/* ---- holding out ---- */

/* The hash's place in 0..1, by another finalizer than tables use. */
static double place_of(uint64_t key)
{
    key = (key ^ key >> 31) * 0x9e3779b97f4a7c15u;
    return (double)((key ^ key >> 29) >> 11) * 0x1p-53;
}

int sy__pair_hold(struct sy__pair_list *l, double val, struct sy_err *err)
{
    double least = 1;
    int64_t held = 0;
    for (int64_t i = 0; i < l->n; i++)
        least = place_of(l->pair[i].key) < least ? place_of(l->pair[i].key) : least;
    for (int64_t i = 0; i < l->n && val > 0; i++) {
        double place = place_of(l->pair[i].key);
        l->pair[i].held = place < val || place <= least;
        held += l->pair[i].held;
    }
    if (held < l->n)
        return 0;
    return sy_err_set(err, SY_E_RANGE,
                      "data: val = %g holds out all %lld pairs: nothing is left for training", val,
                      (long long)l->n);
}

/* ---- what was read ---- */

static void tell_one(struct sy_str *out, const char **sep, int64_t n, const char *what)
{
    if (n)
        sy_str_printf(out, "%s%lld %s", *sep, (long long)n, what);
    if (n)
        *sep = ", ";
}

/* The languages with most pairs; counts[sources] */
static void tell_sources(const struct sy__pair_list *l, const int64_t *count, struct sy_str *out)
{
    const char *sep = ": ";
    for (int32_t i = 0; i < l->sources && i < 16; i++) {
        sy_str_puts(out, sep);
        sy_utf8_line(out, l->source[i], strlen(l->source[i]));
        sy_str_printf(out, " %lld", (long long)count[i]);
        sep = ", ";
    }
    if (l->sources > 16)
        sy_str_printf(out, " and %d more", (int)l->sources - 16);
}

void sy__pair_tell(const struct sy__pair_list *l, struct sy_str *out)
{
    const char *sep = "; left out: ";
    int64_t *count = sy_calloc((size_t)l->sources + 1, sizeof *count), held = 0;
    for (int64_t i = 0; i < l->n; i++) {
        held += l->pair[i].held;
        if (count)
            count[l->pair[i].source]++;
    }
    sy_str_printf(out, "%lld pairs, %lld held out", (long long)l->n, (long long)held);
    if (count)
        tell_sources(l, count, out);
    sy_free(count);
    tell_one(out, &sep, l->twice, "there twice");
    tell_one(out, &sep, l->equal, "equal to their source");
    tell_one(out, &sep, l->few, "of too few words");
    tell_one(out, &sep, l->empty, "empty");
    tell_one(out, &sep, l->bad, "over 1 MB or not in their character set");
    tell_one(out, &sep, l->files_left, "files that are no catalogues");
}

void sy__pair_list_free(struct sy__pair_list *l)
{
    for (int32_t i = 0; i < l->sources; i++)
        sy_free(l->source[i]);
    sy_free(l->source);
    sy_free(l->pair);
    sy_str_free(&l->text);
    sy__words_free(&l->seen);
    sy__words_free(&l->known);
    *l = (struct sy__pair_list){0};
}
