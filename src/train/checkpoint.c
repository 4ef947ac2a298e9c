/* Writing and verifying checkpoint folders.  See checkpoint.h for the layout and the rules.
 *
 * MANIFEST is one line of JSON, the last member of which is the hash of all that stands before it:
 *
 *     {"format":1,"step":500,"config":"HASH","files":{"model.safetensors":{"bytes":N,"hash":"HASH"},...},"sum":"HASH"}
 *
 * A folder of this step that is there already (a rewound run comes by again) is exchanged at once for
 * the new one; where the system cannot, the old one is step-N.old for a moment, and found as such. */
#include "train/checkpoint.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/sys.h"
#include "switchyard/io.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OP "checkpoint"
#define MARGIN ((uint64_t)16 << 20) /* bytes that must stay free on the disk */
#define MANIFEST_MOST ((uint64_t)64 << 10)
#define STATE_MOST ((uint64_t)1 << 30)
#define FILES 4

static const char *const file_names[FILES] = {"model.safetensors", "optimizer.safetensors",
                                              "state.safetensors", "state.json"};

/* ---- names ---- */

static int join(char out[SY_PATH_MAX], const char *dir, const char *name, struct sy_err *err)
{
    int n = snprintf(out, SY_PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= SY_PATH_MAX)
        return sy_err_set(err, SY_E_RANGE, OP ": the path is too long: %s", dir);
    return 0;
}

static int step_path(char out[SY_PATH_MAX], const char *dir, int64_t step, const char *end,
                     struct sy_err *err)
{
    char name[48];
    snprintf(name, sizeof name, "step-%06" PRId64 "%s", step, end);
    return join(out, dir, name, err);
}

/* Step of "step-N" or "step-N.old", and what follows N; -1: another name. */
static int64_t step_of(const char *name, const char **end)
{
    size_t n = strncmp(name, "step-", 5) ? 0 : strspn(name + 5, "0123456789");
    if (n < 6 || n > 15)
        return -1;
    *end = name + 5 + n;
    return strtoll(name + 5, NULL, 10);
}

static int failed(const char *what, const char *path, struct sy_err *err)
{
    return sy_err_sys(err, errno, OP ": cannot %s %s", what, path);
}

/* ---- folders ---- */

struct entry {
    int64_t step;
    bool old;
};

static int rising(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->step != y->step)
        return x->step < y->step ? -1 : 1;
    return (int)y->old - (int)x->old; /* the .old one first: the newer is looked at before it */
}

/* Folders named as checkpoints, by rising step; *list owned.  A missing dir has none. */
static int scan(const char *dir, struct entry **list, int *n, struct sy_err *err)
{
    DIR *d = opendir(dir);
    int room = 0;
    *list = NULL;
    *n = 0;
    if (!d)
        return errno == ENOENT ? 0 : failed("read", dir, err);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *end;
        int64_t step = step_of(e->d_name, &end);
        if (step < 0 || (*end && strcmp(end, ".old")))
            continue;
        if (*n == room) {
            room = room ? 2 * room : 16;
            struct entry *grown = sy_realloc(*list, (size_t)room * sizeof *grown);
            if (!grown) {
                closedir(d);
                sy_free(*list);
                *list = NULL;
                return sy_err_set(err, SY_E_MEMORY, OP ": out of memory reading %s", dir);
            }
            *list = grown;
        }
        (*list)[(*n)++] = (struct entry){step, *end != 0};
    }
    closedir(d);
    if (*n)
        qsort(*list, (size_t)*n, sizeof **list, rising);
    return 0;
}

/* Delete a folder of ours and what is in it; nothing to be done about a failure. */
static void remove_folder(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char inner[SY_PATH_MAX];
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !join(inner, path, e->d_name, NULL))
            sy_sys_unlink(inner);
    }
    closedir(d);
    sy_sys_rmdir(path);
}

/* Take a checkpoint's name away first, so that half of it never looks like one. */
static int remove_checkpoint(const char *dir, const struct entry *e, struct sy_err *err)
{
    char path[SY_PATH_MAX], gone[SY_PATH_MAX];
    if (step_path(path, dir, e->step, e->old ? ".old" : "", err) ||
        step_path(gone, dir, e->step, ".gone.tmp", err))
        return -1;
    remove_folder(gone);
    if (sy_sys_rename(path, gone))
        return failed("delete", path, err);
    remove_folder(gone);
    return 0;
}

