/* Readline's functions, where they can bring the program down.  Layer repl.
 *
 * Its way out of an abort is a longjmp to the last setjmp, and in the callback interface that may
 * have been in a function that has returned: of several keys read ahead the first is dispatched in
 * readline_internal_char, which sets it, the next ones below rl_callback_read_char, which does not
 * set it again (8.2: vi's ESC [ 1, then a byte without a function).  So here
 *
 *  1. no key aborts: Ctrl-G gives up by itself, and what is bound to nothing rings (a sequence that
 *     nobody knows is swallowed whole);
 *  2. no half of a key stays behind (sy__keys_settle);
 *  3. no function that aborts when it has nothing to do is reached in that case;
 *  4. no motion of vi's that looks for an end is begun in bytes that are no characters: there it
 *     may go to and fro for ever (8.2: E before an incomplete last character). */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/edit_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#include <readline/readline.h>

#define SEQUENCE_MAX 16 /* bytes of a key */
#define ROWS_MIN 2
#define COLUMNS_MIN 10
#define NO_KEY 034 /* Ctrl-\\: a signal, which never comes as a key */
#define GIVE_UP 7 /* Ctrl-G */
#define KEYS 256 /* of a keymap; one more entry is for "anything else" */

/* ---- keys that are bound to nothing ---- */

static Keymap rest, before_rest; /* before_rest: NULL while no key is cut short */

void sy__rest_end(void)
{
    if (before_rest)
        rl_set_keymap(before_rest);
    before_rest = NULL;
}

static int on_rest(int count, int key)
{
    (void)count;
    if (key >= ' ' && key < '@')
        return 0; /* there is more of it */
    sy__rest_end();
    if (key < ' ')
        rl_execute_next(key);
    return 0;
}

/* ESC [, digits and semicolons, a letter: where Readline has given up, what is left is no text. */
void sy__rest_begin(int key)
{
    const char *typed = rl_executing_keyseq;
    bool begun = rl_key_sequence_length > 2 && typed[0] == '\033' && typed[1] == '[';
    if (!begun || before_rest || key < ' ' || key >= '@' ||
        (!rest && !(rest = rl_make_bare_keymap())))
        return;
    for (int i = 0; i < KEYS; i++) {
        rest[i].type = ISFUNC;
        rest[i].function = on_rest;
    }
    before_rest = rl_get_keymap();
    rl_set_keymap(rest);
}

static int nothing(int count, int key)
{
    (void)count;
    rl_ding();
    sy__rest_begin(key);
    return 0;
}

static int quiet(int count, int key)
{
    (void)count, (void)key;
    return 0;
}

static int give_up(int count, int key)
{
    rl_clear_message();
    rl_deactivate_mark();
    return nothing(count, key);
}

static int yank_before(int count, int key)
{
    bool after = rl_last_func == rl_yank || rl_last_func == yank_before;
    rl_last_func = rl_yank;
    return after ? rl_yank_pop(count, key) : nothing(count, key);
}

static int read_again(int count, int key)
{
    int rc = rl_re_read_init_file(count, key);
    sy__keys_guard(); /* it may have bound them anew */
    return rc;
}

static bool is_text(void)
{
    mbstate_t state = {0};
    if (MB_CUR_MAX == 1)
        return true;
    for (size_t left = (size_t)rl_end, n; left; left -= n) {
        n = mbrtowc(NULL, rl_line_buffer + rl_end - left, left, &state);
        if (n > left)
            return false;
        n += !n; /* a zero byte */
    }
    return true;
}

#define IN_TEXT(name)                                                                              \
    static int name(int count, int key)                                                            \
    {                                                                                              \
        return is_text() ? rl_vi_##name(count, key) : nothing(count, key);                         \
    }
IN_TEXT(next_word)
IN_TEXT(end_word)
IN_TEXT(fword)
IN_TEXT(fWord)
IN_TEXT(eword)
IN_TEXT(eWord)
IN_TEXT(match)
IN_TEXT(complete)
IN_TEXT(char_search)

static const struct sy__instead guarded[] = {
    {rl_abort, give_up},
    {rl_yank_pop, yank_before},
    {rl_vi_yank_pop, nothing},
    {rl_re_read_init_file, read_again},
    {rl_arrow_keys, nothing}, /* moves in the history by itself */
    {rl_start_kbd_macro, nothing}, /* replayed, its keys are read ahead */
    {rl_end_kbd_macro, nothing},
    {rl_call_last_kbd_macro, nothing},
    {rl_print_last_kbd_macro, nothing},
    {rl_vi_next_word, next_word},
    {rl_vi_end_word, end_word},
    {rl_vi_fword, fword},
    {rl_vi_fWord, fWord},
    {rl_vi_eword, eword},
    {rl_vi_eWord, eWord},
    {rl_vi_match, match},
    {rl_vi_complete, complete},
    {rl_vi_char_search, char_search},
};

