/* tokenizer.json around the model: normalizers, pre-tokenizers, decoders, post-processors.
 *
 * A type that is not here is refused by its name.  Sequences are flat lists: each part goes behind
 * what is there.
 *
 * A byte-level pre-tokenizer that stands last makes the model work on bytes; elsewhere (or twice)
 * text really becomes the characters that GPT-2 writes for bytes, and so does the vocabulary. */
#include "data/tokenizer/tokenizer_read_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <string.h>

#define is sy__read_is
#define is_on sy__read_is_on
#define get sy__read_get
#define REGEX_MAX 16384
#define LIST_DEPTH 8

typedef int part_fn(struct sy__reader *p, const struct sy_json *part);

static const struct sy_json *type_of(const struct sy_json *part)
{
    return get(part, "type", SY_JSON_STRING);
}

/* fn for a part, or for each of a Sequence's; null is no part. */
static int each_part(struct sy__reader *p, const struct sy_json *part, const char *what,
                     const char *list_key, part_fn *fn, int depth)
{
    if (!part || part->type == SY_JSON_NULL)
        return 0;
    if (part->type != SY_JSON_OBJECT || !type_of(part) || depth > LIST_DEPTH)
        return sy__read_unsupported(p, what, NULL);
    if (!is(part, "type", "Sequence"))
        return fn(p, part);
    const struct sy_json *list = get(part, list_key, SY_JSON_ARRAY);
    if (!list)
        return sy__read_unsupported(p, what, type_of(part));
    for (const struct sy_json *c = list->first; c; c = c->next)
        if (each_part(p, c, what, list_key, fn, depth + 1))
            return -1;
    return 0;
}

static int name_out(struct sy__reader *p, struct sy_str *out, const struct sy_json *string)
{
    sy_str_puts(out, "");
    sy_str_add(out, string->string, string->string_len);
    return out->failed ? sy__read_no_memory(p) : 0;
}

/* What compiling gave; the file's name goes into its error. */
static struct sy__pattern *of_file(struct sy__reader *p, struct sy__pattern *pattern,
                                   const struct sy_err *why)
{
    if (!pattern)
        sy_err_set(p->err, why->code, "tokenizer: %s: %s", p->name,
                   why->msg + (strncmp(why->msg, "tokenizer: ", 11) ? 0 : 11));
    return pattern;
}

static struct sy__pattern *literal(struct sy__reader *p, const char *text, size_t n)
{
    struct sy_err why = SY_ERR_INIT;
    return of_file(p, sy__pattern_literal(text, n, &why), &why);
}

static struct sy__pattern *regular(struct sy__reader *p, const char *regex, size_t n)
{
    struct sy_err why = SY_ERR_INIT;
    return of_file(p, sy__pattern_new(regex, n, &why), &why);
}

/* {"String": ...} or {"Regex": ...} */
static struct sy__pattern *pattern_of(struct sy__reader *p, const struct sy_json *part)
{
    const struct sy_json *v = get(part, "pattern", SY_JSON_OBJECT);
    const struct sy_json *regex = get(v, "Regex", SY_JSON_STRING);
    const struct sy_json *s = regex ? regex : get(v, "String", SY_JSON_STRING);
    if (!s || s->string_len > REGEX_MAX || (!regex && !s->string_len) ||
        memchr(s->string, 0, s->string_len)) {
        sy__read_bad(p, "splitting pattern is malformed");
        return NULL;
    }
    return regex ? regular(p, s->string, s->string_len) : literal(p, s->string, s->string_len);
}

/* ---- normalizers ---- */

static int find_name(const struct sy_json *part, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (is(part, "type", names[i]))
            return i;
    return -1;
}

static int read_replace(struct sy__reader *p, struct sy__normal *step, const struct sy_json *part)
{
    const struct sy_json *content = get(part, "content", SY_JSON_STRING);
    const struct sy_json *pattern = get(part, "pattern", SY_JSON_OBJECT);
    const struct sy_json *literal = get(pattern, "String", SY_JSON_STRING);
    if (!content || (literal && !literal->string_len))
        return sy__read_bad(p, "normalizer Replace is malformed");
    if (literal)
        return name_out(p, &step->literal, literal) || name_out(p, &step->text, content) ? -1 : 0;
    step->pattern = pattern_of(p, part);
    return !step->pattern || name_out(p, &step->text, content) ? -1 : 0;
}

