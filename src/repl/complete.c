/* Tab: the client's candidates in Readline's form.  Layer repl. */
#include "config.h"

#ifdef HAVE_READLINE
#include "repl/editor_int.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/readline.h>

static sy_edit_complete client;
static char *found; /* what it answered */
static bool files;  /* ... or that a file's name is wanted */

/* Longest common prefix of all lines of the block, for element 0; malloc'd as Readline wants it. */
static char *common_prefix(const char *block)
{
    size_t n = strcspn(block, "\n");
    for (const char *s = block; *s; s += strcspn(s, "\n"), s += *s == '\n') {
        size_t i = 0;
        while (i < n && s[i] == block[i] && s[i] != '\n' && s[i])
            i++;
        n = i;
    }
    return strndup(block, n);
}

static char **matches_of(const char *block)
{
    size_t lines = 0, k = 0;
    for (const char *s = block; *s; s++)
        lines += *s == '\n';
    char **list = calloc(lines + 3, sizeof *list);
    if (!list)
        return NULL;
    list[k++] = common_prefix(block);
    for (const char *s = block; *s && k < lines + 2;) {
        size_t n = strcspn(s, "\n");
        list[k++] = strndup(s, n);
        s += n + (s[n] == '\n');
    }
    if (k == 2) { /* one candidate: only element 0 stands */
        free(list[1]);
        list[1] = NULL;
    }
    return list;
}

/* Asked first: where the word begins depends on what it is.  A file's name has dots, slashes and
 * tildes in it, and a string with a quotation mark before it is one name. */
static char *ask_client(void)
{
    static char of_files[] = " \t\n\"'[=";
    sy_free(found);
    files = false;
    found = client(rl_line_buffer, (size_t)rl_point, &files);
    return files ? of_files : NULL;
}

static char **offer_matches(const char *text, int start, int end)
{
    (void)text, (void)start, (void)end;
    rl_attempted_completion_over = !files;
    rl_completion_append_character = 0;
    char **list = found && *found ? matches_of(found) : NULL;
    sy_free(found);
    found = NULL;
    return list;
}

void sy__complete_open(sy_edit_complete complete)
{
    client = complete;
    rl_attempted_completion_function = offer_matches;
    rl_completion_word_break_hook = ask_client;
    rl_variable_bind("expand-tilde", "on"); /* Lua would not */
    /* Not the basic ones: Readline has copied those when it was initialized. */
    rl_completer_word_break_characters = " \t\n\"\\'><=;:+-*/%^~#{}()[].,?!";
    rl_completer_quote_characters = "\"'";
}

#else
typedef int sy__no_completion;
#endif
