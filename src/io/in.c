/* Reading at an offset.  pread, not mmap: a file that is cut while we read must give an error line
 * at that place.  (Weights may be mapped instead: sy_st_map.)  Layer: io. */
#include "io/io_int.h"

#include "base/mem.h"
#include "io/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST ((uint64_t)1 << 30) /* of one pread; Linux takes a little under 2^31 */
#define PIECE ((size_t)1 << 17)    /* bytes converted or put in order at a time */

static int open_failed(const char *op, const char *path, int cause, struct sy_err *err)
{
    if (cause == ENOENT)
        return sy_err_set(err, SY_E_NOTFOUND, "%s: no such file: %s", op, path);
    if (cause == SY_NOT_A_FILE || cause == EISDIR)
        return sy_err_set(err, SY_E_IO, "%s: not a regular file: %s", op, path);
    return sy_err_sys(err, cause, "%s: cannot open %s", op, path);
}

int sy__in_open(struct sy__in *in, const char *op, const struct sy_dir *dir, const char *path,
                struct sy_err *err)
{
    struct stat st;
    *in = (struct sy__in){.fd = -1, .op = op, .path = sy_strdup(path)};
    if (in->path == NULL)
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory opening %s", op, path);
    in->fd = sy_sys_read_open(dir, path);
    if (in->fd < 0 || fstat(in->fd, &st) != 0)
        open_failed(op, path, errno, err);
    else {
        in->size = (uint64_t)st.st_size;
        return 0;
    }
    sy__in_close(in);
    return -1;
}

int sy__in_read(const struct sy__in *in, uint64_t offset, uint64_t n, void *dst, struct sy_err *err)
{
    char *to = dst;
    while (n > 0) {
        ssize_t got = sy_sys_read(in->fd, in->path, to, n < MOST ? n : MOST, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sy_err_sys(err, errno, "%s: cannot read %s", in->op, in->path);
        if (got == 0)
            return sy_err_set(err, SY_E_FORMAT,
                              "%s: %s ends early: at byte %" PRIu64 ", %" PRIu64 " more expected",
                              in->op, in->path, offset, n);
        to += got;
        offset += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return 0;
}

static int elements_failed(const struct sy__in *in, const struct sy_array *a, enum sy_code code,
                           const char *what, struct sy_err *err)
{
    return sy_err_set(err, code, "%s: %s%s%s: %s: %s", in->op, in->path, a->name[0] ? ": " : "",
                      a->name, a->type, what);
}

int sy__in_part(const struct sy__in *in, const struct sy_array *a, uint64_t first, uint64_t n,
                void *dst, struct sy_err *err)
{
    const struct sy__element *e = a->element;
    if (!e->convert)
        return sy__in_read(in, a->offset + first * e->size, n * e->size, dst, err);
    unsigned char *piece = sy_alloc(PIECE);
    char *to = dst;
    int r = piece ? 0 : sy_err_set(err, SY_E_MEMORY, "%s: out of memory for a buffer", in->op);
    for (uint64_t k; r == 0 && n > 0; first += k, n -= k, to += k * sy_dtype_size(a->dtype)) {
        k = n < PIECE / e->size ? n : PIECE / e->size;
        r = sy__in_read(in, a->offset + first * e->size, k * e->size, piece, err);
        if (r == 0 && e->convert(piece, to, k) != 0)
            r = elements_failed(in, a, SY_E_UNSUPPORTED, "a value that i64 does not hold", err);
    }
    sy_free(piece);
    return r;
}

/* Where the elements of a Fortran-order file go: its first index runs fastest, ours the last. */
struct scatter {
    int64_t index[SY_IO_DIMS];
    uint64_t stride[SY_IO_DIMS], at; /* elements */
};

static void scatter_begin(struct scatter *s, const struct sy_array *a)
{
    uint64_t stride = 1;
    *s = (struct scatter){.at = 0};
    for (int d = a->ndim; d-- > 0; stride *= (uint64_t)a->shape[d])
        s->stride[d] = stride;
}

static void scatter_next(struct scatter *s, const struct sy_array *a)
{
    for (int d = 0; d < a->ndim; d++) {
        s->at += s->stride[d];
        if (++s->index[d] < a->shape[d])
            return;
        s->at -= s->stride[d] * (uint64_t)a->shape[d];
        s->index[d] = 0;
    }
}

static int read_fortran(const struct sy__in *in, const struct sy_array *a, char *dst,
                        struct sy_err *err)
{
    size_t size = sy_dtype_size(a->dtype);
    uint64_t count = a->bytes / size, most = PIECE / size;
    char *piece = sy_alloc(PIECE);
    int r = piece ? 0 : sy_err_set(err, SY_E_MEMORY, "%s: out of memory for a buffer", in->op);
    struct scatter s;
    scatter_begin(&s, a);
    for (uint64_t first = 0, n; r == 0 && first < count; first += n) {
        n = count - first < most ? count - first : most;
        r = sy__in_part(in, a, first, n, piece, err);
        for (uint64_t i = 0; r == 0 && i < n; i++, scatter_next(&s, a))
            memcpy(dst + s.at * size, piece + i * size, size);
    }
    sy_free(piece);
    return r;
}

int sy__in_array(const struct sy__in *in, const struct sy_array *a, bool fortran, void *dst,
                 struct sy_err *err)
{
    char what[64];
    if (a->dtype >= SY_DTYPE_COUNT)
        return elements_failed(in, a, SY_E_UNSUPPORTED, "no dtype here holds these elements", err);
    int r = fortran && a->ndim > 1
                ? read_fortran(in, a, dst, err)
                : sy__in_part(in, a, 0, a->bytes / sy_dtype_size(a->dtype), dst, err);
    int wrong = r == 0 && a->dtype == SY_BOOL ? sy__bool_check(dst, a->bytes) : -1;
    if (wrong < 0)
        return r;
    snprintf(what, sizeof what, "a boolean is neither 0 nor 1: %d", wrong);
    return elements_failed(in, a, SY_E_FORMAT, what, err);
}

void sy__in_close(struct sy__in *in)
{
    if (in->fd >= 0)
        close(in->fd);
    in->fd = -1;
    sy_free(in->path);
    in->path = NULL;
}