static int read_normal(struct sy__reader *p, const struct sy_json *part)
{
    static const char *const names[] = {"NFC",   "NFD",     "NFKC",    "NFKD", "Lowercase",
                                        "Strip", "Prepend", "Replace", NULL}; /* as the enum */
    int kind = find_name(part, names);
    struct sy__normals *list = &p->r.normals;
    if (kind < 0)
        return sy__read_unsupported(p, "normalizer", type_of(part));
    if (list->n == SY__NORMALS)
        return sy__read_bad(p, "too many normalizers");
    struct sy__normal *step = &list->step[list->n++];
    *step = (struct sy__normal){.kind = (enum sy__normal_kind)kind};
    step->left = is_on(part, "strip_left", true);
    step->right = is_on(part, "strip_right", true);
    if (kind == SY__NORMAL_REPLACE && read_replace(p, step, part))
        return -1;
    if (kind == SY__NORMAL_PREPEND) {
        const struct sy_json *text = get(part, "prepend", SY_JSON_STRING);
        if (!text)
            return sy__read_bad(p, "normalizer Prepend is malformed");
        if (name_out(p, &step->text, text))
            return -1;
    }
    sy_str_printf(&p->beyond, "normalizer %s %d%d '%s' '%s' '%s'\n", names[kind], step->left,
                  step->right, step->text.data ? step->text.data : "",
                  step->literal.data ? step->literal.data : "",
                  step->pattern ? sy__pattern_text(step->pattern) : "");
    return 0;
}

int sy__read_normalizer(struct sy__reader *p, const struct sy_json *root)
{
    if (each_part(p, sy_json_get(root, "normalizer"), "normalizer", "normalizers", read_normal, 0))
        return -1;
    if (p->bare)
        sy__normals_free(&p->r.normals);
    return 0;
}

/* ---- pre-tokenizers ---- */

static struct sy__stage *add_stage(struct sy__reader *p, enum sy__stage_kind kind)
{
    struct sy__pretok *list = &p->r.pretok;
    if (list->n == SY__STAGES) {
        sy__read_bad(p, "too many pre-tokenizers");
        return NULL;
    }
    struct sy__stage *stage = &list->stage[list->n++];
    *stage = (struct sy__stage){.kind = kind};
    return stage;
}

/* Takes the pattern; NULL was an error. */
static int add_split(struct sy__reader *p, struct sy__pattern *pattern, enum sy__behavior behavior,
                     bool invert)
{
    struct sy__stage *stage = pattern ? add_stage(p, SY__STAGE_SPLIT) : NULL;
    if (!stage) {
        sy__pattern_free(pattern);
        return -1;
    }
    stage->pattern = pattern;
    stage->behavior = behavior;
    stage->invert = invert;
    return 0;
}

static int add_regex(struct sy__reader *p, const char *regex, enum sy__behavior behavior,
                     bool invert)
{
    return add_split(p, regular(p, regex, strlen(regex)), behavior, invert);
}

static int read_behavior(struct sy__reader *p, const struct sy_json *part, const char *otherwise)
{
    static const char *const names[] = {"Isolated",       "Removed",    "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous", NULL}; /* as the enum */
    const struct sy_json *v = sy_json_get(part, "behavior");
    for (int i = 0; names[i]; i++)
        if (v ? is(part, "behavior", names[i]) : !strcmp(names[i], otherwise))
            return i;
    return sy__read_unsupported(p, "behavior", v);
}

static int read_byte_level(struct sy__reader *p, const struct sy_json *part)
{
    if (is_on(part, "add_prefix_space", true) && !add_stage(p, SY__STAGE_PREFIX))
        return -1;
    if (is_on(part, "use_regex", true) &&
        add_regex(p, sy__pattern_regex("gpt-2"), SY__ISOLATED, false))
        return -1;
    return add_stage(p, SY__STAGE_SPELL) ? 0 : -1;
}

