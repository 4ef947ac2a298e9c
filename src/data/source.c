/* Reading text: paths to files to documents (source_int.h).
 *
 *  1. The order of documents is a function of the given paths and the file names only: folders and
 *     globs are sorted by bytes, never by locale or by the order on disk.
 *  2. A file is read once, however many names (links, globs, repeated paths) lead to it.
 *  3. Files are read as a whole; documents are handed on in batches, so that texts of many
 *     files never lie in memory together. */
#include "data/source_int.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "data/words_int.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 64 /* folders within folders */

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data: out of memory");
}

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

/* ---- finding files ---- */

struct finder {
    struct sy__files *out;
    struct sy__words seen; /* device and inode of each file */
    int64_t met;           /* files met, also for the second time */
};

/* 1 when the file was met before. */
static int seen_before(struct finder *f, const struct stat *st, struct sy_err *err)
{
    uint64_t id[2] = {st->st_dev, st->st_ino};
    int64_t *value = sy__words_at(&f->seen, (const char *)id, sizeof id);
    if (!value)
        return no_memory(err);
    f->met++;
    return (*value)++ ? 1 : 0;
}

static int add_file(struct finder *f, const char *path, const struct stat *st, bool named,
                    struct sy_err *err)
{
    struct sy__files *o = f->out;
    int seen = seen_before(f, st, err);
    if (seen)
        return seen < 0 ? -1 : 0;
    if (o->count == o->cap) {
        int64_t cap = o->cap ? o->cap * 2 : 16;
        struct sy__file *file = sy_realloc(o->file, (size_t)cap * sizeof *file);
        if (!file)
            return no_memory(err);
        o->file = file;
        o->cap = cap;
    }
    char *copy = sy_strdup(path);
    if (!copy)
        return no_memory(err);
    o->file[o->count++] = (struct sy__file){copy, st->st_size, named};
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sy_free(names[i]);
    sy_free(names);
}

/* Names in a folder, sorted, without hidden ones.  Owned. */
static int list_folder(const char *path, char ***names, size_t *n, struct sy_err *err)
{
    size_t cap = 0;
    *names = NULL;
    *n = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return sy_err_sys(err, errno, "data: %s", path);
    int rc = 0;
    for (struct dirent *e; !rc && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        if (*n == cap) {
            cap = cap ? cap * 2 : 32;
            char **grown = sy_realloc(*names, cap * sizeof *grown);
            if (!grown) {
                rc = no_memory(err);
                break;
            }
            *names = grown;
        }
        struct sy_str full = SY_STR_INIT;
        size_t len = strlen(path);
        sy_str_printf(&full, "%s%s%s", path, len && path[len - 1] == '/' ? "" : "/", e->d_name);
        if (full.failed) {
            sy_str_free(&full);
            rc = no_memory(err);
        } else {
            (*names)[(*n)++] = full.data;
        }
    }
    closedir(dir);
    if (*n)
        qsort(*names, *n, sizeof **names, by_bytes);
    return rc;
}

static int add_path(struct finder *f, const char *path, bool named, int depth, struct sy_err *err);

