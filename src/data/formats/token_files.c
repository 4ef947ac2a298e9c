/* Token files of other programs (data.h).  All numbers are little-endian.
 *
 *     .npy       of whole numbers: one dimension, or rows that are documents (io.h)
 *     llm.c      i32 header[256]: magic, version, tokens, zeros; then the tokens
 *                magic 20240520, version 1: u16;  magic 20240801, version 7: u32
 *     bare ids   nothing else; the vocabulary is known only to the user.  nanoGPT's .bin are u16;
 *                wider ones are asked for by format
 *     Megatron   NAME.idx  "MMIDIDX\0\0", u64 1, u8 type, u64 S, u64 D, i32 length[S],
 *                          i64 offset[S] in bytes, i64 document[D] (first sequence of each; the
 *                          last is S); i8 mode[S] may follow
 *                NAME.bin  the tokens of all sequences
 *
 *  1. The files are hostile: sizes must come out exactly, every offset and id is checked before it
 *     is used, and counts are compared with the bytes there are before anything is multiplied.
 *  2. A pair NAME.idx, NAME.bin is one source, whichever of the two was named.
 *  3. What a file is, its content says (io.h, sy_file_kind).  Only what says nothing and is no text
 *     is nanoGPT's, when its name ends in .bin.  All other files are refused when they were named,
 *     and else left out and counted. */
#include "base/file.h"
#include "base/mem.h"
#include "data/corpus_int.h"
#include "data/word_map_int.h"
#include "base/utf8.h"
#include "switchyard/io.h"

#include <string.h>
#include <unistd.h>

#define LLAMA3_MAGIC 20240801
#define HEADER 1024
#define PIECE 65536 /* tokens converted at a time */

enum element { U8 = 1, I16 = 3, I32 = 4, I64 = 5, U16 = 8, U32 = 100 }; /* Megatron's numbers */

enum { NPY, LLMC, MEGATRON, BARE, KINDS }; /* what files are */

struct loader {
    struct sy_corpus *c;
    const struct sy_shard_options *options;
    struct sy__words done; /* names, without ending, of Megatron pairs already read */
    int32_t *ids;          /* [PIECE] */
    int64_t *wide;         /* [PIECE], as an array has them */
    int64_t largest;       /* id so far */
    int64_t read[KINDS], left;
    struct sy_err first_left;
    struct sy_err *err;
};

static int fail_file(struct loader *l, const char *path, const char *why)
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

static uint64_t read_little(const char *p, size_t n) /* n bytes, little end first */
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
        return read_little(p, 2);
    case I16:
        return (uint64_t)(int64_t)(int16_t)read_little(p, 2);
    case I32:
        return (uint64_t)(int64_t)(int32_t)read_little(p, 4);
    case U32:
        return read_little(p, 4);
    case I64:
        return read_little(p, 8);
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

/* Token `at` of a file goes to l->ids[i]. */
static int take_id(struct loader *l, const char *path, int64_t at, uint64_t id, int64_t i)
{
    int64_t limit = l->options->vocab ? l->options->vocab : INT32_MAX;
    if (id >= (uint64_t)limit)
        return sy_err_set(l->err, SY_E_FORMAT, "data: %s: id %lld of token %lld is outside 0..%lld",
                          path, (long long)id, (long long)at, (long long)limit - 1);
    l->largest = (int64_t)id > l->largest ? (int64_t)id : l->largest;
    l->ids[i] = (int32_t)id;
    return 0;
}

static int append_ids(struct loader *l, int64_t n) /* of l->ids */
{
    if (l->largest > 65535 && l->c->width < 4 && widen(l))
        return -1;
    return sy__corpus_append(l->c, l->ids, n, l->err);
}

static int add_ids(struct loader *l, const char *path, const char *p, int64_t n, enum element e)
{
    int64_t size = element_size(e);
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t k = n - at < PIECE ? n - at : PIECE;
        for (int64_t i = 0; i < k; i++)
            if (take_id(l, path, at + i, element(p + (at + i) * size, e), i))
                return -1;
        if (append_ids(l, k))
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
        return fail_file(l, path, "truncated: ends within the llm.c header");
    int64_t version = (int32_t)read_little(s->data + 4, 4),
            n = (int32_t)read_little(s->data + 8, 4);
    if (version != (llama3 ? 7 : 1))
        return sy_err_set(l->err, SY_E_FORMAT, "data: %s: llm.c file of unknown version %lld", path,
                          (long long)version);
    if (n < 0 || (int64_t)s->len != HEADER + n * element_size(e))
        return sy_err_set(l->err, SY_E_FORMAT,
                          "data: %s: header says %lld tokens of %lld bytes, file has %zu bytes",
                          path, (long long)n, (long long)element_size(e), s->len);
    if (n == 0)
        return fail_file(l, path, "file is empty");
    return sy__corpus_begin(l->c, file, 0, -1, l->err) || add_ids(l, path, s->data + HEADER, n, e)
               ? -1
               : 0;
}

