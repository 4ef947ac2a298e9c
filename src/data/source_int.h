/* Where text comes from: paths to files, files to bytes, bytes to documents. */
#ifndef SY_DATA_SOURCE_INT_H
#define SY_DATA_SOURCE_INT_H

#include "base/str.h"
#include "switchyard/err.h"
#include "switchyard/progress.h"

#include <stdbool.h>
#include <stdint.h>

struct sy__file {
    char *path;    /* owned */
    int64_t bytes; /* on disk */
    bool named;    /* the user wrote this very name: an empty file is an error */
};

struct sy__files {
    struct sy__file *file; /* owned */
    int64_t count, cap;
};

/* Expand files, folders and globs, in the order given; NOTFOUND when a path gives nothing. */
int sy__files_find(struct sy__files *f, const char *const *paths, int count, struct sy_err *err);
void sy__files_free(struct sy__files *f);

/* Append the file's bytes, uncompressed by its name's ending (.gz, .zst). */
int sy__file_text(const char *path, struct sy_str *out, struct sy_err *err);
int sy__gunzip(const char *path, const struct sy_str *in, struct sy_str *out, struct sy_err *err);
int sy__unzstd(const char *path, const struct sy_str *in, struct sy_str *out, struct sy_err *err);

struct sy__document { /* a stretch of a batch's text */
    size_t start, n;
    int64_t file, line;
};

/* Documents in reading order, SY__BATCH bytes of text or a little more at a time. */
#define SY__BATCH ((size_t)16 << 20)
struct sy__batch {
    struct sy_str text;
    struct sy__document *doc; /* owned */
    int64_t docs, cap;
    double from, to; /* what this batch's work is of the whole, for progress */
};
typedef int (*sy__batch_fn)(void *ctx, const struct sy__batch *batch, struct sy_err *err);

/* Read all files and hand them to fn, batch by batch.  Reports progress from 0 to `share` by bytes
 * on disk.  FORMAT when all of it holds no text. */
int sy__sources_read(const struct sy__files *files, const char *field,
                     const struct sy_progress *progress, double share, sy__batch_fn fn, void *ctx,
                     struct sy_err *err);

/* 0, or -1 and CANCELLED; the first takes a part of a batch's work. */
int sy__batch_progress(const struct sy_progress *p, const struct sy__batch *b, double part,
                       const char *op, struct sy_err *err);
int sy__progress(const struct sy_progress *p, double fraction, const char *op, struct sy_err *err);

#endif
