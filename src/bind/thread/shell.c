/* See shell.h.
 *
 *  1. Where the prompt has the terminal's own modes, the command shares our process group: the
 *     terminal gives Ctrl-C to both, and what the command makes of it is its affair.
 *  2. Behind a screen (host.h) it has a group of its own and nothing to read; Ctrl-C reaches it
 *     through us: SIGINT, and SIGKILL when it comes again.
 *  3. os.execute, and a stream of io.popen that is closed: an end that is asked of us is asked of
 *     the command (SIGTERM, then SIGKILL), and hooks of runs are served meanwhile.  system() and
 *     pclose() would sleep through it.
 *  4. Its signals are as at a login: the Lua thread's mask is not passed on. */
#include "bind/thread/shell.h"
#include "bind/core/error.h"
#include "bind/thread/host.h"
#include "bind/thread/interrupt.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK 0.02         /* seconds between two looks at the command */
#define END_SECONDS 2.0   /* that a command has between SIGTERM and SIGKILL */

extern char **environ;

/* pipe: the command's end of one that becomes its descriptor `as`; -1: none. */
static int start_shell(const char *command, bool own_group, int pipe, int as, pid_t *pid)
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
    if (pipe >= 0)
        posix_spawn_file_actions_adddup2(&files, pipe, as);
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
    if ((errno = start_shell(command, own_group, -1, 0, &pid)) != 0)
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

/* Its status when it has ended, or -1; *interrupted: it was ended, for we are to end. */
static int wait_for(lua_State *L, pid_t pid, bool own_group, bool *interrupted)
{
    int status = -1;
    pid_t got;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        double until = sy_now() + LOOK;
        if (sy_host_wait(L, LOOK) < 0) {
            *interrupted = true;
            return end_command(pid, own_group);
        }
        if (sy_now() < until) /* it was woken, or is gone: the program ends */
            sy_sleep(LOOK);
    }
    return got < 0 ? -1 : status;
}

/* luaL_execresult takes errno for the reason of whatever is not 0. */
static int exec_result(lua_State *L, int status)
{
    if (status != -1)
        errno = 0;
    return luaL_execresult(L, status);
}

int lsy_execute(lua_State *L)
{
    const char *command = luaL_optstring(L, 1, NULL);
    bool own_group = sy_host_has_screen(), interrupted = false;
    pid_t pid;
    if (!command) {
        lua_pushboolean(L, 1); /* there is a shell */
        return 1;
    }
    fflush(NULL); /* what was written before it stands before what it writes */
    if ((errno = start_shell(command, own_group, -1, 0, &pid)) != 0)
        return luaL_fileresult(L, 0, NULL);
    int status = wait_for(L, pid, own_group, &interrupted);
    return interrupted ? lsy_raise_interrupted(L) : exec_result(L, status);
}

/* ---- io.popen ---- */

struct stream {
    luaL_Stream s; /* first: Lua's functions of files see only this */
    pid_t pid;
    bool own_group;
};

static int close_stream(lua_State *L)
{
    struct stream *t = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    bool interrupted = false;
    fclose(t->s.f);
    return exec_result(L, wait_for(L, t->pid, t->own_group, &interrupted));
}

/* ours, the command's end of a pipe; false: errno */
static bool make_pipe(bool reads, int *ours, int *others)
{
    int ends[2];
    if (pipe(ends))
        return false;
    *ours = ends[reads ? 0 : 1];
    *others = ends[reads ? 1 : 0];
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
}

int lsy_popen(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    bool reads = !strcmp(mode, "r");
    int ours, others;
    luaL_argcheck(L, reads || !strcmp(mode, "w"), 2, "invalid mode");
    struct stream *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (struct stream){.own_group = sy_host_has_screen()}; /* closed: no closef */
    luaL_setmetatable(L, LUA_FILEHANDLE);
    fflush(NULL);
    if (!make_pipe(reads, &ours, &others))
        return luaL_fileresult(L, 0, command);
    int rc = start_shell(command, t->own_group, others, reads ? 1 : 0, &t->pid);
    close(others);
    t->s.f = rc ? NULL : fdopen(ours, mode);
    if (!t->s.f) {
        close(ours);
        errno = rc ? rc : errno;
        return luaL_fileresult(L, 0, command);
    }
    t->s.closef = close_stream;
    return 1;
}
