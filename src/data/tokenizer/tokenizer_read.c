/* Reading tokenizer.json of Hugging Face's tokenizers library: BPE, byte-level or of characters
 * with bytes for the rest (SentencePiece's).
 *
 *  1. The file is hostile: every id, token and merge is checked before it is used, the number of
 *     ids is bounded by the number of tokens, and what we cannot do exactly is refused by name:
 *     models other than BPE, dropout, prefixes and suffixes of subwords, and the types that
 *     tokenizer_parts.c does not have.
 *  2. The text of a token is its bytes where the model works on bytes, else its name; merges are
 *     looked up by it.  What a token decodes to may differ: an added token stands for its name.
 *  3. A token of a byte-level vocabulary that spells no bytes is there, but no text gives it.
 *  4. Letters, marks and normal forms are those of the Unicode that PCRE2 and utf8proc know:
 *     characters that a later version brought may be taken otherwise there.
 *  5. Truncation and padding are not applied: they belong to batches (transformers ignores the
 *     file's, too). */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sanitize.h"
#include "base/utf8.h"
#include "data/tokenizer/tokenizer_read_int.h"

#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)256 << 20)
#define HOLES_MAX 4096      /* ids without a token, beside as many as there are tokens */
#define MARK "\xe2\x96\x81" /* U+2581, SentencePiece's space */

#define get sy__read_get
#define is sy__read_is
#define is_on sy__read_is_on

struct text { /* of a token, in `bytes` */
    size_t at, n;
    bool odd;         /* a byte-level vocabulary's name that spells no bytes */
    const char *name; /* of an added token, when it was normalized */
    size_t name_n;
};

struct reader {
    struct sy__reader part;
    int16_t from[512];
    struct text *text;       /* owned, [size]: of the vocabulary's tokens */
    struct sy__token *token; /* owned, [size] */
    int32_t size;
    struct sy_str bytes; /* of all texts */
    struct sy_str shown; /* what they decode to */
    struct sy_str names; /* normalized ones, of added tokens */
    struct sy__added *added;
    int32_t n_added;
    struct sy__words odd; /* names that spell no bytes -> id + 1 */
    struct sy__merge *merge;
    int32_t merges;
};

/* ---- messages and members ---- */

static int fail_reading(struct reader *p, const char *what)
{
    return sy__read_bad(&p->part, what);
}
static int no_memory(struct reader *p)
{
    return sy__read_no_memory(&p->part);
}

static int bad_at(struct reader *p, const char *what, int64_t value)
{
    return sy_err_set(p->part.err, SY_E_FORMAT, "tokenizer: %s: %s %lld", p->part.name, what,
                      (long long)value);
}

static int bad_merge(struct reader *p, const char *what)
{
    return sy_err_set(p->part.err, SY_E_FORMAT, "tokenizer: %s: merge %d: %s", p->part.name,
                      p->merges + 1, what);
}

/* Not there, null, false, zero or "". */
static bool is_off(const struct sy_json *object, const char *key)
{
    const struct sy_json *v = sy_json_get(object, key);
    return !v || v->type == SY_JSON_NULL || (v->type == SY_JSON_BOOL && !v->boolean) ||
           (v->type == SY_JSON_STRING && v->string_len == 0) ||
           ((v->type == SY_JSON_INT || v->type == SY_JSON_REAL) && v->real == 0);
}

/* ---- texts of tokens ---- */

/* Append the bytes that a name spells; -1 and nothing appended when a character spells none. */
static int unspell(const int16_t from[512], struct sy_str *out, const char *s, size_t n)
{
    size_t before = out->len;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        int k = sy_utf8_decode(s + i, n - i, &c);
        if (k == 0 || c >= 512 || from[c] < 0) {
            out->len = before;
            return -1;
        }
        char byte = (char)from[c];
        sy_str_add(out, &byte, 1);
        i += (size_t)k;
    }
    return 0;
}

