/* tokenizer.json of Hugging Face's tokenizers library, byte-level BPE only.
 *
 * Written and read:
 *
 *     added_tokens    [{id, content, special, ...}]          ids beyond or inside the vocabulary
 *     pre_tokenizer   Sequence[Split(Regex, Isolated), ByteLevel(use_regex false)]   any pattern
 *                     ByteLevel(use_regex true)                                      gpt-2's
 *                     ByteLevel(use_regex false)                                     no pattern
 *     model           BPE: vocab {token: id}, merges ["a b"] or [["a", "b"]], ignore_merges
 *
 * Tokens are spelled with one printable character a byte, as GPT-2's encoder.py does: the bytes
 * that are printable in Latin-1 stand for themselves, the others follow from U+0100 on in order.
 *
 *  1. The file is hostile: every id, token and merge is checked before it is used, the number of
 *     ids is bounded by the number of tokens, and what we cannot do exactly is refused.
 *  2. Not applied, and so refused: dropout, prefixes and suffixes, byte fallback, add_prefix_space.
 *     A normalizer NFC (Qwen's) is accepted and not applied: text is taken as it stands, which is
 *     the same for text in NFC, as nearly all is.  Post-processors are ignored: we never add
 *     tokens by ourselves. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "data/tokenizer_int.h"

#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)256 << 20)
#define HOLES_MAX 4096 /* ids without a token, beside as many as there are tokens */

static bool stands_for_itself(int byte)
{
    return (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
}

/* Characters of all bytes, and back: from[c] is the byte of character c, or -1. */
static void alphabet(uint32_t to[256], int16_t from[512])
{
    uint32_t next = 256;
    for (int c = 0; c < 512; c++)
        from[c] = -1;
    for (int b = 0; b < 256; b++) {
        to[b] = stands_for_itself(b) ? (uint32_t)b : next++;
        from[to[b]] = (int16_t)b;
    }
}

/* ---- writing ---- */

static void add_spelled(struct sy_str *out, const uint32_t to[256], const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c[4];
        sy_str_add(out, c, (size_t)sy_utf8_encode(to[(unsigned char)bytes[i]], c));
    }
}

static void put_token(struct sy_str *out, const struct sy_tokenizer *t, const uint32_t to[256],
                      int32_t id)
{
    add_spelled(out, to, t->bytes + t->start[id], t->start[id + 1] - t->start[id]);
}

/* `scratch` holds the text before it is quoted. */
static void put_quoted(struct sy_str *out, struct sy_str *scratch)
{
    sy_json_quote(out, scratch->data ? scratch->data : "", scratch->len);
    out->failed |= scratch->failed;
    sy_str_clear(scratch);
}

static void put_added(struct sy_str *out, const struct sy_tokenizer *t)
{
    const char *comma = "\n";
    sy_str_puts(out, "  \"added_tokens\": [");
    for (int32_t i = 0; i < t->size; i++) {
        if (!t->special[i])
            continue;
        sy_str_printf(out, "%s    {\"id\": %d, \"content\": ", comma, i);
        sy_json_quote(out, t->bytes + t->start[i], t->start[i + 1] - t->start[i]);
        sy_str_puts(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                         "\"normalized\": false, \"special\": true}");
        comma = ",\n";
    }
    sy_str_puts(out, *comma == ',' ? "\n  ],\n" : "],\n");
}

