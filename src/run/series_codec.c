/* Chunks of series as bytes.  See series_codec.h. */
#include "run/series_codec.h"

#include "base/float_bits.h"
#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { HEAD = 24, VERSION_AT = 1, SUM_AT = 12 };
enum { PLAIN = 1, PACKED };
enum { F32, F16 };
enum { PACK_LEVEL = 1, PACK_LEAST = 64 }; /* bytes; higher levels gain a hundredth */

static void put_varint(struct sy_str *out, uint64_t v)
{
    unsigned char b[10];
    int n = 0;
    do {
        b[n++] = (unsigned char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
    sy_str_add(out, b, (size_t)n);
}

static bool get_varint(const unsigned char **at, const unsigned char *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 63 && *at < end; shift += 7) {
        unsigned char b = *(*at)++;
        *v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

static void put_steps(struct sy_str *out, const int64_t *steps, int rows)
{
    int64_t stride = rows > 1 ? steps[1] - steps[0] : 1;
    for (int i = 2; i < rows; i++)
        if (steps[i] - steps[i - 1] != stride)
            stride = 0;
    put_varint(out, (uint64_t)stride);
    for (int i = 1; i < rows && !stride; i++)
        put_varint(out, (uint64_t)(steps[i] - steps[i - 1]));
}

static bool get_steps(const unsigned char **at, const unsigned char *end, int64_t *steps, int rows)
{
    uint64_t stride, gap;
    if (!get_varint(at, end, &stride))
        return false;
    for (int i = 1; i < rows; i++) {
        gap = stride;
        if ((!stride && !get_varint(at, end, &gap)) || !gap || gap > (uint64_t)1 << 53 ||
            steps[i - 1] > INT64_MAX - (int64_t)gap)
            return false;
        steps[i] = steps[i - 1] + (int64_t)gap;
    }
    return true;
}

static int kind_for(const float *values, size_t n, int width)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i]) && fabsf(values[i]) > 65504.0f)
            return F32;
    return width > 1 ? F16 : F32;
}

static void put_values(struct sy_str *out, const float *values, size_t n, int kind)
{
    uint16_t half[512];
    if (kind == F32) {
        sy_str_add(out, values, n * sizeof *values);
        return;
    }
    for (size_t i = 0; i < n; i += 512) {
        size_t m = n - i < 512 ? n - i : 512;
        for (size_t j = 0; j < m; j++)
            half[j] = sy_half_of(values[i + j]);
        sy_str_add(out, half, m * sizeof *half);
    }
}

static void get_values(const unsigned char *at, float *values, size_t n, int kind)
{
    if (kind == F32) {
        memcpy(values, at, n * sizeof *values);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, at + 2 * i, sizeof h);
        values[i] = sy_float_of_half(h);
    }
}

static size_t size_of(int kind)
{
    return kind == F16 ? sizeof(uint16_t) : sizeof(float);
}

/* ---- packing ---- */

/* Bytes of the values in planes, each column after column. */
static void put_planes(unsigned char *p, const float *values, size_t rows, size_t width, int kind)
{
    size_t n = rows * width;
    for (size_t x = 0; x < width; x++)
        for (size_t r = 0; r < rows; r++, p++) {
            float f = values[r * width + x];
            uint32_t u = kind == F16 ? sy_half_of(f) : sy_bits_of(f);
            for (size_t j = 0; j < size_of(kind); j++)
                p[j * n] = (unsigned char)(u >> 8 * j);
        }
}

static void get_planes(const unsigned char *p, float *values, size_t rows, size_t width, int kind)
{
    size_t n = rows * width;
    for (size_t x = 0; x < width; x++)
        for (size_t r = 0; r < rows; r++, p++) {
            uint32_t u = 0;
            for (size_t j = 0; j < size_of(kind); j++)
                u |= (uint32_t)p[j * n] << 8 * j;
            values[r * width + x] = kind == F16 ? sy_float_of_half((uint16_t)u) : sy_float_of(u);
        }
}

/* A skippable frame behind the n bytes of a frame, so that both are what a reader takes for so many
 * bytes of values.  The bytes of both. */
static size_t padded(unsigned char *frame, size_t n, size_t bytes)
{
    static const unsigned char magic[4] = {0x50, 0x2a, 0x4d, 0x18};
    size_t least = bytes / SY_CHUNK_RATIO + 1, head = sizeof magic + sizeof(uint32_t);
    if (n >= least)
        return n;
    uint32_t more = n + head < least ? (uint32_t)(least - n - head) : 0;
    memcpy(frame + n, magic, sizeof magic);
    memcpy(frame + n + sizeof magic, &more, sizeof more);
    memset(frame + n + head, 0, more);
    return n + head + more;
}

