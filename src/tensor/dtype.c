/* Element types: sizes and names from one table; how the stored ones lie is in
 * cpu/storage_form.c.  Layer: tensor. */
#include "tensor/tensor.h"

#include "base/find.h"

/* form: by which products and embeddings read it; SY_FORM_COUNT: not as f32 */
static const struct {
    const char *name;
    size_t size;
    enum sy_form form;
    bool stored;
} dtypes[SY_DTYPE_COUNT] = {
    [SY_F32] = {"f32", 4, SY_FORM_F32, false},
    [SY_F64] = {"f64", 8, SY_FORM_COUNT, false},
    [SY_BF16] = {"bf16", 2, SY_FORM_BF16, false},
    [SY_I32] = {"i32", 4, SY_FORM_COUNT, false},
    [SY_I64] = {"i64", 8, SY_FORM_COUNT, false},
    [SY_U8] = {"u8", 1, SY_FORM_COUNT, false},
    [SY_BOOL] = {"bool", 1, SY_FORM_COUNT, false},
    [SY_F16] = {"f16", 2, SY_FORM_F16, true},
    [SY_Q8_0] = {"q8_0", 0, SY_FORM_Q8_0, true},
    [SY_MXFP4] = {"mxfp4", 0, SY_FORM_MXFP4, true},
};

static int valid(enum sy_dtype dtype)
{
    return (unsigned)dtype < SY_DTYPE_COUNT;
}

size_t sy_dtype_size(enum sy_dtype dtype)
{
    return valid(dtype) ? dtypes[dtype].size : 0;
}

bool sy_dtype_stored(enum sy_dtype dtype) { return valid(dtype) && dtypes[dtype].stored; }

bool sy_dtype_real(enum sy_dtype dtype)
{
    return dtype == SY_F64 || sy_dtype_form(dtype) != SY_FORM_COUNT;
}

enum sy_form sy_dtype_form(enum sy_dtype dtype)
{
    return valid(dtype) ? dtypes[dtype].form : SY_FORM_COUNT;
}

int64_t sy_dtype_block(enum sy_dtype dtype)
{
    return sy_dtype_stored(dtype) ? sy_forms[dtypes[dtype].form].values : 1;
}

size_t sy_dtype_block_bytes(enum sy_dtype dtype)
{
    const struct sy_form_row *f;
    if (!sy_dtype_stored(dtype))
        return sy_dtype_size(dtype);
    f = &sy_forms[dtypes[dtype].form];
    return f->bytes + f->beside;
}

const char *sy_dtype_name(enum sy_dtype dtype)
{
    return valid(dtype) ? dtypes[dtype].name : "?";
}

int sy_dtype_parse(const char *name)
{
    return name ? SY_FIND_NAME(dtypes, name) : -1;
}
