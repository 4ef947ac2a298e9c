/* Byte-string map (words_int.h).  The hash folds 64x64-bit products, eight bytes a step; short keys
 * take one or two.  It is not keyed: a hostile tokenizer.json could make its own loading slow. */
#include "data/words_int.h"

#include "base/mem.h"

#include <string.h>

#define FIRST_SLOTS 256u
#define MAX_SLOTS (1u << 31)

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t load(const char *p, size_t n) /* n <= 8 bytes, little end first */
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

static uint32_t hash_bytes(const char *p, size_t n)
{
    const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xd6e8feb86659fd93u;
    uint64_t h = k0 ^ n;
    size_t left = n;
    for (; left > 16; left -= 8, p += 8)
        h = fold(h ^ load(p, 8), k1);
    uint64_t a, b;
    if (left >= 8) {
        a = load(p, 8), b = load(p + left - 8, 8);
    } else if (left >= 4) {
        a = load(p, 4), b = load(p + left - 4, 4);
    } else {
        a = left ? (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[left / 2] << 8 |
                       (unsigned char)p[left - 1]
                 : 0;
        b = 0;
    }
    h = fold(h ^ a ^ k1, k0 ^ b);
    return (uint32_t)(h ^ h >> 32);
}

/* The key's slot, or the free one where it belongs. */
static struct sy__word *probe(const struct sy__words *w, const char *key, size_t len, uint32_t hash)
{
    uint32_t mask = w->slots - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        struct sy__word *s = &w->slot[i];
        if (!s->start)
            return s;
        if (s->hash == hash && s->len == len && !memcmp(w->pool + (s->start - 1), key, len))
            return s;
    }
}

static int grow_slots(struct sy__words *w)
{
    uint32_t slots = w->slots ? w->slots * 2 : FIRST_SLOTS;
    if (w->slots >= MAX_SLOTS)
        return -1;
    struct sy__word *fresh = sy_calloc(slots, sizeof *fresh);
    if (!fresh)
        return -1;
    for (uint32_t i = 0; i < w->slots; i++) {
        if (!w->slot[i].start)
            continue;
        uint32_t j = w->slot[i].hash & (slots - 1);
        while (fresh[j].start)
            j = (j + 1) & (slots - 1);
        fresh[j] = w->slot[i];
    }
    sy_free(w->slot);
    w->slot = fresh;
    w->slots = slots;
    return 0;
}

static int grow_pool(struct sy__words *w, size_t more)
{
    size_t cap = w->pool_cap ? w->pool_cap : 4096;
    while (cap - w->pool_len < more) {
        if (cap > SIZE_MAX / 2)
            return -1;
        cap *= 2;
    }
    char *pool = sy_realloc(w->pool, cap);
    if (!pool)
        return -1;
    w->pool = pool;
    w->pool_cap = cap;
    return 0;
}

int64_t *sy__words_at(struct sy__words *w, const char *key, size_t len)
{
    uint32_t hash = hash_bytes(key, len);
    struct sy__word *s = w->slots ? probe(w, key, len, hash) : NULL;
    if (s && s->start)
        return &s->value;
    if (len > UINT32_MAX || (w->pool_cap - w->pool_len < len + 1 && grow_pool(w, len + 1)))
        return NULL;
    if (w->used >= w->slots / 2) {
        if (grow_slots(w))
            return NULL;
        s = probe(w, key, len, hash);
    }
    memcpy(w->pool + w->pool_len, key, len);
    *s = (struct sy__word){hash, (uint32_t)len, w->pool_len + 1, 0};
    w->pool_len += len;
    w->used++;
    return &s->value;
}

const int64_t *sy__words_find(const struct sy__words *w, const char *key, size_t len)
{
    if (!w->slots)
        return NULL;
    const struct sy__word *s = probe(w, key, len, hash_bytes(key, len));
    return s->start ? &s->value : NULL;
}

void sy__words_clear(struct sy__words *w)
{
    if (w->slots)
        memset(w->slot, 0, w->slots * sizeof *w->slot);
    w->used = 0;
    w->pool_len = 0;
}

void sy__words_free(struct sy__words *w)
{
    sy_free(w->slot);
    sy_free(w->pool);
    *w = (struct sy__words){0};
}