static int one_char(struct sy__reader *p, const struct sy_json *part, const char *key, char out[5])
{
    uint32_t c;
    const struct sy_json *s = get(part, key, SY_JSON_STRING);
    int n = s ? sy_utf8_decode(s->string, s->string_len, &c) : 0;
    if (!n || (size_t)n != s->string_len || !c)
        return sy__read_bad(p, "one character was expected");
    memcpy(out, s->string, (size_t)n);
    out[n] = 0;
    return 0;
}

/* "add_prefix_space": false is what older files say for "never". */
static int read_scheme(struct sy__reader *p, const struct sy_json *part)
{
    static const char *const names[] = {"always", "first", "never", NULL}; /* as the enum */
    const struct sy_json *v = sy_json_get(part, "prepend_scheme");
    int scheme = v ? -1 : 0;
    for (int i = 0; names[i]; i++)
        if (is(part, "prepend_scheme", names[i]))
            scheme = i;
    if (scheme < 0)
        return sy__read_unsupported(p, "prepend_scheme", v);
    return is_on(part, "add_prefix_space", true) ? scheme : SY__PREPEND_NEVER;
}

static int read_metaspace(struct sy__reader *p, const struct sy_json *part)
{
    int scheme = read_scheme(p, part);
    struct sy__stage *stage = scheme < 0 ? NULL : add_stage(p, SY__STAGE_METASPACE);
    if (!stage || one_char(p, part, "replacement", stage->mark))
        return -1;
    stage->prepend = (enum sy__prepend)scheme;
    if (!is_on(part, "split", true))
        return 0;
    return add_split(p, literal(p, stage->mark, strlen(stage->mark)), SY__MERGED_WITH_NEXT, false);
}

static int read_split(struct sy__reader *p, const struct sy_json *part)
{
    int behavior = read_behavior(p, part, "");
    bool invert = is_on(part, "invert", false);
    if (behavior < 0)
        return -1;
    if (p->bare) { /* what is between matches was kept */
        if (behavior != SY__ISOLATED && !(behavior == SY__REMOVED && invert))
            return sy__read_unsupported(p, "behavior", sy_json_get(part, "behavior"));
        behavior = SY__ISOLATED;
        invert = false;
    }
    return add_split(p, pattern_of(p, part), (enum sy__behavior)behavior, invert);
}

static int read_delimiter(struct sy__reader *p, const struct sy_json *part)
{
    char c[5];
    if (one_char(p, part, "delimiter", c))
        return -1;
    return add_split(p, literal(p, c, strlen(c)), SY__REMOVED, false);
}

#define JOINERS "\\x{200c}\\x{200d}" /* of \w in Rust's regex crate, not in Oniguruma's */

static int read_stage(struct sy__reader *p, const struct sy_json *part)
{
    if (is(part, "type", "ByteLevel"))
        return read_byte_level(p, part);
    if (is(part, "type", "Split"))
        return read_split(p, part);
    if (is(part, "type", "Metaspace"))
        return read_metaspace(p, part);
    if (is(part, "type", "Digits"))
        return add_regex(p, is_on(part, "individual_digits", false) ? "\\p{N}" : "\\p{N}+",
                         SY__ISOLATED, false);
    if (is(part, "type", "Punctuation")) {
        int behavior = read_behavior(p, part, "Isolated");
        return behavior < 0
                   ? -1
                   : add_regex(p, "[\\p{P}$+<=>\\^`|~]", (enum sy__behavior)behavior, false);
    }
    if (is(part, "type", "Whitespace"))
        return add_regex(p, "[\\w" JOINERS "]+|[^\\w\\s" JOINERS "]+", SY__REMOVED, true);
    if (is(part, "type", "WhitespaceSplit"))
        return add_regex(p, "\\s", SY__REMOVED, false);
    if (is(part, "type", "CharDelimiterSplit"))
        return read_delimiter(p, part);
    return sy__read_unsupported(p, "pre-tokenizer", type_of(part));
}

