/* Sources from inside: shared by source.c (live) and source_stored.c. */
#ifndef SY_RUN_SOURCE_INT_H
#define SY_RUN_SOURCE_INT_H

#include "run/source.h"
#include "run/names.h"

#include <pthread.h>
#include <stdatomic.h>

struct sy__source_series {
    char *name; /* owned; its address stays */
    int width;
    struct sy_series_what what;
};

/* All but `free` are called with the source's lock held, and not after it was closed. */
struct sy__source_ops {
    void (*look)(struct sy_source *s); /* bring `list` up to date */
    void (*status)(struct sy_source *s, struct sy_source_status *out);
    int64_t (*after)(struct sy_source *s, int series, int64_t after, int64_t n, int64_t *steps,
                     float *values);
    int64_t (*at)(struct sy_source *s, int series, int64_t step, float *values);
    int64_t (*cut)(struct sy_source *s, uint64_t *seen);
    int (*marks)(struct sy_source *s, int first, struct sy_mark *out, int n);
    bool (*poll)(struct sy_source *s);
    void (*free)(struct sy_source *s);
    bool live;
};

struct sy__source_words {
    char **word; /* owned, as each is */
    int count;
    size_t room;
};

struct sy_source {
    const struct sy__source_ops *ops;
    atomic_int refs;
    pthread_mutex_t lock; /* what follows, and what ops have behind it */
    bool closed;
    struct sy_source_status status; /* the last that was known */
    struct sy__source_series *list; /* owned */
    int count;
    size_t room;
    struct sy_names names; /* of list */
    struct sy__source_words called[SY_SOURCE_LISTS];
};

int sy__source_init(struct sy_source *s, const struct sy__source_ops *ops, const char *name);
/* Append to the list: 0, or -1 without memory. */
int sy__source_add(struct sy_source *s, const char *name, int width,
                   const struct sy_series_what *what);
/* sy_source_call with the lock held. */
int sy__source_call(struct sy_source *s, enum sy_source_list list, const char *name);

#endif
