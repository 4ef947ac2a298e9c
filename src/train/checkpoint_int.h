/* Checkpoints inside: the files of one folder (checkpoint_files.c) for who handles the folders
 * (checkpoint.c).  Layer train. */
#ifndef SY_TRAIN_CHECKPOINT_INT_H
#define SY_TRAIN_CHECKPOINT_INT_H

#include "train/checkpoint.h"

#define OP "checkpoint"
#define SY__FILES 4

extern const char *const sy__file_names[SY__FILES]; /* MANIFEST is one more */

int sy__path_join(char out[SY_PATH_MAX], const char *dir, const char *name, struct sy_err *err);
/* "cannot WHAT PATH: " and errno's text; -1. */
int sy__failed(const char *what, const char *path, struct sy_err *err);
/* All files of a checkpoint into the empty folder `dir`, which is in `in`; MANIFEST last;
 * synchronized.  0, or -1 and err. */
int sy__files_write(const struct sy_dir *in, const char *dir, const struct sy_image *image,
                    struct sy_err *err);
/* Whether MANIFEST holds and, with contents, what it says of the files.  0, or -1 and err; out in
 * both cases. */
int sy__files_look(const struct sy_dir *in, const char *path, bool contents, struct sy_saved *out,
                   struct sy_err *err);
/* The MANIFEST of `from` for another run, into `dir` (in `in`). */
int sy__manifest_for(const struct sy_dir *in, const char *from, const char *dir, const char *id,
                     struct sy_err *err);
/* IO, by name: it bears another id. */
int sy__check_id(const struct sy_saved *s, const char *id, struct sy_err *err);

#endif
