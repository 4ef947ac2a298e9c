/* Folders held open: what is done in one is done in that very folder, whatever has its name by now.
 * Layer base.
 *
 *  1. A path "in" a folder is the folder's own path, or that path, '/' and more.  Messages and
 *     tests see it whole; the system call goes to the open folder.  A path that is not in it, and
 *     one without a folder (NULL), is taken as it stands.
 *  2. On the way down nothing is followed: a symbolic link in place of a folder of ours is refused,
 *     for what is written or deleted through it is somebody else's.  The outermost folder may be
 *     one. */
#ifndef SY_BASE_DIR_H
#define SY_BASE_DIR_H

#include "switchyard/err.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct sy_dir {
    int fd;     /* -1: none */
    char *path; /* owned */
};
#define SY_DIR_INIT {-1, NULL}

/* The folder at `path`, in `in` or (NULL) by its path.  make: make it, and by a path its parents,
 * where it is missing.  Errors: NOTFOUND, IO (no folder, a link in `in`), MEMORY; *out is then
 * none. */
int sy_dir_open(struct sy_dir *out, const struct sy_dir *in, const char *path, bool make,
                struct sy_err *err);
void sy_dir_close(struct sy_dir *d);
/* For the system's ...at calls: the descriptor, and *path relative to it. */
int sy_dir_at(const struct sy_dir *in, const char **path);
/* lstat: 0, or -1 and errno. */
int sy_dir_stat(const struct sy_dir *in, const char *path, struct stat *st);
/* Is fd still the file of that name, or was it removed after it was opened? */
bool sy_dir_has(const struct sy_dir *in, const char *path, int fd);
/* Its entries, with closedir; NULL and errno.  A link is followed only without `in`. */
DIR *sy_dir_list(const struct sy_dir *in, const char *path);
/* Delete a folder of ours and all that is in it (folders up to a depth of 8); links are deleted,
 * not followed.  A missing one is fine. */
int sy_dir_remove(const struct sy_dir *in, const char *path, struct sy_err *err);

/* Has the folder its name still?  MOVED: it has another name, or none that can be reached, and what
 * is written goes there. */
enum sy_dir_state { SY_DIR_NAMED, SY_DIR_MOVED, SY_DIR_REMOVED };
enum sy_dir_state sy_dir_state(const struct sy_dir *d);
/* The path by which it can be reached now, into out[n]; false: it has none. */
bool sy_dir_where(const struct sy_dir *d, char *out, size_t n);

#endif
