/* Where a run is on the disk: its folder is made whole under another name, opened, and looked at
 * again while it is written.  See store.h.
 *
 *     claim --> DIR/.NAME.new/ with lock --> filled --rename--> DIR/NAME/
 *       a death before the rename leaves DIR/.NAME.new, which is no run: whoever claims next
 *       deletes it
 *
 *     each flush: is the folder still DIR/NAME?      another name: written there, under an alarm
 *                                                    deleted: an alarm; who made it makes it anew
 *                 is `lock` still ours?              taken anew; when another process has it:
 *                                                    nothing is written any more
 *                 is run.sqlite what we have open?   deleted: written anew from what is open
 *                                                    another file, or cut: an alarm, it is not
 *                                                    touched
 *
 *  1. The folder is held open (base/dir.h).  SQLite opens by path: what it opened is compared with
 *     what is in the folder.
 *  2. SQLite deletes -wal and -shm by their names when it closes.  When those may be another's, it
 *     is told to leave them. */
#include "run/run_files_int.h"
#include "run/store_int.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int take_lock(struct sy_store *s, struct sy_err *err)
{
    char path[SY__PATH_MOST];
    if (sy__run_path(path, s->dir.path, "lock", err))
        return -1;
    s->owner = sy_lock_take(&s->dir, path, s->where, err);
    return s->owner ? 0 : -1;
}

static bool has_lock(const struct sy_store *s)
{
    char path[SY__PATH_MOST];
    return !sy__run_path(path, s->dir.path, "lock", NULL) && sy_lock_named(s->owner, &s->dir, path);
}

/* ---- making ---- */

