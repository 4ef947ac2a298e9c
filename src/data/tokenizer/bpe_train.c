/* Training of byte-level BPE.
 *
 * Text is cut into words (regex_split_int.h), equal words are counted once, and merges are chosen
 * over the unique words, each weighted by its count:
 *
 *     pair table   (left, right) -> 64-bit count, list of words that hold or held the pair
 *     max-heap     of (count, pair), lazy: an entry whose count is no longer true is put back with
 *                  the true count when it comes to the top
 *
 *  1. A count in the heap is never below the true one: counts rise only for pairs that a merge
 *     creates, and those are pushed when the merge is done; so the top, once true, is the maximum.
 *  2. Counts are sums and ties go to the lower (left, right): neither the order of words nor the
 *     number of threads can be seen in the result.
 *  3. A list may name a word twice or one that lost the pair: such a visit changes nothing.
 *  4. Words over WORD_MAX bytes are counted in pieces of that length, so that text without spaces
 *     costs no more than text with them.
 *
 * Source: Sennrich, Haddow, Birch 2016, "Neural machine translation of rare words with subword
 * units", algorithm 1, with the incremental counts that section 3.2 hints at. */
#include "base/grow.h"
#include "base/mem.h"
#include "base/pool.h"
#include "data/documents_int.h"
#include "data/tokenizer/special_tokens_int.h"

#include <string.h>

#define WORD_MAX 256
#define TASK_BYTES ((size_t)2 << 20)
#define REGION 16       /* tasks */
#define COUNT_SHARE 0.6 /* of the progress: reading and counting */
#define VOCAB_MAX (1 << 20)

struct stat {     /* of one pair */
    uint64_t key; /* left << 32 | right, plus 1; 0: free */
    int64_t count;
    uint32_t list;  /* first visit, 0: none */
    uint32_t stamp; /* merge that last raised the count, plus 1 */
};

struct visit { /* node of a pair's list of words */
    uint32_t word, next;
};

struct candidate {
    int64_t count;
    uint64_t key;
};

struct trainer {
    const struct sy_bpe_options *options;
    struct sy__pattern *pattern;
    struct sy__words counts; /* unique words of all text */
    /* words with at least two bytes, as symbols */
    int32_t *sym;    /* all words' symbols */
    uint64_t *start; /* [words] */
    uint16_t *len;   /* [words] symbols left */
    int64_t *count;  /* [words] */
    uint32_t words;
    struct stat *stat;
    uint32_t stats, stats_used; /* slots, a power of two */
    struct visit *visit;        /* [0] is not used */
    uint32_t visits;
    size_t visits_cap;
    struct candidate *heap;
    size_t heaped, heap_cap;
    uint64_t *raised; /* keys that the present merge raised */
    size_t raised_n, raised_cap;
    /* what comes out */
    struct sy_str bytes; /* of all tokens */
    uint32_t *token;     /* [vocab + 1] starts in bytes */
    int32_t tokens;
    struct sy__words known; /* bytes -> id + 1 */
    struct sy__merge *merge;
    int32_t merges, merges_max;
    struct sy__special_list special;
};

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "train_bpe: out of memory");
}

/* ---- counting words ---- */

struct count_task {
    const struct sy__pattern *pattern;
    const struct sy__text *piece; /* pieces of about TASK_BYTES in all */
    int64_t pieces;
    struct sy__words words;
    struct sy_err err;
};

static int count_word(struct sy__words *words, const char *word, size_t len, int64_t times)
{
    while (len) {
        size_t n = len < WORD_MAX ? len : WORD_MAX;
        int64_t *value = sy__words_at(words, word, n);
        if (!value)
            return -1;
        *value += times;
        word += n;
        len -= n;
    }
    return 0;
}

static int count_piece(struct count_task *t, struct sy__splitter *split, struct sy__text piece)
{
    const char *word;
    size_t len;
    int more;
    sy__splitter_start(split, piece.s, piece.n);
    while ((more = sy__splitter_next(split, &word, &len, &t->err)) > 0)
        if (count_word(&t->words, word, len, 1))
            return no_memory(&t->err);
    return more;
}

