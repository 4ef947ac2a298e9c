/* Storage forms: how values that stand for f32 lie packed, in blocks.  Layer: cpu.
 *
 *     form     values  bytes of a block       beside it
 *     f32           1  4                               the elements themselves
 *     bf16          1  2                               the upper half of an f32
 *     f16           1  2                               IEEE 754 binary16
 *     q8_0         32  f16 d, 32 x int8                value = d q
 *     mxfp4        32  16: nibbles, low first  1: e    value = e2m1(nibble) 2^(e - 127); e 255: NaN
 *
 *  1. A value is decoded to exactly one f32, the same bits in every kernel set (NaN's payload too).
 *     Only what is beyond f32 (mxfp4 with e of 253 or 254) becomes an infinity.
 *  2. Elements are numbered from the start of their storage; a run may begin and end in a block.
 *  3. Blocks may lie at any address: decoding reads bytes.
 *
 * Sources: block_q8_0 and quantize_row_q8_0_ref of ggml; OCP Microscaling Formats 1.0, 5.2,
 * 5.3.3, 6.3, in the layout of gpt-oss (`blocks` and `scales`). */
#ifndef SY_CPU_STORAGE_FORM_H
#define SY_CPU_STORAGE_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sy_form { SY_FORM_F32, SY_FORM_BF16, SY_FORM_F16, SY_FORM_Q8_0, SY_FORM_MXFP4, SY_FORM_COUNT };

#define SY_FORM_VALUES_MAX 32 /* of a block of any form */

struct sy_form_row {
    int64_t values; /* of a block */
    size_t bytes;   /* of a block */
    size_t beside;  /* bytes a block that lie apart (scales) */
    /* One block from x; false: it cannot hold a value (NaN or inf in a block with a scale). */
    bool (*encode)(const float *x, unsigned char *block, unsigned char *beside);
};
extern const struct sy_form_row sy_forms[SY_FORM_COUNT];

/* Elements in a form, borrowed. */
struct sy_packed {
    enum sy_form form;
    const unsigned char *data, *beside; /* beside: NULL where the form has nothing there */
};

/* One set of kernels an ISA: whole blocks to f32. */
typedef void (*sy_form_decode_fn)(float *dst, const unsigned char *data,
                                  const unsigned char *beside, int64_t blocks);
struct sy_form_kernels {
    sy_form_decode_fn decode[SY_FORM_COUNT];
};
extern const struct sy_form_kernels sy__form_ref, sy__form_avx2, sy__form_avx512;

/* dst[0..n) = elements first..first+n-1. */
void sy_form_decode(float *dst, const struct sy_packed *p, int64_t first, int64_t n);
/* n values (whole blocks) to data and beside; returns n, or the index of the first value that the
 * form cannot hold.  Rounding: nearest even, but q8_0 rounds halves away from 0 as ggml does. */
int64_t sy_form_encode(enum sy_form form, const float *x, int64_t n, unsigned char *data,
                       unsigned char *beside);

#endif
