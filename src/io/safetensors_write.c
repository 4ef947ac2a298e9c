/* safetensors, writing.  Layer: io.  The byte layout stands in safetensors.c.
 *
 *  1. Arrays go to the file by falling element size, and in the order of sy_st_add within one size.
 *     The header is padded with spaces to a multiple of 8: every array is aligned to its element.
 *  2. Nothing is copied: data is written from where it lies, or made by `fill` a chunk at a time.
 *  3. The same calls give the same bytes.
 */
#include "io/safetensors_int.h"

#include "base/grow.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <string.h>

#define CHUNK ((uint64_t)1 << 20) /* bytes that `fill` makes at a time */

struct pending {
    struct sy_array array; /* name owned; offset from the start of the data */
    const void *data;      /* borrowed, or NULL: */
    sy_st_fill fill;
    void *ctx;
};

struct sy_st_writer {
    char *path;         /* owned */
    struct sy_str meta; /* {"key":"value"}, empty when there is none */
    struct pending *list; /* owned */
    int64_t count;
    size_t room;
    bool direct;
    const struct sy_dir *in; /* borrowed */
};

static int no_memory(const char *path, struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "safetensors: out of memory writing %s", path);
}

/* -- collecting -------------------------------------------------------------------------------- */

static int quote_text(struct sy_str *out, const char *s, const char *path, struct sy_err *err)
{
    if (sy_utf8_valid(s, strlen(s)) != strlen(s))
        return sy_err_set(err, SY_E_FORMAT, "safetensors: %s: metadata is not UTF-8", path);
    sy_json_quote(out, s, strlen(s));
    return 0;
}

static int add_meta(struct sy_st_writer *w, const char *const *meta, struct sy_err *err)
{
    for (int64_t i = 0; meta != NULL && meta[i] != NULL; i += 2) {
        for (int64_t j = 0; j < i; j += 2)
            if (strcmp(meta[i], meta[j]) == 0)
                return sy_err_set(err, SY_E_NAME, "safetensors: %s: metadata twice: %s", w->path,
                                  meta[i]);
        sy_str_puts(&w->meta, i == 0 ? "{" : ",");
        if (quote_text(&w->meta, meta[i], w->path, err) != 0)
            return -1;
        sy_str_puts(&w->meta, ":");
        if (quote_text(&w->meta, meta[i + 1], w->path, err) != 0)
            return -1;
    }
    if (w->meta.len > 0)
        sy_str_puts(&w->meta, "}");
    return w->meta.failed ? no_memory(w->path, err) : 0;
}

struct sy_st_writer *sy_st_begin(const char *path, const char *const *meta, struct sy_err *err)
{
    struct sy_st_writer *w = sy_calloc(1, sizeof *w);
    if (w != NULL)
        w->path = sy_strdup(path);
    if (w == NULL || w->path == NULL) {
        no_memory(path, err);
        sy_free(w);
        return NULL;
    }
    if (add_meta(w, meta, err) != 0) {
        sy_st_abort(w);
        return NULL;
    }
    return w;
}

static int check_array(const struct sy_st_writer *w, struct sy_array *a, struct sy_err *err)
{
    if (!sy__name_valid(a->name, strlen(a->name)) || strcmp(a->name, SY_ST_META) == 0)
        return sy_err_set(err, SY_E_NAME,
                          "safetensors: %s: an array's name is empty, reserved (" SY_ST_META
                          ") or has control characters", w->path);
    if (sy_dtype_block(a->dtype) > 1)
        return sy_err_set(err, SY_E_DTYPE, "safetensors: %s: %s: the format has no type for %s: "
                          "convert to f32", w->path, a->name, sy_dtype_name(a->dtype));
    if (sy_dtype_size(a->dtype) == 0)
        return sy_err_set(err, SY_E_DTYPE, "safetensors: %s: %s: no such dtype: %d", w->path,
                          a->name, (int)a->dtype);
    if (a->ndim < 0 || a->ndim > SY_IO_DIMS)
        return sy_err_set(err, SY_E_SHAPE, "safetensors: %s: %s: %d dimensions, at most %d",
                          w->path, a->name, a->ndim, SY_IO_DIMS);
    return 0;
}