static void count_task(void *ctx, int64_t i)
{
    struct count_task *t = (struct count_task *)ctx + i;
    struct sy__splitter split;
    if (sy__splitter_init(&split, t->pattern, &t->err))
        return;
    for (int64_t k = 0; k < t->pieces; k++)
        if (count_piece(t, &split, t->piece[k]))
            break;
    sy__splitter_free(&split);
}

/* Documents cut where they are long; with NULL only counts. */
static int64_t plan_pieces(const struct trainer *t, const struct sy__batch *b,
                           struct sy__text *piece)
{
    int64_t pieces = 0;
    for (int64_t d = 0; d < b->docs; d++) {
        const char *p = b->text.data + b->doc[d].start;
        for (size_t left = b->doc[d].n; left;) {
            size_t n = sy__pattern_cut(t->pattern, p, left, TASK_BYTES);
            if (piece)
                piece[pieces] = (struct sy__text){p, n};
            pieces++;
            p += n;
            left -= n;
        }
    }
    return pieces;
}

/* Neighbouring pieces of TASK_BYTES together make a task. */
static int64_t plan_tasks(const struct trainer *t, const struct sy__text *piece, int64_t pieces,
                          struct count_task *task)
{
    int64_t tasks = 0;
    size_t held = TASK_BYTES;
    for (int64_t i = 0; i < pieces; i++) {
        if (held >= TASK_BYTES) {
            task[tasks++] = (struct count_task){.pattern = t->pattern, .piece = &piece[i]};
            held = 0;
        }
        task[tasks - 1].pieces++;
        held += piece[i].n;
    }
    return tasks;
}

static int add_counts(struct sy__words *to, const struct sy__words *from)
{
    char room[16];
    for (uint32_t i = 0; i < from->slots; i++) {
        const struct sy__word *w = &from->slot[i];
        if (w->tag && count_word(to, sy__word_bytes(from, w, room), sy__word_len(w), w->value))
            return -1;
    }
    return 0;
}

static int count_some(struct trainer *t, struct count_task *task, int64_t tasks, struct sy_err *err)
{
    int rc = 0;
    sy_pool_run(tasks, count_task, task);
    for (int64_t i = 0; i < tasks; i++) {
        if (!rc && task[i].err.code != SY_E_OK)
            rc = sy_err_set(err, task[i].err.code, "%s", task[i].err.msg);
        if (!rc && add_counts(&t->counts, &task[i].words))
            rc = no_memory(err);
        sy__words_free(&task[i].words);
    }
    return rc;
}

/* A few tasks a region, so that their words do not lie in memory all at once. */
static int count_tasks(struct trainer *t, const struct sy__batch *batch, struct count_task *task,
                       int64_t tasks, struct sy_err *err)
{
    for (int64_t i = 0; i < tasks; i += REGION) {
        double part = (double)i / (double)tasks;
        if (sy__batch_progress(t->options->progress, batch, part, "train_bpe", err) ||
            count_some(t, task + i, tasks - i < REGION ? tasks - i : REGION, err))
            return -1;
    }
    return 0;
}

static int count_batch(void *ctx, const struct sy__batch *batch, struct sy_err *err)
{
    struct trainer *t = ctx;
    int64_t pieces = plan_pieces(t, batch, NULL);
    size_t most = batch->text.len / TASK_BYTES + 1;
    struct sy__text *piece = sy_calloc((size_t)pieces + 1, sizeof *piece);
    struct count_task *task = sy_calloc(most, sizeof *task);
    int rc = -1;
    if (piece && task) {
        plan_pieces(t, batch, piece);
        rc = count_tasks(t, batch, task, plan_tasks(t, piece, pieces, task), err);
    } else {
        no_memory(err);
    }
    sy_free(task);
    sy_free(piece);
    return rc;
}

/* ---- pairs ---- */

static uint64_t pair_key(int32_t a, int32_t b)
{
    return ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) + 1;
}

