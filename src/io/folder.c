/* See folder.h.  Layer: io.
 *
 * The exchange is one system call, renameat2 with RENAME_EXCHANGE (Linux 3.15): the new folder
 * takes the name and the old one the temporary's, under which it is removed. */
#include "io/folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int no_memory(const char *path, struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "%s: out of memory", path);
}

static bool is_known(const char *name, const char *const *known)
{
    for (; *known; known++)
        if (!strcmp(*known, name))
            return true;
    return false;
}

/* The folder that `path` names: without slashes at the end, links resolved.  Owned, or NULL. */
static char *target_of(const char *path, struct sy_err *err)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *real = realpath(path, NULL); /* of the C library, hence the copy */
    char *copy = real ? sy_strdup(real) : sy_strndup(path, n);
    free(real);
    if (!copy)
        no_memory(path, err);
    return copy;
}

/* 0 when nothing would be lost by replacing it; *exists tells whether it is there. */
static int check_old(const char *path, const char *const *known, bool *exists, struct sy_err *err)
{
    struct stat st;
    *exists = lstat(path, &st) == 0;
    if (!*exists)
        return errno == ENOENT ? 0 : sy_err_sys(err, errno, "%s: cannot save", path);
    if (!S_ISDIR(st.st_mode))
        return sy_err_set(err, SY_E_IO, "%s: cannot save: it is a file, and a folder is wanted",
                          path);
    DIR *dir = opendir(path);
    if (!dir)
        return sy_err_sys(err, errno, "%s: cannot open", path);
    int r = 0;
    for (struct dirent *e; !r && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            !is_known(e->d_name, known))
            r = sy_err_set(err, SY_E_IO, "%s: cannot save: the folder holds something else: %s",
                           path, e->d_name);
    closedir(dir);
    return r;
}

static int make_parent(const char *path, struct sy_err *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return 0;
    char *parent = sy_strndup(path, (size_t)(slash - path));
    int r = parent ? sy_dir_make(parent, err) : no_memory(path, err);
    sy_free(parent);
    return r;
}

static void drop_folder(const char *temporary, void *ctx)
{
    sy_folder_drop(temporary, *(const char *const *const *)ctx);
}

int sy_folder_begin(const char *path, const char *const *known, char **temp, struct sy_err *err)
{
    static atomic_uint serial;
    bool exists;
    struct sy_str name = SY_STR_INIT;
    char *target = target_of(path, err);
    int r = target && !check_old(target, known, &exists, err) && !make_parent(target, err) ? 0 : -1;
    if (!r)
        sy_file_stale(target, drop_folder, &known);
    while (!r) {
        sy_str_clear(&name);
        sy_str_printf(&name, "%s.tmp-%ld-%u", target, (long)getpid(), atomic_fetch_add(&serial, 1));
        if (name.failed)
            r = no_memory(path, err);
        else if (mkdir(name.data, 0777) == 0)
            break;
        else if (errno != EEXIST)
            r = sy_err_sys(err, errno, "%s: cannot make", name.data);
    }
    sy_free(target);
    if (r)
        sy_str_free(&name);
    *temp = name.data;
    return r;
}

void sy_folder_drop(const char *temp, const char *const *known)
{
    int fd = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (; *known; known++)
        unlinkat(fd, *known, 0);
    close(fd);
    rmdir(temp);
}

static int sync_parent(const char *path, struct sy_err *err)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + (slash == path) : 1;
    char *parent = sy_strndup(slash ? path : ".", n);
    if (!parent)
        return no_memory(path, err);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sy_free(parent);
    if (fd < 0)
        return sy_err_sys(err, errno, "%s: cannot open the folder of", path);
    int r = fsync(fd) != 0 && errno != EINVAL ? sy_err_sys(err, errno, "%s: cannot sync", path) : 0;
    close(fd);
    return r;
}

/* Both exist: afterwards temp holds the old one.  0, or -1 with errno. */
static int exchange_folders(const char *temp, const char *path)
{
#ifdef RENAME_EXCHANGE
    if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
#endif
    struct sy_str old = SY_STR_INIT;
    sy_str_printf(&old, "%s.old", temp);
    errno = ENOMEM;
    int r = old.failed || rename(path, old.data) || rename(temp, path) || rename(old.data, temp);
    int cause = errno;
    sy_str_free(&old);
    errno = cause;
    return r ? -1 : 0;
}

int sy_folder_commit(const char *temp, const char *path, const char *const *known,
                     struct sy_err *err)
{
    bool exists;
    char *target = target_of(path, err);
    if (!target || check_old(target, known, &exists, err)) {
        sy_free(target);
        return -1;
    }
    int r = exists ? exchange_folders(temp, target) : rename(temp, target);
    if (r)
        sy_err_sys(err, errno, "%s: cannot put the new folder there", target);
    else {
        if (exists)
            sy_folder_drop(temp, known);
        r = sync_parent(target, err);
    }
    sy_free(target);
    return r ? -1 : 0;
}
