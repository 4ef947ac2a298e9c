/* Special tokens by name: making them (special_tokens_int.h) and finding them in tokenizers of
 * others, who call some of them otherwise. */
#include "data/tokenizer/special_tokens_int.h"

#include "base/mem.h"
#include "base/sanitize.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

#define SENTINEL_ROOM 24 /* "<extra_id_4095>" */

/* ---- making ---- */

static const char *const fim[] = {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"};
#define FIM ((int32_t)(sizeof fim / sizeof *fim))

/* Room for the names; s is valid. */
static int make_room(const struct sy_special_tokens *s, int32_t n, struct sy__special_list *out,
                     const char *what, struct sy_err *err)
{
    size_t bytes = (size_t)n * SENTINEL_ROOM;
    for (int32_t i = 0; s && i < s->count; i++)
        bytes += strlen(s->names[i]);
    out->token = sy_calloc((size_t)n + 1, sizeof *out->token);
    out->added = sy_calloc((size_t)n + 1, sizeof *out->added);
    out->names = sy_alloc(bytes + 1);
    if (out->token && out->added && out->names)
        return 0;
    sy__special_list_free(out);
    return sy_err_set(err, SY_E_MEMORY, "%s: out of memory for special tokens", what);
}

static char *put_name(struct sy__special_list *out, char *at, const char *name)
{
    size_t n = strlen(name);
    memcpy(at, name, n);
    out->token[out->n] =
        (struct sy__token){.bytes = at, .len = n, .special = true, .present = true};
    out->added[out->n++] = (struct sy__added){.text = at, .n = n, .special = true};
    return at + n;
}

static void put_all(const struct sy_special_tokens *s, bool any, struct sy__special_list *out)
{
    char *at = put_name(out, out->names, SY__EOT_NAME), name[SENTINEL_ROOM];
    if (!any)
        return;
    at = put_name(out, at, "<pad>");
    for (int32_t i = 0; s->fim && i < FIM; i++)
        at = put_name(out, at, fim[i]);
    for (int32_t i = 0; i < s->count; i++)
        at = put_name(out, at, s->names[i]);
    for (int32_t i = s->sentinels; i-- > 0;) {
        snprintf(name, sizeof name, "<extra_id_%d>", (int)i);
        at = put_name(out, at, name);
    }
}

/* One byte is a token of its own; what a terminal cannot show is no name. */
static int check_name(const char *name, const char *what, struct sy_err *err)
{
    size_t n = strlen(name);
    bool bad = n < 2 || n > 256 || sy_utf8_valid(name, n) < n;
    for (size_t i = 0; i < n; i++)
        bad |= (unsigned char)name[i] < ' ' || name[i] == 127;
    if (!bad)
        return 0;
    struct sy_str clean = SY_STR_INIT;
    sy_utf8_line(&clean, name, n < 64 ? n : 64);
    sy_err_set(err, SY_E_FORMAT,
               "%s: special token '%s' must have 2 to 256 bytes of UTF-8 without control "
               "characters: it has %zu",
               what, clean.data ? clean.data : "", n);
    sy_str_free(&clean);
    return -1;
}

/* No two of the same name; the list is short. */
static int check_twice(const struct sy__special_list *list, const char *what, struct sy_err *err)
{
    for (int32_t i = 0; i < list->n; i++)
        for (int32_t j = 0; j < i; j++)
            if (list->added[i].n == list->added[j].n &&
                !memcmp(list->added[i].text, list->added[j].text, list->added[i].n))
                return sy_err_set(err, SY_E_FORMAT, "%s: special token '%.*s' is named twice", what,
                                  (int)list->added[i].n, list->added[i].text);
    return 0;
}

int sy__special_list(const struct sy_special_tokens *s, bool always, int32_t first,
                     const char *what, struct sy__special_list *out, struct sy_err *err)
{
    *out = (struct sy__special_list){0};
    if (s && (s->sentinels < 0 || s->sentinels > SY_SENTINELS_MAX))
        return sy_err_set(err, SY_E_RANGE, "%s: sentinels must be from 0 to %d: it is %d", what,
                          SY_SENTINELS_MAX, (int)s->sentinels);
    if (s && s->count > SY_SENTINELS_MAX)
        return sy_err_set(err, SY_E_RANGE, "%s: at most %d special tokens: %d are named", what,
                          SY_SENTINELS_MAX, (int)s->count);
    for (int32_t i = 0; s && i < s->count; i++)
        if (check_name(s->names[i], what, err))
            return -1;
    bool any = s && (s->sentinels || s->pad || s->fim || s->count);
    if (!any && !always)
        return 0;
    int32_t n = 1 + (any ? 1 + (s->fim ? FIM : 0) + s->count + s->sentinels : 0);
    if (make_room(s, n, out, what, err))
        return -1;
    put_all(s, any, out);
    sy__special_list_move(out, first);
    if (!check_twice(out, what, err))
        return 0;
    sy__special_list_free(out);
    return -1;
}

void sy__special_list_move(struct sy__special_list *list, int32_t first)
{
    for (int32_t i = 0; i < list->n; i++)
        list->added[i].id = first + i;
}

void sy__special_list_free(struct sy__special_list *list)
{
    sy_free(list->token);
    sy_free(list->added);
    sy_free(list->names);
    *list = (struct sy__special_list){0};
}

struct sy_tokenizer *sy_tokenizer_bytes_with(const struct sy_special_tokens *special,
                                             struct sy_err *err)
{
    char all[256];
    struct sy__special_list list;
    struct sy_tokenizer *tok = NULL;
    if (sy__special_list(special, false, 256, "tokenizer.bytes", &list, err))
        return NULL;
    struct sy__token *tokens = sy_calloc(256 + (size_t)list.n, sizeof *tokens);
    for (int b = 0; tokens && b < 256; b++) {
        all[b] = (char)b;
        tokens[b] = (struct sy__token){&all[b], 1, false, true, true};
    }
    struct sy__recipe r = {.tokens = tokens, .size = 256 + list.n, .unk = -1, .added = list.added,
                           .n_added = list.n};
    if (!tokens)
        sy_err_set(err, SY_E_MEMORY, "tokenizer.bytes: out of memory");
    else {
        if (list.n)
            memcpy(tokens + 256, list.token, (size_t)list.n * sizeof *tokens);
        tok = sy__tokenizer_make(&r, err);
    }
    sy_free(tokens);
    sy__special_list_free(&list);
    return tok;
}

struct sy_tokenizer *sy_tokenizer_bytes(struct sy_err *err)
{
    return sy_tokenizer_bytes_with(NULL, err);
}

/* ---- finding ---- */

static int32_t find_name(const struct sy_tokenizer *t, const char *name)
{
    size_t n = strlen(name);
    for (int32_t i = t->size; i-- > 0;)
        if (t->special[i] && t->start[i + 1] - t->start[i] == n &&
            !memcmp(t->bytes + t->start[i], name, n))
            return i;
    return -1;
}

#define BAR "\xef\xbd\x9c"   /* DeepSeek's bar and space */
#define SPACE "\xe2\x96\x81" /* also SentencePiece's space */

/* What others call it: Qwen, StarCoder, SantaCoder, Code Llama, DeepSeek. */
static const char *const others[][6] = {
    {"<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", SPACE "<PRE>",
     "<" BAR "fim" SPACE "begin" BAR ">", NULL},
    {"<|fim_middle|>", "<fim_middle>", "<fim-middle>", SPACE "<MID>",
     "<" BAR "fim" SPACE "end" BAR ">", NULL},
    {"<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", SPACE "<SUF>",
     "<" BAR "fim" SPACE "hole" BAR ">", NULL},
    {"<pad>", "<|pad|>", "[PAD]", "<" BAR SPACE "pad" SPACE BAR ">", "<|finetune_right_pad_id|>",
     NULL}};

int32_t sy_tokenizer_special(const struct sy_tokenizer *tok, const char *name)
{
    int32_t id = find_name(tok, name);
    if (id < 0 && !strcmp(name, SY__EOT_NAME))
        return tok->eot;
    for (size_t i = 0; id < 0 && i < sizeof others / sizeof *others; i++)
        if (!strcmp(name, others[i][0]))
            for (int k = 1; id < 0 && others[i][k]; k++)
                id = find_name(tok, others[i][k]);
    return id;
}

int32_t sy_tokenizer_start(const struct sy_tokenizer *tok)
{
    int32_t pad = tok ? sy_tokenizer_special(tok, "<pad>") : -1;
    int32_t eot = tok ? sy_tokenizer_eot(tok) : -1;
    return pad >= 0 ? pad : eot >= 0 ? eot : 0;
}