static struct stat *probe_stat(struct stat *stat, uint32_t slots, uint64_t key)
{
    uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & (slots - 1);
    while (stat[i].key && stat[i].key != key)
        i = (i + 1) & (slots - 1);
    return &stat[i];
}

static int grow_stats(struct trainer *t)
{
    uint32_t slots = t->stats ? t->stats * 2 : 1u << 12;
    struct stat *fresh = slots ? sy_calloc(slots, sizeof *fresh) : NULL;
    if (!fresh)
        return -1;
    for (uint32_t i = 0; i < t->stats; i++)
        if (t->stat[i].key)
            *probe_stat(fresh, slots, t->stat[i].key) = t->stat[i];
    sy_free(t->stat);
    t->stat = fresh;
    t->stats = slots;
    return 0;
}

static struct stat *stat_at(struct trainer *t, int32_t a, int32_t b)
{
    if (t->stats_used >= t->stats / 2 && grow_stats(t))
        return NULL;
    uint64_t key = pair_key(a, b);
    struct stat *s = probe_stat(t->stat, t->stats, key);
    if (!s->key) {
        *s = (struct stat){.key = key};
        t->stats_used++;
    }
    return s;
}

/* The pair gained a place in word w. */
static int raise_pair(struct trainer *t, int32_t a, int32_t b, uint32_t w)
{
    struct stat *s = stat_at(t, a, b);
    if (!s)
        return -1;
    s->count += t->count[w];
    if (s->stamp != (uint32_t)t->merges + 1) {
        if (SY_GROW(t->raised, t->raised_cap, t->raised_n + 1))
            return -1;
        t->raised[t->raised_n++] = s->key;
        s->stamp = (uint32_t)t->merges + 1;
    }
    if (s->list && t->visit[s->list].word == w)
        return 0;
    if (t->visits == UINT32_MAX ||
        SY_GROW(t->visit, t->visits_cap, t->visits + 1))
        return -1;
    t->visit[t->visits] = (struct visit){w, s->list};
    s->list = t->visits++;
    return 0;
}

static void lower_pair(struct trainer *t, int32_t a, int32_t b, uint32_t w)
{
    probe_stat(t->stat, t->stats, pair_key(a, b))->count -= t->count[w];
}

/* ---- heap ---- */

static bool comes_before(struct candidate a, struct candidate b)
{
    return a.count != b.count ? a.count > b.count : a.key < b.key;
}

