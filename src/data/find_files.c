/* Finding files: paths, folders and globs to a list (documents_int.h).
 *
 *  1. The order is a function of the given paths and the file names only: folders and globs are
 *     sorted by bytes, never by locale or by the order on disk.
 *  2. A file is listed once, however many names (links, globs, repeated paths) lead to it.
 *  3. Regular files only: a pipe or a device is refused when it is named, and left out of folders,
 *     for it cannot be read twice (a run that is resumed reads its data again). */
#include "data/documents_int.h"

#include "base/grow.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool has_ending(const char *s, size_t n, const char *end)
{
    size_t k = strlen(end);
    return n >= k && !strncasecmp(s + n - k, end, k);
}

bool sy__ends_with(const char *name, const char *end)
{
    return has_ending(name, strlen(name), end);
}

bool sy__named(const char *path, const char *end)
{
    size_t n = strlen(path);
    n -= has_ending(path, n, ".gz") ? 3 : has_ending(path, n, ".zst") ? 4 : 0;
    return has_ending(path, n, end);
}

#define DEPTH_MAX 64 /* folders within folders */

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data: out of memory for a list of files");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct finder {
    struct sy__files *out;
    int64_t met; /* files met, also for the second time */
};

/* 1 when the file was met before; refused when that was among the files of an earlier call. */
static int seen_before(struct finder *f, const char *path, const struct stat *st,
                       struct sy_err *err)
{
    uint64_t id[2] = {st->st_dev, st->st_ino};
    int64_t *call = sy__words_at(&f->out->seen, (const char *)id, sizeof id);
    if (!call)
        return no_memory(err);
    f->met++;
    if (*call && *call != f->out->calls)
        return sy_err_set(err, SY_E_RANGE, "data: %s: is among the files for training, too", path);
    int seen = *call != 0;
    *call = f->out->calls;
    return seen;
}

static int add_file(struct finder *f, const char *path, const struct stat *st, bool named,
                    struct sy_err *err)
{
    struct sy__files *o = f->out;
    int seen = seen_before(f, path, st, err);
    if (seen)
        return seen < 0 ? -1 : 0;
    if (SY_GROW(o->file, o->cap, o->count + 1))
        return no_memory(err);
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
        if (SY_GROW(*names, cap, *n + 1)) {
            rc = no_memory(err);
            break;
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

/* A model's folder: config.json beside weights.  Its texts are no text to train on. */
static int refuse_model(const char *path, char *const *names, size_t n, struct sy_err *err)
{
    bool config = false;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        const char *name = base_name(names[i]);
        config |= !strcmp(name, "config.json");
        if (sy__ends_with(name, ".safetensors") || sy__ends_with(name, ".gguf") ||
            !strncmp(name, "pytorch_model", 13))
            found = name;
    }
    if (!config || !found)
        return 0;
    return sy_err_set(err, SY_E_FORMAT,
                      "data: %s: is the folder of a model (config.json, %s): model.load reads it",
                      path, found);
}

static int add_path(struct finder *f, const char *path, bool named, int depth, struct sy_err *err);

static int add_folder(struct finder *f, const char *path, int depth, struct sy_err *err)
{
    char **names;
    size_t n;
    if (depth == DEPTH_MAX)
        return sy_err_set(err, SY_E_IO, "data: %s: over %d folders deep", path, DEPTH_MAX);
    int rc = list_folder(path, &names, &n, err);
    if (!rc)
        rc = refuse_model(path, names, n, err);
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
        return named ? sy_err_set(err, SY_E_IO, "data: %s: not a regular file or folder", path) : 0;
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
    int64_t first = out->count;
    int rc = 0;
    out->calls++;
    for (int i = 0; i < count && !rc; i++) {
        int64_t before = f.met;
        struct stat st;
        bool pattern = strpbrk(paths[i], "*?[") && stat(paths[i], &st);
        rc = pattern ? add_glob(&f, paths[i], err) : add_path(&f, paths[i], true, 0, err);
        if (!rc && f.met == before)
            rc = sy_err_set(err, SY_E_NOTFOUND, "data: %s: holds no files", paths[i]);
    }
    if (!rc && out->count == first)
        rc = sy_err_set(err, SY_E_NOTFOUND, "data: no files given");
    return rc;
}

void sy__files_free(struct sy__files *f)
{
    for (int64_t i = 0; i < f->count; i++)
        sy_free(f->file[i].path);
    sy_free(f->file);
    sy__words_free(&f->seen);
    *f = (struct sy__files){0};
}
