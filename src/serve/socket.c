/* See socket.h; unix(7). */
#include "serve/socket.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static int make_address(const char *path, struct sockaddr_un *a, struct sy_err *err)
{
    const int most = (int)sizeof a->sun_path - 1;
    size_t n = strlen(path);
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!n)
        return sy_err_set(err, SY_E_RANGE, "serve: the path of the socket is empty");
    if (n > (size_t)most)
        return sy_err_set(err, SY_E_RANGE,
                          "serve: the path of a socket has at most %d bytes: '%.40s...' has %zu",
                          most, path, n);
    memcpy(a->sun_path, path, n + 1);
    return 0;
}

static int bind_private(int fd, const struct sockaddr_un *a)
{
    mode_t before = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)a, sizeof *a) ? errno : 0;
    umask(before);
    return rc;
}

/* Does anyone listen there? */
static bool is_live(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)a, sizeof *a);
    bool live = rc == 0 || errno != ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return live;
}

/* The name is there: it goes if a dead process left it. */
static int clear_name(const struct sockaddr_un *a, struct sy_err *err)
{
    struct stat st;
    if (lstat(a->sun_path, &st))
        return errno == ENOENT ? 0 : sy_err_sys(err, errno, "serve: %s", a->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return sy_err_set(err, SY_E_STATE, "serve: %s is there and is no socket", a->sun_path);
    if (is_live(a))
        return sy_err_set(err, SY_E_STATE, "serve: another process listens at %s", a->sun_path);
    return unlink(a->sun_path) ? sy_err_sys(err, errno, "serve: %s", a->sun_path) : 0;
}

/* The folder of a path, locked until it is closed; or -1 and errno. */
static int lock_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? sy_strdup(".")
                          : sy_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    sy_free(folder);
    if (fd >= 0 && flock(fd, LOCK_EX)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int take_name(int fd, const struct sockaddr_un *a, struct sy_err *err)
{
    int folder = lock_folder(a->sun_path);
    if (folder < 0)
        return sy_err_sys(err, errno, "serve: the folder of %s", a->sun_path);
    int rc = bind_private(fd, a), result = 0;
    if (rc == EADDRINUSE) {
        result = clear_name(a, err);
        rc = result ? 0 : bind_private(fd, a);
    }
    if (rc)
        result = sy_err_sys(err, rc, "serve: %s", a->sun_path);
    close(folder);
    return result;
}

int sy_socket_listen(struct sy_socket *s, const char *path, struct sy_err *err)
{
    struct sockaddr_un a;
    struct stat st;
    *s = (struct sy_socket){.fd = -1};
    if (make_address(path, &a, err))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return sy_err_sys(err, errno, "serve: %s", path);
    if (!(s->path = sy_strdup(path))) {
        close(fd);
        return sy_err_set(err, SY_E_MEMORY, "serve: out of memory");
    }
    if (take_name(fd, &a, err)) {
        close(fd);
        sy_socket_close(s);
        return -1;
    }
    s->fd = fd;
    if (!lstat(path, &st)) {
        s->device = st.st_dev;
        s->inode = st.st_ino;
    }
    if (!listen(fd, BACKLOG))
        return 0;
    sy_err_sys(err, errno, "serve: %s", path);
    sy_socket_close(s);
    return -1;
}

void sy_socket_close(struct sy_socket *s)
{
    struct stat st;
    if (s->fd >= 0 && !lstat(s->path, &st) && st.st_dev == s->device && st.st_ino == s->inode)
        unlink(s->path);
    if (s->fd >= 0)
        close(s->fd);
    sy_free(s->path);
    *s = (struct sy_socket){.fd = -1};
}

int sy_socket_accept(const struct sy_socket *s)
{
    struct ucred peer = {0};
    socklen_t n = sizeof peer;
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? -3 : -1;
    if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) && peer.uid == geteuid())
        return fd;
    close(fd);
    return -2;
}
