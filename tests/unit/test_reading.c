/* What files are read as: by content and by name, JSON as other programs write it, what is refused
 * and what is left out, how much a packed file may become, separate files for validation, token
 * arrays. */
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "switchyard/data.h"
#include "unit/data_folder.h"
#include "unit/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define MARK "\xEF\xBB\xBF"

/* ---- names ---- */

#define LINES "{\"text\": \"one\"}\n{\"text\": \"two\"}\n"

static void names(void)
{
    static const char *const lines[] = {"a.jsonl", "a.JSONL", "a.ndjson", "a.NDJson", "a.json",
                                        "a.Json"};
    for (size_t i = 0; i < 6; i++) {
        put_text(lines[i], LINES);
        is_text(lines[i], "one\ntwo", "1 file as JSON lines, field 'text'");
    }
    put_gzip("a.json.gz", LINES, strlen(LINES));
    is_text("a.json.gz", "one\ntwo", "JSON lines");
    put_gzip("a.JSONL.GZ", LINES, strlen(LINES));
    is_text("a.JSONL.GZ", "one\ntwo", "JSON lines");
    put_gzip("packed.jsonl", LINES, strlen(LINES));
    is_text("packed.jsonl", "one\ntwo", "JSON lines");
    put_gzip("packed", "text\n", 5);
    is_text("packed", "text\n", "1 file as text");
    char z[128];
    put("packed.ndjson", z, ZSTD_compress(z, sizeof z, LINES, strlen(LINES), 3));
    is_text("packed.ndjson", "one\ntwo", "JSON lines");
    put_text("like.txt", LINES);
    is_text("like.txt", LINES, "1 file as text; 1 looks like JSON lines");
    is_with("like.txt", (struct sy_read_options){.format = SY_READ_JSON}, "one\ntwo", "JSON lines");
    is_with("a.json", (struct sy_read_options){.format = SY_READ_TEXT}, LINES, "1 file as text");
    refused_with("packed", (struct sy_read_options){.field = "body"}, SY_E_RANGE, "field 'body'");

    struct sy_err err;
    bool plain = false;
    put_text("plain.txt", "plain\n");
    struct sy_corpus *c = read_with("plain.txt", (struct sy_read_options){0}, &err);
    tap_ok(c && sy_corpus_reading(c, &plain) && plain, "one plain text: nothing worth saying");
    sy_corpus_unref(c);
    sy_dir_make(in_folder("mixed"), NULL);
    put_text("mixed/a.jsonl", LINES);
    put_text("mixed/b.ndjson", LINES);
    put_text("mixed/c.json", "[\"three\"]");
    put_text("mixed/d.txt", "four\n");
    put_text("mixed/e.md", "five\n");
    is_text("mixed", "one\ntwo\none\ntwo\nthree\nfour\nfive\n",
            "2 files as JSON lines, field 'text'; 1 as JSON, field 'text'; 2 as text");
}

/* ---- marks, and JSON of the real world ---- */

static void marks(void)
{
    put_text("mark.txt", MARK "text\n");
    is_text("mark.txt", "text\n", "1 file as text");
    put_text("mark.jsonl", MARK LINES MARK LINES);
    is_text("mark.jsonl", "one\ntwo\none\ntwo", "JSON lines");
    put_text("mark.json", MARK "\n[\"one\"]");
    is_text("mark.json", "one", "1 file as JSON, field");
    put_text("inside.txt", "a" MARK "b");
    is_text("inside.txt", "a" MARK "b", "text");
    put_text("only.txt", MARK);
    refused("only.txt", SY_E_FORMAT, "only.txt: file is empty");
    is_with("mark.txt", (struct sy_read_options){.format = SY_READ_BYTES}, MARK "text\n",
            "1 file as bytes");
    struct sy_err err;
    struct sy_corpus *with = read_with("mark.txt", (struct sy_read_options){0}, &err);
    put_text("without.txt", "text\n");
    struct sy_corpus *without = read_with("without.txt", (struct sy_read_options){0}, &err);
    tap_ok(with && without && sy_corpus_hash(with) == sy_corpus_hash(without),
           "the same fingerprint with and without a mark");
    sy_corpus_unref(with);
    sy_corpus_unref(without);
}

