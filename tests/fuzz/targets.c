/* One function a reader.  Most readers want files: they get them in a folder of their own, in
 * memory where the system has such a place. */
#include "fuzz/fuzz.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "data/pairs/catalogue_int.h"
#include "data/pairs/help_page_int.h"
#include "run/series_codec.h"
#include "run/store.h"
#include "switchyard/data.h"
#include "switchyard/io.h"
#include "switchyard/pairs.h"
#include "switchyard/tokenizer.h"
#include "train/checkpoint.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST ((uint64_t)1 << 20) /* bytes that are read of an array */

static char root[64];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind, (void)f;
    return remove(path);
}

static void remove_root(void) { nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

const char *fuzz_path(const char *name)
{
    static char path[4][256];
    static int at;
    if (!root[0]) {
        snprintf(root, sizeof root, "%s/sy-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        if (!mkdtemp(root))
            abort();
        atexit(remove_root);
    }
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", root, name);
    return path[at];
}

static const char *put(const char *name, const void *data, size_t n)
{
    const char *path = fuzz_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f))
        abort();
    return path;
}

static void json(const uint8_t *data, size_t n)
{
    struct sy_err err = SY_ERR_INIT;
    sy_json_free(sy_json_parse((const char *)data, n, &err));
    sy_json_free(sy_json_parse_loose((const char *)data, n, &err));
}

static void safetensors(const uint8_t *data, size_t n)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_st *st = sy_st_open(put("x.safetensors", data, n), &err);
    for (int64_t i = 0; st && i < sy_st_count(st); i++) {
        const struct sy_array *a = sy_st_at(st, i);
        void *to = a->bytes <= MOST ? sy_alloc(a->bytes + 1) : NULL;
        if (to)
            sy_st_read(st, a, to, NULL);
        sy_free(to);
        if (sy_st_find(st, a->name) != a)
            abort();
    }
    if (st)
        sy_st_meta(st, "format");
    sy_st_close(st);
}

static void npy(const uint8_t *data, size_t n)
{
    struct sy_npy *x = sy_npy_open(put("x.npy", data, n), NULL);
    void *to = x && sy_npy_info(x)->bytes <= MOST ? sy_alloc(sy_npy_info(x)->bytes + 1) : NULL;
    if (to)
        sy_npy_read(x, to, NULL);
    sy_free(to);
    sy_npy_close(x);
}

static void tokenizer(const uint8_t *data, size_t n)
{
    static const char text[] = "It's 1984, caf\xc3\xa9\n\n  <|endoftext|> the end\xff";
    struct sy_err err = SY_ERR_INIT;
    struct sy_tokenizer *t = sy_tokenizer_parse((const char *)data, n, "fuzz", &err);
    int32_t *ids = NULL;
    size_t length;
    int64_t count = t ? sy_tokenizer_encode(t, text, sizeof text - 1, &ids, NULL) : -1;
    if (count >= 0)
        sy_free(sy_tokenizer_decode(t, ids, count, &length, NULL));
    sy_free(ids);
    sy_tokenizer_unref(t);
}

/* The first byte says whether it is a .bin (or whatever its content says), or an .idx beside one,
 * and as what it is read. */
static void shards(const uint8_t *data, size_t n)
{
    static const uint8_t tokens[64] = {1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0};
    struct sy_shard_options o = {.vocab = n && data[0] & 2 ? 0 : 300, .val = 0.1};
    if (!n)
        return;
    o.format = (enum sy_shard_format)((data[0] >> 4) % 5);
    bool index = data[0] & 1;
    remove(fuzz_path("x.idx"));
    const char *path = put("x.bin", index ? tokens : data + 1, index ? sizeof tokens : n - 1);
    if (index)
        path = put("x.idx", data + 1, n - 1);
    sy_corpus_unref(sy_corpus_shards(&path, 1, &o, NULL));
}

/* The first byte chooses the name, the format, and whether bad items are passed over. */
static void reading(const uint8_t *data, size_t n)
{
    static const char *const names[] = {"x.txt", "x.jsonl", "x.json", "x.JSON.GZ", "x.zst", "x"};
    struct sy_text_options o = {.val = 0.1, .read.unpack_max = 1 << 20};
    bool plain;
    if (!n)
        return;
    o.read.skip = data[0] & 8;
    o.read.format = (enum sy_read_format)(data[0] >> 4 & 3);
    o.read.field = data[0] & 64 ? "body" : NULL;
    const char *path = put(names[(data[0] & 7) % 6], data + 1, n - 1);
    struct sy_corpus *c = sy_corpus_text(&path, 1, &o, NULL);
    if (c && !sy_corpus_reading(c, &plain))
        abort();
    sy_corpus_unref(c);
}

/* The first byte says whether it is state.json, or a MANIFEST up to its sum, which is made
 * right. */
static void checkpoint(const uint8_t *data, size_t n)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_saved saved;
    struct sy_str s = SY_STR_INIT;
    char hex[17];
    if (n && data[0] & 1) {
        sy_image_free(sy__state_parse((const char *)data + 1, n - 1, &err));
        return;
    }
    sy_str_add(&s, n ? data + 1 : data, n ? n - 1 : 0);
    sy_hash_hex(sy_hash_bytes(s.data, s.len), hex);
    sy_str_printf(&s, ",\"sum\":\"%s\"}\n", hex);
    mkdir(fuzz_path("step-000005"), 0700);
    put("step-000005/MANIFEST", s.data, s.len);
    put("step-000005/state.json", "{}", 2);
    sy_checkpoint_verify(fuzz_path("step-000005"), &saved, &err);
    sy_image_free(sy_checkpoint_read(fuzz_path("step-000005"), NULL));
    sy_str_free(&s);
}

