/* The workbench's terminal: a panel, a scrollback and a line being typed, in one loop.  Layer desk:
 * ties tui (what is drawn) to repl (what is typed); knows no Lua.  Clients: prompt, and command
 * (watch).
 *
 *                         +--> keys: Readline --> line --> client.enter
 *     poll: terminal, ----+--> captured output --> scrollback
 *           two pipes     +--> wake: signals, notices, posts, client.woken
 *                         +--> a timer, while something may change
 *
 *  1. One thread, that which calls sy_desk_run, but for sy_desk_post.  It never waits for another.
 *  2. What is typed is drawn at once; panels at most SY_DESK_FPS times a second and only while a
 *     run lives; the scrollback at most SY_DESK_SCROLL_FPS times.  Nothing to do: no wake-up.
 *  3. From open to close the standard streams are captured (capture.h); at its end the normal
 *     screen has what the scrollback has got meanwhile. */
#ifndef SY_DESK_DESK_H
#define SY_DESK_DESK_H

#include "tui/panel.h"

#include <stdbool.h>

#define SY_DESK_FPS 10
#define SY_DESK_SCROLL_FPS 30

struct sy_desk_client {
    const char *prompt; /* at the beginning */
    const char *hint;   /* in the status line while there is nothing else to say, or NULL */
    bool panes;         /* keys are the panes' whenever the prompt is not asked for */
    void (*enter)(const char *line);
    void (*end)(void);                           /* Ctrl-D on an empty line */
    void (*interrupted)(void);                   /* Ctrl-C with nothing typed, or while busy */
    void (*woken)(void);                         /* something woke the loop: look what */
    void (*terminate)(int signal);               /* the system wants us to end */
    void (*request)(const struct sy_request *r); /* pause, resume, mark */
    void (*resized)(int w, int h);               /* and at the beginning */
    bool (*on_interrupt)(int number); /* SIGINT, in the signal handler; true: that was all */
    int poll_ms;        /* look for news of dead runs so often; 0: never */
};

enum sy_desk_end {
    SY_DESK_LEFT, /* sy_desk_leave */
    SY_DESK_PLAIN /* the plain screen was asked for; sy_desk_run may be called again */
};

bool sy_desk_built(void);    /* with what it takes */
bool sy_desk_possible(void); /* a terminal that can do it, and built with what it takes */
/* Takes the terminal.  sy_edit_open was called before, with sy_desk_keys and sy_desk_action. */
int sy_desk_open(const struct sy_desk_client *client, struct sy_err *err);
enum sy_desk_end sy_desk_run(void);
void sy_desk_close(void); /* gives it back; the panel and the scrollback stay for the next open */
void sy_desk_free(void);
bool sy_desk_is_open(void);

struct sy_edit_key;
const struct sy_edit_key *sy_desk_keys(int *n);
void sy_desk_action(int action);

/* ---- for the client, on the desk's thread ---- */

struct sy_panel *sy_desk_panel(void); /* NULL before the first open */
void sy_desk_leave(void);
void sy_desk_go_plain(void);
void sy_desk_set_prompt(const char *prompt);
void sy_desk_set_busy(bool busy); /* something runs: the prompt is dim */
void sy_desk_echo(const char *prompt, const char *line);
void sy_desk_say(enum sy_role role, const char *text); /* a line of our own in the scrollback */
void sy_desk_message(const char *text);                /* in the status line */
void sy_desk_repaint(void);                            /* something else wrote to the terminal */
/* Ask; answer gets what is entered, or NULL. */
void sy_desk_ask(const char *question, void (*answer)(const char *text));
/* Until *done or for `milliseconds`: drain captured output, so that no writer waits for us. */
bool sy_desk_wait(bool (*done)(void *ctx), void *ctx, int milliseconds);
/* How it looks: another number of colours or other symbols.  false: no such name. */
bool sy_desk_theme(const char *name);
const char *sy_desk_theme_names(void);
void sy_desk_mouse(bool on);
void sy_desk_highlight(bool on); /* colours of Lua in the line that is typed; on at the start */
/* The screen as it is now, into a file: text, ANSI or SVG by its name's end. */
int sy_desk_dump(const char *path, struct sy_err *err);

/* By name, as at the prompt behind a colon: dump overlay watch theme plain mouse filter split.
 * 0, and *reply (maybe "") is to be shown; -1: *reply says why not. */
bool sy_desk_knows(const char *name);
int sy_desk_command(const char *name, const char *args, char *reply, size_t n);
/* Without a screen: -1 when it could not be done on any, and *reply says why. */
int sy_desk_check(const char *name, const char *args, char *reply, size_t n);

/* Any thread: let fn(ctx) run on the desk's thread soon.  false: no desk is open. */
bool sy_desk_post(void (*fn)(void *ctx), void *ctx);

#endif
