/* XXH64 with seed 0, after the published specification (xxHash fast digest algorithm, "XXH64
 * algorithm description", steps 1-6); see base/hash.h.
 *
 *  1. acc holds four lanes over whole 32-byte stripes; tail holds the tail_len < 32 bytes after
 *     them.
 *  2. Bytes are read as little-endian words on every machine.
 */
#include "base/hash.h"

#include <string.h>

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotl(uint64_t x, int r)
{
    return x << r | x >> (64 - r);
}

static uint64_t read64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static uint32_t read32(const unsigned char *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap32(x);
#endif
    return x;
}

static uint64_t mix_lane(uint64_t acc, uint64_t word)
{
    return rotl(acc + word * P2, 31) * P1;
}

void sy_hash_init(struct sy_hash *h)
{
    memset(h, 0, sizeof *h);
    h->acc[0] = P1 + P2;
    h->acc[1] = P2;
    h->acc[2] = 0;
    h->acc[3] = 0 - P1;
}

/* Whole stripes from p; returns the first byte not taken. */
static const unsigned char *stripes(struct sy_hash *h, const unsigned char *p, size_t n)
{
    uint64_t a = h->acc[0], b = h->acc[1], c = h->acc[2], d = h->acc[3];
    for (; n >= 32; n -= 32, p += 32) {
        a = mix_lane(a, read64(p));
        b = mix_lane(b, read64(p + 8));
        c = mix_lane(c, read64(p + 16));
        d = mix_lane(d, read64(p + 24));
    }
    h->acc[0] = a, h->acc[1] = b, h->acc[2] = c, h->acc[3] = d;
    return p;
}

void sy_hash_update(struct sy_hash *h, const void *data, size_t n)
{
    const unsigned char *p = data;
    if (n == 0)
        return;
    h->total += n;
    if (h->tail_len > 0) {
        size_t take = 32 - h->tail_len;
        if (take > n)
            take = n;
        memcpy(h->tail + h->tail_len, p, take);
        h->tail_len += (uint32_t)take;
        p += take;
        n -= take;
        if (h->tail_len < 32)
            return;
        stripes(h, h->tail, 32);
        h->tail_len = 0;
    }
    p = stripes(h, p, n);
    h->tail_len = (uint32_t)(n % 32);
    memcpy(h->tail, p, h->tail_len);
}

static uint64_t merge_lane(uint64_t hash, uint64_t acc)
{
    return (hash ^ mix_lane(0, acc)) * P1 + P4;
}

static uint64_t finish_tail(uint64_t x, const unsigned char *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8)
        x = rotl(x ^ mix_lane(0, read64(p)), 27) * P1 + P4;
    if (n >= 4) {
        x = rotl(x ^ read32(p) * P1, 23) * P2 + P3;
        n -= 4;
        p += 4;
    }
    for (; n > 0; n--, p++)
        x = rotl(x ^ *p * P5, 11) * P1;
    return x;
}

uint64_t sy_hash_final(const struct sy_hash *h)
{
    uint64_t x = P5;
    if (h->total >= 32) {
        const uint64_t *v = h->acc;
        x = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
        for (int i = 0; i < 4; i++)
            x = merge_lane(x, v[i]);
    }
    x = finish_tail(x + h->total, h->tail, h->tail_len);
    x = (x ^ x >> 33) * P2;
    x = (x ^ x >> 29) * P3;
    return x ^ x >> 32;
}

uint64_t sy_hash_bytes(const void *data, size_t n)
{
    struct sy_hash h;
    sy_hash_init(&h);
    sy_hash_update(&h, data, n);
    return sy_hash_final(&h);
}

void sy_hash_hex(uint64_t h, char out[17])
{
    for (int i = 0; i < 16; i++)
        out[i] = "0123456789abcdef"[h >> (60 - 4 * i) & 15];
    out[16] = '\0';
}
