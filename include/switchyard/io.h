/* Array files: safetensors and .npy, reading and writing.
 *
 *  1. Files are hostile: every count, offset and size is checked against the file's real size
 *     before anything is allocated or read.  Reading is by pread, so a file that shrinks gives an
 *     error; who maps a file instead asks afterwards whether it is still what it was.
 *  2. Nothing is read but the header until an array is asked for, and arrays go straight between
 *     the file and the caller's memory.
 *  3. Writing is atomic: a temporary file beside the target, fsync, rename, fsync of the folder.
 *     The old file or the new one, never half of one.
 *  4. Types that we have not are read as the smallest of ours that holds all their values: F16 as
 *     f32, I8, I16 and U16 as i32, U32 and U64 as i64 (a larger u64 is UNSUPPORTED).
 *  5. A struct sy_st or sy_npy may be read by several threads at a time; a writer belongs to one.
 *
 * Errors: NOTFOUND, IO (the system's reason), FORMAT (the file is wrong), UNSUPPORTED (the file is
 * right, but holds what we do not), MEMORY.  Messages begin with the format and the path.
 */
#ifndef SWITCHYARD_IO_H
#define SWITCHYARD_IO_H

#include "switchyard/dtype.h"
#include "switchyard/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SY_IO_DIMS 8 /* most dimensions of an array in a file */

struct sy_dir;     /* base/dir.h */
struct sy_mapping; /* base/mapping.h */

struct sy_array { /* one array of a file; borrowed from the file's handle */
    const char *name; /* UTF-8 without control characters; "" in an .npy file */
    const char *type; /* the file's own word for the element type: "F32", "<f4" */
    enum sy_dtype dtype; /* as which it is read; SY_DTYPE_COUNT: none of ours holds it (C64, ...) */
    const struct sy__element *element; /* the reader's own */
    enum sy_dtype as_stored; /* whose bytes these are as they stand (F16's: f16); or as above */
    int ndim;
    int64_t shape[SY_IO_DIMS];
    uint64_t offset, stored; /* where it lies in the file, and how many bytes it takes there */
    uint64_t bytes;          /* product of shape * dtype: what reading it fills */
};

/* -- safetensors, reading ---------------------------------------------------------------------- */

struct sy_st;
struct sy_st *sy_st_open(const char *path, struct sy_err *err); /* owned; sy_st_close */
void sy_st_close(struct sy_st *st);                             /* NULL is fine */
int64_t sy_st_count(const struct sy_st *st); /* arrays in it */
const struct sy_array *sy_st_at(const struct sy_st *st, int64_t i); /* 0..count-1, file order */
const struct sy_array *sy_st_find(const struct sy_st *st, const char *name); /* or NULL */
const char *sy_st_meta(const struct sy_st *st, const char *key); /* of __metadata__, or NULL */
/* The array's bytes into dst (a->bytes of them).  UNSUPPORTED for a dtype we have not. */
int sy_st_read(const struct sy_st *st, const struct sy_array *a, void *dst, struct sy_err *err);
/* The whole file as memory (base/mapping.h), owned; an array of it begins at its offset. */
struct sy_mapping *sy_st_map(const struct sy_st *st, struct sy_err *err);

/* -- safetensors, writing ---------------------------------------------------------------------- */

/* Puts elements first..first+count-1 of an array into dst; for arrays that do not lie in memory as
 * they shall stand in the file (a transposed weight, another precision). */
typedef int (*sy_st_fill)(void *ctx, int64_t first, int64_t count, void *dst, struct sy_err *err);

struct sy_st_writer;
/* meta: key, value, key, value, ..., NULL (or NULL); copied.  Touches no file before finish. */
struct sy_st_writer *sy_st_begin(const char *path, const char *const *meta, struct sy_err *err);
/* An array more.  Its bytes are `data`, borrowed until finish, or come from `fill` then, which gets
 * ctx and is asked for them in ascending order.  ndim 0 is a scalar.  Errors: NAME (empty,
 * reserved, with control characters), SHAPE, DTYPE, MEMORY. */
int sy_st_add(struct sy_st_writer *w, const char *name, enum sy_dtype dtype, int ndim,
              const int64_t *shape, const void *data, struct sy_err *err);