static int draw_id(char id[SY__RUN_ID], const char *where, struct sy_err *err)
{
    unsigned char bytes[(SY__RUN_ID - 1) / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return sy_err_sys(err, errno, "%s: no random numbers", where);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static bool is_empty(const char *path)
{
    DIR *list = sy_dir_list(NULL, path);
    int n = 0;
    while (list && readdir(list))
        n++;
    if (list)
        closedir(list);
    return list && n <= 2;
}

/* The name is free when nothing has it, or an empty folder. */
static int check_free(const struct sy_store *s, sy__is_run_fn is_run, struct sy_err *err)
{
    struct stat st;
    char lock[SY__PATH_MOST];
    int64_t pid;
    if (lstat(s->path, &st))
        return errno == ENOENT ? 0
                               : sy_err_sys(err, errno, "%s: cannot look at %s", s->where, s->path);
    if (S_ISDIR(st.st_mode) && is_empty(s->path))
        return 0;
    if (!sy__run_path(lock, s->path, "lock", NULL) && sy_lock_held(lock, &pid))
        return sy_err_set(err, SY_E_STATE, "%s is being written by process %lld", s->where,
                          (long long)pid);
    struct sy_err why = SY_ERR_INIT;
    bool there = S_ISDIR(st.st_mode) && is_run(s->runs, s->name, &why);
    if (there || (why.code && why.code != SY_E_NOTFOUND))
        return sy_err_set(err, SY_E_STATE, "%s exists already", s->where);
    return sy_err_set(err, SY_E_STATE,
                      "%s: %s exists already and holds no run (one that was not "
                      "finished, or something else): delete it, or take another name",
                      s->where, s->path);
}

static int make_folder(struct sy_store *s, const char *path, struct sy_err *err)
{
    if (mkdir(path, 0777) && errno != EEXIST)
        return sy_err_sys(err, errno, "%s: cannot make %s", s->where, path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    char *copy = fd < 0 ? NULL : sy_strdup(path);
    if (fd >= 0 && copy) {
        s->dir = (struct sy_dir){fd, copy};
        return 0;
    }
    if (fd < 0)
        return errno == ENOENT ? 1 : sy_err_sys(err, errno, "%s: cannot open %s", s->where, path);
    close(fd);
    return sy_err_set(err, SY_E_MEMORY, "%s: out of memory", s->where);
}

/* What somebody left there who was killed; the lock is ours. */
static int clear_folder(const struct sy_store *s, struct sy_err *err)
{
    DIR *list = sy_dir_list(&s->dir, s->dir.path);
    int rc = list ? 0 : sy_err_sys(err, errno, "%s: cannot read %s", s->where, s->dir.path);
    for (struct dirent *e; !rc && (e = readdir(list)) != NULL;) {
        char path[SY__PATH_MOST];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, "lock"))
            continue;
        rc = sy__run_path(path, s->dir.path, e->d_name, err) || sy_dir_remove(&s->dir, path, err)
                 ? -1
                 : 0;
    }
    if (list)
        closedir(list);
    return rc;
}

/* The folder under its other name, locked; 1: somebody had it, and it is gone or a run now. */
static int try_claim(struct sy_store *s, const char *path, struct sy_err *err)
{
    struct sy_err why = SY_ERR_INIT;
    int rc = make_folder(s, path, err);
    if (rc)
        return rc;
    if (take_lock(s, &why) && (why.code == SY_E_STATE || sy_dir_state(&s->dir) == SY_DIR_NAMED))
        return sy_err_set(err, why.code, "%s", why.msg);
    if (s->owner && sy_dir_state(&s->dir) == SY_DIR_NAMED)
        return 0;
    sy_lock_release(s->owner);
    s->owner = NULL;
    sy_dir_close(&s->dir);
    return 1;
}

/* A folder under construction that nobody works on and has not been touched for a minute. */
static void remove_if_dead(const char *path)
{
    struct stat st;
    char lock_path[SY__PATH_MOST];
    struct sy_dir d;
    if (lstat(path, &st) || !S_ISDIR(st.st_mode) || sy_wall() - (double)st.st_mtime < 60 ||
        sy_dir_open(&d, NULL, path, false, NULL))
        return;
    struct sy_lock *lock = sy__run_path(lock_path, path, "lock", NULL)
                               ? NULL
                               : sy_lock_take(&d, lock_path, path, NULL);
    if (lock && sy_dir_state(&d) == SY_DIR_NAMED)
        sy_dir_remove(NULL, path, NULL);
    sy_lock_release(lock);
    sy_dir_close(&d);
}

static void remove_dead(const char *runs)
{
    DIR *list = sy_dir_list(NULL, runs);
    for (struct dirent *e; list && (e = readdir(list)) != NULL;) {
        char path[SY__PATH_MOST];
        size_t n = strlen(e->d_name);
        if (*e->d_name == '.' && n > 5 && !strcmp(e->d_name + n - 4, ".new") &&
            !sy__run_path(path, runs, e->d_name, NULL))
            remove_if_dead(path);
    }
    if (list)
        closedir(list);
}

int sy__run_dir_claim(struct sy_store *s, sy__is_run_fn is_run, struct sy_err *err)
{
    char path[SY__PATH_MOST], name[SY_RUN_NAME_MAX + 8];
    snprintf(name, sizeof name, ".%s.new", s->name);
    if (draw_id(s->id, s->where, err) || sy_dir_make(s->runs, err) ||
        sy__run_path(path, s->runs, name, err))
        return -1;
    remove_dead(s->runs);
    int rc = 1;
    for (int i = 0; i < 100 && rc > 0; i++)
        rc = check_free(s, is_run, err) ? -1 : try_claim(s, path, err);
    if (rc > 0)
        sy_err_set(err, SY_E_IO, "%s: cannot make %s: others take it away", s->where, path);
    if (rc)
        return -1;
    s->building = true;
    /* freed meanwhile is made meanwhile */
    return check_free(s, is_run, err) || clear_folder(s, err) ? -1 : 0;
}

static int rename_folder(struct sy_store *s, const char *to, struct sy_err *err)
{
    char *copy = sy_strdup(to);
    if (!copy)
        return sy_err_set(err, SY_E_MEMORY, "%s: out of memory", s->where);
    if (rename(s->dir.path, to)) {
        int cause = errno;
        sy_free(copy);
        return cause == ENOTEMPTY || cause == EEXIST || cause == ENOTDIR
                   ? sy_err_set(err, SY_E_STATE, "%s exists already", s->where)
                   : sy_err_sys(err, cause, "%s: cannot give %s its name", s->where, s->dir.path);
    }
    sy_free(s->dir.path);
    s->dir.path = copy;
    int fd = open(s->runs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* where that is not possible the rename is no less true */
        close(fd);
    }
    return 0;
}

int sy__run_dir_finish(struct sy_store *s, struct sy_err *err)
{
    char back[SY__PATH_MOST];
    snprintf(back, sizeof back, "%s", s->dir.path);
    sy__db_close(s); /* it would use the old name */
    if (rename_folder(s, s->path, err))
        return -1;
    if (!sy__db_open(s, SY__WRITE, err)) {
        s->building = false;
        return 0;
    }
    rename_folder(s, back, NULL); /* to be removed with the store */
    return -1;
}

void sy__run_dir_drop(struct sy_store *s)
{
    if (s->building && s->owner && sy_dir_state(&s->dir) == SY_DIR_NAMED)
        sy_dir_remove(NULL, s->dir.path, NULL);
    s->building = false;
}

/* ---- opening ---- */

static int fail_no_run(const struct sy_store *s, struct sy_err *err)
{
    struct sy_str near = SY_STR_INIT;
    sy__run_nearest(s->runs, s->name, &near);
    sy_err_set(err, SY_E_NOTFOUND, "%s: there is no %s/run.sqlite%s%s%s", s->where, s->path,
               near.len ? " (did you mean '" : "", near.len ? near.data : "",
               near.len ? "'?)" : "");
    sy_str_free(&near);
    return -1;
}

int sy__run_dir_open(struct sy_store *s, bool write, struct sy_err *err)
{
    struct stat st;
    struct sy_err why = SY_ERR_INIT;
    int rc = sy_dir_open(&s->dir, NULL, s->path, false, &why);
    if (rc && why.code != SY_E_NOTFOUND)
        return sy_err_set(err, why.code, "%s: %s", s->where, why.msg);
    if (rc || (sy__stat_in(s, "run.sqlite", &st) && errno == ENOENT))
        return fail_no_run(s, err);
    return write ? take_lock(s, err) : 0;
}

bool sy_store_where(struct sy_store *s, char *out, size_t n)
{
    return sy_dir_where(&s->dir, out, n);
}

/* ---- looking again ---- */

/* All that the open database holds, into a new file in the folder. */
static int copy_db(struct sy_store *s, const char *path, struct sy_err *err)
{
    sqlite3 *to = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, &to, flags, NULL);
    sqlite3_backup *copy = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", s->db, "main") : NULL;
    if (copy) {
        sqlite3_backup_step(copy, -1);
        rc = sqlite3_backup_finish(copy);
    } else if (rc == SQLITE_OK)
        rc = sqlite3_errcode(to);
    if (rc != SQLITE_OK)
        sy_err_set(err, SY_E_IO, "%s: run.sqlite was deleted and cannot be written anew: %s",
                   s->where, to ? sqlite3_errmsg(to) : "out of memory");
    sqlite3_close(to);
    return rc == SQLITE_OK ? 0 : -1;
}