static int add_bare(struct loader *l, int32_t file, const char *path, const struct sy_str *s,
                    enum element e)
{
    int64_t size = element_size(e);
    if (l->options->vocab == 0)
        return fail_file(l, path, "bare ids do not say their vocabulary: give vocab=");
    if (s->len % (size_t)size)
        return sy_err_set(l->err, SY_E_FORMAT,
                          "data: %s: %zu bytes are no whole number of %d-bit tokens", path, s->len,
                          (int)(8 * size));
    return sy__corpus_begin(l->c, file, 0, -1, l->err) ||
                   add_ids(l, path, s->data, (int64_t)s->len / size, e)
               ? -1
               : 0;
}

/* llm.c's, or bare ids. */
static int add_whole(struct loader *l, int32_t file, const char *path, bool llmc)
{
    static const enum element of[] = {U16, U16, U32, I32, I64}; /* sy_shard_format */
    struct sy_str s = SY_STR_INIT;
    int rc = sy_file_read(path, 0, &s, l->err);
    if (!rc && s.len == 0)
        rc = fail_file(l, path, "file is empty");
    else if (!rc)
        rc = llmc
                 ? add_llmc(l, file, path, &s, s.len >= 4 && read_little(s.data, 4) == LLAMA3_MAGIC)
                 : add_bare(l, file, path, &s, of[l->options->format]);
    sy_str_free(&s);
    return rc;
}

/* ---- NumPy ---- */

/* Tokens first..first+n-1 of the array. */
static int add_part(struct loader *l, const char *path, const struct sy_npy *npy, int64_t first,
                    int64_t n)
{
    enum sy_dtype dtype = sy_npy_info(npy)->dtype;
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t k = n - at < PIECE ? n - at : PIECE;
        if (sy_npy_read_part(npy, (uint64_t)(first + at), (uint64_t)k, l->wide, l->err))
            return sy_err_prefix(l->err, "data");
        for (int64_t i = 0; i < k; i++) {
            int64_t id = dtype == SY_I64   ? l->wide[i]
                         : dtype == SY_I32 ? ((const int32_t *)l->wide)[i]
                                           : ((const uint8_t *)l->wide)[i];
            if (take_id(l, path, first + at + i, (uint64_t)id, i))
                return -1;
        }
        if (append_ids(l, k))
            return -1;
    }
    return 0;
}

static int add_array(struct loader *l, int32_t file, const char *path, const struct sy_npy *npy)
{
    const struct sy_array *a = sy_npy_info(npy);
    if (a->ndim < 1 || a->ndim > 2)
        return sy_err_set(l->err, SY_E_FORMAT,
                          "data: %s: token ids have one dimension, or rows of them: it has %d",
                          path, a->ndim);
    if (a->dtype != SY_U8 && a->dtype != SY_I32 && a->dtype != SY_I64)
        return sy_err_set(l->err, SY_E_FORMAT, "data: %s: token ids are whole numbers: it has %s",
                          path, a->type);
    int64_t rows = a->ndim == 2 ? a->shape[0] : 1, n = a->shape[a->ndim - 1];
    if (rows == 0 || n == 0)
        return fail_file(l, path, "the array is empty");
    for (int64_t r = 0; r < rows; r++)
        if (sy__corpus_begin(l->c, file, 0, -1, l->err) || add_part(l, path, npy, r * n, n))
            return -1;
    return 0;
}

