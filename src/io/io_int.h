/* What the array formats share: checked sizes, reading at an offset, writing atomically.
 * Layer: io; uses base and the element types only. */
#ifndef SY_IO_IO_INT_H
#define SY_IO_IO_INT_H

#include "base/hash.h"
#include "switchyard/io.h"

#include <stdbool.h>
#include <stddef.h>

/* -- arrays (array.c) -------------------------------------------------------------------------- */

/* Bytes of an array, every product checked, zero dimensions counted as one in the check so that no
 * product over a part of the shape can wrap either.  0, or -1: wraps, negative, too many dims. */
int sy__array_bytes(size_t element, int ndim, const int64_t *shape, uint64_t *bytes);
/* Set what an array of a known element and shape takes in the file and in memory.  -1: its sizes
 * wrap, or it does not take `stored` bytes of the file. */
int sy__array_take(struct sy_array *a, uint64_t stored);
/* "(2, 3)" as the messages show it; cut with "..." when it does not fit. */
void sy__array_shape(int ndim, const int64_t *shape, char out[96]);
/* Not empty, valid UTF-8, no NUL, no C0, C1 or DEL. */
bool sy__name_valid(const char *name, size_t n);
/* The first byte that is neither 0 nor 1, or -1. */
int sy__bool_check(const unsigned char *bytes, uint64_t n);

/* -- element types (element.c) ----------------------------------------------------------------- */

struct sy__element {
    const char *st, *npy; /* its names in the formats; npy NULL: it has none there */
    size_t size;          /* bytes in the file */
    enum sy_dtype dtype;  /* that it is read as; SY_DTYPE_COUNT: none of ours holds it */
    enum sy_dtype as_stored; /* whose bytes these are; SY_DTYPE_COUNT: none of ours */
    int (*convert)(const unsigned char *from, void *to, size_t n); /* NULL: as it stands */
};
const struct sy__element *sy__element_st(const char *name, size_t n); /* or NULL */
const struct sy__element *sy__element_npy(const char *name);          /* or NULL */
const struct sy__element *sy__element_of(enum sy_dtype dtype); /* as which it is written, or NULL */

/* -- reading (in.c) ---------------------------------------------------------------------------- */

struct sy__in {
    int fd;           /* -1: closed */
    uint64_t size;    /* of the file when it was opened */
    const char *op;   /* "safetensors": begins every message */
    char *path;       /* owned */
};
/* Regular files only.  Leaves `in` closed on failure. */
int sy__in_open(struct sy__in *in, const char *op, const struct sy_dir *dir, const char *path,
                struct sy_err *err);
int sy__in_read(const struct sy__in *in, uint64_t offset, uint64_t n, void *dst,
                struct sy_err *err);
/* The elements of a in row-major order, checked (dtype known, booleans 0 or 1).  fortran: the file
 * has the first dimension running fastest. */
int sy__in_array(const struct sy__in *in, const struct sy_array *a, bool fortran, void *dst,
                 struct sy_err *err);
/* The elements first..first+n-1, as they follow in the file, into dst. */
int sy__in_part(const struct sy__in *in, const struct sy_array *a, uint64_t first, uint64_t n,
                void *dst, struct sy_err *err);
void sy__in_close(struct sy__in *in);

/* -- writing (out.c) --------------------------------------------------------------------------- */

struct sy__out {
    int fd;            /* -1: closed */
    const char *op;
    const struct sy_dir *dir; /* in which path is; borrowed, or NULL */
    char *path, *temp; /* owned; the same text when direct */
    bool direct;       /* the folder around it is what is committed: no other name, no sync of it */
    struct sy_hash hash; /* of what was written, and how much that is */
    uint64_t written;
};
/* Opens a temporary beside path and reserves `size` bytes, so that a full disk is known at once. */
int sy__out_open(struct sy__out *out, const char *op, const struct sy_dir *dir, const char *path,
                 uint64_t size, bool direct, struct sy_err *err);
int sy__out_write(struct sy__out *out, const void *data, uint64_t n, struct sy_err *err);
/* fsync, close, rename, fsync of the folder; on failure the temporary is removed. */
int sy__out_commit(struct sy__out *out, struct sy_err *err);
void sy__out_abort(struct sy__out *out); /* no-op after commit */

/* Tests: let system call number n from now of the writing side (1 = the next) fail with EIO; 0
 * never.  In order: open, reserve, write..., fsync, close, rename, the folder's open and fsync. */
void sy__out_fail_at(int64_t n);

#endif
