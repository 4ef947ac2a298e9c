/* Corpora of pairs: tags and ids from texts (pairs.h, pair_corpus_int.h).
 *
 *     ids of a pair   [tag] input <|endoftext|>  target <|endoftext|>
 *
 * A pair of texts that spell a special token of the tokenizer is left out and counted.
 * The pairs for training come first, each part in the order in which it was read. */
#include "data/pairs/pair_corpus_int.h"

#include "base/grow.h"
#include "base/hash.h"
#include "base/mem.h"
#include "data/tokenizer/tokenizer_int.h"

#include <string.h>

#define GROUP 16384     /* pairs that are encoded at once */
#define TRAIN_SHARE 0.5 /* of the work that is left, when a tokenizer is trained */

/* ---- progress of a part of the work ---- */

struct part {
    const struct sy_progress *whole;
    double from, to;
};

static int part_progress(void *ctx, double fraction)
{
    const struct part *p = ctx;
    return p->whole && p->whole->fn
               ? p->whole->fn(p->whole->ctx, p->from + (p->to - p->from) * fraction)
               : 0;
}

/* ---- tags ---- */

/* The tag of a source: the pattern with its languages. */
static int make_tag(struct sy_str *out, const char *pattern, const char *from, const char *to,
                    struct sy_err *err)
{
    sy_str_clear(out);
    sy_str_puts(out, "");
    for (const char *p = pattern; *p; p++) {
        bool is_from = !strncmp(p, "{from}", 6), is_to = !strncmp(p, "{to}", 4);
        if (is_from || is_to) {
            sy_str_puts(out, is_from ? from : to);
            p += is_from ? 5 : 3;
        } else
            sy_str_add(out, p, 1);
    }
    return out->failed ? sy__no_pair_memory(err) : 0;
}

struct tags {
    char **tag; /* owned, [n] */
    int32_t n;
};

static void free_tags(struct tags *t)
{
    for (int32_t i = 0; t->tag && i < t->n; i++)
        sy_free(t->tag[i]);
    sy_free(t->tag);
}

static int make_tags(struct tags *t, const struct sy__pair_making *m, const char *pattern,
                     struct sy_err *err)
{
    struct sy_str s = SY_STR_INIT;
    int rc = 0;
    t->n = m->list.sources;
    t->tag = sy_calloc((size_t)t->n + 1, sizeof *t->tag);
    if (!t->tag)
        return sy__no_pair_memory(err);
    for (int32_t i = 0; i < t->n && !rc; i++) {
        const char *name = m->list.source[i];
        rc = make_tag(&s, pattern, m->sources_are_targets ? m->other : name,
                      m->sources_are_targets ? name : m->other, err);
        if (!rc && !(t->tag[i] = sy_strdup(s.data)))
            rc = sy__no_pair_memory(err);
    }
    sy_str_free(&s);
    return rc;
}

/* ---- the tokenizer ---- */

/* All training pairs as one text. */
static int join_texts(const struct sy__pair_list *l, struct sy_str *out, struct sy_err *err)
{
    for (int64_t i = 0; i < l->n; i++) {
        const struct sy__pair_text *p = &l->pair[i];
        if (p->held)
            continue;
        sy_str_add(out, l->text.data + p->at, p->input);
        sy_str_add(out, "\n", 1);
        sy_str_add(out, l->text.data + p->at + p->input, p->target);
        sy_str_add(out, "\n", 1);
    }
    return out->failed ? sy__no_pair_memory(err) : 0;
}

/* The tags without the spaces behind them, one after the other, each with a zero byte: a name would
 * move while `room` grows. */
static void trim_tags(const struct tags *t, struct sy_str *room)
{
    for (int32_t i = 0; i < t->n; i++) {
        size_t n = strlen(t->tag[i]);
        while (n && t->tag[i][n - 1] == ' ')
            n--;
        sy_str_add(room, t->tag[i], n);
        sy_str_add(room, "", 1);
    }
}

