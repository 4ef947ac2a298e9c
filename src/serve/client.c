/* One client of server.h: its bytes as lines, lines as its bytes.  The server's lock is held. */
#include "serve/server_int.h"

#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void sy__client_hears(struct sy_server *s, struct sy__client *c, enum sy_serve_hears what)
{
    for (int i = 1; i <= SY_HEARS_STEPS; i++)
        atomic_fetch_add(&s->hear[i], ((int)what >= i) - ((int)c->hears >= i));
    c->hears = what;
}

void sy__client_drop(struct sy_server *s, struct sy__client *c)
{
    sy__client_hears(s, c, SY_HEARS_NOTHING);
    close(c->fd);
    sy_str_free(&c->in);
    sy_str_free(&c->out);
    *c = (struct sy__client){.fd = -1};
    s->full = false;
}

void sy__client_put(struct sy__client *c, const char *line, size_t n)
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

void sy__client_write(struct sy__client *c)
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

static void refuse_line(struct sy__client *c)
{
    struct sy_str o = SY_STR_INIT;
    sy_str_printf(&o,
                  "{\"id\":null,\"error\":{\"code\":\"range\",\"message\":\"serve: a line has more "
                  "than %d bytes\"}}",
                  SY_SERVE_LINE);
    if (o.data)
        sy__client_put(c, o.data, o.len);
    sy_str_free(&o);
}

bool sy__client_post(struct sy_server *s, struct sy__client *c, const char *line, size_t n)
{
    struct sy__request *r = sy_alloc(sizeof *r + n + 1);
    if (!r)
        return false;
    *r = (struct sy__request){.client = c->id, .n = n};
    memcpy(r->line, line, n);
    r->line[n] = 0;
    *s->end = r;
    s->end = &r->next;
    c->pending++;
    return true;
}

/* n bytes of c's, of which the last ends a line where `ends`. */
static bool take_piece(struct sy_server *s, struct sy__client *c, const char *bytes, size_t n,
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
        posted = whole && sy__client_post(s, c, c->in.data, whole);
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
bool sy__client_read(struct sy_server *s, struct sy__client *c, char *room)
{
    bool posted = false;
    ssize_t n = recv(c->fd, room, SY__READ_BYTES, 0);
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

short sy__client_wants(const struct sy__client *c)
{
    bool reads = !c->ended && c->pending < SY_SERVE_PENDING &&
                 c->out.len - c->sent < SY_SERVE_EVENTS;
    return (short)((reads ? POLLIN : 0) | (c->sent < c->out.len ? POLLOUT : 0));
}

void sy__client_tell(struct sy__client *c, const char *line, size_t n)
{
    if (c->out.len - c->sent > SY_SERVE_EVENTS) {
        c->lost++;
        return;
    }
    if (c->lost) {
        struct sy_str o = SY_STR_INIT;
        sy_str_printf(&o, "{\"event\":\"lost\",\"lines\":%lld}", (long long)c->lost);
        if (o.data)
            sy__client_put(c, o.data, o.len);
        sy_str_free(&o);
        c->lost = 0;
    }
    sy__client_put(c, line, n);
}
