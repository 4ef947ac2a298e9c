/* The editor that lines are read by: Readline (readline_editor.c), or none (plain_editor.c).  Layer
 * repl. */
#include "config.h"
#include "repl/editor_int.h"

#include <unistd.h>

static bool use_readline;

int sy_edit_open(const struct sy_edit_options *options)
{
    if (sy__wake_open())
        return -1;
#ifdef HAVE_READLINE
    use_readline = sy_edit_is_terminal() && !options->plain && isatty(1);
    if (use_readline)
        sy__readline_open(options);
#else
    (void)options;
#endif
    return 0;
}

void sy_edit_close(void)
{
#ifdef HAVE_READLINE
    if (use_readline)
        sy__readline_close();
#endif
    sy_edit_restore_terminal();
}

void sy_edit_restore_terminal(void)
{
    static const char paste_off[] = "\033[?2004l";
    if (!sy_edit_is_terminal())
        return;
    sy__terminal_restore();
    if (use_readline && write(1, paste_off, sizeof paste_off - 1) < 0) {
        /* nothing better can be done */
    }
}

enum sy_edit_event sy_edit_line(const char *prompt, char **line)
{
#ifdef HAVE_READLINE
    if (use_readline)
        return sy__readline_line(prompt, line);
#endif
    return sy__plain_line(sy_edit_is_terminal() ? prompt : "", line);
}

void sy_edit_remember(const char *line)
{
#ifdef HAVE_READLINE
    if (use_readline)
        sy__readline_remember(line);
#else
    (void)line;
#endif
}

void sy_edit_clear(void)
{
#ifdef HAVE_READLINE
    sy__readline_clear();
#endif
}

void sy_edit_leave(void)
{
#ifdef HAVE_READLINE
    sy__readline_leave();
#endif
}
