/* Tokenizers: making, sharing, decoding.  Encoding is in encode.c, training in bpe_train.c, the
 * file format in tokenizer_json.c.
 *
 *  1. A struct sy_tokenizer is filled by sy__tokenizer_make and never written again, but for the
 *     count of its owners.
 *  2. start[] is ascending and every token's bytes lie within bytes[]; all bytes together are
 *     fewer than 2^32. */
#include "data/tokenizer_int.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

static int no_memory(struct sy_err *err, const char *what)
{
    return sy_err_set(err, SY_E_MEMORY, "tokenizer: out of memory for %s", what);
}

static int copy_tokens(struct sy_tokenizer *t, const struct sy__token *tokens, struct sy_err *err)
{
    size_t total = 0;
    for (int32_t i = 0; i < t->size; i++)
        total += tokens[i].len;
    if (total >= UINT32_MAX)
        return sy_err_set(err, SY_E_FORMAT, "tokenizer: tokens hold %zu bytes, over 4 GB", total);
    t->bytes = sy_alloc(total + 1);
    t->start = sy_calloc((size_t)t->size + 1, sizeof *t->start);
    t->special = sy_calloc((size_t)t->size, sizeof *t->special);
    if (!t->bytes || !t->start || !t->special)
        return no_memory(err, "the vocabulary");
    char *p = t->bytes;
    for (int32_t i = 0; i < t->size; i++) {
        if (tokens[i].len)
            memcpy(p, tokens[i].bytes, tokens[i].len);
        p += tokens[i].len;
        t->start[i + 1] = (uint32_t)(p - t->bytes);
        t->special[i] = tokens[i].special;
    }
    return 0;
}

static int find_bytes(struct sy_tokenizer *t, struct sy_err *err)
{
    for (int b = 0; b < 256; b++)
        t->byte[b] = -1;
    for (int32_t i = t->size; i-- > 0;)
        if (t->start[i + 1] - t->start[i] == 1 && !t->special[i])
            t->byte[(unsigned char)t->bytes[t->start[i]]] = i;
    for (int b = 0; b < 256; b++)
        if (t->byte[b] < 0)
            return sy_err_set(err, SY_E_FORMAT,
                              "tokenizer: no token for byte 0x%02x: not a byte-level vocabulary",
                              b);
    return 0;
}

static int index_merges(struct sy_tokenizer *t, const struct sy__merge *merges, int32_t n,
                        struct sy_err *err)
{
    if (n == 0)
        return 0;
    uint32_t slots = 4;
    while (slots / 2 < (uint32_t)n)
        slots *= 2;
    t->merge = sy_calloc((size_t)n, sizeof *t->merge);
    t->pair = sy_calloc(slots, sizeof *t->pair);
    if (!t->merge || !t->pair)
        return no_memory(err, "the merges");
    memcpy(t->merge, merges, (size_t)n * sizeof *merges);
    t->merges = n;
    t->pairs = slots;
    for (int32_t r = 0; r < n; r++) {
        uint64_t key = ((uint64_t)(uint32_t)merges[r].left << 32 | (uint32_t)merges[r].right) + 1;
        uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & (slots - 1);
        while (t->pair[i].key && t->pair[i].key != key)
            i = (i + 1) & (slots - 1);
        if (t->pair[i].key)
            return sy_err_set(err, SY_E_FORMAT, "tokenizer: merges %u and %d are the same pair",
                              t->pair[i].rank, r);
        t->pair[i] = (struct sy__pair){key, (uint32_t)r, merges[r].id};
    }
    return 0;
}

static int index_vocab(struct sy_tokenizer *t, struct sy_err *err)
{
    for (int32_t i = 0; i < t->size; i++) {
        if (t->special[i] || t->start[i + 1] == t->start[i])
            continue;
        int64_t *id =
            sy__words_at(&t->vocab, t->bytes + t->start[i], t->start[i + 1] - t->start[i]);
        if (!id)
            return no_memory(err, "the vocabulary");
        *id = i + 1;
    }
    return 0;
}

static int32_t find_special(const struct sy_tokenizer *t, const char *const *names)
{
    for (; *names; names++)
        for (int32_t i = t->size; i-- > 0;) {
            size_t n = t->start[i + 1] - t->start[i];
            if (t->special[i] && n == strlen(*names) && !memcmp(t->bytes + t->start[i], *names, n))
                return i;
        }
    return -1;
}

static uint64_t hash_all(const struct sy_tokenizer *t)
{
    struct sy_hash h;
    sy_hash_init(&h);
    int32_t head[3] = {t->size, t->merges, t->ignore_merges};
    sy_hash_update(&h, head, sizeof head);
    sy_hash_update(&h, t->start, ((size_t)t->size + 1) * sizeof *t->start);
    sy_hash_update(&h, t->bytes, t->start[t->size]);
    sy_hash_update(&h, t->special, (size_t)t->size * sizeof *t->special);
    if (t->merges)
        sy_hash_update(&h, t->merge, (size_t)t->merges * sizeof *t->merge);
    if (t->pattern)
        sy_hash_update(&h, sy__pattern_text(t->pattern), strlen(sy__pattern_text(t->pattern)));
    return sy_hash_final(&h);
}

