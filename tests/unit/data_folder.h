/* What the tests of reading data share: a folder of their own, files in it, and what a corpus made
 * of them is compared with. */
#ifndef SY_TESTS_DATA_FOLDER_H
#define SY_TESTS_DATA_FOLDER_H

#include "switchyard/data.h"

#include <stdbool.h>
#include <stddef.h>

bool make_folder(void); /* in /tmp; before anything else here */
void remove_folder(void);
const char *in_folder(const char *name); /* its path; the last 16 of them stay valid */

void put(const char *name, const void *data, size_t n);
void put_text(const char *name, const char *text);
void put_gzip(const char *name, const char *text, size_t n); /* packed, at most 1 MiB */
size_t gzip(const char *text, size_t n, unsigned char *out, size_t cap);

/* The corpus of one file or folder; *err is begun anew. */
struct sy_corpus *read_with(const char *name, struct sy_read_options read, struct sy_err *err);
/* All bytes of a corpus of the byte tokenizer, up to 4,095 of them; valid until the next call. */
const char *text_of(const struct sy_corpus *c);
/* As what its files were read; "" of NULL. */
const char *reading_of(const struct sy_corpus *c);

/* Cases: the file's text is `want`, and what it was read as has `reading` in it (NULL: any); the
 * file is refused by one line with `part` in it. */
void is_with(const char *name, struct sy_read_options o, const char *want, const char *reading);
void is_text(const char *name, const char *want, const char *reading);
void refused_with(const char *name, struct sy_read_options o, enum sy_code code, const char *part);
void refused(const char *name, enum sy_code code, const char *part);
/* A case: each allocation of make fails once; then it gives NULL and MEMORY, and leaves nothing. */
void without_memory(struct sy_corpus *(*make)(struct sy_err *), const char *what);

#endif
