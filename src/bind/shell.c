/* See shell.h.
 *
 *  1. Where the prompt has the terminal's own modes, the command shares our process group: the
 *     terminal gives Ctrl-C to both, and what the command makes of it is its affair.
 *  2. Behind a screen (host.h) it has a group of its own and nothing to read; Ctrl-C reaches it
 *     through us: SIGINT, and SIGKILL when it comes again.
 *  3. os.execute: an end that is asked of us is asked of the command (SIGTERM, then SIGKILL), and hooks of
 *     runs are served meanwhile.  system() would sleep through it.
 *  4. Its signals are as at a login: the Lua thread's mask is not passed on. */
#include "bind/shell.h"
#include "bind/bind_int.h"
#include "bind/host.h"
#include "bind/interrupt.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>

#define LOOK 0.02         /* seconds between two looks at the command */
#define END_SECONDS 2.0   /* that a command has between SIGTERM and SIGKILL */

extern char **environ;

static int start(const char *command, bool own_group, pid_t *pid)
{
    char shell[] = "sh", flag[] = "-c";
    union {
        const char *in;
        char *out;
    } text = {.in = command}; /* posix_spawn does not write to it */
    char *argv[] = {shell, flag, text.out, NULL};
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t files;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                            (own_group ? POSIX_SPAWN_SETPGROUP : 0)));
    if (own_group)
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    int rc = posix_spawn(pid, "/bin/sh", &files, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return rc;
}

int lsy_shell(struct lua_State *L, const char *command)
{
    bool own_group = sy_host_has_screen();
    int status, signals = 0;
    pid_t pid, got;
    if ((errno = start(command, own_group, &pid)) != 0)
        return -1;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (sy_host_wait(L, LOOK) >= 0)
            continue;
        if (own_group)
            kill(-pid, signals++ ? SIGKILL : SIGINT);
        sy_interrupt_clear();
    }
    if (got < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

/* The command is to end, too: it gets some time.  Its status, or -1. */
static int end_command(pid_t pid, bool group)
{
    double until = sy_now() + END_SECONDS;
    int status;
    pid_t got;
    kill(group ? -pid : pid, SIGTERM);
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 && sy_now() < until)
        sy_sleep(LOOK);
    if (got == 0) {
        kill(group ? -pid : pid, SIGKILL);
        got = waitpid(pid, &status, 0);
    }
    return got < 0 ? -1 : status;
}

int lsy_execute(lua_State *L)
{
    const char *command = luaL_optstring(L, 1, NULL);
    bool own_group = sy_host_has_screen();
    int status = -1;
    pid_t pid, got;
    if (!command) {
        lua_pushboolean(L, 1); /* there is a shell */
        return 1;
    }
    fflush(NULL); /* what was written before it stands before what it writes */
    if ((errno = start(command, own_group, &pid)) != 0)
        return luaL_fileresult(L, 0, NULL);
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (sy_host_wait(L, LOOK) >= 0)
            continue;
        end_command(pid, own_group);
        return lsy_raise_interrupted(L);
    }
    return luaL_execresult(L, got < 0 ? -1 : status);
}
