/* Rows of tables by their names. */
#ifndef SY_BASE_FIND_H
#define SY_BASE_FIND_H

#include <stddef.h>

/* Which of n rows of `size` bytes, whose first member is a const char *, has this name; or -1. */
int sy_find_name(const void *rows, size_t n, size_t size, const char *name);
/* Of qsort and bsearch over such rows. */
int sy_by_name(const void *a, const void *b);
/* Of a whole array. */
#define SY_FIND_NAME(rows, name) \
    sy_find_name(rows, sizeof(rows) / sizeof *(rows), sizeof *(rows), name)

#endif
