/* The files in a run's folder, for run_directory.c. */
#ifndef SY_RUN_RUN_FILES_INT_H
#define SY_RUN_RUN_FILES_INT_H

#include "run/store_int.h"

#include <sys/stat.h>

#define SY__PATH_MOST 4096
enum { SY__DB_FILES = 4 };
extern const char *const sy__db_files[SY__DB_FILES]; /* SQLite's: the first is the database */

int sy__run_path(char out[SY__PATH_MOST], const char *dir, const char *name, struct sy_err *err);
/* of a file in the store's folder */
int sy__stat_in(const struct sy_store *s, const char *name, struct stat *st);
void sy__file_note(const struct sy_store *s, const char *name, struct sy__file *f);
bool sy__file_is(const struct sy__file *a, const struct sy__file *b); /* both there, and the same */

#endif
