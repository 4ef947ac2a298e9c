/* See prompt.h.  Layer prompt, between main and both repl (lines) and bind (Lua), which it ties together.
 *
 *     main thread: sy_edit_line -> post(eval) -> sy_edit_wait ... -> sy_edit_line
 *     Lua thread:                  eval, print -> done -> wakes the pipe
 *
 * Signals at the prompt: SIGINT ends the chunk that runs, else it goes to the editor.  In a script it
 * ends the script, as SIGTERM and SIGHUP do: its runs are saved; the third one ends the program at once.
 */
#include "prompt/prompt.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "bind/chunk.h"
#include "bind/host.h"
#include "bind/job.h"
#include "repl/edit.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMPLETE_MS 400
#define PROMPT "yard> "
#define CONTINUATION "  ..> "

/* ---- signals ---- */

static volatile sig_atomic_t prompting, running, interrupts, ended_by;

int sy_prompt_ended_by(void) { return ended_by; }

/* May come to any thread, for libraries start some that block no signal: sy_host_interrupt brings it
 * to the Lua thread. */
static void interrupt_script(int number)
{
    if (!ended_by)
        ended_by = number;
    if (sy_host_is_lua_thread() && ++interrupts >= 3) {
        signal(number, SIG_DFL);
        raise(number);
    }
    if (!sy_host_interrupt())
        _exit(128 + number);
}

static void on_interrupt(int number)
{
    if (!prompting)
        interrupt_script(number);
    else if (!running || !sy_host_interrupt())
        sy_edit_wake(SY_WAKE_INTERRUPT);
}

static void on_wake(int number)
{
    sy_edit_wake(number == SIGWINCH ? SY_WAKE_SIZE : SY_WAKE_END);
}

/* At the prompt the terminal is Readline's: it must be put back before we stop. */
static void on_stop(int number)
{
    if (running || !sy_edit_is_terminal()) {
        (void)number;
        kill(getpid(), SIGSTOP);
    } else
        sy_edit_wake(SY_WAKE_STOP);
}

static void on_fatal(int number)
{
    sy_edit_restore_terminal();
    signal(number, SIG_DFL);
    raise(number);
}

static void catch(int number, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_flags = flags};
    a.sa_handler = handler;
    sigemptyset(&a.sa_mask);
    sigaction(number, &a, NULL);
}

static bool ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

void sy_prompt_signals(bool at_prompt)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    prompting = at_prompt;
    catch(SIGINT, on_interrupt, 0); /* no SA_RESTART: a read in a chunk must end */
    catch(SIGPIPE, SIG_IGN, 0);
    catch(SIGXFSZ, SIG_IGN, 0); /* a write beyond the quota fails instead: no run is lost by it */
    if (!at_prompt) { /* a batch system's end: the runs are saved, as after Ctrl-C */
        catch(SIGTERM, on_interrupt, 0);
        if (!ignored(SIGHUP)) /* nohup */
            catch(SIGHUP, on_interrupt, 0);
        return;
    }
    catch(SIGWINCH, on_wake, SA_RESTART);
    catch(SIGTERM, on_wake, 0);
    catch(SIGHUP, on_wake, 0);
    catch(SIGTSTP, on_stop, SA_RESTART);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        catch(fatal[i], on_fatal, (int)SA_RESETHAND);
}

/* ---- jobs on the Lua thread ---- */

static atomic_bool quit_asked;

/* quit() in a job, on the Lua thread. */
static void on_quit(void)
{
    atomic_store(&quit_asked, true);
    sy_edit_wake(SY_WAKE_END);
}

static int ended_status(void) { return atomic_load(&quit_asked) ? sy_chunk_status() : 143; }

struct job {
    struct sy_str text;
    enum sy_chunk_result result;
};

static void eval_job(struct lua_State *L, void *ctx)
{
    struct job *j = ctx;
    j->result = sy_chunk_eval(L, j->text.data ? j->text.data : "", j->text.len);
    running = 0; /* from here on Ctrl-C is the editor's; what came before was the chunk's */
    sy_host_clear_interrupt();
}

static void job_done(void *ctx)
{
    (void)ctx;
    sy_edit_wake(SY_WAKE_DONE);
}

/* False: the system wants us to end while the chunk still runs. */
static bool evaluate(struct job *j)
{
    j->result = SY_CHUNK_FAILED;
    running = 1;
    sy_host_post(eval_job, j, job_done);
    bool done = sy_edit_wait(-1);
    running = 0;
    return done;
}

struct completion {
    atomic_int owners; /* the Lua thread and this one: whoever leaves last frees it */
    char *line, *found;
    size_t point;
    bool files;
};

static void completion_leave(struct completion *c)
{
    if (atomic_fetch_sub(&c->owners, 1) != 1)
        return;
    sy_free(c->line);
    sy_free(c->found);
    sy_free(c);
}

static void complete_job(struct lua_State *L, void *ctx)
{
    struct completion *c = ctx;
    c->found = sy_chunk_complete(L, c->line, c->point, &c->files);
}

static void complete_done(void *ctx)
{
    completion_leave(ctx);
    sy_edit_wake(SY_WAKE_DONE);
}

