/* Threads beside the main one: no signal from outside comes to them, and their own faults do,
 * a full stack among them. */
#include "unit/tap.h"

#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void *mask_of(void *ctx)
{
    pthread_sigmask(SIG_SETMASK, NULL, ctx);
    return NULL;
}

static void on_fault(int number)
{
    _exit(number == SIGSEGV ? 42 : 43);
}

static int deeper(volatile char *above)
{
    volatile char here[1024];
    here[0] = above[0];
    if (above[0]) /* never */
        return 0;
    return deeper(here) + here[1]; /* no tail call */
}

static void *fill_stack(void *ctx)
{
    volatile char top[1] = {0};
    (void)ctx;
    (void)deeper(top);
    return NULL;
}

/* The status of a child whose main thread, or another one, fills its stack. */
static int overflow(bool beside)
{
    int status = -1;
    pid_t child = fork();
    if (!child) {
        struct sigaction a = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
        struct rlimit small = {1 << 20, 1 << 20}, none = {0, 0};
        setrlimit(RLIMIT_STACK, &small);
        setrlimit(RLIMIT_CORE, &none);
        sigaction(SIGSEGV, &a, NULL);
        sy_thread_main();
        pthread_t thread;
        if (!beside)
            fill_stack(NULL);
        else if (!sy_thread_start(&thread, fill_stack, NULL))
            pthread_join(thread, NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
    sigset_t mask, before, after;
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    int rc = sy_thread_start(&thread, mask_of, &mask);
    tap_ok(rc == 0 && pthread_join(thread, NULL) == 0, "a thread starts and ends");
    tap_ok(sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1 &&
               sigismember(&mask, SIGHUP) == 1 && sigismember(&mask, SIGWINCH) == 1 &&
               sigismember(&mask, SIGALRM) == 1,
           "signals from outside are not its business");
    tap_ok(sigismember(&mask, SIGSEGV) == 0 && sigismember(&mask, SIGBUS) == 0 &&
               sigismember(&mask, SIGFPE) == 0 && sigismember(&mask, SIGILL) == 0 &&
               sigismember(&mask, SIGABRT) == 0,
           "its faults are");
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    tap_ok(sigismember(&before, SIGTERM) == sigismember(&after, SIGTERM) &&
               sigismember(&before, SIGINT) == sigismember(&after, SIGINT),
           "who starts it is as before");
    sy_thread_fail_at(2);
    rc = sy_thread_start(&thread, mask_of, &mask);
    tap_ok(rc == 0 && pthread_join(thread, NULL) == 0 &&
               sy_thread_start(&thread, mask_of, &mask) == EAGAIN,
           "one that is to fail fails");
    rc = sy_thread_start(&thread, mask_of, &mask);
    tap_ok(rc == 0 && pthread_join(thread, NULL) == 0, "and the next does not");
    tap_is_int(overflow(true), 42, "its stack is full: the handler runs");
    tap_is_int(overflow(false), 42, "so it does for the main thread");
    return tap_done();
}
