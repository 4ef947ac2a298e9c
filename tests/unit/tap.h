/* TAP (Test Anything Protocol) for C tests: one line a case on standard output.
 *
 *     int main(void)
 *     {
 *         tap_ok(1 + 1 == 2, "addition");
 *         return tap_done();
 *     }
 */
#ifndef SY_TESTS_TAP_H
#define SY_TESTS_TAP_H

#include <stdbool.h>
#include <stdint.h>

/* Report one case; returns cond != 0. */
int tap_ok(int cond, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Report a case as skipped and why. */
void tap_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A comment line in the log. */
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Compare and say what was found when they differ. */
int tap_is_int(int64_t got, int64_t want, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int tap_is_str(const char *got, const char *want, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* true when SY_TEST_FAST asks to leave out what takes long */
bool tap_fast(void);
/* Print the plan; the exit status of main: 0 when all cases passed. */
int tap_done(void);


#endif
