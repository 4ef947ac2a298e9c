/* SY_ASSERT: for our own bugs only.  Calls the handler (the program installs one that restores the
 * terminal and prints a report), then aborts.  Never used on user input or on the world's
 * failures. */
#ifndef SY_BASE_ASSERT_H
#define SY_BASE_ASSERT_H

#define SY_ASSERT(cond) ((cond) ? (void)0 : sy_assert_failed(#cond, __FILE__, __LINE__, __func__))

typedef void (*sy_assert_handler)(const char *cond, const char *file, int line, const char *func);
void sy_assert_set_handler(sy_assert_handler handler);
_Noreturn void sy_assert_failed(const char *cond, const char *file, int line, const char *func);

#endif