static void put_splitter(struct sy_str *out, const struct sy_tokenizer *t)
{
    static const char level[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                                "\"trim_offsets\": true, \"use_regex\": ";
    bool gpt2 = !strcmp(sy__pattern_name(t->pattern), "gpt-2");
    sy_str_puts(out, "  \"normalizer\": null,\n  \"pre_tokenizer\": ");
    if (t->pattern && !gpt2) {
        const char *re = sy__pattern_text(t->pattern);
        sy_str_puts(out, "{\"type\": \"Sequence\", \"pretokenizers\": [\n"
                         "    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        sy_json_quote(out, re, strlen(re));
        sy_str_puts(out, "}, \"behavior\": \"Isolated\", \"invert\": false},\n    ");
    }
    sy_str_printf(out, "%s%s}%s,\n", level, gpt2 ? "true" : "false",
                  t->pattern && !gpt2 ? "\n  ]}" : "");
    sy_str_printf(out, "  \"post_processor\": null,\n  \"decoder\": %strue},\n", level);
}

static void put_model(struct sy_str *out, const struct sy_tokenizer *t, struct sy_str *scratch)
{
    uint32_t to[256];
    int16_t from[512];
    alphabet(to, from);
    sy_str_printf(out,
                  "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n"
                  "    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
                  "    \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": %s,\n"
                  "    \"vocab\": {",
                  t->ignore_merges ? "true" : "false");
    const char *comma = "";
    for (int32_t i = 0; i < t->size; i++) {
        if (t->special[i] || t->start[i] == t->start[i + 1])
            continue;
        sy_str_printf(out, "%s\n      ", comma);
        put_token(scratch, t, to, i);
        put_quoted(out, scratch);
        sy_str_printf(out, ": %d", i);
        comma = ",";
    }
    sy_str_puts(out, "\n    },\n    \"merges\": [");
    for (int32_t r = 0; r < t->merges; r++) {
        sy_str_puts(out, r ? ",\n      " : "\n      ");
        put_token(scratch, t, to, t->merge[r].left);
        sy_str_puts(scratch, " "); /* no token's spelling holds a space */
        put_token(scratch, t, to, t->merge[r].right);
        put_quoted(out, scratch);
    }
    sy_str_puts(out, t->merges ? "\n    ]}\n" : "]}\n");
}

int sy_tokenizer_save(const struct sy_tokenizer *tok, const char *path, struct sy_err *err)
{
    struct sy_str out = SY_STR_INIT, scratch = SY_STR_INIT;
    sy_str_puts(&out,
                "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(&out, tok);
    put_splitter(&out, tok);
    put_model(&out, tok, &scratch);
    sy_str_puts(&out, "}\n");
    int rc = out.failed ? sy_err_set(err, SY_E_MEMORY, "tokenizer: %s: out of memory", path)
                        : sy_file_replace(path, out.data, out.len, err);
    sy_str_free(&scratch);
    sy_str_free(&out);
    return rc;
}

/* ---- reading ---- */

struct parser {
    const char *name; /* of the file, for messages */
    struct sy_err *err;
    int16_t from[512];
    struct sy__token *token; /* owned, [size] */
    int32_t size;
    struct sy_str bytes; /* of all vocabulary tokens; has room for all before the first is added */
    struct sy__words known; /* bytes -> id + 1 */
    struct sy__merge *merge;
    int32_t merges;
    struct sy__pattern *pattern;
    bool ignore_merges;
};

static int bad(struct parser *p, const char *what)
{
    return sy_err_set(p->err, SY_E_FORMAT, "tokenizer: %s: %s", p->name, what);
}

static int bad_at(struct parser *p, const char *what, int64_t value)
{
    return sy_err_set(p->err, SY_E_FORMAT, "tokenizer: %s: %s %lld", p->name, what,
                      (long long)value);
}

static int bad_merge(struct parser *p, const char *what)
{
    return sy_err_set(p->err, SY_E_FORMAT, "tokenizer: %s: merge %d: %s", p->name, p->merges + 1,
                      what);
}

static int unsupported(struct parser *p, const char *what, const struct sy_json *value)
{
    bool named = value && value->type == SY_JSON_STRING && value->string_len < 64;
    struct sy_str clean = SY_STR_INIT;
    if (named)
        sy_utf8_sanitize(&clean, value->string, value->string_len);
    sy_err_set(p->err, SY_E_UNSUPPORTED, "tokenizer: %s: %s%s%s: only byte-level BPE is read",
               p->name, what, clean.len ? " " : "", clean.len ? clean.data : "");
    sy_str_free(&clean);
    return -1;
}

static int no_memory(struct parser *p)
{
    return sy_err_set(p->err, SY_E_MEMORY, "tokenizer: %s: out of memory", p->name);
}

static const struct sy_json *get(const struct sy_json *object, const char *key,
                                 enum sy_json_type type)
{
    const struct sy_json *v =
        object && object->type == SY_JSON_OBJECT ? sy_json_get(object, key) : NULL;
    return v && v->type == type ? v : NULL;
}

static bool is(const struct sy_json *object, const char *key, const char *value)
{
    const struct sy_json *v = get(object, key, SY_JSON_STRING);
    return v && v->string_len == strlen(value) && !memcmp(v->string, value, v->string_len);
}

/* Not there, null, false or "". */
static bool is_off(const struct sy_json *object, const char *key)
{
    const struct sy_json *v = sy_json_get(object, key);
    return !v || v->type == SY_JSON_NULL || (v->type == SY_JSON_BOOL && !v->boolean) ||
           (v->type == SY_JSON_STRING && v->string_len == 0);
}

static bool is_on(const struct sy_json *object, const char *key, bool otherwise)
{
    const struct sy_json *v = get(object, key, SY_JSON_BOOL);
    return v ? v->boolean : otherwise;
}

/* Append the bytes that a token's spelling stands for; -1 when a character stands for none. */
static int add_unspelled(struct parser *p, struct sy_str *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        int k = sy_utf8_decode(s + i, n - i, &c);
        if (k == 0 || c >= 512 || p->from[c] < 0)
            return -1;
        char byte = (char)p->from[c];
        sy_str_add(out, &byte, 1);
        i += (size_t)k;
    }
    return out->failed ? no_memory(p) : 0;
}

static int check_id(struct parser *p, const struct sy_json *id, int64_t limit)
{
    if (!id || id->type != SY_JSON_INT)
        return bad(p, "a token's id is not a whole number");
    if (id->integer < 0 || id->integer >= limit)
        return bad_at(p, "a token's id is out of range:", id->integer);
    return 0;
}

/* Make token[] as long as the largest id asks for. */
static int size_up(struct parser *p, const struct sy_json *vocab, const struct sy_json *added)
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
            return bad(p, "an added token is not an object");
        const struct sy_json *id = sy_json_get(a, "id");
        if (check_id(p, id, limit))
            return -1;
        largest = id->integer > largest ? id->integer : largest;
    }
    if (largest < 0)
        return bad(p, "the vocabulary is empty");
    p->size = (int32_t)(largest + 1);
    p->token = sy_calloc((size_t)p->size + 1, sizeof *p->token);
    return p->token ? 0 : no_memory(p);
}

