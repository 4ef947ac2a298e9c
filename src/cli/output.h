/* What the commands that read stores have in common: words, formats, failures.  Layer cli. */
#ifndef SY_CLI_OUTPUT_H
#define SY_CLI_OUTPUT_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stddef.h>

enum sy_format { SY_FORMAT_TABLE, SY_FORMAT_JSON, SY_FORMAT_CSV };

struct sy_words {
    enum sy_format format;
    int count;
    char **list; /* what is no option; within argv */
};
/* --csv, where a command has it; the rest moves to the front of argv.  unknown: takes an option.
 * 0, or a status. */
int sy_read_words(int argc, char **argv, bool json, bool csv, const char *unknown,
                  struct sy_words *w);

int sy_fail_usage(const char *fmt, const char *what) __attribute__((format(printf, 1, 0)));
int sy_fail_error(const struct sy_err *err); /* told: 1 */
void sy_print_quoted(const char *text);      /* as JSON has it */
/* Of CSV (RFC 4180): a quotation mark is doubled.  On one line, as sy_tell_text. */
void sy_print_field(const char *text, size_t n);

#endif
