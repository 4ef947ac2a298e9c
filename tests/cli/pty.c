/* A person at a terminal, for tests: runs a program in a pseudo-terminal after a scenario and
 * speaks TAP, one case for each thing that was waited for.  The first that fails ends the scenario.
 *
 *     pty SCENARIO PROGRAM [ARGS]
 *
 *     # comment
 *     > text        at a prompt: type the text and Enter (\t, \e, \n: a tab, an escape, a newline)
 *     ~ text        type the text without Enter, whether a prompt stands there or not
 *     ^ C           press Ctrl with a letter
 *     < text        wait until the text appears
 *     until C text  press Ctrl with the letter, again each second, until the text appears
 *     quiet MS text fail when the text appears within that time
 *     rest MS       let so much time go by, for keys of which nothing on the screen tells
 *     go            what waits for $GO, a file, goes on: it is to remove it
 *     exit N        wait for the end of the program, with this status
 *
 *  1. Only what came after the last key counts, and of a line that was entered not its echo: so no
 *     prompt and no text of before is taken for the answer, however slow the machine is.
 *  2. `>` first waits for a prompt ("yard> " or "..> ") that came after the last line or Ctrl key.
 *  3. How long something took is told and never judged: LIMIT_MS is only there to end a hang. */
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

#define LIMIT_MS 60000

static int terminal, cases, failures;
static pid_t child;
static char *seen; /* output since the last key, from the end of an entered line's echo on */
static size_t nseen, room, matched; /* of it */
static bool echoing;                /* that end has not come yet */
static bool typing;                 /* the last was text without Enter */

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
    for (ssize_t i = 0; i < n; i++) {
        if (part[i] && !echoing)
            seen[nseen++] = part[i];
        echoing &= part[i] != '\n';
    }
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

/* True when text came within ms, behind what was matched before. */
static bool wait_for(const char *text, double ms)
{
    double end = now_ms() + ms;
    for (bool more = true;;) {
        const char *at = seen ? strstr(seen + matched, text) : NULL;
        if (at) {
            matched = (size_t)(at - seen) + strlen(text);
            return true;
        }
        if (now_ms() > end || !more)
            return false;
        more = drain(20);
    }
}

static bool prompted(void) { return seen && (strstr(seen, "yard> ") || strstr(seen, "..> ")); }

static void wait_for_prompt(void)
{
    double begin = now_ms();
    bool more = true;
    while (!typing && !prompted() && more && now_ms() - begin < LIMIT_MS)
        more = drain(20);
    if (!typing && !prompted())
        report(false, "a prompt for the next line", now_ms() - begin);
}

/* What came before the key that is pressed now is of no account. */
static void forget(bool line)
{
    while (poll(&(struct pollfd){.fd = terminal, .events = POLLIN}, 1, 0) > 0 && drain(0))
        ;
    nseen = matched = 0;
    if (seen)
        *seen = 0;
    echoing = line;
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
    typing = n && out[n - 1] != '\r' && out[n - 1] != '\n';
    forget(!typing);
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

static void press(char letter)
{
    forget(false);
    typing = false;
    (void)!write(terminal, (char[]){(char)(letter & 31)}, 1);
}

static void rest(int ms)
{
    for (double begin = now_ms(); now_ms() - begin < ms;)
        drain(10);
}

static bool press_until(char letter, const char *text)
{
    for (double begin = now_ms(); now_ms() - begin < LIMIT_MS;) {
        press(letter);
        if (wait_for(text, 1000))
            return true;
    }
    return false;
}

static void go(void)
{
    FILE *f = fopen(getenv("GO"), "w");
    if (!f || fclose(f))
        report(false, "go", 0);
}

static void obey(char *line)
{
    double begin = now_ms();
    int ms, at;
    if (line[0] == '>' && (line[1] == ' ' || !line[1])) {
        wait_for_prompt();
        type(line[1] ? line + 2 : "", true);
    } else if (line[0] == '~')
        type(line + 2, false);
    else if (line[0] == '^')
        press(line[2]);
    else if (!strcmp(line, "go"))
        go();
    else if (!strncmp(line, "until ", 6)) {
        bool ok = press_until(line[6], line + 8);
        report(ok, line, now_ms() - begin);
    } else if (line[0] == '<') {
        bool ok = wait_for(line + 2, LIMIT_MS);
        report(ok, line + 2, now_ms() - begin);
    } else if (sscanf(line, "quiet %d %n", &ms, &at) == 1) {
        while (echoing && now_ms() - begin < LIMIT_MS && drain(20)) /* it has not begun */
            continue;
        bool came = wait_for(line + at, ms);
        report(!came, line, now_ms() - begin);
    } else if (sscanf(line, "rest %d", &ms) == 1)
        rest(ms);
    else if (sscanf(line, "exit %d", &ms) == 1)
        expect_exit(ms);
    else if (*line && *line != '#')
        report(false, line, 0);
}

int main(int argc, char **argv)
{
    char line[4096];
    struct winsize size = {.ws_row = 24, .ws_col = 200};
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
    while (!failures && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        obey(line);
    }
    kill(child, SIGKILL);
    printf("1..%d\n", cases);
    return failures != 0;
}
