/* Array files: golden bytes as Python's safetensors and NumPy write them, every truncation, every
 * bit of the headers flipped, every allocation and every system call of the writing side failed. */
#include "switchyard/io.h"

#include "base/mem.h"
#include "base/mapping.h"
#include "io/io_int.h"
#include "tensor/tensor.h"
#include "unit/tap.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void put_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, n, f) != n || fclose(f) != 0)
        exit(99);
}

static size_t get_file(const char *path, unsigned char *out, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(out, 1, room, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static int files_in_folder(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* -- fixtures ---------------------------------------------------------------------------------- */

/* safetensors.numpy.save_file({"w": float32 [[1,2],[3,4]], "n": int64 [7], "b": [1, 0] bool}, path,
 * metadata={"format": "pt"}) */
static const char st_header[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"n\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
    "\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]},"
    "\"b\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[24,26]}}";
static const float w_values[4] = {1, 2, 3, 4};
static const int64_t n_values[1] = {7};
static const unsigned char b_values[2] = {1, 0};

/* A file of the given header and data bytes; the header is padded to a multiple of 8. */
static size_t make_st(unsigned char *out, const char *header, const void *data, size_t n)
{
    size_t h = strlen(header), padded = (h + 7) / 8 * 8;
    uint64_t length = padded;
    memcpy(out, &length, 8);
    memset(out + 8, ' ', padded);
    memcpy(out + 8, header, h);
    memcpy(out + 8 + padded, data, n);
    return 8 + padded + n;
}

static size_t golden_st(unsigned char *out)
{
    unsigned char data[26];
    memcpy(data, n_values, 8);
    memcpy(data + 8, w_values, 16);
    memcpy(data + 24, b_values, 2);
    return make_st(out, st_header, data, sizeof data);
}

/* numpy.save(path, numpy.array([[1, 2, 3], [4, 5, 6]], "<f4")), NumPy 2 */
static size_t golden_npy(unsigned char *out)
{
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    memset(out, ' ', 128);
    memcpy(out, "\x93NUMPY\x01\x00\x76\x00", 10);
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    memcpy(out + 10, dict, strlen(dict));
    out[127] = '\n';
    memcpy(out + 128, values, sizeof values);
    return 128 + sizeof values;
}

/* Opens and reads every array; 0 when all went well.  Never more memory than the file is large. */
static int read_all_st(const char *path, struct sy_err *err)
{
    struct sy_st *st = sy_st_open(path, err);
    int r = st ? 0 : -1;
    for (int64_t i = 0; st && i < sy_st_count(st); i++) {
        const struct sy_array *a = sy_st_at(st, i);
        void *dst = sy_alloc(a->bytes + 1);
        if (dst == NULL)
            r = sy_err_set(err, SY_E_MEMORY, "test: out of memory");
        else if (sy_st_read(st, a, dst, err) != 0)
            r = -1;
        sy_free(dst);
    }
    sy_st_close(st);
    return r;
}

static int read_all_npy(const char *path, struct sy_err *err)
{
    struct sy_npy *npy = sy_npy_open(path, err);
    if (npy == NULL)
        return -1;
    void *dst = sy_alloc(sy_npy_info(npy)->bytes + 1);
    int r = dst ? sy_npy_read(npy, dst, err) : sy_err_set(err, SY_E_MEMORY, "test: out of memory");
    sy_free(dst);
    sy_npy_close(npy);
    return r;
}

static int save_st(const char *path, struct sy_err *err)
{
    static const char *const meta[] = {"format", "pt", NULL};
    static const int64_t two[2] = {2, 2}, one[1] = {1};
    struct sy_st_writer *w = sy_st_begin(path, meta, err);
    if (w == NULL)
        return -1;
    if (sy_st_add(w, "w", SY_F32, 2, two, w_values, err) != 0 ||
        sy_st_add(w, "b", SY_BOOL, 1, two, b_values, err) != 0 ||
        sy_st_add(w, "n", SY_I64, 1, one, n_values, err) != 0) {
        sy_st_abort(w);
        return -1;
    }
    return sy_st_finish(w, err);
}

static int save_npy(const char *path, struct sy_err *err)
{
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t shape[2] = {2, 3};
    return sy_npy_write(path, SY_F32, 2, shape, values, err);
}

/* -- golden bytes ------------------------------------------------------------------------------ */

static void test_dtypes(void)
{
    static const size_t size[SY_DTYPE_COUNT] = {4, 8, 2, 4, 8, 1, 1, 2, 0, 0};
    int good = 1;
    for (int i = 0; i < SY_DTYPE_COUNT; i++)
        good &= sy_dtype_size((enum sy_dtype)i) == size[i] &&
                sy_dtype_parse(sy_dtype_name((enum sy_dtype)i)) == i;
    tap_ok(good, "sizes, and names that parse back");
    tap_ok(sy_dtype_parse("f8") == -1 && sy_dtype_parse(NULL) == -1 &&
               sy_dtype_size(SY_DTYPE_COUNT) == 0,
           "unknown dtypes are told");
}

static void test_read_golden(void)
{
    unsigned char file[1024], b[2];
    struct sy_err err = SY_ERR_INIT;
    float v[4] = {0};
    int64_t n = 0;
    put_file(path_of("g.safetensors"), file, golden_st(file));
    struct sy_st *st = sy_st_open(path_of("g.safetensors"), &err);
    if (!tap_ok(st != NULL, "a file as Python writes it: %s", err.msg))
        return;
    const struct sy_array *w = sy_st_find(st, "w");
    tap_is_int(sy_st_count(st), 3, "its arrays");
    tap_is_str(sy_st_at(st, 0)->name, "n", "in the order of the file");
    tap_ok(w && w->dtype == SY_F32 && w->ndim == 2 && w->shape[0] == 2 && w->shape[1] == 2 &&
               w->bytes == 16 && strcmp(w->type, "F32") == 0, "dtype and shape");
    tap_ok(sy_st_read(st, w, v, &err) == 0 && memcmp(v, w_values, 16) == 0, "values");
    tap_ok(sy_st_read(st, sy_st_find(st, "n"), &n, &err) == 0 && n == 7, "i64");
    tap_ok(sy_st_read(st, sy_st_find(st, "b"), b, &err) == 0 && b[0] == 1 && b[1] == 0, "bool");
    tap_ok(sy_st_find(st, "x") == NULL && sy_st_find(st, "__metadata__") == NULL, "no other name");
    tap_is_str(sy_st_meta(st, "format"), "pt", "metadata");
    tap_ok(sy_st_meta(st, "x") == NULL, "no other metadata");
    sy_st_close(st);

    put_file(path_of("g.npy"), file, golden_npy(file));
    float six[6] = {0};
    struct sy_npy *npy = sy_npy_open(path_of("g.npy"), &err);
    tap_ok(npy && sy_npy_info(npy)->ndim == 2 && sy_npy_info(npy)->shape[1] == 3 &&
               sy_npy_read(npy, six, &err) == 0 && six[0] == 1 && six[5] == 6,
           "an .npy file as NumPy writes it: %s", err.msg);
    sy_npy_close(npy);
}

static void test_write_golden(void)
{
    unsigned char want[1024], got[1024];
    struct sy_err err = SY_ERR_INIT;
    size_t n = golden_st(want);
    tap_ok(save_st(path_of("w.safetensors"), &err) == 0, "write safetensors: %s", err.msg);
    tap_ok(get_file(path_of("w.safetensors"), got, sizeof got) == n && memcmp(want, got, n) == 0,
           "the bytes that Python writes");
    n = golden_npy(want);
    tap_ok(save_npy(path_of("w.npy"), &err) == 0, "write .npy: %s", err.msg);
    tap_ok(get_file(path_of("w.npy"), got, sizeof got) == n && memcmp(want, got, n) == 0,
           "the bytes that NumPy writes");
}

/* Shapes and dtypes there and back, an empty array, a scalar, one longer than a fill's chunk. */
static int fill_iota(void *ctx, int64_t first, int64_t count, void *dst, struct sy_err *err)
{
    (void)err;
    for (int64_t i = 0; i < count; i++)
        ((int32_t *)dst)[i] = (int32_t)(first + i) + *(int32_t *)ctx;
    return 0;
}

static int fill_fails(void *ctx, int64_t first, int64_t count, void *dst, struct sy_err *err)
{
    (void)ctx, (void)first, (void)count, (void)dst;
    return sy_err_set(err, SY_E_NUMERIC, "test: not today");
}

static void test_round_trip(void)
{
    enum { LONG = 700001 };
    static const char odd_name[] = "long \"\xc3\xa9\"";
    static int32_t back[LONG];
    static const uint16_t half[3] = {0x3f80, 0xc000, 0x7f80};
    static const int64_t lengths[1] = {LONG}, three[1] = {3}, none[3] = {4, 0, 2};
    struct sy_err err = SY_ERR_INIT;
    int32_t base = 5;
    double scalar = 2.5, number = 0;
    uint16_t h[3];
    struct sy_st_writer *w = sy_st_begin(path_of("r.safetensors"), NULL, &err);
    tap_ok(w && sy_st_add(w, "half", SY_BF16, 1, three, half, &err) == 0 &&
               sy_st_add_fill(w, odd_name, SY_I32, 1, lengths, fill_iota, &base, &err) == 0 &&
               sy_st_add(w, "none", SY_F32, 3, none, NULL, &err) == 0 &&
               sy_st_add(w, "s", SY_F64, 0, NULL, &scalar, &err) == 0 && sy_st_finish(w, &err) == 0,
           "write other shapes: %s", err.msg);
    struct sy_st *st = sy_st_open(path_of("r.safetensors"), &err);
    if (!tap_ok(st && sy_st_count(st) == 4, "read them: %s", err.msg))
        return;
    const struct sy_array *a = sy_st_find(st, odd_name);
    int good = a && sy_st_read(st, a, back, &err) == 0;
    for (int i = 0; good && i < LONG; i++)
        good = back[i] == i + 5;
    tap_ok(good, "an array made by chunks, its name quoted");
    tap_ok(sy_st_read(st, sy_st_find(st, "s"), &number, &err) == 0 && number == 2.5 &&
               sy_st_find(st, "s")->ndim == 0, "a scalar");
    tap_ok(sy_st_read(st, sy_st_find(st, "half"), h, &err) == 0 && memcmp(h, half, 6) == 0, "bf16");
    tap_ok(sy_st_find(st, "none")->bytes == 0 && sy_st_find(st, "none")->shape[0] == 4, "empty");
    for (int64_t i = 0, last = 0; i < 4; last = (int64_t)sy_st_at(st, i++)->offset)
        good &= (int64_t)sy_st_at(st, i)->offset >= last &&
                sy_st_at(st, i)->offset % sy_dtype_size(sy_st_at(st, i)->dtype) == 0;
    tap_ok(good, "aligned to their elements");
    sy_st_close(st);

    w = sy_st_begin(path_of("r.safetensors"), NULL, &err);
    sy_st_add_fill(w, "x", SY_I32, 1, three, fill_fails, NULL, &err);
    tap_ok(sy_st_finish(w, &err) == -1 && err.code == SY_E_NUMERIC, "a fill fails: %s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(read_all_st(path_of("r.safetensors"), &err) == 0, "and the old file is still there");

    w = sy_st_begin(path_of("e.safetensors"), NULL, &err);
    tap_ok(w && sy_st_finish(w, &err) == 0 && read_all_st(path_of("e.safetensors"), &err) == 0,
           "a file of no arrays");
    good = 1;
    for (int d = 0; d < SY_DTYPE_COUNT; d++) {
        static const int64_t shapes[3] = {1, 2, 1};
        static const unsigned char bytes[16] = {1, 0, 1, 1};
        unsigned char again[16] = {0};
        for (int ndim = 0; ndim <= 3 && d != SY_BF16 && d < SY_F16; ndim++) {
            size_t n = sy_dtype_size((enum sy_dtype)d) * (ndim > 1 ? 2 : 1);
            const char *path = path_of("d.npy");
            good &= sy_npy_write(path, (enum sy_dtype)d, ndim, shapes, bytes, &err) == 0;
            struct sy_npy *npy = sy_npy_open(path, &err);
            good &= npy && (int)sy_npy_info(npy)->dtype == d && sy_npy_info(npy)->ndim == ndim &&
                    sy_npy_info(npy)->bytes == n && sy_npy_read(npy, again, &err) == 0 &&
                    memcmp(again, bytes, n) == 0;
            sy_npy_close(npy);
        }
    }
    tap_ok(good, "every .npy dtype in 0 to 3 dimensions: %s", err.msg);
}

/* -- hostile files ----------------------------------------------------------------------------- */

static void refuse_st(const char *header, size_t data, enum sy_code code, const char *what)
{
    static unsigned char file[4096];
    static const unsigned char zero[256];
    struct sy_err err = SY_ERR_INIT;
    put_file(path_of("h.safetensors"), file, make_st(file, header, zero, data));
    int r = read_all_st(path_of("h.safetensors"), &err);
    tap_ok(r == -1 && err.code == code, "%s: %s", what, r ? err.msg : "accepted");
}

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(first, second)                                                                         \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" first "},"                         \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" second "}}"

static void test_hostile_st(void)
{
    refuse_st("[]", 0, SY_E_FORMAT, "not an object");
    refuse_st(" {}", 0, SY_E_FORMAT, "does not begin with {");
    refuse_st("{", 0, SY_E_FORMAT, "half an object");
    refuse_st("{} {}", 0, SY_E_FORMAT, "two objects");
    refuse_st("{}", 1, SY_E_FORMAT, "bytes after the last array");
    refuse_st(ONE("F32", "[2]", "[0,4]"), 4, SY_E_FORMAT, "too few bytes for the shape");
    refuse_st(ONE("F32", "[2]", "[0,8]"), 9, SY_E_FORMAT, "a rest");
    refuse_st(ONE("F32", "[2]", "[0,8]"), 4, SY_E_FORMAT, "offsets beyond the end");
    refuse_st(ONE("F32", "[0]", "[8,0]"), 8, SY_E_FORMAT, "offsets backwards");
    refuse_st(ONE("F32", "[1]", "[4,8]"), 8, SY_E_FORMAT, "a gap in front");
    refuse_st(ONE("F32", "[-1]", "[0,4]"), 4, SY_E_FORMAT, "a negative dimension");
    refuse_st(ONE("F32", "[1.0]", "[0,4]"), 4, SY_E_FORMAT, "a dimension with a fraction");
    refuse_st(ONE("F32", "[1]", "[0,4.0]"), 4, SY_E_FORMAT, "an offset with a fraction");
    refuse_st(ONE("F32", "[1]", "[-4,0]"), 4, SY_E_FORMAT, "a negative offset");
    refuse_st(ONE("F32", "[1]", "[0,4,4]"), 4, SY_E_FORMAT, "three offsets");
    refuse_st(ONE("F32", "[1]", "[0,18446744073709551620]"), 4, SY_E_FORMAT, "an offset over 2^64");
    refuse_st(ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, SY_E_FORMAT, "2^32 x 2^32");
    refuse_st(ONE("U8", "[0,4294967296,4294967296]", "[0,0]"), 0, SY_E_FORMAT, "... times 0");
    refuse_st(ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, SY_E_UNSUPPORTED, "9 dimensions");
    refuse_st(ONE("X32", "[1]", "[0,4]"), 4, SY_E_FORMAT, "unknown dtype");
    refuse_st(ONE("C64", "[1]", "[0,8]"), 8, SY_E_UNSUPPORTED, "C64, listed but not read");
    refuse_st(ONE("F16", "[2]", "[0,2]"), 2, SY_E_FORMAT, "F16 of one byte each");
    refuse_st(TWO("[0,4]", "[0,4]"), 4, SY_E_FORMAT, "two arrays on the same bytes");
    refuse_st(TWO("[0,4]", "[8,12]"), 12, SY_E_FORMAT, "a hole between");
    refuse_st(TWO("[4,8]", "[2,6]"), 8, SY_E_FORMAT, "overlap");
    refuse_st("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
              "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
              0, SY_E_FORMAT, "a name twice");
    refuse_st("{\"\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, SY_E_FORMAT,
              "an empty name");
    refuse_st("{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
              SY_E_FORMAT, "NUL in a name");
    refuse_st("{\"\\u001b[2J\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
              SY_E_FORMAT, "an escape sequence in a name");
    refuse_st("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":1}}", 0,
              SY_E_FORMAT, "a field that nobody knows");
    refuse_st("{\"a\":{\"dtype\":\"F32\",\"shape\":[0]}}", 0, SY_E_FORMAT, "no offsets");
    refuse_st("{\"a\":1}", 0, SY_E_FORMAT, "an array that is a number");
    refuse_st("{\"__metadata__\":{\"a\":1}}", 0, SY_E_FORMAT, "metadata that is a number");
    refuse_st("{\"__metadata__\":[]}", 0, SY_E_FORMAT, "metadata that is a list");

    struct sy_err err = SY_ERR_INIT;
    unsigned char file[1024];
    size_t n = make_st(file, ONE("BOOL", "[2]", "[0,2]"), "\x01\x02", 2);
    put_file(path_of("h.safetensors"), file, n);
    tap_ok(read_all_st(path_of("h.safetensors"), &err) == -1 && err.code == SY_E_FORMAT,
           "a boolean of 2: %s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    n = make_st(file, TWO("[4,8]", "[0,4]"), "\0\0\0\0\0\0\x80\x3f", 8);
    put_file(path_of("h.safetensors"), file, n);
    struct sy_st *st = sy_st_open(path_of("h.safetensors"), &err);
    float one = 0;
    tap_ok(st && strcmp(sy_st_at(st, 0)->name, "b") == 0 &&
               sy_st_read(st, sy_st_find(st, "a"), &one, &err) == 0 && one == 1.0f,
           "listed in another order than stored: fine");
    sy_st_close(st);
    uint64_t huge = UINT64_MAX - 7;
    memcpy(file, &huge, 8);
    put_file(path_of("h.safetensors"), file, n);
    tap_ok(read_all_st(path_of("h.safetensors"), &err) == -1, "a header of 2^64 - 8 bytes");
}

static void refuse_npy(const char *dict, size_t data, enum sy_code code, const char *what)
{
    unsigned char file[1024] = {0};
    size_t n = strlen(dict);
    struct sy_err err = SY_ERR_INIT;
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (unsigned char)(n & 0xff), file[9] = (unsigned char)(n >> 8);
    memcpy(file + 10, dict, n);
    put_file(path_of("h.npy"), file, 10 + n + data);
    int r = read_all_npy(path_of("h.npy"), &err);
    tap_ok((code == SY_E_OK ? r == 0 : r == -1) && err.code == code, "%s: %s", what,
           r ? err.msg : "accepted");
}

#define DICT(type, order, shape)                                                                   \
    "{'descr': " type ", 'fortran_order': " order ", 'shape': " shape ", }  \n"

static struct sy_npy *open_npy(const char *dict, const void *data, size_t bytes)
{
    static unsigned char file[1 << 20];
    struct sy_err err = SY_ERR_INIT;
    size_t n = strlen(dict);
    memcpy(file, "\x93NUMPY\1\0", 8);
    file[8] = (unsigned char)n;
    file[9] = (unsigned char)(n >> 8);
    memcpy(file + 10, dict, n);
    memcpy(file + 10 + n, data, bytes);
    put_file(path_of("e.npy"), file, 10 + n + bytes);
    struct sy_npy *npy = sy_npy_open(path_of("e.npy"), &err);
    if (!npy)
        tap_note("%s", err.msg);
    return npy;
}

/* Values as NumPy says them: numpy.array([...], dtype=numpy.float16).view(numpy.uint16). */
static void test_halves(void)
{
    static const uint16_t half[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001,
                                    0x03ff, 0x0400, 0x7c00, 0xfc00, 0x7e00, 0x3555};
    static const float want[] = {0.0f, -0.0f, 1.0f, -2.0f, 65504.0f, 5.9604644775390625e-8f,
                                 6.097555160522461e-5f, 6.103515625e-5f, INFINITY, -INFINITY, NAN,
                                 0.333251953125f};
    float got[12];
    struct sy_err err = SY_ERR_INIT;
    struct sy_npy *npy = open_npy(DICT("'<f2'", "False", "(12,)"), half, sizeof half);
    bool same = npy && sy_npy_info(npy)->dtype == SY_F32 && sy_npy_info(npy)->bytes == 48 &&
                sy_npy_read(npy, got, &err) == 0;
    for (int i = 0; same && i < 12; i++)
        same = i == 10 ? isnan(got[i]) : memcmp(&got[i], &want[i], 4) == 0;
    tap_ok(same, "half floats are read as f32, exactly: %s", err.msg);
    sy_npy_close(npy);

    unsigned char file[1024];
    put_file(
        path_of("f.safetensors"), file,
        make_st(file, ONE("F16", "[2,6]", "[0,24]"), (const unsigned char *)half, sizeof half));
    struct sy_st *st = sy_st_open(path_of("f.safetensors"), &err);
    const struct sy_array *a = st ? sy_st_find(st, "a") : NULL;
    memset(got, 0, sizeof got);
    tap_ok(a && a->dtype == SY_F32 && a->bytes == 48 && sy_st_read(st, a, got, &err) == 0 &&
               memcmp(&got[4], &want[4], 4) == 0,
           "and in .safetensors: %s", err.msg);
    sy_st_close(st);
}

static void whole_numbers(const char *dict, const void *data, size_t bytes, enum sy_dtype dtype,
                          const int64_t want[3])
{
    int32_t narrow[3];
    int64_t wide[3];
    struct sy_err err = SY_ERR_INIT;
    struct sy_npy *npy = open_npy(dict, data, bytes);
    bool same = npy && sy_npy_info(npy)->dtype == dtype &&
                sy_npy_read(npy, dtype == SY_I32 ? (void *)narrow : (void *)wide, &err) == 0;
    for (int i = 0; same && i < 3; i++)
        same = (dtype == SY_I32 ? narrow[i] : wide[i]) == want[i];
    tap_ok(same, "%.16s as %s %s", dict, sy_dtype_name(dtype), err.msg);
    sy_npy_close(npy);
}

static void test_other_types(void)
{
    whole_numbers(DICT("'|i1'", "False", "(3,)"), (int8_t[]){-128, 0, 127}, 3, SY_I32,
                  (int64_t[]){-128, 0, 127});
    whole_numbers(DICT("'<i2'", "False", "(3,)"), (int16_t[]){-32768, 1, 32767}, 6, SY_I32,
                  (int64_t[]){-32768, 1, 32767});
    whole_numbers(DICT("'<u2'", "False", "(3,)"), (uint16_t[]){0, 1, 65535}, 6, SY_I32,
                  (int64_t[]){0, 1, 65535});
    whole_numbers(DICT("'<u4'", "False", "(3,)"), (uint32_t[]){0, 1, UINT32_MAX}, 12, SY_I64,
                  (int64_t[]){0, 1, UINT32_MAX});
    whole_numbers(DICT("'<u8'", "False", "(3,)"), (uint64_t[]){0, 1, INT64_MAX}, 24, SY_I64,
                  (int64_t[]){0, 1, INT64_MAX});
    struct sy_err err = SY_ERR_INIT;
    int64_t out[1];
    struct sy_npy *npy = open_npy(DICT("'<u8'", "False", "(1,)"), (uint64_t[]){1ull << 63}, 8);
    tap_ok(npy && sy_npy_read(npy, out, &err) == -1 && err.code == SY_E_UNSUPPORTED, "%s", err.msg);
    sy_npy_close(npy);
}

/* Element (i, j, k) of a Fortran file lies at i + I (j + J k); over a piece of reading in all. */
static void test_fortran(void)
{
    enum { I = 41, J = 23, K = 67, COUNT = I * J * K };
    static uint16_t file[COUNT];
    static int32_t got[COUNT], part[2];
    struct sy_err err = SY_ERR_INIT;
    int64_t wrong = 0;
    for (int i = 0; i < COUNT; i++)
        file[i] = (uint16_t)i;
    struct sy_npy *npy = open_npy(DICT("'<u2'", "True", "(41, 23, 67)"), file, sizeof file);
    bool read = npy && sy_npy_read(npy, got, &err) == 0;
    for (int i = 0; i < I; i++)
        for (int j = 0; j < J; j++)
            for (int k = 0; k < K; k++)
                wrong += got[(i * J + j) * K + k] != i + I * (j + J * k);
    tap_ok(read && !wrong, "Fortran order: %d elements in their places %s", COUNT, err.msg);
    tap_ok(npy && sy_npy_read_part(npy, 0, 2, part, &err) == -1 && err.code == SY_E_UNSUPPORTED,
           "%s", err.msg);
    sy_npy_close(npy);
    npy = open_npy(DICT("'<u2'", "True", "(63181,)"), file, sizeof file);
    tap_ok(npy && sy_npy_read_part(npy, 70, 2, part, NULL) == 0 && part[0] == 70 && part[1] == 71,
           "one dimension has one order, and can be read in parts");
    sy_npy_close(npy);
    bool flag[4], want[4] = {true, false, false, true};
    npy = open_npy(DICT("'|b1'", "True", "(2, 2)"), "\1\0\0\1", 4);
    tap_ok(npy && sy_npy_read(npy, flag, NULL) == 0 && memcmp(flag, want, 4) == 0, "booleans");
    sy_npy_close(npy);
    npy = open_npy(DICT("'|b1'", "True", "(2, 2)"), "\1\0\3\1", 4);
    tap_ok(npy && sy_npy_read(npy, flag, &err) == -1, "that are none");
    sy_npy_close(npy);
}

static void test_hostile_npy(void)
{
    refuse_npy(DICT("'<f4'", "False", "(2,)"), 8, SY_E_OK, "npy: well-formed");
    refuse_npy("{\"shape\":(),\"descr\":\"<f8\",\"fortran_order\":False}", 8, SY_E_OK,
               "other quotes and order");
    refuse_npy(DICT("'<f4'", "True", "(2, 2)"), 16, SY_E_OK, "Fortran order");
    refuse_npy(DICT("'<f4'", "True", "(2, 2)"), 12, SY_E_FORMAT, "Fortran order, cut");
    refuse_npy(DICT("'>f4'", "False", "(2,)"), 8, SY_E_UNSUPPORTED, "big-endian");
    refuse_npy(DICT("'<f2'", "False", "(2,)"), 4, SY_E_OK, "half precision");
    refuse_npy(DICT("'<f2'", "False", "(2,)"), 8, SY_E_FORMAT, "half precision, too long");
    refuse_npy(DICT("'<c8'", "False", "(2,)"), 16, SY_E_UNSUPPORTED, "complex numbers");
    refuse_npy(DICT("'<f2'", "False", "(2305843009213693952, 2)"), 0, SY_E_FORMAT, "2^63 bytes");
    refuse_npy(DICT("'|O'", "False", "(2,)"), 8, SY_E_UNSUPPORTED, "objects");
    refuse_npy(DICT("[('a', '<f4')]", "False", "(2,)"), 8, SY_E_UNSUPPORTED, "structures");
    refuse_npy(DICT("'<f4'", "False", "(2,)"), 7, SY_E_FORMAT, "a byte too few");
    refuse_npy(DICT("'<f4'", "False", "(2,)"), 9, SY_E_FORMAT, "a byte too many");
    refuse_npy(DICT("'<f4'", "False", "(2)"), 8, SY_E_FORMAT, "a shape that is a number");
    refuse_npy(DICT("'<f4'", "False", "(-2,)"), 8, SY_E_FORMAT, "a negative dimension");
    refuse_npy(DICT("'<f4'", "False", "(1 2)"), 8, SY_E_FORMAT, "no comma");
    refuse_npy(DICT("'<f4'", "False", "(4294967296, 4294967296)"), 0, SY_E_FORMAT, "2^32 x 2^32");
    refuse_npy(DICT("'|u1'", "False", "(0, 4294967296, 4294967296)"), 0, SY_E_FORMAT,
               "... times 0");
    refuse_npy(DICT("'|u1'", "False", "(99999999999999999999,)"), 0, SY_E_FORMAT, "over 2^63");
    refuse_npy(DICT("'|u1'", "False", "(1,1,1,1,1,1,1,1,1)"), 1, SY_E_UNSUPPORTED, "9 dimensions");
    refuse_npy("{'descr': '<f4', 'shape': (2,)}", 8, SY_E_FORMAT, "a key missing");
    refuse_npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8,
               SY_E_FORMAT, "a key twice");
    refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 8, SY_E_FORMAT,
               "a key too many");
    refuse_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, SY_E_FORMAT,
               "text after the dictionary");
    refuse_npy("", 8, SY_E_FORMAT, "no header");

    struct sy_err err = SY_ERR_INIT;
    unsigned char file[256];
    size_t n = golden_npy(file);
    memmove(file + 12, file + 10, n - 10); /* version 2.0 has a length of four bytes */
    memcpy(file + 6, "\x02\x00\x76\x00\x00\x00", 6);
    put_file(path_of("h.npy"), file, n + 2);
    tap_ok(read_all_npy(path_of("h.npy"), &err) == 0, "version 2.0: %s", err.msg);
    file[6] = 3;
    put_file(path_of("h.npy"), file, n + 2);
    tap_ok(read_all_npy(path_of("h.npy"), &err) == -1 && err.code == SY_E_UNSUPPORTED,
           "version 3.0: %s", err.msg);
}

