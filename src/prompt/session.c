/* The prompt in the workbench.  Layer prompt.
 *
 *     enter --> queue --> Lua thread runs one --> woken: result --> next
 *
 *  1. Nothing here waits for Lua.  What is entered while a chunk runs is kept, in order.
 *  2. A chunk that is interrupted or fails takes with it the lines that were pasted with it.
 *  3. Leaving is a chunk, too: runs are saved on the Lua thread while the screen stays alive. */
#include "prompt/prompt_int.h"

#include "base/mem.h"
#include "bind/thread/host.h"
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

struct line {
    struct line *next;
    bool pasted; /* with the one before it: neither is a job */
    char text[];
};

static struct {
    struct sy_session *s;
    const struct sy_prompt_start *start;
    struct line *first, **last;
    bool busy, pasted, leaving, started, ending; /* ending: from outside */
    atomic_bool done;                            /* the chunk on the Lua thread is through */
    atomic_bool saved;
    bool scripts, quit; /* the chunk is the command line's; it wants to leave */
} w = {.last = &w.first};

/* ---- lines ---- */

static const char *prompt_now(void)
{
    return w.s->text.len ? SY_CONTINUATION : SY_PROMPT;
}

static void push_line(const char *text, size_t n, bool pasted)
{
    struct line *l = sy_alloc(sizeof *l + n + 1);
    if (!l)
        return;
    l->next = NULL;
    l->pasted = pasted;
    memcpy(l->text, text, n);
    l->text[n] = 0;
    *w.last = l;
    w.last = &l->next;
}

static struct line *pop_line(void)
{
    struct line *l = w.first;
    if (l && !(w.first = l->next))
        w.last = &w.first;
    return l;
}

static void drop_pasted(void)
{
    while (w.first && w.first->pasted)
        sy_free(pop_line());
}

static void on_done(void *ctx)
{
    (void)ctx;
    atomic_store(&w.done, true);
    sy_edit_wake(SY_WAKE_DONE);
}

static void begin_chunk(void)
{
    w.busy = true;
    atomic_store(&w.done, false);
    sy_workbench_set_busy(true);
}

/* As it may be pasted back: with a prompt before each row. */
static void echo_text(const char *text, bool first)
{
    const char *prompt = first ? SY_PROMPT : SY_CONTINUATION;
    for (bool more = true; more; prompt = SY_CONTINUATION) {
        size_t n = strcspn(text, "\n");
        char *row = sy_strndup(text, n);
        sy_workbench_echo(prompt, row ? row : "");
        sy_free(row);
        more = text[n] && text[n + 1];
        text += n + (text[n] == '\n');
    }
}

static void run_next(void)
{
    if (w.busy || w.leaving)
        return;
    struct line *l = pop_line();
    if (!l)
        return;
    sy_job_detach(!l->pasted);
    w.pasted = l->pasted;
    sy__add_line(w.s, l->text, strlen(l->text));
    echo_text(l->text, w.s->text.len == strlen(l->text) || !strchr(w.s->text.data, '\n'));
    begin_chunk();
    if (l->text[0] == '!') /* it may write to the terminal behind our back */
        sy_workbench_repaint();
    sy__evaluate(w.s, on_done);
    sy_free(l);
}

/* A pasted session: what was entered, not the output between. */
static void push_session(const char *text)
{
    for (struct sy_str one = SY_STR_INIT; sy__session_next(&text, &one);)
        push_line(one.data, one.len, true);
}

static void enter_line(const char *line)
{
    sy_edit_remember(line);
    if (strchr(line, '\n') && sy__has_prompts(line))
        push_session(line);
    else
        push_line(line, strlen(line), false);
    run_next();
}

/* ---- leaving ---- */

static void on_saved(void *ctx)
{
    (void)ctx;
    atomic_store(&w.saved, true);
    sy_edit_wake(SY_WAKE_DONE);
}

static void leave_workbench(int status)
{
    if (w.leaving)
        return;
    w.leaving = true;
    w.s->status = status;
    if (w.busy || sy_job_count())
        sy_host_end();
    if (sy__live_runs())
        sy_workbench_message("saving runs ...");
    sy_host_post(sy__stop_runs, NULL, on_saved);
}

static void answer_leave(const char *text)
{
    if (text && (*text == 'y' || *text == 'Y'))
        leave_workbench(0);
}

static void end_input(void)
{
    char question[128];
    int runs = sy__live_runs();
    if (w.s->text.len && !w.busy) {
        sy_workbench_say(SY_ROLE_BAD, "unfinished: the input ended inside a statement");
        sy_str_clear(&w.s->text);
        sy_workbench_set_prompt(prompt_now());
    } else if (runs) {
        sy__leave_question(question, sizeof question, runs);
        sy_workbench_ask(question, answer_leave);
    } else
        leave_workbench(0);
}

static void leave_by_signal(int number)
{
    if (w.ending && number == SIGHUP) /* kernel, shell and screen each tell of a terminal's end */
        return;
    if (w.ending) { /* asked twice */
        sy_workbench_restore();
        _exit(128 + number);
    }
    w.ending = true;
    w.s->status = 128 + number; /* leaving may have begun, and wait for a hook */
    sy_host_end();
    sy__limit_end();
    leave_workbench(128 + number);
}

