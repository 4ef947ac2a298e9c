/* engine.start(run, what, command, {NAME = text}): a command of the shell's beside the program,
 * with these in its environment.  Layer bind/thread.
 *
 *     start --> its process, in a session of its own --> ends --> one line of the run if it failed
 *           \-> a thread that waits for it alone -----------------^
 *
 *  1. Nobody waits: neither the run nor the prompt.  When the program ends the command goes on.
 *  2. It has no terminal: its standard streams are /dev/null, and in a session of its own
 *     /dev/tty is nothing; Ctrl-C at the prompt does not reach it.  Its signals are as at a
 *     login. */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/thread/open.h"
#include "bind/thread/progress.h"

#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

struct command { /* owned by the thread that waits */
    pid_t pid;
    char run[72], what[160];
};

static void tell_end(const struct command *c, int status)
{
    char text[256];
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "%s: the command was ended by signal %d", c->what,
                 WTERMSIG(status));
    else
        snprintf(text, sizeof text, "%s: the command failed: exit status %d", c->what,
                 WEXITSTATUS(status));
    lsy_progress_event(c->run, SY_EVENT_NOTE, text);
}

static void *wait_for_end(void *ctx)
{
    struct command *c = ctx;
    int status = 0;
    pid_t ended;
    pthread_detach(pthread_self());
    do
        ended = waitpid(c->pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended == c->pid && status)
        tell_end(c, status);
    sy_free(c);
    return NULL;
}

static int spawn_shell(const char *text, char **env, pid_t *pid)
{
    char shell[] = "sh", flag[] = "-c";
    union {
        const char *in;
        char *out;
    } line = {.in = text}; /* posix_spawn does not write to it */
    char *argv[] = {shell, flag, line.out, NULL};
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t files;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                            POSIX_SPAWN_SETSID));
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    int rc = posix_spawn(pid, "/bin/sh", &files, &attr, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return rc;
}

/* Ours and "NAME=text" of the table at 4, whose texts stay on the stack: borrowed from there. */
static char **environment(lua_State *L)
{
    size_t n = 0, more = 0;
    while (environ[n])
        n++;
    lua_pushnil(L);
    while (lua_next(L, 4)) {
        more++;
        lua_pop(L, 1);
    }
    char **env = lua_newuserdatauv(L, (n + more + 1) * sizeof *env, 0);
    int at = lua_gettop(L);
    luaL_checkstack(L, (int)more + 4, "start");
    memcpy(env, environ, n * sizeof *env);
    lua_pushnil(L);
    while (lua_next(L, 4)) {
        union {
            const char *in;
            char *out;
        } text = {.in = lua_pushfstring(L, "%s=%s", lua_tostring(L, -2), lua_tostring(L, -1))};
        env[n++] = text.out;
        lua_insert(L, at + 1); /* below the key */
        lua_pop(L, 1);
    }
    env[n] = NULL;
    return env;
}

/* engine.start(...) -> true, or nil and why it did not start */
static int l_start(lua_State *L)
{
    const char *run = luaL_checkstring(L, 1), *what = luaL_checkstring(L, 2);
    const char *text = luaL_checkstring(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    char **env = environment(L);
    struct command *c = sy_calloc(1, sizeof *c);
    pthread_t thread;
    if (!c)
        return lsy_error(L, "start: out of memory");
    snprintf(c->run, sizeof c->run, "%s", run);
    snprintf(c->what, sizeof c->what, "%s", what);
    int rc = spawn_shell(text, env, &c->pid);
    if (rc) {
        sy_free(c);
        lua_pushnil(L);
        lua_pushfstring(L, "the command could not be started: %s", strerror(rc));
        return 2;
    }
    if (sy_thread_start(&thread, wait_for_end, c))
        sy_free(c); /* how it ends is not told */
    lua_pushboolean(L, true);
    return 1;
}

static const luaL_Reg functions[] = {{"start", l_start}, {NULL, NULL}};

void lsy_open_command(lua_State *L) { lsy_add_functions(L, functions); }
