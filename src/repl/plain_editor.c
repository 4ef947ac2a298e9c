/* Lines without an editor: from a pipe, or on a terminal without Readline.  Layer repl.
 * Reads through stdio, so that a chunk's io.read() sees the line that follows it. */
#include "repl/editor_int.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sy_edit_event after_failure(void)
{
    enum sy_edit_event event = SY_EDIT_END;
    char c;
    if (ferror(stdin) && errno == EINTR)
        event = SY_EDIT_INTERRUPT;
    clearerr(stdin);
    while ((c = sy_wake_take()))
        if (c == SY_WAKE_END)
            event = SY_EDIT_TERMINATE;
    if (event == SY_EDIT_INTERRUPT && !sy_edit_is_terminal())
        event = SY_EDIT_TERMINATE;
    return event;
}

enum sy_edit_event sy__plain_line(const char *prompt, char **line)
{
    char *text = NULL, *notice;
    size_t room = 0;
    while ((notice = sy_notice_take())) {
        printf("%s\n", notice);
        sy_free(notice);
    }
    fputs(prompt, stdout);
    fflush(stdout);
    errno = 0;
    ssize_t n = getline(&text, &room, stdin);
    if (n < 0) {
        free(text);
        return after_failure();
    }
    if (n && text[n - 1] == '\n')
        text[--n] = 0;
    *line = sy_strndup(text, (size_t)n);
    free(text);
    return *line ? SY_EDIT_LINE : SY_EDIT_END;
}
