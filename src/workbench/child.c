/* Another program on our terminal: the user's editor.  Layer workbench. */
#include "workbench/workbench_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "workbench/capture.h"
#include "workbench/signals.h"
#include "tui/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_SECONDS 0.5 /* for the editor to save what it has */

extern char **environ;

static int start_child(const char *command, const char *file, pid_t *child)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;
    struct sy_str line = SY_STR_INIT;
    sy_str_printf(&line, "%s \"$1\"", command);
    char *argv[] = {"sh", "-c", line.data, "sh", (char *)(uintptr_t)file, NULL};
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, sy_capture_in(), 0);
    posix_spawn_file_actions_adddup2(&files, sy_capture_out(), 1);
    posix_spawn_file_actions_adddup2(&files, sy_capture_out(), 2);
    posix_spawnattr_init(&how);
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGQUIT);
    sigaddset(&usual, SIGTSTP);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &usual);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = line.data ? posix_spawn(child, "/bin/sh", &files, &how, argv, environ) : ENOMEM;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    sy_str_free(&line);
    return rc;
}

/* We are to end: so is the editor, and the runs are not saved later for it.  *since: when first. */
static void pass_on(pid_t child, int number, double *since)
{
    if (*since == 0) {
        *since = sy_now();
        kill(child, number);
        kill(child, SIGCONT);
    } else if (sy_now() - *since > GRACE_SECONDS)
        kill(child, SIGKILL);
}

/* Its end; captured output is drained meanwhile, and Ctrl-Z stops us with it. */
static int wait_for(struct sy_workbench *d, pid_t child)
{
    struct pollfd p = {.fd = sy_capture_fd(), .events = POLLIN};
    int status = 0;
    double since = 0;
    for (;;) {
        pid_t got = waitpid(child, &status, WNOHANG);
        if (got == child || (got < 0 && errno != EINTR))
            return got == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (sy_signals_ended_by())
            pass_on(child, sy_signals_ended_by(), &since);
        poll(&p, 1, 30);
        sy__drain(d);
        sy_signals_take(SY_SIGNAL_INTERRUPT);
        if (sy_signals_take(SY_SIGNAL_STOP))
            raise(SIGSTOP);
    }
}

static char *read_file(const char *path)
{
    struct sy_str text = SY_STR_INIT;
    char part[4096];
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        sy_str_add(&text, part, n);
    fclose(f);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = 0;
    bool bad = text.failed || (text.len && memchr(text.data, 0, text.len));
    if (!bad && text.data)
        return text.data;
    sy_str_free(&text);
    return bad ? NULL : sy_strdup("");
}

char *sy__edit_outside(struct sy_workbench *d, const char *text)
{
    const char *folder = getenv("TMPDIR"), *editor = getenv("VISUAL");
    char path[512], *now = NULL;
    pid_t child;
    if (!editor || !*editor)
        editor = getenv("EDITOR");
    snprintf(path, sizeof path, "%.400s/yard-XXXXXX.lua", folder && *folder ? folder : "/tmp");
    int fd = mkstemps(path, 4);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n || (n && write(fd, "\n", 1) != 1)) {
        sy_workbench_message("cannot write a temporary file");
        if (fd >= 0) {
            close(fd);
            unlink(path);
        }
        return NULL;
    }
    close(fd);
    sy_screen_suspend();
    int rc = start_child(editor && *editor ? editor : "vi", path, &child);
    if (!rc && wait_for(d, child) == 0)
        now = read_file(path);
    sy_screen_resume();
    sy_signals_take(SY_SIGNAL_SIZE);
    sy_screen_resize();
    d->relayout = true;
    unlink(path);
    if (!now)
        sy_workbench_message("the editor gave nothing back: the line is as it was");
    return now;
}
