/* A thread beside the main one.  Layer base.
 *
 *  1. Signals from outside are the main thread's business: none comes to this one.
 *  2. Its own faults do: were they blocked, the kernel would end the program without asking the
 *     handler that gives the terminal back.
 *  3. It has an alternate signal stack: a handler with SA_ONSTACK runs when its own is full. */
#ifndef SY_BASE_THREAD_H
#define SY_BASE_THREAD_H

#include <pthread.h>

/* As pthread_create: 0 or an errno.  The caller joins it. */
int sy_thread_start(pthread_t *thread, void *(*fn)(void *ctx), void *ctx);

/* Tests: let the n-th start from now (1 = the next) fail with EAGAIN; 0: none. */
void sy_thread_fail_at(int n);

/* The alternate signal stack of the main thread, which calls it. */
void sy_thread_main(void);

#endif