static int add_added(struct parser *p, const struct sy_json *a)
{
    const struct sy_json *content = get(a, "content", SY_JSON_STRING);
    int32_t id = (int32_t)sy_json_get(a, "id")->integer;
    if (!content || content->string_len == 0)
        return bad_at(p, "added token without content: id", id);
    if (p->token[id].present)
        return bad_at(p, "two added tokens have the id", id);
    p->token[id] = (struct sy__token){content->string, content->string_len, true, true};
    return 0;
}

/* A vocabulary entry.  An added token of the same id is the same token (GPT-2's file has its
 * end-of-text in both places). */
static int add_vocab(struct parser *p, const struct sy_json *v)
{
    struct sy__token *t = &p->token[v->integer];
    if (t->special && t->len == v->key_len && !memcmp(t->bytes, v->key, t->len))
        return 0;
    if (t->present)
        return bad_at(p, "two tokens have the id", v->integer);
    size_t at = p->bytes.len;
    if (v->key_len == 0 || add_unspelled(p, &p->bytes, v->key, v->key_len))
        return p->bytes.failed ? no_memory(p) : bad_at(p, "not a byte-level token: id", v->integer);
    *t = (struct sy__token){p->bytes.data + at, p->bytes.len - at, false, true};
    int64_t *id = sy__words_at(&p->known, t->bytes, t->len);
    if (!id)
        return no_memory(p);
    if (*id)
        return bad_at(p, "two tokens have the same bytes: id", v->integer);
    *id = v->integer + 1;
    return 0;
}

