/* All runs of a folder.  See store.h. */
#include "run/store_int.h"

#include "base/grow.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void sy_run_locate(const char *word, char room[4096], const char **folder, const char **name)
{
    size_t n = strlen(word);
    while (n > 1 && word[n - 1] == '/')
        n--;
    *folder = sy_runs_dir();
    *name = word;
    if (n >= 4096 || !memchr(word, '/', n))
        return; /* the name is looked at when it is opened */
    memcpy(room, word, n);
    room[n] = 0;
    char *slash = strrchr(room, '/');
    *slash = 0;
    *folder = slash > room ? room : "/";
    *name = slash + 1;
}

const char *sy_run_word(const char *path, const char *name)
{
    const char *dir = sy_runs_dir();
    size_t n = strlen(dir);
    bool there = !path || (!strncmp(path, dir, n) && path[n] == '/' && !strcmp(path + n + 1, name));
    return there ? name : path;
}

static bool has_store(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s/run.sqlite", dir, name);
    return n < (int)sizeof path && sy_store_name_ok(name, NULL) && !stat(path, &st);
}

/* Whatever is wrong with a run, it stands in the list. */
static void describe(const char *dir, const char *name, struct sy_store_info *out)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store *s = sy_store_open_read(dir, name, &err);
    memset(out, 0, sizeof *out);
    if (s)
        sy_store_info(s, out, &err);
    sy_store_close(s, NULL);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->error = err;
    if (err.code)
        out->status.state = err.code == SY_E_FORMAT ? SY_RUN_DAMAGED : SY_RUN_UNREADABLE;
}

static int older(const void *a, const void *b)
{
    const struct sy_store_info *x = a, *y = b;
    return x->created < y->created ? -1 : x->created > y->created ? 1 : strcmp(x->name, y->name);
}

void sy_runs_free(struct sy_runs *runs)
{
    for (int i = 0; i < runs->count; i++)
        sy_store_info_free(&runs->list[i]);
    sy_free(runs->list);
    *runs = (struct sy_runs){0};
}

int sy_runs_list(const char *path, struct sy_runs *out, struct sy_err *err)
{
    struct dirent *e;
    *out = (struct sy_runs){0};
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : sy_err_sys(err, errno, "runs: cannot read %s", path);
    size_t room = 0;
    int rc = 0;
    while (!rc && (e = readdir(dir))) {
        if (!has_store(path, e->d_name))
            continue;
        if (SY_GROW(out->list, room, out->count + 1)) {
            rc = sy_err_set(err, SY_E_MEMORY, "runs: out of memory");
            break;
        }
        describe(path, e->d_name, &out->list[out->count++]);
    }
    closedir(dir);
    if (rc)
        sy_runs_free(out);
    else if (out->count)
        qsort(out->list, (size_t)out->count, sizeof *out->list, older);
    return rc;
}
