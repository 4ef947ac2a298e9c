/* Mixes of corpora: making them (data.h).  How rows are drawn from one: mix_rows.c. */
#include "data/corpus_int.h"

#include "base/grow.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data.mix: out of memory");
}

static void describe_tokenizer(const struct sy_corpus *c, char out[96])
{
    struct sy_tokenizer *t = sy_corpus_tokenizer(c);
    char hex[17];
    if (!t) {
        snprintf(out, 96, "none, ids below %d", (int)sy_corpus_vocab(c));
        return;
    }
    sy_hash_hex(sy_tokenizer_hash(t), hex);
    snprintf(out, 96, "%s with %d ids, hash %s", sy_tokenizer_kind(t), (int)sy_tokenizer_size(t),
             hex);
}

static bool same_tokenizer(const struct sy_corpus *a, const struct sy_corpus *b)
{
    struct sy_tokenizer *s = sy_corpus_tokenizer(a), *t = sy_corpus_tokenizer(b);
    return s && t ? sy_tokenizer_hash(s) == sy_tokenizer_hash(t) : !s && !t;
}

static int check_parts(const struct sy_mix_part *parts, int n, struct sy_err *err)
{
    if (n < 1 || n > SY_MIX_MOST)
        return sy_err_set(err, SY_E_RANGE, "data.mix: takes 1 to %d data sets: they are %d",
                          SY_MIX_MOST, n);
    for (int i = 0; i < n; i++) {
        char one[96], other[96];
        if (parts[i].corpus->mix.n)
            return sy_err_set(err, SY_E_UNSUPPORTED,
                              "data.mix: '%s' is a mix itself: name its data sets", parts[i].name);
        for (int k = 0; k < i; k++)
            if (!strcmp(parts[i].name, parts[k].name))
                return sy_err_set(err, SY_E_NAME, "data.mix: two data sets are named '%s'",
                                  parts[i].name);
        if (same_tokenizer(parts[0].corpus, parts[i].corpus))
            continue;
        describe_tokenizer(parts[0].corpus, one);
        describe_tokenizer(parts[i].corpus, other);
        return sy_err_set(err, SY_E_RANGE,
                          "data.mix: the tokenizer of '%s' (%s) is not that of '%s' (%s)",
                          parts[i].name, other, parts[0].name, one);
    }
    return 0;
}

int sy_mix_shares(const double *given, int n, double *shares, struct sy_err *err)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (!(given[i] >= 0 && given[i] <= 1e9))
            return sy_err_set(err, SY_E_RANGE,
                              "data.mix: share %d must be from 0 to 1e9: it is %g", i + 1,
                              given[i]);
        sum += given[i];
    }
    if (!(sum > 0))
        return sy_err_set(err, SY_E_RANGE, "data.mix: all %d shares are 0", n);
    for (int i = 0; i < n; i++)
        shares[i] = given[i] / sum;
    return 0;
}

/* ---- names of sources ---- */

static bool has_source(const struct sy_corpus *c, const char *name)
{
    for (int32_t i = 0; i < c->sources; i++)
        if (!strcmp(c->source[i], name))
            return true;
    return false;
}

static int add_source(struct sy_corpus *c, size_t *room, const char *name, struct sy_err *err)
{
    if (SY_GROW(c->source, *room, c->sources + 1) || !(c->source[c->sources] = sy_strdup(name)))
        return no_memory(err);
    c->sources++;
    return 0;
}

/* A part is one source by its name; one with several keeps theirs. */
static int add_sources(struct sy_corpus *c, size_t *room, const struct sy_mix_part *part,
                       struct sy_err *err)
{
    int32_t own = sy_corpus_sources(part->corpus);
    if (own < 2 && has_source(c, part->name))
        return sy_err_set(err, SY_E_NAME,
                          "data.mix: '%s' is a language of an earlier data set: give this one "
                          "another name",
                          part->name);
    if (own < 2)
        return add_source(c, room, part->name, err);
    for (int32_t i = 0; i < own; i++) {
        struct sy_str name = SY_STR_INIT;
        const char *its = sy_corpus_source(part->corpus, i);
        if (has_source(c, its))
            sy_str_printf(&name, "%s/", part->name);
        sy_str_puts(&name, its);
        int rc = name.failed ? no_memory(err) : add_source(c, room, name.data, err);
        sy_str_free(&name);
        if (rc)
            return -1;
    }
    return 0;
}

/* ---- making ---- */

static int add_part(struct sy_corpus *c, const struct sy_mix_part *given, double share,
                    size_t *room, struct sy_err *err)
{
    int32_t source = c->sources;
    char *name = sy_strdup(given->name);
    if (!name)
        return no_memory(err);
    c->mix.part[c->mix.n++] = (struct sy__mix_part){sy_corpus_ref(given->corpus), name, share,
                                                    source, c->tokens, c->docs};
    if (add_sources(c, room, given, err))
        return -1;
    c->tokens += given->corpus->tokens;
    c->train += given->corpus->train;
    c->docs += given->corpus->docs;
    c->vocab = c->vocab > given->corpus->vocab ? c->vocab : given->corpus->vocab;
    return 0;
}

static uint64_t hash_parts(const struct sy_mix_part *parts, int n)
{
    struct sy_hash h;
    sy_hash_init(&h);
    for (int i = 0; i < n; i++) {
        sy_hash_update(&h, parts[i].name, strlen(parts[i].name) + 1);
        sy_hash_update(&h, &parts[i].corpus->hash, sizeof parts[i].corpus->hash);
    }
    return sy_hash_final(&h);
}

struct sy_corpus *sy_corpus_mix(const struct sy_mix_part *parts, int n, struct sy_err *err)
{
    double given[SY_MIX_MOST] = {0}, shares[SY_MIX_MOST];
    size_t room = 0;
    if (check_parts(parts, n, err))
        return NULL;
    for (int i = 0; i < n; i++)
        given[i] = parts[i].share;
    if (sy_mix_shares(given, n, shares, err))
        return NULL;
    struct sy_corpus *c = sy__corpus_new(1, parts[0].corpus->tokenizer, err);
    for (int i = 0; c && i < n; i++)
        if (add_part(c, &parts[i], shares[i], &room, err)) {
            sy_corpus_unref(c);
            return NULL;
        }
    if (c)
        c->hash = hash_parts(parts, n);
    return c;
}
