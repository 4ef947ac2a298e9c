/* The editor on GNU Readline, by its callback interface.  Layer repl.
 *
 *     poll(terminal, pipe) -> rl_callback_read_char -> on_line -> sy__readline_line returns
 *
 * A notice clears the visible line, is printed, and the line is drawn again below it.  A lone Esc
 * would swallow the next key: while Readline is inside a key sequence, poll waits 50 ms at most. */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/edit_int.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/readline.h>
#include <readline/history.h>

#define HISTORY_LINES 10000
#define ESC_MS 50

static char *entered; /* by on_line; malloc'd by Readline */
static bool got_line, got_end;
static char *history_file;

static void on_line(char *text)
{
    got_line = text != NULL;
    got_end = text == NULL;
    entered = text;
    rl_callback_handler_remove();
}

static int insert_newline(int count, int key)
{
    (void)count;
    (void)key;
    rl_insert_text("\n");
    return 0;
}

/* Our keys first, then the user's file again, which may change any of them. */
static void bind_keys(void)
{
    rl_add_defun("insert-newline", insert_newline, -1);
    rl_bind_keyseq("\\e\\C-m", insert_newline);
    rl_bind_keyseq("\\e[A", rl_history_search_backward);
    rl_bind_keyseq("\\eOA", rl_history_search_backward);
    rl_bind_keyseq("\\e[B", rl_history_search_forward);
    rl_bind_keyseq("\\eOB", rl_history_search_forward);
    rl_read_init_file(NULL);
}

static void open_history(const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    using_history();
    stifle_history(HISTORY_LINES);
    if (!path || !(history_file = sy_strdup(path)))
        return;
    char *slash = strrchr(history_file, '/');
    if (slash && slash != history_file) {
        *slash = 0;
        sy_dir_make(history_file, &err); /* without it there is no history: no reason to stop */
        *slash = '/';
    }
    read_history(history_file);
}

void sy__readline_open(const struct sy_edit_options *options)
{
    rl_readline_name = "switchyard";
    rl_catch_signals = 0;
    rl_catch_sigwinch = 0;
    rl_change_environment = 0;
    rl_initialize();
    bind_keys();
    open_history(options->history);
    if (options->complete)
        sy__complete_open(options->complete);
}

void sy__readline_remember(const char *line)
{
    const HIST_ENTRY *before = history_length ? history_get(history_base + history_length - 1) : NULL;
    if (!*line || (before && !strcmp(before->line, line)))
        return;
    add_history(line);
    if (history_file && append_history(1, history_file) == ENOENT && !write_history(history_file))
        return;
}

void sy__readline_close(void)
{
    rl_callback_handler_remove();
    if (history_file)
        history_truncate_file(history_file, HISTORY_LINES);
    sy_free(history_file);
    history_file = NULL;
}

/* ---- events ---- */

static void show_notices(void)
{
    char *text;
    while ((text = sy__notice_take())) {
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
    bool empty = rl_end == 0;
    rl_callback_sigcleanup();
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

static void suspend(const char *prompt)
{
    char *kept = sy_strdup(rl_line_buffer);
    int point = rl_point;
    rl_callback_handler_remove();
    fputs("\n", stdout);
    fflush(stdout);
    kill(getpid(), SIGSTOP);
    rl_callback_handler_install(prompt, on_line);
    rl_insert_text(kept ? kept : "");
    rl_point = point;
    rl_redisplay();
    sy_free(kept);
}

/* One byte from the pipe; true: *event is the result. */
static bool on_wake(char what, const char *prompt, enum sy_edit_event *event)
{
    switch (what) {
    case SY_WAKE_NOTICE: show_notices(); return false;
    case SY_WAKE_SIZE: rl_resize_terminal(); return false;
    case SY_WAKE_STOP: suspend(prompt); return false;
    case SY_WAKE_INTERRUPT: *event = SY_EDIT_INTERRUPT; return clear_line();
    case SY_WAKE_END: *event = SY_EDIT_TERMINATE; return true;
    default: return false;
    }
}

static bool wait_event(const char *prompt, enum sy_edit_event *event)
{
    struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = sy__wake_fd(), .events = POLLIN}};
    bool in_sequence = RL_ISSTATE(RL_STATE_MULTIKEY);
    int n = poll(p, 2, in_sequence ? ESC_MS : -1);
    char what;
    if (n == 0) {
        rl_callback_sigcleanup();
        return false;
    }
    while ((what = sy__wake_take()))
        if (on_wake(what, prompt, event))
            return true;
    if (n > 0 && p[0].revents)
        rl_callback_read_char();
    return false;
}

enum sy_edit_event sy__readline_line(const char *prompt, char **line)
{
    enum sy_edit_event event;
    got_line = got_end = false;
    entered = NULL;
    rl_callback_handler_install(prompt, on_line);
    while (!got_line && !got_end)
        if (wait_event(prompt, &event)) {
            rl_callback_handler_remove();
            fputs("\n", stdout);
            return event;
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
