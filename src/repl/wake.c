/* The pipe by which signals and other threads wake the main thread, the notices, and the choice of
 * editor.  Layer repl. */
#include "config.h"
#include "repl/edit_int.h"

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
static bool found_valid, use_readline;

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

int sy_edit_open(const struct sy_edit_options *options)
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -1;
    found_valid = tcgetattr(0, &found) == 0;
#ifdef HAVE_READLINE
    use_readline = found_valid && !options->plain && isatty(1);
    if (use_readline)
        sy__readline_open(options);
#else
    (void)options;
#endif
    return 0;
}

void sy_edit_close(void)
{
#ifdef HAVE_READLINE
    if (use_readline)
        sy__readline_close();
#endif
    sy_edit_restore_terminal();
}

bool sy_edit_is_terminal(void) { return found_valid; }

void sy_edit_restore_terminal(void)
{
    static const char paste_off[] = "\033[?2004l";
    if (!found_valid)
        return;
    tcsetattr(0, TCSANOW, &found);
    if (use_readline && write(1, paste_off, sizeof paste_off - 1) < 0) {
        /* nothing better can be done */
    }
}

enum sy_edit_event sy_edit_line(const char *prompt, char **line)
{
#ifdef HAVE_READLINE
    if (use_readline)
        return sy__readline_line(prompt, line);
#endif
    return sy__plain_line(found_valid ? prompt : "", line);
}

void sy_edit_remember(const char *line)
{
#ifdef HAVE_READLINE
    if (use_readline)
        sy__readline_remember(line);
#else
    (void)line;
#endif
}

void sy_edit_clear(void)
{
#ifdef HAVE_READLINE
    sy__readline_clear();
#endif
}

void sy_edit_leave(void)
{
#ifdef HAVE_READLINE
    sy__readline_leave();
#endif
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
