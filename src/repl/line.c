/* See line.h.
 *
 *     keymaps:   prompt (emacs or vi)  <--sy_line_set_panes-->  panes (bare)
 *
 *                 \__ any key (sy_line_set_any), over one of both __/
 *
 * Readline's own output goes to a stream that only listens for bells. */
#include "repl/line.h"
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/editor_int.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <readline/readline.h>

#define ANY_KEY 256
#define INTERRUPT 3 /* Ctrl-C */
#define GIVE_UP 7   /* Ctrl-G */

static struct sy_line_options opt;
static FILE *in, *nowhere;
static bool changed;
static double last_key;     /* seconds */
static Keymap before_panes; /* NULL: the prompt has the keys */
static Keymap before_any;   /* NULL: keys are what they are */

/* A question: what was typed waits. */
static char *waiting, *prompt_waiting;
static int waiting_point;
static bool asking, answered, in_handler, interrupted, pasting, closed;

/* ---- what Readline calls ---- */

/* Ctrl-C outside a paste: Readline sees Ctrl-G, which gives up whatever it is about.  An end or an
 * error is never a key (Ctrl-D is a byte): the terminal was closed or is no more ours. */
static int get_byte(FILE *f)
{
    static const char begin[] = "\033[200~", end[] = "\033[201~";
    static char last[sizeof begin];
    int c = rl_getc(f);
    memmove(last, last + 1, sizeof last - 2);
    last[sizeof last - 2] = (char)c;
    if (!memcmp(last, begin, sizeof begin - 1))
        pasting = true;
    else if (!memcmp(last, end, sizeof end - 1))
        pasting = false;
    closed |= c < 0;
    if (c != INTERRUPT || pasting)
        return c;
    interrupted = true;
    return GIVE_UP;
}

static void redisplay(void)
{
    changed = true;
}

static ssize_t listen_for_bells(void *cookie, const char *bytes, size_t n)
{
    (void)cookie;
    if (opt.bell && memchr(bytes, '\a', n))
        opt.bell(opt.ctx);
    return (ssize_t)n;
}

static void on_line(char *text)
{
    changed = in_handler = true;
    if (!closed)
        opt.enter(opt.ctx, text);
    in_handler = false;
    free(text);
}

/* words[0] is what they have in common. */
static void show_list(char **words, int n, int longest)
{
    (void)longest;
    changed = true;
    if (opt.list)
        opt.list(opt.ctx, words + 1, n);
}

static int pane_other(int count, int key)
{
    (void)count;
    if (key != opt.only || !opt.only) {
        opt.unknown(opt.ctx, key);
        return 0;
    }
    sy_line_set_panes(false);
    sy__act(opt.leave);
    rl_execute_next(key);
    return 0;
}

static int any_key(int count, int key)
{
    (void)count;
    sy_line_set_any(false);
    sy__rest_begin(key);
    opt.any(opt.ctx);
    return 0;
}

/* ESC [ < button ; x ; y M (or m).  It arrives in one piece. */
static int mouse(int count, int key)
{
    int v[3] = {0}, k = 0, c;
    (void)count;
    (void)key;
    while ((c = rl_read_key()) >= '0' && c <= ';') {
        if (c == ';')
            k += k < 2;
        else if (c <= '9' && v[k] < 100000)
            v[k] = 10 * v[k] + c - '0';
    }
    if ((c == 'M' || c == 'm') && opt.mouse)
        opt.mouse(opt.ctx, v[0], v[1] - 1, v[2] - 1, c == 'M');
    return 0;
}

/* A paste is text wherever it comes: for the prompt, or, where there is none, for nothing. */
static int paste(int count, int key)
{
    if (before_any)
        any_key(count, key);
    if (before_panes && !opt.only) {
        sy_line_set_panes(false);
        sy__act(opt.leave);
    }
    int rc = rl_bracketed_paste_begin(count, key);
    if (before_panes && opt.only)
        rl_replace_line("", 1);
    return rc;
}

/* ---- beginning and ending ---- */

