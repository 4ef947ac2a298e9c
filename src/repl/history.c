/* The lines entered before, and every key that goes among them.  Layer repl.
 *
 * Readline keeps with each line of its history the undo list of what was edited there, with aliases
 * to the list in use; its searches free what is still aliased (8.2: Up ^U Up ^U Down Down Up x Up).
 * So Readline's own place in the history never moves, nor are its lines ever edited:
 *
 *  1. Going to a line copies it into the buffer.  What is changed there is not kept when one goes
 *     on; what was typed before the first of these keys is, and comes back at the end.
 *  2. Every function of Readline's that would move is replaced in the keymaps by one of ours
 *     (sy__history_bind), whatever keys an inputrc gives it. */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/editor_int.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/readline.h>
#include <readline/history.h>

#define LINES_MAX 10000

static char *file;
static int at;        /* the line that stands there; history_length: the one that is typed */
static char *typed;   /* that one, while at is elsewhere */
static char *wanted;  /* what a search looks for; NULL: none has begun */
static int next = -1; /* for the next prompt, by operate-and-get-next; -1: nothing */

/* ---- the list and its file ---- */

void sy__history_open(const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    using_history();
    stifle_history(LINES_MAX);
    if (!path || !(file = sy_strdup(path)))
        return;
    char *slash = strrchr(file, '/');
    if (slash && slash != file) {
        *slash = 0;
        sy_dir_make(file, &err); /* without it there is no history: no reason to stop */
        *slash = '/';
    }
    read_history(file);
}

const char *sy__history_line(int i)
{
    const HIST_ENTRY *e = i >= 0 && i < history_length ? history_get(history_base + i) : NULL;
    return e && e->line ? e->line : NULL;
}

int sy__history_count(void)
{
    return history_length;
}

void sy__readline_remember(const char *line)
{
    const char *before = sy__history_line(history_length - 1);
    if (!*line || (before && !strcmp(before, line)))
        return;
    add_history(line);
    if (file && append_history(1, file) == ENOENT)
        write_history(file);
}

static void forget_text(char **text)
{
    sy_free(*text);
    *text = NULL;
}

void sy__history_close(void)
{
    if (file)
        history_truncate_file(file, LINES_MAX);
    forget_text(&file);
    forget_text(&typed);
    forget_text(&wanted);
}

/* ---- going there ---- */

int sy__history_at(void)
{
    return at < history_length ? at : history_length;
}

static void show_line(const char *text, int point)
{
    rl_replace_line(text, 1);
    rl_point = point < 0 || point > rl_end ? rl_end : point;
    rl_mark = 0;
}

bool sy__history_go(int to, int point)
{
    const char *line = sy__history_line(to);
    if (to < history_length && !line)
        return false;
    if (at >= history_length && to < history_length) {
        forget_text(&typed);
        typed = sy_strdup(rl_line_buffer);
    }
    if (line)
        show_line(line, point);
    else if (at < history_length)
        show_line(typed ? typed : "", point);
    at = to;
    return true;
}

static int go_to_line(int to)
{
    int last = history_length, from = sy__history_at();
    to = to < 0 ? 0 : to > last ? last : to;
    if (to == from || !sy__history_go(to, -1))
        rl_ding();
    return 0;
}

static int previous_line(int count, int key)
{
    (void)key;
    return go_to_line(sy__history_at() - count);
}

static int following_line(int count, int key)
{
    return previous_line(-count, key);
}

static int first_line(int count, int key)
{
    (void)count, (void)key;
    return go_to_line(0);
}

static int last_line(int count, int key)
{
    (void)count, (void)key;
    return go_to_line(history_length);
}

static int fetch_line(int count, int key)
{
    (void)key;
    return go_to_line(rl_explicit_arg ? count - history_base : 0);
}

/* ---- searching for what begins so ---- */

/* Another line with the text in it, or at its beginning; -1: none. */
static int find_line(const char *text, int from, int direction, bool anchored)
{
    size_t n = strlen(text);
    for (int i = from + direction; i >= 0 && i < history_length; i += direction) {
        const char *line = sy__history_line(i);
        bool found = line && (anchored ? !strncmp(line, text, n) : strstr(line, text) != NULL);
        if (found && strcmp(line, rl_line_buffer))
            return i;
    }
    return -1;
}

static void begin_search(void)
{
    forget_text(&wanted);
    wanted = sy_strndup(rl_line_buffer, (size_t)rl_point);
}

/* The line that was typed is the last match of all. */
static int search_lines(int direction, bool again, bool anchored)
{
    if (!again || !wanted)
        begin_search();
    if (!wanted || !*wanted)
        return go_to_line(sy__history_at() + direction);
    int from = sy__history_at(), n = (int)strlen(wanted);
    int to = find_line(wanted, from, direction, anchored);
    if (to < 0 && direction > 0 && from < history_length)
        to = history_length;
    if (to < 0 || !sy__history_go(to, n))
        rl_ding();
    if (to == history_length)
        forget_text(&wanted); /* what is typed there now is looked for next */
    return 0;
}

int sy__history_prefix(int direction, bool again)
{
    return search_lines(direction, again, true);
}

#define SEARCH(name, anchored)                                                                     \
    static int back_##name(int count, int key);                                                    \
    static int on_##name(int count, int key);                                                      \
    static int back_##name(int count, int key)                                                     \
    {                                                                                              \
        (void)count, (void)key;                                                                    \
        return search_lines(-1, rl_last_func == back_##name || rl_last_func == on_##name,          \
                            anchored);                                                             \
    }                                                                                              \
    static int on_##name(int count, int key)                                                       \
    {                                                                                              \
        (void)count, (void)key;                                                                    \
        return search_lines(1, rl_last_func == back_##name || rl_last_func == on_##name,           \
                            anchored);                                                             \
    }
SEARCH(prefix, true)
SEARCH(within, false)

/* ---- the line after the one that is entered ---- */

static int enter_and_next(int count, int key)
{
    (void)count;
    next = sy__history_at() + 1 < history_length ? sy__history_at() + 1 : -1;
    return rl_newline(1, key);
}

/* Each prompt begins at the end of the list. */
static int begin_line(void)
{
    forget_text(&typed);
    forget_text(&wanted);
    at = history_length;
    if (next >= 0 && next < history_length)
        sy__history_go(next, -1);
    next = -1;
    return 0;
}

/* ---- in place of Readline's ---- */

static const struct sy__instead replaced[] = {
    {rl_get_previous_history, previous_line},
    {rl_get_next_history, following_line},
    {rl_beginning_of_history, first_line},
    {rl_end_of_history, last_line},
    {rl_fetch_history, fetch_line},
    {rl_vi_fetch_history, fetch_line},
    {rl_history_search_backward, back_prefix},
    {rl_history_search_forward, on_prefix},
    {rl_history_substr_search_backward, back_within},
    {rl_history_substr_search_forward, on_within},
    {rl_operate_and_get_next, enter_and_next},
};

void sy__history_bind(void)
{
    rl_startup_hook = begin_line;
    sy__keys_replace(replaced, sizeof replaced / sizeof *replaced);
}

#else
typedef int sy__no_history;
#endif
