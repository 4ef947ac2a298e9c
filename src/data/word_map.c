/* Byte-string map (word_map_int.h).  The hash folds 64x64-bit products, eight bytes a step; short
 * keys take one or two.  It is not keyed: a hostile tokenizer.json could make its own loading
 * slow. */
#include "data/word_map_int.h"

#include "base/grow.h"
#include "base/mem.h"

#include <string.h>

#define FIRST_SLOTS 256u
#define MAX_SLOTS (1u << 31)

static uint64_t fold_product(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* A key as it is compared: two words and the length say all of a key of up to 16 bytes, because
 * the loads may overlap but leave nothing out. */
struct key {
    uint64_t a, b;
    uint32_t hash, tag;
};

static uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint64_t load4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline struct key make_key(const char *p, size_t n)
{
    const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xd6e8feb86659fd93u;
    struct key k = {.tag = (uint32_t)n + 1};
    uint64_t h = k0 ^ n;
    for (; n > 16; n -= 8, p += 8)
        h = fold_product(h ^ load8(p), k1);
    if (n >= 8) {
        k.a = load8(p), k.b = load8(p + n - 8);
    } else if (n >= 4) {
        k.a = load4(p), k.b = load4(p + n - 4);
    } else if (n) {
        k.a = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[n / 2] << 8 |
              (unsigned char)p[n - 1];
    }
    h = fold_product(h ^ k.a ^ k1, k0 ^ k.b);
    k.hash = (uint32_t)(h ^ h >> 32);
    return k;
}

const char *sy__word_bytes(const struct sy__words *w, const struct sy__word *word, char room[16])
{
    uint32_t n = word->tag - 1;
    if (n > 16)
        return w->pool + word->a;
    if (n >= 8) {
        memcpy(room, &word->a, 8);
        memcpy(room + n - 8, &word->b, 8);
    } else if (n >= 4) {
        memcpy(room, &word->a, 4);
        memcpy(room + n - 4, &word->b, 4);
    } else if (n) {
        room[0] = (char)(word->a >> 16);
        room[n / 2] = (char)(word->a >> 8);
        room[n - 1] = (char)word->a;
    }
    return room;
}

/* The key's slot, or the free one where it belongs. */
static inline struct sy__word *probe_slot(const struct sy__words *w, const char *bytes,
                                          const struct key *k)
{
    uint32_t mask = w->slots - 1;
    for (uint32_t i = k->hash & mask;; i = (i + 1) & mask) {
        struct sy__word *s = &w->slot[i];
        if (!s->tag)
            return s;
        if (s->hash != k->hash || s->tag != k->tag)
            continue;
        if (k->tag <= 17 ? s->a == k->a && s->b == k->b
                         : !memcmp(w->pool + s->a, bytes, k->tag - 1))
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
        if (!w->slot[i].tag)
            continue;
        uint32_t j = w->slot[i].hash & (slots - 1);
        while (fresh[j].tag)
            j = (j + 1) & (slots - 1);
        fresh[j] = w->slot[i];
    }
    sy_free(w->slot);
    w->slot = fresh;
    w->slots = slots;
    return 0;
}

static int add_key(struct sy__words *w, const char *key, size_t len, struct key *k)
{
    if (w->used >= w->slots / 2 && grow_slots(w))
        return -1;
    if (len <= 16)
        return 0;
    if (SY_GROW(w->pool, w->pool_cap, w->pool_len + len))
        return -1;
    memcpy(w->pool + w->pool_len, key, len);
    k->a = w->pool_len;
    k->b = 0;
    w->pool_len += len;
    return 0;
}

int64_t *sy__words_at(struct sy__words *w, const char *key, size_t len)
{
    if (len >= UINT32_MAX)
        return NULL;
    struct key k = make_key(key, len);
    struct sy__word *s = w->slots ? probe_slot(w, key, &k) : NULL;
    if (s && s->tag)
        return &s->value;
    if (add_key(w, key, len, &k))
        return NULL;
    s = &w->slot[k.hash & (w->slots - 1)]; /* the slots may have moved; the key is not among them */
    while (s->tag)
        s = s + 1 == w->slot + w->slots ? w->slot : s + 1;
    *s = (struct sy__word){k.hash, k.tag, k.a, k.b, 0};
    w->used++;
    return &s->value;
}

const int64_t *sy__words_find(const struct sy__words *w, const char *key, size_t len)
{
    if (!w->slots || len >= UINT32_MAX)
        return NULL;
    struct key k = make_key(key, len);
    const struct sy__word *s = probe_slot(w, key, &k);
    return s->tag ? &s->value : NULL;
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
