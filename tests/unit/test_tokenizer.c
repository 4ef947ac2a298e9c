/* Tokenizers: splitting, training and encoding against plain implementations of the definition,
 * round trips, the file format and its hostile variants, running out of memory.
 *
 *     test_tokenizer TEXT PATTERN JSON IDS    for tests/peers/tokenizer.py: trains on a file (with
 *                                             the pattern "load" reads JSON instead), writes JSON
 *                                             and one id a line */
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "data/tokenizer/tokenizer_int.h"
#include "unit/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char sample[] =
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n"
    "First Citizen:\nYou are all resolved rather to die than to famish?\n\n  We'll see, won't we? "
    "12345 caf\xc3\xa9 \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x9a\x82\xf0\x9f\x9a\x82 "
    "\xc3\x89t\xc3\xa9\t"
    "aaaaaaaa aaaaaaa  aaaaa\r\n== == ======\n";

static struct sy_rng rng = {7, SY_RNG_USER, 0};
static uint64_t draws;

static uint64_t below(uint64_t n)
{
    return sy_rng_below(&rng, draws++, n);
}

static struct sy_tokenizer *train(const char *text, size_t n, int vocab, const char *pattern)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_bpe_options o = {.vocab = vocab, .pattern = pattern};
    struct sy_tokenizer *t = sy_bpe_train_text(text, n, &o, &err);
    if (!t)
        tap_note("%s", err.msg);
    return t;
}

/* Pieces of a text with '|' between them. */
static void pieces(struct sy_str *out, const char *regex, const char *text, size_t n, bool plain)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy__pattern *p = sy__pattern_new(regex, strlen(regex), &err);
    struct sy__splitter s = {0};
    sy_str_clear(out);
    sy_str_puts(out, "");
    if (!p || sy__splitter_init(&s, p, &err)) {
        sy_str_puts(out, err.msg);
        sy__pattern_free(p);
        return;
    }
    s.plain = plain;
    const char *word;
    size_t len;
    int more;
    sy__splitter_start(&s, text, n);
    while ((more = sy__splitter_next(&s, &word, &len, &err)) > 0) {
        sy_str_puts(out, len && out->len ? "|" : "");
        sy_str_add(out, word, len);
    }
    if (more < 0)
        sy_str_puts(out, err.msg);
    sy__splitter_free(&s);
    sy__pattern_free(p);
}

static void splitting(void)
{
    static const struct {
        const char *pattern, *text, *want;
    } golden[] = {
        {"qwen2", "Hello, world's 2024\n\n  x=1;\n",
         "Hello|,| world|'s| |2|0|2|4|\n\n| | x|=|1|;\n"},
        {"gpt-2", "Hello, world's 2024\n\n  x=1;\n", "Hello|,| world|'s| 2024|\n\n | x|=|1|;|\n"},
        {"llama-bpe", "I'LL pay 12345 $", "I|'LL| pay| |123|45| $"},
        {"gpt-4o", "HTTPServer isn't a/b\n", "HTTPServer| isn't| a|/b|\n"},
        {"qwen2", "(foo) .bar\tbaz", "(foo|)| .|bar|\tbaz"},
        {"qwen2",
         "a\xe1\xa0\x8e"
         "b c",
         "a|\xe1\xa0\x8e"
         "b| c"}, /* U+180E is no white space */
        {"gpt-2", "a\xff\xfe b\xc3", "a|\xff|\xfe| b|\xc3"},
        {"qwen2", "", ""},
    };
    struct sy_str a = SY_STR_INIT, b = SY_STR_INIT;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const char *re = sy__pattern_regex(golden[i].pattern);
        pieces(&a, re, golden[i].text, strlen(golden[i].text), false);
        tap_is_str(a.data, golden[i].want, "%s splits text %zu", golden[i].pattern, i + 1);
    }
    pieces(&a, "[0-9]+", "ab12cd", 6, false);
    tap_is_str(a.data, "ab|12|cd", "text that a pattern leaves out is a piece");
    pieces(&a, "x*", "abxx", 4, false);
    tap_is_str(a.data, "a|b|xx", "an empty match is a border");
    pieces(&a, "(", "ab", 2, false);
    tap_ok(strstr(a.data, "parenthesis") != NULL, "a bad pattern is refused: %s", a.data);
    pieces(&a, "(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 41, false);
    tap_ok(strstr(a.data, "limit") != NULL, "endless backtracking ends: %s", a.data);

    static const char *const alphabet[] = {
        "a",        "B", "z",   " ",  " ",  "'", "s",        "\n",   "\r",           "0", ".",
        "\xc3\xa9", "t", "'ll", "re", "\t", "(", "\xcc\x81", "\xff", "\xe4\xbd\xa0", "_"};
    char text[256];
    int bad = 0;
    for (int k = 0; k < 4000; k++) {
        size_t n = 0;
        for (uint64_t j = below(24); j > 0; j--) {
            const char *s = alphabet[below(sizeof alphabet / sizeof *alphabet)];
            memcpy(text + n, s, strlen(s));
            n += strlen(s);
        }
        const char *re = sy__pattern_regex(sy__pattern_names()[k % 4]);
        pieces(&a, re, text, n, false);
        pieces(&b, re, text, n, true);
        bad += a.len != b.len || memcmp(a.data, b.data, a.len);
    }
    tap_is_int(bad, 0, "the short cut for ASCII words splits as the pattern does");
    sy_str_free(&a);
    sy_str_free(&b);
}