static void real_lines(void)
{
    const struct sy_read_options skip = {.skip = true};
    put_text("nan.jsonl", "{\"text\":\"a\",\"s\":NaN}\n{\"text\":\"b\",\"s\":-Infinity}\n"
                          "{\"text\":\"c\",\"s\":[Infinity,1e999],\"t\":1,\"t\":2}\n");
    is_text("nan.jsonl", "a\nb\nc", "JSON lines");
    put_text("dup.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\",\"text\":\"c\"}\n{\"text\":\"d\"}\n");
    refused("dup.jsonl", SY_E_FORMAT, "dup.jsonl: line 2: field 'text' stands there twice");
    is_with("dup.jsonl", skip, "a\nd", "1 bad line passed over");
    put_text("bad.jsonl",
             "{\"text\":\"a\"}\n{\"text\":\"b\n{\"text\":null}\n\n{\"body\":\"x\"}\n[1]\n"
             "{\"text\":\"\\ud800\"}\n{\"text\":\"z\"}\n{\"te");
    refused("bad.jsonl", SY_E_FORMAT, "bad.jsonl: line 2: not JSON");
    is_with("bad.jsonl", skip, "a\nz", "6 bad lines passed over (");
    is_with("bad.jsonl", skip, "a\nz", "bad.jsonl: line 2: not JSON");
    put("zeros.jsonl", "{\"text\":\"a\"}\n\0\0\0\0\n{\"text\":\"b\"}\n", 31);
    refused("zeros.jsonl", SY_E_FORMAT, "zeros.jsonl: line 2: not JSON");
    is_with("zeros.jsonl", skip, "a\nb", "1 bad line");
    put_text("all.jsonl", "{\n{\n");
    refused_with("all.jsonl", skip, SY_E_FORMAT, "all.jsonl: line 1: not JSON");
    put_text("fields.jsonl", "{\"body\": \"a\", \"id\": 2}\n");
    refused("fields.jsonl", SY_E_FORMAT, "no field 'text' (it has 'body', 'id')");
    is_with("fields.jsonl", (struct sy_read_options){.field = "body"}, "a", "field 'body'");
    put_text("strings.jsonl", "\"a\"\n\"b\"\n");
    is_text("strings.jsonl", "a\nb", "JSON lines");
    refused_with("strings.jsonl", (struct sy_read_options){.field = "text"}, SY_E_FORMAT,
                 "line 1: not a JSON object");
}

static void arrays(void)
{
    const struct sy_read_options skip = {.skip = true};
    static const char text[] =
        "[\n {\"text\": \"o[ne\", \"x\": [1, {\"y\": \"}]\"}]},\n\n \"t,w\\\"o\",\n"
        " {\"text\": \"three\"}\n]\n";
    put_text("a1.json", text);
    is_text("a1.json", "o[ne\nt,w\"o\nthree", "1 file as JSON, field 'text'");
    struct sy_err err;
    struct sy_document doc = {0};
    struct sy_corpus *c = read_with("a1.json", (struct sy_read_options){0}, &err);
    tap_ok(c && !sy_corpus_document(c, 2, &doc, &err) && doc.line == 5, "the third is of line %d",
           (int)doc.line);
    sy_corpus_unref(c);
    put_text("a2.json", "[\"a\", {\"no\": 1},\n 7, \"b\", [\"c\"]]");
    refused("a2.json", SY_E_FORMAT, "a2.json: line 1: no field 'text'");
    is_with("a2.json", skip, "a\nb", "3 bad lines");
    put_text("a3.json", "[]");
    refused("a3.json", SY_E_FORMAT, "a3.json: file is empty");
    static const char *const broken[] = {"[\"a\"",   "[\"a\",",     "[\"a\"]]", "[\"a\"}\"b\"]",
                                         "[\"a\",]", "[\"a\" \"b\"]", "[",      "[\"a\"] \"b\""};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put_text("a4.json", broken[i]);
        refused("a4.json", SY_E_FORMAT, "a4.json: line 1: not JSON");
    }
    put_text("a4.json", "[\"a\", \"b\"");
    is_with("a4.json", skip, "a", "the array does not end");
    put_text("one.json", "{\n  \"id\": 1,\n  \"text\": \"one\"\n}\n");
    is_text("one.json", "one", "1 file as JSON, field");
    put_text("cut.json", "{\"text\": \"one\n{\"text\": \"two\"}\n");
    refused("cut.json", SY_E_FORMAT, "cut.json: line 1: not JSON");
    is_with("cut.json", skip, "two", "1 bad line");
    int bad = 0, read = 0;
    for (size_t n = 0; n < sizeof text - 2; n++) {
        put("t.json", text, n);
        c = read_with("t.json", (struct sy_read_options){0}, &err);
        bad += !c && err.code != SY_E_FORMAT;
        read += c != NULL;
        sy_corpus_unref(c);
    }
    tap_ok(!bad && read == 0, "every truncation of an array is refused: %s", err.msg);
}

