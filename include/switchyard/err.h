/* Error values: a code and one line of text.
 *
 * Every function that can fail on account of its caller or of the world takes a `struct sy_err *`
 * as its last argument (NULL is allowed) and returns 0 / -1 or a pointer / NULL.  The first error
 * set wins: a later sy_err_set on the same value is ignored, so cleanup code cannot hide the cause.
 * A message reads `operation: reason: actual values`, has no newline and no C file name.
 */
#ifndef SWITCHYARD_ERR_H
#define SWITCHYARD_ERR_H

#define SY_ERR_MAP(X)                                                                              \
    X(OK, "ok")                                                                                    \
    X(SHAPE, "shapes do not fit")                                                                  \
    X(DTYPE, "dtype not supported here")                                                           \
    X(TYPE, "wrong type of argument")                                                              \
    X(RANGE, "value out of range")                                                                 \
    X(NAME, "unknown name")                                                                        \
    X(MEMORY, "out of memory")                                                                     \
    X(IO, "input or output failed")                                                                \
    X(FORMAT, "malformed data")                                                                    \
    X(NOTFOUND, "not found")                                                                       \
    X(NUMERIC, "not a finite number")                                                              \
    X(STATE, "not possible in this state")                                                         \
    X(UNSUPPORTED, "not supported")                                                                \
    X(CANCELLED, "cancelled")

enum sy_code {
#define X(name, text) SY_E_##name,
    SY_ERR_MAP(X)
#undef X
};

struct sy_err {
    enum sy_code code; /* SY_E_OK: no error */
    char msg[496];     /* UTF-8, NUL-terminated, cut at a character's border */
};

#define SY_ERR_INIT {SY_E_OK, {0}}

/* Set code and formatted message if `err` is not NULL and holds no error yet.  Always returns -1,
 * so that `return sy_err_set(err, ...)` reads well. */
int sy_err_set(struct sy_err *err, enum sy_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "prefix: " before an existing message (no-op when there is none).  Always returns -1. */
int sy_err_prefix(struct sy_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Causes of our own beside errno's: of sy_file_open (base/file.h). */
enum { SY_NOT_A_FILE = 100001, SY_IS_A_LINK };
/* Append ": strerror(errno_value)" style cause of a system call.  Sets code IO.  Returns -1. */
int sy_err_sys(struct sy_err *err, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

const char *sy_code_name(enum sy_code code); /* "SHAPE" */
const char *sy_code_text(enum sy_code code); /* "shapes do not fit" */

#endif