typedef int (*read_fn)(const char *path, struct sy_err *err);

/* Every shorter file, and every longer one by a byte, is refused. */
static void test_truncation(const char *what, const unsigned char *file, size_t n, read_fn read_all)
{
    struct sy_err err = SY_ERR_INIT;
    int accepted = 0;
    size_t live = sy_mem_live();
    for (size_t cut = 0; cut < n; cut++) {
        put_file(path_of("t"), file, cut);
        accepted += read_all(path_of("t"), &err) == 0;
    }
    tap_is_int(accepted, 0, "%s: every truncation is refused", what);
    tap_ok(sy_mem_live() == live, "%s: and nothing leaks", what);
}

/* One flipped bit anywhere: an error or a clean read, never a crash or a leak (the sanitizers see);
 * with a bit flipped in the 8 bytes of the length it must be an error. */
static void test_bit_flips(const char *what, const unsigned char *file, size_t n, read_fn read_all)
{
    static unsigned char copy[1024];
    int refused = 0, wrong_code = 0;
    size_t live = sy_mem_live();
    for (size_t bit = 0; bit < n * 8; bit++) {
        struct sy_err err = SY_ERR_INIT;
        memcpy(copy, file, n);
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        put_file(path_of("f"), copy, n);
        int r = read_all(path_of("f"), &err);
        refused += r != 0;
        wrong_code += r != 0 && err.code != SY_E_FORMAT && err.code != SY_E_UNSUPPORTED;
        wrong_code += (r == 0) != (err.code == SY_E_OK);
    }
    tap_ok(refused > 64, "%s: %d of %zu flipped bits are refused", what, refused, n * 8);
    tap_ok(wrong_code == 0 && sy_mem_live() == live, "%s: with an error, nothing leaks", what);
}