/* ---- what is no text ---- */

static size_t put_head(const char *name, const char *magic, size_t n)
{
    char file[600] = {0};
    memcpy(file, magic, n);
    put(name, file, sizeof file);
    return n;
}
#define HEAD(name, magic) put_head(name, magic, sizeof magic - 1)

static void binary(void)
{
    HEAD("x.npy", "\x93NUMPY\1");
    refused("x.npy", SY_E_FORMAT, "x.npy is an .npy array: tensor.load reads it, and data.shards");
    HEAD("x.npz", "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0a.npy");
    refused("x.npz", SY_E_FORMAT, "x.npz is an .npz archive of arrays: unpack it first");
    HEAD("x", "PK\3\4\0\0\0\0");
    refused("x", SY_E_FORMAT, "is a zip archive");
    HEAD("m.safetensors", "\x20\0\0\0\0\0\0\0{\"a\":");
    refused("m.safetensors", SY_E_FORMAT, "is a safetensors file: tensor.load reads it");
    HEAD("renamed.txt", "\x20\0\0\0\0\0\0\0{\"a\":");
    refused("renamed.txt", SY_E_FORMAT, "is a safetensors file");
    HEAD("m.gguf", "GGUF\3\0\0\0");
    refused("m.gguf", SY_E_FORMAT, "is a GGUF model");
    HEAD("i.txt", "\x89PNG\r\n");
    refused("i.txt", SY_E_FORMAT, "is a PNG image");
    HEAD("prog", "\x7f" "ELF");
    refused("prog", SY_E_FORMAT, "is an ELF program");
    HEAD("t.bin", "\x88\xd8\x34\x01");
    refused("t.bin", SY_E_FORMAT, "is a token file of llm.c: data.shards reads it");
    HEAD("any.dat", "abc");
    refused("any.dat", SY_E_FORMAT, "any.dat is not text: byte 3 is zero");
    put_text("sixteen.txt", "\xff\xfe" "a");
    refused("sixteen.txt", SY_E_FORMAT, "is UTF-16 text: write it as UTF-8 first");
    put_text("control.txt", "\1\2\3 a few letters");
    refused("control.txt", SY_E_FORMAT, "is not text: one byte in 32");
    put_text("empty.npy", "words");
    refused("empty.npy", SY_E_FORMAT, "is named .npy, which is no text");
    is_with("empty.npy", (struct sy_read_options){.format = SY_READ_TEXT}, "words", "text");
    put_text("BZhat.txt", "BZh is how it begins, and it is a text\n");
    is_text("BZhat.txt", "BZh is how it begins, and it is a text\n", "1 file as text");
    put_text("latin.txt", "caf\xe9 cr\xe8me br\xfbl\xe9" "e\n");
    is_text("latin.txt", "caf\xe9 cr\xe8me br\xfbl\xe9" "e\n", "1 is not UTF-8 (");
    put_text("colour.txt", "\x1b[1mbold\x1b[0m\tand\f\r\n");
    is_text("colour.txt", "\x1b[1mbold\x1b[0m\tand\f\r\n", "1 file as text");
    put_gzip("tar.gz", "\0\1\2\3", 4);
    refused("tar.gz", SY_E_FORMAT, "is not text: byte 0 is zero");
    put_gzip("twice.gz", "\x1f\x8b\x08\0\0\0", 6);
    refused("twice.gz", SY_E_FORMAT, "twice.gz is gzip data: unpack it first");
    HEAD("b.jsonl", "\x93NUMPY\1");
    refused("b.jsonl", SY_E_FORMAT, "b.jsonl is an .npy array");
    struct sy_err err;
    struct sy_corpus *c =
        read_with("any.dat", (struct sy_read_options){.format = SY_READ_BYTES}, &err);
    tap_ok(c && sy_corpus_tokens(c) == 600, "all bytes, when asked for them %s", err.msg);
    sy_corpus_unref(c);
}

