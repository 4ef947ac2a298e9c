/* Token files of other programs (data.h).  All numbers are little-endian.
 *
 *     llm.c      i32 header[256]: magic, version, tokens, zeros; then the tokens
 *                magic 20240520, version 1: u16;  magic 20240801, version 7: u32
 *     nanoGPT    u16 tokens, nothing else; the vocabulary is known only to the user
 *     Megatron   NAME.idx  "MMIDIDX\0\0", u64 1, u8 type, u64 S, u64 D, i32 length[S],
 *                          i64 offset[S] in bytes, i64 document[D] (first sequence of each; the
 *                          last is S); i8 mode[S] may follow
 *                NAME.bin  the tokens of all sequences
 *
 *  1. The files are hostile: sizes must come out exactly, every offset and id is checked before it
 *     is used, and counts are compared with the bytes there are before anything is multiplied.
 *  2. A pair NAME.idx, NAME.bin is one source, whichever of the two was named. */
#include "base/file.h"
#include "base/mem.h"
#include "data/corpus_int.h"
#include "data/words_int.h"

#include <string.h>
#include <unistd.h>

#define GPT2_MAGIC 20240520
#define LLAMA3_MAGIC 20240801
#define HEADER 1024
#define PIECE 65536 /* tokens converted at a time */

enum element { U8 = 1, I16 = 3, I32 = 4, I64 = 5, U16 = 8, U32 = 100 }; /* Megatron's numbers */

struct loader {
    struct sy_corpus *c;
    const struct sy_shard_options *options;
    struct sy__words done; /* names, without ending, of Megatron pairs already read */
    int32_t *ids;          /* [PIECE] */
    int64_t largest;       /* id so far */
    struct sy_err *err;
};

static int bad(struct loader *l, const char *path, const char *why)
{
    return sy_err_set(l->err, SY_E_FORMAT, "data: %s: %s", path, why);
}

static int no_memory(struct loader *l)
{
    return sy_err_set(l->err, SY_E_MEMORY, "data: out of memory for token files");
}

static int64_t element_size(enum element e)
{
    return e == U8 ? 1 : e == U16 || e == I16 ? 2 : e == I32 || e == U32 ? 4 : e == I64 ? 8 : 0;
}

static uint64_t get(const char *p, size_t n) /* n bytes, little end first */
{
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

/* One id; negative ones come out huge and fail the check. */
static uint64_t element(const char *p, enum element e)
{
    switch (e) {
    case U8:
        return (unsigned char)*p;
    case U16:
        return get(p, 2);
    case I16:
        return (uint64_t)(int64_t)(int16_t)get(p, 2);
    case I32:
        return (uint64_t)(int64_t)(int32_t)get(p, 4);
    case U32:
        return get(p, 4);
    case I64:
        return get(p, 8);
    }
    return UINT64_MAX;
}

/* Ids of a corpus whose vocabulary is not given may outgrow its 16 bits. */
static int widen(struct loader *l)
{
    struct sy_corpus *c = l->c;
    int32_t *wide = sy_calloc((size_t)c->tokens + PIECE, sizeof *wide);
    if (!wide)
        return no_memory(l);
    sy__corpus_copy(c, 0, c->tokens, wide);
    sy_free(c->ids);
    c->ids = wide;
    c->cap = c->tokens + PIECE;
    c->width = 4;
    return 0;
}

static int add_ids(struct loader *l, const char *path, const char *p, int64_t n, enum element e)
{
    int64_t size = element_size(e), limit = l->options->vocab ? l->options->vocab : INT32_MAX;
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t k = n - at < PIECE ? n - at : PIECE;
        for (int64_t i = 0; i < k; i++) {
            uint64_t id = element(p + (at + i) * size, e);
            if (id >= (uint64_t)limit)
                return sy_err_set(l->err, SY_E_FORMAT,
                                  "data: %s: id %lld of token %lld is outside 0..%lld", path,
                                  (long long)id, (long long)(at + i), (long long)limit - 1);
            l->largest = (int64_t)id > l->largest ? (int64_t)id : l->largest;
            l->ids[i] = (int32_t)id;
        }
        if (l->largest > 65535 && l->c->width < 4 && widen(l))
            return -1;
        if (sy__corpus_append(l->c, l->ids, k, l->err))
            return -1;
    }
    return 0;
}

/* ---- llm.c and nanoGPT ---- */