static int read_vocab(struct parser *p, const struct sy_json *root, const struct sy_json *model)
{
    const struct sy_json *vocab = get(model, "vocab", SY_JSON_OBJECT);
    const struct sy_json *added = sy_json_get(root, "added_tokens");
    if (!vocab)
        return bad(p, "no object model.vocab");
    if (added && added->type == SY_JSON_NULL)
        added = NULL;
    if (added && added->type != SY_JSON_ARRAY)
        return bad(p, "added_tokens is not a list");
    if (size_up(p, vocab, added))
        return -1;
    for (const struct sy_json *a = added ? added->first : NULL; a; a = a->next)
        if (add_added(p, a))
            return -1;
    /* bytes must not move once tokens point into it */
    size_t total = 1;
    for (const struct sy_json *v = vocab->first; v; v = v->next)
        total += v->key_len;
    p->bytes.data = sy_alloc(total);
    if (!p->bytes.data)
        return no_memory(p);
    p->bytes.cap = total;
    for (const struct sy_json *v = vocab->first; v; v = v->next)
        if (add_vocab(p, v))
            return -1;
    return 0;
}

/* The id of a spelled token; -1 and an error when there is none. */
static int32_t lookup(struct parser *p, struct sy_str *scratch, const char *s, size_t n)
{
    sy_str_clear(scratch);
    const int64_t *id = NULL;
    if (n && !add_unspelled(p, scratch, s, n))
        id = sy__words_find(&p->known, scratch->data, scratch->len);
    if (!id)
        return bad_merge(p, "unknown token");
    return (int32_t)(*id - 1);
}

static int split_merge(struct parser *p, const struct sy_json *m, const char *s[2], size_t n[2])
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

static int read_merge(struct parser *p, const struct sy_json *m, struct sy_str *scratch)
{
    const char *s[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    if (split_merge(p, m, s, n))
        return -1;
    int32_t left = lookup(p, scratch, s[0], n[0]);
    int32_t right = left < 0 ? -1 : lookup(p, scratch, s[1], n[1]);
    if (right < 0)
        return -1;
    const struct sy__token *a = &p->token[left], *b = &p->token[right];
    sy_str_clear(scratch);
    sy_str_add(scratch, a->bytes, a->len);
    sy_str_add(scratch, b->bytes, b->len);
    if (scratch->failed)
        return no_memory(p);
    const int64_t *id = sy__words_find(&p->known, scratch->data, scratch->len);
    if (!id)
        return bad_merge(p, "gives no token of the vocabulary");
    p->merge[p->merges++] = (struct sy__merge){left, right, (int32_t)(*id - 1)};
    return 0;
}

static int read_merges(struct parser *p, const struct sy_json *model)
{
    const struct sy_json *merges = get(model, "merges", SY_JSON_ARRAY);
    if (!merges)
        return bad(p, "no list model.merges");
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

static int use_regex(struct parser *p, const char *regex, size_t n)
{
    if (memchr(regex, 0, n) || n > 16384)
        return bad(p, "splitting pattern is malformed");
    p->pattern = sy__pattern_new(regex, n, p->err);
    return p->pattern ? 0 : -1;
}

static int read_byte_level(struct parser *p, const struct sy_json *pre, bool pattern_given)
{
    if (!is(pre, "type", "ByteLevel"))
        return unsupported(p, "pre-tokenizer", sy_json_get(pre, "type"));
    if (is_on(pre, "add_prefix_space", true))
        return unsupported(p, "add_prefix_space", NULL);
    if (!is_on(pre, "use_regex", true))
        return 0;
    if (pattern_given)
        return unsupported(p, "two splitting patterns", NULL);
    const char *regex = sy__pattern_regex("gpt-2");
    return use_regex(p, regex, strlen(regex));
}

/* Isolated keeps matches and the text between them.  Removed with invert keeps only matches, which
 * is the same for patterns that match everywhere, as all published ones do. */
static int read_split(struct parser *p, const struct sy_json *split)
{
    const struct sy_json *pattern = get(split, "pattern", SY_JSON_OBJECT);
    const struct sy_json *regex = pattern ? get(pattern, "Regex", SY_JSON_STRING) : NULL;
    bool isolated = is(split, "behavior", "Isolated") && !is_on(split, "invert", false);
    bool inverted = is(split, "behavior", "Removed") && is_on(split, "invert", false);
    if (!is(split, "type", "Split"))
        return unsupported(p, "pre-tokenizer", sy_json_get(split, "type"));
    if (!regex || (!isolated && !inverted))
        return unsupported(p, "this kind of Split", NULL);
    return use_regex(p, regex->string, regex->string_len);
}

static int read_splitter(struct parser *p, const struct sy_json *root)
{
    const struct sy_json *pre = get(root, "pre_tokenizer", SY_JSON_OBJECT);
    if (!pre)
        return unsupported(p, "no pre-tokenizer", NULL);
    if (!is(pre, "type", "Sequence"))
        return read_byte_level(p, pre, false);
    const struct sy_json *list = get(pre, "pretokenizers", SY_JSON_ARRAY);
    if (!list || list->count != 2 || list->first->type != SY_JSON_OBJECT ||
        list->first->next->type != SY_JSON_OBJECT)
        return unsupported(p, "this pre-tokenizer sequence", NULL);
    return read_split(p, list->first) || read_byte_level(p, list->first->next, true) ? -1 : 0;
}

static int read_model(struct parser *p, const struct sy_json *root)
{
    /* an unk_token is never needed: every byte has a token */
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                      "byte_fallback"};
    const struct sy_json *model = get(root, "model", SY_JSON_OBJECT);
    const struct sy_json *normalizer = sy_json_get(root, "normalizer");
    if (!model)
        return bad(p, "no object model");
    if (!is(model, "type", "BPE") && sy_json_get(model, "type"))
        return unsupported(p, "model", sy_json_get(model, "type"));
    if (normalizer && normalizer->type != SY_JSON_NULL && !is(normalizer, "type", "NFC"))
        return unsupported(p, "normalizer", get(normalizer, "type", SY_JSON_STRING));
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(model, off[i]))
            return unsupported(p, off[i], NULL);
    p->ignore_merges = is_on(model, "ignore_merges", false);
    return read_splitter(p, root) || read_vocab(p, root, model) || read_merges(p, model) ? -1 : 0;
}

