/* Lock files.  See lock.h. */
#include "run/lock.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 100 /* of opening a file that others remove meanwhile */

struct sy_lock {
    int fd;
};

/* The text of a lock file: "process start boot host". */
struct owner {
    int64_t pid;
    char start[24], boot[40], host[68];
};

static bool read_text(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, room - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = 0;
    return n > 0;
}

/* Start of a process in ticks since the boot: field 22 of its stat; the name before may hold
 * anything. */
static void start_of(int64_t pid, char start[24])
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    *start = 0;
    if (!read_text(path, text, sizeof text))
        return;
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        snprintf(start, 24, "%.*s", (int)strspn(at + 1, "0123456789"), at + 1);
}

static void boot_id(char boot[40])
{
    if (!read_text("/proc/sys/kernel/random/boot_id", boot, 40))
        strcpy(boot, "-");
    boot[strcspn(boot, "\n")] = 0;
}

static void describe_self(char *text, size_t room)
{
    struct owner o = {.pid = getpid()};
    start_of(o.pid, o.start);
    boot_id(o.boot);
    if (gethostname(o.host, sizeof o.host - 1))
        strcpy(o.host, "-");
    o.host[strcspn(o.host, " \n")] = 0;
    snprintf(text, room, "%" PRId64 " %s %s %s\n", o.pid, *o.start ? o.start : "0", o.boot, o.host);
}

static bool read_owner(const char *path, struct owner *o)
{
    char text[256];
    memset(o, 0, sizeof *o);
    return read_text(path, text, sizeof text) &&
           sscanf(text, "%" SCNd64 " %23s %39s %67s", &o->pid, o->start, o->boot, o->host) == 4 &&
           o->pid > 0;
}

static bool seems_alive(const struct owner *o)
{
    char start[24], boot[40];
    boot_id(boot);
    start_of(o->pid, start);
    return o->pid > 0 && *start && !strcmp(boot, o->boot) && !strcmp(start, o->start);
}

/* 1: locked (or free, when asking), 0: someone else's, -1: no locks here. */
static int try_lock(int fd, int command)
{
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, command, &f))
        return errno == EAGAIN || errno == EACCES ? 0 : -1;
    return command != F_OFD_GETLK || f.l_type == F_UNLCK;
}

static int refuse(const char *path, const char *what, struct sy_err *err)
{
    struct owner o;
    /* The owner writes its name just after it has the lock. */
    for (int i = 0; i < 20 && !(read_owner(path, &o) && seems_alive(&o)); i++)
        sy_sleep(0.005);
    if (!o.pid)
        return sy_err_set(err, SY_E_STATE, "%s is being written by another process", what);
    char boot[40];
    boot_id(boot);
    bool here = !strcmp(boot, o.boot);
    return sy_err_set(err, SY_E_STATE, "%s is being written by process %" PRId64 "%s%s", what,
                      o.pid, here ? "" : " on ", here ? "" : o.host);
}

/* The file's text is for others' messages only: a full disk does not keep us from locking. */
static void sign(int fd)
{
    char text[256];
    describe_self(text, sizeof text);
    if (pwrite(fd, text, strlen(text), 0) > 0)
        (void)!ftruncate(fd, (off_t)strlen(text));
}

/* Is fd still the file of that name, or did its owner remove it after we opened it? */
static bool is_named(int fd, const char *path)
{
    struct stat ours, named;
    return !fstat(fd, &ours) && !stat(path, &named) && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

/* The file, open; *rc as try_lock, for a file system without locks by its word.  -1: errno. */
static int open_locked(const char *path, int *rc)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct owner o;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return -1;
        *rc = try_lock(fd, F_OFD_SETLK);
        if (*rc < 0)
            *rc = !(read_owner(path, &o) && seems_alive(&o));
        if (!*rc || is_named(fd, path))
            return fd;
        close(fd);
    }
    errno = ESTALE; /* a file system that says other things of a name than of its file */
    return -1;
}

struct sy_lock *sy_lock_take(const char *path, const char *what, struct sy_err *err)
{
    int rc, fd = open_locked(path, &rc);
    if (fd < 0) {
        sy_err_sys(err, errno, "%s: cannot open %s", what, path);
        return NULL;
    }
    struct sy_lock *lock = rc ? sy_alloc(sizeof *lock) : NULL;
    if (!lock) {
        close(fd);
        if (!rc)
            refuse(path, what, err);
        else
            sy_err_set(err, SY_E_MEMORY, "%s: out of memory", what);
        return NULL;
    }
    lock->fd = fd;
    sign(fd);
    return lock;
}

void sy_lock_release(struct sy_lock *lock)
{
    if (!lock)
        return;
    /* For 2.: a process that goes on without the lock must not seem to own it. */
    (void)!ftruncate(lock->fd, 0);
    close(lock->fd);
    sy_free(lock);
}

bool sy_lock_held(const char *path, int64_t *pid)
{
    struct owner o;
    bool named = read_owner(path, &o);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? 1 : try_lock(fd, F_OFD_GETLK);
    if (fd >= 0)
        close(fd);
    if (pid)
        *pid = named ? o.pid : 0;
    return rc < 0 ? named && seems_alive(&o) : !rc;
}
