/* See output.h. */
#include "cli/output.h"

#include "base/json.h"
#include "base/sanitize.h"
#include "base/str.h"
#include "repl/tell.h"

#include <stdio.h>
#include <string.h>

int sy_fail_usage(const char *fmt, const char *what)
{
    sy_tell(fmt, what);
    return 2;
}

int sy_fail_error(const struct sy_err *err)
{
    sy_tell("%s", err->msg);
    return 1;
}

int sy_read_words(int argc, char **argv, bool json, bool csv, const char *unknown,
                      struct sy_words *w)
{
    *w = (struct sy_words){json ? SY_FORMAT_JSON : SY_FORMAT_TABLE, 0, argv + 1};
    for (int i = 1; i < argc; i++) {
        if (csv && !strcmp(argv[i], "--csv"))
            w->format = SY_FORMAT_CSV;
        else if (*argv[i] == '-')
            return sy_fail_usage(unknown, argv[i]);
        else
            w->list[w->count++] = argv[i];
    }
    return 0;
}

void sy_print_quoted(const char *text)
{
    struct sy_str s = SY_STR_INIT;
    sy_json_quote(&s, text, strlen(text));
    fputs(s.data ? s.data : "\"\"", stdout);
    sy_str_free(&s);
}

void sy_print_field(const char *text, size_t n)
{
    struct sy_str s = SY_STR_INIT, safe = SY_STR_INIT;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        quoted |= text[i] == ',' || text[i] == '"' || text[i] == '\n' || text[i] == '\r';
        if (text[i] == '"')
            sy_str_puts(&s, "\"");
        sy_str_add(&s, text + i, 1);
    }
    if (!s.failed && s.data)
        sy_utf8_line(&safe, s.data, s.len);
    printf(quoted ? "\"%s\"" : "%s", safe.data && !safe.failed ? safe.data : "");
    sy_str_free(&s);
    sy_str_free(&safe);
}
