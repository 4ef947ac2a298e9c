/* The files in a run's folder: which they are, and whether they are those that we have open.  See
 * store.h and run_files_int.h. */
#include "run/run_files_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SHM_UNIT 32768 /* SQLite's: -shm has a multiple of it */

const char *const sy__db_files[SY__DB_FILES] = {"run.sqlite", "run.sqlite-wal", "run.sqlite-shm",
                                              "run.sqlite-journal"};

int sy__run_path(char out[SY__PATH_MOST], const char *dir, const char *name, struct sy_err *err)
{
    return (size_t)snprintf(out, SY__PATH_MOST, "%s/%s", dir, name) < SY__PATH_MOST
               ? 0
               : sy_err_set(err, SY_E_RANGE, "run: the path is too long: %s", dir);
}

/* stat of a file in the store's folder. */
int sy__stat_in(const struct sy_store *s, const char *name, struct stat *st)
{
    return fstatat(s->dir.fd, name, st, AT_SYMLINK_NOFOLLOW);
}

int sy__run_dir_check_files(const struct sy_store *s, struct sy_err *err)
{
    struct stat st;
    for (int i = 0; i < SY__DB_FILES; i++)
        if (!sy__stat_in(s, sy__db_files[i], &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            return sy_err_set(err, SY_E_IO, "%s: %s/%s is %s", s->where, s->dir.path,
                              sy__db_files[i],
                              S_ISLNK(st.st_mode) ? "a symbolic link" : "not a regular file");
    return 0;
}

void sy__file_note(const struct sy_store *s, const char *name, struct sy__file *f)
{
    struct stat st;
    *f = sy__stat_in(s, name, &st) ? (struct sy__file){0}
                                   : (struct sy__file){true, st.st_dev, st.st_ino};
}

bool sy__file_is(const struct sy__file *a, const struct sy__file *b)
{
    return a->there && b->there && a->device == b->device && a->inode == b->inode;
}

void sy__run_dir_opened(struct sy_store *s)
{
    struct stat st;
    sy__file_note(s, "run.sqlite", &s->db_file);
    s->cuts = sy__shm_cuts();
    s->wal_file.there = false; /* it is made when it is needed */
    s->db_bytes = sy__stat_in(s, "run.sqlite", &st) ? 0 : st.st_size;
    s->shm_bytes = 0;
}

/* May SQLite delete what is called run.sqlite-wal and -shm when it closes? */
bool sy__run_dir_is_ours(const struct sy_store *s)
{
    struct sy__file now;
    sy__file_note(s, "run.sqlite", &now);
    return sy_dir_state(&s->dir) == SY_DIR_NAMED && sy__file_is(&now, &s->db_file);
}

/* See shm.c: the file is made as long as it was, and the index in it anew. */
bool sy__run_dir_guard(struct sy_store *s)
{
    struct stat st;
    unsigned cuts = sy__shm_cuts();
    bool cut = s->cuts != cuts;
    s->cuts = cuts;
    if (s->dir.fd < 0 || sy__stat_in(s, "run.sqlite-shm", &st) || !S_ISREG(st.st_mode))
        return cut;
    struct sy__file now = {true, st.st_dev, st.st_ino};
    if (!sy__file_is(&now, &s->shm_file)) /* another than was cut */
        s->shm_bytes = 0;
    s->shm_file = now;
    if (st.st_size > s->shm_bytes && st.st_size % SHM_UNIT == 0)
        s->shm_bytes = st.st_size;
    char place[SY__PATH_MOST], path[SY__PATH_MOST];
    /* By its name: to close a descriptor of it would end SQLite's locks on it (fcntl(2)). */
    if (st.st_size < s->shm_bytes && sy_dir_where(&s->dir, place, sizeof place) &&
        !sy__run_path(path, place, "run.sqlite-shm", NULL)) {
        cut = true;
        (void)!truncate(path, s->shm_bytes);
    }
    if (cut)
        sy__shm_forget(&st);
    return cut;
}
