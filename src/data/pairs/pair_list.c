/* Collecting pairs of texts (pair_list_int.h). */
#include "data/pairs/pair_list_int.h"

#include "base/grow.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sanitize.h"
#include "base/utf8.h"
#include "data/documents_int.h"
#include "data/text_int.h"

#include <string.h>
#include <utf8proc.h>

#define LOOK 1024 /* pairs between two looks at whether to go on */

int sy__no_pair_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data: out of memory for pairs");
}

static int fail_sources(const char *name, size_t n, struct sy_err *err)
{
    struct sy_str clean = SY_STR_INIT;
    sy_utf8_line(&clean, name, n);
    sy_err_set(err, SY_E_RANGE, "data: at most %d languages: '%s' is one more", SY__SOURCES_MOST,
               clean.data ? clean.data : "");
    sy_str_free(&clean);
    return -1;
}

int32_t sy__pair_source(struct sy__pair_list *l, const char *name, size_t n, struct sy_err *err)
{
    int64_t *number = sy__words_at(&l->known, name, n);
    if (!number || SY_GROW(l->source, l->sources_cap, l->sources + 1))
        return sy__no_pair_memory(err);
    if (*number)
        return (int32_t)(*number - 1);
    if (l->sources == SY__SOURCES_MOST)
        return fail_sources(name, n, err);
    if (!(l->source[l->sources] = sy_strndup(name, n)))
        return sy__no_pair_memory(err);
    *number = ++l->sources;
    return l->sources - 1;
}

/* ---- keys ---- */

static bool is_letter(uint32_t code) /* or a mark upon one */
{
    utf8proc_category_t of = utf8proc_category((utf8proc_int32_t)code);
    return of >= UTF8PROC_CATEGORY_LU && of <= UTF8PROC_CATEGORY_ME;
}

/* The letters of a text alone, small: no digits, spaces and signs.  A text without any is what it
 * is. */
static uint64_t key_of(struct sy__text t)
{
    struct sy_hash h;
    char room[256];
    size_t kept = 0;
    bool none = true;
    uint32_t code = 0;
    sy_hash_init(&h);
    for (int i = 0, k; (k = sy_utf8_decode(t.s + i, t.n - (size_t)i, &code)) > 0; i += k) {
        if (!is_letter(code))
            continue;
        code = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
        kept += (size_t)sy_utf8_encode(code, room + kept);
        none = false;
        if (kept > sizeof room - 4) {
            sy_hash_update(&h, room, kept);
            kept = 0;
        }
    }
    sy_hash_update(&h, room, kept);
    return none ? sy_hash_bytes(t.s, t.n) : sy_hash_final(&h);
}

static int words_of(struct sy__text t)
{
    int words = 0;
    for (size_t i = 0; i < t.n; i++)
        words += !sy__is_space(t.s[i]) && (!i || sy__is_space(t.s[i - 1]));
    return words;
}

void sy__pair_keys(struct sy__pair_list *l, bool inputs, int words)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < l->n; i++) {
        struct sy__pair_text p = l->pair[i];
        const char *s = l->text.data + p.at;
        struct sy__text key = inputs ? (struct sy__text){s, p.input}
                                     : (struct sy__text){s + p.input, p.target};
        if (words > 1 && words_of(key) < words)
            continue;
        p.key = key_of(key);
        l->pair[kept++] = p;
    }
    l->few += l->n - kept;
    l->n = kept;
}

/* ---- adding ---- */

/* White space at the ends is no text: catalogues carry newlines, and tables spaces. */
static void trim_spaces(const char **s, size_t *n)
{
    while (*n && sy__is_space((*s)[*n - 1]))
        --*n;
    while (*n && sy__is_space(**s))
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
        return sy__no_pair_memory(err);
    int was = *seen != 0;
    *seen = 1;
    return was;
}

