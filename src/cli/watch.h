/* `switchyard watch`.  Layer cli. */
#ifndef SY_CLI_WATCH_H
#define SY_CLI_WATCH_H

#include <stdbool.h>

int sy_command_watch(int argc, char **argv, bool json);

#endif
