/* Clients at a Unix socket: whole lines come from them and go to them.  What a line means others
 * know (lua/serve/).  Layer serve.
 *
 *     client --bytes--> [thread of the server] --lines--> sy_server_take     (the Lua thread)
 *            <--bytes--                        <--lines-- sy_server_answer, sy_server_tell
 *
 *  1. Nobody waits for a client: what it does not read is kept up to a limit, beyond which events
 *     are left out and counted, and one that lets answers pile up is not read from, then closed.
 *  2. A line that is too long is answered with an error, and what follows it is read.
 *  3. One that has sent all (end of file) gets the answers that are due, and is closed then. */
#ifndef SY_SERVE_SERVER_H
#define SY_SERVE_SERVER_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY_SERVE_LINE (1 << 20) /* bytes of a line, without its end */
#define SY_SERVE_CLIENTS 256
#define SY_SERVE_PENDING 64         /* requests of a client that wait; no more are read */
#define SY_SERVE_EVENTS (1 << 20)   /* bytes unread, over which events are left out */
#define SY_SERVE_UNREAD (64 << 20)  /* bytes unread, over which a client is closed */

struct sy_server;

/* Listens, with a thread of its own.  wake: a line has come; on that thread.  The socket is made
 * before the thread; see sy_socket_listen.  NULL: RANGE, STATE, IO, MEMORY. */
struct sy_server *sy_server_open(const char *path, void (*wake)(void), struct sy_err *err);
/* What was answered goes out as far as clients read it at once; then they and the socket are gone.
 * NULL is fine. */
void sy_server_close(struct sy_server *s);

/* The next line: who sent it, and its bytes, owned (sy_free), NUL-terminated.  False: there is
 * none.  Each is to be answered, by one line; but an empty one says that the client is gone. */
bool sy_server_take(struct sy_server *s, int64_t *client, char **line, size_t *n);
/* line: without its end.  To one that is gone: nothing. */
void sy_server_answer(struct sy_server *s, int64_t client, const char *line, size_t n);

enum sy_serve_hears { SY_HEARS_NOTHING, SY_HEARS_EVENTS, SY_HEARS_STEPS };
void sy_server_subscribe(struct sy_server *s, int64_t client, enum sy_serve_hears what);
/* To all who hear this.  Any thread; costs nothing where nobody does. */
void sy_server_tell(struct sy_server *s, enum sy_serve_hears what, const char *line, size_t n);

#endif
