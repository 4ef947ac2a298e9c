/* Reading text: files to documents (documents_int.h).
 *
 *  1. Files are read as a whole; documents are handed on in batches, so that texts of many files
 *     never lie in memory together.
 *  2. What a file is, its content says first (io.h, sy_file_kind) and then its name: JSON is what
 *     is named so, all else is text, one document a file.  What is no text is refused by name when
 *     the user wrote that name, and otherwise left out and counted.
 *  3. Whatever is left out, passed over or odd stands in the tally, which the user is shown. */
#include "data/documents_int.h"

#include "base/file.h"
#include "base/grow.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "switchyard/io.h"

#include <string.h>
#include <strings.h>

#define UNPACK_LEAST ((size_t)256 << 20) /* bytes that any compressed file may unpack to, */
#define UNPACK_RATIO 100                 /* and how many times its own size */
#define LARGE ((int64_t)64 << 20)        /* plain files that are compared with the memory left */
#define CONTROLS 32                      /* at most one byte in so many of a text is a control */
#define CONTROLS_IN ((size_t)1 << 20)    /* of its first so many */

int sy__progress(const struct sy_progress *p, double fraction, const char *op, struct sy_err *err)
{
    if (p && p->fn && p->fn(p->ctx, fraction))
        return sy_err_set(err, SY_E_CANCELLED, "%s: cancelled", op);
    return 0;
}

int sy__batch_progress(const struct sy_progress *p, const struct sy__batch *b, double part,
                       const char *op, struct sy_err *err)
{
    return sy__progress(p, b->from + (b->to - b->from) * part, op, err);
}

/* ---- names ---- */

/* ---- files to text ---- */

/* What a file of `packed` bytes may unpack to. */
static size_t unpack_limit(size_t packed, int64_t allowed)
{
    size_t most = packed > SIZE_MAX / UNPACK_RATIO ? SIZE_MAX : packed * UNPACK_RATIO;
    return allowed > 0 ? (size_t)allowed : most < UNPACK_LEAST ? UNPACK_LEAST : most;
}

/* `said`: what it unpacks to, 0 when that is not known beforehand. */
static int too_large(const char *path, size_t packed, size_t most, uint64_t said,
                     struct sy_err *err)
{
    char from[16], to[16], all[16];
    sy_human_bytes((double)packed, from);
    sy_human_bytes((double)most, to);
    sy_human_bytes((double)said, all);
    if (said)
        return sy_err_set(err, SY_E_FORMAT,
                          "data: %s: its %s unpack to %s, and %s are allowed: unpack_max = %llu "
                          "allows it",
                          path, from, all, to, (unsigned long long)said);
    return sy_err_set(err, SY_E_FORMAT,
                      "data: %s: its %s unpack to more than the %s that are allowed: "
                      "unpack_max = BYTES allows more",
                      path, from, to);
}

static int no_room(const char *path, const char *verb, uint64_t size, size_t left,
                   struct sy_err *err)
{
    char wanted[16], free[16];
    sy_human_bytes((double)size, wanted);
    sy_human_bytes((double)left, free);
    return sy_err_set(err, SY_E_MEMORY, "data: %s: %s %s, and %s of memory are left", path, verb,
                      wanted, free);
}

static int unpack(const char *path, bool gzip, const struct sy_str *packed, int64_t allowed,
                  struct sy_str *out, struct sy_err *err)
{
    size_t most = unpack_limit(packed->len, allowed), left = sy_machine_available();
    uint64_t said = gzip ? 0 : sy__zstd_says(packed);
    if (said > most)
        return too_large(path, packed->len, most, said, err);
    if (said > left)
        return no_room(path, "unpacks to", said, left, err);
    size_t stop = left < most ? left : most;
    int rc =
        gzip ? sy__gunzip(path, packed, stop, out, err) : sy__unzstd(path, packed, stop, out, err);
    if (rc <= 0)
        return rc;
    return left < most ? no_room(path, "unpacks to more than", stop, left, err)
                       : too_large(path, packed->len, most, 0, err);
}

static int check_room(const char *path, uint64_t size, struct sy_err *err)
{
    size_t left = size > (uint64_t)LARGE ? sy_machine_available() : SIZE_MAX;
    return size > left ? no_room(path, "has", size, left, err) : 0;
}

int sy__file_text(const char *path, int64_t unpack_max, struct sy_str *out, struct sy_err *err)
{
    unsigned char head[SY_KIND_HEAD];
    size_t n;
    uint64_t size;
    if (sy_file_head("data", path, head, sizeof head, &n, &size, err) ||
        check_room(path, size, err))
        return -1;
    const struct sy_file_kind *kind = sy_file_kind(head, n, size);
    enum sy_kind what = kind ? kind->kind : SY_KIND_OTHER;
    bool gzip = what == SY_KIND_GZIP || (what != SY_KIND_ZSTD && sy__ends_with(path, ".gz"));
    if (!gzip && what != SY_KIND_ZSTD && !sy__ends_with(path, ".zst"))
        return sy_file_read(path, 0, out, err);
    struct sy_str packed = SY_STR_INIT;
    int rc = sy_file_read(path, 0, &packed, err);
    if (!rc)
        rc = unpack(path, gzip, &packed, unpack_max, out, err);
    sy_str_free(&packed);
    return rc;
}

