/* Corpora and the sampler: files of all kinds and their faults, documents, the validation split,
 * synthetic text against its stated entropy, batches as pure functions. */
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/str.h"
#include "switchyard/data.h"
#include "unit/data_folder.h"
#include "unit/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

static struct sy_corpus *read_paths(const char *const *paths, int n, double val, struct sy_err *err)
{
    struct sy_text_options o = {.val = val};
    *err = (struct sy_err)SY_ERR_INIT;
    return sy_corpus_text(paths, n, &o, err);
}

static struct sy_corpus *read_one(const char *name, struct sy_err *err)
{
    return read_with(name, (struct sy_read_options){0}, err);
}

static void plain_files(void)
{
    put_text("a.txt", "one\n");
    put_text("empty.txt", "");
    put_text("noend.md", "two");
    is_text("a.txt", "one\n", NULL);
    refused("none.txt", SY_E_NOTFOUND, "none.txt");
    refused("empty.txt", SY_E_FORMAT, "empty.txt: file is empty");
    refused("*.tex", SY_E_NOTFOUND, "*.tex");

    struct sy_err err;
    const char *list[] = {in_folder("noend.md"), in_folder("a.txt"), in_folder("noend.md")};
    struct sy_corpus *c = read_paths(list, 3, 0, &err);
    tap_is_str(c ? text_of(c) : err.msg, "two\none\n", "a list, in its order, each file once");
    struct sy_document doc;
    tap_is_int(sy_corpus_documents(c), 2, "two documents");
    sy_corpus_document(c, 1, &doc, &err);
    tap_ok(doc.first == 4 && doc.tokens == 4 && doc.domain == -1 && doc.line == 0 &&
               strstr(doc.source, "/a.txt"),
           "the second is %s", doc.source);
    tap_ok(sy_corpus_document_at(c, 3) == 0 && sy_corpus_document_at(c, 4) == 1 &&
               sy_corpus_document_at(c, 8) == -1 && sy_corpus_document_at(c, -1) == -1,
           "tokens know their documents");
    tap_ok(sy_corpus_document(c, 2, &doc, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    int32_t id;
    tap_ok(sy_corpus_read(c, 8, 1, &id, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    sy_corpus_unref(c);
}

static void folders(void)
{
    struct sy_err err;
    sy_dir_make(in_folder("tree/b/c"), NULL);
    sy_dir_make(in_folder("bare"), NULL);
    put_text("tree/z.txt", "Z\n");
    put_text("tree/b/c/y.txt", "Y\n");
    put_text("tree/B.txt", "B\n");
    put_text("tree/b/empty.txt", "");
    put_text("tree/.hidden", "H\n");
    if (symlink("../..", in_folder("tree/b/up")) || symlink("z.txt", in_folder("tree/a-link")))
        tap_note("no links");
    is_text("tree", "B\nZ\nY\n", NULL);
    is_text("tree/*.txt", "B\nZ\n", NULL);
    refused("bare", SY_E_NOTFOUND, "holds no files");
    const char *twice[] = {in_folder("tree/z.txt"), in_folder("tree")};
    struct sy_corpus *c = read_paths(twice, 2, 0, &err);
    tap_is_str(text_of(c), "Z\nB\nY\n", "a file found again is left out");
    sy_corpus_unref(c);
}

static void compressed(void)
{
    unsigned char z[4096];
    char text[1200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "abc d\n"[i * i * 2654435761u % 8191 % 6];
    text[sizeof text - 1] = 0;
    size_t n = gzip(text, sizeof text - 1, z, sizeof z);
    put("t.gz", z, n);
    is_text("t.gz", text, NULL);
    memset(z + n, 0, 100);
    put("pad.gz", z, n + 100);
    is_text("pad.gz", text, NULL);
    memcpy(z + n, z, n);
    put("two.gz", z, 2 * n);
    struct sy_err err;
    struct sy_corpus *c = read_one("two.gz", &err);
    tap_is_int(c ? sy_corpus_tokens(c) : -1, 2 * ((int64_t)sizeof text - 1), "two members");
    sy_corpus_unref(c);
    put("trail.gz", z, n + 3);
    refused("trail.gz", SY_E_FORMAT, "trail.gz: truncated");
    int bad = 0;
    for (size_t k = 0; k < n; k++) {
        put("cut.gz", z, k);
        c = read_one("cut.gz", &err);
        bad += c || err.code != SY_E_FORMAT || !strstr(err.msg, "cut.gz: truncated");
    }
    tap_is_int(bad, 0, "every truncation of a .gz is refused: %s", err.msg);
    z[n / 2] ^= 0x10;
    put("bad.gz", z, n);
    refused("bad.gz", SY_E_FORMAT, "bad.gz: corrupt .gz");
    put_text("text.gz", "just text");
    refused("text.gz", SY_E_FORMAT, "text.gz: corrupt .gz");

    n = ZSTD_compress(z, sizeof z, text, sizeof text - 1, 3);
    put("t.zst", z, n);
    is_text("t.zst", text, NULL);
    bad = 0;
    for (size_t k = 0; k < n; k++) {
        put("cut.zst", z, k);
        c = read_one("cut.zst", &err);
        bad += c || err.code != SY_E_FORMAT || !strstr(err.msg, "cut.zst: truncated");
    }
    tap_is_int(bad, 0, "every truncation of a .zst is refused: %s", err.msg);
    put_text("text.zst", "just text");
    refused("text.zst", SY_E_FORMAT, "text.zst: corrupt .zst");

    struct sy_str big = SY_STR_INIT; /* over any buffer, both ways */
    for (int i = 0; i < 400000; i++)
        sy_str_printf(&big, "%d ", (int)(i * 7919ll % 100003));
    unsigned char *packed = malloc(big.len + 1000);
    put("big.gz", packed, gzip(big.data, big.len, packed, big.len + 1000));
    put("big.zst", packed, ZSTD_compress(packed, big.len + 1000, big.data, big.len, 1));
    put("big.txt", big.data, big.len);
    uint64_t hash[3] = {1, 2, 3};
    const char *names[] = {"big.gz", "big.zst", "big.txt"};
    for (int i = 0; i < 3; i++) {
        c = read_one(names[i], &err);
        hash[i] = c ? sy_corpus_hash(c) : hash[i];
        sy_corpus_unref(c);
    }
    tap_ok(hash[0] == hash[1] && hash[1] == hash[2], "%zu bytes hash alike in all packings",
           big.len);
    free(packed);
    sy_str_free(&big);
}

static void json_lines(void)
{
    unsigned char z[512];
    const char *lines =
        "{\"text\": \"first\\n\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"caf\\u00e9\"}\r\n"
        "{\"text\": \"\"}\n{\"text\": \"third\"}";
    put_text("l.jsonl", lines);
    is_text("l.jsonl", "first\ncaf\xc3\xa9\nthird", NULL);
    put("l.jsonl.gz", z, gzip(lines, strlen(lines), z, sizeof z));
    is_text("l.jsonl.gz", "first\ncaf\xc3\xa9\nthird", NULL);
    struct sy_err err;
    struct sy_document doc = {0};
    struct sy_corpus *c = read_one("l.jsonl", &err);
    tap_ok(c && sy_corpus_documents(c) == 3 && !sy_corpus_document(c, 2, &doc, &err) &&
               doc.line == 5,
           "the third document is of line 5");
    sy_corpus_unref(c);
    put_text("f.jsonl", "{\"text\": \"a\"}\n{\"body\": \"b\"}\n");
    refused("f.jsonl", SY_E_FORMAT, "f.jsonl: line 2: no field 'text'");
    put_text("n.jsonl", "{\"text\": 7}\n");
    refused("n.jsonl", SY_E_FORMAT, "n.jsonl: line 1: field 'text' is not a string");
    put_text("j.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"\n");
    refused("j.jsonl", SY_E_FORMAT, "j.jsonl: line 2: not JSON");
    put_text("s.jsonl", "\"text\"\n7\n");
    refused("s.jsonl", SY_E_FORMAT, "s.jsonl: line 2: neither a JSON object nor a string");
    put_text("e.jsonl", "\n\n");
    refused("e.jsonl", SY_E_FORMAT, "e.jsonl: file is empty");
    const char *path = in_folder("f.jsonl");
    struct sy_text_options o = {.read.field = "body"};
    err = (struct sy_err)SY_ERR_INIT;
    c = sy_corpus_text(&path, 1, &o, &err);
    tap_ok(!c && strstr(err.msg, "line 1: no field 'body'"), "%s", err.msg);
}

static void with_bpe(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *path = in_folder("tree");
    struct sy_bpe_options train = {.vocab = 258};
    put_text("tree/z.txt", "abababab abab");
    struct sy_tokenizer *tok = sy_bpe_train(&path, 1, &train, &err);
    struct sy_text_options o = {.tokenizer = tok};
    struct sy_corpus *c = tok ? sy_corpus_text(&path, 1, &o, &err) : NULL;
    int32_t eot = tok ? sy_tokenizer_eot(tok) : 0;
    int32_t want[] = {'B', '\n', eot, 256, 256, 256, 256, ' ', 256, 256, eot, 'Y', '\n'}, got[13];
    tap_ok(c && sy_corpus_tokens(c) == 13 && !sy_corpus_read(c, 0, 13, got, &err) &&
               !memcmp(got, want, sizeof want),
           "documents are divided by end-of-text (%d): %s", eot, err.msg);
    tap_ok(c && sy_corpus_document_at(c, 2) == 0 && sy_corpus_document_at(c, 3) == 1,
           "which belongs to the document before it");
    tap_ok(c && sy_corpus_tokenizer(c) == tok && sy_corpus_vocab(c) == 258, "tokenizer kept");
    sy_tokenizer_unref(tok);
    tap_is_int(c ? sy_tokenizer_size(sy_corpus_tokenizer(c)) : 0, 258, "and held");
    sy_corpus_unref(c);
}

/* Over one encoding group and with documents of all lengths: the same ids however it is cut. */
static void long_documents(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str text = SY_STR_INIT, lines = SY_STR_INIT;
    while (text.len < (size_t)9 << 20)
        sy_str_printf(&text, "Line %zu says nothing,\n\n  but says it twice.\nAnd on\n", text.len);
    for (int i = 0; i < 20000; i++)
        sy_str_printf(&lines, "{\"text\": \"line %d of many\"}\n", i);
    put("long.txt", text.data, text.len);
    put("many.jsonl", lines.data, lines.len);
    struct sy_bpe_options train = {.vocab = 400};
    struct sy_tokenizer *tok = sy_bpe_train_text(text.data, 20000, &train, &err);
    const char *paths[] = {in_folder("many.jsonl"), in_folder("long.txt")};
    struct sy_text_options o = {.tokenizer = tok};
    struct sy_corpus *c = sy_corpus_text(paths, 2, &o, &err);
    int32_t *ids = NULL, *got = NULL;
    int64_t n = sy_tokenizer_encode(tok, text.data, text.len, &ids, &err);
    struct sy_document doc = {0};
    bool same = c && sy_corpus_documents(c) == 20001 && !sy_corpus_document(c, 20000, &doc, &err) &&
                doc.tokens == n && (got = sy_alloc((size_t)n * sizeof *got)) &&
                !sy_corpus_read(c, doc.first, n, got, &err) &&
                !memcmp(got, ids, (size_t)n * sizeof *ids);
    tap_ok(same, "20001 documents, the last of %zu bytes: %s", text.len, err.msg);
    sy_free(got);
    sy_free(ids);
    sy_corpus_unref(c);
    sy_tokenizer_unref(tok);
    sy_str_free(&text);
    sy_str_free(&lines);
}

/* ---- split ---- */

static int64_t train_part(const char *const *texts, int n, double val)
{
    const char *paths[8];
    char name[16];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "split%d.txt", i);
        put_text(name, texts[i]);
        static char kept[8][256];
        snprintf(kept[i], sizeof kept[i], "%s", in_folder(name));
        paths[i] = kept[i];
    }
    struct sy_err err;
    struct sy_corpus *c = read_paths(paths, n, val, &err);
    int64_t train = c ? sy_corpus_train(c) : -1;
    sy_corpus_unref(c);
    return train;
}

static void split(void)
{
    const char *one[] = {"0123456789012345678901234567890123456789012345678901234567890123456"};
    tap_is_int(train_part(one, 1, 0.1), 60, "one document: floor(67 * 0.9) tokens to train on");
    tap_is_int(train_part(one, 1, 0), 67, "all without validation");
    const char *near[] = {"0123456789012345678901234567890123456789012345678901234567\n",
                          "12345678\n"};
    tap_is_int(train_part(near, 2, 0.1), 59, "a document's start nearby is taken");
    const char *far[] = {"01234567890123456789\n", "0123456789012345678901234567890123456789\n"};
    tap_is_int(train_part(far, 2, 0.1), 55, "none is near: within the document");
    struct sy_err err = SY_ERR_INIT;
    struct sy_text_options o = {.val = 1};
    tap_ok(!sy_corpus_string("abc", 3, &o, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    o.val = 0.5;
    tap_ok(!sy_corpus_string("", 0, &o, &err) && err.code == SY_E_FORMAT, "%s", err.msg);
    struct sy_corpus *c = sy_corpus_string("abcd", 4, &o, &err);
    tap_is_int(c ? sy_corpus_train(c) : -1, 2, "a string");
    sy_corpus_unref(c);
}

/* ---- synthetic text ---- */

/* -mean ln p of the transitions within documents, p counted from the text itself. */
static double empirical(const struct sy_corpus *c, int states, int order)
{
    int64_t v = sy_corpus_vocab(c), rows = (order == 2 ? v * states : v);
    double *count = calloc((size_t)(rows * states), sizeof *count), h = 0, total = 0;
    int32_t *ids = malloc((size_t)sy_corpus_tokens(c) * sizeof *ids);
    sy_corpus_read(c, 0, sy_corpus_tokens(c), ids, NULL);
    for (int64_t d = 0; d < sy_corpus_documents(c); d++) {
        struct sy_document doc;
        sy_corpus_document(c, d, &doc, NULL);
        for (int64_t i = doc.first + order; i < doc.first + doc.tokens; i++) {
            int64_t row =
                order == 2 ? ids[i - 2] * (int64_t)states + ids[i - 1] % states : ids[i - 1];
            count[row * states + ids[i] % states]++;
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int j = 0; j < states; j++)
            sum += count[r * states + j];
        for (int j = 0; j < states; j++)
            if (count[r * states + j] > 0)
                h -= count[r * states + j] * log(count[r * states + j] / sum);
        total += sum;
    }
    free(count);
    free(ids);
    return h / total;
}

static void entropy_of(struct sy_synthetic_options o, const char *what)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_corpus *c = sy_corpus_synthetic(&o, &err);
    if (!tap_ok(c != NULL, "%s: %s", what, err.msg))
        return;
    double said = sy_corpus_entropy(c, -1), seen = empirical(c, o.states, o.order ? o.order : 1);
    tap_ok(fabs(said - seen) < 0.01, "%s: %.4f nats stated, %.4f seen", what, said, seen);
    bool own = true;
    for (int64_t d = 0; d < sy_corpus_documents(c); d++) {
        struct sy_document doc;
        int32_t ids[4096];
        sy_corpus_document(c, d, &doc, NULL);
        sy_corpus_read(c, doc.first, doc.tokens, ids, NULL);
        for (int64_t i = 0; i < doc.tokens; i++)
            own = own && ids[i] / o.states == doc.domain;
    }
    tap_ok(own && sy_corpus_domains(c) == o.domains && sy_corpus_vocab(c) == o.domains * o.states &&
               sy_corpus_tokens(c) == o.tokens,
           "%s: every document keeps to its domain's tokens", what);
    struct sy_corpus *same = sy_corpus_synthetic(&o, &err);
    o.seed++;
    struct sy_corpus *other = sy_corpus_synthetic(&o, &err);
    tap_ok(sy_corpus_hash(same) == sy_corpus_hash(c) && sy_corpus_hash(other) != sy_corpus_hash(c),
           "%s: the seed decides", what);
    sy_corpus_unref(c);
    sy_corpus_unref(same);
    sy_corpus_unref(other);
}

static void synthetic(void)
{
    entropy_of(
        (struct sy_synthetic_options){.domains = 4, .tokens = 1000000, .states = 16, .seed = 1},
        "order 1");
    entropy_of((struct sy_synthetic_options){.domains = 2,
                                             .tokens = 1000000,
                                             .states = 8,
                                             .branch = 3,
                                             .order = 2,
                                             .document = 500,
                                             .seed = 2},
               "order 2");
    struct sy_synthetic_options o = {.domains = 1, .tokens = 100, .states = 5, .branch = 1};
    struct sy_err err = SY_ERR_INIT;
    struct sy_corpus *c = sy_corpus_synthetic(&o, &err);
    tap_ok(c && sy_corpus_entropy(c, 0) == 0, "one successor: no entropy");
    tap_ok(isnan(sy_corpus_entropy(c, 1)), "an unknown domain has none");
    sy_corpus_unref(c);
    o.branch = 6;
    tap_ok(!sy_corpus_synthetic(&o, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    o = (struct sy_synthetic_options){.domains = 0, .tokens = 100};
    tap_ok(!sy_corpus_synthetic(&o, &err) && err.code == SY_E_RANGE, "%s", err.msg);
}

/* ---- sampler ---- */

enum { B = 3, T = 7 };

#define FIELDS(tokens, targets, documents)                                                         \
    (struct sy_batch){.at = {[SY_FIELD_TOKENS] = tokens, [SY_FIELD_TARGETS] = targets,             \
                             [SY_FIELD_DOCUMENTS] = documents}}

static int64_t start_of(const struct sy_sampler *s, uint64_t number)
{
    return sy_sampler_start(s, &(struct sy_place){.windows = number}, 0);
}

static void purity(const struct sy_corpus *c)
{
    struct sy_sampler s = {.corpus = c, .batch = B, .context = T, .seed = 5};
    int32_t in[B * T], out[B * T], doc[B * T], again[B * T], wide[2 * B * T], next[2 * B * T];
    int64_t train = sy_corpus_train(c), low = train, high = 0;
    int bad = 0;
    for (int mode = SY_SAMPLE_RANDOM; mode <= SY_SAMPLE_SEQUENTIAL; mode++) {
        s.mode = (enum sy_sample_mode)mode;
        for (uint64_t step = 0; step < 300; step++) {
            struct sy_place p = {.windows = step * 2 * B}, q = {.windows = p.windows + 2 * B};
            int64_t first = step % 2 ? B : 0;
            sy_sampler_batch(&s, &p, first, &FIELDS(in, out, doc));
            sy_sampler_batch(&s, &q, 0, &FIELDS(again, next, NULL));
            sy_sampler_batch(&s, &p, first, &FIELDS(again, out, NULL));
            bad += memcmp(in, again, sizeof in) != 0;
            for (int r = 0; r < B; r++) {
                int64_t at = sy_sampler_start(&s, &p, first + r);
                int32_t ids[T + 1];
                low = at < low ? at : low;
                high = at > high ? at : high;
                bad += at < 0 || at + T + 1 > train || sy_corpus_read(c, at, T + 1, ids, NULL) ||
                       memcmp(ids, in + r * T, sizeof ids - 4) ||
                       memcmp(ids + 1, out + r * T, sizeof ids - 4) ||
                       at != start_of(&s, p.windows + (uint64_t)(first + r));
                for (int i = 0; i < T; i++)
                    bad += doc[r * T + i] != sy_corpus_document_at(c, at + i);
            }
        }
        tap_is_int(bad, 0, "mode %d: 300 batches: pure, in bounds, targets one on, documents",
                   mode);
    }
    struct sy_place p = {.windows = 9};
    s.mode = SY_SAMPLE_RANDOM;
    sy_sampler_batch(&s, &p, 0, &FIELDS(in, out, NULL));
    s.batch = 2 * B;
    sy_sampler_batch(&s, &p, 0, &FIELDS(wide, next, NULL));
    tap_ok(!memcmp(in, wide, sizeof in), "a larger batch keeps its first rows");
    s.batch = B;
    p.windows += B;
    sy_sampler_batch(&s, &p, 0, &FIELDS(in, out, NULL));
    tap_ok(!memcmp(in, wide + B * T, sizeof in), "and its others are those of the next");
    s.seed++;
    sy_sampler_batch(&s, &p, 0, &FIELDS(next, wide, NULL));
    tap_ok(memcmp(in, next, sizeof in) != 0, "another seed, another batch");
    tap_ok(low == 0 && high == train - T - 1, "starts from %lld to %lld of %lld tokens",
           (long long)low, (long long)high, (long long)train);
}

static void epochs(const struct sy_corpus *c)
{
    struct sy_sampler s = {
        .corpus = c, .mode = SY_SAMPLE_EPOCH, .batch = 1, .context = T, .seed = 3};
    int64_t w = sy_sampler_windows(&s), bad = 0, moved = 0;
    char *seen = calloc((size_t)w, 1);
    for (uint64_t epoch = 0; epoch < 5; epoch++) {
        memset(seen, 0, (size_t)w);
        int64_t offset = start_of(&s, epoch * (uint64_t)w) % T;
        for (int64_t i = 0; i < w; i++) {
            int64_t at = start_of(&s, epoch * (uint64_t)w + (uint64_t)i);
            moved += at / T != i;
            bad += at % T != offset || at / T >= w || seen[at / T]++;
        }
    }
    tap_is_int(bad, 0, "each of %lld windows once an epoch", (long long)w);
    tap_ok(moved > 4 * w, "and shuffled");
    free(seen);
}

/* Tokens of the training part that rows 0 .. n-1 of the place cover, each once: how many, or -1. */
static int64_t covered(const struct sy_sampler *s, const struct sy_place *p, int64_t n, char *seen)
{
    int64_t sum = 0;
    for (int64_t row = 0; row < n; row++)
        for (int64_t i = 0; i < s->context; i++)
            if (sum >= 0)
                sum = seen[sy_sampler_start(s, p, row) + i]++ ? -1 : sum + 1;
    return sum;
}

/* Another context within a pass: no token twice, and fewer than a window left out. */
static void turns(const struct sy_corpus *c)
{
    const int64_t contexts[] = {T, 2 * T + 1, 3, 5 * T, T};
    int64_t train = sy_corpus_train(c), sum = 0;
    char *seen = calloc((size_t)train, 1);
    struct sy_sampler s = {
        .corpus = c, .mode = SY_SAMPLE_SEQUENTIAL, .batch = 1, .context = T, .seed = 3};
    struct sy_place p = {0};
    for (int i = 0; i < 5; i++) {
        if (i)
            sy_place_turn(&s, &p);
        s.context = contexts[i];
        int64_t n = i < 4 ? 5 : (train - 1 - sum) / T; /* to the end of the text */
        int64_t more = covered(&s, &p, n, seen);
        sum = sum < 0 || more < 0 ? -1 : sum + more;
        p.windows += (uint64_t)n;
    }
    tap_ok(sum > train - 1 - T && sum < train,
           "sequential, five contexts: %lld of %lld tokens once", (long long)sum, (long long)train);
    tap_is_int(sy_place_epochs(&s, &p), 1, "in one pass");
    tap_is_int(sy_sampler_start(&s, &p, 0), 0, "then from the beginning");
    p.windows++;
    tap_is_int(sy_place_epochs(&s, &p), 2, "which is the second");

    s.mode = SY_SAMPLE_EPOCH;
    p = (struct sy_place){.windows = 10};
    sy_place_turn(&s, &p);
    s.context = 3;
    memset(seen, 0, (size_t)train);
    int64_t w = sy_sampler_windows(&s);
    tap_is_int(covered(&s, &p, w, seen), 3 * w, "epoch: another context begins a whole one");
    tap_is_int(sy_place_epochs(&s, &p), 1, "after that which it ends");
    tap_ok(sy_sampler_start(&s, &p, 0) != start_of(&s, 0) ||
               sy_sampler_start(&s, &p, 1) != start_of(&s, 1),
           "in an order of its own");
    free(seen);
}

/* Runs from before windows were counted: RANDOM by step, micro-batch and row. */
static void by_step(const struct sy_corpus *c)
{
    struct sy_sampler s = {.corpus = c, .batch = B, .context = T, .seed = 5};
    struct sy_rng r = {5, SY_RNG_DATA, 9};
    struct sy_place p = {.windows = 9 * 2 * B, .step = 9};
    uint64_t n = (uint64_t)(sy_corpus_train(c) - T);
    int bad = 0;
    for (int64_t row = 0; row < 2 * B; row++)
        bad += sy_sampler_start(&s, &p, row) !=
               (int64_t)sy_rng_below(&r, (uint64_t)(row / B) << 32 | (uint64_t)(row % B), n);
    tap_is_int(bad, 0, "draws of step 9 as they were");
}

static void evaluation(const struct sy_corpus *c)
{
    struct sy_sampler s = {.corpus = c, .split = SY_SPLIT_VAL, .batch = B, .context = T, .seed = 5};
    int32_t a[B * T], x[B * T], doc[B * T];
    int64_t first = sy_corpus_train(c), w = sy_sampler_windows(&s), bad = 0, moved = 0, seen = 0;
    char *known = calloc((size_t)w, 1);
    for (int64_t i = 0; i < w; i++) {
        int64_t at = sy_eval_start(&s, i) - first;
        bad += at < 0 || at % T || at / T >= w || known[at / T]++;
        moved += at / T != i;
    }
    tap_ok(!bad && moved > w / 2, "evaluation: each of %lld windows once, shuffled", (long long)w);
    tap_ok(sy_eval_windows(&s, 1000) == w && sy_eval_windows(&s, INT64_MAX) == w &&
               w < SY_EVAL_ROWS && sy_eval_windows(&s, 1) == w,
           "of which there are no more than that");
    s.context = 1;
    tap_is_int(sy_eval_windows(&s, 2), 2 * SY_EVAL_ROWS, "else %d a batch", SY_EVAL_ROWS);
    s.context = T;
    for (int64_t at = 0; at < w; at += B) {
        sy_eval_batch(&s, at, w, &FIELDS(a, x, doc));
        for (int j = 0; j < B * T; j++)
            bad += at + j / T < w
                       ? doc[j] != sy_corpus_document_at(c, sy_eval_start(&s, at + j / T) + j % T)
                       : x[j] != -1;
        seen += w - at < B ? w - at : B;
    }
    tap_ok(!bad && seen == w, "documents; what is over counts nothing");
    struct sy_sampler other = {.corpus = c, .split = SY_SPLIT_VAL, .mode = SY_SAMPLE_SEQUENTIAL,
                               .batch = 1, .context = T, .seed = 77};
    for (int64_t i = 0; i < w; i++)
        bad += sy_eval_start(&other, i) != sy_eval_start(&s, i);
    tap_is_int(bad, 0, "and none of it is of seed, mode or batch");
    free(known);
}

static void too_short(void)
{
    struct sy_err err = SY_ERR_INIT;
    char text[212];
    memset(text, 'x', sizeof text);
    struct sy_text_options o = {.val = 0};
    struct sy_corpus *c = sy_corpus_string(text, sizeof text, &o, &err);
    struct sy_sampler s = {.corpus = c, .batch = 1, .context = 256};
    tap_ok(sy_sampler_check(&s, &err) && err.code == SY_E_RANGE, "refused");
    tap_is_str(err.msg, "data: 212 training tokens are fewer than context 256 + 1",
               "in these words");
    err = (struct sy_err)SY_ERR_INIT;
    s.split = SY_SPLIT_VAL;
    tap_ok(sy_sampler_check(&s, &err) && strstr(err.msg, "0 validation tokens"), "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    s.split = SY_SPLIT_TRAIN;
    s.context = 211;
    int32_t in[211], out[211];
    tap_ok(!sy_sampler_check(&s, &err), "context 211 fits exactly %s", err.msg);
    struct sy_place place = {.windows = 77};
    sy_sampler_batch(&s, &place, 0, &FIELDS(in, out, NULL));
    tap_is_int(sy_sampler_start(&s, &place, 0), 0, "in one place");
    s.batch = 0;
    tap_ok(sy_sampler_check(&s, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    sy_corpus_unref(c);
}

static void sampling(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_synthetic_options o = {
        .domains = 3, .tokens = 1000, .document = 90, .val = 0.1, .seed = 4};
    struct sy_corpus *c = sy_corpus_synthetic(&o, &err);
    tap_is_int(sy_corpus_train(c), 900, "split at a document");
    purity(c);
    epochs(c);
    turns(c);
    by_step(c);
    evaluation(c);
    sy_corpus_unref(c);
    too_short();
}

/* ---- token files ---- */

static unsigned char shard[8192];
static size_t shard_len;

static void start_shard(void)
{
    shard_len = 0;
}

static void number(uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        shard[shard_len++] = (unsigned char)(v >> 8 * i);
}

static void llmc(uint32_t magic, uint32_t version, uint32_t said, int n, int size)
{
    start_shard();
    number(magic, 4);
    number(version, 4);
    number(said, 4);
    while (shard_len < 1024)
        number(0, 4);
    for (int i = 0; i < n; i++)
        number((uint64_t)(i * 11) + (size == 4 ? 70000 : 0), size);
}

static void megatron(const char *name)
{
    static const int length[] = {3, 2, 4};
    char file[64];
    start_shard();
    for (int i = 0; i < 9; i++)
        number((uint64_t)i + 5, 2);
    snprintf(file, sizeof file, "%s.bin", name);
    put(file, shard, shard_len);
    start_shard();
    memcpy(shard, "MMIDIDX\0\0", 9);
    shard_len = 9;
    number(1, 8);
    number(8, 1);
    number(3, 8);
    number(3, 8);
    for (int i = 0; i < 3; i++)
        number((uint64_t)length[i], 4);
    number(0, 8), number(6, 8), number(10, 8);
    number(0, 8), number(2, 8), number(3, 8);
    snprintf(file, sizeof file, "%s.idx", name);
    put(file, shard, shard_len);
}

static struct sy_corpus *read_shard(const char *name, int32_t vocab, struct sy_err *err)
{
    const char *path = in_folder(name);
    struct sy_shard_options o = {.vocab = vocab};
    *err = (struct sy_err)SY_ERR_INIT;
    return sy_corpus_shards(&path, 1, &o, err);
}

static void bad_shard(const char *name, int32_t vocab, const char *part)
{
    struct sy_err err;
    struct sy_corpus *c = read_shard(name, vocab, &err);
    tap_ok(!c && err.code == SY_E_FORMAT && strstr(err.msg, part), "%s: %s", sy_code_name(err.code),
           err.msg);
    sy_corpus_unref(c);
}

static void good_shard(const char *name, int32_t vocab, int64_t n, int32_t last, int32_t v)
{
    struct sy_err err;
    struct sy_corpus *c = read_shard(name, vocab, &err);
    int32_t id = -1;
    tap_ok(c && sy_corpus_tokens(c) == n && !sy_corpus_read(c, n - 1, 1, &id, &err) && id == last &&
               sy_corpus_vocab(c) == v,
           "%s: %lld tokens, vocabulary %d %s", name, (long long)n, v, err.msg);
    sy_corpus_unref(c);
}

static void shards(void)
{
    struct sy_err err;
    sy_dir_make(in_folder("bin"), NULL);
    llmc(20240520, 1, 20, 20, 2);
    put("gpt2.bin", shard, shard_len);
    put("bin/a.bin", shard, shard_len);
    good_shard("gpt2.bin", 0, 20, 209, 210);
    bad_shard("gpt2.bin", 200, "id 209 of token 19 is outside 0..199");
    put("cut.bin", shard, shard_len - 1);
    bad_shard("cut.bin", 0, "header says 20 tokens of 2 bytes, file has 1063 bytes");
    put("head.bin", shard, 1000);
    bad_shard("head.bin", 60000, "truncated");
    llmc(20240520, 2, 20, 20, 2);
    put("v2.bin", shard, shard_len);
    bad_shard("v2.bin", 0, "unknown version 2");
    llmc(20240520, 1, 0xffffffffu, 20, 2);
    put("neg.bin", shard, shard_len);
    bad_shard("neg.bin", 0, "header says -1 tokens");
    llmc(20240801, 7, 30, 30, 4);
    put("llama3.bin", shard, shard_len);
    put("bin/b.bin", shard, shard_len);
    good_shard("llama3.bin", 0, 30, 70319, 70320);
    good_shard("bin", 0, 50, 70319, 70320);
    start_shard();
    for (uint64_t i = 0; i < 600; i++)
        number(i % 65, 2);
    put("nano.bin", shard, shard_len);
    good_shard("nano.bin", 65, 600, 599 % 65, 65);
    bad_shard("nano.bin", 0, "give vocab=");
    bad_shard("nano.bin", 64, "id 64 of token 64");
    put("odd.bin", shard, 1199);
    bad_shard("odd.bin", 65, "1199 bytes");
    put("zero.bin", shard, 0);
    bad_shard("zero.bin", 65, "file is empty");

    megatron("mega");
    struct sy_document doc = {0};
    for (int i = 0; i < 2; i++)
        good_shard(i ? "mega.bin" : "mega.idx", 0, 9, 13, 14);
    good_shard("mega.*", 0, 9, 13, 14);
    struct sy_corpus *c = read_shard("mega.idx", 0, &err);
    tap_ok(c && sy_corpus_documents(c) == 2 && !sy_corpus_document(c, 1, &doc, &err) &&
               doc.first == 5 && doc.tokens == 4,
           "Megatron's documents are kept");
    sy_corpus_unref(c);
    int bad = 0;
    unsigned char good[256];
    size_t n = shard_len;
    memcpy(good, shard, n);
    for (size_t k = 0; k < n; k++) {
        put("mega.idx", good, k);
        c = read_shard("mega.idx", 0, &err);
        bad += c || err.code != SY_E_FORMAT;
    }
    tap_is_int(bad, 0, "every truncation of an index is refused: %s", err.msg);
    for (size_t k = 0; k < n; k++) {
        memcpy(shard, good, n);
        shard[k] = 0xff;
        put("mega.idx", shard, n);
        c = read_shard("mega.idx", 0, &err);
        bad += c || err.code != SY_E_FORMAT;
    }
    tap_is_int(bad, 0, "and 0xff in any byte of it: %s", err.msg);
}

static struct sy_corpus *read_all(struct sy_err *err)
{
    const char *paths[] = {in_folder("tree"), in_folder("t.gz"), in_folder("l.jsonl")};
    return read_paths(paths, 3, 0.1, err);
}

/* Of a batch that is looked at alone: the same mean as in training, whose step averages 1. */
static void averages(void)
{
    float w[4] = {0, 1, 2, 5}, none[2] = {0, 0};
    sy_weights_average(w, NULL, 4);
    sy_weights_average(none, NULL, 2);
    tap_ok(w[0] == 0 && w[1] == 0.5f && w[2] == 1 && w[3] == 2.5f, "weights are made to average 1");
    tap_ok(none[0] == 0 && none[1] == 0, "and where all are 0 they stay");
}

int main(void)
{
    if (!make_folder())
        return 99;
    sy_pool_threads(); /* its memory is not ours */
    plain_files();
    folders();
    compressed();
    json_lines();
    with_bpe();
    long_documents();
    split();
    synthetic();
    sampling();
    averages();
    shards();
    without_memory(read_all, "reading");
    remove_folder();
    return tap_done();
}
