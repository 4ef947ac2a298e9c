# cli: subcommands of the program
switchyard_SOURCES += %D%/subcommands.h %D%/subcommands.c %D%/watch.h %D%/watch.c
switchyard_SOURCES += %D%/output.h %D%/output.c %D%/sql.h %D%/sql.c