/* The file that was copied gets the name, and is open in place of the one before, which stays until
 * then: it may be all that there is. */
static int exchange_db(struct sy_store *s, struct sy_err *err)
{
    struct sy__file file = s->db_file, wal = s->wal_file;
    for (int i = 1; i < SY__DB_FILES; i++)
        unlinkat(s->dir.fd, sy__db_files[i], 0); /* of the one before */
    if (renameat(s->dir.fd, "run.sqlite.new", s->dir.fd, "run.sqlite"))
        return sy_err_sys(err, errno, "%s: cannot write run.sqlite anew", s->where);
    sqlite3 *old = sy__db_lay_aside(s);
    if (!sy__db_open(s, SY__WRITE, err)) {
        int keep = 1;
        /* they are the new one's */
        sqlite3_file_control(old, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
        sqlite3_close(old);
        return 0;
    }
    s->db = old;
    s->db_file = file;
    s->wal_file = wal;
    return -1;
}

/* run.sqlite or its log is no more: a new one, from what we have open. */
static int write_anew(struct sy_store *s, struct sy_err *err)
{
    char place[SY__PATH_MOST], path[SY__PATH_MOST];
    if (!sy_dir_where(&s->dir, place, sizeof place) ||
        sy__run_path(path, place, "run.sqlite.new", err))
        return sy_err_set(err, SY_E_IO, "%s: its directory cannot be reached", s->where);
    unlinkat(s->dir.fd, "run.sqlite.new", 0);
    if (copy_db(s, path, err) || exchange_db(s, err))
        return -1;
    sy__forget_series(s);
    return 0;
}

int sy__run_dir_check_cut(struct sy_store *s, struct sy_err *err)
{
    struct stat st;
    if (sy__stat_in(s, "run.sqlite", &st))
        return 0;
    if (st.st_size < s->db_bytes)
        return sy_err_set(err, SY_E_FORMAT, "%s: %s/run.sqlite was cut by another program",
                          s->where, s->dir.path);
    s->db_bytes = st.st_size;
    return 0;
}

/* At the second look only: who deletes the whole folder is not to find new files in it. */
static int check_db(struct sy_store *s, struct sy_err *err)
{
    struct sy__file now, wal;
    sy__file_note(s, "run.sqlite", &now);
    sy__file_note(s, "run.sqlite-wal", &wal);
    bool whole = now.there && (!s->wal_file.there || sy__file_is(&wal, &s->wal_file));
    bool mend = s->missing;
    s->missing = !whole;
    if (now.there && !sy__file_is(&now, &s->db_file))
        return sy_err_set(err, SY_E_IO, "%s: %s/run.sqlite is another file now", s->where,
                          s->dir.path);
    if (sy__run_dir_check_cut(s, err))
        return -1;
    if (whole && wal.there && !s->wal_file.there)
        s->wal_file = wal;
    if (whole)
        return 0;
    if (!mend)
        return sy_err_set(err, SY_E_IO, "%s: %s/run.sqlite%s was deleted", s->where, s->dir.path,
                          now.there ? "-wal" : "");
    return write_anew(s, err);
}

static int check_lock(struct sy_store *s, struct sy_err *err)
{
    if (has_lock(s))
        return 0;
    struct sy_lock *old = s->owner;
    if (take_lock(s, err)) {
        s->owner = old;
        s->taken |= err->code == SY_E_STATE;
        err->code = SY_E_IO; /* the world's failing, not whoever calls */
        return sy_err_prefix(err, "its lock was deleted");
    }
    sy_lock_sign(s->owner, s->id);
    sy_lock_release(old);
    return 0;
}

int sy__run_dir_check(struct sy_store *s, bool *moved, struct sy_err *err)
{
    enum sy_dir_state state = sy_dir_state(&s->dir);
    *moved = state == SY_DIR_MOVED;
    if (s->taken)
        return sy_err_set(err, SY_E_IO, "%s: its lock was deleted, and another process writes it",
                          s->where);
    atomic_store(&s->lost, state == SY_DIR_REMOVED);
    if (state == SY_DIR_REMOVED)
        return sy_err_set(err, SY_E_IO, "%s: its directory %s was deleted", s->where, s->dir.path);
    return check_lock(s, err) || check_db(s, err) ? -1 : 0;
}

void sy__run_dir_tell_moved(const struct sy_store *s, struct sy_err *err)
{
    char now[SY__PATH_MOST];
    bool known = sy_dir_where(&s->dir, now, sizeof now);
    sy_err_set(err, SY_E_IO, "%s: its directory %s was moved%s%s: it is written there", s->where,
               s->dir.path, known ? " to " : "", known ? now : "");
}

bool sy_store_lost(struct sy_store *s) { return atomic_load(&s->lost); }

/* ---- all of it anew ---- */

int sy__run_dir_inherit(struct sy_store *s, struct sy_store *from, struct sy_err *err)
{
    char path[SY__PATH_MOST];
    if (s->writable || !s->building || sy__run_path(path, s->dir.path, "run.sqlite.new", err))
        return sy_err_set(err, SY_E_STATE, "%s is there already", s->where);
    int rc = copy_db(from, path, err);
    if (!rc) {
        sy__db_close(s);
        for (int i = 1; i < SY__DB_FILES; i++)
            unlinkat(s->dir.fd, sy__db_files[i], 0);
        rc = renameat(s->dir.fd, "run.sqlite.new", s->dir.fd, "run.sqlite")
                 ? sy_err_sys(err, errno, "%s: cannot write run.sqlite anew", s->where)
                 : sy__run_dir_finish(s, err);
    }
    return rc;
}
