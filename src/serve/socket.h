/* A Unix socket with a name in the file system, for the same user alone.  Layer serve.
 *
 *  1. Its mode is 0600 from its first moment.
 *  2. A name that a dead process left is taken over, under a lock of its folder, so that of two who
 *     find it one gets it.  What listens, or is no socket, is not touched.
 *  3. Only the name that is still ours is removed. */
#ifndef SY_SERVE_SOCKET_H
#define SY_SERVE_SOCKET_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct sy_socket {
    int fd; /* listens, does not wait; -1: none */
    char *path; /* owned */
    dev_t device;
    ino_t inode;
};

/* Before there are other threads: the mode goes by the process's umask.  0, or -1: RANGE: the path
 * is too long; STATE: it is taken; IO. */
int sy_socket_listen(struct sy_socket *s, const char *path, struct sy_err *err);
void sy_socket_close(struct sy_socket *s); /* and its name goes */
/* One that has connected, does not wait: a descriptor; -1: nobody; -2: another user, who is gone;
 * -3: the process may have no more descriptors now. */
int sy_socket_accept(const struct sy_socket *s);

#endif
