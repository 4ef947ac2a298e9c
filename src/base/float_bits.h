/* Floats by their bits, and the two 16-bit formats: IEEE 754 binary16 ("half") and bfloat16, the
 * upper half of a float.  Rounding is to nearest even; a NaN stays one, and is quiet. */
#ifndef SY_BASE_FLOAT_BITS_H
#define SY_BASE_FLOAT_BITS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t sy_bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float sy_float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* From 65520 on: infinity.  Below 2^-14 a half counts units of 2^-24; that is the unit of 0.5 as a
 * float, so adding it rounds. */
static inline uint16_t sy_half_of(float x)
{
    const uint32_t u = sy_bits_of(x), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
    if (mag > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
    if (mag >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00);
    if (mag < 0x38800000)
        return (uint16_t)(sign | (sy_bits_of(sy_float_of(mag) + 0.5f) - sy_bits_of(0.5f)));
    const uint32_t rebased = mag - ((127 - 15) << 23);
    return (uint16_t)(sign | (rebased + 0xfff + (rebased >> 13 & 1)) >> 13);
}

/* Exact: a normal number changes its bias, infinity and NaN (which keeps its bits) change it
 * twice. */
static inline float sy_float_of_half(uint16_t h)
{
    const uint32_t rebias = (127 - 15) << 23, sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t mag = (uint32_t)(h & 0x7fff) << 13;
    if (mag < 1u << 23)
        return sy_float_of(sign | sy_bits_of((float)(h & 0x7fff) * 0x1p-24f));
    return sy_float_of(sign | (mag + rebias + (mag < 31u << 23 ? 0 : rebias)));
}

static inline uint16_t sy_bf16_of(float x)
{
    const uint32_t u = sy_bits_of(x);
    if (x != x)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float sy_float_of_bf16(uint16_t h)
{
    return sy_float_of((uint32_t)h << 16);
}

#endif
