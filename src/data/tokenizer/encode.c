/* BPE encoding: added tokens, normalizers, pre-tokenizers, then words, merged by rank, remembered.
 *
 *     text -> added tokens as they stand -> what is between: normalized -> added tokens again ->
 *     what is between: words -> symbols (bytes, or characters) -> merges
 *
 *  1. Within a word the pair of lowest rank is merged first, the leftmost among equals, until no
 *     neighbours are a known pair: what training did, replayed.
 *  2. Words of up to CACHED bytes are looked up in a cache of the encoder's own (natural text
 *     repeats its words); when the cache is full it starts anew.  So it cannot change any id.
 *  3. Short words scan for the best pair, O(n^2) with a tiny constant; words over SHORT bytes use a
 *     heap over a linked list, O(n log n), so a megabyte without a space is no attack.
 *  4. A text too long for one task is cut at places that are word borders in any text
 *     (sy__tokenizer_cut), by length only: the ids never depend on the number of threads.
 *  5. Invalid UTF-8: what stands before and behind an invalid byte is encoded as a text of its own;
 *     the byte has its token, or is unknown. */
#include "data/tokenizer/tokenizer_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/utf8.h"

#include <pthread.h>
#include <string.h>

#define CACHED 64
#define CACHE_WORDS (1u << 15)
#define CACHE_IDS (1 << 22)
#define SHORT 128
#define NO_RANK UINT32_MAX
#define CHUNK ((size_t)1 << 19) /* bytes of a task */

struct node { /* of a long word: a symbol and its neighbours */
    int32_t id, prev, next;
    uint32_t rank; /* of the pair (this, next); NO_RANK: none */
};

struct sy__encoder {
    const struct sy_tokenizer *tok; /* borrowed */
    struct sy__poll poll;
    struct sy__normal_run normal;
    struct sy__pretok_run pretok;
    const char *text;       /* borrowed while it is encoded */
    size_t at;              /* where the work stands in it */
    struct sy__ids *out;    /* borrowed, likewise */
    struct sy__words cache; /* value: first id's index in kept << 8 | how many */
    struct sy__ids kept;    /* ids of cached words */
    struct node *node;      /* scratch of long words */
    uint64_t *heap;         /* rank << 32 | position */
    size_t node_room, heap_room;
};

int sy__ids_reserve(struct sy__ids *v, int64_t more)
{
    return SY_GROW(v->data, v->cap, v->len + more);
}

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "encode: out of memory");
}

static int cancelled(struct sy_err *err)
{
    return sy_err_set(err, SY_E_CANCELLED, "encode: cancelled");
}

static const struct sy__pair *find_pair(const struct sy_tokenizer *t, int32_t a, int32_t b)
{
    uint64_t key = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) + 1;
    uint32_t mask = t->pairs - 1;
    for (uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & mask;; i = (i + 1) & mask) {
        if (t->pair[i].key == key)
            return &t->pair[i];
        if (!t->pair[i].key)
            return NULL;
    }
}

static uint32_t rank_of(const struct sy_tokenizer *t, int32_t a, int32_t b)
{
    const struct sy__pair *p = find_pair(t, a, b);
    return p ? p->rank : NO_RANK;
}