/* ---- what the workbench tells ---- */

static void take_result(void)
{
    w.busy = false;
    sy_workbench_set_busy(false);
    if (w.scripts) {
        w.scripts = false;
        if (w.quit)
            leave_workbench(w.s->status);
    } else {
        sy__handle_result(w.s);
        if (w.s->ended)
            leave_workbench(w.s->status);
    }
    if (w.s->result == SY_CHUNK_FAILED || w.s->result == SY_CHUNK_INTERRUPTED)
        drop_pasted();
    sy_workbench_set_prompt(prompt_now());
}

static void woken(void)
{
    if (w.busy && atomic_exchange(&w.done, false))
        take_result();
    if (!w.leaving && sy__quit_asked())
        leave_workbench(sy_chunk_status());
    if (w.leaving && atomic_load(&w.saved))
        sy_workbench_leave();
    run_next();
}

static void interrupted(void)
{
    if (w.leaving) /* a hook holds it up */
        sy_host_end();
    else if (w.busy)
        sy_host_interrupt();
    else if (w.s->text.len) {
        sy_str_clear(&w.s->text);
        sy_workbench_set_prompt(prompt_now());
    } else if (!sy_job_interrupt())
        sy_workbench_message("nothing to interrupt; Ctrl-D or quit leaves and saves the runs");
}

static bool on_interrupt(int number)
{
    (void)number;
    return sy__running && sy_host_interrupt();
}

/* ---- keys that Lua has to act upon ---- */

static void put_quoted(struct sy_str *out, const char *text)
{
    sy_str_puts(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            sy_str_puts(out, "\\");
        sy_str_add(out, text, 1);
    }
    sy_str_puts(out, "\"");
}

/* As the line that does the same: who presses a key sees what to type. */
static void type_request(const struct sy_request *r)
{
    struct sy_str line = SY_STR_INIT;
    sy_str_puts(&line, "runs");
    put_quoted(&line, r->run);
    if (r->kind == SY_REQ_MARK)
        sy_str_printf(&line, ":note \"mark at step %lld\";", (long long)r->step);
    else
        sy_str_puts(&line, r->kind == SY_REQ_PAUSE ? ":pause();" : ":resume();");
    if (!line.failed)
        push_line(line.data, line.len, false);
    sy_str_free(&line);
    run_next();
}

static void resized(int width, int height)
{
    (void)height;
    sy_host_set_columns(width);
}

static void looks(const char *pens, bool ascii)
{
    sy_host_set_pens(pens);
    sy_host_set_ascii(ascii);
}

/* ---- the beginning ---- */

static void run_scripts(struct lua_State *L, void *ctx)
{
    (void)ctx;
    w.s->result = SY_CHUNK_DONE;
    w.s->status = w.start->scripts(L, w.start->ctx, &w.quit);
    sy__no_interrupt(L);
}

static const struct sy_workbench_client client = {.prompt = SY_PROMPT,
                                                  .enter = enter_line,
                                                  .end = end_input,
                                                  .interrupted = interrupted,
                                                  .woken = woken,
                                                  .terminate = leave_by_signal,
                                                  .request = type_request,
                                                  .resized = resized,
                                                  .looks = looks,
                                                  .on_interrupt = on_interrupt};

static void greet(void)
{
    if (w.started)
        return;
    w.started = true;
    if (w.start->greeting)
        sy_workbench_say(SY_ROLE_DIM, w.start->greeting);
    if (!w.start->scripts)
        return;
    begin_chunk();
    w.scripts = true;
    sy__running = 1;
    sy_host_post(run_scripts, NULL, on_done);
}

/* On the plain screen: the chunk that ran when the workbench was left, to its end. */
static void settle_chunk(void)
{
    sy_prompt_signals(true);
    while (w.busy && !atomic_load(&w.done) && sy_edit_wait(-1))
        continue;
    if (w.busy && atomic_exchange(&w.done, false)) {
        w.busy = false;
        if (w.scripts)
            w.s->ended = w.quit;
        else
            sy__handle_result(w.s);
        w.scripts = false;
    }
}

enum sy__session_end sy__session_run(struct sy_session *s, const struct sy_prompt_start *start)
{
    struct sy_err err = SY_ERR_INIT;
    w.s = s;
    w.start = start;
    if (sy_workbench_open(&client, &err)) {
        sy_tell("%s", err.msg);
        return SY__SESSION_FAILED;
    }
    sy_job_detach(true);
    sy_host_set_screen(true);
    sy_workbench_set_prompt(prompt_now());
    greet();
    woken();
    enum sy_workbench_end how = sy_workbench_run();
    sy_host_set_screen(false);
    sy_workbench_close();
    if (how == SY_WORKBENCH_LEFT)
        return SY__SESSION_LEFT;
    settle_chunk();
    return SY__SESSION_PLAIN;
}

void sy__session_free(void)
{
    struct line *l;
    while ((l = pop_line()))
        sy_free(l);
    sy_workbench_free();
}
