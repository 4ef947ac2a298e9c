/* Files: whole-file reads with clear errors, atomic replacement.  All functions report IO or
 * NOTFOUND with the path. */
#ifndef SY_BASE_FILE_H
#define SY_BASE_FILE_H
#include "base/str.h"
#include "switchyard/err.h"
#include <stdint.h>
/* Append the file's bytes to out; refuses more than `max` bytes (0: no limit) and directories. */
int sy_file_read(const char *path, size_t max, struct sy_str *out, struct sy_err *err);
/* Write to a temporary beside it, fsync, rename, fsync the directory: old or new, never half. */
int sy_file_replace(const char *path, const void *data, size_t n, struct sy_err *err);
int sy_dir_make(const char *path, struct sy_err *err); /* with parents; existing is fine */
#endif