struct sy_tokenizer *sy__tokenizer_make(const struct sy__token *tokens, int32_t size,
                                        const struct sy__merge *merges, int32_t n,
                                        struct sy__pattern *pattern, bool ignore_merges,
                                        struct sy_err *err)
{
    static const char *const eot[] = {SY__EOT_NAME, "<|end_of_text|>", "<eos>", "</s>", NULL};
    static const char *const bos[] = {"<|begin_of_text|>", "<|startoftext|>", "<bos>", "<s>", NULL};
    struct sy_tokenizer *t = sy_calloc(1, sizeof *t);
    if (!t) {
        sy__pattern_free(pattern);
        no_memory(err, "the vocabulary");
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->pattern = pattern;
    t->size = size;
    t->ignore_merges = ignore_merges;
    if (copy_tokens(t, tokens, err) || find_bytes(t, err) || index_merges(t, merges, n, err) ||
        (ignore_merges && index_vocab(t, err))) {
        sy_tokenizer_unref(t);
        return NULL;
    }
    t->eot = find_special(t, eot);
    t->bos = find_special(t, bos);
    t->hash = hash_all(t);
    return t;
}

struct sy_tokenizer *sy_tokenizer_bytes(struct sy_err *err)
{
    char all[256];
    struct sy__token tokens[256];
    for (int b = 0; b < 256; b++) {
        all[b] = (char)b;
        tokens[b] = (struct sy__token){&all[b], 1, false, true};
    }
    return sy__tokenizer_make(tokens, 256, NULL, 0, NULL, false, err);
}

struct sy_tokenizer *sy_tokenizer_ref(struct sy_tokenizer *tok)
{
    atomic_fetch_add_explicit(&tok->refs, 1, memory_order_relaxed);
    return tok;
}

void sy_tokenizer_unref(struct sy_tokenizer *tok)
{
    if (!tok || atomic_fetch_sub_explicit(&tok->refs, 1, memory_order_acq_rel) > 1)
        return;
    sy__pattern_free(tok->pattern);
    sy__words_free(&tok->vocab);
    sy_free(tok->bytes);
    sy_free(tok->start);
    sy_free(tok->special);
    sy_free(tok->merge);
    sy_free(tok->pair);
    sy_free(tok);
}

char *sy_tokenizer_decode(const struct sy_tokenizer *tok, const int32_t *ids, int64_t n,
                          size_t *len, struct sy_err *err)
{
    size_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= tok->size) {
            sy_err_set(err, SY_E_RANGE, "decode: id %d is outside 0..%d", ids[i], tok->size - 1);
            return NULL;
        }
        total += tok->start[ids[i] + 1] - tok->start[ids[i]];
    }
    char *out = sy_alloc(total + 1);
    if (!out) {
        sy_err_set(err, SY_E_MEMORY, "decode: out of memory for %zu bytes", total);
        return NULL;
    }
    char *p = out;
    for (int64_t i = 0; i < n; i++) {
        size_t k = tok->start[ids[i] + 1] - tok->start[ids[i]];
        memcpy(p, tok->bytes + tok->start[ids[i]], k);
        p += k;
    }
    *p = 0;
    if (len)
        *len = total;
    return out;
}

int32_t sy_tokenizer_size(const struct sy_tokenizer *tok)
{
    return tok->size;
}

int32_t sy_tokenizer_eot(const struct sy_tokenizer *tok)
{
    return tok->eot;
}

int32_t sy_tokenizer_bos(const struct sy_tokenizer *tok)
{
    return tok->bos;
}

const char *sy_tokenizer_token(const struct sy_tokenizer *tok, int32_t id, size_t *len)
{
    if (id < 0 || id >= tok->size)
        return NULL;
    *len = tok->start[id + 1] - tok->start[id];
    return tok->bytes + tok->start[id];
}

int sy_tokenizer_is_special(const struct sy_tokenizer *tok, int32_t id)
{
    return id >= 0 && id < tok->size && tok->special[id];
}

bool sy__tokenizer_is_bytes(const struct sy_tokenizer *tok)
{
    if (tok->merges || tok->pattern || tok->size != 256)
        return false;
    for (int b = 0; b < 256; b++)
        if (tok->byte[b] != b)
            return false;
    return true;
}

const char *sy_tokenizer_kind(const struct sy_tokenizer *tok)
{
    return sy__tokenizer_is_bytes(tok) ? "bytes" : "bpe";
}

const char *sy_tokenizer_pattern(const struct sy_tokenizer *tok)
{
    return sy__pattern_name(tok->pattern);
}

uint64_t sy_tokenizer_hash(const struct sy_tokenizer *tok)
{
    return tok->hash;
}

int32_t sy_tokenizer_merges(const struct sy_tokenizer *tok)
{
    return tok->merges;
}

void sy_tokenizer_merge(const struct sy_tokenizer *tok, int32_t rank, int32_t *left, int32_t *right)
{
    *left = tok->merge[rank].left;
    *right = tok->merge[rank].right;
}
