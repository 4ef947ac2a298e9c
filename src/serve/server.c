/* See server.h.  One thread polls; a pipe wakes it when there is something to be written. */
#include "serve/server_int.h"

#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sy__client *find_client(struct sy_server *s, int64_t id)
{
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (id && s->clients[i].id == id)
            return &s->clients[i];
    return NULL;
}

static void greet(struct sy_server *s, int fd)
{
    static const char full[] = "{\"id\":null,\"error\":{\"code\":\"busy\",\"message\":\"serve: "
                               "too many connections\"}}\n";
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (!s->clients[i].id) {
            s->clients[i] = (struct sy__client){.id = ++s->last, .fd = fd};
            return;
        }
    ssize_t n = send(fd, full, sizeof full - 1, MSG_NOSIGNAL);
    (void)n; /* it is closed in any case */
    close(fd);
}

/* ---- the thread ---- */

/* who[i]: the client of p[2 + i]. */
static int fill_poll(struct sy_server *s, struct pollfd *p, int *who)
{
    int n = 0;
    p[0] = (struct pollfd){.fd = s->full ? -1 : s->socket.fd, .events = POLLIN};
    p[1] = (struct pollfd){.fd = s->pipe[0], .events = POLLIN};
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (s->clients[i].id) {
            who[n] = i;
            p[2 + n++] =
                (struct pollfd){.fd = s->clients[i].fd, .events = sy__client_wants(&s->clients[i])};
        }
    return n;
}

static bool serve_client(struct sy_server *s, struct sy__client *c, short events, char *room)
{
    bool posted = events & POLLIN && !c->ended && sy__client_read(s, c, room);
    sy__client_write(c);
    bool through = c->ended && !c->pending && c->sent == c->out.len;
    bool lost = events & (POLLERR | POLLHUP | POLLNVAL) && !(events & POLLIN);
    if (c->bad || through || lost) {
        posted |= sy__client_post(s, c, "", 0); /* behind all that it asked for: it is gone */
        sy__client_drop(s, c);
    }
    return posted;
}

/* Whether a request came; the lock is held. */
static bool serve_all(struct sy_server *s, struct pollfd *p, const int *who, int n, char *room)
{
    bool posted = false;
    while (read(s->pipe[0], room, SY__READ_BYTES) > 0)
        continue;
    for (int i = 0; i < n; i++)
        if (s->clients[who[i]].fd == p[2 + i].fd)
            posted |= serve_client(s, &s->clients[who[i]], p[2 + i].revents, room);
    for (int fd = 0; p[0].revents & POLLIN && fd != -1 && !s->full;) {
        if ((fd = sy_socket_accept(&s->socket)) >= 0)
            greet(s, fd);
        s->full = fd == -3;
    }
    return posted;
}

static void *server_thread(void *arg)
{
    struct sy_server *s = arg;
    struct pollfd p[SY_SERVE_CLIENTS + 2];
    int who[SY_SERVE_CLIENTS];
    char *room = s->room;
    pthread_mutex_lock(&s->lock);
    while (!s->closing) {
        int n = fill_poll(s, p, who), waits = s->full ? 500 : -1;
        pthread_mutex_unlock(&s->lock);
        int ready = poll(p, (nfds_t)n + 2, waits);
        pthread_mutex_lock(&s->lock);
        s->full &= ready != 0; /* perhaps there are descriptors again */
        bool posted = ready > 0 && serve_all(s, p, who, n, room);
        if (!posted)
            continue;
        pthread_mutex_unlock(&s->lock);
        s->wake();
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void nudge(struct sy_server *s)
{
    ssize_t n = write(s->pipe[1], "", 1);
    (void)n; /* full: it is awake anyway */
}

/* ---- for others ---- */

bool sy_server_take(struct sy_server *s, int64_t *client, char **line, size_t *n)
{
    pthread_mutex_lock(&s->lock);
    struct sy__request *r = s->first;
    if (r && !(s->first = r->next))
        s->end = &s->first;
    pthread_mutex_unlock(&s->lock);
    if (!r)
        return false;
    *client = r->client;
    *n = r->n;
    memmove(r, r->line, r->n + 1); /* the block is the line's from now on */
    *line = (char *)r;
    return true;
}

void sy_server_answer(struct sy_server *s, int64_t client, const char *line, size_t n)
{
    pthread_mutex_lock(&s->lock);
    struct sy__client *c = find_client(s, client);
    if (c) {
        c->pending--;
        sy__client_put(c, line, n);
    }
    pthread_mutex_unlock(&s->lock);
    if (c)
        nudge(s);
}

void sy_server_subscribe(struct sy_server *s, int64_t client, enum sy_serve_hears what)
{
    pthread_mutex_lock(&s->lock);
    struct sy__client *c = find_client(s, client);
    if (c)
        sy__client_hears(s, c, what);
    pthread_mutex_unlock(&s->lock);
}

void sy_server_tell(struct sy_server *s, enum sy_serve_hears what, const char *line, size_t n)
{
    if (!atomic_load(&s->hear[what]))
        return;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (s->clients[i].id && s->clients[i].hears >= what)
            sy__client_tell(&s->clients[i], line, n);
    pthread_mutex_unlock(&s->lock);
    nudge(s);
}

/* ---- life ---- */

static int start_server(struct sy_server *s, struct sy_err *err)
{
    if (pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK))
        return sy_err_sys(err, errno, "serve");
    int rc = sy_thread_start(&s->thread, server_thread, s);
    s->running = !rc;
    return rc ? sy_err_sys(err, rc, "serve: cannot start a thread") : 0;
}

struct sy_server *sy_server_open(const char *path, void (*wake)(void), struct sy_err *err)
{
    struct sy_server *s = sy_calloc(1, sizeof *s);
    if (!s || !(s->room = sy_alloc(SY__READ_BYTES))) {
        sy_free(s);
        sy_err_set(err, SY_E_MEMORY, "serve: out of memory");
        return NULL;
    }
    s->wake = wake;
    s->end = &s->first;
    s->pipe[0] = s->pipe[1] = -1;
    s->socket.fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    if (!sy_socket_listen(&s->socket, path, err) && !start_server(s, err))
        return s;
    sy_server_close(s);
    return NULL;
}

void sy_server_close(struct sy_server *s)
{
    int64_t client;
    char *line;
    size_t n;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_mutex_unlock(&s->lock);
    if (s->running) {
        nudge(s);
        pthread_join(s->thread, NULL);
    }
    while (sy_server_take(s, &client, &line, &n))
        sy_free(line);
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (s->clients[i].id) {
            sy__client_write(&s->clients[i]);
            sy__client_drop(s, &s->clients[i]);
        }
    sy_socket_close(&s->socket);
    for (int i = 0; i < 2; i++)
        if (s->pipe[i] >= 0)
            close(s->pipe[i]);
    pthread_mutex_destroy(&s->lock);
    sy_free(s->room);
    sy_free(s);
}