static bool is_among(const char *name, const char **names, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* Names of special tokens, in `room`: the trimmed tags, each once; -1: no memory. */
static int32_t special_names(const struct tags *t, struct sy_str *room, const char **names)
{
    int32_t n = 0;
    trim_tags(t, room);
    if (room->failed)
        return -1;
    const char *at = room->data;
    for (int32_t i = 0; i < t->n; i++, at += strlen(at) + 1)
        if (*at && !is_among(at, names, n))
            names[n++] = at;
    return n;
}

static struct sy_tokenizer *train_tokenizer(const struct sy__pair_making *m, const struct tags *t,
                                            const struct sy_pair_options *o, struct part *part,
                                            struct sy_err *err)
{
    struct sy_str text = SY_STR_INIT, room = SY_STR_INIT;
    const char **names = sy_calloc((size_t)t->n + 1, sizeof *names);
    const struct sy_progress progress = {part_progress, part,
                                         o->progress ? o->progress->stop : NULL};
    struct sy_bpe_options bpe = {.vocab = o->vocab, .progress = &progress,
                                 .special = {.pad = true, .names = names}};
    struct sy_tokenizer *tok = NULL;
    if (!names)
        sy__no_pair_memory(err);
    else if (!join_texts(&m->list, &text, err)) {
        bpe.special.count = special_names(t, &room, names);
        if (bpe.special.count < 0)
            sy__no_pair_memory(err);
        else
            tok = sy_bpe_train_text(text.data ? text.data : "", text.len, &bpe, err);
    }
    sy_free(names);
    sy_str_free(&room);
    sy_str_free(&text);
    return tok;
}

static struct sy_tokenizer *find_tokenizer(const struct sy__pair_making *m, const struct tags *t,
                                           const struct sy_pair_options *o, struct part *part,
                                           struct sy_err *err)
{
    static const struct sy_special_tokens pad = {.pad = true};
    if (!o->tokenizer)
        return o->vocab ? train_tokenizer(m, t, o, part, err) : sy_tokenizer_bytes_with(&pad, err);
    if (sy_tokenizer_eot(o->tokenizer) >= 0)
        return sy_tokenizer_ref(o->tokenizer);
    sy_err_set(err, SY_E_RANGE,
               "data: pairs need a tokenizer with an end-of-text: %s with %d ids has none; "
               "tokenizer.bytes{pad = true} and tokenizer.train_bpe have",
               sy_tokenizer_kind(o->tokenizer), (int)sy_tokenizer_size(o->tokenizer));
    return NULL;
}

/* ---- ids ---- */

struct builder {
    struct sy_corpus *c;
    struct sy__pair_list *list;
    const struct tags *tags;
    int64_t *in_tag; /* owned: special tokens of each source's tag */
    struct sy__encoders *encoders;
    struct part part;
    struct sy_str inputs;   /* tags with inputs, of a group */
    struct sy__text *text;  /* owned: input, target of each pair of a group */
    int64_t *end;           /* owned */
    int64_t *group, grouped; /* owned: which pairs */
    struct sy__ids ids;
    int64_t done;
};

/* Special tokens among the ids that the group has from `from` to before `to`. */
static int64_t count_specials(const struct builder *b, int64_t from, int64_t to)
{
    int64_t n = 0;
    for (int64_t i = from; i < to; i++)
        n += b->c->tokenizer->special[b->ids.data[i]];
    return n;
}

static int count_tags(struct builder *b, struct sy_err *err)
{
    struct sy__place place = {0};
    for (int32_t i = 0; i < b->tags->n; i++) {
        const struct sy__text tag = {b->tags->tag[i], strlen(b->tags->tag[i])};
        b->ids.len = 0;
        if (sy__encode_many(b->encoders, &tag, 1, &b->ids, NULL, &place, err))
            return -1;
        b->in_tag[i] = count_specials(b, 0, b->ids.len);
    }
    return 0;
}

static int begin_builder(struct builder *b, struct sy_err *err)
{
    b->text = sy_calloc((size_t)2 * GROUP, sizeof *b->text);
    b->end = sy_calloc((size_t)2 * GROUP, sizeof *b->end);
    b->group = sy_calloc(GROUP, sizeof *b->group);
    b->in_tag = sy_calloc((size_t)b->tags->n + 1, sizeof *b->in_tag);
    b->c->pairs.pair = sy_calloc((size_t)b->list->n + 1, sizeof *b->c->pairs.pair);
    return b->text && b->end && b->group && b->in_tag && b->c->pairs.pair
               ? count_tags(b, err)
               : sy__no_pair_memory(err);
}

static void end_builder(struct builder *b)
{
    sy__encoders_free(b->encoders);
    sy_str_free(&b->inputs);
    sy_free(b->text);
    sy_free(b->end);
    sy_free(b->group);
    sy_free(b->in_tag);
    sy_free(b->ids.data);
}

/* One side, from ids[from .. to) on, and end-of-text. */
static int append_side(struct builder *b, int64_t from, int64_t to, struct sy_err *err)
{
    int32_t eot = sy_tokenizer_eot(b->c->tokenizer);
    return sy__corpus_append(b->c, b->ids.data + from, to - from, err) ||
                   sy__corpus_append(b->c, &eot, 1, err)
               ? -1
               : 0;
}

static int append_pair(struct builder *b, int64_t i, struct sy_err *err)
{
    struct sy__pair_text *p = &b->list->pair[b->group[i]];
    int64_t from = i ? b->end[2 * i - 1] : 0, middle = b->end[2 * i], to = b->end[2 * i + 1];
    struct sy__pairs *pairs = &b->c->pairs;
    if (count_specials(b, from, to) > b->in_tag[p->source]) {
        p->left = true; /* an end of text, say, in the middle of a target */
        b->list->special++;
        return 0;
    }
    pairs->pair[pairs->count++] =
        (struct sy_pair){b->c->tokens, (int32_t)(middle - from + 1), (int32_t)(to - middle + 1),
                          p->source};
    return sy__corpus_begin(b->c, p->file, p->line, -1, err) ||
                   append_side(b, from, middle, err) || append_side(b, middle, to, err)
               ? -1
               : 0;
}

/* Inputs with their tags are put together in b->inputs, which must not move meanwhile. */
static int tag_inputs(struct builder *b, struct sy_err *err)
{
    const struct sy__pair_list *l = b->list;
    size_t at = 0;
    sy_str_clear(&b->inputs);
    sy_str_puts(&b->inputs, "");
    for (int64_t i = 0; i < b->grouped; i++) {
        const struct sy__pair_text *p = &l->pair[b->group[i]];
        sy_str_puts(&b->inputs, b->tags->tag[p->source]);
        sy_str_add(&b->inputs, l->text.data + p->at, p->input);
    }
    if (b->inputs.failed)
        return sy__no_pair_memory(err);
    for (int64_t i = 0; i < b->grouped; i++) {
        const struct sy__pair_text *p = &l->pair[b->group[i]];
        size_t n = strlen(b->tags->tag[p->source]) + p->input;
        b->text[2 * i] = (struct sy__text){b->inputs.data + at, n};
        b->text[2 * i + 1] = (struct sy__text){l->text.data + p->at + p->input, p->target};
        at += n;
    }
    return 0;
}

static int encode_group(struct builder *b, struct sy_err *err)
{
    struct sy__place place = {0};
    b->ids.len = 0;
    if (!b->grouped)
        return 0;
    if (tag_inputs(b, err) ||
        sy__encode_many(b->encoders, b->text, 2 * b->grouped, &b->ids, b->end, &place, err))
        return -1;
    for (int64_t i = 0; i < b->grouped; i++)
        if (append_pair(b, i, err))
            return -1;
    b->done += b->grouped;
    b->grouped = 0;
    if (part_progress(&b->part, (double)b->done / (double)b->list->n))
        return sy_err_set(err, SY_E_CANCELLED, "data: cancelled");
    return 0;
}

/* Those that are held out, or the others. */
static int encode_part(struct builder *b, bool held, struct sy_err *err)
{
    for (int64_t i = 0; i < b->list->n; i++) {
        if (b->list->pair[i].held != held)
            continue;
        b->group[b->grouped++] = i;
        if (b->grouped == GROUP && encode_group(b, err))
            return -1;
    }
    return encode_group(b, err);
}

static int fail_empty(const struct sy__pair_list *l, struct sy_err *err)
{
    struct sy_str text = SY_STR_INIT;
    sy__pair_tell(l, &text);
    sy_err_set(err, SY_E_FORMAT, "data: no pairs %s: %s",
               l->offered ? "are left to train on" : "were found", text.data ? text.data : "");
    sy_str_free(&text);
    return -1;
}

static int encode_all(struct builder *b, struct sy_err *err)
{
    if (begin_builder(b, err) || encode_part(b, false, err))
        return -1;
    b->c->pairs.train = b->c->pairs.count;
    int64_t train = b->c->tokens;
    if (!train)
        return fail_empty(b->list, err);
    if (encode_part(b, true, err) || sy__corpus_finish(b->c, 0, err))
        return -1;
    b->c->train = train;
    return 0;
}

/* ---- the corpus ---- */

static uint64_t hash_pairs(const struct sy__pair_list *l, const struct tags *t)
{
    struct sy_hash h;
    sy_hash_init(&h);
    for (int32_t i = 0; i < l->sources; i++) {
        sy_hash_update(&h, l->source[i], strlen(l->source[i]) + 1);
        sy_hash_update(&h, t->tag[i], strlen(t->tag[i]) + 1);
    }
    for (int64_t i = 0; i < l->n; i++) {
        const struct sy__pair_text *p = &l->pair[i];
        uint32_t head[4] = {p->input, p->target, (uint32_t)p->source, p->held};
        sy_hash_update(&h, head, sizeof head);
        sy_hash_update(&h, l->text.data + p->at, (size_t)p->input + p->target);
    }
    return sy_hash_final(&h);
}

static int describe(struct sy_corpus *c, struct sy__pair_making *m, const char *tag, bool cut,
                    struct sy_err *err)
{
    c->files = m->files;
    m->files = (struct sy__files){0};
    c->source = m->list.source;
    c->sources = m->list.sources;
    m->list.source = NULL;
    m->list.sources = 0;
    c->pairs.tag = sy_strdup(tag);
    c->pairs.other = sy_strdup(m->other);
    c->pairs.sources_are_targets = m->sources_are_targets;
    c->pairs.cut = cut;
    c->pairs.start = sy_tokenizer_start(c->tokenizer);
    return c->pairs.tag && c->pairs.other && !c->reading.failed ? 0 : sy__no_pair_memory(err);
}

static struct sy_corpus *make_corpus(struct sy__pair_making *m, const struct tags *tags,
                                     const char *tag, const struct sy_pair_options *o,
                                     struct sy_err *err)
{
    double encode = o->tokenizer || !o->vocab ? m->done : m->done + (1 - m->done) * TRAIN_SHARE;
    struct part train = {o->progress, m->done, encode};
    struct sy_tokenizer *tok = find_tokenizer(m, tags, o, &train, err);
    struct builder b = {.list = &m->list, .tags = tags, .part = {o->progress, encode, 1}};
    if (!tok)
        return NULL;
    b.c = sy__corpus_new(sy_tokenizer_size(tok), tok, err);
    b.encoders = b.c ? sy__encoders_new(tok, o->progress, err) : NULL;
    sy_tokenizer_unref(tok);
    int rc = b.encoders ? encode_all(&b, err) : -1;
    if (!rc) {
        b.c->hash = hash_pairs(&m->list, tags);
        sy__pair_tell(&m->list, &b.c->reading);
        rc = describe(b.c, m, tag, o->cut, err);
    }
    end_builder(&b);
    if (!rc)
        return b.c;
    sy_corpus_unref(b.c);
    return NULL;
}

struct sy_corpus *sy__pair_corpus(struct sy__pair_making *m, const struct sy_pair_options *o,
                                  struct sy_err *err)
{
    struct tags tags = {0};
    struct sy_corpus *c = NULL;
    const char *tag = o->tag ? o->tag : m->sources_are_targets && m->list.sources > 1
                          ? "<2{to}> " : "";
    sy__pair_keys(&m->list, m->sources_are_targets, o->words);
    if (!m->list.n)
        fail_empty(&m->list, err);
    else if (!sy__check_val(o->val, err) && !sy__pair_hold(&m->list, o->val, err) &&
               !make_tags(&tags, m, tag, err))
        c = make_corpus(m, &tags, tag, o, err);
    free_tags(&tags);
    sy__pair_list_free(&m->list);
    sy__files_free(&m->files);
    return c;
}