static int add_pending(struct sy_st_writer *w, struct pending p, const int64_t *shape,
                       struct sy_err *err)
{
    struct sy_array *a = &p.array;
    if (check_array(w, a, err) != 0)
        return -1;
    if (a->ndim > 0)
        memcpy(a->shape, shape, (size_t)a->ndim * sizeof *shape);
    if (sy__array_bytes(sy_dtype_size(a->dtype), a->ndim, a->shape, &a->bytes) != 0) {
        char text[96];
        sy__array_shape(a->ndim, a->shape, text);
        return sy_err_set(err, SY_E_SHAPE, "safetensors: %s: %s: not a shape for a file: %s",
                          w->path, a->name, text);
    }
    if (SY_GROW(w->list, w->room, w->count + 1))
        return no_memory(w->path, err);
    a->name = sy_strdup(a->name);
    if (a->name == NULL)
        return no_memory(w->path, err);
    a->type = sy__element_of(a->dtype)->st;
    w->list[w->count++] = p;
    return 0;
}

int sy_st_add(struct sy_st_writer *w, const char *name, enum sy_dtype dtype, int ndim,
              const int64_t *shape, const void *data, struct sy_err *err)
{
    struct pending p = {.array = {.name = name, .dtype = dtype, .ndim = ndim}, .data = data};
    return add_pending(w, p, shape, err);
}

int sy_st_add_fill(struct sy_st_writer *w, const char *name, enum sy_dtype dtype, int ndim,
                   const int64_t *shape, sy_st_fill fill, void *ctx, struct sy_err *err)
{
    struct pending p = {
        .array = {.name = name, .dtype = dtype, .ndim = ndim}, .fill = fill, .ctx = ctx};
    return add_pending(w, p, shape, err);
}

/* -- writing ----------------------------------------------------------------------------------- */

/* The order of the file, and from it the offsets.  `order` has room for count pointers twice; the
 * second half serves to find a name that was given twice. */
static int lay_out(struct sy_st_writer *w, struct pending **order, const struct sy_array **names,
                   uint64_t *data_bytes, struct sy_err *err)
{
    int64_t at = 0;
    *data_bytes = 0;
    for (size_t size = 8; size > 0; size /= 2)
        for (int64_t i = 0; i < w->count; i++)
            if (sy_dtype_size(w->list[i].array.dtype) == size)
                order[at++] = &w->list[i];
    for (int64_t i = 0; i < w->count; i++) {
        order[i]->array.offset = *data_bytes;
        names[i] = &order[i]->array;
        if (order[i]->array.bytes > INT64_MAX / 2 - *data_bytes)
            return sy_err_set(err, SY_E_RANGE, "safetensors: %s: too large for a file", w->path);
        *data_bytes += order[i]->array.bytes;
    }
    sy__sort(names, w->count, sy__compare_names);
    for (int64_t i = 1; i < w->count; i++)
        if (sy__compare_names(names[i - 1], names[i]) == 0)
            return sy_err_set(err, SY_E_NAME, "safetensors: %s: array twice: %s", w->path,
                              names[i]->name);
    return 0;
}

static void put_array(struct sy_str *out, const struct sy_array *a)
{
    sy_json_quote(out, a->name, strlen(a->name));
    sy_str_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", a->type);
    for (int i = 0; i < a->ndim; i++)
        sy_str_printf(out, i ? ",%" PRId64 : "%" PRId64, a->shape[i]);
    sy_str_printf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", a->offset,
                  a->offset + a->bytes);
}

