/* See thread.h. */
#include "base/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>

/* More than a signal's frame with the widest registers, and what a handler needs. */
#define AFTER_OVERFLOW 49152

struct start {
    void *(*fn)(void *ctx);
    void *ctx;
    sem_t taken; /* the starter may return */
};

static void use_stack(void *stack, size_t size, stack_t *before)
{
    stack_t s = {.ss_sp = stack, .ss_size = size};
    sigaltstack(&s, before);
}

/* The other stack is the oldest part of its own, which an overflow does not reach. */
static void *run_thread(void *arg)
{
    char spare[AFTER_OVERFLOW] __attribute__((aligned(64)));
    struct start *start = arg;
    void *(*fn)(void *ctx) = start->fn;
    void *ctx = start->ctx;
    stack_t before;
    sem_post(&start->taken);
    use_stack(spare, sizeof spare, &before);
    void *result = fn(ctx);
    sigaltstack(&before, NULL);
    return result;
}

void sy_thread_main(void)
{
    static char spare[AFTER_OVERFLOW] __attribute__((aligned(64)));
    use_stack(spare, sizeof spare, NULL);
}

static _Atomic int fail_at;

void sy_thread_fail_at(int n) { fail_at = n; }

int sy_thread_start(pthread_t *thread, void *(*fn)(void *ctx), void *ctx)
{
    if (fail_at > 0 && --fail_at == 0)
        return EAGAIN;
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    struct start start = {fn, ctx, {{0}}};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    sem_init(&start.taken, 0, 0);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, run_thread, &start);
    while (!rc && sem_wait(&start.taken) && errno == EINTR)
        continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sem_destroy(&start.taken);
    return rc;
}