static struct sy_tokenizer *make(struct parser *p)
{
    struct sy_err why = SY_ERR_INIT;
    struct sy__pattern *pattern = p->pattern;
    p->pattern = NULL;
    struct sy_tokenizer *tok =
        sy__tokenizer_make(p->token, p->size, p->merge, p->merges, pattern, p->ignore_merges, &why);
    if (!tok) /* put the file's name behind "tokenizer: " */
        sy_err_set(p->err, why.code, "tokenizer: %s: %s", p->name,
                   why.msg + (strncmp(why.msg, "tokenizer: ", 11) ? 0 : 11));
    return tok;
}

struct sy_tokenizer *sy_tokenizer_parse(const char *json, size_t n, const char *name,
                                        struct sy_err *err)
{
    struct parser p = {.name = name, .err = err};
    uint32_t to[256];
    struct sy_err why = SY_ERR_INIT;
    struct sy_tokenizer *tok = NULL;
    alphabet(to, p.from);
    struct sy_json *root = sy_json_parse(json, n, &why);
    if (!root)
        sy_err_set(err, why.code, "tokenizer: %s: %s", name, why.msg);
    else if (root->type != SY_JSON_OBJECT)
        bad(&p, "not a JSON object");
    else if (!read_model(&p, root))
        tok = make(&p);
    sy__pattern_free(p.pattern);
    sy__words_free(&p.known);
    sy_str_free(&p.bytes);
    sy_free(p.token);
    sy_free(p.merge);
    sy_json_free(root);
    return tok;
}

struct sy_tokenizer *sy_tokenizer_load(const char *path, struct sy_err *err)
{
    struct sy_str file = SY_STR_INIT, text = SY_STR_INIT;
    struct stat st;
    struct sy_tokenizer *tok = NULL;
    bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    sy_str_printf(&file, "%s%s", path, folder ? "/tokenizer.json" : "");
    if (file.failed)
        sy_err_set(err, SY_E_MEMORY, "tokenizer: %s: out of memory", path);
    else if (!sy_file_read(file.data, FILE_MAX, &text, err))
        tok = sy_tokenizer_parse(text.data ? text.data : "", text.len, file.data, err);
    sy_str_free(&file);
    sy_str_free(&text);
    return tok;
}
