/* Shared inside repl/. */
#ifndef SY_REPL_EDIT_INT_H
#define SY_REPL_EDIT_INT_H

#include "repl/edit.h"

/* The editor on Readline (edit.c); absent without it. */
void sy__readline_open(const struct sy_edit_options *options);
void sy__readline_close(void);
enum sy_edit_event sy__readline_line(const char *prompt, char **line);
void sy__readline_remember(const char *line);
void sy__readline_leave(void);
void sy__readline_clear(void);
bool sy__lone_escape(void); /* is Readline waiting for what follows an Esc? */
/* The program's own keys (keys.c): defined before the inputrc is read, bound between its first and
 * second reading, so that it has the last word. */
void sy__keys_define(const struct sy_edit_options *options);
void sy__keys_bind(void);
void *sy__keys_panes(void); /* a Keymap */
void sy__act(int action);    /* as if its key was pressed */
/* What is typed, kept between the plain display and a screen's (edit.c). */
void sy__typed_keep(void);
void sy__typed_restore(void);
/* Lines without an editor (plain.c). */
enum sy_edit_event sy__plain_line(const char *prompt, char **line);

/* Readline's completion over the client's (complete.c). */
void sy__complete_open(sy_edit_complete complete);

#endif
