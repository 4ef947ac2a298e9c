/* safetensors, reading.  Layer: io.
 *
 *     offset 0      u64  H, the header's length in bytes, little-endian
 *            8      H bytes of JSON: {"name": {"dtype": "F32", "shape": [2, 3],
 *                                              "data_offsets": [begin, end]}, ...,
 *                                     "__metadata__": {"key": "value", ...}}  (may end in spaces)
 *            8 + H  the data: offsets count from here
 *
 *  1. H <= 100 MB and within the file; the header begins with '{'; no name twice (the JSON reader).
 *  2. Sorted by offset, the arrays cover the data without gap, overlap or rest.
 *  3. end - begin is exactly the product of the shape times the element's size, with no wrap.
 *  4. Types that the format knows and we do not are listed, and refused when they are read.
 *
 * Names, types and metadata are borrowed from the JSON tree, which lives as long as the handle.
 * Source: the format's description, github.com/huggingface/safetensors, README "Format".
 */
#include "io/safetensors_int.h"

#include "base/json.h"
#include "base/mapping.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian, and so are we");

struct sy_st {
    struct sy__in in;
    struct sy_json *header;
    const struct sy_json *meta; /* in header, or NULL */
    int64_t count;
    struct sy_array *arrays;         /* as the header lists them */
    const struct sy_array **by_offset; /* both sorted lists in one block */
    const struct sy_array **by_name;
};

/* -- sorting ----------------------------------------------------------------- */

int sy__compare_names(const struct sy_array *a, const struct sy_array *b)
{
    return strcmp(a->name, b->name);
}

/* By begin, then by end, so that empty arrays stand before the one that begins where they do. */
static int compare_offsets(const struct sy_array *a, const struct sy_array *b)
{
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->stored < b->stored ? -1 : a->stored > b->stored;
}

void sy__sort(const struct sy_array **list, int64_t n,
              int (*compare)(const struct sy_array *, const struct sy_array *))
{
    for (int64_t start = n / 2, end = n; end > 1;) {
        const struct sy_array *lifted;
        if (start > 0)
            lifted = list[--start];
        else {
            lifted = list[--end];
            list[end] = list[0];
        }
        int64_t hole = start;
        for (int64_t child; (child = 2 * hole + 1) < end; hole = child) {
            child += child + 1 < end && compare(list[child], list[child + 1]) < 0;
            if (compare(lifted, list[child]) >= 0)
                break;
            list[hole] = list[child];
        }
        list[hole] = lifted;
    }
}

/* -- the header -------------------------------------------------------------------------------- */

static int fail_array(const struct sy_st *st, const struct sy_array *a, struct sy_err *err,
                      const char *what)
{
    return sy_err_set(err, SY_E_FORMAT, "safetensors: %s: %s: %s", st->in.path, a->name, what);
}

static int read_shape(const struct sy_st *st, const struct sy_json *list, struct sy_array *a,
                      struct sy_err *err)
{
    if (list == NULL || list->type != SY_JSON_ARRAY)
        return fail_array(st, a, err, "no list \"shape\"");
    if (list->count > SY_IO_DIMS)
        return sy_err_set(err, SY_E_UNSUPPORTED,
                          "safetensors: %s: %s: %" PRId64 " dimensions, at most %d are supported",
                          st->in.path, a->name, list->count, SY_IO_DIMS);
    for (const struct sy_json *d = list->first; d != NULL; d = d->next) {
        if (d->type != SY_JSON_INT || d->integer < 0)
            return fail_array(st, a, err, "a dimension is not a count");
        a->shape[a->ndim++] = d->integer;
    }
    return 0;
}

/* Offsets from the start of the data, checked to lie within it. */
static int read_offsets(const struct sy_st *st, const struct sy_json *pair, uint64_t data_bytes,
                        struct sy_array *a, uint64_t *bytes, struct sy_err *err)
{
    if (pair == NULL || pair->type != SY_JSON_ARRAY || pair->count != 2 ||
        pair->first->type != SY_JSON_INT || pair->first->next->type != SY_JSON_INT)
        return fail_array(st, a, err, "no pair \"data_offsets\"");
    int64_t begin = pair->first->integer, end = pair->first->next->integer;
    if (begin < 0 || end < begin || (uint64_t)end > data_bytes)
        return sy_err_set(err, SY_E_FORMAT,
                          "safetensors: %s: %s: data_offsets [%" PRId64 ", %" PRId64
                          "] do not lie in the %" PRIu64 " bytes of data",
                          st->in.path, a->name, begin, end, data_bytes);
    a->offset = (uint64_t)begin;
    *bytes = (uint64_t)(end - begin);
    return 0;
}

