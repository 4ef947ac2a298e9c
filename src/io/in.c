/* Reading at an offset.  pread, not mmap: a file that is cut while we read must give an error line,
 * not SIGBUS.  Layer: io. */
#include "io/io_int.h"

#include "base/mem.h"
#include "io/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST ((uint64_t)1 << 30) /* of one pread; Linux takes a little under 2^31 */

static int open_failed(const char *op, const char *path, int cause, struct sy_err *err)
{
    if (cause == ENOENT)
        return sy_err_set(err, SY_E_NOTFOUND, "%s: no such file: %s", op, path);
    if (cause == SY_NOT_A_FILE || cause == EISDIR)
        return sy_err_set(err, SY_E_IO, "%s: not a regular file: %s", op, path);
    return sy_err_sys(err, cause, "%s: cannot open %s", op, path);
}

int sy__in_open(struct sy__in *in, const char *op, const char *path, struct sy_err *err)
{
    struct stat st;
    *in = (struct sy__in){.fd = -1, .op = op, .path = sy_strdup(path)};
    if (in->path == NULL)
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory opening %s", op, path);
    in->fd = sy_sys_read_open(path);
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

int sy__in_array(const struct sy__in *in, const struct sy_array *a, void *dst, struct sy_err *err)
{
    const char *space = a->name[0] ? ": " : "";
    if (a->dtype >= SY_DTYPE_COUNT)
        return sy_err_set(err, SY_E_UNSUPPORTED, "%s: %s%s%s: element type %s is not supported",
                          in->op, in->path, space, a->name, a->type);
    if (sy__in_read(in, a->offset, a->bytes, dst, err) != 0)
        return -1;
    int wrong = a->dtype == SY_BOOL ? sy__bool_check(dst, a->bytes) : -1;
    if (wrong >= 0)
        return sy_err_set(err, SY_E_FORMAT, "%s: %s%s%s: a boolean is neither 0 nor 1: %d", in->op,
                          in->path, space, a->name, wrong);
    return 0;
}

void sy__in_close(struct sy__in *in)
{
    if (in->fd >= 0)
        close(in->fd);
    in->fd = -1;
    sy_free(in->path);
    in->path = NULL;
}