/* Remains of saves and deletions that did not end. */
void sy__checkpoint_clean(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *end;
        char path[SY_PATH_MAX];
        if (step_of(e->d_name, &end) >= 0 && (!strcmp(end, ".tmp") || !strcmp(end, ".gone.tmp")) &&
            !join(path, dir, e->d_name, NULL))
            remove_folder(path);
    }
    closedir(d);
}

/* ---- writing the files ---- */

static int finish(struct sy_st_writer *w, struct sy_file_sum *sum, struct sy_err *err)
{
    if (!w)
        return -1;
    sy_st_direct(w);
    return sy_st_finish_sum(w, sum, err);
}

static int write_model(const struct sy_image *image, const char *path, struct sy_file_sum *sum,
                       struct sy_err *err)
{
    static const char *const meta[] = {"format", "pt", NULL};
    struct sy_st_writer *w = sy_st_begin(path, meta, err);
    for (int i = 0; w && i < image->params->count; i++) {
        const struct sy_param *p = &image->params->list[i];
        if (sy_st_add(w, p->name, SY_F32, p->tensor->ndim, p->tensor->shape, image->p + p->offset,
                      err)) {
            sy_st_abort(w);
            w = NULL;
        }
    }
    return finish(w, sum, err);
}

static int add_moment(struct sy_st_writer *w, const struct sy_param *p, const char *end,
                      const float *flat, struct sy_err *err)
{
    struct sy_str name = SY_STR_INIT;
    sy_str_printf(&name, "%s.%s", p->name, end);
    int rc = name.failed ? sy_err_set(err, SY_E_MEMORY, OP ": out of memory")
                         : sy_st_add(w, name.data, SY_F32, p->tensor->ndim, p->tensor->shape,
                                     flat + p->offset, err);
    sy_str_free(&name);
    return rc;
}

static int write_optimizer(const struct sy_image *image, const char *path, struct sy_file_sum *sum,
                           struct sy_err *err)
{
    struct sy_st_writer *w = sy_st_begin(path, NULL, err);
    for (int i = 0; w && i < image->params->count; i++) {
        const struct sy_param *p = &image->params->list[i];
        if (add_moment(w, p, "m", image->m, err) || add_moment(w, p, "v", image->v, err)) {
            sy_st_abort(w);
            w = NULL;
        }
    }
    return finish(w, sum, err);
}

static int write_values(const struct sy_image *image, const char *path, struct sy_file_sum *sum,
                        struct sy_err *err)
{
    struct sy_st_writer *w = sy_st_begin(path, NULL, err);
    int rc = w ? 0 : -1;
    for (int i = 0; i < image->nvalues && !rc; i++) {
        const struct sy_image_value *v = &image->values[i];
        rc = sy_st_add(w, v->name, v->dtype, v->ndim, v->shape, v->data, err);
    }
    for (int i = 0; i < image->njournal && !rc; i++) {
        const struct sy_journal_entry *e = &image->journal[i];
        char name[32];
        snprintf(name, sizeof name, "journal.%d", i + 1);
        if (e->n)
            rc = sy_st_add(w, name, SY_F32, 1, &e->n, e->values, err);
    }
    if (!rc)
        return finish(w, sum, err);
    sy_st_abort(w);
    return -1;
}

static int write_state(const struct sy_image *image, const char *path, struct sy_file_sum *sum,
                       struct sy_err *err)
{
    struct sy_str s = SY_STR_INIT;
    sy__state_print(&s, image);
    int rc = s.failed ? sy_err_set(err, SY_E_MEMORY, OP ": out of memory writing %s", path)
                      : sy_file_write(OP, path, s.data, s.len, true, sum, err);
    sy_str_free(&s);
    return rc;
}

static uint64_t config_hash(const struct sy_image *image)
{
    struct sy_hash h;
    sy_hash_init(&h);
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        sy_hash_update(&h, &image->hyper.v[i], sizeof image->hyper.v[i]);
    sy_hash_update(&h, &image->hyper.schedule, sizeof image->hyper.schedule);
    if (image->config)
        sy_hash_update(&h, image->config, strlen(image->config));
    return sy_hash_final(&h);
}