static int add_npy(struct loader *l, int32_t file, const char *path)
{
    struct sy_npy *npy = sy_npy_open(path, l->err);
    int rc = npy ? add_array(l, file, path, npy) : sy_err_prefix(l->err, "data");
    sy_npy_close(npy);
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
        return fail_file(l, x->path, "not a Megatron index");
    if (read_little(s->data + 9, 8) != 1)
        return fail_file(l, x->path, "Megatron index of unknown version");
    x->element = (enum element)(unsigned char)s->data[17];
    if (x->element > U16 || element_size(x->element) == 0)
        return fail_file(l, x->path, "Megatron index of an unknown type of token");
    x->sequences = read_little(s->data + 18, 8);
    x->documents = read_little(s->data + 26, 8);
    size_t left = s->len - head;
    if (x->sequences > left / 12 || x->documents > (left - 12 * x->sequences) / 8)
        return fail_file(l, x->path, "truncated: its counts do not fit into the file");
    size_t used = 12 * (size_t)x->sequences + 8 * (size_t)x->documents;
    if (left != used && left != used + x->sequences)
        return fail_file(l, x->path, "bytes after its end");
    x->length = s->data + head;
    x->offset = x->length + 4 * x->sequences;
    x->document = x->offset + 8 * x->sequences;
    if (x->sequences == 0 || x->documents < 2 || read_little(x->document, 8) != 0 ||
        read_little(x->document + 8 * (x->documents - 1), 8) != x->sequences)
        return fail_file(l, x->path, "documents do not run from the first sequence to the last");
    return 0;
}

static int add_sequence(struct loader *l, const struct index *x, uint64_t i, const char *bin_path,
                        const struct sy_str *bin)
{
    int64_t n = (int32_t)read_little(x->length + 4 * i, 4), size = element_size(x->element);
    uint64_t offset = read_little(x->offset + 8 * i, 8);
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
        uint64_t end = read_little(x->document + 8 * (d + 1), 8);
        if (end < at || end > x->sequences)
            return fail_file(l, x->path, "documents are not in order");
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

static int leave_out(struct loader *l, const struct sy__file *f, const struct sy_err *why)
{
    if (f->named)
        return sy_err_set(l->err, SY_E_FORMAT, "data: %s %s", f->path, why->msg);
    sy_err_set(&l->first_left, SY_E_FORMAT, "%s %s", f->path, why->msg);
    l->left++;
    return 0;
}

/* Text or not, as far as its head says: a token file of nanoGPT is none. */
static bool head_is_text(const char *head, size_t n)
{
    size_t cut = n == SY_KIND_HEAD ? 3 : 0; /* of a character at the end */
    return n && n - sy_utf8_valid(head, n) <= cut && !memchr(head, 0, n);
}

/* Why a file that says nothing of itself is not read as bare ids. */
static void refuse_unknown(const char *path, const struct sy_file_kind *kind, bool text,
                           struct sy_err *why)
{
    if (kind)
        sy_err_set(why, SY_E_FORMAT, "is %s%s%s", kind->what, *kind->advice ? ": " : "",
                   kind->advice);
    else if (text)
        sy_err_set(why, SY_E_FORMAT, "is text: data.text reads it");
    else if (!sy__ends_with(path, ".bin"))
        sy_err_set(why, SY_E_FORMAT,
                   "is not a token file: .npy, llm.c and Megatron are told by their content, "
                   "nanoGPT by the name .bin; format = \"u16\" reads bare ids");
}

/* MEGATRON when there is an index beside it. */
static int pair_of(struct loader *l, const char *path, struct sy_str *base)
{
    struct sy_str beside = SY_STR_INIT;
    size_t n = strlen(path);
    bool idx = sy__ends_with(path, ".idx"), bin = sy__ends_with(path, ".bin");
    sy_str_add(base, path, idx || bin ? n - 4 : n);
    sy_str_printf(&beside, "%s.idx", base->data ? base->data : "");
    int rc = base->failed || beside.failed ? no_memory(l) : 0;
    bool pair = !rc && (idx || (bin && !access(beside.data, F_OK)));
    sy_str_free(&beside);
    return rc ? -1 : pair ? MEGATRON : BARE;
}

/* What the file is: NPY..BARE, KINDS when it is left out, or -1. */
static int what_is(struct loader *l, const struct sy__file *f, struct sy_str *base)
{
    char head[SY_KIND_HEAD];
    size_t n;
    uint64_t size;
    struct sy_err why = SY_ERR_INIT;
    if (l->options->format != SY_SHARD_AUTO)
        return BARE;
    int pair = pair_of(l, f->path, base);
    if (pair != BARE)
        return pair;
    if (sy_file_head("data", f->path, head, sizeof head, &n, &size, l->err))
        return -1;
    const struct sy_file_kind *kind = sy_file_kind(head, n, size);
    if (kind && kind->kind == SY_KIND_NPY)
        return NPY;
    if (kind && kind->kind == SY_KIND_LLMC)
        return LLMC;
    refuse_unknown(f->path, kind, head_is_text(head, n), &why);
    if (!why.code)
        return BARE;
    return leave_out(l, f, &why) ? -1 : KINDS;
}

static int add_file(struct loader *l, int32_t file)
{
    const struct sy__file *f = &l->c->files.file[file];
    struct sy_str base = SY_STR_INIT;
    int kind = what_is(l, f, &base);
    int rc = kind == NPY        ? add_npy(l, file, f->path)
             : kind == MEGATRON ? add_megatron(l, file, &base)
             : kind < 0         ? -1
             : kind < KINDS     ? add_whole(l, file, f->path, kind == LLMC)
                                : 0;
    if (!rc && kind < KINDS)
        l->read[kind]++;
    sy_str_free(&base);
    return rc;
}

/* "2 files as .npy; 1 as llm.c": what was read as what. */
static void tell_formats(struct loader *l)
{
    static const char *const bare[] = {"bare u16 ids", "bare u16 ids", "bare u32 ids",
                                       "bare i32 ids", "bare i64 ids"}; /* sy_shard_format */
    const char *names[KINDS] = {".npy", "llm.c's", "Megatron's", bare[l->options->format]};
    struct sy_str *out = &l->c->reading;
    int kinds = 0;
    int64_t files = 0;
    for (int i = 0; i < KINDS; i++)
        if (l->read[i]) {
            sy_str_printf(out, "%s%lld%s as %s", kinds ? "; " : "", (long long)l->read[i],
                          kinds ? "" : l->read[i] == 1 ? " file" : " files", names[i]);
            kinds++;
            files += l->read[i];
        }
    if (l->left)
        sy_str_printf(out, "; %lld %s left out (%s)", (long long)l->left,
                      l->left == 1 ? "file" : "files", l->first_left.msg);
    l->c->plain = files == 1 && !l->left && !l->read[BARE];
}

static int add_all(struct loader *l)
{
    int64_t count = l->c->files.count;
    for (int64_t i = 0; i < count; i++)
        if (sy__progress(l->options->progress, (double)i / (double)count, "data", l->err) ||
            add_file(l, (int32_t)i))
            return -1;
    if (l->left && l->c->docs == 0)
        return sy_err_set(l->err, SY_E_FORMAT, "data: no token files: %s", l->first_left.msg);
    tell_formats(l);
    return sy__progress(l->options->progress, 1, "data", l->err);
}

/* ---- loss weights ---- */

static int check_weights(const struct loader *l, const struct sy_array *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->ndim; i++)
        n *= a->shape[i];
    if (a->dtype != SY_F32)
        return sy_err_set(l->err, SY_E_FORMAT, "data: %s: weights must be f32, these are %s",
                          l->options->weights, a->type);
    if (n != l->c->tokens)
        return sy_err_set(l->err, SY_E_FORMAT,
                          "data: %s: %lld weights for %lld tokens: one a token is wanted",
                          l->options->weights, (long long)n, (long long)l->c->tokens);
    return 0;
}

