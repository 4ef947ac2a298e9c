/* A growing byte string.  `data` is always NUL-terminated once something was added.  On memory
 * failure the string keeps what it has and `failed` is set; check once at the end. */
#ifndef SY_BASE_STR_H
#define SY_BASE_STR_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
struct sy_str {
    char *data; /* owned */
    size_t len, cap;
    bool failed;
};
#define SY_STR_INIT {0, 0, 0, 0}
void sy_str_add(struct sy_str *s, const void *bytes, size_t n);
void sy_str_puts(struct sy_str *s, const char *text);
void sy_str_printf(struct sy_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sy_str_vprintf(struct sy_str *s, const char *fmt, va_list ap);
void sy_str_clear(struct sy_str *s); /* len 0, keeps the memory */
void sy_str_free(struct sy_str *s);

/* Edit distance for "did you mean": the nearest of `names` (NULL-terminated), or NULL when none is
 * within (len + 1)/3 edits, at least 1 (insert, delete, replace, swap of neighbours).  Of two
 * letters none may be replaced: the names of so few are all near each other. */
const char *sy_nearest(const char *word, const char *const *names);
/* "18.4k", "1.2M", "312": three digits, for people. */
void sy_human(double value, char out[16]);
/* "1.31 GB" for bytes, decimal units. */
void sy_human_bytes(double bytes, char out[16]);
/* "2m10s", "3h05m", "4d2h"; "-": not known, or over 1e9 s. */
void sy_human_duration(double seconds, char out[16]);
#endif
