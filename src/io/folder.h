/* Replacing a folder of files (a saved model) as a whole.  Layer: io.
 *
 *     begin(path) -> temp, a new folder beside it     the caller writes files into temp
 *     commit(temp, path)                              path is the new folder now, synced
 *     drop(temp)                                      gives up: removes temp
 *
 *  1. At every moment path is the old folder or the new one.  (Where the file system cannot
 *     exchange names there is a moment without either; the old one then lies beside it as
 *     temp + ".old".)
 *  2. An existing folder is replaced only when all it holds are files of the names in `known`: no
 *     work of the user's is ever removed.
 *
 * Errors: IO, NOTFOUND, MEMORY, with the path. */
#ifndef SY_IO_FOLDER_H
#define SY_IO_FOLDER_H

#include "switchyard/err.h"

/* known: NULL-terminated.  *temp is owned (sy_free) by the caller.  Makes missing parents. */
int sy_folder_begin(const char *path, const char *const *known, char **temp, struct sy_err *err);
int sy_folder_commit(const char *temp, const char *path, const char *const *known,
                     struct sy_err *err);
void sy_folder_drop(const char *temp, const char *const *known); /* known files, then the folder */

#endif