/* ids[0..n) -> fewer, in place; n <= SHORT.  Returns how many are left. */
static int merge_short(const struct sy_tokenizer *t, int32_t *ids, int n)
{
    uint32_t rank[SHORT];
    for (int i = 0; i + 1 < n; i++)
        rank[i] = rank_of(t, ids[i], ids[i + 1]);
    while (n > 1) {
        int best = 0;
        for (int i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        ids[best] = t->merge[rank[best]].id;
        n--;
        memmove(ids + best + 1, ids + best + 2, (size_t)(n - best - 1) * sizeof *ids);
        memmove(rank + best, rank + best + 1, (size_t)(n - best - 1) * sizeof *rank);
        if (best + 1 < n)
            rank[best] = rank_of(t, ids[best], ids[best + 1]);
        if (best > 0)
            rank[best - 1] = rank_of(t, ids[best - 1], ids[best]);
    }
    return n;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t entry)
{
    size_t i = (*n)++;
    while (i && heap[(i - 1) / 2] > entry) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = entry;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0], last = heap[--*n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

static int long_room(struct sy__encoder *e, size_t n, struct sy_err *err)
{
    if (n > INT32_MAX)
        return sy_err_set(err, SY_E_RANGE, "encode: a word of %zu bytes is over 2 GB", n);
    /* the heap: n - 1 entries at first and at most two more for each of n - 1 merges */
    if (SY_GROW(e->node, e->node_room, n) || SY_GROW(e->heap, e->heap_room, 3 * n))
        return no_memory(err);
    return 0;
}

static void rank_again(struct sy__encoder *e, int32_t i, size_t *heaped)
{
    struct node *a = &e->node[i];
    a->rank = a->next < 0 ? NO_RANK : rank_of(e->tok, a->id, e->node[a->next].id);
    if (a->rank != NO_RANK)
        heap_push(e->heap, heaped, (uint64_t)a->rank << 32 | (uint32_t)i);
}

/* ids[0..n) -> fewer, in place; -1: no memory, or ended. */
static int64_t merge_long(struct sy__encoder *e, int32_t *ids, int64_t len, struct sy_err *err)
{
    if (long_room(e, (size_t)len, err))
        return -1;
    struct node *node = e->node;
    int32_t n = (int32_t)len;
    size_t heaped = 0;
    for (int32_t i = 0; i < n; i++)
        node[i] = (struct node){ids[i], i - 1, i + 1 < n ? i + 1 : -1, NO_RANK};
    for (int32_t i = 0; i < n; i++)
        rank_again(e, i, &heaped);
    while (heaped) {
        uint64_t top = heap_pop(e->heap, &heaped);
        int32_t i = (int32_t)(uint32_t)top;
        if (sy__poll(&e->poll, 16))
            return cancelled(err);
        if (node[i].rank != (uint32_t)(top >> 32)) /* stale: merged away or merged on */
            continue;
        int32_t gone = node[i].next;
        node[i].id = e->tok->merge[node[i].rank].id;
        node[i].next = node[gone].next;
        node[gone].rank = NO_RANK;
        if (node[i].next >= 0)
            node[node[i].next].prev = i;
        rank_again(e, i, &heaped);
        if (node[i].prev >= 0)
            rank_again(e, node[i].prev, &heaped);
    }
    int64_t left = 0;
    for (int32_t i = 0; i >= 0; i = node[i].next)
        ids[left++] = node[i].id;
    return left;
}

/* ---- symbols ---- */

static bool has_bytes(const struct sy_tokenizer *t, const char *c, int n)
{
    for (int i = 0; i < n; i++)
        if (t->byte[(unsigned char)c[i]] < 0)
            return false;
    return true;
}

/* Characters of the vocabulary; others by their bytes; others are unknown.  An unknown one is held
 * back until a known one comes, also behind bytes, as the library does.  At most one id a byte. */
static int64_t symbols_of_chars(const struct sy_tokenizer *t, const char *word, size_t len,
                                int32_t *ids)
{
    int64_t n = 0;
    bool held = false;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        int k = sy_utf8_decode(word + i, len - i, &c);
        k = k ? k : 1; /* an invalid byte */
        const int64_t *id = sy__words_find(&t->vocab, word + i, (size_t)k);
        if (id) {
            if (held)
                ids[n++] = t->unk;
            held = false;
            ids[n++] = (int32_t)(*id - 1);
        } else if (has_bytes(t, word + i, k)) {
            for (int b = 0; b < k; b++)
                ids[n++] = t->byte[(unsigned char)word[i + (size_t)b]];
        } else if (t->unk >= 0) {
            if (held && !t->fuse_unk)
                ids[n++] = t->unk;
            held = true;
        }
        i += (size_t)k;
    }
    if (held)
        ids[n++] = t->unk;
    return n;
}

static int64_t symbols(const struct sy_tokenizer *t, const char *word, size_t len, int32_t *ids)
{
    if (t->chars)
        return symbols_of_chars(t, word, len, ids);
    for (size_t i = 0; i < len; i++)
        ids[i] = t->byte[(unsigned char)word[i]];
    return (int64_t)len;
}

/* Appends the word's ids; out has room for len more. */
static int encode_word(struct sy__encoder *e, const char *word, size_t len, struct sy__ids *out,
                       struct sy_err *err)
{
    const struct sy_tokenizer *t = e->tok;
    if (t->ignore_merges) {
        const int64_t *whole = sy__words_find(&t->vocab, word, len);
        if (whole) {
            out->data[out->len++] = (int32_t)(*whole - 1);
            return 0;
        }
    }
    int32_t *ids = out->data + out->len;
    int64_t n = symbols(t, word, len, ids);
    if (t->merges && n > 1)
        n = n > SHORT ? merge_long(e, ids, n, err) : merge_short(t, ids, (int)n);
    if (n < 0)
        return -1;
    out->len += n;
    return 0;
}

static int encode_cached(struct sy__encoder *e, const char *word, size_t len, struct sy__ids *out,
                         struct sy_err *err)
{
    if (e->cache.used >= CACHE_WORDS || e->kept.len >= CACHE_IDS) {
        sy__words_clear(&e->cache);
        e->kept.len = 0;
    }
    int64_t *value = sy__words_at(&e->cache, word, len);
    if (!value)
        return no_memory(err);
    if (*value) {
        int32_t n = (int32_t)(*value & 255);
        memcpy(out->data + out->len, e->kept.data + (*value >> 8), (size_t)n * sizeof(int32_t));
        out->len += n;
        return 0;
    }
    int64_t first = out->len;
    if (encode_word(e, word, len, out, err))
        return -1;
    int64_t n = out->len - first;
    if (sy__ids_reserve(&e->kept, n)) {
        out->len = first;
        return no_memory(err);
    }
    memcpy(e->kept.data + e->kept.len, out->data + first, (size_t)n * sizeof(int32_t));
    *value = e->kept.len << 8 | n; /* 0: a word without ids, and it is looked at again */
    e->kept.len += n;
    return 0;
}

/* ---- a text ---- */

static int take_word(void *ctx, const char *word, size_t len, struct sy_err *err)
{
    struct sy__encoder *e = ctx;
    if (sy__ids_reserve(e->out, (int64_t)len)) /* a byte is one id at most */
        return no_memory(err);
    return len <= CACHED ? encode_cached(e, word, len, e->out, err)
                         : encode_word(e, word, len, e->out, err);
}

/* What is between added tokens: *first says that it begins where the text did. */
typedef int gap_fn(struct sy__encoder *e, const char *text, size_t n, bool first,
                   struct sy_err *err);

static int encode_words(struct sy__encoder *e, const char *text, size_t n, bool first,
                        struct sy_err *err)
{
    int rc = sy__pretokenize(&e->pretok, text, n, first, err);
    if (rc && !e->tok->normals.n)
        e->at = (size_t)(text - e->text) + e->pretok.at;
    return rc;
}

static int take_added(struct sy__encoder *e, const struct sy__added_set *set, const char *text,
                      size_t n, bool first, gap_fn *gap, struct sy_err *err)
{
    size_t taken = 0, at = 0;
    bool ended = false;
    const struct sy__added *t;
    while ((t = sy__added_find(set, text, n, &at, &e->poll, &ended))) {
        size_t from = at, to = at + t->n;
        at = to;
        if (!sy__added_fits(t, text, n, taken, &from, &to))
            continue;
        if (taken < from && gap(e, text + taken, from - taken, first && !taken, err))
            return -1;
        if (sy__ids_reserve(e->out, 1))
            return no_memory(err);
        e->out->data[e->out->len++] = t->id;
        taken = to;
    }
    if (ended)
        return cancelled(err);
    return taken < n ? gap(e, text + taken, n - taken, first && !taken, err) : 0;
}

static int encode_between(struct sy__encoder *e, const char *text, size_t n, bool first,
                          struct sy_err *err)
{
    e->at = (size_t)(text - e->text);
    if (e->tok->normals.n && sy__normalize(&e->normal, &text, &n, &first, err))
        return -1;
    if (e->tok->normalized.n)
        return take_added(e, &e->tok->normalized, text, n, first, encode_words, err);
    return encode_words(e, text, n, first, err);
}

static int encode_valid(struct sy__encoder *e, const char *text, size_t n, bool first,
                        struct sy_err *err)
{
    if (!n)
        return 0;
    if (e->tok->raw.n)
        return take_added(e, &e->tok->raw, text, n, first, encode_between, err);
    return encode_between(e, text, n, first, err);
}

static int encode_plain(const struct sy_tokenizer *t, const char *text, size_t n,
                        struct sy__ids *out)
{
    int32_t *ids = out->data + out->len;
    for (size_t i = 0; i < n; i++)
        ids[i] = t->byte[(unsigned char)text[i]];
    out->len += (int64_t)n;
    return 0;
}

int sy__encode(struct sy__encoder *e, const char *text, size_t n, struct sy__ids *out,
               struct sy_err *err)
{
    if (n == 0)
        return 0;
    if (n > INT64_MAX / 16 || sy__ids_reserve(out, (int64_t)n))
        return no_memory(err);
    if (sy__tokenizer_is_bytes(e->tok))
        return encode_plain(e->tok, text, n, out);
    e->text = text;
    e->out = out;
    for (size_t i = 0; i < n; i++) {
        size_t valid = sy_utf8_valid(text + i, n - i);
        if (encode_valid(e, text + i, valid, i == 0, err))
            return -1;
        i += valid;
        if (i < n && take_word(e, text + i, 1, err))
            return -1;
    }
    return 0;
}

struct sy__encoder *sy__encoder_new(const struct sy_tokenizer *tok, int (*stop)(void),
                                    struct sy_err *err)
{
    struct sy__encoder *e = sy_calloc(1, sizeof *e);
    if (!e) {
        no_memory(err);
        return NULL;
    }
    e->tok = tok;
    e->poll.stop = stop;
    if (sy__normal_run_init(&e->normal, &tok->normals, &e->poll, err) ||
        sy__pretok_run_init(&e->pretok, &tok->pretok, &e->poll, err)) {
        sy__encoder_free(e);
        return NULL;
    }
    e->pretok.word = take_word;
    e->pretok.ctx = e;
    return e;
}

void sy__encoder_free(struct sy__encoder *e)
{
    if (!e)
        return;
    sy__normal_run_free(&e->normal);
    sy__pretok_run_free(&e->pretok);
    sy__words_free(&e->cache);
    sy_free(e->kept.data);
    sy_free(e->node);
    sy_free(e->heap);
    sy_free(e);
}

/* ---- many texts, many threads ---- */

struct sy__encoders {
    const struct sy_tokenizer *tok;
    int (*stop)(void);
    pthread_mutex_t lock;
    struct sy__encoder *free[SY_POOL_MAX]; /* not lent out just now */
    int count;
};

struct job { /* one parallel region */
    struct sy__encoders *set;
    const struct sy__text *piece;
    struct sy__ids *ids;
    struct sy_err err;
    int64_t bad; /* the piece that failed, the first of them */
    size_t at;   /* and where in it */
    bool failed;
};

struct sy__encoders *sy__encoders_new(const struct sy_tokenizer *tok,
                                      const struct sy_progress *progress, struct sy_err *err)
{
    struct sy__encoders *set = sy_calloc(1, sizeof *set);
    if (!set) {
        no_memory(err);
        return NULL;
    }
    set->tok = tok;
    set->stop = progress ? progress->stop : NULL;
    pthread_mutex_init(&set->lock, NULL);
    return set;
}

void sy__encoders_free(struct sy__encoders *set)
{
    if (!set)
        return;
    for (int i = 0; i < set->count; i++)
        sy__encoder_free(set->free[i]);
    pthread_mutex_destroy(&set->lock);
    sy_free(set);
}

static struct sy__encoder *borrow_encoder(struct sy__encoders *set, struct sy_err *err)
{
    struct sy__encoder *e = NULL;
    pthread_mutex_lock(&set->lock);
    if (set->count)
        e = set->free[--set->count];
    pthread_mutex_unlock(&set->lock);
    return e ? e : sy__encoder_new(set->tok, set->stop, err);
}

static void give_back(struct sy__encoders *set, struct sy__encoder *e)
{
    pthread_mutex_lock(&set->lock);
    if (set->count < SY_POOL_MAX) {
        set->free[set->count++] = e;
        e = NULL;
    }
    pthread_mutex_unlock(&set->lock);
    sy__encoder_free(e);
}

static void encode_task(void *ctx, int64_t i)
{
    struct job *job = ctx;
    struct sy_err err = SY_ERR_INIT;
    struct sy__encoder *e = borrow_encoder(job->set, &err);
    size_t at = 0;
    if (e) {
        sy__encode(e, job->piece[i].s, job->piece[i].n, &job->ids[i], &err);
        at = e->at;
        give_back(job->set, e);
    }
    if (err.code != SY_E_OK) {
        pthread_mutex_lock(&job->set->lock);
        if (!job->failed || i < job->bad) {
            job->err = err;
            job->bad = i;
            job->at = at;
        }
        job->failed = true;
        pthread_mutex_unlock(&job->set->lock);
    }
}

/* Cut texts into pieces of about CHUNK bytes; `of` says which text a piece belongs to.  With NULL
 * arrays only counts. */
static int64_t cut_texts(const struct sy_tokenizer *tok, const struct sy__text *texts,
                         int64_t count, struct sy__text *piece, int64_t *of)
{
    int64_t pieces = 0;
    for (int64_t i = 0; i < count; i++) {
        const char *p = texts[i].s;
        size_t left = texts[i].n;
        do {
            size_t n = sy__tokenizer_cut(tok, p, left, CHUNK);
            if (piece) {
                piece[pieces] = (struct sy__text){p, n};
                of[pieces] = i;
            }
            pieces++;
            p += n;
            left -= n;
        } while (left);
    }
    return pieces;
}

static int gather(const struct job *job, int64_t pieces, const int64_t *of, struct sy__ids *out,
                  int64_t *ends)
{
    int64_t total = 0;
    for (int64_t i = 0; i < pieces; i++)
        total += job->ids[i].len;
    if (sy__ids_reserve(out, total))
        return -1;
    for (int64_t i = 0, text = 0; i < pieces; i++) {
        if (job->ids[i].len)
            memcpy(out->data + out->len, job->ids[i].data,
                   (size_t)job->ids[i].len * sizeof(int32_t));
        out->len += job->ids[i].len;
        if (ends && (i + 1 == pieces || of[i + 1] != of[i]))
            ends[text++] = out->len;
    }
    return 0;
}

static int encode_pieces(struct job *job, int64_t pieces, const int64_t *of, struct sy__ids *out,
                         int64_t *ends, struct sy_err *err)
{
    sy_pool_run(pieces, encode_task, job);
    if (job->failed)
        return sy_err_set(err, job->err.code, "%s", job->err.msg);
    return gather(job, pieces, of, out, ends) ? no_memory(err) : 0;
}

int sy__encode_many(struct sy__encoders *set, const struct sy__text *texts, int64_t count,
                    struct sy__ids *out, int64_t *ends, struct sy__place *place, struct sy_err *err)
{
    if (count == 0)
        return 0;
    int64_t pieces = cut_texts(set->tok, texts, count, NULL, NULL);
    struct sy__text *piece = sy_calloc((size_t)pieces, sizeof *piece);
    int64_t *of = sy_calloc((size_t)pieces, sizeof *of);
    struct job job = {.set = set,
                      .piece = piece,
                      .ids = sy_calloc((size_t)pieces, sizeof(struct sy__ids)),
                      .err = SY_ERR_INIT};
    int rc;
    if (piece && of && job.ids) {
        cut_texts(set->tok, texts, count, piece, of);
        rc = encode_pieces(&job, pieces, of, out, ends, err);
        if (job.failed && place)
            *place = (struct sy__place){
                of[job.bad], (size_t)(piece[job.bad].s - texts[of[job.bad]].s) + job.at};
    } else {
        rc = no_memory(err);
    }
    for (int64_t i = 0; job.ids && i < pieces; i++)
        sy_free(job.ids[i].data);
    sy_free(job.ids);
    sy_free(piece);
    sy_free(of);
    return rc;
}

/* Put the ids of a post-processor around all that out holds. */
static int put_around(const struct sy__template *t, struct sy__ids *out)
{
    if (sy__ids_reserve(out, (int64_t)t->before + t->after))
        return -1;
    if (out->len)
        memmove(out->data + t->before, out->data, (size_t)out->len * sizeof *out->data);
    if (t->before)
        memcpy(out->data, t->id, (size_t)t->before * sizeof *t->id);
    out->len += t->before;
    if (t->after)
        memcpy(out->data + out->len, t->id + t->before, (size_t)t->after * sizeof *t->id);
    out->len += t->after;
    return 0;
}

int64_t sy_tokenizer_encode_with(const struct sy_tokenizer *tok, const char *text, size_t n,
                                 const struct sy_encode_options *o, int32_t **ids,
                                 struct sy_err *err)
{
    struct sy__ids out = {0};
    struct sy__place place = {0};
    struct sy_err why = SY_ERR_INIT;
    int rc = -1;
    struct sy__encoders *set = sy__encoders_new(tok, o->progress, &why);
    if (set) {
        struct sy__text one = {text, n};
        rc = sy__encode_many(set, &one, 1, &out, NULL, &place, &why);
    }
    sy__encoders_free(set);
    if (!rc && ((o->special && put_around(&tok->around, &out)) || sy__ids_reserve(&out, 1)))
        rc = no_memory(&why);
    if (!rc) {
        *ids = out.data;
        return out.len;
    }
    sy_free(out.data);
    if (why.code == SY_E_FORMAT)
        sy_err_set(err, why.code, "encode: at byte %zu: %s", place.at, why.msg);
    else
        sy_err_set(err, why.code, "%s", why.msg);
    return -1;
}

int64_t sy_tokenizer_encode(const struct sy_tokenizer *tok, const char *text, size_t n,
                            int32_t **ids, struct sy_err *err)
{
    return sy_tokenizer_encode_with(tok, text, n, &(struct sy_encode_options){0}, ids, err);
}
