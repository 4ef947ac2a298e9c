/* See tell.h. */
#include "repl/tell.h"

#include "base/str.h"
#include "base/sanitize.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sy_tell(const char *fmt, ...)
{
    struct sy_str text = SY_STR_INIT, safe = SY_STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    sy_str_vprintf(&text, fmt, ap);
    va_end(ap);
    sy_utf8_line(&safe, text.data ? text.data : "", text.len);
    fprintf(stderr, "switchyard: %s\n", safe.data && !safe.failed ? safe.data : "out of memory");
    sy_str_free(&text);
    sy_str_free(&safe);
}

void sy_tell_text(const char *text)
{
    struct sy_str safe = SY_STR_INIT;
    sy_utf8_line(&safe, text, strlen(text));
    fputs(safe.data ? safe.data : "", stdout);
    sy_str_free(&safe);
}