/* A hook may keep the Lua thread busy: then there is no completion, never a wait. */
static char *complete(const char *line, size_t point, bool *files)
{
    struct completion *c = sy_calloc(1, sizeof *c);
    char *found = NULL;
    if (!c || !(c->line = sy_strdup(line))) {
        sy_free(c);
        return NULL;
    }
    c->point = point;
    atomic_init(&c->owners, 2);
    sy_host_post(complete_job, c, complete_done);
    if (sy_edit_wait(COMPLETE_MS)) {
        found = c->found;
        c->found = NULL;
        *files = c->files;
    }
    completion_leave(c);
    return found;
}

/* ---- the loop ---- */

struct session {
    struct job job;   /* lines of an incomplete chunk so far */
    bool ended;
    int status;
};

static void handle_result(struct session *s)
{
    if (s->job.result == SY_CHUNK_INCOMPLETE)
        return;
    sy_str_clear(&s->job.text);
    if (s->job.result == SY_CHUNK_QUIT) {
        s->ended = true;
        s->status = sy_chunk_status();
    }
}

static void feed(struct session *s, const char *line, size_t n)
{
    static const char *const marks[] = {PROMPT, CONTINUATION};
    for (int i = 0; i < 2; i++) /* pasted from a session */
        if (n >= 6 && !memcmp(line, marks[i], 6)) {
            line += 6;
            n -= 6;
            i = -1;
        }
    if (s->job.text.len)
        sy_str_puts(&s->job.text, "\n");
    sy_str_add(&s->job.text, line, n);
    if (!evaluate(&s->job)) {
        s->ended = true;
        s->status = ended_status();
        return;
    }
    handle_result(s);
}

static bool has_prompts(const char *text)
{
    for (const char *s = text; s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
        if (!strncmp(s, PROMPT, 6))
            return true;
    return false;
}

/* A pasted block with prompts in it: the prompted lines, not the output between them. */
static void feed_session(struct session *s, const char *text)
{
    sy_job_detach(false); /* its lines depend on each other */
    while (*text && !s->ended) {
        size_t n = strcspn(text, "\n");
        if (!strncmp(text, PROMPT, 6) || !strncmp(text, CONTINUATION, 6))
            feed(s, text, n);
        text += n + (text[n] == '\n');
    }
    sy_job_detach(sy_edit_is_terminal());
}

static void take_line(struct session *s, const char *line)
{
    running = 1; /* the terminal is not the editor's any more: Ctrl-C is for what is about to run */
    sy_edit_remember(line);
    if (strchr(line, '\n') && has_prompts(line))
        feed_session(s, line);
    else
        feed(s, line, strlen(line));
    running = 0;
}

static int live_runs(void) { return sy_host_runs.live ? sy_host_runs.live() : 0; }

/* Ctrl-D with runs in the air asks once. */
static bool may_end(void)
{
    char *line = NULL;
    int n = live_runs();
    if (!n || !sy_edit_is_terminal())
        return true;
    printf("%d run%s still training: stop %s and leave? [y/N] ", n, n == 1 ? " is" : "s are",
           n == 1 ? "it" : "them");
    fflush(stdout);
    bool yes = sy_edit_line("", &line) != SY_EDIT_LINE || *line == 'y' || *line == 'Y';
    sy_free(line);
    return yes;
}

static void stop_runs(struct lua_State *L, void *ctx)
{
    (void)ctx;
    if (sy_host_runs.stop_all)
        sy_host_runs.stop_all(L);
}

static void step(struct session *s)
{
    char *line = NULL;
    switch (sy_edit_line(s->job.text.len ? CONTINUATION : PROMPT, &line)) {
    case SY_EDIT_LINE:
        take_line(s, line);
        sy_free(line);
        break;
    case SY_EDIT_END:
        if (s->job.text.len) { /* an unfinished chunk: say what is missing */
            sy_str_puts(&s->job.text, "\n;;");
            fputs("unfinished: the input ended inside a statement\n", stderr);
            sy_str_clear(&s->job.text);
        }
        s->ended = may_end();
        break;
    case SY_EDIT_INTERRUPT:
        if (!s->job.text.len && !sy_job_interrupt())
            fputs("(quit or Ctrl-D leaves; runs go on)\n", stdout);
        sy_str_clear(&s->job.text);
        break;
    case SY_EDIT_TERMINATE:
        s->ended = true;
        s->status = ended_status();
        break;
    }
}

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

int sy_prompt_run(struct lua_State *L, bool plain)
{
    struct session s = {0};
    char *history = history_path();
    struct sy_edit_options options = {.plain = plain, .history = history, .complete = complete};
    bool open = !sy_edit_open(&options);
    sy_job_detach(open && sy_edit_is_terminal()); /* before the Lua thread starts: it may have a job */
    sy_host_set_printer(sy_edit_notice);
    sy_chunk_on_quit(on_quit);
    sy_host_clear_interrupt(); /* of the init file */
    if (!open || sy_host_start(L)) {
        fputs("switchyard: cannot start the prompt\n", stderr);
        return 1;
    }
    sy_prompt_signals(true);
    while (!s.ended)
        step(&s);
    if (s.status != 143 || !running)
        sy_host_call(stop_runs, NULL);
    sy_edit_close();
    sy_str_free(&s.job.text);
    sy_free(history);
    if (s.status == 143) { /* a chunk may still run: no orderly end is possible */
        fflush(stdout);
        _exit(143);
    }
    sy_host_stop();
    return s.status;
}