/* Where the user has no key of his own for it, leave the panes. */
static void fill_panes(void)
{
    Keymap panes = sy__keys_panes();
    const Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap, panes};
    for (int m = 0; m < 4; m++)
        rl_bind_keyseq_in_map("\\e[<", mouse, maps[m]);
    rl_bind_keyseq_in_map("\\e[200~", paste, panes);
    for (int key = 0; key < ANY_KEY; key++)
        if (panes[key].type == ISFUNC && !panes[key].function)
            panes[key].function = pane_other;
}

int sy_line_begin(const struct sy_line_options *options, const char *prompt)
{
    int own = dup(options->in);
    opt = *options;
    in = own < 0 ? NULL : fdopen(own, "r");
    nowhere = fopencookie(NULL, "w", (cookie_io_functions_t){.write = listen_for_bells});
    if (!in || !nowhere) {
        if (in)
            fclose(in);
        if (nowhere)
            fclose(nowhere);
        in = nowhere = NULL;
        return -1;
    }
    setvbuf(nowhere, NULL, _IONBF, 0);
    rl_instream = in;
    rl_outstream = nowhere;
    rl_prep_term_function = NULL;
    rl_deprep_term_function = NULL;
    rl_redisplay_function = redisplay;
    rl_getc_function = get_byte;
    pasting = interrupted = closed = false;
    rl_completion_display_matches_hook = show_list;
    fill_panes();
    sy__keys_guard(); /* those that were just bound, too */
    rl_callback_handler_install(prompt, on_line);
    sy__typed_restore();
    changed = true;
    return 0;
}

/* What waited for an answer stands at the prompt again.  Not while Readline hands a line over: it
 * clears its buffer afterwards. */
static void put_back(void)
{
    asking = answered = false;
    changed = true;
    rl_replace_line(waiting ? waiting : "", 1);
    rl_point = waiting_point <= rl_end ? waiting_point : rl_end;
    rl_set_prompt(prompt_waiting ? prompt_waiting : "");
    sy_free(waiting);
    sy_free(prompt_waiting);
    waiting = prompt_waiting = NULL;
}

void sy_line_end(void)
{
    if (!in)
        return;
    sy_line_set_any(false);
    sy_line_set_panes(false);
    if (asking)
        put_back();
    sy__keys_settle();
    sy__typed_keep();
    rl_callback_handler_remove();
    rl_instream = stdin;
    rl_outstream = stdout;
    rl_prep_term_function = rl_prep_terminal;
    rl_deprep_term_function = rl_deprep_terminal;
    rl_redisplay_function = rl_redisplay;
    rl_getc_function = rl_getc;
    rl_completion_display_matches_hook = NULL;
    fclose(in);
    fclose(nowhere);
    in = nowhere = NULL;
}

/* ---- keys ---- */

void sy_line_read(void)
{
    if (!in)
        return;
    rl_callback_read_char();
    last_key = sy_now();
    if (answered)
        put_back();
    if (closed)
        opt.closed(opt.ctx);
    if (interrupted) {
        interrupted = false;
        opt.interrupt(opt.ctx);
    }
}

int sy_line_timeout(void)
{
    int ms = in && sy__lone_escape() ? sy__escape_ms() : -1;
    double left = ms < 0 ? -1 : last_key * 1e3 + ms - sy_now() * 1e3;
    return ms < 0 ? -1 : left > 0 ? (int)left + 1 : 0;
}

void sy_line_expire(void)
{
    if (sy_line_timeout()) /* too early, or nothing to wait for */
        return;
    sy__keys_settle();
    changed = true;
}

void sy_line_set_any(bool on)
{
    static Keymap any;
    if (on == (before_any != NULL))
        return;
    sy__search_end(false);
    if (on && !any) {
        any = sy__keys_any(any_key);
        rl_bind_keyseq_in_map("\\e[<", mouse, any);
        rl_bind_keyseq_in_map("\\e[200~", paste, any);
    }
    if (on)
        before_any = rl_get_keymap();
    rl_set_keymap(on ? any : before_any);
    if (!on)
        before_any = NULL;
}

void sy_line_set_panes(bool on)
{
    if (on == (before_panes != NULL))
        return;
    sy_line_set_any(false);
    changed = true;
    sy__search_end(false);
    if (on) {
        before_panes = rl_get_keymap();
        rl_set_keymap(sy__keys_panes());
    } else {
        rl_set_keymap(before_panes);
        before_panes = NULL;
    }
}

