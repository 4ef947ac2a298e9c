/* Tokenizers: making, sharing, decoding.  Encoding is in encode.c, training in bpe_train.c, the
 * file format in tokenizer_read.c, tokenizer_parts.c and tokenizer_write.c.
 *
 *  1. A struct sy_tokenizer is filled by sy__tokenizer_make and never written again, but for the
 *     count of its owners.
 *  2. start[] is ascending and every token's bytes lie within bytes[]; all bytes together are
 *     fewer than 2^32. */
#include "data/tokenizer/tokenizer_int.h"

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

static int find_bytes(struct sy_tokenizer *t, const struct sy__token *tokens, struct sy_err *err)
{
    for (int b = 0; b < 256; b++)
        t->byte[b] = -1;
    for (int32_t i = t->size; i-- > 0;)
        if (t->start[i + 1] - t->start[i] == 1 && tokens[i].model)
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

static uint64_t hash_all(const struct sy_tokenizer *t, const char *beyond)
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
    if (beyond)
        sy_hash_update(&h, beyond, strlen(beyond));
    return sy_hash_final(&h);
}

/* ---- added tokens ---- */

static int copy_names(struct sy_tokenizer *t, const struct sy__recipe *r, struct sy__added *list,
                      struct sy_err *err)
{
    size_t total = 0;
    for (int32_t i = 0; i < r->n_added; i++)
        total += r->added[i].n;
    char *p = t->names = sy_alloc(total + 1);
    if (!p)
        return no_memory(err, "added tokens");
    for (int32_t i = 0; i < r->n_added; i++) {
        list[i] = r->added[i];
        list[i].text = p;
        if (list[i].n)
            memcpy(p, r->added[i].text, list[i].n);
        p += list[i].n;
    }
    return 0;
}

/* Index those of list[0..n) that are normalized, or the others.  An empty name is never found. */
static int index_added(struct sy__added_set *set, const struct sy__added *list, int32_t n,
                       bool normalized, struct sy_err *err)
{
    int32_t kept = 0;
    struct sy__added *token = sy_calloc((size_t)n + 1, sizeof *token);
    if (!token)
        return no_memory(err, "added tokens");
    for (int32_t i = 0; i < n; i++)
        if (list[i].normalized == normalized && list[i].n)
            token[kept++] = list[i];
    sy__added_index(set, token, kept);
    for (int32_t i = 0; i + 1 < kept; i++)
        if (token[i].n == token[i + 1].n && !memcmp(token[i].text, token[i + 1].text, token[i].n))
            return sy_err_set(err, SY_E_FORMAT,
                              "tokenizer: added tokens %d and %d are the same text", token[i].id,
                              token[i + 1].id);
    return 0;
}

static int take_added(struct sy_tokenizer *t, const struct sy__recipe *r, struct sy_err *err)
{
    struct sy__added *list = sy_calloc((size_t)r->n_added + 1, sizeof *list);
    int rc = !list ? no_memory(err, "added tokens")
                   : copy_names(t, r, list, err) ||
                         index_added(&t->raw, list, r->n_added, false, err) ||
                         index_added(&t->normalized, list, r->n_added, true, err);
    sy_free(list);
    return rc ? -1 : 0;
}

/* ---- where texts may be cut ---- */

/* No token may hold or take in a newline with an ASCII letter behind it (sy__pattern_cut). */
static bool crosses(const struct sy__added_set *set)
{
    for (int32_t i = 0; i < set->n; i++) {
        const struct sy__added *a = &set->token[i];
        for (size_t k = 0; k < a->n; k++) {
            bool letter = (unsigned char)((a->text[k] | 32) - 'a') < 26;
            if (letter && (k ? a->text[k - 1] == '\n' : a->lstrip))
                return true;
        }
    }
    return false;
}