/* Append the text of a name.  Returns whether it is one that merges may give. */
static bool put_text(struct reader *p, struct sy_str *out, const char *s, size_t n)
{
    if (!p->part.r.chars && !unspell(p->from, out, s, n))
        return true;
    sy_str_add(out, s, n);
    return p->part.r.chars;
}

/* The id of the vocabulary's token of that name, or -1. */
static int32_t id_of(struct reader *p, struct sy_str *scratch, const char *s, size_t n)
{
    sy_str_clear(scratch);
    sy_str_puts(scratch, "");
    bool plain = put_text(p, scratch, s, n);
    const int64_t *id =
        sy__words_find(plain ? &p->part.r.vocab : &p->odd, scratch->data, scratch->len);
    return id ? (int32_t)(*id - 1) : -1;
}

/* ---- the vocabulary ---- */

static int check_id(struct reader *p, const struct sy_json *id, int64_t limit)
{
    if (!id || id->type != SY_JSON_INT)
        return fail_reading(p, "a token's id is not a whole number");
    if (id->integer < 0 || id->integer >= limit)
        return bad_at(p, "a token's id is out of range:", id->integer);
    return 0;
}

/* Make room for as many ids as the largest one asks for. */
static int size_up(struct reader *p, const struct sy_json *vocab, const struct sy_json *added)
{
    int64_t count = vocab->count + (added ? added->count : 0);
    int64_t limit = 2 * count + HOLES_MAX, largest = -1;
    if (limit > INT32_MAX)
        return bad_at(p, "too many tokens:", count);
    for (const struct sy_json *v = vocab->first; v; v = v->next) {
        if (check_id(p, v, limit))
            return -1;
        largest = v->integer > largest ? v->integer : largest;
    }
    for (const struct sy_json *a = added ? added->first : NULL; a; a = a->next) {
        if (a->type != SY_JSON_OBJECT)
            return fail_reading(p, "an added token is not an object");
        const struct sy_json *id = sy_json_get(a, "id");
        if (check_id(p, id, limit))
            return -1;
        largest = id->integer > largest ? id->integer : largest;
    }
    if (largest < 0)
        return fail_reading(p, "the vocabulary is empty");
    p->size = (int32_t)(largest + 1);
    p->token = sy_calloc((size_t)p->size + 1, sizeof *p->token);
    p->text = sy_calloc((size_t)p->size + 1, sizeof *p->text);
    p->added = sy_calloc(added ? (size_t)added->count + 1 : 1, sizeof *p->added);
    return p->token && p->text && p->added ? 0 : no_memory(p);
}

static int add_vocab(struct reader *p, const struct sy_json *v)
{
    struct text *t = &p->text[v->integer];
    struct sy__token *token = &p->token[v->integer];
    if (token->model)
        return bad_at(p, "two tokens have the id", v->integer);
    t->at = p->bytes.len;
    if (v->key_len)
        t->odd = !put_text(p, &p->bytes, v->key, v->key_len);
    t->n = p->bytes.len - t->at;
    if (p->bytes.failed)
        return no_memory(p);
    *token = (struct sy__token){.present = true, .model = true};
    if (!t->n) /* an empty name, which no text gives */
        return 0;
    struct sy__words *words = t->odd ? &p->odd : &p->part.r.vocab;
    int64_t *id = sy__words_at(words, p->bytes.data + t->at, t->n);
    if (!id)
        return no_memory(p);
    if (*id)
        return bad_at(p, "two tokens have the same bytes: id", v->integer);
    *id = v->integer + 1;
    return 0;
}

/* ---- added tokens ---- */

/* The library takes the vocabulary's id, or the next one; a file that says otherwise would give
 * other ids there. */
static int check_added_id(struct reader *p, struct sy_str *scratch, const struct sy__added *a,
                          int32_t *next)
{
    int32_t id = id_of(p, scratch, a->text, a->n);
    if (id < 0)
        id = (*next)++;
    if (id == a->id || p->part.bare)
        return 0;
    struct sy_str clean = SY_STR_INIT;
    sy_utf8_sanitize(&clean, a->text, a->n < 64 ? a->n : 64);
    sy_err_set(p->part.err, SY_E_FORMAT,
               "tokenizer: %s: added token '%s' has the id %d, which the tokenizers library takes "
               "for %d",
               p->part.name, clean.data ? clean.data : "", a->id, id);
    sy_str_free(&clean);
    return -1;
}

