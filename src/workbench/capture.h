/* The process's standard streams while a screen has the terminal.  Layer workbench.
 *
 *     0 <- /dev/null     1, 2 -> pipe -> sy_capture_read        the terminal: sy_capture_in, _out
 *
 * So that whatever prints, in Lua, in C, in a library or a child, prints into the scrollback. */
#ifndef SY_WORKBENCH_CAPTURE_H
#define SY_WORKBENCH_CAPTURE_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>

int sy_capture_begin(struct sy_err *err);
void sy_capture_end(void);     /* the streams as they were */
void sy_capture_restore(void); /* 1 and 2 alone; async-signal-safe */
bool sy_capture_on(void);

int sy_capture_in(void); /* of the terminal; -1: not begun */
int sy_capture_out(void);
int sy_capture_fd(void);                       /* to poll on */
size_t sy_capture_read(char *bytes, size_t n); /* what is there now, at most n; never waits */

#endif
