/* See thread.h. */
#include "base/thread.h"

#include <signal.h>
#include <stddef.h>

int sy_thread_start(pthread_t *thread, void *(*fn)(void *ctx), void *ctx)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, fn, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