static int count_spelled(const struct sy__pretok *list)
{
    int n = 0;
    for (int i = 0; i < list->n; i++)
        n += list->stage[i].kind == SY__STAGE_SPELL;
    return n;
}

static void describe_stages(struct sy__reader *p)
{
    const struct sy__pretok *list = &p->r.pretok;
    const struct sy__stage *s = &list->stage[0];
    if (!p->r.chars && (list->n == 0 || (list->n == 1 && s->kind == SY__STAGE_SPLIT &&
                                         s->behavior == SY__ISOLATED)))
        return; /* the pattern alone says it */
    for (int i = 0; i < list->n; i++, s++)
        sy_str_printf(&p->beyond, "stage %d %d %d %d %s '%s'\n", (int)s->kind, (int)s->behavior,
                      (int)s->invert, (int)s->prepend, s->mark,
                      s->pattern ? sy__pattern_text(s->pattern) : "");
}

int sy__read_pretok(struct sy__reader *p, const struct sy_json *root)
{
    struct sy__pretok *list = &p->r.pretok;
    if (each_part(p, sy_json_get(root, "pre_tokenizer"), "pre-tokenizer", "pretokenizers",
                  read_stage, 0))
        return -1;
    bool last = list->n && list->stage[list->n - 1].kind == SY__STAGE_SPELL;
    p->r.chars = !last || count_spelled(list) > 1;
    if (!p->r.chars)
        list->n--;
    describe_stages(p);
    return 0;
}

/* ---- decoders ---- */

static int read_strip(struct sy__reader *p, const struct sy_json *part)
{
    struct sy__strip *s = p->decoder.fused ? &p->r.strip : &p->decoder.each;
    const struct sy_json *start = get(part, "start", SY_JSON_INT);
    const struct sy_json *stop = get(part, "stop", SY_JSON_INT);
    if (!start || !stop || start->integer < 0 || stop->integer < 0 || start->integer > INT32_MAX ||
        stop->integer > INT32_MAX || one_char(p, part, "content", s->c))
        return sy__read_bad(p, "decoder Strip is malformed");
    s->start = (int32_t)start->integer;
    s->stop = (int32_t)stop->integer;
    return 0;
}

static int read_decoder_replace(struct sy__reader *p, const struct sy_json *part)
{
    struct sy__decoder *d = &p->decoder;
    const struct sy_json *old = get(get(part, "pattern", SY_JSON_OBJECT), "String", SY_JSON_STRING);
    const struct sy_json *new = get(part, "content", SY_JSON_STRING);
    if (!old || !old->string_len || !new || d->fused || d->fallback || d->replaces == SY__REPLACES)
        return sy__read_unsupported(p, "this use of decoder", type_of(part));
    d->old[d->replaces] = old;
    d->new[d->replaces++] = new;
    return 0;
}

static int read_decoder(struct sy__reader *p, const struct sy_json *part)
{
    struct sy__decoder *d = &p->decoder;
    if (is(part, "type", "ByteLevel"))
        return d->bytes = true, 0;
    if (is(part, "type", "Fuse"))
        return d->fused = true, 0;
    if (is(part, "type", "ByteFallback"))
        return d->fallback = true, 0;
    if (is(part, "type", "Replace"))
        return read_decoder_replace(p, part);
    if (is(part, "type", "Strip"))
        return read_strip(p, part);
    if (!is(part, "type", "Metaspace"))
        return sy__read_unsupported(p, "decoder", type_of(part));
    int scheme = read_scheme(p, part);
    p->r.strip.spaces = scheme != SY__PREPEND_NEVER;
    return scheme < 0 ? -1 : one_char(p, part, "replacement", d->mark);
}

int sy__read_decoder(struct sy__reader *p, const struct sy_json *root)
{
    struct sy__decoder *d = &p->decoder;
    if (each_part(p, sy_json_get(root, "decoder"), "decoder", "decoders", read_decoder, 0))
        return -1;
    if (!p->r.chars) {
        if (d->fused || d->fallback || d->replaces || *d->mark || d->each.start || d->each.stop)
            return sy__read_unsupported(p, "this decoder of byte-level tokens", NULL);
        d->bytes = true;
        return 0;
    }
    const struct sy__strip *s = &p->r.strip;
    sy_str_printf(&p->beyond, "decoder %d%d '%s' %d %d %d\n", d->bytes, d->fallback, s->c, s->start,
                  s->stop, s->spaces);
    return 0;
}

