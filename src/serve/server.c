/* See server.h.  One thread polls; a pipe wakes it when there is something to be written. */
#include "serve/server.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "serve/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536

struct client {
    int64_t id; /* from 1; 0: no client is here */
    int fd;
    struct sy_str in, out; /* of a line that has not ended; from sent on to be written */
    size_t sent;
    int pending;            /* requests without an answer */
    enum sy_serve_hears hears;
    int64_t lost;           /* events left out since the last that was written */
    bool skips, ended, bad; /* the rest of a long line; sent all; to be closed */
};

struct request {
    struct request *next;
    int64_t client;
    size_t n;
    char line[];
};

struct sy_server {
    struct sy_socket socket;
    void (*wake)(void);
    int pipe[2];
    pthread_t thread;
    char *room; /* READ_BYTES, the thread's */
    bool running;
    atomic_int hear[SY_HEARS_STEPS + 1]; /* how many hear at least this */
    pthread_mutex_t lock; /* what follows */
    bool closing, full; /* full: no descriptors, until a client goes */
    int64_t last;
    struct client clients[SY_SERVE_CLIENTS];
    struct request *first, **end;
};

/* ---- one client; the lock is held ---- */

static void count_hears(struct sy_server *s, struct client *c, enum sy_serve_hears what)
{
    for (int i = 1; i <= SY_HEARS_STEPS; i++)
        atomic_fetch_add(&s->hear[i], ((int)what >= i) - ((int)c->hears >= i));
    c->hears = what;
}

static void drop_client(struct sy_server *s, struct client *c)
{
    count_hears(s, c, SY_HEARS_NOTHING);
    close(c->fd);
    sy_str_free(&c->in);
    sy_str_free(&c->out);
    *c = (struct client){.fd = -1};
    s->full = false;
}

static struct client *find_client(struct sy_server *s, int64_t id)
{
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (id && s->clients[i].id == id)
            return &s->clients[i];
    return NULL;
}

static void put_out(struct client *c, const char *line, size_t n)
{
    if (c->sent > c->out.len / 2) { /* what is sent is not kept for one who is always behind */
        size_t left = c->out.len - c->sent;
        memmove(c->out.data, c->out.data + c->sent, left);
        c->out.len = left;
        c->sent = 0;
    }
    sy_str_add(&c->out, line, n);
    sy_str_add(&c->out, "\n", 1);
    c->bad |= c->out.failed || c->out.len - c->sent > SY_SERVE_UNREAD;
}

static void write_out(struct client *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            c->bad = true;
            return;
        }
        c->sent += (size_t)n;
    }
}

static void refuse_line(struct client *c)
{
    struct sy_str o = SY_STR_INIT;
    sy_str_printf(&o,
                  "{\"id\":null,\"error\":{\"code\":\"range\",\"message\":\"serve: a line has more "
                  "than %d bytes\"}}",
                  SY_SERVE_LINE);
    if (o.data)
        put_out(c, o.data, o.len);
    sy_str_free(&o);
}

static bool post_request(struct sy_server *s, struct client *c, const char *line, size_t n)
{
    struct request *r = sy_alloc(sizeof *r + n + 1);
    if (!r)
        return false;
    *r = (struct request){.client = c->id, .n = n};
    memcpy(r->line, line, n);
    r->line[n] = 0;
    *s->end = r;
    s->end = &r->next;
    c->pending++;
    return true;
}

/* n bytes of c's, of which the last ends a line where `ends`. */
static bool take_piece(struct sy_server *s, struct client *c, const char *bytes, size_t n,
                       bool ends)
{
    if (!c->skips && c->in.len + n > SY_SERVE_LINE) {
        refuse_line(c);
        c->skips = true;
    }
    if (!c->skips)
        sy_str_add(&c->in, bytes, n);
    c->bad |= c->in.failed;
    bool posted = false;
    if (ends && !c->skips && !c->bad) {
        size_t whole = c->in.len;
        while (whole && (c->in.data[whole - 1] == '\r' || c->in.data[whole - 1] == ' '))
            whole--;
        posted = whole && post_request(s, c, c->in.data, whole);
        c->bad |= whole && !posted;
    }
    if (ends || c->skips) {
        sy_str_free(&c->in); /* a long one is not kept for the next */
        c->in = (struct sy_str)SY_STR_INIT;
    }
    c->skips &= !ends;
    return posted;
}