static bool may_be_cut(const struct sy_tokenizer *t)
{
    for (int i = 0; i < t->normals.n; i++)
        if (!sy__normal_is_form(t->normals.step[i].kind))
            return false;
    return t->pattern && !crosses(&t->raw) && !crosses(&t->normalized);
}

size_t sy__tokenizer_cut(const struct sy_tokenizer *tok, const char *text, size_t n, size_t want)
{
    return tok->cuttable ? sy__pattern_cut(tok->pattern, text, n, want) : n;
}

/* ---- making ---- */

struct sy__pretok sy__pretok_of(struct sy__pattern *pattern)
{
    struct sy__pretok list = {.n = pattern != NULL};
    list.stage[0] = (struct sy__stage){.kind = SY__STAGE_SPLIT, .pattern = pattern};
    return list;
}

void sy__recipe_free(struct sy__recipe *r)
{
    sy__normals_free(&r->normals);
    sy__pretok_free(&r->pretok);
    sy__words_free(&r->vocab);
    sy_free(r->around.id);
    sy_free(r->source);
    r->around = (struct sy__template){0};
    r->source = NULL;
}

/* Move what the recipe owns. */
static void take_recipe(struct sy_tokenizer *t, struct sy__recipe *r)
{
    const struct sy__stage *only = &r->pretok.stage[0];
    t->size = r->size;
    t->normals = r->normals;
    t->pretok = r->pretok;
    t->vocab = r->vocab;
    t->around = r->around;
    t->source = r->source;
    t->source_n = r->source_n;
    t->strip = r->strip;
    t->chars = r->chars;
    t->ignore_merges = r->ignore_merges;
    t->fuse_unk = r->fuse_unk;
    t->unk = r->chars ? r->unk : -1;
    if (!r->chars && r->pretok.n == 1 && only->kind == SY__STAGE_SPLIT &&
        only->behavior == SY__ISOLATED)
        t->pattern = only->pattern;
    r->normals.n = r->pretok.n = 0;
    r->vocab = (struct sy__words){0};
    r->around.id = NULL;
    r->source = NULL;
}

static int fill_tokenizer(struct sy_tokenizer *t, const struct sy__recipe *r, struct sy_err *err)
{
    if (copy_tokens(t, r->tokens, err) || index_merges(t, r->merges, r->n, err) ||
        take_added(t, r, err))
        return -1;
    if (!r->chars)
        return find_bytes(t, r->tokens, err);
    for (int b = 0; b < 256; b++)
        t->byte[b] = r->byte_fallback ? r->byte[b] : -1;
    return 0;
}

struct sy_tokenizer *sy__tokenizer_make(struct sy__recipe *r, struct sy_err *err)
{
    static const char *const eot[] = {SY__EOT_NAME,
                                      "<|end_of_text|>",
                                      "<eos>",
                                      "</s>",
                                      "<\xef\xbd\x9c"
                                      "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
                                      NULL};
    static const char *const bos[] = {"<|begin_of_text|>",
                                      "<|startoftext|>",
                                      "<bos>",
                                      "<s>",
                                      "<\xef\xbd\x9c"
                                      "begin\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
                                      NULL};
    struct sy_tokenizer *t = sy_calloc(1, sizeof *t);
    if (!t) {
        sy__recipe_free(r);
        no_memory(err, "the vocabulary");
        return NULL;
    }
    atomic_init(&t->refs, 1);
    take_recipe(t, r);
    if (fill_tokenizer(t, r, err)) {
        sy_tokenizer_unref(t);
        return NULL;
    }
    t->cuttable = may_be_cut(t);
    t->eot = find_special(t, eot);
    t->bos = find_special(t, bos);
    t->hash = hash_all(t, r->beyond);
    return t;
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
    sy__normals_free(&tok->normals);
    sy__pretok_free(&tok->pretok);
    sy__words_free(&tok->vocab);
    sy_free(tok->raw.token);
    sy_free(tok->normalized.token);
    sy_free(tok->names);
    sy_free(tok->around.id);
    sy_free(tok->source);
    sy_free(tok->bytes);
    sy_free(tok->start);
    sy_free(tok->special);
    sy_free(tok->merge);
    sy_free(tok->pair);
    sy_free(tok);
}

