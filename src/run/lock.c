/* Lock files.  See lock.h. */
#include "run/lock.h"

#include "base/clock.h"
#include "base/dir.h"
#include "base/file.h"
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

static int open_in(const struct sy_dir *in, const char *path, int flags)
{
    int at = sy_dir_at(in, &path);
    return sy_file_open(at, path, flags | O_NOFOLLOW);
}

static bool read_text(const struct sy_dir *in, const char *path, char *text, size_t room)
{
    int fd = open_in(in, path, O_RDONLY);
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
    if (!read_text(NULL, path, text, sizeof text))
        return;
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        snprintf(start, 24, "%.*s", (int)strspn(at + 1, "0123456789"), at + 1);
}

static void boot_id(char boot[40])
{
    if (!read_text(NULL, "/proc/sys/kernel/random/boot_id", boot, 40))
        strcpy(boot, "-");
    boot[strcspn(boot, "\n")] = 0;
}

static void describe_self(const char *id, char *text, size_t room)
{
    struct owner o = {.pid = getpid()};
    start_of(o.pid, o.start);
    boot_id(o.boot);
    if (gethostname(o.host, sizeof o.host - 1))
        strcpy(o.host, "-");
    o.host[strcspn(o.host, " \n")] = 0;
    snprintf(text, room, "%" PRId64 " %s %s %s%s%s\n", o.pid, *o.start ? o.start : "0", o.boot,
             o.host, *id ? " " : "", id);
}

static bool read_owner(const struct sy_dir *in, const char *path, struct owner *o)
{
    char text[256];
    memset(o, 0, sizeof *o);
    return read_text(in, path, text, sizeof text) &&
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

static int refuse_lock(const struct sy_dir *in, const char *path, const char *what,
                       struct sy_err *err)
{
    struct owner o;
    /* The owner writes its name just after it has the lock. */
    for (int i = 0; i < 20 && !(read_owner(in, path, &o) && seems_alive(&o)); i++)
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
void sy_lock_sign(struct sy_lock *lock, const char *id)
{
    char text[256];
    describe_self(id, text, sizeof text);
    if (pwrite(lock->fd, text, strlen(text), 0) > 0)
        (void)!ftruncate(lock->fd, (off_t)strlen(text));
}

/* The file, open; *rc as try_lock, for a file system without locks by its word.  -1: errno. */
static int open_locked(const struct sy_dir *in, const char *path, int *rc)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct owner o;
        int fd = open_in(in, path, O_RDWR | O_CREAT);
        if (fd < 0)
            return -1;
        *rc = try_lock(fd, F_OFD_SETLK);
        if (*rc < 0)
            *rc = !(read_owner(in, path, &o) && seems_alive(&o));
        if (!*rc || sy_dir_has(in, path, fd))
            return fd;
        close(fd);
    }
    errno = ESTALE; /* a file system that says other things of a name than of its file */
    return -1;
}

bool sy_lock_named(const struct sy_lock *lock, const struct sy_dir *in, const char *path)
{
    return sy_dir_has(in, path, lock->fd);
}

struct sy_lock *sy_lock_take(const struct sy_dir *in, const char *path, const char *what,
                             struct sy_err *err)
{
    int rc, fd = open_locked(in, path, &rc);
    if (fd < 0) {
        sy_err_sys(err, errno, "%s: cannot open %s", what, path);
        return NULL;
    }
    struct sy_lock *lock = rc ? sy_alloc(sizeof *lock) : NULL;
    if (!lock) {
        close(fd);
        if (!rc)
            refuse_lock(in, path, what, err);
        else
            sy_err_set(err, SY_E_MEMORY, "%s: out of memory", what);
        return NULL;
    }
    lock->fd = fd;
    sy_lock_sign(lock, "");
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
    bool named = read_owner(NULL, path, &o);
    int fd = open_in(NULL, path, O_RDONLY);
    int rc = fd < 0 ? 1 : try_lock(fd, F_OFD_GETLK);
    if (fd >= 0)
        close(fd);
    if (pid)
        *pid = named ? o.pid : 0;
    return rc < 0 ? named && seems_alive(&o) : !rc;
}