static int check_values(const struct loader *l)
{
    for (int64_t i = 0; i < l->c->tokens; i++)
        if (!(l->c->weights[i] >= 0 && l->c->weights[i] <= 1e6f))
            return sy_err_set(l->err, SY_E_FORMAT,
                              "data: %s: weight %g of token %lld is outside 0..1e6",
                              l->options->weights, (double)l->c->weights[i], (long long)i);
    return 0;
}

/* After all tokens are there. */
static int add_weights(struct loader *l)
{
    if (!l->options->weights)
        return 0;
    struct sy_npy *npy = sy_npy_open(l->options->weights, l->err);
    int rc = npy ? check_weights(l, sy_npy_info(npy)) : sy_err_prefix(l->err, "data");
    if (!rc && !(l->c->weights = sy_alloc((size_t)l->c->tokens * sizeof *l->c->weights)))
        rc = no_memory(l);
    rc = rc || sy_npy_read_part(npy, 0, (uint64_t)l->c->tokens, l->c->weights, l->err) ||
         check_values(l);
    sy_npy_close(npy);
    return rc ? -1 : 0;
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
    l.wide = sy_calloc(PIECE, sizeof *l.wide);
    int rc = l.ids && l.wide ? 0 : no_memory(&l);
    rc = rc ||
         sy__corpus_find(c, paths, count, options->val_paths, options->val_count, err) ||
         add_all(&l) || sy__corpus_finish(c, options->val, err) || add_weights(&l);
    sy__words_free(&l.done);
    sy_free(l.ids);
    sy_free(l.wide);
    if (rc) {
        sy_corpus_unref(c);
        return NULL;
    }
    c->vocab = options->vocab ? options->vocab : (int32_t)(l.largest + 1);
    c->hash = sy__corpus_id_hash(c);
    return c;
}
