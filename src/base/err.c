/* Error values; include/switchyard/err.h has the contract.  Layer base.
 *
 *  1. The first error stays; every setter returns -1.
 *  2. A message is never cut inside a character: err_end() backs up to the last whole one.
 *  3. Nothing here allocates, so that an out-of-memory error can always be reported.
 */
#include "switchyard/err.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Terminate a message that was cut by vsnprintf, at a character's border. */
static void cut_at_character(char *msg, size_t size, int wanted)
{
    if (wanted < 0) {
        msg[0] = '\0';
        return;
    }
    if ((size_t)wanted < size)
        return;
    size_t end = size - 1, start = end;
    while (start > 0 && end - start < 3 && ((unsigned char)msg[start - 1] & 0xC0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)msg[start - 1] >= 0xC0)
        start--;
    uint32_t code;
    size_t n = end - start;
    /* A last character that is whole stays; text that was no UTF-8 to begin with is left alone. */
    if (n > 0 && (unsigned char)msg[start] >= 0xC0 && sy_utf8_decode(msg + start, n, &code) == 0)
        msg[start] = '\0';
}

static void set_message(struct sy_err *err, const char *fmt, va_list ap)
{
    int wanted = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    cut_at_character(err->msg, sizeof err->msg, wanted);
}

int sy_err_set(struct sy_err *err, enum sy_code code, const char *fmt, ...)
{
    if (!err || err->code != SY_E_OK)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    set_message(err, fmt, ap);
    va_end(ap);
    err->code = code;
    return -1;
}

int sy_err_prefix(struct sy_err *err, const char *fmt, ...)
{
    if (!err || err->code == SY_E_OK)
        return -1;
    struct sy_err prefix = SY_ERR_INIT;
    va_list ap;
    va_start(ap, fmt);
    set_message(&prefix, fmt, ap);
    va_end(ap);

    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    int wanted = snprintf(err->msg, sizeof err->msg, "%s: %s", prefix.msg, old);
    cut_at_character(err->msg, sizeof err->msg, wanted);
    return -1;
}

static const char *cause_of(int errno_value, char *buffer, size_t room)
{
    return errno_value == SY_NOT_A_FILE  ? "it is not a regular file"
           : errno_value == SY_IS_A_LINK ? "it is a symbolic link"
                                         : strerror_r(errno_value, buffer, room);
}

int sy_err_sys(struct sy_err *err, int errno_value, const char *fmt, ...)
{
    if (!err || err->code != SY_E_OK)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    set_message(err, fmt, ap);
    va_end(ap);

    char buffer[128];
    const char *cause = cause_of(errno_value, buffer, sizeof buffer);
    size_t used = strlen(err->msg), room = sizeof err->msg - used;
    int wanted = snprintf(err->msg + used, room, ": %s", cause);
    if (wanted >= 0 && (size_t)wanted >= room)
        cut_at_character(err->msg, sizeof err->msg, (int)sizeof err->msg);
    err->code = SY_E_IO;
    return -1;
}

const char *sy_code_name(enum sy_code code)
{
    switch (code) {
#define X(name, text)                                                                              \
    case SY_E_##name:                                                                              \
        return #name;
        SY_ERR_MAP(X)
#undef X
    }
    return "UNKNOWN";
}

const char *sy_code_text(enum sy_code code)
{
    switch (code) {
#define X(name, text)                                                                              \
    case SY_E_##name:                                                                              \
        return text;
        SY_ERR_MAP(X)
#undef X
    }
    return "unknown error";
}
