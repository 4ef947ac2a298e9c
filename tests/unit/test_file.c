/* Reading, atomic replacement, folders. */
#include "unit/tap.h"

#include "base/clock.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/sy-test-file-XXXXXX";

static const char *path(const char *name)
{
    static char text[4][300];
    static int turn;
    char *out = text[turn++ % 4];
    snprintf(out, sizeof text[0], "%s/%s", folder, name);
    return out;
}

static void replacing(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str s = SY_STR_INIT;
    tap_ok(sy_file_replace(path("a"), "one", 3, &err) == 0, "new file %s", err.msg);
    tap_ok(sy_file_replace(path("a"), "second", 6, &err) == 0, "replaced %s", err.msg);
    sy_str_puts(&s, ">");
    tap_ok(sy_file_read(path("a"), 0, &s, &err) == 0, "read %s", err.msg);
    tap_is_str(s.data, ">second", "appended");
    sy_str_free(&s);
    tap_ok(sy_file_replace(path("none/a"), "x", 1, &err) == -1 && err.code == SY_E_NOTFOUND,
           "no such folder: %s", err.msg);
    char command[400];
    snprintf(command, sizeof command, "test \"$(ls %s)\" = a", folder);
    tap_ok(system(command) == 0, "no temporary is left");
}

/* Every kind of what may bear a file's name; nobody may wait for the pipe's other end (the whole
 * test would). */
static void opening(void)
{
    struct stat st;
    struct sy_err err = SY_ERR_INIT;
    struct sy_str s = SY_STR_INIT;
    int at = open(folder, O_RDONLY | O_DIRECTORY), fd = sy_file_open(at, "a", O_RDONLY);
    tap_ok(fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode), "a file, by its folder");
    close(fd);
    tap_ok(!mkfifo(path("pipe"), 0600) && sy_file_open(at, "pipe", O_RDONLY) == -1 &&
               errno == SY_NOT_A_FILE, "a named pipe is not waited for");
    tap_ok(sy_file_open(at, "pipe", O_RDWR) == -1 && errno == SY_NOT_A_FILE, "nor for writing");
    tap_ok(sy_file_read(path("pipe"), 0, &s, &err) == -1 && strstr(err.msg, "not a regular file"),
           "%s", err.msg);
    tap_ok(sy_file_open(AT_FDCWD, "/dev/null", O_RDWR) == -1 && errno == SY_NOT_A_FILE, "a device");
    tap_ok(sy_file_open(AT_FDCWD, folder, O_RDONLY) == -1 && errno == EISDIR, "a folder");
    tap_ok(sy_file_open(at, "none", O_RDONLY) == -1 && errno == ENOENT, "nothing");
    tap_ok(!symlink("a", path("link")) && (fd = sy_file_open(at, "link", O_RDONLY)) >= 0,
           "a link to a file");
    close(fd);
    tap_ok(sy_file_open(at, "link", O_RDWR | O_CREAT | O_NOFOLLOW) == -1 && errno == SY_IS_A_LINK,
           "that is not to be followed");
    tap_ok(!symlink("new", path("to-none")) &&
               sy_file_open(at, "to-none", O_RDWR | O_CREAT | O_NOFOLLOW) == -1 &&
               access(path("new"), F_OK), "nor is its target made");
    close(at);
    sy_str_free(&s);
}

/* A folder that is held open: what is done in it is done there, whatever has its name. */
static void held(void)
{
    struct sy_err err = SY_ERR_INIT, none = SY_ERR_INIT;
    struct sy_dir d, sub;
    struct stat st;
    char where[300];
    tap_ok(!sy_dir_open(&d, NULL, path("held/deep"), true, &err), "made with its parents %s",
           err.msg);
    sy_dir_close(&d);
    tap_ok(!sy_dir_open(&d, NULL, path("held"), false, &err) && sy_dir_state(&d) == SY_DIR_NAMED,
           "open");
    const char *p = path("held/x"), *q = path("held-back/x"), *r = path("held");
    tap_ok(sy_dir_at(&d, &p) == d.fd && !strcmp(p, "x"), "a path in it");
    tap_ok(sy_dir_at(&d, &q) == AT_FDCWD && *q == '/', "one that begins alike is not");
    tap_ok(sy_dir_at(&d, &r) == d.fd && !strcmp(r, "."), "nor is it missing in itself");
    rename(path("held"), path("moved"));
    mkdir(path("held"), 0777);
    tap_ok(sy_dir_state(&d) == SY_DIR_MOVED && sy_dir_where(&d, where, sizeof where) &&
               strstr(where, "/moved"), "moved to %s", where);
    tap_ok(!sy_dir_open(&sub, &d, path("held/new"), true, &err) && !stat(path("moved/new"), &st) &&
               stat(path("held/new"), &st),
           "a folder is made in it, not in what has its name %s", err.msg);
    sy_dir_close(&sub);
    tap_ok(!symlink("/", path("moved/out")) &&
               sy_dir_open(&sub, &d, path("held/out"), false, &err) == -1 &&
               strstr(err.msg, "symbolic link"), "a link is not entered: %s", err.msg);
    tap_ok(!sy_dir_stat(&d, path("held/out"), &st) && S_ISLNK(st.st_mode), "and seen as one");
    tap_ok(!sy_dir_remove(NULL, path("moved"), &none) && sy_dir_state(&d) == SY_DIR_REMOVED &&
               !access("/", F_OK), "deleted with all in it, links as links %s", none.msg);
    tap_ok(!sy_dir_where(&d, where, sizeof where), "it is nowhere");
    tap_ok(!sy_dir_remove(NULL, path("moved"), &none), "deleted already");
    sy_dir_close(&d);
    rmdir(path("held"));
}