static void test_odd_files(void)
{
    struct sy_err err = SY_ERR_INIT;
    tap_ok(sy_st_open(path_of("absent"), &err) == NULL && err.code == SY_E_NOTFOUND, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_npy_open(folder, &err) == NULL && err.code == SY_E_IO, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    if (mkfifo(path_of("pipe"), 0600) == 0)
        tap_ok(sy_st_open(path_of("pipe"), &err) == NULL, "%s", err.msg);
    unlink(path_of("pipe"));
    tap_ok(sy_st_open(path_of("absent"), NULL) == NULL, "an error that nobody wants to see");

    unsigned char file[1024]; /* a file that shrinks after it was opened */
    float v[4];
    size_t n = golden_st(file);
    put_file(path_of("s"), file, n);
    err = (struct sy_err)SY_ERR_INIT;
    struct sy_st *st = sy_st_open(path_of("s"), &err);
    int cut = truncate(path_of("s"), (off_t)n - 10);
    tap_ok(cut == 0 && sy_st_read(st, sy_st_find(st, "w"), v, &err) == -1, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_st_map(st, &err) == NULL && strstr(err.msg, "changed while it was read"), "%s",
           err.msg);
    sy_st_close(st);
}

/* -- what a caller may get wrong --------------------------------------------------------------- */

static void test_bad_calls(void)
{
    static const int64_t shape[2] = {2, 2}, huge[2] = {INT64_MAX, 4}, minus[1] = {-1};
    static const float v[4];
    static const struct {
        const char *name;
        enum sy_dtype dtype;
        int ndim;
        const int64_t *shape;
        enum sy_code code;
    } bad[] = {
        {"", SY_F32, 2, shape, SY_E_NAME},          {"a\nb", SY_F32, 2, shape, SY_E_NAME},
        {"\xff", SY_F32, 2, shape, SY_E_NAME},      {"__metadata__", SY_F32, 2, shape, SY_E_NAME},
        {"a", SY_DTYPE_COUNT, 2, shape, SY_E_DTYPE}, {"a", SY_F32, 9, shape, SY_E_SHAPE},
        {"a", SY_F32, 2, huge, SY_E_SHAPE},         {"a", SY_F32, 1, minus, SY_E_SHAPE},
    };
    struct sy_err err = SY_ERR_INIT;
    struct sy_st_writer *w = sy_st_begin(path_of("b.safetensors"), NULL, &err);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err = (struct sy_err)SY_ERR_INIT;
        int r = sy_st_add(w, bad[i].name, bad[i].dtype, bad[i].ndim, bad[i].shape, v, &err);
        tap_ok(r == -1 && err.code == bad[i].code, "add: %s", err.msg);
    }
    err = (struct sy_err)SY_ERR_INIT;
    sy_st_add(w, "a", SY_F32, 2, shape, v, &err);
    sy_st_add(w, "a", SY_F64, 1, shape, v, &err);
    tap_ok(sy_st_finish(w, &err) == -1 && err.code == SY_E_NAME, "%s", err.msg);
    tap_ok(access(path_of("b.safetensors"), F_OK) != 0, "and no file");
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_npy_write(path_of("b.npy"), SY_BF16, 2, shape, v, &err) == -1, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_npy_write(path_of("b.npy"), SY_F32, 2, huge, v, &err) == -1, "%s", err.msg);
    err = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_npy_write(path_of("no/b.npy"), SY_F32, 2, shape, v, &err) == -1, "%s", err.msg);
}

