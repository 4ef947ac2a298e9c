/* The program's own keys as Readline functions.  Layer repl.
 *
 * Readline calls a bound function without saying which name it was bound by, so that each action
 * has a C function of its own here; a table of them is made by the preprocessor. */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/editor_int.h"

#include <stdio.h>
#include <string.h>

#include <readline/readline.h>

static void (*on_action)(int);
static const struct sy_edit_key *keys;
static int nkeys;
static Keymap panes;

#define TENS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)
#define UNITS(X, t) X(t, 0) X(t, 1) X(t, 2) X(t, 3) X(t, 4) X(t, 5) X(t, 6) X(t, 7) X(t, 8) X(t, 9)
#define FUNCTION(t, u)                                                                             \
    static int act_##t##u(int count, int key)                                                      \
    {                                                                                              \
        (void)count;                                                                               \
        (void)key;                                                                                 \
        if (on_action)                                                                             \
            on_action(10 * t + u);                                                                 \
        return 0;                                                                                  \
    }
#define FUNCTIONS(t) UNITS(FUNCTION, t)
TENS(FUNCTIONS)
#define NAME(t, u) act_##t##u,
#define NAMES(t) UNITS(NAME, t)
static rl_command_func_t *const functions[] = {TENS(NAMES)};
_Static_assert(sizeof functions / sizeof *functions >= SY_EDIT_ACTIONS_MAX, "a function an action");

static int insert_newline(int count, int key)
{
    (void)key;
    while (count-- > 0)
        rl_insert_text("\n");
    return 0;
}

/* Within a text of several lines Up and Down are for them, else for the history by prefix. */
static bool move_line(int direction)
{
    int begin = rl_point, column, to;
    while (begin > 0 && rl_line_buffer[begin - 1] != '\n')
        begin--;
    column = rl_point - begin;
    if (direction < 0) {
        if (!begin)
            return false;
        for (to = begin - 1; to > 0 && rl_line_buffer[to - 1] != '\n'; to--)
            continue;
    } else {
        const char *next = strchr(rl_line_buffer + rl_point, '\n');
        if (!next)
            return false;
        to = (int)(next - rl_line_buffer) + 1;
    }
    while (column-- > 0 && rl_line_buffer[to] && rl_line_buffer[to] != '\n')
        to++;
    while (((unsigned char)rl_line_buffer[to] & 0xC0) == 0x80) /* not into a character */
        to++;
    rl_point = to;
    return true;
}

static bool in_history; /* the last of these keys went there: so do the next */
static int line_up(int count, int key);
static int line_down(int count, int key);

static int line_or_history(int direction)
{
    bool again = rl_last_func == line_up || rl_last_func == line_down;
    if (!(again && in_history) && move_line(direction)) {
        in_history = false;
        return 0;
    }
    int rc = sy__history_prefix(direction, again && in_history);
    in_history = true;
    return rc;
}

static int line_up(int count, int key)
{
    (void)count, (void)key;
    return line_or_history(-1);
}
static int line_down(int count, int key)
{
    (void)count, (void)key;
    return line_or_history(1);
}

void sy__keys_define(const struct sy_edit_options *options)
{
    on_action = options->action;
    keys = options->keys;
    nkeys = options->nkeys;
    rl_add_defun("insert-newline", insert_newline, -1);
    rl_add_defun("previous-line-or-history", line_up, -1);
    rl_add_defun("next-line-or-history", line_down, -1);
    for (int i = 0; i < nkeys; i++)
        rl_add_defun(keys[i].name, functions[keys[i].action], -1);
    panes = rl_make_bare_keymap();
    rl_set_keymap_name("switchyard-panes", panes);
}

/* Keys in Readline's notation, separated by spaces, in a map. */
static void bind_all(const char *list, rl_command_func_t *f, Keymap map)
{
    char one[32];
    while (*list) {
        size_t n = strcspn(list, " ");
        snprintf(one, sizeof one, "%.*s", (int)n, list);
        if (n)
            rl_bind_keyseq_in_map(one, f, map);
        list += n + (list[n] == ' ');
    }
}

void sy__keys_bind(void)
{
    const Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap};
    for (int m = 0; m < 3; m++) {
        bind_all("\\e[A \\eOA", line_up, maps[m]);
        bind_all("\\e[B \\eOB", line_down, maps[m]);
        for (int i = 0; i < nkeys; i++)
            if (!keys[i].pane)
                bind_all(keys[i].keys, functions[keys[i].action], maps[m]);
    }
    bind_all("\\e\\C-m", insert_newline, emacs_standard_keymap);
    bind_all("\\e\\C-m", insert_newline, vi_insertion_keymap);
    for (int i = 0; i < nkeys; i++)
        bind_all(keys[i].keys, functions[keys[i].action], panes);
}

void *sy__keys_panes(void)
{
    return panes;
}

void sy__act(int action)
{
    if (on_action)
        on_action(action);
}

#else
typedef int sy__no_keys;
#endif
