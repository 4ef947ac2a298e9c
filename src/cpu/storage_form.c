/* Storage forms: the table, runs that begin within a block, and packing (see storage_form.h).
 *
 * Packing is done once, by a user's cast, so it is plain C; decoding is done at every product and
 * is a kernel (cpu/kern/storage_form.c). */
#include "cpu/storage_form.h"

#include "base/float_bits.h"
#include "cpu/cpu.h"
#include "cpu/int64.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCK = 32, EXPONENT_BIAS = 127, E2M1_TOP = 2 /* exponent of the largest e2m1, 6 */ };

/* ---- one value ---- */

/* Nearest of 0 0.5 1 1.5 2 3 4 6, ties to the even code; more than 6 is 6. */
static unsigned e2m1_of(float x)
{
    static const float half_way[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
    unsigned code = 0;
    while (code < 7 && (fabsf(x) > half_way[code] || (fabsf(x) == half_way[code] && code % 2)))
        code++;
    return code | (signbit(x) ? 8 : 0);
}

/* ---- one block ---- */

static bool encode_f32(const float *x, unsigned char *block, unsigned char *beside)
{
    (void)beside;
    memcpy(block, x, sizeof *x);
    return true;
}

static bool encode_bf16(const float *x, unsigned char *block, unsigned char *beside)
{
    const uint16_t h = sy_bf16_of(*x);
    (void)beside;
    memcpy(block, &h, sizeof h);
    return true;
}

static bool encode_f16(const float *x, unsigned char *block, unsigned char *beside)
{
    const uint16_t h = sy_half_of(*x);
    (void)beside;
    memcpy(block, &h, sizeof h);
    return true;
}

static float largest(const float *x)
{
    float top = 0;
    for (int i = 0; i < BLOCK; i++)
        top = fabsf(x[i]) > top || isnan(x[i]) ? fabsf(x[i]) : top;
    return top;
}

static bool encode_q8_0(const float *x, unsigned char *block, unsigned char *beside)
{
    /* 1 / d of a subnormal d may be infinite: as f16 that d is 0, and so are all values then */
    const float top = largest(x), d = top / 127, inverse = d > 0 && isfinite(1 / d) ? 1 / d : 0;
    const uint16_t h = sy_half_of(d);
    (void)beside;
    if (!isfinite(top) || (h & 0x7c00) == 0x7c00)
        return false;
    memcpy(block, &h, sizeof h);
    for (int i = 0; i < BLOCK; i++) {
        const int8_t rounded = (int8_t)roundf(x[i] * inverse);
        memcpy(block + sizeof h + i, &rounded, 1);
    }
    return true;
}

static bool encode_mxfp4(const float *x, unsigned char *block, unsigned char *beside)
{
    const float top = largest(x);
    if (!isfinite(top))
        return false;
    const int e = top > 0 ? ilogbf(top) - E2M1_TOP + EXPONENT_BIAS : 0;
    *beside = (unsigned char)(e > 0 ? e : 0);
    for (int i = 0; i < BLOCK / 2; i++) {
        const unsigned low = e2m1_of(ldexpf(x[2 * i], EXPONENT_BIAS - *beside));
        const unsigned high = e2m1_of(ldexpf(x[2 * i + 1], EXPONENT_BIAS - *beside));
        block[i] = (unsigned char)(low | high << 4);
    }
    return true;
}

const struct sy_form_row sy_forms[SY_FORM_COUNT] = {
    [SY_FORM_F32] = {1, 4, 0, encode_f32},
    [SY_FORM_BF16] = {1, 2, 0, encode_bf16},
    [SY_FORM_F16] = {1, 2, 0, encode_f16},
    [SY_FORM_Q8_0] = {BLOCK, 2 + BLOCK, 0, encode_q8_0},
    [SY_FORM_MXFP4] = {BLOCK, BLOCK / 2, 1, encode_mxfp4},
};

/* ---- runs ---- */

static void decode_blocks(float *dst, const struct sy_packed *p, int64_t block, int64_t n)
{
    const struct sy_form_row *f = &sy_forms[p->form];
    sy_cpu()->form->decode[p->form](dst, p->data + block * (int64_t)f->bytes,
                                    p->beside ? p->beside + block * (int64_t)f->beside : NULL, n);
}

/* Of one block, n values from `from` on. */
static void decode_part(float *dst, const struct sy_packed *p, int64_t block, int64_t from,
                        int64_t n)
{
    float whole[SY_FORM_VALUES_MAX];
    decode_blocks(whole, p, block, 1);
    memcpy(dst, whole + from, (size_t)n * sizeof *dst);
}

void sy_form_decode(float *dst, const struct sy_packed *p, int64_t first, int64_t n)
{
    const int64_t values = sy_forms[p->form].values, from = first % values;
    int64_t block = first / values;
    if (from) {
        const int64_t head = min64(values - from, n);
        decode_part(dst, p, block++, from, head);
        dst += head, n -= head;
    }
    if (n >= values)
        decode_blocks(dst, p, block, n / values);
    if (n % values)
        decode_part(dst + n / values * values, p, block + n / values, 0, n % values);
}

/* Where in a block that cannot be held the fault lies. */
static int64_t culprit(const float *x, int64_t n)
{
    int64_t worst = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return i;
        worst = fabsf(x[i]) > fabsf(x[worst]) ? i : worst;
    }
    return worst;
}

int64_t sy_form_encode(enum sy_form form, const float *x, int64_t n, unsigned char *data,
                       unsigned char *beside)
{
    const struct sy_form_row *f = &sy_forms[form];
    for (int64_t i = 0; i < n; i += f->values, data += f->bytes) {
        if (!f->encode(x + i, data, beside))
            return i + culprit(x + i, f->values);
        beside += beside ? f->beside : 0;
    }
    return n;
}
