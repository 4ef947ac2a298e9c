/* Numbers for names: 0, 1, 2 ... in the order in which they come.  A hash table (open addressing,
 * never more than half full).  Layer run.  The names are borrowed and must stay.  Not
 * thread-safe. */
#ifndef SY_RUN_NAMES_H
#define SY_RUN_NAMES_H

#include <stddef.h>

struct sy_names {
    const char **list; /* owned */
    int count;
    size_t room;
    int *slots;    /* owned; number + 1, 0: empty */
    size_t nslots; /* 0, or a power of two of at least 2 * count */
};
#define SY_NAMES_INIT {NULL, 0, 0, NULL, 0}

int sy_names_find(const struct sy_names *names, const char *name); /* -1: it is not there */
int sy_names_add(struct sy_names *names, const char *name);        /* its number; -1: no memory */
void sy_names_free(struct sy_names *names);

#endif
