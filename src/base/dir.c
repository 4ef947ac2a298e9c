/* See dir.h. */
#include "base/dir.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MOST 8

int sy_dir_at(const struct sy_dir *in, const char **path)
{
    size_t n = in ? strlen(in->path) : 0;
    const char *p = *path;
    if (!in || strncmp(p, in->path, n) != 0 || (p[n] && p[n] != '/'))
        return AT_FDCWD;
    p += n + strspn(p + n, "/");
    *path = *p ? p : ".";
    return in->fd;
}

static int open_folder(const struct sy_dir *in, const char *path)
{
    int at = sy_dir_at(in, &path);
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (in ? O_NOFOLLOW : 0));
    struct stat st;
    if (fd < 0 && errno == ENOTDIR && in && !fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) &&
        S_ISLNK(st.st_mode))
        errno = SY_IS_A_LINK;
    return fd;
}

static int make_folder(const struct sy_dir *in, const char *path, struct sy_err *err)
{
    if (!in)
        return sy_dir_make(path, err);
    const char *name = path;
    int at = sy_dir_at(in, &name);
    return !mkdirat(at, name, 0777) || errno == EEXIST
               ? 0
               : sy_err_sys(err, errno, "%s: cannot make folder", path);
}

int sy_dir_open(struct sy_dir *out, const struct sy_dir *in, const char *path, bool make,
                struct sy_err *err)
{
    *out = (struct sy_dir)SY_DIR_INIT;
    if (make && make_folder(in, path, err))
        return -1;
    int fd = open_folder(in, path);
    if (fd < 0)
        return errno == ENOENT
                   ? sy_err_set(err, SY_E_NOTFOUND, "%s: no such file or directory", path)
                   : sy_err_sys(err, errno, "%s: cannot open the folder", path);
    char *copy = sy_strdup(path);
    if (!copy) {
        close(fd);
        return sy_err_set(err, SY_E_MEMORY, "%s: no memory for its name", path);
    }
    *out = (struct sy_dir){fd, copy};
    return 0;
}

void sy_dir_close(struct sy_dir *d)
{
    if (d->fd >= 0)
        close(d->fd);
    sy_free(d->path);
    *d = (struct sy_dir)SY_DIR_INIT;
}

int sy_dir_stat(const struct sy_dir *in, const char *path, struct stat *st)
{
    int at = sy_dir_at(in, &path);
    return fstatat(at, path, st, AT_SYMLINK_NOFOLLOW);
}

static DIR *list_of(int fd)
{
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0) {
        int cause = errno;
        close(fd);
        errno = cause;
    }
    return list;
}

DIR *sy_dir_list(const struct sy_dir *in, const char *path)
{
    return list_of(open_folder(in, path));
}

/* ---- deleting ---- */

static int remove_at(int at, const char *name, int depth);

static int remove_inside(DIR *list, int depth)
{
    int rc = 0;
    for (struct dirent *e; !rc && (e = readdir(list)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_at(dirfd(list), e->d_name, depth + 1);
    return rc;
}

static int remove_at(int at, const char *name, int depth)
{
    if (!unlinkat(at, name, 0) || errno == ENOENT)
        return 0;
    if ((errno != EISDIR && errno != EPERM) || depth > DEPTH_MOST)
        return -1;
    DIR *list = list_of(openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!list)
        return -1;
    int rc = remove_inside(list, depth), cause = errno;
    closedir(list);
    errno = cause;
    return rc ? rc : unlinkat(at, name, AT_REMOVEDIR);
}

int sy_dir_remove(const struct sy_dir *in, const char *path, struct sy_err *err)
{
    const char *name = path;
    int at = sy_dir_at(in, &name);
    return remove_at(at, name, 0) ? sy_err_sys(err, errno, "%s: cannot delete", path) : 0;
}

/* ---- whether it is still where it was ---- */

static bool same_file(int fd, const struct stat *named)
{
    struct stat ours;
    return !fstat(fd, &ours) && ours.st_ino == named->st_ino && ours.st_dev == named->st_dev;
}

bool sy_dir_has(const struct sy_dir *in, const char *path, int fd)
{
    struct stat named;
    return !sy_dir_stat(in, path, &named) && same_file(fd, &named);
}

static bool is_folder_at(const struct sy_dir *d, const char *path)
{
    struct stat named;
    return !stat(path, &named) && same_file(d->fd, &named);
}

enum sy_dir_state sy_dir_state(const struct sy_dir *d)
{
    struct stat st;
    if (is_folder_at(d, d->path))
        return SY_DIR_NAMED;
    return !fstat(d->fd, &st) && st.st_nlink == 0 ? SY_DIR_REMOVED : SY_DIR_MOVED;
}

bool sy_dir_where(const struct sy_dir *d, char *out, size_t n)
{
    char link[64];
    if (is_folder_at(d, d->path))
        return (size_t)snprintf(out, n, "%s", d->path) < n;
    snprintf(link, sizeof link, "/proc/self/fd/%d", d->fd);
    ssize_t got = readlink(link, out, n - 1);
    if (got < 0)
        return false;
    out[got] = 0;
    return is_folder_at(d, out);
}