/* Counts why it is no pair; false: it is one. */
static bool is_none(struct sy__pair_list *l, const struct sy__new_pair *p)
{
    if (!p->input_n || !p->target_n)
        l->empty++;
    else if (p->input_n == p->target_n && !memcmp(p->input, p->target, p->input_n))
        l->equal++;
    else if (p->input_n > SY__TEXT_MOST || p->target_n > SY__TEXT_MOST)
        l->bad++;
    else
        return false;
    return true;
}

int sy__pair_add(struct sy__pair_list *l, const struct sy__new_pair *given, struct sy_err *err)
{
    struct sy__new_pair p = *given;
    if (++l->offered % LOOK == 0 && sy__progress(l->progress, l->done, "data", err))
        return -1;
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
        return sy__no_pair_memory(err);
    l->pair[l->n++] = (struct sy__pair_text){
        .at = l->text.len, .input = (uint32_t)p.input_n, .target = (uint32_t)p.target_n,
        .source = p.source, .file = p.file, .line = p.line};
    sy_str_add(&l->text, p.input, p.input_n);
    sy_str_add(&l->text, p.target, p.target_n);
    return l->text.failed ? sy__no_pair_memory(err) : 0;
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

struct counts { /* of pairs that were not left out */
    int64_t *all, *held; /* owned, [sources]; NULL: no memory */
    int64_t held_sum;
};

static struct counts count_pairs(const struct sy__pair_list *l)
{
    struct counts c = {.all = sy_calloc((size_t)l->sources + 1, sizeof *c.all),
                       .held = sy_calloc((size_t)l->sources + 1, sizeof *c.held)};
    for (int64_t i = 0; i < l->n; i++) {
        const struct sy__pair_text *p = &l->pair[i];
        c.held_sum += p->held && !p->left;
        if (c.all && c.held) {
            c.all[p->source] += !p->left;
            c.held[p->source] += p->held && !p->left;
        }
    }
    return c;
}

/* Each language's pairs, as far as the line has room. */
static void tell_sources(const struct sy__pair_list *l, const struct counts *c, struct sy_str *out)
{
    const char *sep = ": ";
    for (int32_t i = 0; i < l->sources && i < 16; i++) {
        sy_str_puts(out, sep);
        sy_utf8_line(out, l->source[i], strlen(l->source[i]));
        sy_str_printf(out, " %lld", (long long)c->all[i]);
        sep = ", ";
    }
    if (l->sources > 16)
        sy_str_printf(out, " and %d more", (int)l->sources - 16);
}

/* Languages of which all that there is was held out. */
static void tell_untrained(const struct sy__pair_list *l, const struct counts *c,
                           struct sy_str *out)
{
    for (int32_t i = 0; i < l->sources; i++)
        if (c->all[i] && c->held[i] == c->all[i]) {
            sy_str_puts(out, ", all of ");
            sy_utf8_line(out, l->source[i], strlen(l->source[i]));
        }
}

static void tell_left(const struct sy__pair_list *l, struct sy_str *out)
{
    const char *sep = "; left out: ";
    tell_one(out, &sep, l->twice, "there twice");
    tell_one(out, &sep, l->equal, "equal to their source");
    tell_one(out, &sep, l->few, "of too few words");
    tell_one(out, &sep, l->empty, "empty");
    tell_one(out, &sep, l->special, "that spell a special token of the tokenizer");
    tell_one(out, &sep, l->bad, "over 1 MB or not in their character set");
    tell_one(out, &sep, l->damaged, "files that are damaged or no catalogues");
    tell_one(out, &sep, l->foreign, "files of a character set or revision that is not known");
    tell_one(out, &sep, l->unread, "files that cannot be read");
}

void sy__pair_tell(const struct sy__pair_list *l, struct sy_str *out)
{
    struct counts c = count_pairs(l);
    bool by_source = c.all && c.held;
    if (!by_source)
        out->failed = true;
    sy_str_printf(out, "%lld pairs", (long long)(l->n - l->special));
    if (by_source)
        tell_sources(l, &c, out);
    sy_str_printf(out, "; held out: %lld", (long long)c.held_sum);
    if (by_source)
        tell_untrained(l, &c, out);
    tell_left(l, out);
    sy_free(c.all);
    sy_free(c.held);
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
