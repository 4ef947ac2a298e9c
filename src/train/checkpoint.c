/* Folders of checkpoints: the commit, which ones stay, finding and sharing them.  See checkpoint.h
 * for the layout and the rules; checkpoint_files.c has what is inside.
 *
 * A folder of this step that is there already (a rewound run comes by again) is exchanged at once
 * for the new one; where the system cannot, the old one is step-N.old for a moment, and found as
 * such. */
#include "train/checkpoint_int.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/grow.h"
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

static int step_path(char out[SY_PATH_MAX], const struct sy_dir *dir, int64_t step, const char *end,
                     struct sy_err *err)
{
    char name[48];
    snprintf(name, sizeof name, "step-%06" PRId64 "%s", step, end);
    return sy__path_join(out, dir->path, name, err);
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

/* Folders named as checkpoints, by rising step; *list owned. */
static int scan_checkpoints(const struct sy_dir *dir, struct entry **list, int *n,
                            struct sy_err *err)
{
    DIR *d = sy_dir_list(dir, dir->path);
    size_t room = 0;
    *list = NULL;
    *n = 0;
    if (!d)
        return errno == ENOENT ? 0 : sy__failed("read", dir->path, err);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *end;
        int64_t step = step_of(e->d_name, &end);
        if (step < 0 || (*end && strcmp(end, ".old")))
            continue;
        if (SY_GROW(*list, room, *n + 1)) {
            closedir(d);
            sy_free(*list);
            *list = NULL;
            return sy_err_set(err, SY_E_MEMORY, OP ": out of memory reading %s", dir->path);
        }
        (*list)[(*n)++] = (struct entry){step, *end != 0};
    }
    closedir(d);
    if (*n)
        qsort(*list, (size_t)*n, sizeof **list, rising);
    return 0;
}

/* Delete a folder of ours and what is in it; nothing to be done about a failure.  What is no
 * folder, a link above all, is not ours. */
static void remove_folder(const struct sy_dir *dir, const char *path)
{
    DIR *d = sy_dir_list(dir, path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char inner[SY_PATH_MAX];
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            !sy__path_join(inner, path, e->d_name, NULL))
            sy_sys_unlink(dir, inner);
    }
    closedir(d);
    sy_sys_rmdir(dir, path);
}

/* 1: a folder is there, 0: nothing; -1: something else, that we neither replace nor delete. */
static int look_at(const struct sy_dir *dir, const char *path, struct sy_err *err)
{
    struct stat st;
    if (sy_dir_stat(dir, path, &st))
        return errno == ENOENT ? 0 : sy__failed("look at", path, err);
    if (S_ISDIR(st.st_mode))
        return 1;
    return sy_err_set(err, SY_E_IO, OP ": %s is %s, and is left alone", path,
                      S_ISLNK(st.st_mode) ? "a symbolic link" : "no folder");
}

/* Take a checkpoint's name away first, so that half of it never looks like one. */
static int remove_checkpoint(const struct sy_dir *dir, const struct entry *e, struct sy_err *err)
{
    char path[SY_PATH_MAX], gone[SY_PATH_MAX];
    if (step_path(path, dir, e->step, e->old ? ".old" : "", err) ||
        step_path(gone, dir, e->step, ".gone.tmp", err) || look_at(dir, path, err) < 0)
        return -1;
    remove_folder(dir, gone);
    if (sy_sys_rename(dir, path, gone))
        return sy__failed("delete", path, err);
    remove_folder(dir, gone);
    return 0;
}

/* Remains of saves and deletions that did not end. */
void sy__checkpoint_clean(const struct sy_dir *dir)
{
    DIR *d = sy_dir_list(dir, dir->path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *end;
        char path[SY_PATH_MAX];
        if (step_of(e->d_name, &end) >= 0 && (!strcmp(end, ".tmp") || !strcmp(end, ".gone.tmp")) &&
            !sy__path_join(path, dir->path, e->d_name, NULL))
            remove_folder(dir, path);
    }
    closedir(d);
}

/* ---- the commit ---- */

static int check_space(const struct sy_dir *dir, uint64_t bytes, struct sy_err *err)
{
    uint64_t free_bytes;
    char wants[16], has[16], kept[16];
    if (sy_sys_space(dir, dir->path, &free_bytes))
        return sy__failed("ask for the space of", dir->path, err);
    if (free_bytes >= bytes && free_bytes - bytes >= MARGIN)
        return 0;
    sy_human_bytes((double)bytes, wants);
    sy_human_bytes((double)free_bytes, has);
    sy_human_bytes((double)MARGIN, kept);
    return sy_err_set(err, SY_E_IO,
                      OP ": the disk is full: %s wanted in %s and %s to stay free, %s are free",
                      wants, dir->path, kept, has);
}

