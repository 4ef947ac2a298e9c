/* A person at a terminal, for tests: runs a program in a pseudo-terminal after a scenario and speaks
 * TAP, one case for each thing that was waited for.
 *
 *     pty SCENARIO PROGRAM [ARGS]
 *
 *     # comment
 *     > text        type the text and Enter (\t, \e, \n are a tab, an escape, a newline)
 *     ~ text        type the text without Enter
 *     ^ C           press Ctrl with a letter
 *     < text        wait until the text appears in what came since the last match
 *     within MS text   the same, and fail when it takes longer
 *     quiet MS text    fail when the text appears within that time
 *     exit N        wait for the end of the program, with this status
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 10000

static int terminal, cases, failures;
static pid_t child;
static char *seen; /* output since the last match */
static size_t nseen, room;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Read what is there within ms; false at the end of the output. */
static bool drain(int ms)
{
    struct pollfd p = {.fd = terminal, .events = POLLIN};
    char part[4096];
    if (poll(&p, 1, ms) <= 0)
        return true;
    ssize_t n = read(terminal, part, sizeof part);
    if (n <= 0)
        return false;
    if (nseen + (size_t)n + 1 > room) {
        room = 2 * (nseen + (size_t)n + 1);
        seen = realloc(seen, room);
        if (!seen)
            abort();
    }
    for (ssize_t i = 0; i < n; i++)
        if (part[i])
            seen[nseen++] = part[i];
    seen[nseen] = 0;
    return true;
}

static void report(bool ok, const char *what, double ms)
{
    printf("%s %d - %s (%.0f ms)\n", ok ? "ok" : "not ok", ++cases, what, ms);
    if (ok)
        return;
    failures++;
    printf("# instead: ");
    for (size_t i = 0; i < nseen; i++)
        if (seen[i] == '\n')
            printf("\n#   ");
        else if ((unsigned char)seen[i] < 32)
            printf("^%c", seen[i] + 64);
        else
            putchar(seen[i]);
    printf("\n");
}

/* True when text came within ms; what stands before and in it is forgotten. */
static bool wait_for(const char *text, double ms)
{
    double end = now_ms() + ms;
    for (bool more = true;;) {
        char *at = seen ? strstr(seen, text) : NULL;
        if (at) {
            size_t used = (size_t)(at - seen) + strlen(text);
            memmove(seen, seen + used, nseen - used + 1);
            nseen -= used;
            return true;
        }
        if (now_ms() > end || !more)
            return false;
        more = drain(20);
    }
}

static void type(const char *text, bool enter)
{
    char out[4096];
    size_t n = 0;
    for (; *text && n < sizeof out - 2; text++) {
        if (*text != '\\' || !strchr("ten\\", text[1])) {
            out[n++] = *text;
            continue;
        }
        text++;
        out[n++] = *text == 't' ? '\t' : *text == 'e' ? '\033' : *text == 'n' ? '\n' : '\\';
    }
    if (enter)
        out[n++] = '\r';
    if (write(terminal, out, n) < 0)
        printf("# the program is gone\n");
}

static void expect_exit(int wanted)
{
    int status = 0;
    double begin = now_ms();
    pid_t got = 0;
    while (now_ms() - begin < LIMIT_MS && !(got = waitpid(child, &status, WNOHANG)))
        drain(10);
    int code = got && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    char text[64];
    snprintf(text, sizeof text, "exit status %d (wanted %d)", code, wanted);
    report(code == wanted, text, now_ms() - begin);
}

static void obey(char *line)
{
    double begin = now_ms();
    int ms, at;
    if (line[0] == '>' && (line[1] == ' ' || !line[1]))
        type(line[1] ? line + 2 : "", true);
    else if (line[0] == '~')
        type(line + 2, false);
    else if (line[0] == '^')
        (void)!write(terminal, (char[]){(char)(line[2] & 31)}, 1);
    else if (line[0] == '<') {
        bool ok = wait_for(line + 2, LIMIT_MS);
        report(ok, line + 2, now_ms() - begin);
    } else if (sscanf(line, "within %d %n", &ms, &at) == 1) {
        bool ok = wait_for(line + at, LIMIT_MS) && now_ms() - begin <= ms;
        report(ok, line, now_ms() - begin);
    } else if (sscanf(line, "quiet %d %n", &ms, &at) == 1)
        report(!wait_for(line + at, ms), line, now_ms() - begin);
    else if (sscanf(line, "exit %d", &ms) == 1)
        expect_exit(ms);
    else if (*line && *line != '#')
        report(false, line, 0);
}

int main(int argc, char **argv)
{
    char line[4096];
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    FILE *f = argc > 2 ? fopen(argv[1], "r") : NULL;
    if (!f) {
        fprintf(stderr, "usage: pty SCENARIO PROGRAM [ARGS]\n");
        return 99;
    }
    fcntl(fileno(f), F_SETFD, FD_CLOEXEC);
    child = forkpty(&terminal, NULL, NULL, &size);
    if (child == 0) {
        setenv("TERM", "xterm", 1);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        obey(line);
    }
    kill(child, SIGKILL);
    printf("1..%d\n", cases);
    return failures != 0;
}