/* ---- is it text? ---- */

static size_t controls(const unsigned char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (p[i] < 0x20 && !(p[i] >= '\b' && p[i] <= '\r') && p[i] != 0x1b) || p[i] == 0x7f;
    return count;
}

/* Why it is none, into why. */
static bool not_text(const char *text, size_t n, struct sy_err *why)
{
    const struct sy_file_kind *kind = sy_file_kind(text, n < SY_KIND_HEAD ? n : SY_KIND_HEAD, n);
    size_t looked = n < CONTROLS_IN ? n : CONTROLS_IN;
    const char *zero = n ? memchr(text, 0, n) : NULL;
    bool binary = zero || controls((const unsigned char *)text, looked) > looked / CONTROLS;
    if (kind && (kind->sure || binary))
        sy_err_set(why, SY_E_FORMAT, "is %s%s%s", kind->what, *kind->advice ? ": " : "",
                   kind->advice);
    else if (zero)
        sy_err_set(why, SY_E_FORMAT, "is not text: byte %zu is zero", (size_t)(zero - text));
    else if (binary)
        sy_err_set(why, SY_E_FORMAT, "is not text: one byte in %d is a control character or more",
                   CONTROLS);
    return why->code != SY_E_OK;
}

/* Names that promise numbers, whatever the file holds. */
static bool named_binary(const char *path, struct sy_err *why)
{
    static const char *const names[] = {".npy", ".npz", ".safetensors", ".gguf",    ".bin",  ".idx",
                                        ".pt",  ".pth", ".pkl",         ".parquet", ".arrow"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sy__named(path, names[i])) {
            sy_err_set(why, SY_E_FORMAT, "is named %s, which is no text", names[i]);
            return true;
        }
    return false;
}

/* ---- documents ---- */

/* A file that is not read: its name was given, or it is counted. */
static int leave_out(struct sy__reader *r, const struct sy__file *f, const struct sy_err *why,
                     struct sy_err *err)
{
    if (f->named)
        return sy_err_set(err, why->code, "data: %s %s", f->path, why->msg);
    sy_err_set(&r->tally->first_left, why->code, "%s %s", f->path, why->msg);
    r->tally->left++;
    return 0;
}

static int fail_empty(const struct sy__file *f, struct sy_err *err)
{
    return f->named ? sy_err_set(err, SY_E_FORMAT, "data: %s: file is empty", f->path) : 0;
}

/* What is odd about a text that is read all the same. */
static void look_at(struct sy__reader *r, const struct sy__file *f, const char *text, size_t n)
{
    struct sy__tally *t = r->tally;
    size_t valid = sy_utf8_valid(text, n);
    if (valid < n) {
        sy_err_set(&t->first_odd, SY_E_FORMAT, "%s at byte %zu", f->path, valid);
        t->odd++;
    }
    if (r->options.format == SY_READ_AUTO && sy__json_looks(text, n)) {
        sy_err_set(&t->first_like, SY_E_FORMAT, "%s", f->path);
        t->like++;
    }
}

/* The bytes from `start` on are the file's: one document. */
static int text_document(struct sy__reader *r, int64_t file, size_t start, struct sy_err *err)
{
    const struct sy__file *f = &r->files->file[file];
    const char *text = r->batch.text.data + start;
    size_t n = r->batch.text.len - start;
    struct sy_err why = SY_ERR_INIT;
    bool bytes = r->options.format == SY_READ_BYTES;
    if (!bytes && n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        text += 3, start += 3, n -= 3;
    }
    if (n == 0)
        return fail_empty(f, err);
    if (!bytes && not_text(text, n, &why)) {
        r->batch.text.len = start;
        return leave_out(r, f, &why, err);
    }
    if (!bytes)
        look_at(r, f, text, n);
    r->tally->files[bytes ? SY__BYTES : SY__TEXT]++;
    return sy__reader_add(r, (struct sy__document){start, n, file, 0}, err);
}

static int read_json(struct sy__reader *r, int64_t file, struct sy_err *err)
{
    const struct sy__file *f = &r->files->file[file];
    struct sy_str text = SY_STR_INIT;
    struct sy_err why = SY_ERR_INIT;
    int64_t before = r->handed + r->batch.docs, bad = r->tally->bad;
    int rc = sy__file_text(f->path, r->options.unpack_max, &text, err);
    const struct sy_file_kind *k =
        sy_file_kind(text.data, text.len < SY_KIND_HEAD ? text.len : SY_KIND_HEAD, text.len);
    if (!rc && k && k->sure && not_text(text.data, text.len, &why))
        rc = leave_out(r, f, &why, err);
    else if (!rc && text.len)
        rc = sy__json_documents(r, file, text.data, text.len, err);
    if (!rc && !why.code && r->handed + r->batch.docs == before && r->tally->bad == bad)
        rc = fail_empty(f, err);
    sy_str_free(&text);
    return rc;
}