static int push_candidate(struct trainer *t, struct candidate c)
{
    if (SY_GROW(t->heap, t->heap_cap, t->heaped + 1))
        return -1;
    size_t i = t->heaped++;
    for (; i && comes_before(c, t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = c;
    return 0;
}

static void sink_candidate(struct trainer *t, struct candidate c) /* from the top */
{
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < t->heaped; i = child) {
        if (child + 1 < t->heaped && comes_before(t->heap[child + 1], t->heap[child]))
            child++;
        if (!comes_before(t->heap[child], c))
            break;
        t->heap[i] = t->heap[child];
    }
    t->heap[i] = c;
}

static int push_raised(struct trainer *t)
{
    for (size_t i = 0; i < t->raised_n; i++) {
        uint64_t key = t->raised[i];
        int64_t count = probe_stat(t->stat, t->stats, key)->count;
        if (count > 1 && push_candidate(t, (struct candidate){count, key}))
            return -1;
    }
    t->raised_n = 0;
    return 0;
}

/* The pair to merge next, or 0 when none is left that occurs twice. */
static uint64_t pop_best(struct trainer *t)
{
    while (t->heaped) {
        struct candidate top = t->heap[0];
        int64_t count = probe_stat(t->stat, t->stats, top.key)->count;
        if (count == top.count)
            return top.key;
        if (count > 1)
            sink_candidate(t, (struct candidate){count, top.key});
        else if (--t->heaped)
            sink_candidate(t, t->heap[t->heaped]);
    }
    return 0;
}

/* ---- merging ---- */

/* Replace a b by c in word w, left to right, and keep the counts of its neighbours' pairs. */
static int merge_in_word(struct trainer *t, uint32_t w, int32_t a, int32_t b, int32_t c)
{
    int32_t *s = t->sym + t->start[w];
    int n = t->len[w], to = 0, rc = 0;
    for (int i = 0; i < n; i++, to++) {
        if (s[i] != a || i + 1 == n || s[i + 1] != b) {
            s[to] = s[i];
            continue;
        }
        if (to) {
            lower_pair(t, s[to - 1], a, w);
            rc |= raise_pair(t, s[to - 1], c, w);
        }
        if (i + 2 < n) {
            lower_pair(t, b, s[i + 2], w);
            rc |= raise_pair(t, c, s[i + 2], w);
        }
        s[to] = c;
        i++;
    }
    t->len[w] = (uint16_t)to;
    return rc;
}

static int add_token(struct trainer *t, const char *bytes, size_t n)
{
    sy_str_add(&t->bytes, bytes, n);
    if (t->bytes.failed || t->bytes.len >= UINT32_MAX)
        return -1;
    t->token[++t->tokens] = (uint32_t)t->bytes.len;
    return 0;
}

/* The id for a followed by b: a new one, or that of a token with the same bytes. */
static int32_t merged_id(struct trainer *t, int32_t a, int32_t b)
{
    struct sy_str both = SY_STR_INIT;
    sy_str_add(&both, t->bytes.data + t->token[a], t->token[a + 1] - t->token[a]);
    sy_str_add(&both, t->bytes.data + t->token[b], t->token[b + 1] - t->token[b]);
    int64_t *id = both.failed ? NULL : sy__words_at(&t->known, both.data, both.len);
    if (id && !*id)
        *id = add_token(t, both.data, both.len) ? 0 : t->tokens;
    sy_str_free(&both);
    return id ? (int32_t)(*id - 1) : -1;
}

static int merge_pair(struct trainer *t, uint64_t key)
{
    int32_t a = (int32_t)((key - 1) >> 32), b = (int32_t)(uint32_t)(key - 1);
    int32_t c = merged_id(t, a, b);
    if (c < 0)
        return -1;
    t->merge[t->merges++] = (struct sy__merge){a, b, c};
    uint32_t v = probe_stat(t->stat, t->stats, key)->list;
    for (; v; v = t->visit[v].next)
        if (merge_in_word(t, t->visit[v].word, a, b, c))
            return -1;
    struct stat *s = probe_stat(t->stat, t->stats, key);
    s->count = 0;
    s->list = 0;
    return push_raised(t);
}

static int merge_all(struct trainer *t, struct sy_err *err)
{
    int32_t first = t->tokens, want = t->options->vocab - t->special.n;
    while (t->tokens < want && t->merges < t->merges_max) {
        if (t->merges % 64 == 0) {
            double done = (double)(t->tokens - first) / (want - first);
            if (sy__progress(t->options->progress, COUNT_SHARE + (1 - COUNT_SHARE) * done,
                             "train_bpe", err))
                return -1;
        }
        uint64_t key = pop_best(t);
        if (!key)
            break;
        if (merge_pair(t, key))
            return no_memory(err);
    }
    return 0;
}

/* ---- from counted words to symbols ---- */

static int take_words(struct trainer *t)
{
    uint64_t symbols = 0;
    for (uint32_t i = 0; i < t->counts.slots; i++)
        if (t->counts.slot[i].tag && sy__word_len(&t->counts.slot[i]) > 1) {
            symbols += sy__word_len(&t->counts.slot[i]);
            t->words++;
        }
    t->sym = sy_calloc(symbols + 1, sizeof *t->sym);
    t->start = sy_calloc((size_t)t->words + 1, sizeof *t->start);
    t->len = sy_calloc((size_t)t->words + 1, sizeof *t->len);
    t->count = sy_calloc((size_t)t->words + 1, sizeof *t->count);
    if (!t->sym || !t->start || !t->len || !t->count)
        return -1;
    uint64_t at = 0;
    uint32_t w = 0;
    for (uint32_t i = 0; i < t->counts.slots; i++) {
        const struct sy__word *word = &t->counts.slot[i];
        if (!word->tag || sy__word_len(word) < 2)
            continue;
        char space[16];
        const char *bytes = sy__word_bytes(&t->counts, word, space);
        t->start[w] = at;
        t->len[w] = (uint16_t)sy__word_len(word);
        t->count[w++] = word->value;
        for (uint32_t j = 0; j < sy__word_len(word); j++)
            t->sym[at++] = (unsigned char)bytes[j];
    }
    sy__words_free(&t->counts);
    return 0;
}

static int count_pairs(struct trainer *t)
{
    t->visits = 1;
    if (SY_GROW(t->visit, t->visits_cap, 2))
        return -1;
    for (uint32_t w = 0; w < t->words; w++) {
        const int32_t *s = t->sym + t->start[w];
        for (int i = 0; i + 1 < t->len[w]; i++)
            if (raise_pair(t, s[i], s[i + 1], w))
                return -1;
    }
    return push_raised(t);
}

static int byte_tokens(struct trainer *t)
{
    size_t vocab = (size_t)t->options->vocab;
    t->token = sy_calloc(vocab + 1, sizeof *t->token);
    t->merges_max = 2 * t->options->vocab; /* more than tokens: two may have the same bytes */
    t->merge = sy_calloc(2 * vocab, sizeof *t->merge);
    if (!t->token || !t->merge)
        return -1;
    for (int b = 0; b < 256; b++) {
        char c = (char)b;
        int64_t *id = sy__words_at(&t->known, &c, 1);
        if (!id || add_token(t, &c, 1))
            return -1;
        *id = b + 1;
    }
    return 0;
}

/* A special token whose name merges give as well would have two ids. */
static int check_special(struct trainer *t, struct sy_err *err)
{
    for (int32_t i = 0; i < t->special.n; i++) {
        const struct sy__added *a = &t->special.added[i];
        if (sy__words_find(&t->known, a->text, a->n))
            return sy_err_set(err, SY_E_FORMAT,
                              "train_bpe: special token '%.*s' is a token of the text, too: give "
                              "it a name that is no word",
                              (int)a->n, a->text);
    }
    return 0;
}

static struct sy_tokenizer *make_tokenizer(struct trainer *t, struct sy_err *err)
{
    size_t size = (size_t)t->tokens + (size_t)t->special.n;
    if (check_special(t, err))
        return NULL;
    struct sy__token *tokens = sy_calloc(size, sizeof *tokens);
    if (!tokens) {
        no_memory(err);
        return NULL;
    }
    for (int32_t i = 0; i < t->tokens; i++)
        tokens[i] = (struct sy__token){t->bytes.data + t->token[i], t->token[i + 1] - t->token[i],
                                       false, true, true};
    memcpy(tokens + t->tokens, t->special.token, (size_t)t->special.n * sizeof *tokens);
    sy__special_list_move(&t->special, t->tokens);
    struct sy__recipe r = {.tokens = tokens,
                           .size = (int32_t)size,
                           .merges = t->merge,
                           .n = t->merges,
                           .added = t->special.added,
                           .n_added = t->special.n,
                           .pretok = sy__pretok_of(t->pattern),
                           .unk = -1};
    t->pattern = NULL;
    struct sy_tokenizer *tok = sy__tokenizer_make(&r, err);
    sy_free(tokens);
    return tok;
}

static int begin_training(struct trainer *t, const struct sy_bpe_options *o, struct sy_err *err)
{
    const char *name = o->pattern ? o->pattern : "qwen2", *regex = sy__pattern_regex(name);
    *t = (struct trainer){.options = o};
    if (o->vocab < 257 || o->vocab > VOCAB_MAX)
        return sy_err_set(err, SY_E_RANGE, "train_bpe: vocab is %d, must be in 257..%d", o->vocab,
                          VOCAB_MAX);
    if (sy__special_list(&o->special, true, 0, "train_bpe", &t->special, err))
        return -1;
    if (o->vocab < 256 + t->special.n)
        return sy_err_set(err, SY_E_RANGE,
                          "train_bpe: vocab is %d, must be at least %d: 256 bytes and %d special "
                          "tokens",
                          o->vocab, 256 + t->special.n, t->special.n);
    if (!regex) {
        const char *near = sy_nearest(name, sy__pattern_names());
        return sy_err_set(err, SY_E_NAME, "train_bpe: unknown pattern '%s'%s%s%s", name,
                          near ? " (did you mean '" : ": qwen2, gpt-2, llama-bpe or gpt-4o",
                          near ? near : "", near ? "'?)" : "");
    }
    t->pattern = sy__pattern_new(regex, strlen(regex), err);
    return t->pattern ? 0 : -1;
}

static void end_training(struct trainer *t)
{
    sy__pattern_free(t->pattern);
    sy__special_list_free(&t->special);
    sy__words_free(&t->counts);
    sy__words_free(&t->known);
    void *arrays[] = {t->sym,   t->start, t->len,    t->count, t->stat,
                      t->visit, t->heap,  t->raised, t->token, t->merge};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        sy_free(arrays[i]);
    sy_str_free(&t->bytes);
}

/* Everything after counting.  Ends the trainer. */
static struct sy_tokenizer *learn_merges(struct trainer *t, struct sy_err *err)
{
    struct sy_tokenizer *tok = NULL;
    if (byte_tokens(t) || take_words(t) || count_pairs(t))
        no_memory(err);
    else if (!merge_all(t, err))
        tok = make_tokenizer(t, err);
    if (tok && sy__progress(t->options->progress, 1, "train_bpe", err)) {
        sy_tokenizer_unref(tok);
        tok = NULL;
    }
    end_training(t);
    return tok;
}

/* What was read as what, for the caller; one plain text is not worth saying. */
static int keep_reading(const struct sy__tally *tally, const struct sy_bpe_options *options,
                        struct sy_err *err)
{
    struct sy_str text = SY_STR_INIT;
    bool plain = sy__tally_text(tally, options->read.field, &text);
    *options->reading = NULL;
    if (!plain && !text.failed) {
        *options->reading = text.data;
        return 0;
    }
    int rc = text.failed ? sy_err_set(err, SY_E_MEMORY, "train_bpe: out of memory") : 0;
    sy_str_free(&text);
    return rc;
}

struct sy_tokenizer *sy_bpe_train(const char *const *paths, int count,
                                  const struct sy_bpe_options *options, struct sy_err *err)
{
    struct trainer t;
    struct sy__files files = {0};
    struct sy__tally tally = {.bad = 0};
    int rc = begin_training(&t, options, err);
    if (!rc)
        rc = sy__files_find(&files, paths, count, err) ||
             sy__sources_read(&files, &options->read, options->progress, COUNT_SHARE, count_batch,
                              &t, &tally, err);
    sy__files_free(&files);
    if (!rc && options->reading)
        rc = keep_reading(&tally, options, err);
    if (rc) {
        end_training(&t);
        return NULL;
    }
    return learn_merges(&t, err);
}

struct sy_tokenizer *sy_bpe_train_text(const char *text, size_t n,
                                       const struct sy_bpe_options *options, struct sy_err *err)
{
    struct trainer t;
    if (begin_training(&t, options, err))
        goto fail;
    struct sy__document doc = {0, n, 0, 0};
    const struct sy__batch batch = {.text = {.data = (char *)(uintptr_t)text, .len = n},
                                    .doc = &doc,
                                    .docs = 1,
                                    .to = COUNT_SHARE};
    if (n == 0)
        sy_err_set(err, SY_E_FORMAT, "train_bpe: the text is empty");
    else if (!count_batch(&t, &batch, err))
        return learn_merges(&t, err);
fail:
    end_training(&t);
    return NULL;
}
