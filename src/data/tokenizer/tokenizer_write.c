/* Writing tokenizer.json.  A tokenizer that was read is written as it was, byte for byte; one made
 * here (bytes, train_bpe) as
 *
 *     added_tokens    [{id, content, special, ...}]          ids beyond or inside the vocabulary
 *     pre_tokenizer   Sequence[Split(Regex, Isolated), ByteLevel(use_regex false)]   any pattern
 *                     ByteLevel(use_regex true)                                      gpt-2's
 *                     ByteLevel(use_regex false)                                     no pattern
 *     model           BPE: vocab {token: id}, merges ["a b"], ignore_merges
 *
 * Tokens are spelled with one printable character a byte, as GPT-2's encoder.py does: the bytes
 * that are printable in Latin-1 stand for themselves, the others follow from U+0100 on in order. */
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "data/tokenizer/tokenizer_int.h"

#include <string.h>

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
    sy__byte_alphabet(to, from);
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
    if (tok->source)
        return sy_file_replace(path, tok->source, tok->source_n, err);
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
