/* The system calls by which files are written and read, in one place, so that tests can fail any of
 * them, watch them, or end the program at any of them.  Layer: io.
 *
 * Every call behaves as the system's: 0 or a count, or -1 and errno.  `in` is the folder, held
 * open, in which the paths are, or NULL (base/dir.h).  A path beside a descriptor is for the
 * hook. */
#ifndef SY_IO_SYS_H
#define SY_IO_SYS_H

#include "base/dir.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum sy_sys_kind {
    SY_SYS_OPEN,        /* for writing, made anew */
    SY_SYS_RESERVE,     /* blocks for n bytes; file systems that cannot are no error */
    SY_SYS_WRITE,
    SY_SYS_FSYNC,
    SY_SYS_CLOSE,       /* when it is to fail the file is closed all the same */
    SY_SYS_RENAME,
    SY_SYS_OPEN_FOLDER,
    SY_SYS_FSYNC_FOLDER,
    SY_SYS_EXCHANGE,    /* two names change places, at once */
    SY_SYS_LINK,
    SY_SYS_MKDIR,
    SY_SYS_UNLINK,
    SY_SYS_RMDIR,
    SY_SYS_SPACE,
    SY_SYS_READ_OPEN,   /* from here on: reading; sy__out_fail_at does not count them */
    SY_SYS_READ
};

struct sy_sys_call {
    enum sy_sys_kind kind;
    const char *path, *to; /* to: RENAME, EXCHANGE, LINK */
    const void *data;      /* WRITE */
    size_t n;              /* WRITE, READ, RESERVE */
};

#define SY_SYS_SHORT (-1)
/* Tests: called before every call, from whatever thread makes it.  0: go on; an errno: fail with
 * it; SY_SYS_SHORT: write or read half of it (at least a byte).  NULL: none. */
typedef int (*sy_sys_hook)(void *ctx, const struct sy_sys_call *call);
void sy_sys_set_hook(sy_sys_hook hook, void *ctx);

int sy_sys_open(const struct sy_dir *in, const char *path); /* O_WRONLY | O_CREAT | O_EXCL */
int sy_sys_reserve(int fd, const char *path, uint64_t n);
ssize_t sy_sys_write(int fd, const char *path, const void *data, size_t n);
int sy_sys_fsync(int fd, const char *path);
int sy_sys_close(int fd, const char *path);
int sy_sys_rename(const struct sy_dir *in, const char *path, const char *to);
/* ENOSYS, EINVAL where there is no such call */
int sy_sys_exchange(const struct sy_dir *in, const char *path, const char *to);
int sy_sys_link(const struct sy_dir *in, const char *path, const char *to); /* `to` is in it */
int sy_sys_mkdir(const struct sy_dir *in, const char *path);
int sy_sys_unlink(const struct sy_dir *in, const char *path);
int sy_sys_rmdir(const struct sy_dir *in, const char *path);
/* open, fsync; a file system that cannot is no error */
int sy_sys_sync_folder(const struct sy_dir *in, const char *path);
/* that we may still take */
int sy_sys_space(const struct sy_dir *in, const char *path, uint64_t *bytes);
/* as sy_file_open; a link is followed */
int sy_sys_read_open(const struct sy_dir *in, const char *path);
ssize_t sy_sys_read(int fd, const char *path, void *data, size_t n, uint64_t offset);

/* Tests: let writing call number n from now (1 = the next) fail with EIO; 0 never. */
void sy_sys_fail_at(int64_t n);

#endif
