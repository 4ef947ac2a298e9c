/* 64-bit hash of bytes (XXH64 of the published specification, seed 0): checkpoints, r:hash().
 * Incremental and one-shot give the same value. */
#ifndef SY_BASE_HASH_H
#define SY_BASE_HASH_H
#include <stddef.h>
#include <stdint.h>
struct sy_hash {
    uint64_t acc[4], total;
    unsigned char tail[32];
    uint32_t tail_len;
};
void sy_hash_init(struct sy_hash *h);
void sy_hash_update(struct sy_hash *h, const void *data, size_t n);
uint64_t sy_hash_final(const struct sy_hash *h);
uint64_t sy_hash_bytes(const void *data, size_t n);
void sy_hash_hex(uint64_t h, char out[17]); /* 16 lower-case hex digits and NUL */
#endif
