/* Where text comes from: paths to files, files to bytes, bytes to documents. */
#ifndef SY_DATA_DOCUMENTS_INT_H
#define SY_DATA_DOCUMENTS_INT_H

#include "base/str.h"
#include "data/word_map_int.h"
#include "switchyard/data.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- finding (find_files.c) ---- */

struct sy__file {
    char *path;    /* owned */
    int64_t bytes; /* on disk */
    bool named;    /* the user wrote this very name: what is wrong with it is an error */
};

struct sy__files {
    struct sy__file *file; /* owned */
    int64_t count;
    size_t cap;
    struct sy__words seen; /* (device, inode) of each file: the call that listed it */
    int64_t calls;
};

/* Expand files, folders and globs, in the order given, behind what is listed; NOTFOUND when a path
 * gives nothing, RANGE when one gives a file that an earlier call has listed. */
int sy__files_find(struct sy__files *f, const char *const *paths, int count, struct sy_err *err);
void sy__files_free(struct sy__files *f);
bool sy__ends_with(const char *name, const char *end); /* in either case */
bool sy__named(const char *path, const char *end);     /* the same, without .gz or .zst */

/* ---- unpacking (text.c, compressed.c) ---- */

/* Append the file's bytes, uncompressed when its content, or its name's ending, says .gz or .zst.
 * unpack_max: sy_read_options. */
int sy__file_text(const char *path, int64_t unpack_max, struct sy_str *out, struct sy_err *err);
/* Append at most `most` bytes; 1 when there would be more. */
int sy__gunzip(const char *path, const struct sy_str *in, size_t most, struct sy_str *out,
               struct sy_err *err);
int sy__unzstd(const char *path, const struct sy_str *in, size_t most, struct sy_str *out,
               struct sy_err *err);
uint64_t sy__zstd_says(const struct sy_str *in); /* bytes of its first frame; 0: it does not say */

/* ---- documents (text.c, json_text.c) ---- */

struct sy__document { /* a stretch of a batch's text */
    size_t start, n;
    int64_t file, line;
};

/* Documents in reading order, SY__BATCH bytes of text or a little more at a time. */
#define SY__BATCH ((size_t)16 << 20)
struct sy__batch {
    struct sy_str text;
    struct sy__document *doc; /* owned */
    int64_t docs;
    size_t cap;
    double from, to; /* what this batch's work is of the whole, for progress */
};
typedef int (*sy__batch_fn)(void *ctx, const struct sy__batch *batch, struct sy_err *err);

/* What was read as what.  The first of each oddity is kept as a message. */
enum sy__form { SY__LINES, SY__JSON, SY__TEXT, SY__BYTES, SY__FORMS };
struct sy__tally {
    int64_t files[SY__FORMS];
    int64_t bad, left, odd, like; /* JSON skipped; files left out, not UTF-8, like JSON lines */
    struct sy_err first_bad, first_left, first_odd, first_like;
};
/* "6 files as JSON lines, field 'text'; 2 as text".  true: one plain text, nothing worth saying. */
bool sy__tally_text(const struct sy__tally *t, const char *field, struct sy_str *out);

struct sy__reader {
    const struct sy__files *files;
    struct sy_read_options options;
    struct sy__batch batch;
    sy__batch_fn fn;
    void *ctx;
    struct sy__tally *tally;
    int64_t handed;  /* documents so far */
    double from, to; /* of the file being read, as progress */
};

/* Read all files and hand them to fn, batch by batch.  Reports progress from 0 to `share` by bytes
 * on disk.  FORMAT when all of it holds no text. */
int sy__sources_read(const struct sy__files *files, const struct sy_read_options *options,
                     const struct sy_progress *progress, double share, sy__batch_fn fn, void *ctx,
                     struct sy__tally *tally, struct sy_err *err);
/* Inside: a document of the batch's text; and the batch to fn, when it is full or `all`. */
int sy__reader_add(struct sy__reader *r, struct sy__document doc, struct sy_err *err);
int sy__reader_hand(struct sy__reader *r, bool all, struct sy_err *err);
/* The documents of JSON in text. */
int sy__json_documents(struct sy__reader *r, int64_t file, const char *text, size_t n,
                       struct sy_err *err);
/* Is the first line that is not blank a whole JSON object? */
bool sy__json_looks(const char *text, size_t n);

/* 0, or -1 and CANCELLED; the first takes a part of a batch's work. */
int sy__batch_progress(const struct sy_progress *p, const struct sy__batch *b, double part,
                       const char *op, struct sy_err *err);
int sy__progress(const struct sy_progress *p, double fraction, const char *op, struct sy_err *err);

#endif