/* Length and JSON, ready to be written. */
static int make_header(const struct sy_st_writer *w, struct pending *const *order,
                       struct sy_str *out, struct sy_err *err)
{
    uint64_t n = 0;
    sy_str_add(out, &n, sizeof n);
    sy_str_puts(out, "{");
    if (w->meta.len > 0) {
        sy_str_puts(out, "\"" SY_ST_META "\":");
        sy_str_add(out, w->meta.data, w->meta.len);
    }
    for (int64_t i = 0; i < w->count; i++) {
        if (i > 0 || w->meta.len > 0)
            sy_str_puts(out, ",");
        put_array(out, &order[i]->array);
    }
    sy_str_puts(out, "}");
    while (out->len % 8 != 0 && !out->failed)
        sy_str_puts(out, " ");
    if (out->failed)
        return no_memory(w->path, err);
    n = out->len - sizeof n;
    memcpy(out->data, &n, sizeof n);
    if (n > SY_ST_HEADER_MAX)
        return sy_err_set(err, SY_E_RANGE, "safetensors: %s: a header of %" PRIu64
                          " bytes, at most %" PRIu64 " are allowed", w->path, n, SY_ST_HEADER_MAX);
    return 0;
}

static int write_filled(struct sy__out *out, const struct pending *p, void *chunk,
                        struct sy_err *err)
{
    size_t size = sy_dtype_size(p->array.dtype);
    int64_t total = (int64_t)(p->array.bytes / size), most = (int64_t)(CHUNK / size);
    for (int64_t first = 0; first < total; first += most) {
        int64_t n = total - first < most ? total - first : most;
        if (p->fill(p->ctx, first, n, chunk, err) != 0)
            return sy_err_prefix(err, "safetensors: %s: %s", out->path, p->array.name);
        if (sy__out_write(out, chunk, (uint64_t)n * size, err) != 0)
            return -1;
    }
    return 0;
}

static int write_file(struct sy_st_writer *w, struct pending *const *order,
                      const struct sy_str *header, uint64_t data_bytes, void *chunk,
                      struct sy_file_sum *sum, struct sy_err *err)
{
    struct sy__out out;
    if (sy__out_open(&out, "safetensors", w->in, w->path, header->len + data_bytes,
                     w->direct, err) != 0)
        return -1;
    int r = sy__out_write(&out, header->data, header->len, err);
    for (int64_t i = 0; i < w->count && r == 0; i++)
        r = order[i]->fill ? write_filled(&out, order[i], chunk, err)
                           : sy__out_write(&out, order[i]->data, order[i]->array.bytes, err);
    if (sum != NULL)
        *sum = (struct sy_file_sum){out.written, sy_hash_final(&out.hash)};
    if (r == 0)
        return sy__out_commit(&out, err);
    sy__out_abort(&out);
    return -1;
}

static int finish_file(struct sy_st_writer *w, struct sy_str *header, struct sy_file_sum *sum,
                       struct sy_err *err)
{
    size_t n = (size_t)w->count + 1;
    uint64_t data_bytes;
    struct pending **order = sy_calloc(n, sizeof *order);
    const struct sy_array **names = sy_calloc(n, sizeof *names);
    void *chunk = sy_alloc(CHUNK);
    int r = -1;
    if (order == NULL || names == NULL || chunk == NULL)
        no_memory(w->path, err);
    else if (lay_out(w, order, names, &data_bytes, err) == 0 &&
             make_header(w, order, header, err) == 0)
        r = write_file(w, order, header, data_bytes, chunk, sum, err);
    sy_free(chunk);
    sy_free(names);
    sy_free(order);
    return r;
}

void sy_st_direct(struct sy_st_writer *w, const struct sy_dir *in)
{
    w->direct = true;
    w->in = in;
}

int sy_st_finish(struct sy_st_writer *w, struct sy_err *err)
{
    return sy_st_finish_sum(w, NULL, err);
}

int sy_st_finish_sum(struct sy_st_writer *w, struct sy_file_sum *sum, struct sy_err *err)
{
    struct sy_str header = SY_STR_INIT;
    int r = finish_file(w, &header, sum, err);
    sy_str_free(&header);
    sy_st_abort(w);
    return r;
}

static void free_name(const char *name) /* owned, though sy_array shows it as borrowed */
{
    union { const char *shown; char *owned; } u = {name};
    sy_free(u.owned);
}

void sy_st_abort(struct sy_st_writer *w)
{
    if (w == NULL)
        return;
    for (int64_t i = 0; i < w->count; i++)
        free_name(w->list[i].array.name);
    sy_free(w->list);
    sy_free(w->path);
    sy_str_free(&w->meta);
    sy_free(w);
}
