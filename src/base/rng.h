/* Counter-based randomness: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random
 * numbers: as easy as 1, 2, 3").  A draw is a pure function of (seed, purpose, step, index): there
 * is no state to save but the step, and any number of threads draw the same numbers. */
#ifndef SY_BASE_RNG_H
#define SY_BASE_RNG_H

#include <stdint.h>

enum sy_purpose {
    SY_RNG_USER,       /* tensor.randn and friends */
    SY_RNG_INIT,       /* parameter initialization; step = number of the parameter */
    SY_RNG_DATA,       /* sampler: which windows make up a batch */
    SY_RNG_DROPOUT,    /* step = training step, mixed with the node's number */
    SY_RNG_SAMPLE = 5, /* generation; 4 was never drawn from */
    SY_RNG_SYNTHETIC   /* synthetic language */
};

struct sy_rng {
    uint64_t seed;
    uint32_t purpose; /* enum sy_purpose, plus 256 * sub-stream where a caller needs several */
    uint64_t step;
};

/* The bijection itself, for tests against the published vectors and for kernels that draw in
 * place. */
void sy_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Four 32-bit words for one index. */
void sy_rng_block(const struct sy_rng *r, uint64_t index, uint32_t out[4]);
uint64_t sy_rng_u64(const struct sy_rng *r, uint64_t index);
double sy_rng_uniform(const struct sy_rng *r, uint64_t index);              /* [0, 1), 53 bits */
uint64_t sy_rng_below(const struct sy_rng *r, uint64_t index, uint64_t n);  /* 0..n-1, n >= 1 */
/* Fill with uniform [0,1) / standard normal (Box-Muller over our own log, cos: same bits on every
 * machine); element i depends on (r, first + i) only. */
void sy_rng_fill_uniform(const struct sy_rng *r, uint64_t first, float *out, int64_t n);
void sy_rng_fill_normal(const struct sy_rng *r, uint64_t first, float *out, int64_t n);

#endif
