/* The workbench's terminal: a panel, a scrollback and a line being typed, in one loop.  Layer
 * workbench: ties tui (what is drawn) to repl (what is typed); knows no Lua.  Clients: prompt, and
 * cli (watch).
 *
 *                         +--> keys: Readline --> line --> client.enter
 *     poll: terminal, ----+--> captured output --> scrollback
 *           two pipes     +--> wake: signals, notices, posts, client.woken
 *                         +--> a timer, while something may change
 *
 *  1. One thread, that which calls sy_workbench_run, but for sy_workbench_post.  It never waits for
 *     another.
 *  2. What is typed is drawn at once; panels at most SY_WORKBENCH_FPS times a second and only while
 *     a run lives; the scrollback at most SY_WORKBENCH_SCROLL_FPS times.  Nothing to do: no
 *     wake-up.
 *  3. From open to close the standard streams are captured (capture.h); at its end the normal
 *     screen has what the scrollback has got meanwhile. */
#ifndef SY_WORKBENCH_WORKBENCH_H
#define SY_WORKBENCH_WORKBENCH_H

#include "tui/panel.h"

#include <stdbool.h>

#define SY_WORKBENCH_FPS 10
#define SY_WORKBENCH_SCROLL_FPS 30

struct sy_workbench_client {
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
    /* What is printed may be coloured so (sy_sgr_pens; "": not at all), and is drawn of ASCII
     * alone, or not; or NULL. */
    void (*looks)(const char *pens, bool ascii);
    bool (*on_interrupt)(int number); /* SIGINT, in the signal handler; true: that was all */
    int poll_ms;        /* look for news of dead runs so often; 0: never */
};

enum sy_workbench_end {
    SY_WORKBENCH_GOES_ON,
    SY_WORKBENCH_LEFT, /* sy_workbench_leave */
    SY_WORKBENCH_PLAIN /* the plain screen was asked for; sy_workbench_run may be called again */
};

bool sy_workbench_built(void);    /* with what it takes */
bool sy_workbench_possible(void); /* a terminal that can do it, and built with what it takes */
/* Takes the terminal.  sy_edit_open was called before, with sy_workbench_keys and
 * sy_workbench_action. */
int sy_workbench_open(const struct sy_workbench_client *client, struct sy_err *err);
enum sy_workbench_end sy_workbench_run(void);
/* gives it back; the panel and the scrollback stay for the next open */
void sy_workbench_close(void);
void sy_workbench_free(void);
bool sy_workbench_is_open(void);

struct sy_edit_key;
const struct sy_edit_key *sy_workbench_keys(int *n);
void sy_workbench_action(int action);

/* ---- for the client, on the workbench's thread ---- */

struct sy_panel *sy_workbench_panel(void); /* NULL before the first open */
void sy_workbench_leave(void);
void sy_workbench_go_plain(void);
void sy_workbench_set_prompt(const char *prompt);
void sy_workbench_set_busy(bool busy); /* something runs: the prompt is dim */
void sy_workbench_echo(const char *prompt, const char *line);
/* a line of our own in the scrollback */
void sy_workbench_say(enum sy_role role, const char *text);
void sy_workbench_message(const char *text);                /* in the status line */
/* something else wrote to the terminal */
void sy_workbench_repaint(void);
/* Ask; answer gets what is entered, or NULL. */
void sy_workbench_ask(const char *question, void (*answer)(const char *text));
/* Until *done or for `milliseconds`: drain captured output, so that no writer waits for us. */
bool sy_workbench_wait(bool (*done)(void *ctx), void *ctx, int milliseconds);
/* How it looks: another number of colours or other symbols.  false: no such name. */
bool sy_workbench_theme(const char *name);
void sy_workbench_mouse(bool on);
/* colours of Lua in the line that is typed; on at the start */
void sy_workbench_highlight(bool on);
/* The screen as it is now, into a file: text, ANSI or SVG by its name's end. */
int sy_workbench_dump(const char *path, struct sy_err *err);

/* By name, as at the prompt behind a colon: dump overlay watch theme plain mouse filter losses
 * heat split.
 * 0, and *reply (maybe "") is to be shown; -1: *reply says why not. */
bool sy_workbench_knows(const char *name);
int sy_workbench_command(const char *name, const char *args, char *reply, size_t n);
/* Without a screen: -1 when it could not be done on any, and *reply says why. */
int sy_workbench_check(const char *name, const char *args, char *reply, size_t n);

/* Any thread: let fn(ctx) run on the workbench's thread soon.  false: no workbench is open. */
bool sy_workbench_post(void (*fn)(void *ctx), void *ctx);

#endif
