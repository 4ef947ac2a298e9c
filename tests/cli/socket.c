/* Clients of `switchyard serve`, for tests/cli/serve.sh.
 *
 *     socket PATH               standard input goes there, then end of file; what comes is printed
 *     socket PATH --many N      N connections at once, each a request in two halves: how many were
 *                               answered
 *     socket PATH --deaf        the same as the first, but never reads, until it is killed
 *     socket PATH --gone        sends standard input and is gone
 *     socket PATH --long N      a line of N bytes, then what is on standard input
 *     socket PATH --leave       makes a socket there and leaves its name behind */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address;

static int connect_there(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("socket");
        exit(1);
    }
    return fd;
}

static void send_all(int fd, const char *s, size_t n)
{
    while (n) {
        ssize_t k = send(fd, s, n, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        s += k;
        n -= (size_t)k;
    }
}

static void send_input(int fd)
{
    char room[4096];
    size_t n;
    while ((n = fread(room, 1, sizeof room, stdin)) > 0)
        send_all(fd, room, n);
}

static int print_all(int fd)
{
    char room[4096];
    ssize_t n;
    shutdown(fd, SHUT_WR);
    while ((n = recv(fd, room, sizeof room, 0)) > 0)
        fwrite(room, 1, (size_t)n, stdout);
    return n < 0;
}

static int many(int n)
{
    int *fd = calloc((size_t)n, sizeof *fd), answered = 0;
    char line[128], want[64];
    for (int i = 0; fd && i < n; i++) {
        fd[i] = connect_there();
        send_all(fd[i], "{\"id\":", 6);
    }
    for (int i = 0; fd && i < n; i++) {
        snprintf(line, sizeof line, "%d,\"do\":\"get\",\"name\":\"name\"}\n", i);
        send_all(fd[i], line, strlen(line));
    }
    for (int i = 0; fd && i < n; i++) {
        ssize_t k = recv(fd[i], line, sizeof line - 1, 0);
        line[k < 0 ? 0 : k] = 0;
        snprintf(want, sizeof want, "{\"id\":%d,\"result\":", i);
        answered += !strncmp(line, want, strlen(want));
    }
    printf("%d\n", answered);
    free(fd);
    return 0;
}

static void send_long(int fd, size_t n)
{
    char *line = malloc(n + 1);
    if (!line)
        exit(1);
    memset(line, 'x', n);
    line[n] = '\n';
    send_all(fd, line, n + 1);
    free(line);
}

static int leave(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1);
}

int main(int argc, char **argv)
{
    const char *how = argc > 2 ? argv[2] : "";
    int n = argc > 3 ? atoi(argv[3]) : 0;
    address.sun_family = AF_UNIX;
    if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    memcpy(address.sun_path, argv[1], strlen(argv[1]) + 1);
    if (!strcmp(how, "--leave"))
        return leave();
    if (!strcmp(how, "--many"))
        return many(n);
    int fd = connect_there();
    if (!strcmp(how, "--long"))
        send_long(fd, (size_t)n);
    send_input(fd);
    if (!strcmp(how, "--gone"))
        return 0;
    while (!strcmp(how, "--deaf"))
        pause();
    return print_all(fd);
}