static int add_folder(struct finder *f, const char *path, int depth, struct sy_err *err)
{
    char **names;
    size_t n;
    if (depth == DEPTH_MAX)
        return sy_err_set(err, SY_E_IO, "data: %s: over %d folders deep", path, DEPTH_MAX);
    int rc = list_folder(path, &names, &n, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = add_path(f, names[i], false, depth + 1, err);
    free_names(names, n);
    return rc;
}

static int add_path(struct finder *f, const char *path, bool named, int depth, struct sy_err *err)
{
    struct stat st, link;
    if (stat(path, &st)) {
        if (!named) /* gone since, or a link to nowhere */
            return 0;
        return sy_err_set(err, errno == ENOENT || errno == ENOTDIR ? SY_E_NOTFOUND : SY_E_IO,
                          "data: %s: %s", path, strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        /* a linked folder inside a folder may lead back up */
        if (depth && (lstat(path, &link) || S_ISLNK(link.st_mode)))
            return 0;
        return add_folder(f, path, depth, err);
    }
    if (!S_ISREG(st.st_mode))
        return named ? sy_err_set(err, SY_E_IO, "data: %s: not a file or folder", path) : 0;
    return add_file(f, path, &st, named, err);
}

static int add_glob(struct finder *f, const char *pattern, struct sy_err *err)
{
    glob_t g = {0};
    int rc = glob(pattern, GLOB_NOSORT, NULL, &g);
    if (rc) {
        globfree(&g);
        if (rc == GLOB_NOSPACE)
            return no_memory(err);
        return sy_err_set(err, SY_E_NOTFOUND, "data: %s: no file matches", pattern);
    }
    qsort(g.gl_pathv, g.gl_pathc, sizeof *g.gl_pathv, by_bytes);
    for (size_t i = 0; i < g.gl_pathc && !rc; i++)
        rc = add_path(f, g.gl_pathv[i], false, 0, err);
    globfree(&g);
    return rc;
}

int sy__files_find(struct sy__files *out, const char *const *paths, int count, struct sy_err *err)
{
    struct finder f = {.out = out};
    int rc = 0;
    for (int i = 0; i < count && !rc; i++) {
        int64_t before = f.met;
        struct stat st;
        bool pattern = strpbrk(paths[i], "*?[") && stat(paths[i], &st);
        rc = pattern ? add_glob(&f, paths[i], err) : add_path(&f, paths[i], true, 0, err);
        if (!rc && f.met == before)
            rc = sy_err_set(err, SY_E_NOTFOUND, "data: %s: holds no files", paths[i]);
    }
    if (!rc && out->count == 0)
        rc = sy_err_set(err, SY_E_NOTFOUND, "data: no files given");
    sy__words_free(&f.seen);
    return rc;
}

void sy__files_free(struct sy__files *f)
{
    for (int64_t i = 0; i < f->count; i++)
        sy_free(f->file[i].path);
    sy_free(f->file);
    *f = (struct sy__files){0};
}

/* ---- files to text ---- */

static bool ends_with(const char *s, size_t n, const char *end)
{
    size_t k = strlen(end);
    return n >= k && !memcmp(s + n - k, end, k);
}

static size_t plain_len(const char *path) /* without .gz or .zst */
{
    size_t n = strlen(path);
    return ends_with(path, n, ".gz") ? n - 3 : ends_with(path, n, ".zst") ? n - 4 : n;
}

int sy__file_text(const char *path, struct sy_str *out, struct sy_err *err)
{
    size_t n = strlen(path);
    bool gz = ends_with(path, n, ".gz"), zst = ends_with(path, n, ".zst");
    if (!gz && !zst)
        return sy_file_read(path, 0, out, err);
    struct sy_str packed = SY_STR_INIT;
    int rc = sy_file_read(path, 0, &packed, err);
    if (!rc)
        rc = gz ? sy__gunzip(path, &packed, out, err) : sy__unzstd(path, &packed, out, err);
    sy_str_free(&packed);
    return rc;
}

/* ---- text to documents ---- */

struct reader {
    const struct sy__files *files;
    const char *field;
    struct sy__batch batch;
    sy__batch_fn fn;
    void *ctx;
    int64_t handed;  /* documents so far */
    double from, to; /* of the file being read, as progress */
};

static int add_document(struct reader *r, struct sy__document doc, struct sy_err *err)
{
    struct sy__batch *b = &r->batch;
    if (b->docs == b->cap) {
        int64_t cap = b->cap ? b->cap * 2 : 64;
        struct sy__document *grown = sy_realloc(b->doc, (size_t)cap * sizeof *grown);
        if (!grown)
            return no_memory(err);
        b->doc = grown;
        b->cap = cap;
    }
    b->doc[b->docs++] = doc;
    return 0;
}

static int hand_over(struct reader *r, struct sy_err *err)
{
    if (r->batch.text.failed)
        return no_memory(err);
    if (r->batch.docs == 0)
        return 0;
    int rc = r->fn(r->ctx, &r->batch, err);
    r->handed += r->batch.docs;
    r->batch.docs = 0;
    r->batch.from = r->batch.to;
    if (r->batch.text.cap > 4 * SY__BATCH)
        sy_str_free(&r->batch.text);
    else
        sy_str_clear(&r->batch.text);
    return rc;
}

static int json_line(struct reader *r, int64_t file, int64_t line, const char *text, size_t n,
                     struct sy_err *err)
{
    struct sy_err why = SY_ERR_INIT;
    struct sy_json *root = sy_json_parse(text, n, &why);
    bool object = root && root->type == SY_JSON_OBJECT;
    const struct sy_json *s = object ? sy_json_get(root, r->field) : NULL;
    int rc = 0;
    if (why.code == SY_E_MEMORY)
        rc = no_memory(err);
    else if (!root)
        rc = sy_err_set(err, SY_E_FORMAT, "not JSON: %s", why.msg);
    else if (!object)
        rc = sy_err_set(err, SY_E_FORMAT, "not a JSON object");
    else if (!s)
        rc = sy_err_set(err, SY_E_FORMAT, "no field '%s'", r->field);
    else if (s->type != SY_JSON_STRING)
        rc = sy_err_set(err, SY_E_FORMAT, "field '%s' is not a string", r->field);
    if (rc && why.code != SY_E_MEMORY)
        sy_err_prefix(err, "data: %s: line %lld", r->files->file[file].path, (long long)line);
    if (!rc && s->string_len) {
        size_t start = r->batch.text.len;
        sy_str_add(&r->batch.text, s->string, s->string_len);
        rc = add_document(r, (struct sy__document){start, s->string_len, file, line}, err);
    }
    sy_json_free(root);
    return rc;
}

static bool is_blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
            return false;
    return true;
}

static int json_lines(struct reader *r, int64_t file, const struct sy_str *text, struct sy_err *err)
{
    int64_t line = 1;
    for (size_t at = 0; at < text->len; line++) {
        const char *p = text->data + at, *nl = memchr(p, '\n', text->len - at);
        size_t n = nl ? (size_t)(nl - p) : text->len - at;
        at += n + 1;
        if (is_blank(p, n))
            continue;
        if (json_line(r, file, line, p, n, err))
            return -1;
        r->batch.to = r->from + (r->to - r->from) * (double)at / (double)(text->len + 1);
        if (r->batch.text.len >= SY__BATCH && hand_over(r, err))
            return -1;
    }
    return 0;
}

static int read_file(struct reader *r, int64_t file, struct sy_err *err)
{
    const struct sy__file *f = &r->files->file[file];
    if (ends_with(f->path, plain_len(f->path), ".jsonl")) {
        struct sy_str lines = SY_STR_INIT;
        int64_t before = r->handed + r->batch.docs;
        int rc = sy__file_text(f->path, &lines, err) || json_lines(r, file, &lines, err) ? -1 : 0;
        sy_str_free(&lines);
        if (!rc && f->named && r->handed + r->batch.docs == before)
            return sy_err_set(err, SY_E_FORMAT, "data: %s: file is empty", f->path);
        return rc;
    }
    size_t start = r->batch.text.len;
    if (sy__file_text(f->path, &r->batch.text, err))
        return -1;
    size_t n = r->batch.text.len - start;
    if (n)
        return add_document(r, (struct sy__document){start, n, file, 0}, err);
    if (f->named)
        return sy_err_set(err, SY_E_FORMAT, "data: %s: file is empty", f->path);
    return 0;
}

static int read_all(struct reader *r, const struct sy_progress *progress, double share,
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
        if (r->batch.text.len >= SY__BATCH && hand_over(r, err))
            return -1;
    }
    if (hand_over(r, err))
        return -1;
    if (r->handed == 0)
        return sy_err_set(err, SY_E_FORMAT, "data: %s: %s", r->files->file[0].path,
                          r->files->count == 1 ? "file is empty" : "and all other files are empty");
    return sy__progress(progress, share, "data", err);
}

int sy__sources_read(const struct sy__files *files, const char *field,
                     const struct sy_progress *progress, double share, sy__batch_fn fn, void *ctx,
                     struct sy_err *err)
{
    struct reader r = {.files = files, .field = field ? field : "text", .fn = fn, .ctx = ctx};
    int rc = read_all(&r, progress, share, err);
    sy_str_free(&r.batch.text);
    sy_free(r.batch.doc);
    return rc;
}
