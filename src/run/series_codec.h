/* Bytes of a chunk of a series: up to SY_CHUNK_ROWS rows (step, value[width]).  Little-endian.
 *
 *     offset  size
 *          0     1  'S'
 *          1     1  version: 1 values as they are, 2 packed
 *          2     1  values: 0 f32, 1 f16
 *          3     1  0
 *          4     4  rows
 *          8     4  width
 *         12     4  low half of XXH64 over all bytes, this field as 0
 *         16     8  first step
 *         24     .  varint stride, when it is constant; else 0 and rows - 1 varint differences
 *          .     .  values, row after row; packed: a zstd frame of the first byte of every value,
 *                   column after column, then of the second byte, ...; then, where that is less
 *                   than 1/SY_CHUNK_RATIO of them, a skippable frame up to that size
 *
 * Vectors (width > 1) are halves, rounded to nearest even: relative error at most 2^-11, absolute
 * 2^-25 below 2^-14; unless one is finite and over 65504, then the chunk is f32.  A constant stride
 * costs one byte a chunk.  Encoding is idempotent: what was decoded encodes to the same values.
 * Packing loses nothing.  Signs and exponents of a column change little from step to step, so apart
 * from the noise behind them they take little: loads shrink to 0.35 to 0.65, scalars to 0.75.  A
 * chunk is packed where that makes it smaller, but never to less than 1/SY_CHUNK_RATIO: what a
 * reader takes is bounded by the bytes that are there. */
#ifndef SY_RUN_SERIES_CODEC_H
#define SY_RUN_SERIES_CODEC_H

#include "base/str.h"
#include "switchyard/err.h"

#include <stdint.h>

#define SY_CHUNK_ROWS 256
#define SY_CHUNK_RATIO 64
#define SY_SERIES_WIDTH_MAX 65536

/* Append the chunk to out (memory: out->failed).  1 <= rows <= SY_CHUNK_ROWS, steps ascend. */
void sy__chunk_encode(struct sy_str *out, const int64_t *steps, const float *values, int rows,
                      int width);
/* How many values decode would write, at most 2 * SY_CHUNK_RATIO bytes of them for one of the blob;
 * -1 and FORMAT when its head is not as encode writes it. */
int64_t sy__chunk_values(const void *blob, size_t n, int width, struct sy_err *err);
/* Decode into steps[SY_CHUNK_ROWS] and values, which has room for them all; returns rows, or -1 and
 * FORMAT when anything is not as encode writes it, MEMORY. */
int sy__chunk_decode(const void *blob, size_t n, int width, int64_t *steps, float *values,
                     struct sy_err *err);

#endif
