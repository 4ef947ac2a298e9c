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
#include "repl/editor_int.h"
#include "repl/keymap_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#include <readline/readline.h>

#define SEQUENCE_MAX 16 /* bytes of a key */
#define ROWS_MIN 2
#define COLUMNS_MIN 10
#define GIVE_UP 7 /* Ctrl-G */

static int give_up(int count, int key)
{
    rl_clear_message();
    rl_deactivate_mark();
    return sy__nothing(count, key);
}

static int yank_before(int count, int key)
{
    bool after = rl_last_func == rl_yank || rl_last_func == yank_before;
    rl_last_func = rl_yank;
    return after ? rl_yank_pop(count, key) : sy__nothing(count, key);
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
        return is_text() ? rl_vi_##name(count, key) : sy__nothing(count, key);                     \
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
    {rl_vi_yank_pop, sy__nothing},
    {rl_re_read_init_file, read_again},
    {rl_arrow_keys, sy__nothing}, /* moves in the history by itself */
    {rl_start_kbd_macro, sy__nothing}, /* replayed, its keys are read ahead */
    {rl_end_kbd_macro, sy__nothing},
    {rl_call_last_kbd_macro, sy__nothing},
    {rl_print_last_kbd_macro, sy__nothing},
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

void sy__keys_guard(void)
{
    const Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap,
                           sy__keys_panes()};
    for (int i = 0; i < 4; i++)
        sy__replace_in(maps[i], guarded, sizeof guarded / sizeof *guarded, i < 3, true);
    if (maps[1][GIVE_UP].type == ISFUNC && maps[1][GIVE_UP].function == rl_insert)
        maps[1][GIVE_UP].function = give_up; /* Ctrl-C comes as this key (line.c): it is no text */
    maps[3][NO_KEY].type = ISFUNC;
    maps[3][NO_KEY].function = sy__quiet;
    sy__history_bind();
    sy__search_bind();
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