static int add_added(struct reader *p, struct sy_str *scratch, const struct sy_json *v,
                     int32_t *next)
{
    const struct sy_json *content = get(v, "content", SY_JSON_STRING);
    int32_t id = (int32_t)sy_json_get(v, "id")->integer;
    if (!content || content->string_len == 0)
        return bad_at(p, "added token without content: id", id);
    if (p->token[id].special)
        return bad_at(p, "two added tokens have the id", id);
    struct sy__added *a = &p->added[p->n_added];
    *a = (struct sy__added){.text = content->string,
                            .n = content->string_len,
                            .id = id,
                            .single_word = is_on(v, "single_word", false),
                            .lstrip = is_on(v, "lstrip", false),
                            .rstrip = is_on(v, "rstrip", false),
                            .special = is_on(v, "special", false)};
    a->normalized = is_on(v, "normalized", !a->special);
    if (check_added_id(p, scratch, a, next))
        return -1;
    if (p->token[id].model && id_of(p, scratch, a->text, a->n) != id)
        return bad_at(p, "two tokens have the id", id);
    p->token[id].special = p->token[id].present = true;
    p->token[id].bytes = a->text;
    p->token[id].len = a->n;
    if (!a->special || a->single_word || a->lstrip || a->rstrip || a->normalized)
        sy_str_printf(&p->part.beyond, "added %d %d%d%d%d%d\n", id, a->special, a->single_word,
                      a->lstrip, a->rstrip, a->normalized);
    p->n_added += !p->part.bare;
    return 0;
}

static int read_added(struct reader *p, const struct sy_json *vocab, const struct sy_json *added)
{
    struct sy_str scratch = SY_STR_INIT;
    int32_t next = (int32_t)vocab->count;
    int rc = 0;
    for (const struct sy_json *a = added ? added->first : NULL; a && !rc; a = a->next)
        rc = add_added(p, &scratch, a, &next);
    if (scratch.failed && !rc)
        rc = no_memory(p);
    sy_str_free(&scratch);
    return rc;
}

static int read_vocab(struct reader *p, const struct sy_json *root, const struct sy_json *model)
{
    const struct sy_json *vocab = get(model, "vocab", SY_JSON_OBJECT);
    const struct sy_json *added = sy_json_get(root, "added_tokens");
    if (!vocab)
        return fail_reading(p, "no object model.vocab");
    if (added && added->type == SY_JSON_NULL)
        added = NULL;
    if (added && added->type != SY_JSON_ARRAY)
        return fail_reading(p, "added_tokens is not a list");
    if (size_up(p, vocab, added))
        return -1;
    for (const struct sy_json *v = vocab->first; v; v = v->next)
        if (add_vocab(p, v))
            return -1;
    return read_added(p, vocab, added);
}

/* ---- merges ---- */

/* The id of a merge's part; -1 and an error when there is none. */
static int32_t id_of_part(struct reader *p, struct sy_str *scratch, const char *s, size_t n)
{
    int32_t id = n ? id_of(p, scratch, s, n) : -1;
    return id < 0 || p->text[id].odd ? bad_merge(p, "unknown token") : id;
}

static int split_merge(struct reader *p, const struct sy_json *m, const char *s[2], size_t n[2])
{
    if (m->type == SY_JSON_STRING) {
        const char *space = memchr(m->string, ' ', m->string_len);
        if (!space)
            return bad_merge(p, "no space between two tokens");
        s[0] = m->string;
        n[0] = (size_t)(space - m->string);
        s[1] = space + 1;
        n[1] = m->string_len - n[0] - 1;
        return 0;
    }
    if (m->type != SY_JSON_ARRAY || m->count != 2 || m->first->type != SY_JSON_STRING ||
        m->first->next->type != SY_JSON_STRING)
        return bad_merge(p, "neither \"a b\" nor a pair");
    s[0] = m->first->string;
    n[0] = m->first->string_len;
    s[1] = m->first->next->string;
    n[1] = m->first->next->string_len;
    return 0;
}

