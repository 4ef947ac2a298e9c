/* Files: whole-file reads with clear errors, atomic replacement.  All functions report IO or
 * NOTFOUND with the path. */
#ifndef SY_BASE_FILE_H
#define SY_BASE_FILE_H
#include "base/str.h"
#include "switchyard/err.h"
#include <stdint.h>
/* Open a regular file without waiting for anyone: what else bears the name (a named pipe, a device,
 * a folder) is refused.  `at`: the folder that a relative path begins in, or AT_FDCWD; flags: as
 * open's; with O_NOFOLLOW a symbolic link is refused as well.  The descriptor, or -1 and errno,
 * which may be SY_NOT_A_FILE or SY_IS_A_LINK (sy_err_sys spells them). */
int sy_file_open(int at, const char *path, int flags);
/* Append the file's bytes to out; refuses more than `max` bytes (0: no limit), and what is no
 * regular file. */
int sy_file_read(const char *path, size_t max, struct sy_str *out, struct sy_err *err);
/* Write to a temporary beside it, fsync, rename, fsync the directory: old or new, never half. */
int sy_file_replace(const char *path, const void *data, size_t n, struct sy_err *err);
/* PATH.tmp-PID-N, what is made before it gets the name PATH: call drop for each whose process is
 * not there any more (it was killed meanwhile). */
void sy_file_stale(const char *path, void (*drop)(const char *temporary, void *ctx), void *ctx);
int sy_dir_make(const char *path, struct sy_err *err); /* with parents; existing is fine */
#endif
