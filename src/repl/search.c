/* Looking for a line of the history while its text is typed (Ctrl-R, Ctrl-S).  Layer repl.
 *
 *     the keymap before --Ctrl-R--> ours: letters, Backspace, Ctrl-R, Ctrl-S, Ctrl-G
 *           ^---------------- any other key, which then does what it does there
 *
 * Readline's own search waits for its keys in a state beside the keymaps, which the callback
 * interface loses when several keys come at once (8.2: ^R ESC ^K F6).  This one is a keymap. */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/editor_int.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <readline/readline.h>

#define KEYS 256
#define CONTROL(c) ((c) & 31)

static Keymap map, before; /* before: NULL while nothing is looked for */
static struct sy_str text; /* what is looked for */
static char *last_text;    /* the last time */
static char *line;         /* what stood there at the beginning */
static int point, from, at, direction;
static bool found;

static void show_prompt(void)
{
    rl_message("(%s%s)`%s': ", found ? "" : "failed ",
               direction < 0 ? "reverse-i-search" : "i-search", text.data ? text.data : "");
}

/* The nearest line with the text in it, from the line `at` on; that itself only if `here`. */
static void look_for_text(bool here)
{
    const char *hit = NULL, *s = NULL;
    int i = here ? at : at + direction;
    if (!text.len) {
        found = true;
        return;
    }
    for (; !hit && i >= 0 && i <= sy__history_count(); i += direction) {
        s = sy__history_line(i); /* NULL: the line that is typed */
        hit = s && (here || strcmp(s, rl_line_buffer)) ? strstr(s, text.data) : NULL;
        at = hit ? i : at;
    }
    found = hit && sy__history_go(at, (int)(hit - s));
}

static void remember_text(void)
{
    if (!text.len)
        return;
    sy_free(last_text);
    last_text = sy_strdup(text.data);
}

void sy__search_end(bool give_up)
{
    sy__rest_end();
    if (!before)
        return;
    rl_set_keymap(before);
    before = NULL;
    if (give_up) {
        sy__history_go(from, -1);
        rl_replace_line(line ? line : "", 1);
        rl_point = point <= rl_end ? point : rl_end;
    }
    remember_text();
    sy_str_free(&text);
    sy_free(line);
    line = NULL;
    rl_clear_message();
}

static void drop_character(void)
{
    while (text.len && ((unsigned char)text.data[text.len - 1] & 0xC0) == 0x80)
        text.len--;
    text.len -= text.len > 0;
    if (text.data)
        text.data[text.len] = 0;
    at = from;
    look_for_text(true);
}

static void repeat_search(int way)
{
    direction = way;
    if (text.len)
        look_for_text(false);
    else if (last_text) {
        sy_str_puts(&text, last_text);
        look_for_text(true);
    }
}

static int on_key(int count, int key)
{
    char c = (char)key;
    (void)count;
    if (key == CONTROL('r') || key == CONTROL('s'))
        repeat_search(key == CONTROL('r') ? -1 : 1);
    else if (key == CONTROL('h') || key == 127)
        drop_character();
    else if (key >= ' ') {
        sy_str_add(&text, &c, 1);
        look_for_text(true);
    } else {
        sy__search_end(key == CONTROL('g'));
        if (key != CONTROL('g') && key != CONTROL('j'))
            rl_execute_next(key);
        return 0;
    }
    if (!found)
        rl_ding();
    show_prompt();
    return 0;
}

static int begin_search(int way)
{
    if (before)
        return 0;
    if (!map && (map = rl_make_bare_keymap()))
        for (int key = 0; key < KEYS; key++) {
            map[key].type = ISFUNC;
            map[key].function = on_key;
        }
    if (!map)
        return 0;
    before = rl_get_keymap();
    line = sy_strdup(rl_line_buffer);
    point = rl_point;
    from = at = sy__history_at();
    direction = way;
    found = true;
    rl_set_keymap(map);
    show_prompt();
    return 0;
}

int sy__search_back(int count, int key)
{
    (void)count, (void)key;
    return begin_search(-1);
}

int sy__search_on(int count, int key)
{
    (void)count, (void)key;
    return begin_search(1);
}

static const struct sy__instead replaced[] = {
    {rl_reverse_search_history, sy__search_back},
    {rl_forward_search_history, sy__search_on},
    {rl_noninc_reverse_search, sy__search_back},
    {rl_noninc_forward_search, sy__search_on},
    {rl_noninc_reverse_search_again, sy__search_back},
    {rl_noninc_forward_search_again, sy__search_on},
    {rl_vi_search, sy__search_back},
    {rl_vi_search_again, sy__search_back},
};

void sy__search_bind(void)
{
    sy__keys_replace(replaced, sizeof replaced / sizeof *replaced);
}

#else
typedef int sy__no_search;
#endif
