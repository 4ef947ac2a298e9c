/* The end of a program that found its own bug; see base/assert.h.  The only place in the engine
 * that may abort (tests/symbols.sh). */
#include "base/assert.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic(sy_assert_handler) installed;

void sy_assert_set_handler(sy_assert_handler handler)
{
    atomic_store(&installed, handler);
}

/* Without a handler (tests, early start-up): one line by write(2), which needs no working stdio. */
static void report_failure(const char *cond, const char *file, int line, const char *func)
{
    char text[512];
    int n = snprintf(text, sizeof text, "switchyard: internal error: %s (%s:%d, %s)\n", cond, file,
                     line, func);
    if (n >= (int)sizeof text)
        n = (int)sizeof text - 1;
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        return;
}

void sy_assert_failed(const char *cond, const char *file, int line, const char *func)
{
    /* Taken away first, so that a handler that fails itself cannot recurse. */
    sy_assert_handler handler = atomic_exchange(&installed, NULL);
    if (handler)
        handler(cond, file, line, func);
    else
        report_failure(cond, file, line, func);
    abort();
}