/* What shadows a shorter key (ESC alone, in vi's keys) is found by Readline itself. */
static void replace_in(Keymap map, const struct sy__instead *list, size_t n, bool fill, bool below)
{
    bool shadows = map[KEYS].function != NULL;
    for (int key = 0; key <= KEYS; key++) {
        if (map[key].type == ISKMAP && map[key].function)
            replace_in((Keymap)(void *)map[key].function, list, n, below, below);
        if (map[key].type != ISFUNC)
            continue;
        if (fill && !shadows && key < KEYS && !map[key].function)
            map[key].function = key == NO_KEY ? quiet : nothing;
        for (size_t i = 0; i < n; i++)
            if (map[key].function == list[i].theirs)
                map[key].function = list[i].ours;
    }
}

void sy__keys_replace(const struct sy__instead *list, size_t n)
{
    const Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap};
    for (int i = 0; i < 3; i++)
        replace_in(maps[i], list, n, false, false);
}

void sy__keys_guard(void)
{
    const Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap,
                           sy__keys_panes()};
    for (int i = 0; i < 4; i++)
        replace_in(maps[i], guarded, sizeof guarded / sizeof *guarded, i < 3, true);
    if (maps[1][GIVE_UP].type == ISFUNC && maps[1][GIVE_UP].function == rl_insert)
        maps[1][GIVE_UP].function = give_up; /* Ctrl-C comes as this key (line.c): it is no text */
    maps[3][NO_KEY].type = ISFUNC;
    maps[3][NO_KEY].function = quiet;
    sy__history_bind();
}

/* What has begun is brought to its end by a key that does nothing: rl_callback_sigcleanup, which is
 * meant for that, leaves what was typed so far on a list, and later keys are taken for its end. */
void sy__keys_settle(void)
{
    for (int i = 0; i < SEQUENCE_MAX && RL_ISSTATE(RL_STATE_MULTIKEY); i++) {
        if (!RL_ISSTATE(RL_STATE_CALLBACK)) /* a line was entered */
            return;
        rl_execute_next(NO_KEY);
        rl_callback_read_char();
    }
    rl_callback_sigcleanup();
}

/* A keymap in which every key, however long, calls f, and does nothing else. */
static Keymap every_key(Keymap like, rl_command_func_t *f)
{
    Keymap map = rl_make_bare_keymap();
    for (int key = 0; key < KEYS; key++) {
        bool longer = like[key].type == ISKMAP && like[key].function;
        map[key].type = longer ? ISKMAP : ISFUNC;
        map[key].function =
            longer ? (rl_command_func_t *)(void *)every_key((Keymap)(void *)like[key].function, f)
                   : f;
    }
    return map;
}

/* Alone, a key that begins others is one, too. */
void *sy__keys_any(int (*f)(int count, int key))
{
    Keymap map = every_key(emacs_standard_keymap, f);
    for (int key = 0; key < KEYS; key++)
        if (map[key].type == ISKMAP) {
            Keymap longer = (Keymap)(void *)map[key].function;
            longer[NO_KEY].function = NULL;
            longer[KEYS].type = ISFUNC;
            longer[KEYS].function = f;
        }
    return map;
}

int sy__escape_ms(void)
{
    const char *text = rl_variable_value("keyseq-timeout");
    int ms = text ? atoi(text) : 0;
    return ms > 0 ? ms : -1;
}

/* Readline divides by the columns that are left of a line. */
void sy__guard_size(void)
{
    int rows, columns;
    rl_get_screen_size(&rows, &columns);
    if (rows < ROWS_MIN || columns < COLUMNS_MIN)
        rl_set_screen_size(rows < ROWS_MIN ? ROWS_MIN : rows,
                           columns < COLUMNS_MIN ? COLUMNS_MIN : columns);
}

/* With something to yank: an empty text. */
void sy__guard_open(void)
{
    rl_kill_text(0, 1);
    rl_free_undo_list();
    rl_completion_query_items = 0; /* it would wait for the answer */
    rl_variable_bind("page-completions", "off");
}

#else
typedef int sy__no_guard;
#endif
