/* Philox4x32-10 and what is drawn from it; see base/rng.h.  Layer base, on pool.
 *
 *  1. The counter is (index, step), 64 bits each; the key is a bijective mix of the seed, different
 *     for each purpose.  So two draws differ in counter or key unless all four numbers agree (but
 *     for chance collisions of keys between different seeds of different purposes).
 *  2. Element i of a fill is word i % 4 of block i / 4, however a fill is cut up.
 *  3. Normals: Box-Muller on two 32-bit words.  log, sin and cos are polynomials in plain double
 *     arithmetic, without contraction (the build's -ffp-contract=off), and sqrt is IEEE's: hence
 *     the same bits on every machine.  Accurate to 1e-15, rounded to float at the end; |z| < 6.7.
 */
#include "base/rng.h"

#include "base/pool.h"

#include <math.h>
#include <string.h>

/* ---- Philox4x32-10: Salmon et al. 2011, section 3.3 and table 2 ---- */

#define M0 0xD2511F53u
#define M1 0xCD9E8D57u
#define W0 0x9E3779B9u
#define W1 0xBB67AE85u

static inline void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t a = counter[0], b = counter[1], c = counter[2], d = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)M0 * a, q = (uint64_t)M1 * c;
        a = (uint32_t)(q >> 32) ^ b ^ k0;
        b = (uint32_t)q;
        c = (uint32_t)(p >> 32) ^ d ^ k1;
        d = (uint32_t)p;
        k0 += W0;
        k1 += W1;
    }
    out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

void sy_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    philox(counter, key, out);
}

/* Stafford's variant 13 of the 64-bit finalizer: a bijection. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void make_key(const struct sy_rng *r, uint32_t key[2])
{
    uint64_t k = mix(r->seed ^ mix(r->purpose + 0x9E3779B97F4A7C15u));
    key[0] = (uint32_t)k;
    key[1] = (uint32_t)(k >> 32);
}

static inline void block(const uint32_t key[2], uint64_t step, uint64_t index, uint32_t out[4])
{
    uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)step,
                           (uint32_t)(step >> 32)};
    philox(counter, key, out);
}

void sy_rng_block(const struct sy_rng *r, uint64_t index, uint32_t out[4])
{
    uint32_t key[2];
    make_key(r, key);
    block(key, r->step, index, out);
}

uint64_t sy_rng_u64(const struct sy_rng *r, uint64_t index)
{
    uint32_t w[4];
    sy_rng_block(r, index, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double sy_rng_uniform(const struct sy_rng *r, uint64_t index)
{
    return (double)(sy_rng_u64(r, index) >> 11) * 0x1p-53;
}

/* Lemire 2019 without the rejection step: a draw must not depend on how many came before it, and
 * the bias is below n / 2^64. */
uint64_t sy_rng_below(const struct sy_rng *r, uint64_t index, uint64_t n)
{
    return (uint64_t)((unsigned __int128)sy_rng_u64(r, index) * n >> 64);
}

/* ---- fills ---- */

/* ln(x), 0 < x <= 1.  x = m 2^e with m in [sqrt 1/2, sqrt 2); s = (m-1)/(m+1);
 * ln m = 2 atanh(s) = 2 (s + s^3/3 + ...), |s| < 0.172. */
static inline double log_unit(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    bits += 0x3FF0000000000000u - 0x3FE6A09E667F3BCDu; /* moves the border to sqrt 1/2 */
    double e = (double)((int)(bits >> 52) - 1023);
    bits = (bits & 0xFFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu;
    double m;
    memcpy(&m, &bits, 8);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return e * 0.6931471805599453 + (2.0 * s + 2.0 * s * z * p);
}

/* cos and sin of 2 pi w / 2^32: the two highest bits (rounded) name the quadrant, the rest is an
 * angle within pi/4 of its axis, where the Taylor series are short. */
static inline void cos_sin_turn(uint32_t w, double *cosine, double *sine)
{
    uint32_t quadrant = (w + 0x20000000u) >> 30;
    int32_t rest = (int32_t)(w - (quadrant << 30));
    double a = (double)rest * (6.283185307179586 * 0x1p-32), z = a * a;
    double s = -1.0 / 1307674368000.0;
    s = s * z + 1.0 / 6227020800.0;
    s = s * z - 1.0 / 39916800.0;
    s = s * z + 1.0 / 362880.0;
    s = s * z - 1.0 / 5040.0;
    s = s * z + 1.0 / 120.0;
    s = s * z - 1.0 / 6.0;
    s = a + a * z * s;
    double c = 1.0 / 20922789888000.0;
    c = c * z - 1.0 / 87178291200.0;
    c = c * z + 1.0 / 479001600.0;
    c = c * z - 1.0 / 3628800.0;
    c = c * z + 1.0 / 40320.0;
    c = c * z - 1.0 / 720.0;
    c = c * z + 1.0 / 24.0;
    c = c * z - 0.5;
    c = 1.0 + z * c;
    double x = quadrant & 1 ? s : c, y = quadrant & 1 ? c : s;
    *cosine = quadrant == 1 || quadrant == 2 ? -x : x;
    *sine = quadrant >= 2 ? -y : y;
}

static inline void normal_pair(uint32_t w0, uint32_t w1, float *out)
{
    double radius = sqrt(-2.0 * log_unit(((double)w0 + 1.0) * 0x1p-32)), c, s;
    cos_sin_turn(w1, &c, &s);
    out[0] = (float)(radius * c);
    out[1] = (float)(radius * s);
}

static void normals_of_block(const uint32_t w[4], float out[4])
{
    normal_pair(w[0], w[1], out);
    normal_pair(w[2], w[3], out + 2);
}

static void uniforms_of_block(const uint32_t w[4], float out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = (float)(w[i] >> 8) * 0x1p-24f;
}

#define FILL_TASK 16384 /* elements of one task */

struct fill {
    uint32_t key[2];
    uint64_t step, first;
    float *out;
    int64_t n;
    void (*map)(const uint32_t w[4], float out[4]);
};

static void fill_task(void *ctx, int64_t task)
{
    const struct fill *f = ctx;
    int64_t from = task * FILL_TASK, to = from + FILL_TASK < f->n ? from + FILL_TASK : f->n;
    for (int64_t i = from; i < to;) {
        uint64_t element = f->first + (uint64_t)i;
        uint32_t words[4], skip = (uint32_t)(element % 4);
        float four[4];
        block(f->key, f->step, element / 4, words);
        f->map(words, four);
        for (uint32_t j = skip; j < 4 && i < to; j++)
            f->out[i++] = four[j];
    }
}

static void fill_draws(const struct sy_rng *r, uint64_t first, float *out, int64_t n,
                       void (*map)(const uint32_t *, float *))
{
    struct fill f = {.step = r->step, .first = first, .out = out, .n = n, .map = map};
    make_key(r, f.key);
    if (n > 0)
        sy_pool_run((n + FILL_TASK - 1) / FILL_TASK, fill_task, &f);
}

void sy_rng_fill_uniform(const struct sy_rng *r, uint64_t first, float *out, int64_t n)
{
    fill_draws(r, first, out, n, uniforms_of_block);
}

void sy_rng_fill_normal(const struct sy_rng *r, uint64_t first, float *out, int64_t n)
{
    fill_draws(r, first, out, n, normals_of_block);
}
