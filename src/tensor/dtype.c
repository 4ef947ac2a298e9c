/* Element types: sizes and names from one table.  Layer: tensor (needs nothing below it). */
#include "switchyard/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[SY_DTYPE_COUNT] = {
    [SY_F32] = {"f32", 4}, [SY_F64] = {"f64", 8}, [SY_BF16] = {"bf16", 2}, [SY_I32] = {"i32", 4},
    [SY_I64] = {"i64", 8}, [SY_U8] = {"u8", 1},   [SY_BOOL] = {"bool", 1},
};

static int valid(enum sy_dtype dtype)
{
    return (unsigned)dtype < SY_DTYPE_COUNT;
}

size_t sy_dtype_size(enum sy_dtype dtype)
{
    return valid(dtype) ? dtypes[dtype].size : 0;
}

const char *sy_dtype_name(enum sy_dtype dtype)
{
    return valid(dtype) ? dtypes[dtype].name : "?";
}

int sy_dtype_parse(const char *name)
{
    for (int i = 0; name != NULL && i < SY_DTYPE_COUNT; i++)
        if (strcmp(name, dtypes[i].name) == 0)
            return i;
    return -1;
}
