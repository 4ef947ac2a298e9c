/* Folders of checkpoints: the commit, which ones stay, finding and sharing them.  See checkpoint.h for the
 * layout and the rules; checkpoint_files.c has what is inside.
 *
 * A folder of this step that is there already (a rewound run comes by again) is exchanged at once for
 * the new one; where the system cannot, the old one is step-N.old for a moment, and found as such. */
#include "train/checkpoint_int.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/sys.h"
#include "switchyard/io.h"
#include "train/trainer_int.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARGIN ((uint64_t)16 << 20) /* bytes that must stay free on the disk */

/* ---- names ---- */

static int step_path(char out[SY_PATH_MAX], const char *dir, int64_t step, const char *end,
                     struct sy_err *err)
{
    char name[48];
    snprintf(name, sizeof name, "step-%06" PRId64 "%s", step, end);
    return sy__path_join(out, dir, name, err);
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
        return errno == ENOENT ? 0 : sy__failed("read", dir, err);
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
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !sy__path_join(inner, path, e->d_name, NULL))
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
        return sy__failed("delete", path, err);
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
            !sy__path_join(path, dir, e->d_name, NULL))
            remove_folder(path);
    }
    closedir(d);
}

/* ---- the commit ---- */

static int check_space(const char *dir, uint64_t bytes, struct sy_err *err)
{
    uint64_t free_bytes;
    char wants[16], has[16];
    if (sy_sys_space(dir, &free_bytes))
        return sy__failed("ask for the space of", dir, err);
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
        return sy__failed("rename to", path, err);
    if (there && sy_sys_exchange(temp, path)) {
        *before = NONE_BEFORE;
        if (errno != ENOSYS && errno != EINVAL)
            return sy__failed("replace", path, err);
        if (step_path(old, dir, step, ".old", err))
            return -1;
        remove_folder(old);
        if (sy_sys_rename(path, old))
            return sy__failed("replace", path, err);
        *before = IN_OLD;
        if (sy_sys_rename(temp, path))
            return sy__failed("replace", path, err);
    }
    return sy_sys_sync_folder(dir) ? sy__failed("sync", dir, err) : 0;
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
            sy__files_look(path, false, &s, NULL))
            continue;
        if (!keeps(&list[i], newer++, keep, keep_every))
            remove_checkpoint(dir, &list[i], NULL);
    }
    sy_free(list);
}

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
    if (check_space(dir, sy__image_bytes(image), err))
        return -1;
    remove_folder(temp);
    if (sy_sys_mkdir(temp))
        return sy__failed("make", temp, err);
    if (!sy__files_write(temp, image, err))
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
        sy__files_look(path, verify, s, NULL);
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
        rc = sy__failed("sync", dir, err);
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
    if (sy__path_join(a, from, name, err) || sy__path_join(b, to, name, err))
        return -1;
    return sy_sys_link(a, b) ? copy_file(a, b, err) : 0;
}

static int share_files(const char *from, const char *temp, struct sy_err *err)
{
    remove_folder(temp);
    if (sy_sys_mkdir(temp))
        return sy__failed("make", temp, err);
    for (int i = 0; i < SY__FILES; i++)
        if (share_file(from, temp, sy__file_names[i], err))
            return -1;
    if (share_file(from, temp, "MANIFEST", err))
        return -1;
    return sy_sys_sync_folder(temp) ? sy__failed("sync", temp, err) : 0;
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