int sy_st_add_fill(struct sy_st_writer *w, const char *name, enum sy_dtype dtype, int ndim,
                   const int64_t *shape, sy_st_fill fill, void *ctx, struct sy_err *err);
/* The caller commits the folder around the file as a whole: write under its own name (which must
 * not exist), fsync it, and leave the folder to the caller. */
void sy_st_direct(struct sy_st_writer *w, const struct sy_dir *in);
/* Writes the file and frees the writer, also on failure. */
int sy_st_finish(struct sy_st_writer *w, struct sy_err *err);
struct sy_file_sum { /* of a file's bytes: how many, and their XXH64 */
    uint64_t bytes, hash;
};
/* As sy_st_finish; *sum (NULL: not wanted) says what lies in the file then. */
int sy_st_finish_sum(struct sy_st_writer *w, struct sy_file_sum *sum, struct sy_err *err);
void sy_st_abort(struct sy_st_writer *w); /* frees it, nothing written; NULL is fine */

/* -- any file ---------------------------------------------------------------------------------- */

/* `in`: the folder, held open, in which the path is, or NULL (base/dir.h); `op` begins messages.
 *
 * Write a whole file: temporary, fsync, rename, fsync of the folder; `direct`: as sy_st_direct. */
int sy_file_write(const char *op, const struct sy_dir *in, const char *path, const void *data,
                  uint64_t n, bool direct, struct sy_file_sum *sum, struct sy_err *err);
/* Read a file's size and hash by pread, a megabyte at a time. */
int sy_file_sum(const char *op, const struct sy_dir *in, const char *path, struct sy_file_sum *sum,
                struct sy_err *err);
/* A whole file of at most `most` bytes into an owned block (sy_free), with a NUL behind it.  FORMAT
 * when larger. */
char *sy_file_load(const char *op, const struct sy_dir *in, const char *path, uint64_t most,
                   uint64_t *n, struct sy_err *err);

/* What a file is. */
#define SY_KIND_HEAD 512 /* bytes that are looked at */
enum sy_kind { SY_KIND_OTHER, SY_KIND_GZIP, SY_KIND_ZSTD, SY_KIND_NPY, SY_KIND_SAFETENSORS,
               SY_KIND_LLMC, SY_KIND_MEGATRON };
struct sy_file_kind {
    enum sy_kind kind;
    bool sure;          /* no text begins so */
    const char *what;   /* "an .npy array" */
    const char *advice; /* what reads it, or ""; follows the other after ": " */
};
/* By its first n bytes (SY_KIND_HEAD are enough) and its size in bytes; borrowed for ever.  NULL:
 * none that we know (text, or anything else). */
const struct sy_file_kind *sy_file_kind(const void *head, size_t n, uint64_t size);
/* The first bytes of a regular file, at most `most`, and its size. */
int sy_file_head(const char *op, const char *path, void *head, size_t most, size_t *n,
                 uint64_t *size, struct sy_err *err);

/* -- .npy -------------------------------------------------------------------------------------- */

struct sy_npy;
struct sy_npy *sy_npy_open(const char *path, struct sy_err *err); /* owned; sy_npy_close */
void sy_npy_close(struct sy_npy *npy);                            /* NULL is fine */
const struct sy_array *sy_npy_info(const struct sy_npy *npy); /* borrowed from the handle */
/* The array into dst (info's `bytes`), in C order even where the file is not.  Errors: IO,
 * UNSUPPORTED (a type that we have not), RANGE (a u64 over what an i64 holds). */
int sy_npy_read(const struct sy_npy *npy, void *dst, struct sy_err *err);
/* Elements first..first+n-1 of an array in C order; UNSUPPORTED when it is not. */
int sy_npy_read_part(const struct sy_npy *npy, uint64_t first, uint64_t n, void *dst,
                     struct sy_err *err);
/* Version 1.0, C order, the same bytes as NumPy 2 writes.  bf16 has no .npy type: UNSUPPORTED. */
int sy_npy_write(const char *path, enum sy_dtype dtype, int ndim, const int64_t *shape,
                 const void *data, struct sy_err *err);

#endif
