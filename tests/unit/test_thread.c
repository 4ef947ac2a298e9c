/* Threads beside the main one: no signal from outside comes to them, and their own faults do. */
#include "unit/tap.h"

#include "base/thread.h"

#include <signal.h>

static void *mask_of(void *ctx)
{
    pthread_sigmask(SIG_SETMASK, NULL, ctx);
    return NULL;
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
    return tap_done();
}
