/* Sizes, names and values of arrays in files, checked before anyone relies on them.  Layer: io. */
#include "io/io_int.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int sy__array_bytes(size_t element, int ndim, const int64_t *shape, uint64_t *bytes)
{
    size_t whole = element;
    bool empty = false;
    if (ndim < 0 || ndim > SY_IO_DIMS)
        return -1;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return -1;
        empty |= shape[i] == 0;
        if (sy_mul_size(whole, shape[i] > 0 ? (size_t)shape[i] : 1, &whole) != 0)
            return -1;
    }
    if (whole > INT64_MAX) /* file offsets and element counts are signed elsewhere */
        return -1;
    *bytes = empty ? 0 : whole;
    return 0;
}

int sy__array_take(struct sy_array *a, uint64_t stored)
{
    const struct sy__element *e = a->element;
    if (sy__array_bytes(e->size, a->ndim, a->shape, &a->stored) != 0 || a->stored != stored)
        return -1;
    a->bytes = a->stored;
    return e->convert ? sy__array_bytes(sy_dtype_size(e->dtype), a->ndim, a->shape, &a->bytes) : 0;
}

void sy__array_shape(int ndim, const int64_t *shape, char out[96])
{
    size_t at = 0, room = 96 - sizeof ", ...)";
    out[at++] = '(';
    for (int i = 0; i < ndim; i++) {
        char one[24];
        size_t n = (size_t)snprintf(one, sizeof one, i ? ", %" PRId64 : "%" PRId64, shape[i]);
        if (at + n > room) {
            memcpy(out + at, ", ...", 5);
            at += 5;
            break;
        }
        memcpy(out + at, one, n);
        at += n;
    }
    if (ndim == 1)
        out[at++] = ',';
    out[at++] = ')';
    out[at] = '\0';
}

bool sy__name_valid(const char *name, size_t n)
{
    if (n == 0 || sy_utf8_valid(name, n) != n)
        return false;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += (size_t)sy_utf8_decode(name + i, n - i, &c);
        if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            return false;
    }
    return true;
}

int sy__bool_check(const unsigned char *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i] > 1)
            return bytes[i];
    return -1;
}
