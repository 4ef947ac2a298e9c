/* See prompt.h.  Layer prompt, between main and both repl (lines) and bind (Lua), which it ties
 * together.
 *
 *     main thread: sy_edit_line -> post(eval) -> sy_edit_wait ... -> sy_edit_line
 *     Lua thread:                  eval, print -> done -> wakes the pipe
 *
 * Signals at the prompt: SIGINT ends the chunk that runs, else it goes to the editor.  In a script
 * it ends the script, as SIGTERM and SIGHUP do: its runs are saved; the third one, or
 * SY_END_SECONDS before saving begins, has them saved by other threads (bind/run/rescue.c), the
 * fourth ends the program at once.  SIGTERM and SIGHUP at the prompt end what runs on the Lua
 * thread (chunk, job or hook), save the runs and leave; SY_END_SECONDS are the limit as in a
 * script, and a second SIGTERM ends the program without saving.  SIGINT while the prompt is left
 * ends a hook that holds that up.
 */
#include "prompt/prompt_int.h"

#include "base/mem.h"
#include "bind/thread/host.h"
#include "bind/thread/interrupt.h"
#include "bind/thread/job.h"
#include "workbench/workbench.h"
#include "workbench/signals.h"
#include "repl/editor.h"
#include "repl/tell.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the plain screen ---- */

/* The chunk on the Lua thread is through.  Its wake-up alone does not say so: that may be of a
 * completion which nobody waits for any more. */
static atomic_bool done;

static void on_done(void *ctx)
{
    (void)ctx;
    atomic_store(&done, true);
    sy_edit_wake(SY_WAKE_DONE);
}

static void feed_line(struct sy_session *s, const char *line, size_t n)
{
    sy__add_line(s, line, n);
    atomic_store(&done, false);
    sy__evaluate(s, on_done);
    while (!atomic_load(&done))
        if (!sy_edit_wait(-1)) { /* we are to end while the chunk still runs */
            sy__must_end(s);
            return;
        }
    sy__handle_result(s);
}

/* A pasted block with prompts in it: what was entered, not the output between. */
static void feed_session(struct sy_session *s, const char *text)
{
    sy_job_detach(false); /* its lines depend on each other */
    struct sy_str one = SY_STR_INIT;
    while (!s->ended && sy__session_next(&text, &one))
        feed_line(s, one.data, one.len);
    sy_str_free(&one);
    sy_job_detach(sy_edit_is_terminal());
}

static void take_line(struct sy_session *s, const char *line)
{
    /* the terminal is not the editor's any more: Ctrl-C is for what is about to run */
    sy__running = 1;
    sy_edit_remember(line);
    if (strchr(line, '\n') && sy__has_prompts(line))
        feed_session(s, line);
    else
        feed_line(s, line, strlen(line));
    sy__running = 0;
}

/* Ctrl-D with runs in the air asks once. */
static bool may_end(void)
{
    char *line = NULL, question[128];
    int n = sy__live_runs();
    if (!n || !sy_edit_is_terminal())
        return true;
    sy__leave_question(question, sizeof question, n);
    fputs(question, stdout);
    fflush(stdout);
    bool yes = sy_edit_line("", &line) != SY_EDIT_LINE || *line == 'y' || *line == 'Y';
    sy_free(line);
    return yes;
}

/* false: away to the workbench. */
static bool read_event(struct sy_session *s)
{
    char *line = NULL;
    switch (sy_edit_line(s->text.len ? SY_CONTINUATION : SY_PROMPT, &line)) {
    case SY_EDIT_LINE:
        take_line(s, line);
        sy_free(line);
        break;
    case SY_EDIT_END:
        if (s->text.len) { /* an unfinished chunk: say what is missing */
            fputs("unfinished: the input ended inside a statement\n", stderr);
            sy_str_clear(&s->text);
            s->failed = !sy_edit_is_terminal();
        }
        s->ended = may_end();
        if (s->ended && s->failed)
            s->status = 1;
        break;
    case SY_EDIT_INTERRUPT:
        if (!s->text.len && !sy_job_interrupt())
            fputs("(nothing to interrupt; Ctrl-D or quit leaves and saves the runs)\n", stdout);
        sy_str_clear(&s->text);
        break;
    case SY_EDIT_TERMINATE:
        if (sy__must_end(s))
            break;
        s->ended = true; /* Ctrl-C for who reads a pipe */
        s->status = 130;
        break;
    case SY_EDIT_AWAY:
        return false;
    }
    return true;
}

/* Until the end (true) or until the workbench is asked for. */
static bool plain_run(struct sy_session *s)
{
    sy_job_detach(sy_edit_is_terminal());
    sy_prompt_signals(true);
    while (!s->ended && !sy__must_end(s))
        if (!read_event(s) || sy__bench_wanted())
            return s->ended;
    sy__must_end(s); /* asked for while the question stood there */
    if (sy__running || sy_job_count())
        sy_host_end();
    sy__set_stopping(true);
    sy_host_call(sy__stop_runs, NULL);
    sy__set_stopping(false);
    sy__must_end(s); /* asked for meanwhile */
    return true;
}

/* ---- the session ---- */

static char *history_path(void)
{
    struct sy_str path = SY_STR_INIT;
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        sy_str_printf(&path, "%s/switchyard/history", state);
    else if (home && *home)
        sy_str_printf(&path, "%s/.local/state/switchyard/history", home);
    return path.data;
}

/* SWITCHYARD_SCREEN=plain: begin on the plain screen, with Readline's own display. */
bool sy_prompt_has_screen(bool plain)
{
    const char *wanted = getenv("SWITCHYARD_SCREEN");
    return !plain && !(wanted && !strcmp(wanted, "plain")) && sy_workbench_possible();
}

/* Between the two screens until one is left. */
static void run_session(struct sy_session *s, const struct sy_prompt_start *start, bool bench)
{
    for (;;) {
        enum sy__session_end how = bench ? sy__session_run(s, start) : SY__SESSION_PLAIN;
        if (how == SY__SESSION_LEFT || plain_run(s))
            return;
        bench = true;
    }
}

int sy_prompt_run(struct lua_State *L, const struct sy_prompt_start *start)
{
    struct sy_session s = {0};
    char *history = history_path();
    bool bench = start->screen;
    struct sy_edit_options options = {.plain = start->plain,
                                      .history = history,
                                      .complete = sy__complete,
                                      .action = sy_workbench_action};
    if (!start->plain && sy_workbench_possible())
        options.keys = sy_workbench_keys(&options.nkeys);
    bool open = !sy_edit_open(&options);
    /* before the Lua thread starts: it may have a job */
    sy_job_detach(open && sy_edit_is_terminal());
    sy_host_set_printer(sy_edit_notice);
    if (options.keys)
        sy_host_screen.command = sy__screen_command;
    sy_chunk_on_quit(sy__on_quit);
    sy_host_clear_interrupt(); /* of the init file */
    if (!open || sy_host_start(L)) {
        sy_tell("cannot start the prompt: %s",
                open ? "the system allows no more threads" : "no terminal, or no memory");
        return 1;
    }
    if (!bench && start->greeting)
        puts(start->greeting);
    sy_signals_rescue(sy_rescue);
    sy_rescue_open();
    run_session(&s, start, bench);
    sy_rescue_close();
    sy__session_free();
    sy_edit_show_notices(); /* how to go on, and what was not saved */
    sy_edit_close();
    sy_str_free(&s.text);
    sy_free(history);
    sy_host_stop();
    return !s.status && sy_host_runs.unsaved && sy_host_runs.unsaved() ? 1 : s.status;
}