bool sy_line_panes(void)
{
    return before_panes != NULL;
}

/* ---- what stands there ---- */

bool sy_line_view(struct sy_line_view *view)
{
    bool was = changed;
    changed = false;
    *view = (struct sy_line_view){.prompt = rl_display_prompt ? rl_display_prompt : "",
                                  .text = rl_line_buffer ? rl_line_buffer : "",
                                  .n = (size_t)rl_end,
                                  .point = (size_t)rl_point};
    if (rl_mark_active_p() && rl_mark <= rl_end) {
        view->from = (size_t)(rl_mark < rl_point ? rl_mark : rl_point);
        view->to = (size_t)(rl_mark < rl_point ? rl_point : rl_mark);
    }
    return was;
}

/* What a search or an argument shows in the prompt's place stays there: a chunk may end, and its
 * prompt come back, while they are typed. */
static void set_prompt_below(const char *prompt)
{
    char *message = rl_prompt && rl_display_prompt != rl_prompt ? sy_strdup(rl_display_prompt)
                                                                : NULL;
    if (message)
        rl_clear_message();
    rl_set_prompt(prompt);
    if (message)
        rl_message("%s", message);
    sy_free(message);
}

void sy_line_set_prompt(const char *prompt)
{
    changed = true;
    if (!asking) {
        set_prompt_below(prompt);
        return;
    }
    sy_free(prompt_waiting);
    prompt_waiting = sy_strdup(prompt);
}

void sy_line_set_text(const char *text)
{
    rl_replace_line(text, 1);
    rl_point = rl_end;
    rl_mark = 0;
    changed = true;
}

void sy_line_set_size(int rows, int columns)
{
    rl_set_screen_size(rows, columns);
    sy__guard_size();
}

bool sy_line_cancel(void)
{
    sy__search_end(true);
    sy_line_set_any(false);
    bool empty = rl_end == 0;
    Keymap panes = before_panes ? rl_get_keymap() : NULL;
    sy__keys_settle();
    char *prompt = sy_strdup(rl_prompt ? rl_prompt : "");
    rl_callback_handler_remove();
    rl_clear_message();
    rl_callback_handler_install(prompt ? prompt : "", on_line); /* at the history's end again */
    if (panes)
        rl_set_keymap(panes);
    sy_free(prompt);
    changed = true;
    return empty;
}

/* ---- questions ---- */

bool sy_line_asking(void)
{
    return asking;
}

void sy_line_ask(const char *prompt)
{
    if (asking)
        return;
    sy__search_end(true);
    sy_line_set_any(false);
    sy_line_set_panes(false);
    waiting = sy_strdup(rl_line_buffer);
    waiting_point = rl_point;
    prompt_waiting = sy_strdup(rl_prompt ? rl_prompt : "");
    rl_replace_line("", 1);
    rl_point = rl_mark = 0;
    rl_set_prompt(prompt);
    asking = changed = true;
}

void sy_line_answered(void)
{
    answered = asking;
    if (asking && !in_handler)
        put_back();
}

#else
int sy_line_begin(const struct sy_line_options *options, const char *prompt)
{
    (void)options;
    (void)prompt;
    return -1;
}
void sy_line_end(void)
{
}
void sy_line_read(void)
{
}
int sy_line_timeout(void)
{
    return -1;
}
void sy_line_expire(void)
{
}
bool sy_line_view(struct sy_line_view *view)
{
    return *view = (struct sy_line_view){0}, false;
}
void sy_line_set_prompt(const char *prompt)
{
    (void)prompt;
}
void sy_line_set_text(const char *text)
{
    (void)text;
}
void sy_line_set_size(int rows, int columns)
{
    (void)rows, (void)columns;
}
void sy_line_set_panes(bool on)
{
    (void)on;
}
bool sy_line_panes(void)
{
    return false;
}
void sy_line_set_any(bool on)
{
    (void)on;
}
bool sy_line_cancel(void)
{
    return true;
}
void sy_line_ask(const char *prompt)
{
    (void)prompt;
}
void sy_line_answered(void)
{
}
bool sy_line_asking(void)
{
    return false;
}
#endif
