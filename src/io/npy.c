/* .npy, reading and writing.  Layer: io.
 *
 *     "\x93NUMPY"  u8 major  u8 minor   u16 (version 1) or u32 (version 2) H, little-endian
 *     H bytes:     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   spaces, newline
 *     the data, up to the end of the file
 *
 *  1. The header is a Python literal; a parser of just this dictionary reads it: three keys, each
 *     once, in any order; a word, a truth value, a tuple of counts.  H <= 64 KiB.
 *  2. Data fill the file exactly: product of the shape times the element, checked for wrapping.
 *  3. Little-endian only: big-endian, structures and objects (pickles) are refused, each with its
 *     own words.  Fortran order is put into C order while reading.
 *
 * Source: NumPy's description of the format, numpy.lib.format (NEP 1).
 */
#include "io/io_int.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEADER_MAX 65536u
#define PREFIX 10 /* magic, version, u16 */

struct sy_npy {
    struct sy__in in;
    struct sy_array array;
    char type[16];
    bool fortran;
};

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

/* -- the header's parser ----------------------------------------------------------------------- */

struct cursor {
    const char *at, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

/* The given text, after spaces. */
static bool take_text(struct cursor *c, const char *text)
{
    size_t n = strlen(text);
    skip_space(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* 'word' or "word" into out, printable ASCII without escapes. */
static bool take_word(struct cursor *c, char *out, size_t size)
{
    char quote = take_text(c, "'") ? '\'' : take_text(c, "\"") ? '"' : 0;
    size_t n = 0;
    for (; quote && c->at < c->end && *c->at != quote && n + 1 < size; c->at++) {
        if (*c->at < 0x20 || *c->at > 0x7e || *c->at == '\\')
            return false;
        out[n++] = *c->at;
    }
    out[n] = '\0';
    if (!quote || c->at >= c->end || *c->at != quote)
        return false;
    c->at++;
    return true;
}

static bool take_count(struct cursor *c, int64_t *out)
{
    int digits = 0;
    int64_t v = 0;
    skip_space(c);
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, digits++) {
        if (v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (*c->at - '0');
    }
    *out = v;
    return digits > 0;
}

/* () or (3,) or (3, 4) or (3, 4,); a bare (3) is a number in Python, not a shape. */
static bool take_shape(struct cursor *c, struct sy_array *a, bool *many)
{
    bool comma = true;
    *many = false;
    if (!take_text(c, "("))
        return false;
    for (a->ndim = 0; !take_text(c, ")"); comma = take_text(c, ",")) {
        int64_t d;
        if (!comma || !take_count(c, &d))
            return false;
        if (a->ndim == SY_IO_DIMS) {
            *many = true;
            return false;
        }
        a->shape[a->ndim++] = d;
    }
    return a->ndim != 1 || comma;
}

static int malformed(const struct sy_npy *f, struct sy_err *err, const char *what)
{
    return sy_err_set(err, SY_E_FORMAT, "npy: %s: %s", f->in.path, what);
}

static int unsupported(const struct sy_npy *f, struct sy_err *err, const char *what)
{
    return sy_err_set(err, SY_E_UNSUPPORTED, "npy: %s: %s", f->in.path, what);
}

static int read_type(struct sy_npy *f, struct cursor *c, struct sy_err *err)
{
    if (take_text(c, "["))
        return unsupported(f, err, "holds structures, not numbers");
    if (!take_word(c, f->type, sizeof f->type))
        return malformed(f, err, "'descr' is not a short word");
    f->array.type = f->type;
    f->array.element = sy__element_npy(f->type);
    f->array.dtype = f->array.element ? f->array.element->dtype : SY_DTYPE_COUNT;
    f->array.as_stored = f->array.element ? f->array.element->as_stored : SY_DTYPE_COUNT;
    if (f->array.dtype != SY_DTYPE_COUNT)
        return 0;
    if (f->type[0] == '>')
        return unsupported(f, err, "big-endian numbers: save with .astype('<...') first");
    if (f->type[0] != '\0' && f->type[1] == 'O')
        return unsupported(f, err, "holds Python objects, which are never loaded");
    return sy_err_set(err, SY_E_UNSUPPORTED,
                      "npy: %s: element type '%s': only f2 f4 f8, i1 to i8, u1 to u8, b1",
                      f->in.path, f->type);
}

static int read_order(struct sy_npy *f, struct cursor *c, struct sy_err *err)
{
    f->fortran = take_text(c, "True");
    if (f->fortran || take_text(c, "False"))
        return 0;
    return malformed(f, err, "'fortran_order' is neither True nor False");
}

static int read_shape(struct sy_npy *f, struct cursor *c, struct sy_err *err)
{
    bool many;
    if (take_shape(c, &f->array, &many))
        return 0;
    return many ? unsupported(f, err, "more than 8 dimensions")
                : malformed(f, err, "'shape' is not a tuple of counts");
}

static int read_dict(struct sy_npy *f, struct cursor *c, struct sy_err *err)
{
    static const struct {
        const char *key;
        int (*read)(struct sy_npy *, struct cursor *, struct sy_err *);
    } keys[] = {{"descr", read_type}, {"fortran_order", read_order}, {"shape", read_shape}};
    bool seen[3] = {false, false, false}, comma = true;
    if (!take_text(c, "{"))
        return malformed(f, err, "the header is not a dictionary");
    for (; !take_text(c, "}"); comma = take_text(c, ",")) {
        char key[16];
        int k = 0;
        if (!comma || !take_word(c, key, sizeof key) || !take_text(c, ":"))
            return malformed(f, err, "the header is not a dictionary");
        while (k < 3 && strcmp(key, keys[k].key) != 0)
            k++;
        if (k == 3 || seen[k])
            return malformed(f, err, "a key of the header is unknown or stands twice");
        seen[k] = true;
        if (keys[k].read(f, c, err) != 0)
            return -1;
    }
    skip_space(c);
    if (!seen[0] || !seen[1] || !seen[2] || c->at != c->end)
        return malformed(f, err, "the header lacks a key, or goes on after its end");
    return 0;
}

/* -- reading ----------------------------------------------------------------------------------- */

/* Where the header's text begins and how long it is. */
static int read_prefix(struct sy_npy *f, uint64_t *start, uint32_t *n, struct sy_err *err)
{
    unsigned char p[12] = {0};
    if (f->in.size < PREFIX)
        return malformed(f, err, "too short for an .npy file");
    if (sy__in_read(&f->in, 0, f->in.size < 12 ? PREFIX : 12, p, err) != 0)
        return -1;
    if (memcmp(p, magic, sizeof magic) != 0)
        return malformed(f, err, "not an .npy file");
    if ((p[6] != 1 && p[6] != 2) || p[7] != 0)
        return sy_err_set(err, SY_E_UNSUPPORTED, "npy: %s: version %d.%d: only 1.0 and 2.0",
                          f->in.path, p[6], p[7]);
    *start = p[6] == 1 ? PREFIX : 12;
    *n = p[8] | (uint32_t)p[9] << 8;
    if (p[6] == 2)
        *n |= (uint32_t)p[10] << 16 | (uint32_t)p[11] << 24;
    if (f->in.size < *start || *n > f->in.size - *start || *n > HEADER_MAX)
        return sy_err_set(err, SY_E_FORMAT,
                          "npy: %s: a header of %" PRIu32 " bytes in a file of %" PRIu64,
                          f->in.path, *n, f->in.size);
    return 0;
}

static int check_size(struct sy_npy *f, struct sy_err *err)
{
    struct sy_array *a = &f->array;
    uint64_t left = f->in.size - a->offset;
    if (sy__array_take(a, left) == 0)
        return 0;
    char shape[96];
    sy__array_shape(a->ndim, a->shape, shape);
    return sy_err_set(err, SY_E_FORMAT, "npy: %s: %s %s does not take %" PRIu64 " bytes",
                      f->in.path, a->type, shape, left);
}

static int read_header(struct sy_npy *f, struct sy_err *err)
{
    uint64_t start = 0;
    uint32_t n = 0;
    if (read_prefix(f, &start, &n, err) != 0)
        return -1;
    char *text = sy_alloc(n + 1u);
    if (text == NULL)
        return sy_err_set(err, SY_E_MEMORY, "npy: %s: out of memory for a header of %" PRIu32
                          " bytes", f->in.path, n);
    struct cursor c = {text, text + n};
    int r = sy__in_read(&f->in, start, n, text, err);
    if (r == 0)
        r = read_dict(f, &c, err);
    sy_free(text);
    f->array.name = "";
    f->array.offset = start + n;
    return r == 0 ? check_size(f, err) : -1;
}

struct sy_npy *sy_npy_open(const char *path, struct sy_err *err)
{
    struct sy_npy *f = sy_calloc(1, sizeof *f);
    if (f == NULL) {
        sy_err_set(err, SY_E_MEMORY, "npy: out of memory opening %s", path);
        return NULL;
    }
    if (sy__in_open(&f->in, "npy", NULL, path, err) != 0 || read_header(f, err) != 0) {
        sy_npy_close(f);
        return NULL;
    }
    return f;
}

void sy_npy_close(struct sy_npy *npy)
{
    if (npy == NULL)
        return;
    sy__in_close(&npy->in);
    sy_free(npy);
}

const struct sy_array *sy_npy_info(const struct sy_npy *npy)
{
    return &npy->array;
}

int sy_npy_read(const struct sy_npy *npy, void *dst, struct sy_err *err)
{
    return sy__in_array(&npy->in, &npy->array, npy->fortran, dst, err);
}

int sy_npy_read_part(const struct sy_npy *npy, uint64_t first, uint64_t n, void *dst,
                     struct sy_err *err)
{
    if (npy->fortran && npy->array.ndim > 1)
        return unsupported(npy, err, "Fortran order: save numpy.ascontiguousarray(a) instead");
    return sy__in_part(&npy->in, &npy->array, first, n, dst, err);
}

/* -- writing ----------------------------------------------------------------------------------- */

static void put_spaces(struct sy_str *s, int n)
{
    while (n-- > 0 && !s->failed)
        sy_str_puts(s, " ");
}

/* NumPy leaves room for the first dimension to grow to 21 digits in place; so do we. */
static int make_header(struct sy_str *s, const char *type, int ndim, const int64_t *shape)
{
    char first[24];
    int digits = ndim > 0 ? snprintf(first, sizeof first, "%" PRId64, shape[0]) : 21;
    sy_str_add(s, magic, sizeof magic);
    sy_str_add(s, "\x01\x00\x00\x00", 4); /* version 1.0, and the length, set below */
    sy_str_printf(s, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (int i = 0; i < ndim; i++)
        sy_str_printf(s, i ? ", %" PRId64 : "%" PRId64, shape[i]);
    sy_str_puts(s, ndim == 1 ? ",), }" : "), }");
    put_spaces(s, 21 - digits);
    put_spaces(s, 63 - (int)(s->len % 64));
    sy_str_puts(s, "\n");
    if (s->failed)
        return -1;
    s->data[8] = (char)((s->len - PREFIX) & 0xff);
    s->data[9] = (char)((s->len - PREFIX) >> 8);
    return 0;
}

static int write_file(const char *path, const struct sy_str *header, const void *data,
                      uint64_t bytes, struct sy_err *err)
{
    struct sy__out out;
    if (sy__out_open(&out, "npy", NULL, path, header->len + bytes, false, err) != 0)
        return -1;
    if (sy__out_write(&out, header->data, header->len, err) == 0 &&
        sy__out_write(&out, data, bytes, err) == 0)
        return sy__out_commit(&out, err);
    sy__out_abort(&out);
    return -1;
}

static int check_write(const char *path, enum sy_dtype dtype, int ndim, const int64_t *shape,
                       uint64_t *bytes, struct sy_err *err)
{
    char text[96];
    if (sy_dtype_size(dtype) == 0 || dtype == SY_BF16)
        return sy_err_set(err, SY_E_UNSUPPORTED, "npy: %s: %s has no .npy type: convert to f32%s",
                          path, sy_dtype_name(dtype),
                          sy_dtype_block(dtype) > 1 ? "" : ", or write .safetensors");
    if (ndim < 0 || ndim > SY_IO_DIMS)
        return sy_err_set(err, SY_E_SHAPE, "npy: %s: %d dimensions, at most %d", path, ndim,
                          SY_IO_DIMS);
    if (sy__array_bytes(sy_dtype_size(dtype), ndim, shape, bytes) == 0)
        return 0;
    sy__array_shape(ndim, shape, text);
    return sy_err_set(err, SY_E_SHAPE, "npy: %s: not a shape for a file: %s", path, text);
}

int sy_npy_write(const char *path, enum sy_dtype dtype, int ndim, const int64_t *shape,
                 const void *data, struct sy_err *err)
{
    struct sy_str header = SY_STR_INIT;
    uint64_t bytes;
    if (check_write(path, dtype, ndim, shape, &bytes, err) != 0)
        return -1;
    int r = -1;
    if (make_header(&header, sy__element_of(dtype)->npy, ndim, shape) != 0)
        sy_err_set(err, SY_E_MEMORY, "npy: out of memory writing %s", path);
    else
        r = write_file(path, &header, data, bytes, err);
    sy_str_free(&header);
    return r;
}