static bool is_json(const struct sy__reader *r, const char *path)
{
    if (r->options.format != SY_READ_AUTO)
        return r->options.format == SY_READ_JSON;
    return sy__named(path, ".jsonl") || sy__named(path, ".ndjson") || sy__named(path, ".json");
}

static int read_file(struct sy__reader *r, int64_t file, struct sy_err *err)
{
    const struct sy__file *f = &r->files->file[file];
    struct sy_err why = SY_ERR_INIT;
    size_t start = r->batch.text.len;
    if (is_json(r, f->path))
        return read_json(r, file, err);
    if (sy__file_text(f->path, r->options.unpack_max, &r->batch.text, err))
        return -1;
    if (r->options.format == SY_READ_AUTO && named_binary(f->path, &why) &&
        !not_text(r->batch.text.data + start, r->batch.text.len - start,
                  &(struct sy_err)SY_ERR_INIT)) {
        r->batch.text.len = start;
        return leave_out(r, f, &why, err);
    }
    return text_document(r, file, start, err);
}

/* ---- all of them ---- */

static int fail_nothing(const struct sy__reader *r, struct sy_err *err)
{
    const struct sy__tally *t = r->tally;
    if (t->bad)
        return sy_err_set(err, SY_E_FORMAT, "data: nothing could be read: %s", t->first_bad.msg);
    if (t->left)
        return sy_err_set(err, SY_E_FORMAT, "data: nothing to read: %s", t->first_left.msg);
    return sy_err_set(err, SY_E_FORMAT, "data: %s: %s", r->files->file[0].path,
                      r->files->count == 1 ? "file is empty" : "and all other files are empty");
}

static int read_all(struct sy__reader *r, const struct sy_progress *progress, double share,
                    struct sy_err *err)
{
    double total = 1, done = 0;
    for (int64_t i = 0; i < r->files->count; i++)
        total += (double)r->files->file[i].bytes;
    for (int64_t i = 0; i < r->files->count; i++) {
        r->from = share * done / total;
        done += (double)r->files->file[i].bytes;
        r->to = share * done / total;
        if (sy__progress(progress, r->batch.from, "data", err) || read_file(r, i, err))
            return -1;
        r->batch.to = r->to;
        if (sy__reader_hand(r, false, err))
            return -1;
    }
    if (sy__reader_hand(r, true, err))
        return -1;
    if (r->handed == 0)
        return fail_nothing(r, err);
    if (r->options.field && !r->tally->files[SY__LINES] && !r->tally->files[SY__JSON])
        return sy_err_set(err, SY_E_RANGE,
                          "data: field '%s' is of JSON, and %s is read as text (format = \"json\" "
                          "reads it as JSON)",
                          r->options.field, r->files->file[0].path);
    return sy__progress(progress, share, "data", err);
}

int sy__sources_read(const struct sy__files *files, const struct sy_read_options *options,
                     const struct sy_progress *progress, double share, sy__batch_fn fn, void *ctx,
                     struct sy__tally *tally, struct sy_err *err)
{
    struct sy__reader r = {
        .files = files, .options = *options, .fn = fn, .ctx = ctx, .tally = tally};
    int rc = read_all(&r, progress, share, err);
    sy_str_free(&r.batch.text);
    sy_free(r.batch.doc);
    return rc;
}

/* ---- what was read as what ---- */

bool sy__tally_text(const struct sy__tally *t, const char *field, struct sy_str *out)
{
    static const char *const as[SY__FORMS] = {"JSON lines", "JSON", "text", "bytes"};
    bool first = true, plain = true;
    for (int i = 0; i < SY__FORMS; i++) {
        if (!t->files[i])
            continue;
        sy_str_printf(out, "%s%lld%s as %s", first ? "" : "; ", (long long)t->files[i],
                      !first             ? ""
                      : t->files[i] == 1 ? " file"
                                         : " files",
                      as[i]);
        if (i == SY__LINES || i == SY__JSON)
            sy_str_printf(out, ", field '%s'", field ? field : "text");
        plain = first && i == SY__TEXT && t->files[i] == 1;
        first = false;
    }
    const struct {
        int64_t count;
        const char *one, *many, *what, *more;
    } notes[] = {
        {t->bad, "bad line passed over", "bad lines passed over", t->first_bad.msg, ""},
        {t->left, "file left out", "files left out", t->first_left.msg, ""},
        {t->odd, "is not UTF-8", "are not UTF-8", t->first_odd.msg, ": bytes are kept"},
        {t->like, "looks like JSON lines", "look like JSON lines", t->first_like.msg,
         ": format = \"json\" reads it so"},
    };
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (notes[i].count) {
            sy_str_printf(out, "; %lld %s (%s%s)", (long long)notes[i].count,
                          notes[i].count == 1 ? notes[i].one : notes[i].many, notes[i].what,
                          notes[i].more);
            plain = false;
        }
    return plain;
}