static void folders(void)
{
    sy_dir_make(in_folder("some/sub"), NULL);
    put_text("some/a.txt", "a\n");
    HEAD("some/sub/logo.png", "\x89PNG");
    HEAD("some/z.npy", "\x93NUMPY\1");
    is_text("some", "a\n", "1 file as text; 2 files left out (");
    is_text("some", "a\n", "some/sub/logo.png is a PNG image)");
    is_text("some/*", "a\n", "2 files left out");
    const char *both[] = {in_folder("some"), in_folder("some/z.npy")};
    struct sy_text_options o = {.val = 0};
    struct sy_err err = SY_ERR_INIT;
    struct sy_corpus *c = sy_corpus_text(both + 1, 1, &o, &err);
    tap_ok(!c && strstr(err.msg, "z.npy is an .npy array"), "named, it is refused: %s", err.msg);
    sy_dir_make(in_folder("none"), NULL);
    HEAD("none/z.npy", "\x93NUMPY\1");
    refused("none", SY_E_FORMAT, "nothing to read: ");
    sy_dir_make(in_folder("model"), NULL);
    put_text("model/config.json", "{\"text\": \"hidden\"}");
    put_text("model/README.md", "words");
    HEAD("model/model.safetensors", "\x20\0\0\0\0\0\0\0{\"a\":");
    refused("model", SY_E_FORMAT,
            "model: is the folder of a model (config.json, model.safetensors)");
    alarm(20); /* whoever opens a pipe without a writer waits for one */
    mkfifo(in_folder("some/pipe"), 0600);
    refused("some/pipe", SY_E_IO, "not a regular file");
    is_text("some", "a\n", "1 file as text");
    alarm(0);
}

/* ---- how much a packed file may become ---- */

static void bombs(void)
{
    size_t n = (size_t)300 << 20;
    char *zeros = calloc(n, 1);
    size_t room = ZSTD_compressBound(n);
    char *packed = malloc(room);
    memset(zeros, 'a', n);
    size_t size = ZSTD_compress(packed, room, zeros, n, 1);
    put("bomb.zst", packed, size);
    size_t before = sy_mem_peak();
    refused("bomb.zst", SY_E_FORMAT,
            "unpack to 315 MB, and 268 MB are allowed: unpack_max = 314572800");
    tap_ok(sy_mem_peak() < before + ((size_t)8 << 20), "known before it is unpacked");
    ZSTD_CCtx *z = ZSTD_createCCtx(); /* without its size in the header */
    ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, 0);
    size = ZSTD_compress2(z, packed, room, zeros, (size_t)3 << 20);
    ZSTD_freeCCtx(z);
    put("b.txt.zst", packed, size);
    put_gzip("b.txt.gz", zeros, (size_t)3 << 20);
    const char *const files[] = {"b.txt.zst", "b.txt.gz"};
    for (int i = 0; i < 2; i++) {
        struct sy_err err;
        refused_with(files[i], (struct sy_read_options){.unpack_max = 3145727}, SY_E_FORMAT,
                     "unpack to more than the 3.15 MB that are allowed");
        struct sy_corpus *c =
            read_with(files[i], (struct sy_read_options){.unpack_max = 3145728}, &err);
        tap_ok(c && sy_corpus_tokens(c) == 3145728, "%s: exactly as much as is allowed: %s",
               files[i], err.msg);
        sy_corpus_unref(c);
    }
    free(zeros);
    free(packed);
}

