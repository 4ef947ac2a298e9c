/* See prompt.h.  Layer prompt, between main and both repl (lines) and bind (Lua), which it ties
 * together.
 *
 *     main thread: sy_edit_line -> post(eval) -> sy_edit_wait ... -> sy_edit_line
 *     Lua thread:                  eval, print -> done -> wakes the pipe
 *
 * Signals at the prompt: SIGINT ends the chunk that runs, else it goes to the editor.  In a script
 * it ends the script, as SIGTERM and SIGHUP do: its runs are saved; the third one, or SY_END_SECONDS
 * before saving begins, has them saved by other threads (bind/run/rescue.c), the fourth ends the program
 * at once.  SIGTERM and SIGHUP at the prompt end what runs on the Lua thread (chunk, job or hook),
 * save the runs and leave; SY_END_SECONDS are the limit as in a script, and a second SIGTERM ends the
 * program without saving.  SIGINT while the prompt is left ends a hook that holds that up.
 */
#include "prompt/prompt_int.h"

#include "base/mem.h"
#include "bind/thread/host.h"
#include "bind/thread/interrupt.h"
#include "bind/thread/job.h"
#include "workbench/workbench.h"
#include "workbench/signals.h"
#include "repl/edit.h"
#include "repl/tell.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- signals ---- */

atomic_bool sy__running; /* lock-free: signal handlers read it */
static volatile sig_atomic_t prompting, interrupts, ended_by;
static volatile sig_atomic_t leaving_by; /* SIGTERM or SIGHUP came at the prompt */
static volatile sig_atomic_t stopping;   /* the plain screen waits for sy__stop_runs */
static atomic_bool saving;               /* lock-free as well */

int sy_prompt_ended_by(void)
{
    return ended_by;
}

static bool ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/* What runs does not end: its runs are saved by other threads.  One more signal ends the program at once. */
static void end_script(void)
{
    sigset_t these;
    sigemptyset(&these);
    sigaddset(&these, SIGINT);
    sigaddset(&these, SIGTERM);
    sigaddset(&these, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &these, NULL);
    if (!ignored(SIGHUP))
        signal(SIGHUP, SIG_DFL); /* as sy_rescue does with the others */
    sy_rescue(ended_by);
    signal(ended_by, SIG_DFL);
    raise(ended_by);
}

static void on_late(int number)
{
    (void)number;
    if (sy_interrupt_is_shielded())
        sy__limit_end();
    else if (!saving)
        end_script();
}

/* May come to any thread, for libraries start some that block no signal: sy_host_interrupt brings
 * it to the Lua thread. */
static void interrupt_script(int number)
{
    if (!ended_by) {
        ended_by = number;
        sy__limit_end();
    }
    if (sy_host_is_lua_thread() && ++interrupts >= 3)
        end_script();
    if (!sy_host_interrupt())
        _exit(128 + number);
}

static void on_interrupt(int number)
{
    if (!prompting)
        interrupt_script(number);
    else if (stopping)
        sy_host_end();
    else if (!sy__running || !sy_host_interrupt())
        sy_edit_wake(SY_WAKE_INTERRUPT);
}

static void on_size(int number)
{
    (void)number;
    sy_edit_wake(SY_WAKE_SIZE);
}

void sy__limit_end(void)
{
    alarm(SY_END_SECONDS);
    if (saving) /* looked at afterwards: it may begin in between */
        alarm(0);
}

static void on_end(int number)
{
    if (leaving_by && number == SIGHUP) /* kernel and shell both tell of a terminal's end */
        return;
    if (leaving_by) { /* asked twice */
        sy_edit_restore_terminal();
        _exit(128 + number);
    }
    leaving_by = number;
    sy__limit_end();
    sy_host_end();
    sy_edit_wake(SY_WAKE_END);
}

/* At the prompt the terminal is Readline's: it must be put back before we stop. */
static void on_stop(int number)
{
    if (sy__running || !sy_edit_is_terminal()) {
        (void)number;
        kill(getpid(), SIGSTOP);
    } else
        sy_edit_wake(SY_WAKE_STOP);
}

static void on_fatal(int number)
{
    sy_edit_restore_terminal();
    bool late = number == SIGALRM && leaving_by;
    sy_rescue(late ? leaving_by : number);
    if (late)
        _exit(128 + leaving_by);
    signal(number, SIG_DFL);
    raise(number);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_flags = flags};
    a.sa_handler = handler;
    sigemptyset(&a.sa_mask);
    sigaction(number, &a, NULL);
}

void sy_prompt_signals(bool at_prompt)
{
    prompting = at_prompt;
    handle(SIGINT, on_interrupt, 0); /* no SA_RESTART: a read in a chunk must end */
    handle(SIGPIPE, SIG_IGN, 0);
    handle(SIGXFSZ, SIG_IGN, 0); /* a write beyond the quota fails instead: no run is lost by it */
    if (!at_prompt) {
        handle(SIGALRM, on_late, 0);
        /* a batch system's end: the runs are saved, as after Ctrl-C */
        handle(SIGTERM, on_interrupt, 0);
        if (!ignored(SIGHUP)) /* nohup */
            handle(SIGHUP, on_interrupt, 0);
        return;
    }
    if (!leaving_by) { /* what a script was told is over with it */
        alarm(0);
        ended_by = interrupts = 0;
    }
    handle(SIGWINCH, on_size, SA_RESTART);
    handle(SIGTERM, on_end, 0);
    handle(SIGHUP, on_end, 0);
    handle(SIGTSTP, on_stop, SA_RESTART);
    sy_signals_fatal(on_fatal);
}

/* ---- chunks on the Lua thread ---- */

static atomic_bool quit_asked;

