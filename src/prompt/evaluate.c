/* What was entered, on its way to the Lua thread and back; and the runs, when the prompt is left.
 * Layer prompt. */
#include "prompt/prompt_int.h"

#include "bind/thread/host.h"
#include "bind/thread/job.h"
#include "repl/editor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- chunks on the Lua thread ---- */

static atomic_bool quit_asked;

/* quit() in a job, on the Lua thread. */
void sy__on_quit(void)
{
    atomic_store(&quit_asked, true);
    sy_edit_wake(SY_WAKE_END);
}

bool sy__quit_asked(void)
{
    return atomic_load(&quit_asked);
}

void sy__no_interrupt(struct lua_State *L)
{
    (void)L;
    sy__running = 0; /* from here on Ctrl-C is the editor's; what came before was the chunk's */
    sy_host_clear_interrupt();
}

static void eval_text(struct lua_State *L, void *ctx)
{
    struct sy_session *s = ctx;
    s->result = sy_chunk_eval(L, s->text.data ? s->text.data : "", s->text.len);
    sy__no_interrupt(L);
}

void sy__evaluate(struct sy_session *s, void (*done)(void *ctx))
{
    s->result = SY_CHUNK_FAILED;
    sy__running = 1;
    sy_host_post(eval_text, s, done);
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

/* A signal or a job's quit(): seen also when its wake-up was taken by who waited for something
 * else. */
bool sy__must_end(struct sy_session *s)
{
    if (!sy__leaving_by() && !sy__quit_asked())
        return false;
    s->ended = true;
    s->status = sy__leaving_by() ? 128 + sy__leaving_by() : sy_chunk_status();
    return true;
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

