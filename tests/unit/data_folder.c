/* See data_folder.h. */
#include "unit/data_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "unit/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static char folder[] = "/tmp/sy_data_XXXXXX";

bool make_folder(void)
{
    return mkdtemp(folder) != NULL;
}

void remove_folder(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    if (system(command))
        tap_note("%s is left", folder);
}

const char *in_folder(const char *name)
{
    static char path[16][256];
    static int next;
    next = (next + 1) % 16;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

void put(const char *name, const void *data, size_t n)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_file_replace(in_folder(name), data, n, &err))
        tap_note("%s", err.msg);
}

void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

size_t gzip(const char *text, size_t n, unsigned char *out, size_t cap)
{
    z_stream z = {0};
    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (unsigned)n;
    z.next_out = out;
    z.avail_out = (unsigned)cap;
    deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return z.total_out;
}

void put_gzip(const char *name, const char *text, size_t n)
{
    static unsigned char out[1 << 20];
    put(name, out, gzip(text, n, out, sizeof out));
}

struct sy_corpus *read_with(const char *name, struct sy_read_options read, struct sy_err *err)
{
    const char *path = in_folder(name);
    struct sy_text_options o = {.read = read};
    *err = (struct sy_err)SY_ERR_INIT;
    return sy_corpus_text(&path, 1, &o, err);
}

const char *text_of(const struct sy_corpus *c)
{
    static char text[4096];
    int32_t ids[4095];
    int64_t n = c ? sy_corpus_tokens(c) : 0;
    if (n > 4095 || (c && sy_corpus_read(c, 0, n, ids, NULL)))
        n = 0;
    for (int64_t i = 0; i < n; i++)
        text[i] = (char)ids[i];
    text[n] = 0;
    return text;
}

const char *reading_of(const struct sy_corpus *c)
{
    bool plain;
    const char *text = c ? sy_corpus_reading(c, &plain) : NULL;
    return text ? text : "";
}

void is_with(const char *name, struct sy_read_options o, const char *want, const char *reading)
{
    struct sy_err err;
    struct sy_corpus *c = read_with(name, o, &err);
    tap_is_str(c ? text_of(c) : err.msg, want, "%s", name);
    if (reading)
        tap_ok(strstr(reading_of(c), reading) != NULL, "%s: %s", name, reading_of(c));
    sy_corpus_unref(c);
}

void is_text(const char *name, const char *want, const char *reading)
{
    is_with(name, (struct sy_read_options){0}, want, reading);
}

void refused_with(const char *name, struct sy_read_options o, enum sy_code code, const char *part)
{
    struct sy_err err;
    struct sy_corpus *c = read_with(name, o, &err);
    tap_ok(!c && err.code == code && strstr(err.msg, part) && !strchr(err.msg, '\n'), "%s: %s: %s",
           name, sy_code_name(err.code), c ? reading_of(c) : err.msg);
    sy_corpus_unref(c);
}

void refused(const char *name, enum sy_code code, const char *part)
{
    refused_with(name, (struct sy_read_options){0}, code, part);
}

void without_memory(struct sy_corpus *(*make)(struct sy_err *), const char *what)
{
    struct sy_err err = SY_ERR_INIT;
    size_t live = sy_mem_live();
    uint64_t n = 1;
    int wrong = 0, failed = 0;
    for (uint64_t i = 0; i <= n; i++) {
        uint64_t before = sy_mem_count();
        err = (struct sy_err)SY_ERR_INIT;
        sy_mem_fail_at(i);
        struct sy_corpus *c = make(&err);
        sy_mem_fail_at(0);
        n = i ? n : sy_mem_count() - before;
        failed += !c;
        wrong += !c != (err.code == SY_E_MEMORY);
        if (!c && err.code != SY_E_MEMORY)
            tap_note("%d: %s", (int)i, err.msg);
        sy_corpus_unref(c);
    }
    tap_ok(!wrong && failed > 20 && sy_mem_live() == live,
           "%s with each of %d allocations failing: %d errors", what, (int)n, failed);
}