static void reading(void)
{
    struct sy_err missing = SY_ERR_INIT, dir = SY_ERR_INIT, large = SY_ERR_INIT;
    struct sy_str s = SY_STR_INIT;
    tap_ok(sy_file_read(path("b"), 0, &s, &missing) == -1 && missing.code == SY_E_NOTFOUND &&
               strstr(missing.msg, "/b"),
           "%s", missing.msg);
    tap_ok(sy_file_read(folder, 0, &s, &dir) == -1 && dir.code == SY_E_IO, "%s", dir.msg);
    tap_ok(sy_file_read(path("a"), 5, &s, &large) == -1 && large.code == SY_E_RANGE, "%s",
           large.msg);
    tap_ok(sy_file_read(path("a"), 6, &s, NULL) == 0 && s.len == 6, "exactly at the limit");
    sy_str_clear(&s);
    tap_ok(sy_file_read("/proc/self/status", 0, &s, NULL) == 0 && s.len > 100,
           "a file that does not know its size");
    sy_str_clear(&s);
    large = (struct sy_err)SY_ERR_INIT;
    tap_ok(sy_file_read("/dev/zero", 1 << 20, &s, &large) == -1 && large.code == SY_E_IO,
           "a device: %s", large.msg);
    sy_str_free(&s);
    sy_file_replace(path("empty"), "", 0, NULL);
    tap_ok(sy_file_read(path("empty"), 0, &s, NULL) == 0 && s.len == 0 && s.data, "an empty file");
    sy_str_free(&s);
}

/* Of processes that were killed while they wrote. */
static void stale(void)
{
    struct stat st;
    sy_file_replace(path("k"), "old", 3, NULL);
    sy_file_replace(path("k.tmp-2147483646-0"), "half", 4, NULL); /* no such process */
    sy_file_replace(path("k.tmp-1-0"), "half", 4, NULL);          /* there is always one */
    sy_file_replace(path("k.tmp-2147483646-x"), "mine", 4, NULL);
    sy_file_replace(path("kk.tmp-2147483646-0"), "mine", 4, NULL);
    tap_ok(!sy_file_replace(path("k"), "new", 3, NULL) && stat(path("k.tmp-2147483646-0"), &st) &&
               errno == ENOENT,
           "what a process that was killed has left goes with the next write");
    tap_ok(!stat(path("k.tmp-1-0"), &st) && !stat(path("k.tmp-2147483646-x"), &st) &&
               !stat(path("kk.tmp-2147483646-0"), &st),
           "and nothing else");
}

static void folders(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct stat st;
    tap_ok(sy_dir_make(path("x/y//z/"), &err) == 0 && stat(path("x/y/z"), &st) == 0, "parents %s",
           err.msg);
    tap_ok(sy_dir_make(path("x/y"), &err) == 0 && sy_dir_make("/", &err) == 0, "existing");
    tap_ok(sy_dir_make(path("a/b"), &err) == -1 && err.code == SY_E_IO, "%s", err.msg);
}

/* Replacing with each allocation failing: the old contents stay, or the new are there. */
static void out_of_memory(void)
{
    int bad = 0, at = 1;
    for (;; at++) {
        struct sy_str s = SY_STR_INIT;
        struct sy_err err = SY_ERR_INIT;
        sy_mem_fail_at((uint64_t)at);
        int status = sy_file_replace(path("a"), "third", 5, &err);
        sy_mem_fail_at(0);
        sy_file_read(path("a"), 0, &s, NULL);
        bad += strcmp(s.data, "second") != 0 && strcmp(s.data, "third") != 0;
        bad += status != 0 && err.code == SY_E_OK;
        sy_str_free(&s);
        if (status == 0)
            break;
    }
    tap_ok(bad == 0 && at > 1, "out of memory at each of %d allocations", at - 1);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    held();
    replacing();
    reading();
    opening();
    stale();
    folders();
    out_of_memory();
    double from = sy_now();
    sy_sleep(0.01);
    tap_ok(sy_now() - from >= 0.01 && sy_wall() > 1.6e9, "clocks");
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    tap_ok(system(command) == 0, "cleaned up");
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