/* Whether a request came. */
static bool read_in(struct sy_server *s, struct client *c, char *room)
{
    bool posted = false;
    ssize_t n = recv(c->fd, room, READ_BYTES, 0);
    if (n < 0)
        c->bad |= errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    if (n == 0)
        c->ended = true;
    if (n == 0 && c->in.len) /* its last line, without an end */
        posted = take_piece(s, c, "", 0, true);
    for (ssize_t at = 0; at < n;) {
        char *end = memchr(room + at, '\n', (size_t)(n - at));
        size_t piece = end ? (size_t)(end - room - at) : (size_t)(n - at);
        posted |= take_piece(s, c, room + at, piece, end != NULL);
        at += (ssize_t)piece + 1;
    }
    return posted;
}

static void greet(struct sy_server *s, int fd)
{
    static const char full[] = "{\"id\":null,\"error\":{\"code\":\"busy\",\"message\":\"serve: "
                               "too many connections\"}}\n";
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (!s->clients[i].id) {
            s->clients[i] = (struct client){.id = ++s->last, .fd = fd};
            return;
        }
    ssize_t n = send(fd, full, sizeof full - 1, MSG_NOSIGNAL);
    (void)n; /* it is closed in any case */
    close(fd);
}

/* ---- the thread ---- */

static short wanted(const struct client *c)
{
    bool reads = !c->ended && c->pending < SY_SERVE_PENDING &&
                 c->out.len - c->sent < SY_SERVE_EVENTS;
    return (short)((reads ? POLLIN : 0) | (c->sent < c->out.len ? POLLOUT : 0));
}

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
                (struct pollfd){.fd = s->clients[i].fd, .events = wanted(&s->clients[i])};
        }
    return n;
}

static bool serve_client(struct sy_server *s, struct client *c, short events, char *room)
{
    bool posted = events & POLLIN && !c->ended && read_in(s, c, room);
    write_out(c);
    bool through = c->ended && !c->pending && c->sent == c->out.len;
    bool lost = events & (POLLERR | POLLHUP | POLLNVAL) && !(events & POLLIN);
    if (c->bad || through || lost)
        drop_client(s, c);
    return posted;
}

/* Whether a request came; the lock is held. */
static bool serve_all(struct sy_server *s, struct pollfd *p, const int *who, int n, char *room)
{
    bool posted = false;
    while (read(s->pipe[0], room, READ_BYTES) > 0)
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
    struct request *r = s->first;
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
    struct client *c = find_client(s, client);
    if (c) {
        c->pending--;
        put_out(c, line, n);
    }
    pthread_mutex_unlock(&s->lock);
    if (c)
        nudge(s);
}

void sy_server_subscribe(struct sy_server *s, int64_t client, enum sy_serve_hears what)
{
    pthread_mutex_lock(&s->lock);
    struct client *c = find_client(s, client);
    if (c)
        count_hears(s, c, what);
    pthread_mutex_unlock(&s->lock);
}

static void tell_client(struct client *c, const char *line, size_t n)
{
    if (c->out.len - c->sent > SY_SERVE_EVENTS) {
        c->lost++;
        return;
    }
    if (c->lost) {
        struct sy_str o = SY_STR_INIT;
        sy_str_printf(&o, "{\"event\":\"lost\",\"lines\":%lld}", (long long)c->lost);
        if (o.data)
            put_out(c, o.data, o.len);
        sy_str_free(&o);
        c->lost = 0;
    }
    put_out(c, line, n);
}

void sy_server_tell(struct sy_server *s, enum sy_serve_hears what, const char *line, size_t n)
{
    if (!atomic_load(&s->hear[what]))
        return;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < SY_SERVE_CLIENTS; i++)
        if (s->clients[i].id && s->clients[i].hears >= what)
            tell_client(&s->clients[i], line, n);
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
    if (!s || !(s->room = sy_alloc(READ_BYTES))) {
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
            write_out(&s->clients[i]);
            drop_client(s, &s->clients[i]);
        }
    sy_socket_close(&s->socket);
    for (int i = 0; i < 2; i++)
        if (s->pipe[i] >= 0)
            close(s->pipe[i]);
    pthread_mutex_destroy(&s->lock);
    sy_free(s->room);
    sy_free(s);
}
