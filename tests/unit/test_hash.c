/* XXH64 against the values published with the reference implementation (its sanity check: bytes
 * from a multiplicative generator, and known strings), and incremental against one-shot. */
#include "unit/tap.h"

#include "base/hash.h"

#include <string.h>

static unsigned char buffer[222];

static void fill_published_pattern(void)
{
    uint64_t gen = 2654435761u;
    for (size_t i = 0; i < sizeof buffer; i++) {
        buffer[i] = (unsigned char)(gen >> 56);
        gen *= 11400714785074694797u;
    }
}

static void known_values(void)
{
    static const struct {
        size_t n;
        uint64_t want;
    } cases[] = {
        {0, 0xEF46DB3751D8E999u},  {1, 0xE934A84ADB052768u},   {4, 0x9136A0DCA57457EEu},
        {14, 0x8282DCC4994E35C8u}, {222, 0xB641AE8CB691C174u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tap_ok(sy_hash_bytes(buffer, cases[i].n) == cases[i].want, "published value, %zu bytes",
               cases[i].n);
    tap_ok(sy_hash_bytes("abc", 3) == 0x44BC2CF5AD770999u, "abc");
    const char *spam = "Nobody inspects the spammish repetition";
    tap_ok(sy_hash_bytes(spam, strlen(spam)) == 0xFBCEA83C8A378BF1u, "39 bytes");
}

/* Every split of every length into two updates. */
static void incremental(void)
{
    int bad = 0;
    for (size_t n = 0; n <= 150; n++)
        for (size_t cut = 0; cut <= n; cut++) {
            struct sy_hash h;
            sy_hash_init(&h);
            sy_hash_update(&h, buffer, cut);
            sy_hash_update(&h, buffer + cut, n - cut);
            bad += sy_hash_final(&h) != sy_hash_bytes(buffer, n);
        }
    tap_is_int(bad, 0, "incremental equals one-shot");
}

int main(void)
{
    fill_published_pattern();
    known_values();
    incremental();
    char hex[17];
    sy_hash_hex(0x0123456789ABCDEFu, hex);
    tap_is_str(hex, "0123456789abcdef", "hexadecimal");
    return tap_done();
}
