/* Subcommands: `switchyard runs`, `switchyard log RUN`: words that stand where a script would.
 * Layer cli, below main.  A command wins over a file of its name (./runs is the file). */
#ifndef SY_CLI_SUBCOMMANDS_H
#define SY_CLI_SUBCOMMANDS_H

#include <stdbool.h>
#include <stddef.h>

struct sy_command {
    const char *name, *arguments, *help;
    const char *options; /* lines for its --help, or NULL */
    /* NULL: lua/cli/subcommands.lua does it.  argv[0] is the command's name; what all commands take
     * (--json, --runs, --threads) is in argv no more.  Returns the exit status. */
    int (*run)(int argc, char **argv, bool json);
};
/* Ended by a row without a name. */
extern const struct sy_command sy_commands[];
/* How what a command prints may be coloured (sy_sgr_pens), and how wide it may be. */
void sy_command_terminal(char *pens, size_t n, int *columns);
/* Are letters all that lines may be drawn of, by locale, TERM and SWITCHYARD_SYMBOLS? */
bool sy_command_ascii(void);
void sy_command_help(const struct sy_command *c); /* prints */
const struct sy_command *sy_command_find(const char *name); /* or NULL */

#endif
