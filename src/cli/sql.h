/* switchyard sql RUN ["select ..."]: what a run's store says (run/sql.h).  Layer cli. */
#ifndef SY_CLI_SQL_H
#define SY_CLI_SQL_H

#include <stdbool.h>

int sy_command_sql(int argc, char **argv, bool json); /* the exit status */

#endif