static int read_array(const struct sy_st *st, const struct sy_json *entry, uint64_t data_bytes,
                      struct sy_array *a, struct sy_err *err)
{
    uint64_t bytes = 0;
    if (!sy__name_valid(entry->key, entry->key_len))
        return sy_err_set(err, SY_E_FORMAT,
                          "safetensors: %s: an array's name is empty or has control characters",
                          st->in.path);
    a->name = entry->key;
    if (entry->type != SY_JSON_OBJECT || entry->count != 3)
        return fail_array(st, a, err, "not exactly dtype, shape and data_offsets");
    const struct sy_json *word = sy_json_get(entry, "dtype");
    const struct sy__element *type = word && word->type == SY_JSON_STRING
                                         ? sy__element_st(word->string, word->string_len)
                                         : NULL;
    if (type == NULL)
        return fail_array(st, a, err, "no \"dtype\", or an unknown one");
    a->element = type;
    a->type = type->st;
    a->dtype = type->dtype;
    a->as_stored = type->as_stored;
    if (read_shape(st, sy_json_get(entry, "shape"), a, err) != 0 ||
        read_offsets(st, sy_json_get(entry, "data_offsets"), data_bytes, a, &bytes, err) != 0)
        return -1;
    if (sy__array_take(a, bytes) != 0) {
        char shape[96];
        sy__array_shape(a->ndim, a->shape, shape);
        return sy_err_set(err, SY_E_FORMAT,
                          "safetensors: %s: %s: %s %s does not take %" PRIu64 " bytes",
                          st->in.path, a->name, a->type, shape, bytes);
    }
    return 0;
}

static int read_meta(struct sy_st *st, const struct sy_json *entry, struct sy_err *err)
{
    bool good = entry->type == SY_JSON_OBJECT;
    for (const struct sy_json *e = entry->first; good && e != NULL; e = e->next)
        good = e->type == SY_JSON_STRING && memchr(e->string, 0, e->string_len) == NULL &&
               memchr(e->key, 0, e->key_len) == NULL;
    if (!good)
        return sy_err_set(err, SY_E_FORMAT, "safetensors: %s: " SY_ST_META
                          " does not map text to text", st->in.path);
    st->meta = entry;
    return 0;
}

/* Invariant 2. */
static int check_cover(const struct sy_st *st, uint64_t data_bytes, struct sy_err *err)
{
    uint64_t at = 0;
    for (int64_t i = 0; i < st->count; i++) {
        const struct sy_array *a = st->by_offset[i];
        if (a->offset != at)
            return sy_err_set(err, SY_E_FORMAT,
                              "safetensors: %s: %s: begins at byte %" PRIu64
                              " of the data, the one before it ends at %" PRIu64,
                              st->in.path, a->name, a->offset, at);
        at += a->stored;
    }
    if (at != data_bytes)
        return sy_err_set(err, SY_E_FORMAT,
                          "safetensors: %s: arrays end at byte %" PRIu64 " of %" PRIu64
                          " bytes of data", st->in.path, at, data_bytes);
    return 0;
}

static bool is_meta(const struct sy_json *entry)
{
    return entry->key_len == strlen(SY_ST_META) &&
           memcmp(entry->key, SY_ST_META, entry->key_len) == 0;
}

static int read_arrays(struct sy_st *st, uint64_t data_start, struct sy_err *err)
{
    /* one more than none, so that an empty list is not taken for a failed allocation; the header's
     * 100 MB bound count, hence the sums */
    size_t n = (size_t)st->header->count + 1;
    uint64_t data_bytes = st->in.size - data_start;
    st->arrays = sy_calloc(n, sizeof *st->arrays);
    st->by_offset = sy_calloc(2 * n, sizeof(void *));
    if (st->arrays == NULL || st->by_offset == NULL)
        return sy_err_set(err, SY_E_MEMORY, "safetensors: %s: out of memory for %zu arrays",
                          st->in.path, n - 1);
    st->by_name = st->by_offset + n;
    for (const struct sy_json *e = st->header->first; e != NULL; e = e->next) {
        struct sy_array *a = &st->arrays[st->count];
        if (is_meta(e)) {
            if (read_meta(st, e, err) != 0)
                return -1;
            continue;
        }
        if (read_array(st, e, data_bytes, a, err) != 0)
            return -1;
        st->by_offset[st->count] = st->by_name[st->count] = a;
        st->count++;
    }
    sy__sort(st->by_offset, st->count, compare_offsets);
    sy__sort(st->by_name, st->count, sy__compare_names);
    if (check_cover(st, data_bytes, err) != 0)
        return -1;
    for (int64_t i = 0; i < st->count; i++)
        st->arrays[i].offset += data_start;
    return 0;
}

