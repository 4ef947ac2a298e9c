/* Shared inside repl/. */
#ifndef SY_REPL_EDIT_INT_H
#define SY_REPL_EDIT_INT_H

#include "repl/edit.h"

/* The pipe and the notices (wake.c). */
int sy__wake_open(void);
int sy__wake_fd(void);
char sy__wake_take(void);           /* next byte, or 0: none */
char *sy__notice_take(void);        /* owned, or NULL */

/* The editor on Readline (edit.c); absent without it. */
void sy__readline_open(const struct sy_edit_options *options);
void sy__readline_close(void);
enum sy_edit_event sy__readline_line(const char *prompt, char **line);
void sy__readline_remember(const char *line);
/* Lines without an editor (plain.c). */
enum sy_edit_event sy__plain_line(const char *prompt, char **line);

/* Readline's completion over the client's (complete.c). */
void sy__complete_open(sy_edit_complete complete);

#endif