static int add_llmc(struct loader *l, int32_t file, const char *path, const struct sy_str *s,
                    bool llama3)
{
    enum element e = llama3 ? U32 : U16;
    if (s->len < HEADER)
        return bad(l, path, "truncated: ends within the llm.c header");
    int64_t version = (int32_t)get(s->data + 4, 4), n = (int32_t)get(s->data + 8, 4);
    if (version != (llama3 ? 7 : 1))
        return sy_err_set(l->err, SY_E_FORMAT, "data: %s: llm.c file of unknown version %lld", path,
                          (long long)version);
    if (n < 0 || (int64_t)s->len != HEADER + n * element_size(e))
        return sy_err_set(l->err, SY_E_FORMAT,
                          "data: %s: header says %lld tokens of %lld bytes, file has %zu bytes",
                          path, (long long)n, (long long)element_size(e), s->len);
    if (n == 0)
        return bad(l, path, "file is empty");
    return sy__corpus_begin(l->c, file, 0, -1, l->err) || add_ids(l, path, s->data + HEADER, n, e)
               ? -1
               : 0;
}

static int add_nanogpt(struct loader *l, int32_t file, const char *path, const struct sy_str *s)
{
    if (l->options->vocab == 0)
        return bad(l, path,
                   "no known header; a nanoGPT file does not say its vocabulary: give "
                   "vocab=");
    if (s->len % 2)
        return sy_err_set(l->err, SY_E_FORMAT,
                          "data: %s: %zu bytes are no whole number of 16-bit tokens", path, s->len);
    return sy__corpus_begin(l->c, file, 0, -1, l->err) ||
                   add_ids(l, path, s->data, (int64_t)(s->len / 2), U16)
               ? -1
               : 0;
}

static int add_bin(struct loader *l, int32_t file, const char *path)
{
    struct sy_str s = SY_STR_INIT;
    int rc = sy_file_read(path, 0, &s, l->err);
    uint64_t magic = !rc && s.len >= 4 ? get(s.data, 4) : 0;
    if (!rc && s.len == 0)
        rc = bad(l, path, "file is empty");
    else if (!rc && (magic == GPT2_MAGIC || magic == LLAMA3_MAGIC))
        rc = add_llmc(l, file, path, &s, magic == LLAMA3_MAGIC);
    else if (!rc)
        rc = add_nanogpt(l, file, path, &s);
    sy_str_free(&s);
    return rc;
}

/* ---- Megatron ---- */

struct index {
    const char *path; /* of the .idx */
    enum element element;
    uint64_t sequences, documents;
    const char *length, *offset, *document; /* within the file's text */
};

static int read_index(struct loader *l, struct index *x, const struct sy_str *s)
{
    const size_t head = 9 + 8 + 1 + 8 + 8;
    if (s->len < head || memcmp(s->data, "MMIDIDX\0\0", 9))
        return bad(l, x->path, "not a Megatron index");
    if (get(s->data + 9, 8) != 1)
        return bad(l, x->path, "Megatron index of unknown version");
    x->element = (enum element)(unsigned char)s->data[17];
    if (x->element > U16 || element_size(x->element) == 0)
        return bad(l, x->path, "Megatron index of an unknown type of token");
    x->sequences = get(s->data + 18, 8);
    x->documents = get(s->data + 26, 8);
    size_t left = s->len - head;
    if (x->sequences > left / 12 || x->documents > (left - 12 * x->sequences) / 8)
        return bad(l, x->path, "truncated: its counts do not fit into the file");
    size_t used = 12 * (size_t)x->sequences + 8 * (size_t)x->documents;
    if (left != used && left != used + x->sequences)
        return bad(l, x->path, "bytes after its end");
    x->length = s->data + head;
    x->offset = x->length + 4 * x->sequences;
    x->document = x->offset + 8 * x->sequences;
    if (x->sequences == 0 || x->documents < 2 || get(x->document, 8) != 0 ||
        get(x->document + 8 * (x->documents - 1), 8) != x->sequences)
        return bad(l, x->path, "documents do not run from the first sequence to the last");
    return 0;
}

static int add_sequence(struct loader *l, const struct index *x, uint64_t i, const char *bin_path,
                        const struct sy_str *bin)
{
    int64_t n = (int32_t)get(x->length + 4 * i, 4), size = element_size(x->element);
    uint64_t offset = get(x->offset + 8 * i, 8);
    if (n < 0 || offset > bin->len || (uint64_t)(n * size) > bin->len - offset)
        return sy_err_set(l->err, SY_E_FORMAT,
                          "data: %s: sequence %llu lies outside the %zu bytes of its .bin", x->path,
                          (unsigned long long)i, bin->len);
    return add_ids(l, bin_path, bin->data + offset, n, x->element);
}

