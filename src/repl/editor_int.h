/* Shared inside repl/. */
#ifndef SY_REPL_EDITOR_INT_H
#define SY_REPL_EDITOR_INT_H

#include "repl/editor.h"

/* The editor on Readline (readline_editor.c); absent without it. */
void sy__readline_open(const struct sy_edit_options *options);
void sy__readline_close(void);
enum sy_edit_event sy__readline_line(const char *prompt, char **line);
void sy__readline_remember(const char *line);
void sy__readline_leave(void);
void sy__readline_clear(void);
bool sy__lone_escape(void); /* is Readline waiting for what follows an Esc? */
/* The program's own keys (editor_keys.c): defined before the inputrc is read, bound between its
 * first and second reading, so that it has the last word. */
void sy__keys_define(const struct sy_edit_options *options);
void sy__keys_bind(void);
void *sy__keys_panes(void); /* a Keymap */
/* Functions of Readline's replaced by ours wherever they are bound (guard.c). */
struct sy__instead {
    int (*theirs)(int count, int key), (*ours)(int count, int key);
};
void sy__keys_replace(const struct sy__instead *list, size_t n);
void sy__keys_guard(void); /* after the inputrc was read: all of them */
void sy__keys_settle(void); /* between two keys: end a half one, or a prefix */
/* The rest of a key that is bound to nothing goes with it; the end of that, before anything
 * else. */
void sy__rest_begin(int key);
void sy__rest_end(void);
/* a Keymap: whatever comes is f's, and f's alone */
void *sy__keys_any(int (*f)(int count, int key));
int sy__escape_ms(void); /* keyseq-timeout: how long what follows an Esc may take; -1: for ever */
void sy__guard_open(void);
void sy__guard_size(void); /* after the terminal was asked for its size */
void sy__act(int action);    /* as if its key was pressed */
/* The lines entered before (history.c).  Line 0 is the oldest; line `count` is the one being
 * typed. */
void sy__history_open(const char *path); /* NULL: no file */
void sy__history_close(void);
void sy__history_bind(void);
void sy__search_bind(void); /* search.c */
int sy__history_count(void);
int sy__history_at(void);
const char *sy__history_line(int i);     /* borrowed; NULL: none */
bool sy__history_go(int to, int point);  /* point < 0: at the end.  false: there is no such line */
int sy__history_prefix(int direction, bool again); /* what begins as the line does before point */
/* The search while its text is typed (search.c): Readline functions, and its end before anything
 * that is no key. */
int sy__search_back(int count, int key);
int sy__search_on(int count, int key);
void sy__search_end(bool give_up);
/* What is typed, kept between the plain display and a screen's (readline_editor.c). */
void sy__typed_keep(void);
void sy__typed_restore(void);
/* The pipe and the terminal as it was found (wake.c). */
int sy__wake_open(void);
void sy__terminal_restore(void); /* async-signal-safe */
/* Lines without an editor (plain_editor.c). */
enum sy_edit_event sy__plain_line(const char *prompt, char **line);

/* Readline's completion over the client's (complete.c). */
void sy__complete_open(sy_edit_complete complete);

#endif
