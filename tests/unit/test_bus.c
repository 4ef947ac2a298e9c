/* SIGBUS of mapped files: a file that is cut reads as zeros and says so, its neighbours are left
 * alone, and what is no fault of a mapping goes where it went before. */
#include "unit/tap.h"

#include "base/bus.h"
#include "base/mapping.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGES = 3 };
static size_t page;

static atomic_int asked, handled;

/* As a minder that takes every address for its own. */
static bool greedy(uintptr_t at)
{
    (void)at;
    return atomic_fetch_add(&asked, 1) >= 0;
}

static void on_other(int sig)
{
    (void)sig;
    atomic_fetch_add(&handled, 1);
}

/* A file of PAGES pages of `byte`, mapped; *fd stays open. */
static struct sy_mapping *file_of(int byte, int *fd)
{
    char path[] = "/tmp/test_bus.XXXXXX";
    *fd = mkstemp(path);
    unlink(path);
    char *bytes = malloc(PAGES * page);
    memset(bytes, byte, PAGES * page);
    bool written = write(*fd, bytes, PAGES * page) == (ssize_t)(PAGES * page);
    free(bytes);
    return written ? sy_mapping_open(*fd, "test", "file", NULL) : NULL;
}

static int last_of(const struct sy_mapping *m)
{
    return ((const volatile unsigned char *)sy_mapping_data(m))[PAGES * page - 1];
}

static void test_cut(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct stat st;
    int fd[3];
    struct sy_mapping *first = file_of(1, &fd[0]), *cut = file_of(2, &fd[1]);
    fstat(fd[1], &st);
    sy_mapping_close(first); /* its place is the next one's */
    struct sy_mapping *next = file_of(3, &fd[2]);
    tap_ok(last_of(cut) == 2 && last_of(next) == 3 && !sy_mapping_check(cut, "test", &err),
           "mapped");
    tap_ok(!ftruncate(fd[1], (off_t)page) && last_of(cut) == 0, "beyond the end: zeros");
    tap_ok(sy_mapping_data(cut)[0] == 2 && last_of(next) == 3,
           "what is there stays, and so does another file");
    tap_ok(sy_mapping_check(cut, "test", &err) && strstr(err.msg, "changed while it was mapped") &&
               !sy_mapping_check(next, "test", NULL),
           "and says so");
    const struct timespec as_before[2] = {st.st_atim, st.st_mtim};
    tap_ok(!ftruncate(fd[1], (off_t)(PAGES * page)) && !futimens(fd[1], as_before) &&
               sy_mapping_check(cut, "test", NULL),
           "for ever, also when the file is as long and as old as before");
    sy_mapping_close(cut);
    sy_mapping_close(next);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}

/* Last: greedy stays, and the handler of before is back. */
static void test_sent(void)
{
    struct sigaction other = {.sa_handler = on_other};
    int fd;
    sigaction(SIGBUS, &other, NULL);
    sy_bus_mind(greedy);
    struct sy_mapping *m = file_of(4, &fd);
    tap_ok(!ftruncate(fd, 0) && last_of(m) == 0 && !atomic_load(&asked) && !atomic_load(&handled),
           "another handler: a fault of a mapping does not come to it");
    raise(SIGBUS);
    tap_is_int(atomic_load(&handled), 1, "a signal that was sent does");
    tap_is_int(atomic_load(&asked), 0, "and no minder is asked: it has no address");
    sy_mapping_close(m);
    close(fd);
}

int main(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    test_cut();
    test_sent();
    return tap_done();
}
