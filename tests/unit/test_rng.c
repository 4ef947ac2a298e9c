/* Philox against Random123's known answers; fills: independence of cuts and threads, moments, and
 * one golden hash, so that a change of any bit on any machine is seen. */
#include "unit/tap.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void known_answers(void)
{
    static const uint32_t v[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD},
        {0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0, 0xD16CFE09,
         0x94FDCCEB, 0x5001E420, 0x24126EA1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        sy_philox(v[i], v[i] + 4, out);
        tap_ok(memcmp(out, v[i] + 6, sizeof out) == 0, "Random123 known answer %d", i + 1);
    }
}

static void keys_matter(void)
{
    struct sy_rng r = {.seed = 1, .purpose = SY_RNG_INIT, .step = 3}, s = r, p = r, t = r;
    s.seed = 2, p.purpose = SY_RNG_DATA, t.step = 4;
    uint64_t x = sy_rng_u64(&r, 7);
    tap_ok(x == sy_rng_u64(&r, 7), "a draw is repeatable");
    tap_ok(x != sy_rng_u64(&s, 7) && x != sy_rng_u64(&p, 7) && x != sy_rng_u64(&t, 7) &&
               x != sy_rng_u64(&r, 8),
           "seed, purpose, step and index each matter");
}

static void ranges(void)
{
    struct sy_rng r = {.seed = 5};
    int bad = 0, seen[7] = {0};
    for (uint64_t i = 0; i < 7000; i++) {
        double u = sy_rng_uniform(&r, i);
        uint64_t b = sy_rng_below(&r, i, 7);
        bad += !(u >= 0 && u < 1) || b >= 7 || sy_rng_below(&r, i, 1) != 0;
        seen[b < 7 ? b : 0]++;
    }
    tap_is_int(bad, 0, "uniform in [0, 1), below in 0..n-1");
    for (int i = 0; i < 7; i++)
        bad += abs(seen[i] - 1000) > 150;
    tap_is_int(bad, 0, "below is even");
}

#define N 200003

static void fills(const char *name, void (*fill)(const struct sy_rng *, uint64_t, float *, int64_t),
                  double mean, double variance, uint64_t golden)
{
    struct sy_rng r = {.seed = 42, .purpose = SY_RNG_USER};
    float *whole = sy_alloc(N * sizeof *whole), *cut = sy_alloc(N * sizeof *cut);
    fill(&r, 0, whole, N);
    for (int64_t at = 0, n = 1; at < N; at += n, n = n * 3 % 977 + 1)
        fill(&r, (uint64_t)at, cut + at, n < N - at ? n : N - at);
    tap_ok(memcmp(whole, cut, N * sizeof *whole) == 0, "%s: any cut gives the same elements", name);
    sy_pool_set_threads(1, NULL);
    fill(&r, 0, cut, N);
    tap_ok(memcmp(whole, cut, N * sizeof *whole) == 0, "%s: any number of threads", name);
    sy_pool_set_threads(3, NULL);

    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++)
        sum += (double)whole[i], squares += (double)whole[i] * (double)whole[i];
    double m = sum / N, v = squares / N - m * m;
    tap_ok(fabs(m - mean) < 0.01 && fabs(v - variance) < 0.01, "%s: mean %.4f, variance %.4f", name,
           m, v);
    char hex[17];
    sy_hash_hex(sy_hash_bytes(whole, N * sizeof *whole), hex);
    tap_ok(sy_hash_bytes(whole, N * sizeof *whole) == golden, "%s: golden bits (%s)", name, hex);
    sy_free(whole);
    sy_free(cut);
}

/* Box-Muller again with libm, to see that the polynomials are right, tails included. */
static void accuracy(void)
{
    struct sy_rng r = {.seed = 9};
    double worst = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t w[4];
        float z[4];
        sy_rng_block(&r, i, w);
        sy_rng_fill_normal(&r, 4 * i, z, 4);
        for (int j = 0; j < 4; j++) {
            double radius = sqrt(-2 * log((w[j / 2 * 2] + 1.0) / 4294967296.0));
            double angle = 2 * M_PI * w[j / 2 * 2 + 1] / 4294967296.0;
            double want = radius * (j % 2 ? sin(angle) : cos(angle));
            worst = fmax(worst, fabs((double)z[j] - want) / (1e-6 + fabs(want)));
        }
    }
    tap_ok(worst < 1e-7, "normals agree with libm to a float's rounding (%.2g)", worst);
}

int main(void)
{
    known_answers();
    keys_matter();
    ranges();
    fills("uniform", sy_rng_fill_uniform, 0.5, 1.0 / 12,
          0xD84E81E500F81AB2u);
    fills("normal", sy_rng_fill_normal, 0, 1, 0xD9FE995D79CB36F1u);
    accuracy();
    sy_pool_shutdown();
    return tap_done();
}
