/* See bus.h.  The handler calls only what its minders do, and sigaction. */
#include "base/bus.h"

#include "base/assert.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

enum { MINDERS = 4 };

static _Atomic(bool (*)(uintptr_t)) minders[MINDERS];
static struct sigaction before;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_bus(int sig, siginfo_t *info, void *context)
{
    const int had = errno;
    const bool sent = info->si_code <= 0; /* by somebody, and has no address */
    bool mended = false;
    for (int i = 0; i < MINDERS && !mended && !sent; i++) {
        bool (*fn)(uintptr_t) = atomic_load(&minders[i]);
        mended = fn && fn((uintptr_t)info->si_addr);
    }
    if (!mended) {
        sigaction(sig, &before, NULL); /* the access comes again, */
        if (sent && before.sa_flags & SA_SIGINFO) /* but what was sent does not */
            before.sa_sigaction(sig, info, context);
        else if (sent)
            raise(sig);
    }
    errno = had;
}

void sy_bus_again(void)
{
    struct sigaction a = {.sa_flags = (int)(SA_SIGINFO | SA_ONSTACK)}, now;
    pthread_mutex_lock(&lock);
    a.sa_sigaction = on_bus;
    sigemptyset(&a.sa_mask);
    if (atomic_load(&minders[0]) && !sigaction(SIGBUS, NULL, &now) && now.sa_sigaction != on_bus) {
        before = now;
        sigaction(SIGBUS, &a, NULL);
    }
    pthread_mutex_unlock(&lock);
}

void sy_bus_mind(bool (*fn)(uintptr_t at))
{
    bool minded = false;
    for (int i = 0; i < MINDERS && !minded; i++) {
        bool (*none)(uintptr_t) = NULL;
        minded = atomic_compare_exchange_strong(&minders[i], &none, fn) || none == fn;
    }
    SY_ASSERT(minded);
    sy_bus_again();
}
