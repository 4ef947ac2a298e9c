/* Whole files; see base/file.h.  Layer base, on str and err. */
#include "base/file.h"

#include "base/grow.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)

static int set_cause(struct sy_err *err, int cause, const char *path, const char *verb)
{
    if (cause == ENOENT)
        return sy_err_set(err, SY_E_NOTFOUND, "%s: %s", path, "no such file or directory");
    return sy_err_sys(err, cause, "%s: cannot %s", path, verb);
}

/* ---- opening ---- */

static int not_a_file(mode_t mode)
{
    errno = S_ISDIR(mode) ? EISDIR : S_ISLNK(mode) ? SY_IS_A_LINK : SY_NOT_A_FILE;
    return -1;
}

/* The name is looked at first, since opening a device may be an act by itself; and what was opened
 * afterwards, since it may be another file's name by then. */
int sy_file_open(int at, const char *path, int flags)
{
    struct stat st;
    int look = flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
    if (fstatat(at, path, &st, look) == 0 && !S_ISREG(st.st_mode))
        return not_a_file(st.st_mode);
    int fd = openat(at, path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    close(fd);
    return not_a_file(st.st_mode);
}

/* ---- reading ---- */

static int too_long(struct sy_err *err, const char *path, size_t max)
{
    return sy_err_set(err, SY_E_RANGE, "%s: longer than the limit of %zu bytes", path, max);
}

/* Make room first: bytes then go straight into the string. */
static int read_some(int fd, size_t want, struct sy_str *out, ssize_t *got)
{
    size_t len = out->len, need;
    if (sy_add_size(len, want + 1, &need) != 0)
        return -1;
    if (SY_GROW(out->data, out->cap, need))
        return -1;
    do
        *got = read(fd, out->data + len, want);
    while (*got < 0 && errno == EINTR);
    if (*got > 0)
        out->len += (size_t)*got;
    out->data[out->len] = '\0';
    return 0;
}

static int read_all(int fd, const char *path, size_t max, struct sy_str *out, struct sy_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return set_cause(err, errno, path, "read");
    size_t size = st.st_size > 0 ? (size_t)st.st_size : 0, had = out->len;
    if (max > 0 && size > max)
        return too_long(err, path, max);
    /* One byte more than the file says: its end is seen without another round of growing. */
    size_t want = size > 0 ? size + 1 : CHUNK;
    for (;;) {
        ssize_t got;
        if (read_some(fd, want, out, &got) != 0)
            return sy_err_set(err, SY_E_MEMORY, "%s: no memory for %zu bytes", path, want);
        if (got < 0)
            return set_cause(err, errno, path, "read");
        if (got == 0)
            return 0;
        if (max > 0 && out->len - had > max)
            return too_long(err, path, max);
        want = (size_t)got < want ? want - (size_t)got : CHUNK;
    }
}

int sy_file_read(const char *path, size_t max, struct sy_str *out, struct sy_err *err)
{
    int fd = sy_file_open(AT_FDCWD, path, O_RDONLY);
    if (fd < 0)
        return set_cause(err, errno, path, "open");
    int status = read_all(fd, path, max, out, err);
    close(fd);
    return status;
}

/* ---- atomic replacement ---- */

static int write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, data, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        data += put;
        n -= (size_t)put;
    }
    return 0;
}

/* The folder's entry must be on disk too, or the rename may be lost with the power. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash          ? sy_strdup(".")
                   : slash == path ? sy_strdup("/")
                                   : sy_strndup(path, (size_t)(slash - path));
    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sy_free(folder);
    if (fd < 0)
        return -1;
    int status = fsync(fd);
    if (status != 0 && (errno == EINVAL || errno == ENOTSUP))
        status = 0; /* a file system that cannot */
    close(fd);
    return status;
}

static int write_temporary(const char *temporary, const void *data, size_t n)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return -1;
    int status = write_all(fd, data, n) == 0 && fsync(fd) == 0 ? 0 : -1;
    int cause = errno;
    if (close(fd) != 0 && status == 0)
        return -1;
    errno = cause;
    return status;
}

/* The process of a name's end, PID-N; 0: it is another's name. */
static pid_t owner_of(const char *end)
{
    char *rest;
    errno = 0;
    long pid = *end >= '0' && *end <= '9' ? strtol(end, &rest, 10) : 0;
    bool good = pid > 0 && pid < INT32_MAX && !errno && *rest == '-' && rest[1] &&
                strspn(rest + 1, "0123456789") == strlen(rest + 1);
    return good ? (pid_t)pid : 0;
}

void sy_file_stale(const char *path, void (*drop)(const char *temporary, void *ctx), void *ctx)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct sy_str folder = SY_STR_INIT, start = SY_STR_INIT, whole = SY_STR_INIT;
    sy_str_printf(&folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    sy_str_printf(&start, "%s.tmp-", name);
    DIR *d = folder.failed || start.failed ? NULL : opendir(folder.data);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        pid_t owner =
            strncmp(e->d_name, start.data, start.len) ? 0 : owner_of(e->d_name + start.len);
        if (!owner || owner == getpid() || !kill(owner, 0) || errno != ESRCH)
            continue;
        sy_str_clear(&whole);
        sy_str_printf(&whole, "%s%s", slash ? folder.data : "", e->d_name);
        if (!whole.failed)
            drop(whole.data, ctx);
    }
    if (d)
        closedir(d);
    sy_str_free(&folder);
    sy_str_free(&start);
    sy_str_free(&whole);
}

static void drop_file(const char *temporary, void *ctx)
{
    (void)ctx;
    unlink(temporary);
}

int sy_file_replace(const char *path, const void *data, size_t n, struct sy_err *err)
{
    static _Atomic uint32_t serial;
    struct sy_str temporary = SY_STR_INIT;
    sy_str_printf(&temporary, "%s.tmp-%ld-%" PRIu32, path, (long)getpid(),
                  atomic_fetch_add(&serial, 1));
    if (temporary.failed) {
        sy_str_free(&temporary);
        return sy_err_set(err, SY_E_MEMORY, "%s: no memory for its name", path);
    }
    int status = 0;
    sy_file_stale(path, drop_file, NULL);
    if (write_temporary(temporary.data, data, n) != 0 || rename(temporary.data, path) != 0) {
        status = set_cause(err, errno, path, "write");
        unlink(temporary.data);
    } else if (sync_folder(path) != 0) {
        status = set_cause(err, errno, path, "write");
    }
    sy_str_free(&temporary);
    return status;
}

/* ---- folders ---- */

static int make_one(const char *path, struct sy_err *err)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return 0;
    int cause = errno;
    if (cause == EEXIST && stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return 0;
        cause = ENOTDIR;
    }
    return set_cause(err, cause, path, "make folder");
}

int sy_dir_make(const char *path, struct sy_err *err)
{
    char *copy = sy_strdup(path);
    if (!copy)
        return sy_err_set(err, SY_E_MEMORY, "%s: no memory for its name", path);
    int status = 0;
    for (char *p = copy; *p && status == 0; p++) {
        if (*p != '/' || p == copy)
            continue;
        *p = '\0';
        status = make_one(copy, err);
        *p = '/';
    }
    if (status == 0)
        status = make_one(copy, err);
    sy_free(copy);
    return status;
}