/* ---- separate files for validation ---- */

static struct sy_corpus *split(const char *train, const char *val, struct sy_err *err)
{
    const char *paths[] = {in_folder(train)}, *val_paths[] = {in_folder(val)};
    struct sy_text_options o = {.val = 0.1, .val_paths = val_paths, .val_count = 1};
    *err = (struct sy_err)SY_ERR_INIT;
    return sy_corpus_text(paths, 1, &o, err);
}

static void validation(void)
{
    struct sy_err err;
    put_text("t.txt", "for training");
    put_text("v.txt", "to validate\n");
    struct sy_corpus *c = split("t.txt", "v.txt", &err);
    tap_ok(c && sy_corpus_train(c) == 13 && sy_corpus_tokens(c) == 25 &&
               sy_corpus_documents(c) == 2,
           "13 tokens to train on, the newline between among them: %s", err.msg);
    tap_is_str(text_of(c), "for training\nto validate\n", "all of it");
    tap_is_str(reading_of(c), "2 files as text", "and what it is");
    struct sy_corpus *d = split("t.txt", "mixed/a.jsonl", &err);
    tap_ok(d && sy_corpus_train(d) == 13 && sy_corpus_hash(d) != sy_corpus_hash(c),
           "of another kind: %s", reading_of(d));
    sy_corpus_unref(d);
    put_text("t2.jsonl", "\"a\"\n\"b\"\n");
    put_text("v2.jsonl", "\"c\"\n");
    d = split("t2.jsonl", "v2.jsonl", &err);
    uint64_t hash = d ? sy_corpus_hash(d) : 0;
    sy_corpus_unref(d);
    put_text("t2.jsonl", "\"a\"\n");
    put_text("v2.jsonl", "\"b\"\n\"c\"\n");
    d = split("t2.jsonl", "v2.jsonl", &err);
    tap_ok(d && hash && sy_corpus_hash(d) != hash, "the border is part of the fingerprint");
    sy_corpus_unref(d);
    sy_corpus_unref(c);
    c = split("mixed/*", "mixed/d.txt", &err);
    tap_ok(!c && err.code == SY_E_RANGE &&
               strstr(err.msg, "d.txt: is among the files for training"),
           "%s", err.msg);
    put_text("hole.jsonl", "\n\n");
    sy_dir_make(in_folder("holes"), NULL);
    put_text("holes/hole.jsonl", "\n\n");
    c = split("t.txt", "holes", &err);
    tap_ok(!c && strstr(err.msg, "no text in the files for validation"), "%s", err.msg);
    c = split("holes", "t.txt", &err);
    tap_ok(!c && strstr(err.msg, "no text in the files for training"), "%s", err.msg);
    c = split("t.txt", "absent.txt", &err);
    tap_ok(!c && err.code == SY_E_NOTFOUND, "%s", err.msg);
}

/* ---- token arrays ---- */

static void put_npy(const char *name, const char *descr, const char *shape, const void *data,
                    size_t bytes)
{
    char file[4096];
    int n = snprintf(file + 10, 200, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr,
                     *shape == 'F' ? "True" : "False", shape + (*shape == 'F'));
    memcpy(file, "\x93NUMPY\1\0", 8);
    file[8] = (char)n;
    file[9] = 0;
    memcpy(file + 10 + n, data, bytes);
    put(name, file, 10 + (size_t)n + bytes);
}

static struct sy_corpus *shards(const char *name, int32_t vocab, enum sy_shard_format format,
                                struct sy_err *err)
{
    const char *path = in_folder(name);
    struct sy_shard_options o = {.vocab = vocab, .format = format};
    *err = (struct sy_err)SY_ERR_INIT;
    return sy_corpus_shards(&path, 1, &o, err);
}