/* Wherever a text may be cut, its parts split as the whole does. */
static void cutting(void)
{
    static const char *const alphabet[] = {"a", "b", "\n", "\n", " ",   ".",
                                           "'", "1", "\r", "/",  "\xff"};
    struct sy_str whole = SY_STR_INIT, a = SY_STR_INIT, b = SY_STR_INIT;
    int cuts = 0, bad = 0;
    for (int k = 0; k < 1200; k++) {
        const char *re = sy__pattern_regex(sy__pattern_names()[k % 4]);
        struct sy__pattern *p = sy__pattern_new(re, strlen(re), NULL);
        char text[40];
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = *alphabet[below(sizeof alphabet / sizeof *alphabet)];
        pieces(&whole, re, text, sizeof text, false);
        for (size_t want = 0, n; (n = sy__pattern_cut(p, text, sizeof text, want)) < sizeof text;
             want = n + 1, cuts++) {
            pieces(&a, re, text, n, false);
            pieces(&b, re, text + n, sizeof text - n, false);
            sy_str_puts(&a, "|");
            sy_str_add(&a, b.data, b.len);
            bad += a.len != whole.len || memcmp(a.data, whole.data, a.len);
        }
        sy__pattern_free(p);
    }
    tap_ok(bad == 0 && cuts > 500, "%d places to cut, %d of them wrong", cuts, bad);
    sy_str_free(&whole);
    sy_str_free(&a);
    sy_str_free(&b);
}

/* ---- the definition, done slowly ---- */

struct slow {
    int32_t *sym; /* all words; -1 ends each */
    size_t n;
};

static struct slow slow_words(const char *text, size_t n, const char *pattern)
{
    struct slow w = {malloc((2 * n + 1) * sizeof(int32_t)), 0};
    const char *re = sy__pattern_regex(pattern), *word;
    size_t len;
    struct sy__pattern *p = sy__pattern_new(re, strlen(re), NULL);
    struct sy__splitter s;
    sy__splitter_init(&s, p, NULL);
    s.plain = true;
    sy__splitter_start(&s, text, n);
    while (sy__splitter_next(&s, &word, &len, NULL) > 0) {
        for (size_t i = 0; i < len; i++)
            w.sym[w.n++] = (unsigned char)word[i];
        w.sym[w.n++] = -1;
    }
    sy__splitter_free(&s);
    sy__pattern_free(p);
    return w;
}

static void slow_merge(struct slow *w, int32_t a, int32_t b, int32_t c)
{
    size_t to = 0;
    for (size_t i = 0; i < w->n; i++, to++) {
        bool hit = w->sym[i] == a && i + 1 < w->n && w->sym[i + 1] == b;
        w->sym[to] = hit ? c : w->sym[i];
        i += hit;
    }
    w->n = to;
}

