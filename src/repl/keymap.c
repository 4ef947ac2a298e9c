/* Keymaps of Readline's: functions replaced wherever they are bound, keys that are bound to
 * nothing, a map in which every key is one function's.  Layer repl. */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/editor_int.h"
#include "repl/keymap_int.h"

#include <stdio.h>
#include <stdlib.h>

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

int sy__nothing(int count, int key)
{
    (void)count;
    rl_ding();
    sy__rest_begin(key);
    return 0;
}

int sy__quiet(int count, int key)
{
    (void)count, (void)key;
    return 0;
}

/* ---- replacing ---- */

/* What shadows a shorter key (ESC alone, in vi's keys) is found by Readline itself. */
void sy__replace_in(Keymap map, const struct sy__instead *list, size_t n, bool fill, bool below)
{
    bool shadows = map[KEYS].function != NULL;
    for (int key = 0; key <= KEYS; key++) {
        if (map[key].type == ISKMAP && map[key].function)
            sy__replace_in((Keymap)(void *)map[key].function, list, n, below, below);
        if (map[key].type != ISFUNC)
            continue;
        if (fill && !shadows && key < KEYS && !map[key].function)
            map[key].function = key == NO_KEY ? sy__quiet : sy__nothing;
        for (size_t i = 0; i < n; i++)
            if (map[key].function == list[i].theirs)
                map[key].function = list[i].ours;
    }
}

void sy__keys_replace(const struct sy__instead *list, size_t n)
{
    const Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap};
    for (int i = 0; i < 3; i++)
        sy__replace_in(maps[i], list, n, false, false);
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

#else
typedef int sy__no_keymap;
#endif
