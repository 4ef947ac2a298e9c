/* Pre-tokenizers (pretokenizer_int.h): each stage hands its pieces to the next, the last one's are
 * words.
 *
 * The behaviours of a Split, as the library folds its list of matches and what is between them (m:
 * is a match; p: the one before was):
 *
 *     Isolated             every part is a piece
 *     Removed              every part that does not match
 *     Contiguous           joins the part before when m == p
 *     MergedWithPrevious   joins the part before when m and not p
 *     MergedWithNext       is joined by the part behind when m and that one does not match */
#include "data/tokenizer/pretokenizer_int.h"

#include "base/utf8.h"

#include <string.h>

static int run_stage(struct sy__pretok_run *r, int k, const char *text, size_t n, bool first,
                     struct sy_err *err);

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "encode: out of memory");
}

static bool stands_for_itself(int byte)
{
    return (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
}

void sy__byte_alphabet(uint32_t to[256], int16_t from[512])
{
    uint32_t next = 256;
    for (int c = 0; c < 512; c++)
        from[c] = -1;
    for (int b = 0; b < 256; b++) {
        to[b] = stands_for_itself(b) ? (uint32_t)b : next++;
        from[to[b]] = (int16_t)b;
    }
}

/* ---- SPLIT ---- */

static bool joins(enum sy__behavior behavior, bool matches, bool before)
{
    switch (behavior) {
    case SY__CONTIGUOUS:
        return matches == before;
    case SY__MERGED_WITH_PREVIOUS:
        return matches && !before;
    case SY__MERGED_WITH_NEXT:
        return !matches && before;
    default:
        return false;
    }
}

struct piece {
    const char *text; /* NULL: none yet */
    size_t n;
    bool matches;
};

static int hand_on(struct sy__pretok_run *r, int k, const struct piece *p, const char *begin,
                   bool first, struct sy_err *err)
{
    bool removed = r->list->stage[k].behavior == SY__REMOVED && p->matches;
    if (!p->n || removed)
        return 0;
    if (k == 0)
        r->at = (size_t)(p->text - r->begin);
    if (sy__poll(r->poll, p->n))
        return sy_err_set(err, SY_E_CANCELLED, "encode: cancelled");
    return run_stage(r, k + 1, p->text, p->n, first && p->text == begin, err);
}

static int split_text(struct sy__pretok_run *r, int k, const char *text, size_t n, bool first,
                      struct sy_err *err)
{
    const struct sy__stage *stage = &r->list->stage[k];
    struct sy__splitter *s = &r->split[k];
    struct piece held = {NULL, 0, false};
    const char *word;
    size_t len;
    int more;
    sy__splitter_start_valid(s, text, n);
    while ((more = sy__splitter_next(s, &word, &len, err)) > 0) {
        bool matches = s->matched != stage->invert;
        if (held.text && joins(stage->behavior, matches, held.matches)) {
            held.n += len;
            held.matches = matches;
            continue;
        }
        if (held.text && hand_on(r, k, &held, text, first, err))
            return -1;
        held = (struct piece){word, len, matches};
    }
    if (more < 0 && k == 0)
        r->at = (size_t)(text - r->begin) + s->pos;
    return more < 0 ? -1 : held.text ? hand_on(r, k, &held, text, first, err) : 0;
}

/* ---- stages that change the text ---- */

static int changed(struct sy__pretok_run *r, int k, bool first, struct sy_err *err)
{
    struct sy_str *s = &r->text[k];
    if (s->failed) {
        s->failed = false;
        return no_memory(err);
    }
    return run_stage(r, k + 1, s->data, s->len, first, err);
}

static int prefix(struct sy__pretok_run *r, int k, const char *text, size_t n, bool first,
                  struct sy_err *err)
{
    if (text[0] == ' ')
        return run_stage(r, k + 1, text, n, first, err);
    sy_str_clear(&r->text[k]);
    sy_str_puts(&r->text[k], " ");
    sy_str_add(&r->text[k], text, n);
    return changed(r, k, first, err);
}

static int spell(struct sy__pretok_run *r, int k, const char *text, size_t n, bool first,
                 struct sy_err *err)
{
    sy_str_clear(&r->text[k]);
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)text[i];
        sy_str_add(&r->text[k], r->spelled[b], r->spelled_n[b]);
    }
    return changed(r, k, first, err);
}

