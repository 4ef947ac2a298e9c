/* Element types of tensors and of the array files that hold them.
 *
 * The names are what Lua and messages show: "f32", "bf16", "bool".  SY_BF16 is the upper half of an
 * f32; SY_BOOL is one byte, 0 or 1.  Everything is little-endian in files and native in memory.
 *
 * SY_F16, SY_Q8_0 and SY_MXFP4 are *stored* types: packed forms of f32 that are read and never
 * computed in.  Matrix products and embeddings take such weights as they are; everything else wants
 * them decoded (ops/ops.def marks with ~ which inputs may be stored).
 */
#ifndef SWITCHYARD_DTYPE_H
#define SWITCHYARD_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sy_dtype {
    SY_F32,
    SY_F64,
    SY_BF16,
    SY_I32,
    SY_I64,
    SY_U8,
    SY_BOOL,
    SY_F16,
    SY_Q8_0,
    SY_MXFP4,
    SY_DTYPE_COUNT
};

/* Bytes of an element; 0 for what lies in blocks, and for no valid dtype. */
size_t sy_dtype_size(enum sy_dtype dtype);
bool sy_dtype_stored(enum sy_dtype dtype); /* see above */
bool sy_dtype_real(enum sy_dtype dtype);   /* holds fractions, stored or not */
int64_t sy_dtype_block(enum sy_dtype dtype); /* elements that lie together: 1, or 32 */
/* Bytes of a block, with what lies beside it (a scale). */
size_t sy_dtype_block_bytes(enum sy_dtype dtype);
const char *sy_dtype_name(enum sy_dtype dtype); /* "f32"; "?" for no valid dtype */
int sy_dtype_parse(const char *name);           /* enum sy_dtype, or -1: unknown (or NULL) */

#endif