static int write_manifest(const char *path, const struct sy_image *image,
                          const struct sy_file_sum sums[FILES], struct sy_err *err)
{
    struct sy_str s = SY_STR_INIT;
    char hex[17];
    sy_hash_hex(config_hash(image), hex);
    sy_str_printf(&s, "{\"format\":%d,\"step\":%" PRId64 ",\"config\":\"%s\",\"files\":{",
                  SY_CHECKPOINT_FORMAT, image->status.step, hex);
    for (int i = 0; i < FILES; i++) {
        sy_hash_hex(sums[i].hash, hex);
        sy_str_printf(&s, "%s\"%s\":{\"bytes\":%" PRIu64 ",\"hash\":\"%s\"}", i ? "," : "",
                      file_names[i], sums[i].bytes, hex);
    }
    sy_str_puts(&s, "}");
    sy_hash_hex(s.failed ? 0 : sy_hash_bytes(s.data, s.len), hex);
    sy_str_printf(&s, ",\"sum\":\"%s\"}\n", hex);
    int rc = s.failed ? sy_err_set(err, SY_E_MEMORY, OP ": out of memory writing %s", path)
                      : sy_file_write(OP, path, s.data, s.len, true, NULL, err);
    sy_str_free(&s);
    return rc;
}

static int write_files(const char *dir, const struct sy_image *image, struct sy_err *err)
{
    static int (*const writers[FILES])(const struct sy_image *, const char *, struct sy_file_sum *,
                                       struct sy_err *) = {write_model, write_optimizer,
                                                           write_values, write_state};
    struct sy_file_sum sums[FILES];
    char path[SY_PATH_MAX];
    for (int i = 0; i < FILES; i++)
        if (join(path, dir, file_names[i], err) || writers[i](image, path, &sums[i], err))
            return -1;
    if (join(path, dir, "MANIFEST", err) || write_manifest(path, image, sums, err))
        return -1;
    return sy_sys_sync_folder(dir) ? failed("sync", dir, err) : 0;
}

/* ---- verifying ---- */

#define SUM_LENGTH 28 /* ,"sum":"0123456789abcdef"}\n */

/* The text up to its own hash is right. */
static bool manifest_sum_holds(const char *text, uint64_t n)
{
    char hex[17], want[SUM_LENGTH + 1];
    if (n < SUM_LENGTH)
        return false;
    sy_hash_hex(sy_hash_bytes(text, n - SUM_LENGTH + 1), hex);
    snprintf(want, sizeof want, ",\"sum\":\"%s\"}\n", hex);
    return !memcmp(text + n - SUM_LENGTH + 1, want, SUM_LENGTH - 1);
}

static int verify_file(const char *dir, const char *name, const struct sy_json *files,
                       bool contents, uint64_t *bytes, struct sy_err *err)
{
    char path[SY_PATH_MAX], hex[17];
    struct sy_file_sum sum = {0, 0};
    const struct sy_json *f = sy_json_get(files, name);
    const struct sy_json *size = f && f->type == SY_JSON_OBJECT ? sy_json_get(f, "bytes") : NULL;
    const struct sy_json *hash = f && f->type == SY_JSON_OBJECT ? sy_json_get(f, "hash") : NULL;
    if (!size || size->type != SY_JSON_INT || !hash || hash->type != SY_JSON_STRING)
        return sy_err_set(err, SY_E_FORMAT, OP ": %s: MANIFEST has no %s", dir, name);
    *bytes += (uint64_t)size->integer;
    if (!contents)
        return 0;
    if (join(path, dir, name, err) || sy_file_sum(OP, path, &sum, err))
        return -1;
    sy_hash_hex(sum.hash, hex);
    if (sum.bytes != (uint64_t)size->integer)
        return sy_err_set(err, SY_E_FORMAT, OP ": %s has %" PRIu64 " bytes, MANIFEST says %" PRId64,
                          path, sum.bytes, size->integer);
    if (strcmp(hex, hash->string))
        return sy_err_set(err, SY_E_FORMAT, OP ": %s is damaged: its hash is %s, MANIFEST says %.16s",
                          path, hex, hash->string);
    return 0;
}

static int read_manifest(const char *path, struct sy_json **root, struct sy_err *err)
{
    char name[SY_PATH_MAX];
    uint64_t n;
    *root = NULL;
    if (join(name, path, "MANIFEST", err))
        return -1;
    char *text = sy_file_load(OP, name, MANIFEST_MOST, &n, err);
    if (!text)
        return -1;
    if (!manifest_sum_holds(text, n))
        sy_err_set(err, SY_E_FORMAT, OP ": %s is damaged", name);
    else
        *root = sy_json_parse(text, n, err);
    sy_free(text);
    return *root ? 0 : -1;
}