static int metaspace(struct sy__pretok_run *r, int k, const char *text, size_t n, bool first,
                     struct sy_err *err)
{
    const struct sy__stage *stage = &r->list->stage[k];
    const char *mark = stage->mark, *end = text + n;
    size_t len = strlen(mark);
    struct sy_str *s = &r->text[k];
    bool has = text[0] == ' ' || (n >= len && !memcmp(text, mark, len));
    sy_str_clear(s);
    if (!has && stage->prepend != SY__PREPEND_NEVER &&
        (stage->prepend == SY__PREPEND_ALWAYS || first))
        sy_str_add(s, mark, len);
    while (text < end) {
        const char *space = memchr(text, ' ', (size_t)(end - text));
        sy_str_add(s, text, (size_t)((space ? space : end) - text));
        if (space)
            sy_str_add(s, mark, len);
        text = space ? space + 1 : end;
    }
    return changed(r, k, first, err);
}

static int cut_at_mark(struct sy__pretok_run *r, int k, const char *text, size_t n, bool first,
                       struct sy_err *err)
{
    const char *mark = r->list->stage[k].mark, *from = text, *at = text, *end = text + n;
    size_t len = strlen(mark);
    while (at < end) {
        while ((size_t)(end - at) >= len && !memcmp(at, mark, len))
            at += len;
        at = memmem(at, (size_t)(end - at), mark, len);
        if (!at)
            at = end;
        if (sy__poll(r->poll, (size_t)(at - from)))
            return sy_err_set(err, SY_E_CANCELLED, "encode: cancelled");
        if (at > from && run_stage(r, k + 1, from, (size_t)(at - from), first, err))
            return -1;
        from = at;
    }
    return 0;
}

static int run_stage(struct sy__pretok_run *r, int k, const char *text, size_t n, bool first,
                     struct sy_err *err)
{
    if (k == r->list->n)
        return r->word(r->ctx, text, n, err);
    switch (r->list->stage[k].kind) {
    case SY__STAGE_SPLIT:
        return split_text(r, k, text, n, first, err);
    case SY__STAGE_PREFIX:
        return prefix(r, k, text, n, first, err);
    case SY__STAGE_SPELL:
        return spell(r, k, text, n, first, err);
    case SY__STAGE_METASPACE:
        return metaspace(r, k, text, n, first, err);
    default:
        return cut_at_mark(r, k, text, n, first, err);
    }
}

int sy__pretokenize(struct sy__pretok_run *r, const char *text, size_t n, bool first,
                    struct sy_err *err)
{
    r->begin = text;
    r->at = 0;
    return n ? run_stage(r, 0, text, n, first, err) : 0;
}

int sy__pretok_run_init(struct sy__pretok_run *r, const struct sy__pretok *list,
                        struct sy__poll *poll, struct sy_err *err)
{
    uint32_t to[256];
    int16_t from[512];
    *r = (struct sy__pretok_run){.list = list, .poll = poll};
    sy__byte_alphabet(to, from);
    for (int b = 0; b < 256; b++)
        r->spelled_n[b] = (uint8_t)sy_utf8_encode(to[b], r->spelled[b]);
    for (int i = 0; i < list->n; i++) {
        if (sy__splitter_init(&r->split[i], list->stage[i].pattern, err)) {
            sy__pretok_run_free(r);
            return -1;
        }
        r->split[i].poll = poll;
    }
    return 0;
}

void sy__pretok_run_free(struct sy__pretok_run *r)
{
    for (int i = 0; i < SY__STAGES; i++) {
        sy__splitter_free(&r->split[i]);
        sy_str_free(&r->text[i]);
    }
    *r = (struct sy__pretok_run){0};
}

void sy__pretok_free(struct sy__pretok *list)
{
    for (int i = 0; i < list->n; i++)
        sy__pattern_free(list->stage[i].pattern);
    list->n = 0;
}
