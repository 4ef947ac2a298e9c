/* Whole files: written atomically, summed, loaded.  Layer: io. */
#include "base/mem.h"
#include "io/io_int.h"

#include <inttypes.h>

#define CHUNK ((uint64_t)1 << 20)

int sy_file_write(const char *op, const struct sy_dir *in, const char *path, const void *data,
                  uint64_t n, bool direct, struct sy_file_sum *sum, struct sy_err *err)
{
    struct sy__out out;
    if (sy__out_open(&out, op, in, path, n, direct, err) != 0)
        return -1;
    int r = sy__out_write(&out, data, n, err);
    if (sum)
        *sum = (struct sy_file_sum){out.written, sy_hash_final(&out.hash)};
    if (r == 0)
        return sy__out_commit(&out, err);
    sy__out_abort(&out);
    return -1;
}

int sy_file_sum(const char *op, const struct sy_dir *dir, const char *path,
                struct sy_file_sum *sum, struct sy_err *err)
{
    struct sy__in in;
    struct sy_hash h;
    if (sy__in_open(&in, op, dir, path, err) != 0)
        return -1;
    void *chunk = sy_alloc(CHUNK);
    int r = chunk ? 0 : sy_err_set(err, SY_E_MEMORY, "%s: out of memory reading %s", op, path);
    sy_hash_init(&h);
    for (uint64_t at = 0; at < in.size && r == 0; at += CHUNK) {
        uint64_t n = in.size - at < CHUNK ? in.size - at : CHUNK;
        r = sy__in_read(&in, at, n, chunk, err);
        if (r == 0)
            sy_hash_update(&h, chunk, n);
    }
    *sum = (struct sy_file_sum){in.size, sy_hash_final(&h)};
    sy_free(chunk);
    sy__in_close(&in);
    return r;
}

char *sy_file_load(const char *op, const struct sy_dir *dir, const char *path, uint64_t most,
                   uint64_t *n, struct sy_err *err)
{
    struct sy__in in;
    char *text = NULL;
    if (sy__in_open(&in, op, dir, path, err) != 0)
        return NULL;
    *n = in.size;
    if (in.size > most)
        sy_err_set(err, SY_E_FORMAT, "%s: %s has %" PRIu64 " bytes, at most %" PRIu64
                   " are expected", op, path, in.size, most);
    else if (!(text = sy_alloc(in.size + 1)))
        sy_err_set(err, SY_E_MEMORY, "%s: out of memory reading %s", op, path);
    else if (sy__in_read(&in, 0, in.size, text, err) != 0) {
        sy_free(text);
        text = NULL;
    } else
        text[in.size] = 0;
    sy__in_close(&in);
    return text;
}

int sy_file_head(const char *op, const char *path, void *head, size_t most, size_t *n,
                 uint64_t *size, struct sy_err *err)
{
    struct sy__in in;
    if (sy__in_open(&in, op, NULL, path, err) != 0)
        return -1;
    *size = in.size;
    *n = in.size < most ? (size_t)in.size : most;
    int r = sy__in_read(&in, 0, *n, head, err);
    sy__in_close(&in);
    return r;
}