/* -- failing memory and failing disks ---------------------------------------------------------- */

/* Fail allocation 1, 2, 3, ... of f until none is left to fail. */
static void sweep_memory(const char *what, read_fn f, const char *path)
{
    size_t live = sy_mem_live();
    int n = 0, wrong = 0, r = -1;
    while (r != 0 && n < 1000) {
        struct sy_err err = SY_ERR_INIT;
        sy_mem_fail_at((uint64_t)++n);
        r = f(path, &err);
        sy_mem_fail_at(0);
        wrong += r != 0 && err.code != SY_E_MEMORY;
        wrong += sy_mem_live() != live;
    }
    tap_ok(r == 0 && wrong == 0 && n > 2, "%s: each of %d allocations failed", what, n - 1);
}

/* Fail system call 1, 2, 3, ... of a save: an error, no temporary left, and under the name the old
 * file or (after the rename) the new one. */
static void sweep_disk(const char *what, read_fn save, read_fn load, const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    int files = (save(path, &err), files_in_folder()), n = 0, wrong = 0, r = -1;
    while (r != 0 && n < 1000) {
        err = (struct sy_err)SY_ERR_INIT;
        sy__out_fail_at(++n);
        r = save(path, &err);
        sy__out_fail_at(0);
        wrong += r != 0 && err.code != SY_E_IO;
        err = (struct sy_err)SY_ERR_INIT;
        wrong += load(path, &err) != 0 || files_in_folder() != files;
    }
    tap_ok(r == 0 && wrong == 0 && n > 8, "%s: each of %d system calls failed", what, n - 1);
    unlink(path);
    sy__out_fail_at(3); /* the first write, with no older file there */
    wrong = save(path, NULL) == 0 || access(path, F_OK) == 0;
    sy__out_fail_at(0);
    tap_ok(wrong == 0, "%s: nothing stands where nothing stood", what);
}