/* Where the checkpoint is that had the name before. */
enum before { NONE_BEFORE, IN_TEMP, IN_OLD };

/* temp is complete: let it have the name, in place of what has it now. */
static int give_name(const struct sy_dir *dir, const char *temp, int64_t step, const char *path,
                     enum before *before, struct sy_err *err)
{
    char old[SY_PATH_MAX];
    int there = look_at(dir, path, err);
    *before = there > 0 ? IN_TEMP : NONE_BEFORE;
    if (there < 0)
        return -1;
    if (!there && sy_sys_rename(dir, temp, path))
        return sy__failed("rename to", path, err);
    if (there && sy_sys_exchange(dir, temp, path)) {
        *before = NONE_BEFORE;
        if (errno != ENOSYS && errno != EINVAL)
            return sy__failed("replace", path, err);
        if (step_path(old, dir, step, ".old", err))
            return -1;
        remove_folder(dir, old);
        if (sy_sys_rename(dir, path, old))
            return sy__failed("replace", path, err);
        *before = IN_OLD;
        if (sy_sys_rename(dir, temp, path))
            return sy__failed("replace", path, err);
    }
    return sy_sys_sync_folder(dir, dir->path) ? sy__failed("sync", dir->path, err) : 0;
}

/* The new one is no good: the one before gets its name again.  False: it could not, and temp must
 * stay. */
static bool take_back(const struct sy_dir *dir, const char *temp, int64_t step, const char *path,
                      enum before before)
{
    char old[SY_PATH_MAX];
    if (before == NONE_BEFORE)
        return true;
    if (step_path(old, dir, step, ".old", NULL))
        return false;
    if (before == IN_TEMP) {
        if (sy_sys_exchange(dir, temp, path) && sy_sys_rename(dir, temp, old))
            return false;
    } else if (look_at(dir, path, NULL) <= 0 || !sy_sys_rename(dir, path, temp)) {
        sy_sys_rename(dir, old, path); /* or it stays as .old, where it is found as well */
    }
    sy_sys_sync_folder(dir, dir->path);
    return true;
}

static bool is_kept(const struct entry *e, int newer, int keep, int64_t keep_every)
{
    return newer < keep || (keep_every > 0 && e->step % keep_every == 0);
}

/* Folders that do not verify at a glance, or are another run's, are neither counted nor touched:
 * they may be someone's hope. */
static void retire_checkpoints(const struct sy_dir *dir, const struct sy_image *image, int keep,
                               int64_t keep_every)
{
    struct entry *list;
    int64_t newest = image->status.step;
    int n, newer = 0;
    if (scan_checkpoints(dir, &list, &n, NULL))
        return;
    for (int i = n - 1; i >= 0; i--) {
        char path[SY_PATH_MAX];
        struct sy_saved s;
        if (list[i].old && list[i].step == newest) {
            remove_checkpoint(dir, &list[i], NULL); /* replaced by the one just verified */
            continue;
        }
        if (list[i].step > newest ||
            step_path(path, dir, list[i].step, list[i].old ? ".old" : "", NULL) ||
            sy__files_look(dir, path, false, &s, NULL) || strcmp(s.id, image->id) != 0)
            continue;
        if (!is_kept(&list[i], newer++, keep, keep_every))
            remove_checkpoint(dir, &list[i], NULL);
    }
    sy_free(list);
}

/* temp is complete: give it the name and verify it there.  temp is gone afterwards, and the name is
 * that of what had it before when this fails. */
static int put_in_place(const struct sy_dir *dir, const char *temp, int64_t step, const char *path,
                        struct sy_saved *out, struct sy_err *err)
{
    enum before before = NONE_BEFORE;
    int rc = give_name(dir, temp, step, path, &before, err) ||
             sy__files_look(dir, path, true, out, err);
    if (!rc || take_back(dir, temp, step, path, before))
        remove_folder(dir, temp); /* what failed, or what was exchanged */
    return rc ? -1 : 0;
}

/* A new folder for what is being written, and not one that a link leads to. */
static int make_temp(const struct sy_dir *dir, const char *temp, struct sy_err *err)
{
    if (look_at(dir, temp, err) < 0)
        return -1;
    remove_folder(dir, temp);
    return sy_sys_mkdir(dir, temp) ? sy__failed("make", temp, err) : 0;
}

