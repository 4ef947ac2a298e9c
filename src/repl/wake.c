/* The pipe by which signals and other threads wake the main thread, the notices, and the terminal
 * as it was found.  Layer repl. */
#include "repl/editor_int.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static int ends[2] = {-1, -1};
static struct termios found;
static bool found_valid;

struct notice {
    struct notice *next;
    char text[];
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct notice *first, **last = &first;

int sy_wake_fd(void) { return ends[0]; }

void sy_edit_wake(char what)
{
    int before = errno;
    if (write(ends[1], &what, 1) < 0) {
        /* full: whoever reads it is awake anyway */
    }
    errno = before;
}

char sy_wake_take(void)
{
    char c;
    return read(ends[0], &c, 1) == 1 ? c : 0;
}

void sy_edit_notice(const char *text)
{
    size_t n = strlen(text);
    struct notice *a = sy_alloc(sizeof *a + n + 1);
    if (!a)
        return;
    a->next = NULL;
    memcpy(a->text, text, n + 1);
    pthread_mutex_lock(&lock);
    *last = a;
    last = &a->next;
    pthread_mutex_unlock(&lock);
    sy_edit_wake(SY_WAKE_NOTICE);
}

char *sy_notice_take(void)
{
    pthread_mutex_lock(&lock);
    struct notice *a = first;
    if (a && !(first = a->next))
        last = &first;
    pthread_mutex_unlock(&lock);
    char *text = a ? sy_strdup(a->text) : NULL;
    sy_free(a);
    return text;
}

int sy__wake_open(void)
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -1;
    found_valid = tcgetattr(0, &found) == 0;
    return 0;
}

bool sy_edit_is_terminal(void) { return found_valid; }

void sy__terminal_restore(void)
{
    if (found_valid)
        tcsetattr(0, TCSANOW, &found);
}

void sy_edit_show_notices(void)
{
    char *text;
    while ((text = sy_notice_take())) {
        printf("%s\n", text);
        sy_free(text);
    }
    fflush(stdout);
}

bool sy_edit_wait(int milliseconds)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    for (;;) {
        char c;
        while ((c = sy_wake_take())) {
            if (c == SY_WAKE_DONE)
                return true;
            if (c == SY_WAKE_END)
                return false;
            if (c == SY_WAKE_NOTICE)
                sy_edit_show_notices();
        }
        if (poll(&p, 1, milliseconds) == 0)
            return false;
    }
}
