/* The line editor: Readline behind its callback interface, or plain lines.  Layer repl, on base.
 *
 *  1. Only the main thread calls sy_edit_line and sy_edit_wait; they sleep in poll on the terminal
 *     and on a pipe, never inside Readline.
 *  2. Other threads and signal handlers reach it through that pipe: sy_edit_wake
 *     (async-signal-safe) and sy_edit_notice (a text that appears above the line being typed).
 *  3. Keys of the program's own are Readline functions with names: every one can be bound elsewhere
 *     in an inputrc under "$if switchyard", those of panes after "set keymap switchyard-panes".
 *  4. Between sy_edit_line calls the terminal is in the mode in which we found it, so a running
 *     chunk may read from it, and Ctrl-C and Ctrl-Z do what they always do.
 */
#ifndef SY_REPL_EDITOR_H
#define SY_REPL_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

enum sy_edit_event {
    SY_EDIT_LINE,      /* *line is owned by the caller: sy_free */
    SY_EDIT_END,       /* end of input (Ctrl-D on an empty line) */
    SY_EDIT_INTERRUPT, /* Ctrl-C on an empty line; with text on it the line is only cleared */
    SY_EDIT_TERMINATE, /* the system wants us to end (SIGTERM, SIGHUP) */
    SY_EDIT_AWAY       /* sy_edit_leave was called; what is typed is kept */
};

/* Bytes for sy_edit_wake. */
enum { SY_WAKE_INTERRUPT = 'i', SY_WAKE_DONE = 'd', SY_WAKE_STOP = 'z', SY_WAKE_SIZE = 'w',
       SY_WAKE_END = 't', SY_WAKE_NOTICE = 'n', SY_WAKE_POST = 'p' };

/* An owned (sy_free) block of candidates, one a line, for the word that ends at point; NULL: none;
 * *files set: complete a file name. */
typedef char *(*sy_edit_complete)(const char *line, size_t point, bool *files);

#define SY_EDIT_ACTIONS_MAX 64

struct sy_edit_key {
    int action;       /* 0 to SY_EDIT_ACTIONS_MAX - 1 */
    bool pane;        /* of the panes' keymap (line.h), else of every keymap */
    const char *name; /* of the function, for inputrc */
    const char *keys; /* Readline's notation, separated by spaces */
};

struct sy_edit_options {
    bool plain;          /* no line editor even on a terminal */
    const char *history; /* file, or NULL */
    sy_edit_complete complete;
    const struct sy_edit_key *keys;
    int nkeys;
    void (*action)(int action); /* one of the keys was pressed */
};

int sy_edit_open(const struct sy_edit_options *options); /* 0, or -1: no pipe */
void sy_edit_close(void);                                 /* restores the terminal */
bool sy_edit_is_terminal(void);                           /* are lines typed at a terminal? */

enum sy_edit_event sy_edit_line(const char *prompt, char **line);
/* While something runs: sleep until SY_WAKE_DONE (returns true) or SY_WAKE_END (false), or
 * `milliseconds` (-1: no limit; then false).  Notices are shown meanwhile. */
bool sy_edit_wait(int milliseconds);
void sy_edit_remember(const char *line); /* into the history */
void sy_edit_clear(void);                /* from an action: an empty screen */
void sy_edit_leave(void);                /* from an action: let sy_edit_line return SY_EDIT_AWAY */

/* For loops of their own (workbench): the pipe to poll on, its next byte (0: none), the next notice
 * (owned; NULL: none). */
int sy_wake_fd(void);
char sy_wake_take(void);
char *sy_notice_take(void);

void sy_edit_wake(char what);           /* async-signal-safe */
void sy_edit_notice(const char *text);  /* any thread */
void sy_edit_show_notices(void);        /* those that are left, when no line is read any more */
void sy_edit_restore_terminal(void);    /* async-signal-safe; before a fatal end */

#endif
