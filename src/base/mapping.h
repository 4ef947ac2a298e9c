/* A file's bytes as memory that is only read.  Thread-safe, but for closing.
 *
 *  1. A file may be cut or written over while it is mapped, by anyone.  An access beyond its end
 *     reads zeros then, and so does the rest of its last page: nobody crashes, and nothing that was
 *     read can be believed.  So whoever computed from a mapping asks sy_mapping_check afterwards.
 *  2. What it sees: a page that was missing, another size, another time of modification.  (A file
 *     that is written over within the clock tick of its opening, and not cut, is not seen.) */
#ifndef SY_BASE_MAPPING_H
#define SY_BASE_MAPPING_H

#include "switchyard/err.h"

#include <stdint.h>

struct sy_mapping;
/* All of the regular file fd, which stays the caller's; path is for messages.  Owned. */
struct sy_mapping *sy_mapping_open(int fd, const char *op, const char *path, struct sy_err *err);
void sy_mapping_close(struct sy_mapping *m); /* NULL is fine */
const unsigned char *sy_mapping_data(const struct sy_mapping *m);
uint64_t sy_mapping_size(const struct sy_mapping *m); /* when it was opened, bytes */
const char *sy_mapping_path(const struct sy_mapping *m);
/* 0, or IO: it is not what was mapped: "sum: w.safetensors changed while it was mapped: ..." */
int sy_mapping_check(const struct sy_mapping *m, const char *op, struct sy_err *err);

#endif
