/* Progress and cancellation of long work (reading a corpus, training a tokenizer).
 *
 * The work calls fn(ctx, fraction) now and then, with 0 <= fraction <= 1 that never falls, always
 * from the thread that called into the engine.  A result other than 0 asks for an end: the work
 * frees what it holds and reports CANCELLED.  A NULL pointer or a NULL fn means nobody watches.
 *
 * stop, where it is given, is asked in between, from any thread: not 0 asks for an end as well. */
#ifndef SWITCHYARD_PROGRESS_H
#define SWITCHYARD_PROGRESS_H

struct sy_progress {
    int (*fn)(void *ctx, double fraction);
    void *ctx;
    int (*stop)(void);
};

#endif