/* What has the name may be replaced if it is this run's, or nobody's. */
static int check_ours(const struct sy_dir *dir, const char *path, const char *id,
                      struct sy_err *err)
{
    struct sy_saved s;
    if (sy__files_look(dir, path, false, &s, NULL))
        return 0;
    return sy__check_id(&s, id, err);
}

static int commit_checkpoint(const struct sy_dir *dir, const char *temp, const char *path,
                             const struct sy_image *image, struct sy_saved *out, struct sy_err *err)
{
    if (check_space(dir, sy__image_bytes(image), err) || check_ours(dir, path, image->id, err) ||
        make_temp(dir, temp, err))
        return -1;
    if (!sy__files_write(dir, temp, image, err))
        return put_in_place(dir, temp, image->status.step, path, out, err);
    remove_folder(dir, temp);
    return -1;
}

int sy_checkpoint_write(const struct sy_dir *dir, int keep, int64_t keep_every,
                        const struct sy_image *image, struct sy_saved *out, struct sy_err *err)
{
    char temp[SY_PATH_MAX], path[SY_PATH_MAX];
    double start = sy_now();
    *out = (struct sy_saved){.step = -1};
    if (step_path(temp, dir, image->status.step, ".tmp", err) ||
        step_path(path, dir, image->status.step, "", err))
        return -1;
    int rc = commit_checkpoint(dir, temp, path, image, out, err);
    if (!rc)
        retire_checkpoints(dir, image, keep < 2 ? 2 : keep, keep_every);
    out->seconds = sy_now() - start;
    return rc;
}

/* ---- finding ---- */

/* The folder `dir`, or `sub` in it (start, undo), which is no link. */
static int open_dir(struct sy_dir *out, const char *dir, const char *sub, bool make,
                    struct sy_err *err)
{
    char path[SY_PATH_MAX];
    struct sy_dir in = SY_DIR_INIT;
    *out = in;
    if (!sub)
        return sy_dir_open(out, NULL, dir, make, err);
    int rc = sy__path_join(path, dir, sub, err) || sy_dir_open(&in, NULL, dir, make, err) ||
                     sy_dir_open(out, &in, path, make, err)
                 ? -1
                 : 0;
    sy_dir_close(&in);
    return rc;
}

/* The same; one that is missing is *out without a descriptor, and no error. */
static int open_if_there(struct sy_dir *out, const char *dir, const char *sub, struct sy_err *err)
{
    struct sy_err why = SY_ERR_INIT;
    if (!open_dir(out, dir, sub, false, &why) || why.code == SY_E_NOTFOUND)
        return 0;
    return sy_err_set(err, why.code, OP ": %s", why.msg);
}

static int find_checkpoint(const struct sy_dir *dir, int64_t step, struct sy_saved *out,
                           struct sy_err *first, struct sy_err *err)
{
    struct entry *list;
    int n;
    if (scan_checkpoints(dir, &list, &n, err))
        return -1;
    for (int i = n - 1; i >= 0 && !out->ok; i--) {
        char path[SY_PATH_MAX];
        if ((step >= 0 && list[i].step > step) ||
            step_path(path, dir, list[i].step, list[i].old ? ".old" : "", NULL))
            continue;
        if (!sy__files_look(dir, path, true, out, first) && out->step != list[i].step) {
            out->ok = false;
            sy_err_set(first, SY_E_FORMAT, OP ": %s is of step %" PRId64, path, out->step);
        }
    }
    sy_free(list);
    return 0;
}

int sy_checkpoint_find(const char *dir, int64_t step, struct sy_saved *out, struct sy_err *err)
{
    struct sy_err first = SY_ERR_INIT;
    struct sy_dir d;
    *out = (struct sy_saved){.step = -1};
    if (open_if_there(&d, dir, NULL, err))
        return -1;
    int rc = d.fd < 0 ? 0 : find_checkpoint(&d, step, out, &first, err);
    sy_dir_close(&d);
    if (rc || out->ok)
        return rc;
    *out = (struct sy_saved){.step = -1};
    if (first.code == SY_E_MEMORY)
        return sy_err_set(err, SY_E_MEMORY, "%s", first.msg);
    if (first.code)
        return sy_err_set(err, SY_E_NOTFOUND, OP ": none in %s is whole; the newest: %s", dir,
                          first.msg);
    return sy_err_set(err, SY_E_NOTFOUND, OP ": there is none in %s", dir);
}

