/* A map from byte strings to 64-bit values: word counts in training, cached ids in encoding, token
 * ids while loading.  Open addressing, linear probing, at most half full.  Keys of up to 16 bytes
 * stand in their slots, longer ones in one pool.  Nothing is removed one by one. */
#ifndef SY_DATA_WORD_MAP_INT_H
#define SY_DATA_WORD_MAP_INT_H

#include <stddef.h>
#include <stdint.h>

struct sy__word { /* 32 bytes, two in a cache line */
    uint32_t hash;
    uint32_t tag;  /* length + 1; 0: the slot is free */
    uint64_t a, b; /* length <= 16: all of the key (word_map.c); else a is its start in the pool */
    int64_t value;
};

struct sy__words {
    struct sy__word *slot; /* owned; NULL while empty */
    uint32_t slots;        /* a power of two */
    uint32_t used;
    char *pool; /* owned */
    size_t pool_len, pool_cap;
};

/* The value of a key, made 0 when the key is new.  NULL: out of memory, or 2^30 keys.  The pointer
 * is good until the next call.  Keys are shorter than 4 GiB. */
int64_t *sy__words_at(struct sy__words *w, const char *key, size_t len);
/* The value, or NULL when the key is not there. */
const int64_t *sy__words_find(const struct sy__words *w, const char *key, size_t len);
void sy__words_clear(struct sy__words *w); /* keeps the memory */
void sy__words_free(struct sy__words *w);

/* The key of a slot in use, in the pool or put into `room`. */
const char *sy__word_bytes(const struct sy__words *w, const struct sy__word *word, char room[16]);
static inline uint32_t sy__word_len(const struct sy__word *word)
{
    return word->tag - 1;
}

#endif
