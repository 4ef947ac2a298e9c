/* Element types of tensors and of the array files that hold them.
 *
 * The names are what Lua and messages show: "f32", "bf16", "bool".  SY_BF16 is the upper half of an
 * f32; SY_BOOL is one byte, 0 or 1.  Everything is little-endian in files and native in memory.
 */
#ifndef SWITCHYARD_DTYPE_H
#define SWITCHYARD_DTYPE_H

#include <stddef.h>

enum sy_dtype {
    SY_F32,
    SY_F64,
    SY_BF16,
    SY_I32,
    SY_I64,
    SY_U8,
    SY_BOOL,
    SY_DTYPE_COUNT
};

size_t sy_dtype_size(enum sy_dtype dtype);      /* bytes of an element; 0 for no valid dtype */
const char *sy_dtype_name(enum sy_dtype dtype); /* "f32"; "?" for no valid dtype */
int sy_dtype_parse(const char *name);           /* enum sy_dtype, or -1: unknown (or NULL) */

#endif