static int read_merge(struct reader *p, const struct sy_json *m, struct sy_str *scratch)
{
    const char *s[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    if (split_merge(p, m, s, n))
        return -1;
    int32_t left = id_of_part(p, scratch, s[0], n[0]);
    int32_t right = left < 0 ? -1 : id_of_part(p, scratch, s[1], n[1]);
    if (right < 0)
        return -1;
    sy_str_clear(scratch);
    sy_str_add(scratch, p->bytes.data + p->text[left].at, p->text[left].n);
    sy_str_add(scratch, p->bytes.data + p->text[right].at, p->text[right].n);
    if (scratch->failed)
        return no_memory(p);
    const int64_t *id = sy__words_find(&p->part.r.vocab, scratch->data, scratch->len);
    if (!id)
        return bad_merge(p, "gives no token of the vocabulary");
    p->merge[p->merges++] = (struct sy__merge){left, right, (int32_t)(*id - 1)};
    return 0;
}

static int read_merges(struct reader *p, const struct sy_json *model)
{
    const struct sy_json *merges = get(model, "merges", SY_JSON_ARRAY);
    if (!merges)
        return fail_reading(p, "no list model.merges");
    if (merges->count > INT32_MAX / 4)
        return bad_at(p, "too many merges:", merges->count);
    p->merge = sy_calloc((size_t)merges->count + 1, sizeof *p->merge);
    if (!p->merge)
        return no_memory(p);
    struct sy_str scratch = SY_STR_INIT;
    int rc = 0;
    for (const struct sy_json *m = merges->first; m && !rc; m = m->next)
        rc = read_merge(p, m, &scratch);
    sy_str_free(&scratch);
    return rc;
}

/* ---- what tokens decode to ---- */

static void replace_all(struct sy_str *out, const char *s, size_t n, const char *old, size_t old_n,
                        const char *new, size_t new_n)
{
    const char *end = s + n, *at;
    sy_str_clear(out);
    sy_str_puts(out, "");
    while ((at = memmem(s, (size_t)(end - s), old, old_n))) {
        sy_str_add(out, s, (size_t)(at - s));
        sy_str_add(out, new, new_n);
        s = at + old_n;
    }
    sy_str_add(out, s, (size_t)(end - s));
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* The byte of <0x0A>, or -1. */
static int byte_of(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>')
        return -1;
    int high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static void strip_token(const struct sy__strip *strip, const char **s, size_t *n)
{
    size_t len = strlen(strip->c);
    for (int32_t i = 0; i < strip->start && *n >= len && !memcmp(*s, strip->c, len); i++)
        *s += len, *n -= len;
    for (int32_t i = 0; i < strip->stop && *n >= len && !memcmp(*s + *n - len, strip->c, len); i++)
        *n -= len;
}

/* Append what the token named by s[0..n) decodes to; a, b: scratch. */
static void decode_token(struct reader *p, const char *s, size_t n, struct sy_str *a,
                         struct sy_str *b)
{
    const struct sy__decoder *d = &p->part.decoder;
    for (int i = 0; i < d->replaces; i++) {
        replace_all(a, s, n, d->old[i]->string, d->old[i]->string_len, d->new[i]->string,
                    d->new[i]->string_len);
        struct sy_str last = *a;
        *a = *b;
        *b = last;
        s = b->data;
        n = b->len;
    }
    if (*d->mark) {
        replace_all(a, s, n, d->mark, strlen(d->mark), " ", 1);
        s = a->data;
        n = a->len;
    }
    strip_token(&d->each, &s, &n);
    int byte = d->fallback ? byte_of(s, n) : -1;
    char c = (char)byte;
    if (byte >= 0)
        sy_str_add(&p->shown, &c, 1);
    else if (!d->bytes || unspell(p->from, &p->shown, s, n))
        sy_str_add(&p->shown, s, n);
}

/* What id i decodes to by the decoder; an added token stands for its name as it is, a special one
 * always. */
static void show_one(struct reader *p, int32_t i, struct sy_str *a, struct sy_str *b)
{
    const struct text *t = &p->text[i];
    if (t->name)
        decode_token(p, t->name, t->name_n, a, b);
    else if (p->token[i].model && !p->token[i].special && t->n)
        decode_token(p, p->bytes.data + t->at, t->n, a, b);
}

static int show_all(struct reader *p)
{
    struct sy_str a = SY_STR_INIT, b = SY_STR_INIT;
    size_t *at = sy_calloc((size_t)p->size + 1, sizeof *at);
    sy_str_puts(&p->shown, "");
    for (int32_t i = 0; at && i < p->size; i++) {
        show_one(p, i, &a, &b);
        at[i + 1] = p->shown.len;
    }
    for (int32_t i = 0; at && i < p->size; i++)
        if (!p->token[i].special || p->text[i].name) {
            p->token[i].bytes = p->shown.data ? p->shown.data + at[i] : NULL;
            p->token[i].len = at[i + 1] - at[i];
        }
    bool failed = !at || p->shown.failed || a.failed || b.failed;
    sy_free(at);
    sy_str_free(&a);
    sy_str_free(&b);
    return failed ? no_memory(p) : 0;
}

/* A byte-level vocabulary's tokens are their texts, also where a name spells no bytes. */
static void show_bytes(struct reader *p)
{
    for (int32_t i = 0; i < p->size; i++) {
        const struct text *t = &p->text[i];
        if (t->name) {
            p->token[i].bytes = t->name;
            p->token[i].len = t->name_n;
        } else if (p->token[i].model && !p->token[i].special) {
            p->token[i].bytes = p->bytes.data + t->at;
            p->token[i].len = t->n;
        }
    }
}

/* ---- normalized names ---- */

static int put_normalized(struct reader *p, struct sy__normal_run *run, size_t *at)
{
    for (int32_t i = 0; i < p->n_added; i++) {
        struct sy__added *t = &p->added[i];
        bool front = true;
        at[i] = p->names.len;
        if (!t->normalized)
            continue;
        if (sy__normalize(run, &t->text, &t->n, &front, p->part.err))
            return -1;
        sy_str_add(&p->names, t->text, t->n);
    }
    return p->names.failed ? no_memory(p) : 0;
}

/* Added tokens that are looked for in normalized text are looked for under their normalized names,
 * and stand for these. */
static int normalize_added(struct reader *p)
{
    struct sy__normal_run run;
    if (!p->part.r.normals.n || !p->n_added)
        return 0;
    if (sy__normal_run_init(&run, &p->part.r.normals, NULL, p->part.err))
        return -1;
    size_t *at = sy_calloc((size_t)p->n_added + 1, sizeof *at);
    sy_str_puts(&p->names, "");
    int rc = at ? put_normalized(p, &run, at) : no_memory(p);
    for (int32_t i = 0; i < p->n_added && !rc; i++) {
        struct sy__added *t = &p->added[i];
        if (!t->normalized)
            continue;
        t->text = p->names.data + at[i];
        if (!t->special) {
            p->text[t->id].name = t->text;
            p->text[t->id].name_n = t->n;
        }
    }
    sy_free(at);
    sy__normal_run_free(&run);
    return rc;
}

/* ---- models of characters ---- */

static int32_t id_of_text(const struct reader *p, const char *s, size_t n)
{
    const int64_t *id = sy__words_find(&p->part.r.vocab, s, n);
    return id ? (int32_t)(*id - 1) : -1;
}

/* Unknown characters.  With a token for every byte there are none. */
static int read_unknown(struct reader *p, const struct sy_json *model)
{
    struct sy__recipe *r = &p->part.r;
    const struct sy_json *unk = get(model, "unk_token", SY_JSON_STRING);
    bool all = true;
    r->byte_fallback = is_on(model, "byte_fallback", false);
    r->fuse_unk = is_on(model, "fuse_unk", false);
    r->unk = unk ? id_of_text(p, unk->string, unk->string_len) : -1;
    for (int b = 0; b < 256; b++) {
        char name[8];
        sy_str_clear(&p->shown);
        sy_str_printf(&p->shown, "<0x%02X>", (unsigned)b);
        if (p->shown.failed)
            return no_memory(p);
        memcpy(name, p->shown.data, 7);
        r->byte[b] = id_of_text(p, name, 6);
        all &= r->byte[b] >= 0;
    }
    if (unk && r->unk < 0)
        return sy__read_unsupported(&p->part, "an unk_token outside of the vocabulary,", unk);
    if (!unk && !(r->byte_fallback && all))
        return sy__read_unsupported(
            &p->part, "a vocabulary without unk_token that leaves out what it does not know", NULL);
    sy_str_clear(&p->shown);
    sy_str_printf(&p->part.beyond, "chars %d %d %d\n", r->byte_fallback, r->fuse_unk, r->unk);
    return 0;
}

/* Whether a token that merges give has the mark behind something else. */
static bool marks_within(const struct reader *p)
{
    for (int32_t i = 0; i < p->merges; i++) {
        const struct text *t = &p->text[p->merge[i].id];
        const char *s = p->bytes.data + t->at;
        for (size_t k = 1; k + 3 <= t->n; k++)
            if (!memcmp(s + k, MARK, 3) && (k < 3 || memcmp(s + k - 3, MARK, 3) != 0))
                return true;
    }
    return false;
}

/* SentencePiece's text is one word.  When no merge reaches over a border before a mark, words may
 * be cut there: the ids are the same, and words are short and remembered.  What is unknown may be
 * held back over such a border, so there must be nothing unknown. */
static int cut_at_marks(struct reader *p)
{
    struct sy__recipe *r = &p->part.r;
    bool known = r->byte_fallback;
    for (int b = 0; b < 256; b++)
        known &= r->byte[b] >= 0;
    for (int i = 0; i < r->pretok.n; i++)
        known &= r->pretok.stage[i].kind != SY__STAGE_SPELL;
    if (!known || r->ignore_merges || id_of_text(p, MARK, 3) < 0 || marks_within(p) ||
        r->pretok.n == SY__STAGES)
        return 0;
    struct sy__stage *cut = &r->pretok.stage[r->pretok.n++];
    *cut = (struct sy__stage){.kind = SY__STAGE_CUT, .mark = MARK};
    return 0;
}

static void describe_texts(struct reader *p)
{
    struct sy_hash h;
    char hex[17];
    sy_hash_init(&h);
    sy_hash_update(&h, p->bytes.data ? p->bytes.data : "", p->bytes.len);
    for (int32_t i = 0; i < p->size; i++)
        sy_hash_update(&h, &p->text[i].n, sizeof p->text[i].n);
    sy_hash_hex(sy_hash_final(&h), hex);
    sy_str_printf(&p->part.beyond, "texts %s\n", hex);
}

/* ---- the whole ---- */

static int read_model(struct reader *p, const struct sy_json *root)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    struct sy__reader *part = &p->part;
    const struct sy_json *model = get(root, "model", SY_JSON_OBJECT);
    if (!model)
        return fail_reading(p, "no object model");
    if (!is(model, "type", "BPE") && sy_json_get(model, "type"))
        return sy__read_unsupported(part, "model", sy_json_get(model, "type"));
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(model, off[i]))
            return sy__read_unsupported(part, off[i], NULL);
    part->r.ignore_merges = is_on(model, "ignore_merges", false);
    part->r.unk = -1;
    if (sy__read_normalizer(part, root) || sy__read_pretok(part, root))
        return -1;
    if (part->bare && part->r.chars)
        return sy__read_unsupported(part, "this pre-tokenizer", NULL);
    if (read_vocab(p, root, model) || read_merges(p, model))
        return -1;
    if (part->r.chars && read_unknown(p, model))
        return -1;
    if (!part->bare && (sy__read_decoder(part, root) || sy__read_post(part, root, p->size)))
        return -1;
    if (normalize_added(p))
        return -1;
    if (!part->r.chars) {
        show_bytes(p);
        return 0;
    }
    describe_texts(p);
    return show_all(p) || cut_at_marks(p) ? -1 : 0;
}

static struct sy_tokenizer *make_tokenizer(struct reader *p, const char *json, size_t n)
{
    struct sy_err why = SY_ERR_INIT;
    struct sy__recipe *r = &p->part.r;
    struct sy_tokenizer *tok = NULL;
    r->source = sy_strndup(json, n);
    r->source_n = n;
    r->tokens = p->token;
    r->size = p->size;
    r->merges = p->merge;
    r->n = p->merges;
    r->added = p->added;
    r->n_added = p->n_added;
    r->beyond = p->part.bare || !p->part.beyond.len ? NULL : p->part.beyond.data;
    if (!r->chars && !r->ignore_merges)
        sy__words_free(&r->vocab);
    if (!r->source || p->part.beyond.failed)
        no_memory(p);
    else if (!(tok = sy__tokenizer_make(r, &why))) /* put the file's name behind "tokenizer: " */
        sy_err_set(p->part.err, why.code, "tokenizer: %s: %s", p->part.name,
                   why.msg + (strncmp(why.msg, "tokenizer: ", 11) ? 0 : 11));
    if (tok)
        tok->bare = p->part.bare;
    return tok;
}

static struct sy_tokenizer *parse_tokenizer(const char *json, size_t n, const char *name, bool bare,
                                            struct sy_err *err)
{
    struct reader p = {.part = {.name = name, .err = err, .bare = bare}};
    uint32_t to[256];
    struct sy_err why = SY_ERR_INIT;
    struct sy_tokenizer *tok = NULL;
    sy__byte_alphabet(to, p.from);
    struct sy_json *root = sy_json_parse(json, n, &why);
    if (!root)
        sy_err_set(err, why.code, "tokenizer: %s: %s", name, why.msg);
    else if (root->type != SY_JSON_OBJECT)
        fail_reading(&p, "not a JSON object");
    else if (!read_model(&p, root))
        tok = make_tokenizer(&p, json, n);
    sy__recipe_free(&p.part.r);
    sy__words_free(&p.odd);
    sy_str_free(&p.part.beyond);
    sy_str_free(&p.bytes);
    sy_str_free(&p.shown);
    sy_str_free(&p.names);
    sy_free(p.text);
    sy_free(p.token);
    sy_free(p.added);
    sy_free(p.merge);
    sy_json_free(root);
    return tok;
}

struct sy_tokenizer *sy_tokenizer_parse(const char *json, size_t n, const char *name,
                                        struct sy_err *err)
{
    return parse_tokenizer(json, n, name, false, err);
}

static struct sy_tokenizer *load_file(const char *path, bool bare, struct sy_err *err)
{
    struct sy_str file = SY_STR_INIT, text = SY_STR_INIT;
    struct stat st;
    struct sy_tokenizer *tok = NULL;
    bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    sy_str_printf(&file, "%s%s", path, folder ? "/tokenizer.json" : "");
    if (file.failed)
        sy_err_set(err, SY_E_MEMORY, "tokenizer: %s: out of memory", path);
    else if (!sy_file_read(file.data, FILE_MAX, &text, err))
        tok = parse_tokenizer(text.data ? text.data : "", text.len, file.data, bare, err);
    sy_str_free(&file);
    sy_str_free(&text);
    return tok;
}

struct sy_tokenizer *sy_tokenizer_load(const char *path, struct sy_err *err)
{
    return load_file(path, false, err);
}

struct sy_tokenizer *sy_tokenizer_load_bare(const char *path, struct sy_err *err)
{
    return load_file(path, true, err);
}