/* The first array, seen where it lies. */
static int map_st(const char *path, struct sy_err *err)
{
    struct sy_st *st = sy_st_open(path, err);
    struct sy_mapping *m = st ? sy_st_map(st, err) : NULL;
    struct sy_storage *file = m ? sy_storage_of_file(m, err) : NULL;
    const struct sy_array *a = st ? sy_st_at(st, 0) : NULL;
    struct sy_tensor *t = file ? sy_tensor_within(a->as_stored, a->ndim, a->shape, file,
                                                  (char *)file->data + a->offset, NULL, NULL, err)
                               : NULL;
    sy_st_close(st);
    sy_storage_unref(file);
    int r = t && sy_tensor_file(t) && sy_tensor_writable(t, "test", NULL) ? 0 : -1;
    r |= t ? sy_tensor_check(t, "test", err) : -1;
    sy_tensor_unref(t);
    return r;
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/sy-test-io-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 99;
    unsigned char file[1024];
    size_t n;
    test_dtypes();
    test_read_golden();
    test_write_golden();
    test_round_trip();
    test_hostile_st();
    test_hostile_npy();
    test_halves();
    test_other_types();
    test_fortran();
    n = golden_st(file);
    test_truncation("safetensors", file, n, read_all_st);
    test_bit_flips("safetensors", file, n, read_all_st);
    n = golden_npy(file);
    test_truncation("npy", file, n, read_all_npy);
    test_bit_flips("npy", file, n, read_all_npy);
    test_odd_files();
    test_bad_calls();
    sweep_memory("load safetensors", read_all_st, path_of("g.safetensors"));
    sweep_memory("map safetensors", map_st, path_of("g.safetensors"));
    sweep_memory("load npy", read_all_npy, path_of("g.npy"));
    sweep_memory("save safetensors", save_st, path_of("m.safetensors"));
    sweep_memory("save npy", save_npy, path_of("m.npy"));
    sweep_disk("save safetensors", save_st, read_all_st, path_of("k.safetensors"));
    sweep_disk("save npy", save_npy, read_all_npy, path_of("k.npy"));
    tap_ok(sy_mem_live() == 0, "every byte was freed");
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0)
        tap_note("cannot remove %s", folder);
    return tap_done();
}
