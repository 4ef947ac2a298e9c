/* The editor on GNU Readline, by its callback interface.  Layer repl.
 *
 *     poll(terminal, pipe) -> rl_callback_read_char -> on_line -> sy__readline_line returns
 *
 * A notice clears the visible line, is printed, and the line is drawn again below it.  A lone Esc
 * would swallow the next key: while Readline waits for what follows it, poll waits for
 * keyseq-timeout at most. */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/editor_int.h"

#include "base/mem.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <readline/readline.h>

#define ESC_MS "200" /* what follows an Esc may come over a network */
#define VI_ESC_MS "25"

static char *entered; /* by on_line; malloc'd by Readline */
static bool got_line, got_end, leaving;

static void on_line(char *text)
{
    got_line = text != NULL;
    got_end = text == NULL;
    entered = text;
    rl_callback_handler_remove();
}

/* ---- what is typed, between two displays ---- */

static char *typed;
static int typed_point;

void sy__typed_keep(void)
{
    sy__search_end(false);
    sy_free(typed);
    typed = rl_end ? sy_strdup(rl_line_buffer) : NULL;
    typed_point = rl_point;
}

void sy__typed_restore(void)
{
    if (!typed)
        return;
    rl_insert_text(typed);
    rl_point = typed_point;
    sy_free(typed);
    typed = NULL;
}

void sy__readline_open(const struct sy_edit_options *options)
{
    rl_readline_name = "switchyard";
    rl_catch_signals = 0;
    rl_catch_sigwinch = 0;
    rl_change_environment = 0;
    sy__keys_define(options);
    rl_variable_bind("show-all-if-ambiguous", "on");
    rl_variable_bind("keyseq-timeout", ESC_MS);
    rl_initialize(); /* reads the user's file */
    sy__keys_bind();
    rl_set_keymap_from_edit_mode(); /* whatever "set keymap" left */
    rl_read_init_file(NULL);        /* again: it may change any of our keys */
    rl_set_keymap_from_edit_mode();
    rl_variable_bind("blink-matching-paren", "off"); /* it sleeps */
    if (rl_editing_mode == 0 && sy__escape_ms() == atoi(ESC_MS)) /* nobody has set it */
        rl_variable_bind("keyseq-timeout", VI_ESC_MS); /* Readline sleeps in it */
    sy__guard_size();
    sy__guard_open();
    sy__keys_guard();
    sy__history_open(options->history);
    if (options->complete)
        sy__complete_open(options->complete);
}

void sy__readline_close(void)
{
    rl_callback_handler_remove();
    sy__history_close();
}

/* ---- events ---- */

static void show_notices(void)
{
    char *text;
    while ((text = sy_notice_take())) {
        rl_clear_visible_line();
        printf("%s\n", text);
        fflush(stdout);
        rl_on_new_line();
        rl_redisplay();
        sy_free(text);
    }
}

/* Ctrl-C.  True when the line was empty. */
static bool clear_line(void)
{
    sy__search_end(true);
    bool empty = rl_end == 0;
    sy__keys_settle();
    if (!empty) {
        rl_point = rl_end;
        rl_redisplay();
        fputs("^C\n", stdout);
        fflush(stdout);
        rl_replace_line("", 1);
        rl_on_new_line();
        rl_redisplay();
    }
    return empty;
}

static void suspend_process(const char *prompt)
{
    sy__typed_keep();
    rl_callback_handler_remove();
    fputs("\n", stdout);
    fflush(stdout);
    kill(getpid(), SIGSTOP);
    rl_callback_handler_install(prompt, on_line);
    sy__typed_restore();
    rl_redisplay();
}

/* One byte from the pipe; true: *event is the result. */
static bool on_wake(char what, const char *prompt, enum sy_edit_event *event)
{
    switch (what) {
    case SY_WAKE_NOTICE: show_notices(); return false;
    case SY_WAKE_SIZE: rl_resize_terminal(); sy__guard_size(); return false;
    case SY_WAKE_STOP: suspend_process(prompt); return false;
    case SY_WAKE_INTERRUPT: *event = SY_EDIT_INTERRUPT; return clear_line();
    case SY_WAKE_END: *event = SY_EDIT_TERMINATE; return true;
    default: return false;
    }
}

/* A sequence has begun with Esc and nothing else; a Ctrl-X may wait as long as it likes. */
bool sy__lone_escape(void)
{
    return RL_ISSTATE(RL_STATE_MULTIKEY) && rl_key_sequence_length > 0 &&
           rl_executing_keyseq[rl_key_sequence_length - 1] == '\033';
}

void sy__readline_leave(void) { leaving = true; }
void sy__readline_clear(void) { rl_clear_screen(1, 0); }

static bool wait_event(const char *prompt, enum sy_edit_event *event)
{
    struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = sy_wake_fd(), .events = POLLIN}};
    int n = poll(p, 2, sy__lone_escape() ? sy__escape_ms() : -1);
    char what;
    if (n == 0) {
        sy__keys_settle();
        return false;
    }
    while ((what = sy_wake_take()))
        if (on_wake(what, prompt, event))
            return true;
    /* settling what was half typed may enter it */
    if (n > 0 && p[0].revents && !got_line && !got_end)
        rl_callback_read_char();
    return false;
}

enum sy_edit_event sy__readline_line(const char *prompt, char **line)
{
    enum sy_edit_event event;
    got_line = got_end = leaving = false;
    entered = NULL;
    rl_callback_handler_install(prompt, on_line);
    sy__typed_restore();
    rl_redisplay();
    while (!got_line && !got_end) {
        bool ended = wait_event(prompt, &event);
        if (leaving) {
            event = SY_EDIT_AWAY;
            sy__typed_keep();
        }
        if (ended || leaving) {
            rl_callback_handler_remove();
            fputs("\n", stdout);
            return event;
        }
    }
    if (got_end) {
        fputs("\n", stdout);
        return SY_EDIT_END;
    }
    *line = sy_strdup(entered);
    free(entered);
    return *line ? SY_EDIT_LINE : SY_EDIT_END;
}

#else
typedef int sy__no_readline; /* an empty translation unit is not C */
#endif