/* Append the values packed; false: it does not pay, or there is no memory to do it. */
static bool put_packed(struct sy_str *out, const float *values, size_t rows, size_t width, int kind)
{
    size_t bytes = rows * width * size_of(kind);
    unsigned char *planes = bytes < PACK_LEAST ? NULL : sy_alloc(2 * bytes);
    if (!planes)
        return false;
    put_planes(planes, values, rows, width, kind);
    size_t n = ZSTD_compress(planes + bytes, bytes - 1, planes, bytes, PACK_LEVEL);
    bool pays = !ZSTD_isError(n);
    if (pays)
        sy_str_add(out, planes + bytes, padded(planes + bytes, n, bytes));
    sy_free(planes);
    return pays;
}

static int get_packed(const unsigned char *at, size_t n, float *values, size_t rows, size_t width,
                      int kind, struct sy_err *err)
{
    size_t bytes = rows * width * size_of(kind);
    unsigned char *planes = sy_alloc(bytes);
    if (!planes)
        return sy_err_set(err, SY_E_MEMORY, "chunk: out of memory");
    size_t got = ZSTD_decompress(planes, bytes, at, n); /* with memory of its own */
    if (got == bytes)
        get_planes(planes, values, rows, width, kind);
    sy_free(planes);
    if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return sy_err_set(err, SY_E_MEMORY, "chunk: out of memory");
    return got == bytes ? 0 : sy_err_set(err, SY_E_FORMAT, "chunk: damaged: it does not unpack");
}

/* ---- chunks ---- */

/* The sum over a chunk whose own field counts as zero. */
static uint32_t sum_of(const unsigned char *blob, size_t n)
{
    static const unsigned char zero[4];
    struct sy_hash h;
    sy_hash_init(&h);
    sy_hash_update(&h, blob, SUM_AT);
    sy_hash_update(&h, zero, 4);
    sy_hash_update(&h, blob + SUM_AT + 4, n - SUM_AT - 4);
    return (uint32_t)sy_hash_final(&h);
}

void sy__chunk_encode(struct sy_str *out, const int64_t *steps, const float *values, int rows,
                      int width)
{
    size_t start = out->len, n = (size_t)rows * (size_t)width;
    int kind = kind_for(values, n, width);
    unsigned char head[HEAD] = {'S', PLAIN, (unsigned char)kind, 0};
    memcpy(head + 4, &(uint32_t){(uint32_t)rows}, 4);
    memcpy(head + 8, &(uint32_t){(uint32_t)width}, 4);
    memcpy(head + 16, steps, 8);
    sy_str_add(out, head, HEAD);
    put_steps(out, steps, rows);
    bool packed = put_packed(out, values, (size_t)rows, (size_t)width, kind);
    if (!packed)
        put_values(out, values, n, kind);
    if (out->failed)
        return;
    out->data[start + VERSION_AT] = packed ? PACKED : PLAIN;
    uint32_t sum = sum_of((unsigned char *)out->data + start, out->len - start);
    memcpy(out->data + start + SUM_AT, &sum, 4);
}

int64_t sy__chunk_values(const void *blob, size_t n, int width, struct sy_err *err)
{
    const unsigned char *b = blob;
    uint32_t rows, w;
    if (n <= HEAD || b[0] != 'S' || b[VERSION_AT] < PLAIN || b[VERSION_AT] > PACKED || b[2] > F16 ||
        b[3])
        return sy_err_set(err, SY_E_FORMAT, "chunk: not of a series: %zu bytes", n);
    memcpy(&rows, b + 4, 4);
    memcpy(&w, b + 8, 4);
    size_t ratio = b[VERSION_AT] == PACKED ? SY_CHUNK_RATIO : 1;
    if (rows < 1 || rows > SY_CHUNK_ROWS || w < 1 || w != (uint32_t)width ||
        (size_t)rows * w * size_of(b[2]) / ratio > n - HEAD)
        return sy_err_set(err, SY_E_FORMAT, "chunk: damaged: %u rows of %u values in %zu bytes",
                          rows, w, n);
    return (int64_t)rows * w;
}

int sy__chunk_decode(const void *blob, size_t n, int width, int64_t *steps, float *values,
                     struct sy_err *err)
{
    const unsigned char *b = blob, *at = b + HEAD, *end = b + n;
    uint32_t sum;
    int64_t count = sy__chunk_values(blob, n, width, err);
    if (count < 0)
        return -1;
    int rows = (int)(count / width);
    memcpy(&sum, b + SUM_AT, 4);
    memcpy(steps, b + 16, 8);
    if (sum != sum_of(b, n))
        return sy_err_set(err, SY_E_FORMAT, "chunk: damaged: %d rows of %d values", rows, width);
    if (!get_steps(&at, end, steps, rows) ||
        (b[VERSION_AT] == PLAIN && (size_t)(end - at) != (size_t)count * size_of(b[2])))
        return sy_err_set(err, SY_E_FORMAT, "chunk: damaged: %d rows do not fit %zu bytes", rows,
                          n);
    if (b[VERSION_AT] == PLAIN)
        get_values(at, values, (size_t)count, b[2]);
    else if (get_packed(at, (size_t)(end - at), values, (size_t)rows, (size_t)width, b[2], err))
        return -1;
    return rows;
}
