/* TAP output; see tap.h. */
#include "unit/tap.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count, failures;

static int report(int cond, const char *directive, const char *fmt, va_list ap)
{
    printf("%s %d - ", cond ? "ok" : "not ok", ++count);
    vprintf(fmt, ap);
    printf("%s\n", directive);
    fflush(stdout);
    failures += !cond;
    return cond != 0;
}

int tap_ok(int cond, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(cond, "", fmt, ap);
    va_end(ap);
    return cond != 0;
}

void tap_skip(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("ok %d # SKIP ", ++count);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

void tap_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("# ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

int tap_is_int(int64_t got, int64_t want, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(got == want, "", fmt, ap);
    va_end(ap);
    if (got != want)
        printf("# got %" PRId64 ", want %" PRId64 "\n", got, want);
    return got == want;
}

int tap_is_str(const char *got, const char *want, const char *fmt, ...)
{
    int same = got && want ? strcmp(got, want) == 0 : got == want;
    va_list ap;
    va_start(ap, fmt);
    report(same, "", fmt, ap);
    va_end(ap);
    if (!same)
        printf("# got '%s', want '%s'\n", got ? got : "(null)", want ? want : "(null)");
    return same;
}

bool tap_fast(void)
{
    const char *s = getenv("SY_TEST_FAST");
    return s && *s && strcmp(s, "0") != 0;
}

int tap_done(void)
{
    printf("1..%d\n", count);
    return failures ? 1 : 0;
}
