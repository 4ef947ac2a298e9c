/* Uncompressing .gz (zlib) and .zst (libzstd) from memory (documents_int.h).
 *
 * Both formats allow several members or frames one after another.  A file that ends inside one is
 * truncated; bytes that begin none are refused, but for zeros with which tapes pad .gz files. */
#include "base/mem.h"
#include "data/documents_int.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define PIECE ((size_t)1 << 18)

static int no_memory(const char *path, struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data: %s: out of memory", path);
}

static int truncated(const char *path, const struct sy_str *in, struct sy_err *err)
{
    return sy_err_set(err, SY_E_FORMAT,
                      "data: %s: truncated: compressed data ends early at byte %zu", path, in->len);
}

static void *z_alloc(void *ctx, unsigned count, unsigned size)
{
    (void)ctx;
    return sy_calloc(count, size);
}

static void z_free(void *ctx, void *block)
{
    (void)ctx;
    sy_free(block);
}

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* One step of inflate; 1 at the end of the file. */
static int gz_step(z_stream *z, const char *path, const struct sy_str *in, size_t *at,
                   unsigned char *piece, struct sy_str *out, struct sy_err *err)
{
    size_t left = in->len - *at;
    unsigned n = left > 1u << 30 ? 1u << 30 : (unsigned)left;
    z->next_in = (unsigned char *)in->data + *at;
    z->avail_in = n;
    z->next_out = piece;
    z->avail_out = PIECE;
    int rc = inflate(z, Z_NO_FLUSH);
    *at += n - z->avail_in;
    sy_str_add(out, piece, PIECE - z->avail_out);
    if (out->failed || rc == Z_MEM_ERROR)
        return no_memory(path, err);
    if (rc == Z_STREAM_END) {
        if (all_zero((unsigned char *)in->data + *at, in->len - *at))
            return 1;
        return inflateReset(z) == Z_OK ? 0 : no_memory(path, err);
    }
    if (rc == Z_BUF_ERROR || (rc == Z_OK && *at == in->len && z->avail_out))
        return truncated(path, in, err);
    if (rc != Z_OK)
        return sy_err_set(err, SY_E_FORMAT, "data: %s: corrupt .gz: %s (near byte %zu of %zu)",
                          path, z->msg ? z->msg : "not gzip", *at, in->len);
    return 0;
}

int sy__gunzip(const char *path, const struct sy_str *in, size_t most, struct sy_str *out,
               struct sy_err *err)
{
    size_t before = out->len;
    z_stream z = {.zalloc = z_alloc, .zfree = z_free};
    if (in->len == 0)
        return truncated(path, in, err);
    unsigned char *piece = sy_alloc(PIECE);
    if (!piece || inflateInit2(&z, 15 + 16) != Z_OK) {
        sy_free(piece);
        return no_memory(path, err);
    }
    size_t at = 0;
    int rc = 0;
    while (!rc && out->len - before <= most)
        rc = gz_step(&z, path, in, &at, piece, out, err);
    inflateEnd(&z);
    sy_free(piece);
    return rc < 0 ? -1 : out->len - before > most;
}

uint64_t sy__zstd_says(const struct sy_str *in)
{
    unsigned long long said = in->len ? ZSTD_getFrameContentSize(in->data, in->len) : 0;
    return said == ZSTD_CONTENTSIZE_UNKNOWN || said == ZSTD_CONTENTSIZE_ERROR ? 0 : said;
}

int sy__unzstd(const char *path, const struct sy_str *in, size_t most, struct sy_str *out,
               struct sy_err *err)
{
    size_t left = 0, before = out->len;
    char *piece = sy_alloc(PIECE);
    ZSTD_DStream *z = piece ? ZSTD_createDStream() : NULL;
    ZSTD_inBuffer from = {in->data, in->len, 0};
    bool more = z != NULL; /* zstd may hold back output when the last piece was full */
    while (z && (from.pos < from.size || more)) {
        ZSTD_outBuffer to = {piece, PIECE, 0};
        left = ZSTD_decompressStream(z, &to, &from);
        if (ZSTD_isError(left))
            break;
        sy_str_add(out, piece, to.pos);
        if (out->failed || out->len - before > most)
            break;
        more = to.pos == PIECE && left;
    }
    ZSTD_freeDStream(z);
    sy_free(piece);
    if (!z || out->failed)
        return no_memory(path, err);
    if (ZSTD_isError(left))
        return sy_err_set(err, SY_E_FORMAT, "data: %s: corrupt .zst: %s (near byte %zu of %zu)",
                          path, ZSTD_getErrorName(left), from.pos, from.size);
    if (out->len - before > most)
        return 1;
    return left || in->len == 0 ? truncated(path, in, err) : 0;
}