static void good(const char *name, int32_t vocab, enum sy_shard_format format, int64_t documents,
                 const char *reading)
{
    struct sy_err err;
    int32_t ids[6] = {0};
    struct sy_corpus *c = shards(name, vocab, format, &err);
    bool same = c && sy_corpus_tokens(c) == 6 && !sy_corpus_read(c, 0, 6, ids, NULL);
    for (int i = 0; i < 6; i++)
        same = same && ids[i] == 10 * i;
    tap_ok(same && sy_corpus_documents(c) == documents && strstr(reading_of(c), reading) &&
               sy_corpus_vocab(c) == (vocab ? vocab : 51),
           "%s: %s %s", name, reading_of(c), err.msg);
    sy_corpus_unref(c);
}

static void bad_shards(const char *name, int32_t vocab, enum sy_shard_format format,
                       const char *part)
{
    struct sy_err err;
    struct sy_corpus *c = shards(name, vocab, format, &err);
    tap_ok(!c && strstr(err.msg, part), "%s: %s %s", name, reading_of(c), err.msg);
    sy_corpus_unref(c);
}

static void token_arrays(void)
{
    const uint16_t u16[] = {0, 10, 20, 30, 40, 50};
    const uint32_t u32[] = {0, 10, 20, 30, 40, 50};
    const int64_t i64[] = {0, 10, 20, 30, 40, 50}, low[] = {0, -1};
    const float f32[] = {0, 1};
    sy_dir_make(in_folder("tokens"), NULL);
    put_npy("tokens/u16.npy", "<u2", "(6,)", u16, sizeof u16);
    put_npy("u32.NPY", "<u4", "(6,)", u32, sizeof u32);
    put_npy("i32.npy", "<i4", "(6,)", u32, sizeof u32);
    put_npy("i64.dat", "<i8", "(6,)", i64, sizeof i64);
    put_npy("rows.npy", "<u2", "(2, 3)", u16, sizeof u16);
    good("tokens/u16.npy", 0, SY_SHARD_AUTO, 1, "1 file as .npy");
    good("u32.NPY", 60, SY_SHARD_AUTO, 1, ".npy");
    good("i32.npy", 0, SY_SHARD_AUTO, 1, ".npy");
    good("i64.dat", 0, SY_SHARD_AUTO, 1, ".npy");
    good("rows.npy", 0, SY_SHARD_AUTO, 2, ".npy");
    bad_shards("u32.NPY", 50, SY_SHARD_AUTO, "id 50 of token 5 is outside 0..49");
    put_npy("low.npy", "<i8", "(2,)", low, sizeof low);
    bad_shards("low.npy", 0, SY_SHARD_AUTO, "id -1 of token 1 is outside");
    put_npy("f32.npy", "<f4", "(2,)", f32, sizeof f32);
    bad_shards("f32.npy", 0, SY_SHARD_AUTO, "whole numbers: it has <f4");
    put_npy("fortran.npy", "<u2", "F(2, 3)", u16, sizeof u16);
    bad_shards("fortran.npy", 0, SY_SHARD_AUTO, "Fortran order");
    put_npy("none.npy", "<u2", "(0,)", u16, 0);
    bad_shards("none.npy", 0, SY_SHARD_AUTO, "the array is empty");
    put_npy("deep.npy", "<u2", "(1, 2, 3)", u16, sizeof u16);
    bad_shards("deep.npy", 0, SY_SHARD_AUTO, "it has 3");
    put_npy("cut.npy", "<u2", "(6,)", u16, sizeof u16 - 1);
    bad_shards("cut.npy", 0, SY_SHARD_AUTO, "cut.npy: <u2 (6,) does not take 11 bytes");

    put("tokens.dat", u16, sizeof u16);
    bad_shards("tokens.dat", 60, SY_SHARD_AUTO, "is not a token file");
    good("tokens.dat", 60, SY_SHARD_U16, 1, "1 file as bare u16 ids");
    put("tokens.BIN", u16, sizeof u16);
    good("tokens.BIN", 60, SY_SHARD_AUTO, 1, "bare u16 ids");
    struct sy_err err;
    put("one.bin", "\xc3\x28", 2);
    struct sy_corpus *c = shards("one.bin", 60000, SY_SHARD_AUTO, &err);
    tap_ok(c && sy_corpus_tokens(c) == 1, "one id that is no text %s", err.msg);
    sy_corpus_unref(c);
    put("wide.bin", u32, sizeof u32);
    good("wide.bin", 60, SY_SHARD_U32, 1, "bare u32 ids");
    good("wide.bin", 60, SY_SHARD_I32, 1, "bare i32 ids");
    put("wider", i64, sizeof i64);
    good("wider", 60, SY_SHARD_I64, 1, "bare i64 ids");
    bad_shards("wider", 0, SY_SHARD_I64, "give vocab=");
    put("odd", u16, 11);
    bad_shards("odd", 60, SY_SHARD_U32, "11 bytes are no whole number of 32-bit tokens");
    bad_shards("x.npz", 60000, SY_SHARD_AUTO, "x.npz is an .npz archive");
    bad_shards("m.safetensors", 60000, SY_SHARD_AUTO, "is a safetensors file");
    HEAD("pretends.bin", "\x20\0\0\0\0\0\0\0{\"a\":");
    bad_shards("pretends.bin", 60000, SY_SHARD_AUTO, "is a safetensors file");
    put_text("text.bin", "A text that is named as if it were tokens.\n");
    bad_shards("text.bin", 60000, SY_SHARD_AUTO, "is text: data.text reads it");
    put_gzip("tokens.bin.gz", (const char *)u16, sizeof u16);
    bad_shards("tokens.bin.gz", 60000, SY_SHARD_AUTO, "is gzip data: unpack it first");
    put_text("tokens/README", "what it is\n");
    good("tokens", 0, SY_SHARD_AUTO, 1, "1 file as .npy; 1 file left out (");
    bad_shards("mixed", 60, SY_SHARD_AUTO, "no token files: ");
    alarm(20);
    bad_shards("some/pipe", 60, SY_SHARD_AUTO, "not a regular file");
    alarm(0);

    err = (struct sy_err)SY_ERR_INIT;
    const char *train[] = {in_folder("tokens/u16.npy")}, *val[] = {in_folder("rows.npy")};
    struct sy_shard_options o = {.val = 0.5, .val_paths = val, .val_count = 1};
    c = sy_corpus_shards(train, 1, &o, &err);
    tap_ok(c && sy_corpus_train(c) == 6 && sy_corpus_tokens(c) == 12, "separate files: %s",
           err.msg);
    sy_corpus_unref(c);
}

/* ---- memory ---- */

static struct sy_corpus *read_all(struct sy_err *err)
{
    const char *paths[] = {in_folder("mixed"), in_folder("some"), in_folder("a.json.gz"),
                           in_folder("bad.jsonl"), in_folder("latin.txt")};
    const char *val[] = {in_folder("packed.ndjson"), in_folder("a1.json"), in_folder("one.json")};
    struct sy_text_options o = {.val_paths = val, .val_count = 3, .read.skip = true};
    return sy_corpus_text(paths, 5, &o, err);
}

static struct sy_corpus *read_shards(struct sy_err *err)
{
    const char *paths[] = {in_folder("tokens"), in_folder("rows.npy"), in_folder("u32.NPY"),
                           in_folder("tokens.BIN")};
    struct sy_shard_options o = {.vocab = 60};
    return sy_corpus_shards(paths, 4, &o, err);
}

int main(void)
{
    if (!make_folder())
        return 99;
    sy_pool_threads(); /* its memory is not ours */
    names();
    marks();
    real_lines();
    arrays();
    binary();
    folders();
    bombs();
    validation();
    token_arrays();
    without_memory(read_all, "text");
    without_memory(read_shards, "shards");
    remove_folder();
    return tap_done();
}
