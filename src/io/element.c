/* The element types of array files, and what each is read as.  Layer: io.
 *
 *  1. A type of ours is read as it stands.  Any other is read as the smallest of ours that holds
 *     all its values: half floats as f32, i8, i16 and u16 as i32, u32 and u64 as i64.  So nothing
 *     is rounded; a u64 that does not fit into i64 is refused where it is met.
 *  2. What no type of ours holds (complex numbers, 8-bit floats) has no dtype, and is refused. */
#include "io/io_int.h"

#include "tensor/tensor.h"

#include <string.h>

static int from_f16(const unsigned char *from, void *to, size_t n)
{
    sy_form_decode(to, &(struct sy_packed){SY_FORM_F16, from, NULL}, 0, (int64_t)n);
    return 0;
}

/* n elements; 0, or -1 at a value that the type of `to` does not hold. */
#define CONVERT(name, from_type, to_type, value, fits)                                             \
    static int name(const unsigned char *from, void *to, size_t n)                                 \
    {                                                                                              \
        to_type *out = to;                                                                         \
        for (size_t i = 0; i < n; i++) {                                                           \
            from_type v;                                                                           \
            memcpy(&v, from + i * sizeof v, sizeof v);                                             \
            if (!(fits))                                                                           \
                return -1;                                                                         \
            out[i] = (to_type)(value);                                                             \
        }                                                                                          \
        return 0;                                                                                  \
    }
CONVERT(from_i8, int8_t, int32_t, v, true)
CONVERT(from_i16, int16_t, int32_t, v, true)
CONVERT(from_u16, uint16_t, int32_t, v, true)
CONVERT(from_u32, uint32_t, int64_t, v, true)
CONVERT(from_u64, uint64_t, int64_t, v, v <= INT64_MAX)

#define NONE SY_DTYPE_COUNT
static const struct sy__element elements[] = {
    {"F32", "<f4", 4, SY_F32, SY_F32, NULL},
    {"F64", "<f8", 8, SY_F64, SY_F64, NULL},
    {"BF16", NULL, 2, SY_BF16, SY_BF16, NULL},
    {"I32", "<i4", 4, SY_I32, SY_I32, NULL},
    {"I64", "<i8", 8, SY_I64, SY_I64, NULL},
    {"U8", "|u1", 1, SY_U8, SY_U8, NULL},
    {"BOOL", "|b1", 1, SY_BOOL, SY_BOOL, NULL},
    {"F16", "<f2", 2, SY_F32, SY_F16, from_f16},
    {"I8", "|i1", 1, SY_I32, NONE, from_i8},
    {"I16", "<i2", 2, SY_I32, NONE, from_i16},
    {"U16", "<u2", 2, SY_I32, NONE, from_u16},
    {"U32", "<u4", 4, SY_I64, NONE, from_u32},
    {"U64", "<u8", 8, SY_I64, NONE, from_u64},
    {"C64", "<c8", 8, NONE, NONE, NULL},
    {"F8_E5M2", NULL, 1, NONE, NONE, NULL},
    {"F8_E4M3", NULL, 1, NONE, NONE, NULL},
    {"F8_E8M0", NULL, 1, NONE, NONE, NULL},
};
#define ELEMENTS (sizeof elements / sizeof elements[0])

const struct sy__element *sy__element_st(const char *name, size_t n)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        if (strlen(elements[i].st) == n && memcmp(elements[i].st, name, n) == 0)
            return &elements[i];
    return NULL;
}

const struct sy__element *sy__element_npy(const char *name)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        if (elements[i].npy && strcmp(elements[i].npy, name) == 0)
            return &elements[i];
    return NULL;
}

const struct sy__element *sy__element_of(enum sy_dtype dtype)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        if (dtype != NONE && elements[i].as_stored == dtype)
            return &elements[i];
    return NULL;
}