/* ---- post-processors ---- */

struct around { /* what is gathered, in order */
    struct sy__reader *p;
    int32_t size;
    const struct sy_json *tokens; /* special_tokens */
    bool behind;                  /* the text itself was passed */
};

static int put_id(struct around *a, const struct sy_json *id)
{
    struct sy__template *t = &a->p->r.around;
    if (!id || id->type != SY_JSON_INT || id->integer < 0 || id->integer >= a->size)
        return sy__read_bad(a->p, "the post-processor names an id that is not there");
    if (SY_GROW(t->id, t->room, t->before + t->after + 1))
        return sy__read_no_memory(a->p);
    t->id[t->before + t->after] = (int32_t)id->integer;
    *(a->behind ? &t->after : &t->before) += 1;
    return 0;
}

static int put_piece(struct around *a, const struct sy_json *piece)
{
    const struct sy_json *special = get(piece, "SpecialToken", SY_JSON_OBJECT);
    const struct sy_json *name = get(special, "id", SY_JSON_STRING);
    if (!name) {
        if (a->behind || !is(get(piece, "Sequence", SY_JSON_OBJECT), "id", "A"))
            return sy__read_unsupported(a->p, "this template of the post-processor", NULL);
        a->behind = true;
        return 0;
    }
    const struct sy_json *t = a->tokens ? a->tokens->first : NULL;
    while (t && (t->key_len != name->string_len || memcmp(t->key, name->string, t->key_len) != 0))
        t = t->next;
    const struct sy_json *ids = get(t, "ids", SY_JSON_ARRAY);
    if (!ids)
        return sy__read_bad(a->p, "the post-processor names a token that it does not list");
    for (const struct sy_json *id = ids->first; id; id = id->next)
        if (put_id(a, id))
            return -1;
    return 0;
}

static int put_pair(struct around *a, const struct sy_json *part, const char *key)
{
    const struct sy_json *pair = get(part, key, SY_JSON_ARRAY);
    return put_id(a, pair && pair->count == 2 ? pair->first->next : NULL);
}

/* Where the ids must be below size: read_post looks at them after the vocabulary. */
static int read_post(struct sy__reader *p, const struct sy_json *part)
{
    struct around a = {.p = p, .size = p->r.size};
    bool cls = is(part, "type", "RobertaProcessing") || is(part, "type", "BertProcessing");
    if (is(part, "type", "ByteLevel"))
        return 0; /* about offsets only */
    if (!cls && !is(part, "type", "TemplateProcessing"))
        return sy__read_unsupported(p, "post-processor", type_of(part));
    if (p->r.around.id)
        return sy__read_unsupported(p, "two templates of the post-processor", NULL);
    if (cls) {
        if (put_pair(&a, part, "cls"))
            return -1;
        a.behind = true;
        return put_pair(&a, part, "sep");
    }
    const struct sy_json *single = get(part, "single", SY_JSON_ARRAY);
    a.tokens = get(part, "special_tokens", SY_JSON_OBJECT);
    for (const struct sy_json *piece = single ? single->first : NULL; piece; piece = piece->next)
        if (put_piece(&a, piece))
            return -1;
    return a.behind ? 0 : sy__read_unsupported(p, "this template of the post-processor", NULL);
}

int sy__read_post(struct sy__reader *p, const struct sy_json *root, int32_t size)
{
    p->r.size = size;
    if (each_part(p, sy_json_get(root, "post_processor"), "post-processor", "processors", read_post,
                  0))
        return -1;
    const struct sy__template *t = &p->r.around;
    for (int32_t i = 0; i < t->before + t->after; i++)
        sy_str_printf(&p->beyond, "%s %d\n", i < t->before ? "before" : "after", t->id[i]);
    return 0;
}
