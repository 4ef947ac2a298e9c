/* Decoding of storage forms (cpu/form.h), compiled for every instruction set.  All in integers and
 * exact products, so that the bits are the same everywhere; loops of fixed length that the compiler
 * turns into vectors. */
#include "cpu/form.h"

#include "cpu/kern/isa.h"

#include <string.h>

enum { BLOCK = 32 };

static inline uint16_t half_at(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* A normal number changes its bias, and infinity and NaN change it twice; a subnormal one becomes
 * 2^-14 + itself, from which 2^-14 is taken. */
static inline uint32_t f32_bits(uint16_t h)
{
    const uint32_t rebias = (127 - 15) << 23, sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t mag = (uint32_t)(h & 0x7fff) << 13;
    const float small = float_of(mag + (113u << 23)) - 0x1p-14f;
    uint32_t tiny, bits = mag + rebias + (mag >= 31u << 23 ? rebias : 0);
    memcpy(&tiny, &small, sizeof tiny);
    bits = mag < 1u << 23 ? tiny : bits;
    return sign | bits;
}

static void decode_f32(float *dst, const unsigned char *data, const unsigned char *beside,
                       int64_t n)
{
    (void)beside;
    memcpy(dst, data, (size_t)n * sizeof *dst);
}

static void decode_bf16(float *restrict dst, const unsigned char *restrict data,
                        const unsigned char *beside, int64_t n)
{
    (void)beside;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t u = (uint32_t)half_at(data + 2 * i) << 16;
        memcpy(dst + i, &u, sizeof u);
    }
}

static void decode_f16(float *restrict dst, const unsigned char *restrict data,
                       const unsigned char *beside, int64_t n)
{
    (void)beside;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t u = f32_bits(half_at(data + 2 * i));
        memcpy(dst + i, &u, sizeof u);
    }
}

static void decode_q8_0(float *restrict dst, const unsigned char *restrict data,
                        const unsigned char *beside, int64_t blocks)
{
    (void)beside;
    for (int64_t b = 0; b < blocks; b++, data += 2 + BLOCK, dst += BLOCK) {
        const float d = float_of(f32_bits(half_at(data)));
        int8_t q[BLOCK];
        memcpy(q, data + 2, sizeof q);
        for (int i = 0; i < BLOCK; i++)
            dst[i] = d * (float)q[i];
    }
}

/* Twice the value of a code without its sign: 0 1 2 3 4 6 8 12. */
static inline int32_t e2m1_doubled(int32_t code)
{
    const int32_t m = code & 7;
    const int32_t normal = (2 | (m & 1)) << ((m >> 1) - (m > 1));
    return m > 1 ? normal : m;
}

/* Half of 2^(e - 127): 2^-128 and 2^-127 are subnormal. */
static inline float half_scale(unsigned char e)
{
    if (e == 255)
        return float_of(0x7fc00000);
    return float_of(e > 1 ? (uint32_t)(e - 1) << 23 : 0x200000u << e);
}

static void decode_mxfp4(float *restrict dst, const unsigned char *restrict data,
                         const unsigned char *restrict beside, int64_t blocks)
{
    for (int64_t b = 0; b < blocks; b++, data += BLOCK / 2, dst += BLOCK) {
        const float d = half_scale(beside[b]);
        uint8_t code[BLOCK];
        for (int i = 0; i < BLOCK / 2; i++) {
            code[2 * i] = data[i] & 15;
            code[2 * i + 1] = data[i] >> 4;
        }
        for (int i = 0; i < BLOCK; i++) {
            const float v = d * (float)e2m1_doubled(code[i]);
            uint32_t u;
            memcpy(&u, &v, sizeof u);
            u |= (uint32_t)(code[i] & 8) << 28;
            memcpy(dst + i, &u, sizeof u);
        }
    }
}

const struct sy_form_kernels SY_KERN(sy__form) = {{
    [SY_FORM_F32] = decode_f32,
    [SY_FORM_BF16] = decode_bf16,
    [SY_FORM_F16] = decode_f16,
    [SY_FORM_Q8_0] = decode_q8_0,
    [SY_FORM_MXFP4] = decode_mxfp4,
}};