static int parse_header(struct sy_st *st, const char *text, size_t n, struct sy_err *err)
{
    if (n == 0 || text[0] != '{')
        return sy_err_set(err, SY_E_FORMAT, "safetensors: %s: the header does not begin with '{'",
                          st->in.path);
    st->header = sy_json_parse(text, n, err);
    return st->header ? 0 : sy_err_prefix(err, "safetensors: %s", st->in.path);
}

static int read_header(struct sy_st *st, struct sy_err *err)
{
    uint64_t n;
    if (st->in.size < sizeof n)
        return sy_err_set(err, SY_E_FORMAT, "safetensors: %s: too short: %" PRIu64 " bytes",
                          st->in.path, st->in.size);
    if (sy__in_read(&st->in, 0, sizeof n, &n, err) != 0)
        return -1;
    if (n > SY_ST_HEADER_MAX || n > st->in.size - sizeof n)
        return sy_err_set(err, SY_E_FORMAT,
                          "safetensors: %s: a header of %" PRIu64 " bytes in a file of %" PRIu64,
                          st->in.path, n, st->in.size);
    char *text = sy_alloc((size_t)n + 1);
    if (text == NULL)
        return sy_err_set(err, SY_E_MEMORY, "safetensors: %s: out of memory for a header of %"
                          PRIu64 " bytes", st->in.path, n);
    int r = sy__in_read(&st->in, sizeof n, n, text, err);
    if (r == 0)
        r = parse_header(st, text, (size_t)n, err);
    sy_free(text);
    return r == 0 ? read_arrays(st, sizeof n + n, err) : -1;
}

/* -- the handle -------------------------------------------------------------------------------- */

struct sy_st *sy_st_open(const char *path, struct sy_err *err)
{
    struct sy_st *st = sy_calloc(1, sizeof *st);
    if (st == NULL) {
        sy_err_set(err, SY_E_MEMORY, "safetensors: out of memory opening %s", path);
        return NULL;
    }
    if (sy__in_open(&st->in, "safetensors", NULL, path, err) != 0 || read_header(st, err) != 0) {
        sy_st_close(st);
        return NULL;
    }
    return st;
}

void sy_st_close(struct sy_st *st)
{
    if (st == NULL)
        return;
    sy__in_close(&st->in);
    sy_json_free(st->header);
    sy_free(st->arrays);
    sy_free(st->by_offset);
    sy_free(st);
}

int64_t sy_st_count(const struct sy_st *st)
{
    return st->count;
}

const struct sy_array *sy_st_at(const struct sy_st *st, int64_t i)
{
    return st->by_offset[i];
}

const struct sy_array *sy_st_find(const struct sy_st *st, const char *name)
{
    int64_t low = 0, high = st->count;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        int c = strcmp(name, st->by_name[mid]->name);
        if (c == 0)
            return st->by_name[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *sy_st_meta(const struct sy_st *st, const char *key)
{
    const struct sy_json *value = st->meta ? sy_json_get(st->meta, key) : NULL;
    return value ? value->string : NULL;
}

struct sy_mapping *sy_st_map(const struct sy_st *st, struct sy_err *err)
{
    struct sy_mapping *m = sy_mapping_open(st->in.fd, "safetensors", st->in.path, err);
    if (m && sy_mapping_size(m) != st->in.size) {
        sy_err_set(err, SY_E_IO, "safetensors: %s changed while it was read: it has %" PRIu64
                   " bytes, had %" PRIu64, st->in.path, sy_mapping_size(m), st->in.size);
        sy_mapping_close(m);
        return NULL;
    }
    return m;
}

int sy_st_read(const struct sy_st *st, const struct sy_array *a, void *dst, struct sy_err *err)
{
    return sy__in_array(&st->in, a, false, dst, err);
}