/* Most frequent pair, the lowest of equals; its count. */
static int slow_best(const struct slow *w, int32_t *a, int32_t *b)
{
    int best = 0;
    static int count[700][700];
    memset(count, 0, sizeof count);
    for (size_t i = 0; i + 1 < w->n; i++)
        if (w->sym[i] >= 0 && w->sym[i + 1] >= 0)
            count[w->sym[i]][w->sym[i + 1]]++;
    for (int32_t i = 0; i < 700; i++)
        for (int32_t j = 0; j < 700; j++)
            if (count[i][j] > best) {
                best = count[i][j];
                *a = i;
                *b = j;
            }
    return best;
}

static void training_is_the_definition(const char *text, size_t n, const char *pattern,
                                       const char *what)
{
    struct sy_tokenizer *t = train(text, n, 400, pattern);
    struct slow w = slow_words(text, n, pattern);
    int32_t a = 0, b = 0, merges = 0;
    bool same = t != NULL;
    while (same && merges < 400 - 257 && slow_best(&w, &a, &b) > 1) {
        same = merges < t->merges && t->merge[merges].left == a && t->merge[merges].right == b;
        slow_merge(&w, a, b, 256 + merges++);
    }
    tap_ok(same && merges == t->merges, "%s: %d merges as by the definition", what, merges);
    /* and the words as merged are what encoding gives */
    int32_t *ids = NULL;
    int64_t k = t ? sy_tokenizer_encode(t, text, n, &ids, NULL) : -1, at = 0;
    for (size_t i = 0; i < w.n && same; i++)
        if (w.sym[i] >= 0)
            same = at < k && ids[at++] == w.sym[i];
    tap_ok(same && at == k, "%s: encoding replays the merges", what);
    sy_free(ids);
    free(w.sym);
    sy_tokenizer_unref(t);
}

static void training(void)
{
    training_is_the_definition(sample, sizeof sample - 1, "qwen2", "sample, qwen2");
    training_is_the_definition(sample, sizeof sample - 1, "gpt-2", "sample, gpt-2");
    char text[4000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "aab b\n"[below(6)];
    training_is_the_definition(text, sizeof text, "qwen2", "ties and overlaps");
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 250 == 249 ? ' ' : "ab"[below(2)];
    training_is_the_definition(text, sizeof text, "gpt-2", "long words");
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)below(256);
    training_is_the_definition(text, sizeof text, "qwen2", "random bytes");
}

