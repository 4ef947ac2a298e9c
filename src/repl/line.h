/* Readline inside a screen that somebody else draws.  Layer repl, on base.
 *
 *     poll says readable --sy_line_read--> Readline --> enter, action, list, bell
 *                                              \--> sy_line_view: what stands at the prompt now
 *
 *  1. One thread; nothing here sleeps, but for the end of a paste that has begun and a completion.
 *  2. Readline writes nothing: no terminal modes, no signals, no redisplay of its own.
 *  3. Every key goes through Readline's keymaps, those of panes, too (editor.h, 3).
 *  4. A lone Esc is a key after keyseq-timeout: sy_line_timeout says when to call sy_line_expire.
 */
#ifndef SY_REPL_LINE_H
#define SY_REPL_LINE_H

#include "repl/editor.h"

#include <stdbool.h>
#include <stddef.h>

struct sy_line_options {
    int in;    /* the terminal; borrowed */
    int leave; /* the action of Esc */
    char only; /* 0, or a letter that leaves the panes for the prompt, where it is read again */
    void (*unknown)(void *ctx, int key); /* a key that panes do not have */
    void (*any)(void *ctx);              /* sy_line_set_any: a key came, which is over with that */
    void (*enter)(void *ctx, const char *line);         /* NULL: end (Ctrl-D on an empty line) */
    void (*list)(void *ctx, char *const *words, int n); /* candidates of a completion */
    void (*bell)(void *ctx);
    /* A report of the mouse (SGR, 1006): cell from 0; only when the screen has asked for them. */
    void (*mouse)(void *ctx, int button, int x, int y, bool press);
    /* Ctrl-C, in its place among the keys: sy_line_cancel does the rest. */
    void (*interrupt)(void *ctx);
    void (*closed)(void *ctx); /* the terminal is at its end, and will say so for ever */
    void *ctx;
};

struct sy_line_view {
    const char *prompt, *text; /* borrowed until the next call */
    size_t n, point;
    size_t from, to; /* an active region, or from == to */
};

/* After sy_edit_open, whose options hold history, completion, keys and their actions.  Between
 * begin and end Readline is this screen's; before and after sy_edit_line works.  -1: built without
 * Readline, or no memory. */
int sy_line_begin(const struct sy_line_options *options, const char *prompt);
void sy_line_end(void);

void sy_line_read(void);
int sy_line_timeout(void); /* milliseconds, -1: nothing to wait for */
void sy_line_expire(void); /* does nothing before that */
/* What is to be seen.  true: it changed since the last call. */
bool sy_line_view(struct sy_line_view *view);

void sy_line_set_prompt(const char *prompt);
void sy_line_set_text(const char *text); /* instead of what is typed; the cursor at its end */
void sy_line_set_size(int rows, int columns);
void sy_line_set_panes(bool on);
bool sy_line_panes(void);
void sy_line_set_any(bool on); /* the next key, whatever it is, is for `any` alone */
/* Ctrl-C: give up searches and half-typed keys, clear the line.  true: there was nothing. */
bool sy_line_cancel(void);

/* Another text is asked for: what is typed waits until sy_line_answered. */
void sy_line_ask(const char *prompt);
void sy_line_answered(void);
bool sy_line_asking(void);

#endif
