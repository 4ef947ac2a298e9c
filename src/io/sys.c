/* See sys.h.  A call asks `refused` first; nothing else here is more than the call itself. */
#include "io/sys.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static _Atomic int64_t fail_at;
static _Atomic(sy_sys_hook) the_hook;
static void *_Atomic hook_ctx;

void sy_sys_fail_at(int64_t n) { atomic_store(&fail_at, n); }

void sy_sys_set_hook(sy_sys_hook hook, void *ctx)
{
    atomic_store(&the_hook, NULL);
    atomic_store(&hook_ctx, ctx);
    atomic_store(&the_hook, hook);
}

/* 0: make the call; -1: it fails, errno is set; 1: make half of it. */
static int refused(const struct sy_sys_call *call)
{
    if (call->kind < SY_SYS_READ_OPEN && atomic_load(&fail_at) > 0 &&
        atomic_fetch_sub(&fail_at, 1) == 1) {
        errno = EIO;
        return -1;
    }
    sy_sys_hook hook = atomic_load(&the_hook);
    int answer = hook ? hook(atomic_load(&hook_ctx), call) : 0;
    if (answer > 0)
        errno = answer;
    return answer == SY_SYS_SHORT ? 1 : answer ? -1 : 0;
}

static bool path_refused(enum sy_sys_kind kind, const char *path, const char *to)
{
    return refused(&(struct sy_sys_call){.kind = kind, .path = path, .to = to}) < 0;
}

int sy_sys_open(const struct sy_dir *in, const char *path)
{
    if (path_refused(SY_SYS_OPEN, path, NULL))
        return -1;
    int at = sy_dir_at(in, &path);
    return openat(at, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

int sy_sys_reserve(int fd, const char *path, uint64_t n)
{
    if (refused(&(struct sy_sys_call){.kind = SY_SYS_RESERVE, .path = path, .n = n}) < 0)
        return -1;
#ifdef __linux__
    if (n > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)n) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        return -1;
#else
    (void)fd;
#endif
    return 0;
}

ssize_t sy_sys_write(int fd, const char *path, const void *data, size_t n)
{
    int r =
        refused(&(struct sy_sys_call){.kind = SY_SYS_WRITE, .path = path, .data = data, .n = n});
    return r < 0 ? -1 : write(fd, data, r && n > 1 ? n / 2 : n);
}

int sy_sys_fsync(int fd, const char *path)
{
    return path_refused(SY_SYS_FSYNC, path, NULL) ? -1 : fsync(fd);
}

int sy_sys_close(int fd, const char *path)
{
    bool broken = path_refused(SY_SYS_CLOSE, path, NULL);
    int cause = errno;
    if (close(fd) != 0)
        return -1;
    errno = cause;
    return broken ? -1 : 0;
}

int sy_sys_rename(const struct sy_dir *in, const char *path, const char *to)
{
    if (path_refused(SY_SYS_RENAME, path, to))
        return -1;
    int from_at = sy_dir_at(in, &path), to_at = sy_dir_at(in, &to);
    return renameat(from_at, path, to_at, to);
}

int sy_sys_exchange(const struct sy_dir *in, const char *path, const char *to)
{
    if (path_refused(SY_SYS_EXCHANGE, path, to))
        return -1;
#ifdef RENAME_EXCHANGE
    int from_at = sy_dir_at(in, &path), to_at = sy_dir_at(in, &to);
    return renameat2(from_at, path, to_at, to, RENAME_EXCHANGE);
#else
    (void)in;
    errno = ENOSYS;
    return -1;
#endif
}

int sy_sys_link(const struct sy_dir *in, const char *path, const char *to)
{
    if (path_refused(SY_SYS_LINK, path, to))
        return -1;
    int to_at = sy_dir_at(in, &to);
    return linkat(AT_FDCWD, path, to_at, to, 0);
}

int sy_sys_mkdir(const struct sy_dir *in, const char *path)
{
    if (path_refused(SY_SYS_MKDIR, path, NULL))
        return -1;
    int at = sy_dir_at(in, &path);
    return mkdirat(at, path, 0777);
}

static int unlink_as(enum sy_sys_kind kind, const struct sy_dir *in, const char *path, int flags)
{
    if (path_refused(kind, path, NULL))
        return -1;
    int at = sy_dir_at(in, &path);
    return unlinkat(at, path, flags);
}

int sy_sys_unlink(const struct sy_dir *in, const char *path)
{
    return unlink_as(SY_SYS_UNLINK, in, path, 0);
}

int sy_sys_rmdir(const struct sy_dir *in, const char *path)
{
    return unlink_as(SY_SYS_RMDIR, in, path, AT_REMOVEDIR);
}

int sy_sys_sync_folder(const struct sy_dir *in, const char *path)
{
    const char *name = path;
    int at = sy_dir_at(in, &name);
    if (path_refused(SY_SYS_OPEN_FOLDER, path, NULL))
        return -1;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int r = path_refused(SY_SYS_FSYNC_FOLDER, path, NULL) ? -1 : fsync(fd), cause = errno;
    if (r != 0 && (cause == EINVAL || cause == ENOTSUP))
        r = 0; /* folders cannot be synchronized here */
    close(fd);
    errno = cause;
    return r;
}

int sy_sys_space(const struct sy_dir *in, const char *path, uint64_t *bytes)
{
    struct statvfs s;
    if (path_refused(SY_SYS_SPACE, path, NULL) ||
        (in ? fstatvfs(in->fd, &s) : statvfs(path, &s)) != 0)
        return -1;
    *bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_frsize;
    return 0;
}

int sy_sys_read_open(const struct sy_dir *in, const char *path)
{
    if (path_refused(SY_SYS_READ_OPEN, path, NULL))
        return -1;
    int at = sy_dir_at(in, &path);
    return sy_file_open(at, path, O_RDONLY);
}

ssize_t sy_sys_read(int fd, const char *path, void *data, size_t n, uint64_t offset)
{
    int r = refused(&(struct sy_sys_call){.kind = SY_SYS_READ, .path = path, .n = n});
    return r < 0 ? -1 : pread(fd, data, r && n > 1 ? n / 2 : n, (off_t)offset);
}