static int add_documents(struct loader *l, int32_t file, const struct index *x,
                         const char *bin_path, const struct sy_str *bin)
{
    uint64_t at = 0;
    for (uint64_t d = 0; d + 1 < x->documents; d++) {
        uint64_t end = get(x->document + 8 * (d + 1), 8);
        if (end < at || end > x->sequences)
            return bad(l, x->path, "documents are not in order");
        int64_t before = l->c->tokens;
        if (sy__corpus_begin(l->c, file, 0, -1, l->err))
            return -1;
        for (; at < end; at++)
            if (add_sequence(l, x, at, bin_path, bin))
                return -1;
        l->c->docs -= l->c->tokens == before; /* an empty document is none */
    }
    return 0;
}

/* `base` is the path without its ending. */
static int add_megatron(struct loader *l, int32_t file, const struct sy_str *base)
{
    int64_t *done = sy__words_at(&l->done, base->data, base->len);
    if (!done)
        return no_memory(l);
    if ((*done)++)
        return 0;
    struct sy_str idx_path = SY_STR_INIT, bin_path = SY_STR_INIT, idx = SY_STR_INIT,
                  bin = SY_STR_INIT;
    sy_str_printf(&idx_path, "%s.idx", base->data);
    sy_str_printf(&bin_path, "%s.bin", base->data);
    int rc = idx_path.failed || bin_path.failed ? no_memory(l) : 0;
    if (!rc) {
        struct index x = {.path = idx_path.data};
        rc = sy_file_read(idx_path.data, 0, &idx, l->err) ||
             sy_file_read(bin_path.data, 0, &bin, l->err) || read_index(l, &x, &idx) ||
             add_documents(l, file, &x, bin_path.data, &bin);
    }
    sy_str_free(&idx_path);
    sy_str_free(&bin_path);
    sy_str_free(&idx);
    sy_str_free(&bin);
    return rc ? -1 : 0;
}

/* ---- all files ---- */

static int add_file(struct loader *l, int32_t file)
{
    const char *path = l->c->files.file[file].path;
    size_t n = strlen(path);
    bool idx = n > 4 && !strcmp(path + n - 4, ".idx"), bin = n > 4 && !strcmp(path + n - 4, ".bin");
    struct sy_str base = SY_STR_INIT, beside = SY_STR_INIT;
    sy_str_add(&base, path, idx || bin ? n - 4 : n);
    sy_str_printf(&beside, "%s.idx", base.data ? base.data : "");
    int rc;
    if (base.failed || beside.failed)
        rc = no_memory(l);
    else if (idx || (bin && !access(beside.data, F_OK)))
        rc = add_megatron(l, file, &base);
    else
        rc = add_bin(l, file, path);
    sy_str_free(&base);
    sy_str_free(&beside);
    return rc;
}

static int add_all(struct loader *l)
{
    int64_t count = l->c->files.count;
    for (int64_t i = 0; i < count; i++)
        if (sy__progress(l->options->progress, (double)i / (double)count, "data", l->err) ||
            add_file(l, (int32_t)i))
            return -1;
    return sy__progress(l->options->progress, 1, "data", l->err);
}

struct sy_corpus *sy_corpus_shards(const char *const *paths, int count,
                                   const struct sy_shard_options *options, struct sy_err *err)
{
    if (sy__check_val(options->val, err))
        return NULL;
    if (options->vocab < 0) {
        sy_err_set(err, SY_E_RANGE, "data: vocab is %d, must be 1 or more", options->vocab);
        return NULL;
    }
    struct sy_corpus *c = sy__corpus_new(options->vocab ? options->vocab : 65536, NULL, err);
    if (!c)
        return NULL;
    struct loader l = {.c = c, .options = options, .largest = -1, .err = err};
    l.ids = sy_calloc(PIECE, sizeof *l.ids);
    int rc = l.ids ? 0 : no_memory(&l);
    rc = rc || sy__files_find(&c->files, paths, count, err) || add_all(&l) ||
         sy__corpus_finish(c, options->val, err);
    sy__words_free(&l.done);
    sy_free(l.ids);
    if (rc) {
        sy_corpus_unref(c);
        return NULL;
    }
    c->vocab = options->vocab ? options->vocab : (int32_t)(l.largest + 1);
    c->hash = sy__corpus_id_hash(c);
    return c;
}