static int check_manifest(const char *path, const struct sy_json *root, bool contents,
                          struct sy_saved *out, struct sy_err *err)
{
    bool object = root->type == SY_JSON_OBJECT;
    const struct sy_json *format = object ? sy_json_get(root, "format") : NULL;
    const struct sy_json *step = object ? sy_json_get(root, "step") : NULL;
    const struct sy_json *files = object ? sy_json_get(root, "files") : NULL;
    if (!format || format->type != SY_JSON_INT || !step || step->type != SY_JSON_INT || !files ||
        files->type != SY_JSON_OBJECT)
        return sy_err_set(err, SY_E_FORMAT, OP ": %s: MANIFEST lacks format, step or files", path);
    if (format->integer < 1 || format->integer > SY_CHECKPOINT_FORMAT)
        return sy_err_set(err, SY_E_UNSUPPORTED, OP ": %s: its format is %" PRId64
                          ", this program reads up to %d", path, format->integer, SY_CHECKPOINT_FORMAT);
    out->step = step->integer;
    out->bytes = 0;
    for (int i = 0; i < FILES; i++)
        if (verify_file(path, file_names[i], files, contents, &out->bytes, err))
            return -1;
    return 0;
}

static int look_at(const char *path, bool contents, struct sy_saved *out, struct sy_err *err)
{
    struct sy_json *root;
    *out = (struct sy_saved){.step = -1};
    snprintf(out->path, sizeof out->path, "%s", path);
    if (read_manifest(path, &root, err))
        return -1;
    int rc = check_manifest(path, root, contents, out, err);
    out->ok = !rc;
    sy_json_free(root);
    return rc;
}

int sy_checkpoint_verify(const char *path, struct sy_saved *out, struct sy_err *err)
{
    return look_at(path, true, out, err);
}

static struct sy_image *read_state(const char *path, struct sy_err *err)
{
    struct sy_saved saved;
    char name[SY_PATH_MAX];
    uint64_t n;
    struct sy_image *image = NULL;
    if (sy_checkpoint_verify(path, &saved, err) || join(name, path, "state.json", err))
        return NULL;
    char *text = sy_file_load(OP, name, STATE_MOST, &n, err);
    if (text)
        image = sy__state_parse(text, n, err);
    sy_free(text);
    if (image && image->status.step != saved.step) {
        sy_err_set(err, SY_E_FORMAT, OP ": %s: MANIFEST and state.json are of different steps", path);
        sy_image_free(image);
        image = NULL;
    }
    return image;
}

struct sy_image *sy_checkpoint_read(const char *path, struct sy_err *err)
{
    struct sy_err own = SY_ERR_INIT; /* the parser asks it whether all went well so far */
    struct sy_image *image = read_state(path, &own);
    if (!image)
        sy_err_set(err, own.code, "%s", own.msg);
    return image;
}

/* ---- the commit ---- */

static int check_space(const char *dir, uint64_t bytes, struct sy_err *err)
{
    uint64_t free_bytes;
    char wants[16], has[16];
    if (sy_sys_space(dir, &free_bytes))
        return failed("ask for the space of", dir, err);
    if (free_bytes >= bytes && free_bytes - bytes >= MARGIN)
        return 0;
    sy_human_bytes((double)bytes, wants);
    sy_human_bytes((double)free_bytes, has);
    return sy_err_set(err, SY_E_IO, OP ": the disk is full: %s wanted in %s, %s are free", wants, dir,
                      has);
}

/* Where the checkpoint is that had the name before. */
enum before { NONE_BEFORE, IN_TEMP, IN_OLD };

/* temp is complete: let it have the name, in place of what has it now. */
static int give_name(const char *dir, const char *temp, int64_t step, const char *path,
                     enum before *before, struct sy_err *err)
{
    char old[SY_PATH_MAX];
    bool there = access(path, F_OK) == 0;
    *before = there ? IN_TEMP : NONE_BEFORE;
    if (!there && sy_sys_rename(temp, path))
        return failed("rename to", path, err);
    if (there && sy_sys_exchange(temp, path)) {
        *before = NONE_BEFORE;
        if (errno != ENOSYS && errno != EINVAL)
            return failed("replace", path, err);
        if (step_path(old, dir, step, ".old", err))
            return -1;
        remove_folder(old);
        if (sy_sys_rename(path, old))
            return failed("replace", path, err);
        *before = IN_OLD;
        if (sy_sys_rename(temp, path))
            return failed("replace", path, err);
    }
    return sy_sys_sync_folder(dir) ? failed("sync", dir, err) : 0;
}