/* quit() in a job, on the Lua thread. */
static void on_quit(void)
{
    atomic_store(&quit_asked, true);
    sy_edit_wake(SY_WAKE_END);
}

bool sy__quit_asked(void)
{
    return atomic_load(&quit_asked);
}

/* A signal or a job's quit(): seen also when its wake-up was taken by who waited for something
 * else. */
static bool must_end(struct sy_session *s)
{
    if (!leaving_by && !sy__quit_asked())
        return false;
    s->ended = true;
    s->status = leaving_by ? 128 + leaving_by : sy_chunk_status();
    return true;
}

void sy__no_interrupt(struct lua_State *L)
{
    (void)L;
    sy__running = 0; /* from here on Ctrl-C is the editor's; what came before was the chunk's */
    sy_host_clear_interrupt();
}

static void eval(struct lua_State *L, void *ctx)
{
    struct sy_session *s = ctx;
    s->result = sy_chunk_eval(L, s->text.data ? s->text.data : "", s->text.len);
    sy__no_interrupt(L);
}

void sy__evaluate(struct sy_session *s, void (*done)(void *ctx))
{
    s->result = SY_CHUNK_FAILED;
    sy__running = 1;
    sy_host_post(eval, s, done);
}

void sy__handle_result(struct sy_session *s)
{
    if (s->result == SY_CHUNK_INCOMPLETE)
        return;
    sy_str_clear(&s->text);
    if (s->result == SY_CHUNK_FAILED && !sy_edit_is_terminal())
        s->failed = true;
    if (s->result == SY_CHUNK_QUIT) {
        s->ended = true;
        s->status = sy_chunk_status();
    }
}

int sy__live_runs(void)
{
    return sy_host_runs.live ? sy_host_runs.live() : 0;
}

void sy_prompt_saves(void)
{
    saving = true;
    alarm(0);
}

void sy__stop_runs(struct lua_State *L, void *ctx)
{
    (void)ctx;
    sy_jobs_end(L);
    sy_prompt_saves();
    if (sy_host_runs.stop_all)
        sy_host_runs.stop_all(L);
}

void sy__leave_question(char *out, size_t n, int runs)
{
    snprintf(out, n, "%d run%s still training: stop %s and leave? [y/N] ", runs,
             runs == 1 ? " is" : "s are", runs == 1 ? "it" : "them");
}

/* ---- lines ---- */

bool sy__is_prompted(const char *line)
{
    return !strncmp(line, SY_PROMPT, 6) || !strncmp(line, SY_CONTINUATION, 6);
}

bool sy__has_prompts(const char *text)
{
    for (const char *s = text; s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
        if (!strncmp(s, SY_PROMPT, 6))
            return true;
    return false;
}

static size_t prompts_before(const char *line, size_t n)
{
    size_t cut = 0;
    while (n - cut >= 6 && sy__is_prompted(line + cut))
        cut += 6;
    return cut;
}

bool sy__session_next(const char **text, struct sy_str *one)
{
    const char *s = *text;
    sy_str_free(one);
    for (size_t n; *s; s += n + (s[n] == '\n')) {
        n = strcspn(s, "\n");
        bool begins = !strncmp(s, SY_PROMPT, 6);
        if (begins && one->len)
            break; /* the next */
        if (!sy__is_prompted(s))
            continue;
        size_t cut = prompts_before(s, n);
        if (one->len)
            sy_str_puts(one, "\n");
        sy_str_add(one, s + cut, n - cut);
    }
    *text = s;
    return one->len > 0;
}

void sy__add_line(struct sy_session *s, const char *line, size_t n)
{
    size_t cut = prompts_before(line, n); /* pasted from a session */
    if (s->text.len)
        sy_str_puts(&s->text, "\n");
    sy_str_add(&s->text, line + cut, n - cut);
}

/* ---- the plain screen ---- */

static void on_done(void *ctx)
{
    (void)ctx;
    sy_edit_wake(SY_WAKE_DONE);
}

static void feed(struct sy_session *s, const char *line, size_t n)
{
    sy__add_line(s, line, n);
    sy__evaluate(s, on_done);
    bool done = sy_edit_wait(-1);
    if (done) {
        sy__handle_result(s);
        return;
    }
    must_end(s); /* while the chunk still runs */
}

/* A pasted block with prompts in it: what was entered, not the output between. */
static void feed_session(struct sy_session *s, const char *text)
{
    sy_job_detach(false); /* its lines depend on each other */
    struct sy_str one = SY_STR_INIT;
    while (!s->ended && sy__session_next(&text, &one))
        feed(s, one.data, one.len);
    sy_str_free(&one);
    sy_job_detach(sy_edit_is_terminal());
}

static void take_line(struct sy_session *s, const char *line)
{
    sy__running =
        1; /* the terminal is not the editor's any more: Ctrl-C is for what is about to run */
    sy_edit_remember(line);
    if (strchr(line, '\n') && sy__has_prompts(line))
        feed_session(s, line);
    else
        feed(s, line, strlen(line));
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
static bool step(struct sy_session *s)
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
        if (must_end(s))
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
    while (!s->ended && !must_end(s))
        if (!step(s) || sy__bench_wanted())
            return s->ended;
    must_end(s); /* asked for while the question stood there */
    if (sy__running || sy_job_count())
        sy_host_end();
    stopping = 1;
    sy_host_call(sy__stop_runs, NULL);
    stopping = 0;
    must_end(s); /* asked for meanwhile */
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
    sy_job_detach(open &&
                  sy_edit_is_terminal()); /* before the Lua thread starts: it may have a job */
    sy_host_set_printer(sy_edit_notice);
    if (options.keys)
        sy_host_screen.command = sy__screen_command;
    sy_chunk_on_quit(on_quit);
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
