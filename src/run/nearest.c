/* The run that was meant by a name that no run has: for the message that says so.  See
 * store_int.h. */
#include "run/store_int.h"

#include "base/find.h"
#include "base/grow.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct found {
    char **list; /* owned, as each is; a NULL at the end */
    size_t room;
    int count;
};

static bool is_run(const char *folder, const char *name)
{
    char path[4096];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s/run.sqlite", folder, name);
    return *name != '.' && n < (int)sizeof path && !stat(path, &st);
}

/* Without memory there are fewer. */
static void add_found(struct found *f, const char *name)
{
    char *copy = SY_GROW(f->list, f->room, f->count + 2) ? NULL : sy_strdup(name);
    if (!copy)
        return;
    f->list[f->count++] = copy;
    f->list[f->count] = NULL;
}

static void find_runs(const char *folder, struct found *f)
{
    struct dirent *e;
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    while ((e = readdir(dir)))
        if (is_run(folder, e->d_name))
            add_found(f, e->d_name);
    closedir(dir);
    if (f->count)
        qsort(f->list, (size_t)f->count, sizeof *f->list, sy_by_name); /* the order is nobody's */
}

void sy__run_nearest(const char *folder, const char *name, struct sy_str *out)
{
    struct found f = {0};
    find_runs(folder, &f);
    const char *near = f.count ? sy_nearest(name, (const char *const *)f.list) : NULL;
    if (near)
        sy_str_puts(out, near);
    for (int i = 0; i < f.count; i++)
        sy_free(f.list[i]);
    sy_free(f.list);
}