/* The new one is no good: the one before gets its name again.  False: it could not, and temp must stay. */
static bool take_back(const char *dir, const char *temp, int64_t step, const char *path,
                      enum before before)
{
    char old[SY_PATH_MAX];
    if (before == NONE_BEFORE)
        return true;
    if (step_path(old, dir, step, ".old", NULL))
        return false;
    if (before == IN_TEMP) {
        if (sy_sys_exchange(temp, path) && sy_sys_rename(temp, old))
            return false;
    } else if (access(path, F_OK) || !sy_sys_rename(path, temp)) {
        sy_sys_rename(old, path); /* or it stays as .old, where it is found as well */
    }
    sy_sys_sync_folder(dir);
    return true;
}

static bool keeps(const struct entry *e, int newer, int keep, int64_t keep_every)
{
    return newer < keep || (keep_every > 0 && e->step % keep_every == 0);
}

/* Folders that do not verify at a glance are neither counted nor touched: they may be someone's hope. */
static void retire(const char *dir, int64_t newest, int keep, int64_t keep_every)
{
    struct entry *list;
    int n, newer = 0;
    if (scan(dir, &list, &n, NULL))
        return;
    for (int i = n - 1; i >= 0; i--) {
        char path[SY_PATH_MAX];
        struct sy_saved s;
        if (list[i].old && list[i].step == newest) {
            remove_checkpoint(dir, &list[i], NULL); /* replaced by the one just verified */
            continue;
        }
        if (list[i].step > newest || step_path(path, dir, list[i].step, list[i].old ? ".old" : "", NULL) ||
            look_at(path, false, &s, NULL))
            continue;
        if (!keeps(&list[i], newer++, keep, keep_every))
            remove_checkpoint(dir, &list[i], NULL);
    }
    sy_free(list);
}

static uint64_t image_bytes(const struct sy_image *image)
{
    uint64_t bytes = 4096;
    for (int i = 0; i < image->params->count; i++)
        bytes += 3 * ((uint64_t)image->params->list[i].count * sizeof(float) +
                      2 * strlen(image->params->list[i].name) + 128);
    for (int i = 0; i < image->nvalues; i++)
        bytes += image->values[i].bytes + 256;
    for (int i = 0; i < image->njournal; i++)
        bytes += (uint64_t)image->journal[i].n * sizeof(float) + 512;
    return bytes + (image->config ? 2 * strlen(image->config) : 0);
}

uint64_t sy__image_bytes(const struct sy_image *image) { return image_bytes(image); }

/* temp is complete: give it the name and verify it there.  temp is gone afterwards, and the name is that
 * of what had it before when this fails. */
static int put_in_place(const char *dir, const char *temp, int64_t step, const char *path,
                        struct sy_saved *out, struct sy_err *err)
{
    enum before before = NONE_BEFORE;
    int rc = give_name(dir, temp, step, path, &before, err) || sy_checkpoint_verify(path, out, err);
    if (!rc || take_back(dir, temp, step, path, before))
        remove_folder(temp); /* what failed, or what was exchanged */
    return rc ? -1 : 0;
}

static int commit(const char *dir, const char *temp, const char *path,
                  const struct sy_image *image, struct sy_saved *out, struct sy_err *err)
{
    if (check_space(dir, image_bytes(image), err))
        return -1;
    remove_folder(temp);
    if (sy_sys_mkdir(temp))
        return failed("make", temp, err);
    if (!write_files(temp, image, err))
        return put_in_place(dir, temp, image->status.step, path, out, err);
    remove_folder(temp);
    return -1;
}

int sy_checkpoint_write(const char *dir, int keep, int64_t keep_every, const struct sy_image *image,
                        struct sy_saved *out, struct sy_err *err)
{
    char temp[SY_PATH_MAX], path[SY_PATH_MAX];
    double start = sy_now();
    *out = (struct sy_saved){.step = -1};
    if (step_path(temp, dir, image->status.step, ".tmp", err) ||
        step_path(path, dir, image->status.step, "", err))
        return -1;
    int rc = commit(dir, temp, path, image, out, err);
    if (!rc)
        retire(dir, image->status.step, keep < 2 ? 2 : keep, keep_every);
    out->seconds = sy_now() - start;
    return rc;
}

/* ---- finding ---- */