/* ---- decoding ---- */

static size_t strip_front(const struct sy__strip *s, const char *text, size_t n)
{
    size_t len = strlen(s->c), k = 0;
    for (int32_t i = 0; i < s->start && n - k >= len && !memcmp(text + k, s->c, len); i++)
        k += len;
    return k;
}

static size_t strip_end(const struct sy__strip *s, const char *text, size_t n)
{
    size_t len = strlen(s->c), k = 0;
    for (int32_t i = 0; i < s->stop && n - k >= len && !memcmp(text + n - k - len, s->c, len); i++)
        k += len;
    return k;
}

/* The first token's bytes without spaces; returns how many. */
static size_t without_spaces(char *out, const char *bytes, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != ' ')
            out[k++] = bytes[i];
    return k;
}

static size_t decode_into(const struct sy_tokenizer *tok, const int32_t *ids, int64_t n,
                          bool goes_on, char *out)
{
    const struct sy__strip *s = &tok->strip;
    char *p = out;
    for (int64_t i = 0; i < n; i++) {
        const char *bytes = tok->bytes + tok->start[ids[i]];
        size_t k = tok->start[ids[i] + 1] - tok->start[ids[i]];
        if (i == 0 && s->spaces && !goes_on && !tok->special[ids[0]]) {
            p += without_spaces(p, bytes, k);
            continue;
        }
        memcpy(p, bytes, k);
        p += k;
    }
    size_t len = (size_t)(p - out), front = goes_on ? 0 : strip_front(s, out, len);
    len -= front;
    memmove(out, out + front, len);
    return len - strip_end(s, out, len);
}

char *sy_tokenizer_decode_on(const struct sy_tokenizer *tok, const int32_t *ids, int64_t n,
                             bool goes_on, size_t *len, struct sy_err *err)
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
    total = decode_into(tok, ids, n, goes_on, out);
    out[total] = 0;
    if (len)
        *len = total;
    return out;
}

char *sy_tokenizer_decode(const struct sy_tokenizer *tok, const int32_t *ids, int64_t n,
                          size_t *len, struct sy_err *err)
{
    return sy_tokenizer_decode_on(tok, ids, n, false, len, err);
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

bool sy_tokenizer_is_bare(const struct sy_tokenizer *tok)
{
    return tok->bare;
}

/* Ids 0..255 are the bytes, and no others of the vocabulary. */
static bool has_bytes_alone(const struct sy_tokenizer *tok)
{
    if (tok->merges || tok->pretok.n || tok->normals.n || tok->chars || tok->size < 256)
        return false;
    for (int b = 0; b < 256; b++)
        if (tok->byte[b] != b)
            return false;
    for (int32_t i = 256; i < tok->size; i++)
        if (!tok->special[i])
            return false;
    return true;
}

bool sy__tokenizer_is_bytes(const struct sy_tokenizer *tok)
{
    return tok->size == 256 && !tok->raw.n && !tok->normalized.n && has_bytes_alone(tok);
}

int32_t sy__tokenizer_newline(const struct sy_tokenizer *tok)
{
    const int64_t *id = tok->chars ? sy__words_find(&tok->vocab, "\n", 1) : NULL;
    return id ? (int32_t)(*id - 1) : tok->byte['\n'];
}

const char *sy_tokenizer_kind(const struct sy_tokenizer *tok)
{
    return has_bytes_alone(tok) ? "bytes" : "bpe";
}

const char *sy_tokenizer_pattern(const struct sy_tokenizer *tok)
{
    return sy__pattern_name(tok->pattern);
}

uint64_t sy_tokenizer_hash(const struct sy_tokenizer *tok)
{
    return tok->hash;
}
