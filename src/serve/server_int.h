/* Shared by server.c (the thread, and what others call) and client.c (one client). */
#ifndef SY_SERVE_SERVER_INT_H
#define SY_SERVE_SERVER_INT_H

#include "serve/server.h"
#include "serve/socket.h"

#include "base/str.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY__READ_BYTES 65536

struct sy__client {
    int64_t id; /* from 1; 0: no client is here */
    int fd;
    struct sy_str in, out; /* of a line that has not ended; from sent on to be written */
    size_t sent;
    int pending;            /* requests without an answer */
    enum sy_serve_hears hears;
    int64_t lost;           /* events left out since the last that was written */
    bool skips, ended, bad; /* the rest of a long line; sent all; to be closed */
};

struct sy__request {
    struct sy__request *next;
    int64_t client;
    size_t n;
    char line[];
};

struct sy_server {
    struct sy_socket socket;
    void (*wake)(void);
    int pipe[2];
    pthread_t thread;
    char *room; /* SY__READ_BYTES, the thread's */
    bool running;
    atomic_int hear[SY_HEARS_STEPS + 1]; /* how many hear at least this */
    pthread_mutex_t lock; /* what follows */
    bool closing, full; /* full: no descriptors, until a client goes, or a while */
    int64_t last;
    struct sy__client clients[SY_SERVE_CLIENTS];
    struct sy__request *first, **end;
};

/* All with the lock held. */
void sy__client_hears(struct sy_server *s, struct sy__client *c, enum sy_serve_hears what);
void sy__client_drop(struct sy_server *s, struct sy__client *c);
/* One line; n: without its end. */
void sy__client_put(struct sy__client *c, const char *line, size_t n);
void sy__client_tell(struct sy__client *c, const char *line, size_t n); /* an event */
void sy__client_write(struct sy__client *c); /* as far as it goes at once */
/* False: no memory. */
bool sy__client_post(struct sy_server *s, struct sy__client *c, const char *line, size_t n);
/* room: SY__READ_BYTES.  Whether a request came. */
bool sy__client_read(struct sy_server *s, struct sy__client *c, char *room);
short sy__client_wants(const struct sy__client *c); /* events of poll */

#endif