int sy_checkpoint_find(const char *dir, int64_t step, struct sy_saved *out, struct sy_err *err)
{
    struct entry *list;
    struct sy_err first = SY_ERR_INIT;
    int n;
    *out = (struct sy_saved){.step = -1};
    if (scan(dir, &list, &n, err))
        return -1;
    for (int i = n - 1; i >= 0 && !out->ok; i--) {
        char path[SY_PATH_MAX];
        if ((step >= 0 && list[i].step > step) ||
            step_path(path, dir, list[i].step, list[i].old ? ".old" : "", NULL))
            continue;
        if (!sy_checkpoint_verify(path, out, &first) && out->step != list[i].step) {
            out->ok = false;
            sy_err_set(&first, SY_E_FORMAT, OP ": %s is of step %" PRId64, path, out->step);
        }
    }
    sy_free(list);
    if (out->ok)
        return 0;
    *out = (struct sy_saved){.step = -1};
    if (first.code == SY_E_MEMORY)
        return sy_err_set(err, SY_E_MEMORY, "%s", first.msg);
    if (first.code)
        return sy_err_set(err, SY_E_NOTFOUND, OP ": none in %s is whole; the newest: %s", dir,
                          first.msg);
    return sy_err_set(err, SY_E_NOTFOUND, OP ": there is none in %s", dir);
}

int sy_checkpoint_list(const char *dir, bool verify, struct sy_saved **list, int *n,
                       struct sy_err *err)
{
    struct entry *entries;
    *list = NULL;
    if (scan(dir, &entries, n, err))
        return -1;
    *list = sy_calloc((size_t)*n + 1, sizeof **list);
    if (!*list) {
        sy_free(entries);
        return sy_err_set(err, SY_E_MEMORY, OP ": out of memory");
    }
    for (int i = 0; i < *n; i++) {
        char path[SY_PATH_MAX];
        struct sy_saved *s = &(*list)[i];
        if (step_path(path, dir, entries[i].step, entries[i].old ? ".old" : "", NULL))
            continue;
        look_at(path, verify, s, NULL);
        s->ok = s->ok && s->step == entries[i].step;
        s->step = entries[i].step;
    }
    sy_free(entries);
    return 0;
}

int sy_checkpoint_discard(const char *dir, int64_t step, struct sy_err *err)
{
    struct entry *list;
    int n, rc = 0;
    if (scan(dir, &list, &n, err))
        return -1;
    for (int i = n - 1; i >= 0 && list[i].step > step && !rc; i--)
        rc = remove_checkpoint(dir, &list[i], err);
    sy_free(list);
    if (!rc && n && sy_sys_sync_folder(dir))
        rc = failed("sync", dir, err);
    return rc;
}

/* ---- sharing ---- */

static int copy_file(const char *from, const char *to, struct sy_err *err)
{
    struct sy_str s = SY_STR_INIT;
    int rc = sy_file_read(from, 0, &s, err);
    if (!rc)
        rc = sy_file_write(OP, to, s.data, s.len, true, NULL, err);
    sy_str_free(&s);
    return rc;
}

static int share_file(const char *from, const char *to, const char *name, struct sy_err *err)
{
    char a[SY_PATH_MAX], b[SY_PATH_MAX];
    if (join(a, from, name, err) || join(b, to, name, err))
        return -1;
    return sy_sys_link(a, b) ? copy_file(a, b, err) : 0;
}

static int share_files(const char *from, const char *temp, struct sy_err *err)
{
    remove_folder(temp);
    if (sy_sys_mkdir(temp))
        return failed("make", temp, err);
    for (int i = 0; i < FILES; i++)
        if (share_file(from, temp, file_names[i], err))
            return -1;
    if (share_file(from, temp, "MANIFEST", err))
        return -1;
    return sy_sys_sync_folder(temp) ? failed("sync", temp, err) : 0;
}

int sy_checkpoint_share(const char *from, const char *dir, struct sy_saved *out,
                        struct sy_err *err)
{
    char temp[SY_PATH_MAX], path[SY_PATH_MAX];
    if (sy_checkpoint_verify(from, out, err) || sy_dir_make(dir, err))
        return -1;
    int64_t step = out->step;
    if (step_path(temp, dir, step, ".tmp", err) || step_path(path, dir, step, "", err))
        return -1;
    if (!share_files(from, temp, err))
        return put_in_place(dir, temp, step, path, out, err);
    remove_folder(temp);
    return -1;
}