/* A chunk of a series, whose sum is made right: the width of the series, low and high byte, then
 * its bytes. */
static void chunk(const uint8_t *data, size_t n)
{
    static int64_t steps[SY_CHUNK_ROWS];
    if (n < 2 + 24)
        return;
    int width = data[0] + 256 * data[1];
    uint8_t *b = sy_alloc(n - 2);
    if (!b)
        return;
    memcpy(b, data + 2, n - 2);
    memset(b + 12, 0, 4);
    memcpy(b + 12, &(uint32_t){(uint32_t)sy_hash_bytes(b, n - 2)}, 4);
    int64_t count = sy__chunk_values(b, n - 2, width, NULL);
    if (count > (int64_t)n * SY_CHUNK_RATIO)
        abort();
    float *values = count > 0 ? sy_alloc((size_t)count * sizeof *values) : NULL;
    if (values)
        sy__chunk_decode(b, n - 2, width, steps, values, NULL);
    sy_free(values);
    sy_free(b);
}

static void read_series(struct sy_store *s)
{
    int count = 0;
    struct sy_store_series *list = sy_store_series(s, &count, NULL);
    for (int i = 0; list && i < count && i < 8; i++) {
        struct sy_history h = {0};
        if (!sy_store_history(s, list[i].name, -1, 0, INT64_MAX, &h, NULL))
            sy_history_free(&h);
    }
    sy_store_series_free(list, count);
}

static void store(const uint8_t *data, size_t n)
{
    struct sy_store_info info;
    mkdir(fuzz_path("run"), 0700);
    remove(fuzz_path("run/run.sqlite-wal"));
    remove(fuzz_path("run/run.sqlite-shm"));
    put("run/run.sqlite", data, n);
    char dir[64];
    snprintf(dir, sizeof dir, "%s", root);
    struct sy_store *s = sy_store_open_read(dir, "run", NULL);
    if (!s)
        return;
    if (!sy_store_info(s, &info, NULL))
        sy_store_info_free(&info);
    read_series(s);
    for (int t = SY_STORE_JOURNAL; t <= SY_STORE_CODE; t++) {
        struct sy_store_entries e = {0};
        if (!sy_store_entries(s, (enum sy_store_table)t, 0, true, &e, NULL))
            sy_store_entries_free(&e);
    }
    sy_store_close(s, NULL);
}

static int check_message(void *ctx, const char *message, size_t n, const char *translation,
                         size_t n2, struct sy_err *err)
{
    size_t *bytes = ctx;
    (void)err;
    if (!n || !n2 || sy_utf8_valid(message, n) < n || sy_utf8_valid(translation, n2) < n2)
        abort();
    *bytes += n + n2;
    return 0;
}

#define WIDER 8 /* times as many bytes as in another character set UTF-8 has at most */

static void catalogue(const uint8_t *data, size_t n)
{
    size_t bytes = 0;
    int64_t bad = 0;
    struct sy_err err = SY_ERR_INIT;
    int rc = sy__catalogue_read((const char *)data, n, "fuzz", check_message, &bytes, &bad, &err);
    if ((rc && !err.code) || bytes > 2 * WIDER * n || bad > (int64_t)n)
        abort();
}

static void help_page(const char *html, size_t n)
{
    struct sy__help_page page = {0};
    if (!sy__help_page_read(&page, html, n, NULL))
        for (int64_t i = 0; i < page.n; i++)
            if (page.element[i].at + page.element[i].n > page.text.len)
                abort();
    if (page.text.len > n)
        abort();
    sy__help_page_free(&page);
}

/* The first byte says whether it is a table, or two files, each half of the rest, whose rows are
 * asked for; or a page of help. */
static void pairs(const uint8_t *data, size_t n)
{
    struct sy_pair_options o = {.val = 0.2, .unpack_max = 1 << 20};
    struct sy_packing packing;
    if (!n)
        return;
    if (data[0] & 32) {
        help_page((const char *)data + 1, n - 1);
        return;
    }
    bool table = data[0] & 1;
    size_t half = 1 + (n - 1) / 2;
    o.cut = data[0] & 2;
    o.tag = data[0] & 4 ? "{from}>{to}" : NULL;
    const char *from = data[0] & 8 ? "en" : NULL, *paths[2] = {NULL, NULL};
    paths[0] = put(table ? "x.tsv" : "x.de", data + 1, table ? n - 1 : half - 1);
    if (!table)
        paths[1] = put("x.en", data + half, n - half);
    struct sy_corpus *c = sy_corpus_pairs(paths, table ? 1 : 2, from, NULL, &o, NULL);
    if (c && sy_corpus_pair_count(c) < 1)
        abort();
    if (c)
        sy_corpus_packing(c, SY_SPLIT_TRAIN, data[0] & 16 ? 32 : 0, 48, &packing, NULL);
    sy_corpus_unref(c);
}

const struct fuzz_target fuzz_targets[] = {
    {"json", json},     {"safetensors", safetensors}, {"npy", npy},     {"tokenizer", tokenizer},
    {"shards", shards}, {"checkpoint", checkpoint},   {"chunk", chunk}, {"store", store},
    {"reading", reading}, {"catalogue", catalogue},   {"pairs", pairs},
    {NULL, NULL}};
