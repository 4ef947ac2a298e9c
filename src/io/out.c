/* Writing atomically: temporary, fsync, rename, fsync of the folder.  Layer: io.
 *
 *  1. The target's name never stands for anything but a whole file: old until rename, new after it.
 *  2. An fsync or close that fails is final; it is not tried again, since the kernel may have
 *     dropped the pages and would then report success.
 *  3. On any failure the temporary is removed.
 *  4. After the rename a failing fsync of the folder is still reported: the new file is there, but
 *     may not survive a power cut.
 */
#include "io/io_int.h"

#include "base/mem.h"
#include "base/str.h"
#include "io/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MOST ((uint64_t)1 << 30) /* of one write */

static _Atomic uint32_t serial; /* two writers of one path in one process */

void sy__out_fail_at(int64_t n) { sy_sys_fail_at(n); }

static int fail_writing(const struct sy__out *out, const char *what, struct sy_err *err)
{
    return sy_err_sys(err, errno, "%s: cannot %s %s", out->op, what, out->path);
}

static char *temp_name(const char *path)
{
    struct sy_str s = SY_STR_INIT;
    sy_str_printf(&s, "%s.%ld-%u.tmp", path, (long)getpid(),
                  (unsigned)atomic_fetch_add(&serial, 1));
    if (s.failed)
        sy_str_free(&s);
    return s.data;
}

int sy__out_open(struct sy__out *out, const char *op, const struct sy_dir *dir, const char *path,
                 uint64_t size, bool direct, struct sy_err *err)
{
    *out = (struct sy__out){.fd = -1, .op = op, .dir = dir, .path = sy_strdup(path),
                            .direct = direct, .temp = direct ? sy_strdup(path) : temp_name(path)};
    if (out->path == NULL || out->temp == NULL) {
        sy_err_set(err, SY_E_MEMORY, "%s: out of memory writing %s", op, path);
        sy__out_abort(out);
        return -1;
    }
    sy_hash_init(&out->hash);
    out->fd = sy_sys_open(dir, out->temp);
    if (out->fd < 0 || sy_sys_reserve(out->fd, out->temp, size) != 0) {
        fail_writing(out, "write", err);
        sy__out_abort(out);
        return -1;
    }
    return 0;
}

int sy__out_write(struct sy__out *out, const void *data, uint64_t n, struct sy_err *err)
{
    const char *from = data;
    while (n > 0) {
        ssize_t put = sy_sys_write(out->fd, out->temp, from, n < MOST ? n : MOST);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail_writing(out, "write", err);
        sy_hash_update(&out->hash, from, (size_t)put);
        out->written += (uint64_t)put;
        from += put;
        n -= (uint64_t)put;
    }
    return 0;
}

static int sync_folder(const struct sy__out *out, struct sy_err *err)
{
    const char *slash = strrchr(out->path, '/');
    size_t n = slash ? (size_t)(slash - out->path) + (slash == out->path) : 1;
    char *folder = sy_strndup(slash ? out->path : ".", n);
    if (folder == NULL)
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory writing %s", out->op, out->path);
    int r = sy_sys_sync_folder(out->dir, folder);
    if (r != 0)
        fail_writing(out, "sync the folder of", err);
    sy_free(folder);
    return r;
}

static int close_file(struct sy__out *out)
{
    int fd = out->fd;
    out->fd = -1;
    return sy_sys_close(fd, out->temp);
}

int sy__out_commit(struct sy__out *out, struct sy_err *err)
{
    int r = -1;
    if (sy_sys_fsync(out->fd, out->temp) != 0)
        fail_writing(out, "sync", err);
    else if (close_file(out) != 0)
        fail_writing(out, "close", err);
    else if (!out->direct && sy_sys_rename(out->dir, out->temp, out->path) != 0)
        fail_writing(out, "rename to", err);
    else {
        sy_free(out->temp); /* it has the target's name now: nothing to remove */
        out->temp = NULL;
        r = out->direct ? 0 : sync_folder(out, err);
    }
    sy__out_abort(out);
    return r;
}

void sy__out_abort(struct sy__out *out)
{
    bool opened = out->fd >= 0;
    if (opened)
        close(out->fd);
    if (out->temp != NULL) {
        const char *name = out->temp;
        int at = sy_dir_at(out->dir, &name);
        unlinkat(at, name, 0); /* not through sys.h: the last resort of a failure */
    }
    sy_free(out->path);
    sy_free(out->temp);
    *out = (struct sy__out){.fd = -1};
}