static void training_refuses(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_bpe_options o = {.vocab = 256};
    tap_ok(!sy_bpe_train_text("ab", 2, &o, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    o = (struct sy_bpe_options){.vocab = 300, .pattern = "gpt2"};
    tap_ok(!sy_bpe_train_text("ab", 2, &o, &err) && err.code == SY_E_NAME, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    o.pattern = NULL;
    tap_ok(!sy_bpe_train_text("", 0, &o, &err) && err.code == SY_E_FORMAT, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    const char *path = "/no/such/file";
    tap_ok(!sy_bpe_train(&path, 1, &o, &err) && err.code == SY_E_NOTFOUND, "%s", err.msg);
}

struct watch {
    double last;
    int calls, stop_at;
    bool falls;
};

static int watch(void *ctx, double fraction)
{
    struct watch *w = ctx;
    w->falls |= fraction < w->last || fraction > 1;
    w->last = fraction;
    return ++w->calls == w->stop_at;
}

static void progress(void)
{
    struct watch w = {0};
    struct sy_progress p = {watch, &w, NULL};
    struct sy_bpe_options o = {.vocab = 400, .progress = &p};
    struct sy_tokenizer *t = sy_bpe_train_text(sample, sizeof sample - 1, &o, NULL);
    tap_ok(t && !w.falls && w.last == 1, "progress rises to 1 in %d calls", w.calls);
    sy_tokenizer_unref(t);
    size_t live = sy_mem_live();
    int calls = w.calls, cancelled = 0;
    for (int i = 1; i <= calls; i++) {
        struct sy_err err = SY_ERR_INIT;
        w = (struct watch){.stop_at = i};
        cancelled +=
            !sy_bpe_train_text(sample, sizeof sample - 1, &o, &err) && err.code == SY_E_CANCELLED;
    }
    tap_is_int(cancelled, calls, "cancelled at every call");
    tap_ok(sy_mem_live() == live, "and nothing is left");
}

/* ---- round trips ---- */

static bool round_trip(const struct sy_tokenizer *t, const char *text, size_t n)
{
    struct sy_err err = SY_ERR_INIT;
    int32_t *ids = NULL;
    size_t len = 0;
    int64_t k = sy_tokenizer_encode(t, text, n, &ids, &err);
    char *back = k < 0 ? NULL : sy_tokenizer_decode(t, ids, k, &len, &err);
    bool same = back && len == n && !memcmp(back, text, n);
    if (!same)
        tap_note("%s", err.msg);
    sy_free(ids);
    sy_free(back);
    return same;
}

static void round_trips(const struct sy_tokenizer *t, const char *what)
{
    struct sy_str all = SY_STR_INIT;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char s[4];
        sy_str_add(&all, s, (size_t)sy_utf8_encode(c, s));
    }
    tap_ok(round_trip(t, all.data, all.len), "%s: all Unicode scalars (%zu bytes)", what, all.len);
    bool good = true;
    char text[300];
    for (int i = 0; i < 500 && good; i++) {
        size_t n = below(sizeof text + 1);
        for (size_t j = 0; j < n; j++)
            text[j] = i % 2 ? (char)below(256) : "\xc3\xa9\xe4\xbd\xa0\xff\xf0 a\n"[below(10)];
        good = round_trip(t, text, n);
    }
    tap_ok(good, "%s: 500 strings of random bytes", what);
    tap_ok(round_trip(t, "", 0), "%s: nothing", what);
    sy_str_free(&all);
}

static void bytes_tokenizer(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tokenizer *t = sy_tokenizer_bytes(&err);
    int32_t *ids = NULL, bad[] = {3, 256};
    int64_t n = sy_tokenizer_encode(t, "A\xff", 2, &ids, &err);
    tap_ok(sy_tokenizer_size(t) == 256 && n == 2 && ids[0] == 65 && ids[1] == 255,
           "a byte is its own id");
    tap_ok(!sy_tokenizer_decode(t, bad, 2, NULL, &err) && err.code == SY_E_RANGE, "%s", err.msg);
    tap_is_str(sy_tokenizer_kind(t), "bytes", "kind");
    tap_is_int(sy_tokenizer_eot(t), -1, "no end-of-text");
    round_trips(t, "bytes");
    sy_free(ids);
    sy_tokenizer_unref(t);
}

/* Longer than a task, with and without places to cut. */
static void many_threads(const char *pattern)
{
    struct sy_str text = SY_STR_INIT;
    struct sy_tokenizer *t = train(sample, sizeof sample - 1, 400, pattern);
    while (text.len < 2 << 20)
        if (below(3))
            sy_str_add(&text, sample, sizeof sample - 1);
        else
            sy_str_puts(&text, "\r\n \n\nxy\n\n\nword\n 'll  \nand\n");
    struct sy__ids one = {0};
    struct sy__encoder *e = sy__encoder_new(t, NULL, NULL);
    bool same = !sy__encode(e, text.data, text.len, &one, NULL);
    for (int threads = 1; threads <= 3; threads++) {
        int32_t *ids = NULL;
        sy_pool_set_threads(threads, NULL);
        int64_t n = sy_tokenizer_encode(t, text.data, text.len, &ids, NULL);
        same = same && n == one.len && !memcmp(ids, one.data, (size_t)n * sizeof *ids);
        sy_free(ids);
    }
    tap_ok(same, "%s: %lld ids are the same cut into tasks and under 1, 2 and 3 threads", pattern,
           (long long)one.len);
    uint64_t hash[2];
    for (int i = 0; i < 2; i++) {
        sy_pool_set_threads(1 + 2 * i, NULL);
        struct sy_tokenizer *again = train(text.data, text.len, 400, pattern);
        hash[i] = sy_tokenizer_hash(again);
        sy_tokenizer_unref(again);
    }
    tap_ok(hash[0] == hash[1], "training gives the same under 1 and 3 threads");
    sy__encoder_free(e);
    sy_free(one.data);
    sy_str_free(&text);
    sy_tokenizer_unref(t);
}

static void long_word(void)
{
    size_t n = 1 << 20;
    char *text = malloc(n);
    for (size_t i = 0; i < n; i++)
        text[i] = "aab"[below(3)];
    struct sy_tokenizer *t = train(text, 4096, 400, NULL);
    int32_t *ids = NULL;
    int64_t k = sy_tokenizer_encode(t, text, n, &ids, NULL);
    struct slow w = slow_words(text, n, "qwen2");
    for (int32_t r = 0; r < t->merges; r++)
        slow_merge(&w, t->merge[r].left, t->merge[r].right, t->merge[r].id);
    tap_ok(k == (int64_t)w.n - 1 && !memcmp(ids, w.sym, (size_t)k * sizeof *ids),
           "a word of a megabyte gives %lld ids, as merged rank by rank", (long long)k);
    sy_free(ids);
    free(w.sym);
    free(text);
    sy_tokenizer_unref(t);
}

/* ---- files ---- */

static void read_all(const char *path, struct sy_str *out)
{
    sy_str_clear(out);
    sy_file_read(path, 0, out, NULL);
}

static void same_after_saving(struct sy_tokenizer *t, const char *path, const char *what)
{
    struct sy_err err = SY_ERR_INIT;
    int rc = sy_tokenizer_save(t, path, &err);
    struct sy_tokenizer *back = rc ? NULL : sy_tokenizer_load(path, &err);
    tap_ok(back && sy_tokenizer_hash(back) == sy_tokenizer_hash(t) && back->eot == t->eot &&
               !strcmp(sy_tokenizer_pattern(back), sy_tokenizer_pattern(t)) &&
               !strcmp(sy_tokenizer_kind(back), sy_tokenizer_kind(t)),
           "%s: saved and loaded: %s", what, err.msg);
    sy_tokenizer_unref(back);
}

/* Parse; a failure must give one clear line.  Returns the code. */
static enum sy_code parse(const char *json, size_t n, struct sy_err *err)
{
    *err = (struct sy_err)SY_ERR_INIT;
    struct sy_tokenizer *t = sy_tokenizer_parse(json, n, "x.json", err);
    enum sy_code code = err->code;
    if (!t && (code == SY_E_OK || strncmp(err->msg, "tokenizer: ", 11) || strchr(err->msg, '\n')))
        return SY_E_STATE; /* no error, or not a clear one */
    sy_tokenizer_unref(t);
    return code;
}

static void replaced(const struct sy_str *json, const char *old, const char *new, enum sy_code want)
{
    struct sy_str s = SY_STR_INIT;
    struct sy_err err;
    const char *at = strstr(json->data, old);
    if (!at) {
        tap_ok(0, "the file holds %s", old);
        return;
    }
    sy_str_add(&s, json->data, (size_t)(at - json->data));
    sy_str_puts(&s, new);
    sy_str_puts(&s, at + strlen(old));
    enum sy_code code = parse(s.data, s.len, &err);
    tap_ok(code == want, "%s: %s", sy_code_name(code), code ? err.msg : new);
    sy_str_free(&s);
}

static void hostile(const struct sy_str *json)
{
    struct sy_err err;
    int bad = 0;
    for (size_t n = 0; n + 2 < json->len; n++)
        bad += parse(json->data, n, &err) != SY_E_FORMAT;
    tap_is_int(bad, 0, "every truncation of %zu bytes is refused in one line", json->len);
    char *copy = malloc(json->len);
    for (int i = 0; i < (tap_fast() ? 200 : 3000); i++) {
        memcpy(copy, json->data, json->len);
        for (uint64_t k = 1 + below(3); k > 0; k--)
            copy[below(json->len)] =
                (char)(below(2) ? "\"{}[]:,0 \\-"[below(11)] : (char)below(256));
        bad += parse(copy, json->len, &err) == SY_E_STATE;
    }
    tap_is_int(bad, 0, "damaged files are read or refused in one line");
    free(copy);
    replaced(json, "\"e r\"", "\"e r\", \"e r\"", SY_E_FORMAT);
    replaced(json, "\"e r\"", "\"e \xe4\xbd\xa0\"", SY_E_FORMAT);
    replaced(json, "\"e r\"", "\"er\"", SY_E_FORMAT);
    replaced(json, "\"e r\"", "[\"e\", \"r\"]", SY_E_OK);
    replaced(json, "\"e r\"", "[\"e\", 7]", SY_E_FORMAT);
    replaced(json, "\"e r\"", "\"z \xc4\xa0z\"", SY_E_FORMAT);
    replaced(json, "\"a\": 97", "\"a\": 98", SY_E_FORMAT);
    replaced(json, "\"a\": 97", "\"a\": -1", SY_E_FORMAT);
    replaced(json, "\"a\": 97", "\"a\": 97.0", SY_E_FORMAT);
    replaced(json, "\"a\": 97", "\"a\": 2147483647", SY_E_FORMAT);
    replaced(json, "\"a\": 97", "\"a\": 500", SY_E_OK);
    replaced(json, "\"a\": 97", "\"qq\": 97", SY_E_FORMAT);
    replaced(json, "\"BPE\"", "\"Unigram\"", SY_E_UNSUPPORTED);
    replaced(json, "\"dropout\": null", "\"dropout\": 0.1", SY_E_UNSUPPORTED);
    replaced(json, "\"normalizer\": null", "\"normalizer\": {\"type\": \"Nmt\"}", SY_E_UNSUPPORTED);
    replaced(json, "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", SY_E_OK);
    replaced(json, "\"normalizer\": null", "\"normalizer\": {\"type\": \"Replace\"}", SY_E_FORMAT);
    replaced(json, "\"normalizer\": null", "\"normalizer\": {\"type\": \"Sequence\"}",
             SY_E_UNSUPPORTED);
    replaced(json, "\"Isolated\"", "\"MergedWithNext\"", SY_E_OK);
    replaced(json, "\"Isolated\"", "\"Merged\"", SY_E_UNSUPPORTED);
    replaced(json, "\"Split\"", "\"UnicodeScripts\"", SY_E_UNSUPPORTED);
    replaced(json, "\"Regex\": \"", "\"Regex\": \"(", SY_E_FORMAT);
    replaced(json, "\"Regex\": \"", "\"Regex\": \"\\\\b", SY_E_UNSUPPORTED);
    replaced(json, "\"Regex\": \"", "\"String\": \"", SY_E_OK);
    replaced(json, "\"add_prefix_space\": false", "\"add_prefix_space\": true", SY_E_OK);
    replaced(json, "\"post_processor\": null", "\"post_processor\": {\"type\": \"X\"}",
             SY_E_UNSUPPORTED);
    replaced(json, "\"post_processor\": null",
             "\"post_processor\": {\"type\": \"RobertaProcessing\", \"cls\": [\"a\", 97], "
             "\"sep\": [\"b\", 98]}",
             SY_E_OK);
    replaced(json, "\"post_processor\": null",
             "\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"a\", 97], "
             "\"sep\": [\"b\", 9800]}",
             SY_E_FORMAT);
    replaced(json, "\"decoder\": {\"type\": \"ByteLevel\"", "\"decoder\": {\"type\": \"WordPiece\"",
             SY_E_UNSUPPORTED);
    replaced(json, "\"special\": true}", "\"special\": true}, {\"id\": 7, \"content\": \"new\"}",
             SY_E_FORMAT);
    replaced(json, "\"special\": true}", "\"special\": true}, {\"id\": 97, \"content\": \"a\"}",
             SY_E_OK);
    replaced(json, "\"merges\"", "\"murges\"", SY_E_FORMAT);
}

/* Fail each allocation in turn, as many as a run without failures makes.  Success is allowed: some
 * memory is wanted for speed only (JIT). */
static void without_memory(const struct sy_str *json)
{
    struct sy_err err;
    size_t live = sy_mem_live();
    uint64_t before = sy_mem_count();
    parse(json->data, json->len, &err);
    uint64_t n = sy_mem_count() - before, i;
    int wrong = 0, failed = 0;
    for (i = 1; i <= n; i++) {
        sy_mem_fail_at(i);
        enum sy_code code = parse(json->data, json->len, &err);
        failed += code == SY_E_MEMORY;
        wrong += code != SY_E_OK && code != SY_E_MEMORY;
        sy_mem_fail_at(0);
    }
    tap_ok(!wrong && failed > 20 && sy_mem_live() == live,
           "loading with each of %d allocations failing: %d errors, nothing left", (int)n, failed);
    n = 1;
    for (i = wrong = failed = 0; i <= n; i++) {
        struct sy_bpe_options o = {.vocab = 270};
        int32_t *ids = NULL;
        err = (struct sy_err)SY_ERR_INIT;
        before = sy_mem_count();
        sy_mem_fail_at(i); /* 0, the first time: none */
        struct sy_tokenizer *t = sy_bpe_train_text(sample, sizeof sample - 1, &o, &err);
        int64_t k = t ? sy_tokenizer_encode(t, sample, sizeof sample - 1, &ids, &err) : -1;
        sy_mem_fail_at(0);
        n = i ? n : sy_mem_count() - before;
        failed += k < 0;
        wrong += (k < 0) != (err.code == SY_E_MEMORY);
        sy_free(ids);
        sy_tokenizer_unref(t);
    }
    tap_ok(!wrong && failed > 20 && sy_mem_live() == live,
           "training, encoding with each of %d allocations failing: %d errors", (int)n, failed);
}

/* A model of characters with every kind of part that has memory of its own. */
static const char pieces_json[] =
    "{\"added_tokens\": [{\"id\": 0, \"content\": \"?\", \"special\": true},"
    " {\"id\": 8, \"content\": \"e\xcc\x81x\", \"special\": false, \"lstrip\": true}],"
    " \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"},"
    " {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"q+\"}, \"content\": \"a\"},"
    " {\"type\": \"Replace\", \"pattern\": {\"String\": \"..\"}, \"content\": \"b\"}]},"
    " \"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"_\"},"
    " \"post_processor\": {\"type\": \"RobertaProcessing\", \"cls\": [\"a\", 2], \"sep\": [\"b\", "
    "3]},"
    " \"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"_\"},"
    " \"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"fuse_unk\": true,"
    " \"vocab\": {\"?\": 0, \"_\": 1, \"a\": 2, \"b\": 3, \"_a\": 4, \"_ab\": 5, \"aa\": 6, "
    "\"\xc3\xa9\": 7},"
    " \"merges\": [\"_ a\", \"_a b\", \"a a\"]}}";

static void pieces_of_all_kinds(void)
{
    static const char text[] = "ab qq..  zzb e\xcc\x81x e\xcc\x81";
    static const int32_t want[] = {2, 5, 5, 1, 1, 0, 3, 8, 1, 7, 3}; /* the library's */
    const struct sy_encode_options o = {.special = true};
    int64_t n = 0, i, failed = 0, wrong = 0;
    size_t live = sy_mem_live();
    for (i = 0; i <= n; i++) {
        struct sy_err err = SY_ERR_INIT;
        int32_t *ids = NULL;
        uint64_t before = sy_mem_count();
        sy_mem_fail_at((uint64_t)i); /* 0, the first time: none */
        struct sy_tokenizer *t = sy_tokenizer_parse(pieces_json, sizeof pieces_json - 1, "x", &err);
        int64_t k = t ? sy_tokenizer_encode_with(t, text, sizeof text - 1, &o, &ids, &err) : -1;
        sy_mem_fail_at(0);
        n = i ? n : (int64_t)(sy_mem_count() - before);
        failed += k < 0;
        bool same = k == sizeof want / sizeof *want && !memcmp(ids, want, sizeof want);
        wrong += k < 0 ? err.code != SY_E_MEMORY : !same;
        sy_free(ids);
        sy_tokenizer_unref(t);
    }
    tap_ok(!wrong && failed > 40 && sy_mem_live() == live,
           "a model of characters, with each of %d allocations failing: %d errors, %d wrong",
           (int)n, (int)failed, (int)wrong);
    struct sy_str json = SY_STR_INIT;
    sy_str_puts(&json, pieces_json);
    replaced(&json, "\"unk_token\": \"?\", ", "", SY_E_UNSUPPORTED);
    replaced(&json, "\"id\": 8", "\"id\": 11", SY_E_FORMAT);
    replaced(&json, "\"q+\"", "\"q{2}+\"", SY_E_UNSUPPORTED);
    replaced(&json, "\"decoder\": {", "\"decoder\": null, \"d\": {", SY_E_OK);
    sy_str_free(&json);
}

static void files(void)
{
    char path[] = "/tmp/sy_tokenizer_XXXXXX";
    struct sy_str json = SY_STR_INIT;
    struct sy_err err = SY_ERR_INIT;
    int fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    struct sy_tokenizer *bytes = sy_tokenizer_bytes(NULL);
    struct sy_tokenizer *gpt2 = train(sample, sizeof sample - 1, 320, "gpt-2");
    struct sy_tokenizer *qwen = train(sample, sizeof sample - 1, 290, NULL);
    same_after_saving(bytes, path, "bytes");
    same_after_saving(gpt2, path, "gpt-2");
    same_after_saving(qwen, path, "qwen2");
    read_all(path, &json);
    hostile(&json);

    without_memory(&json);

    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(!sy_tokenizer_load("/no/such.json", &err) && err.code == SY_E_NOTFOUND, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_tokenizer_save(qwen, "/no/such/x.json", &err) && err.code != SY_E_OK, "%s", err.msg);
    unlink(path);
    sy_str_free(&json);
    sy_tokenizer_unref(bytes);
    sy_tokenizer_unref(gpt2);
    sy_tokenizer_unref(qwen);
}

static int for_peer(char **argv)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str text = SY_STR_INIT;
    struct sy_bpe_options o = {.vocab = 2000, .pattern = argv[2]};
    struct sy_tokenizer *t = NULL;
    int32_t *ids = NULL;
    int64_t n = -1;
    bool load = !strcmp(argv[2], "load");
    if (!sy_file_read(argv[1], 0, &text, &err))
        t = load                       ? sy_tokenizer_load(argv[3], &err)
            : strcmp(argv[2], "bytes") ? sy_bpe_train_text(text.data, text.len, &o, &err)
                                       : sy_tokenizer_bytes(&err);
    if (t && (load || !sy_tokenizer_save(t, argv[3], &err)))
        n = sy_tokenizer_encode(t, text.data, text.len, &ids, &err);
    FILE *out = n < 0 ? NULL : fopen(argv[4], "w");
    for (int64_t i = 0; out && i < n; i++)
        fprintf(out, "%d\n", ids[i]);
    if (out)
        fclose(out);
    fprintf(stderr, "%s\n", err.msg);
    sy_free(ids);
    sy_tokenizer_unref(t);
    sy_str_free(&text);
    return !out;
}

int main(int argc, char **argv)
{
    if (argc == 5)
        return for_peer(argv);
    splitting();
    cutting();
    training();
    training_refuses();
    progress();
    bytes_tokenizer();
    struct sy_tokenizer *t = train(sample, sizeof sample - 1, 400, NULL);
    round_trips(t, "bpe");
    sy_tokenizer_unref(t);
    for (int i = 0; i < 4; i++)
        many_threads(sy__pattern_names()[i]);
    long_word();
    pieces_of_all_kinds();
    files();
    return tap_done();
}