static int list_all(const struct sy_dir *dir, bool verify, struct sy_saved **list, int *n,
                    struct sy_err *err)
{
    struct entry *entries;
    if (scan_checkpoints(dir, &entries, n, err))
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
        sy__files_look(dir, path, verify, s, NULL);
        s->ok = s->ok && s->step == entries[i].step;
        s->step = entries[i].step;
    }
    sy_free(entries);
    return 0;
}

int sy_checkpoint_list(const char *dir, bool verify, struct sy_saved **list, int *n,
                       struct sy_err *err)
{
    struct sy_dir d;
    *list = NULL;
    *n = 0;
    if (open_if_there(&d, dir, NULL, err))
        return -1;
    int rc = d.fd < 0 ? 0 : list_all(&d, verify, list, n, err);
    sy_dir_close(&d);
    return rc;
}

static int discard_newer(const struct sy_dir *dir, int64_t step, struct sy_err *err)
{
    struct entry *list;
    int n, rc = 0;
    if (scan_checkpoints(dir, &list, &n, err))
        return -1;
    for (int i = n - 1; i >= 0 && list[i].step > step && !rc; i--)
        rc = remove_checkpoint(dir, &list[i], err);
    sy_free(list);
    if (!rc && n && sy_sys_sync_folder(dir, dir->path))
        rc = sy__failed("sync", dir->path, err);
    return rc;
}

int sy_checkpoint_discard(const char *dir, const char *sub, int64_t step, struct sy_err *err)
{
    struct sy_dir d;
    if (open_if_there(&d, dir, sub, err))
        return -1;
    int rc = d.fd < 0 ? 0 : discard_newer(&d, step, err);
    sy_dir_close(&d);
    return rc;
}

int sy_checkpoint_write_to(const char *dir, const char *sub, const struct sy_image *image,
                           struct sy_saved *out, struct sy_err *err)
{
    struct sy_dir d;
    if (open_dir(&d, dir, sub, true, err))
        return -1;
    int rc = sy_checkpoint_write(&d, 2, 0, image, out, err);
    sy_dir_close(&d);
    return rc;
}

/* ---- sharing ---- */

static int copy_file(const struct sy_dir *dir, const char *from, const char *to, struct sy_err *err)
{
    struct sy_str s = SY_STR_INIT;
    int rc = sy_file_read(from, 0, &s, err);
    if (!rc)
        rc = sy_file_write(OP, dir, to, s.data, s.len, true, NULL, err);
    sy_str_free(&s);
    return rc;
}

static int share_file(const struct sy_dir *dir, const char *from, const char *to, const char *name,
                      struct sy_err *err)
{
    char a[SY_PATH_MAX], b[SY_PATH_MAX];
    if (sy__path_join(a, from, name, err) || sy__path_join(b, to, name, err))
        return -1;
    return sy_sys_link(dir, a, b) ? copy_file(dir, a, b, err) : 0;
}

/* All but MANIFEST are the same files: that one says whose they are. */
static int share_files(const struct sy_dir *dir, const char *from, const char *temp, const char *id,
                       struct sy_err *err)
{
    for (int i = 0; i < SY__FILES; i++)
        if (share_file(dir, from, temp, sy__file_names[i], err))
            return -1;
    if (sy__manifest_for(dir, from, temp, id, err))
        return -1;
    return sy_sys_sync_folder(dir, temp) ? sy__failed("sync", temp, err) : 0;
}

static int share(const struct sy_dir *dir, const char *from, const char *id, struct sy_saved *out,
                 struct sy_err *err)
{
    char temp[SY_PATH_MAX], path[SY_PATH_MAX];
    int64_t step = out->step;
    if (step_path(temp, dir, step, ".tmp", err) || step_path(path, dir, step, "", err) ||
        check_ours(dir, path, id, err) || make_temp(dir, temp, err))
        return -1;
    if (!share_files(dir, from, temp, id, err))
        return put_in_place(dir, temp, step, path, out, err);
    remove_folder(dir, temp);
    return -1;
}

int sy_checkpoint_share(const char *from, const char *dir, const char *sub, const char *id,
                        struct sy_saved *out, struct sy_err *err)
{
    struct sy_dir d;
    if (sy_checkpoint_verify(from, out, err) || open_dir(&d, dir, sub, true, err))
        return -1;
    int rc = share(&d, from, id, out, err);
    sy_dir_close(&d);
    return rc;
}
