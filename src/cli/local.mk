# cli: subcommands of the program
switchyard_SOURCES += %D%/subcommands.h %D%/subcommands.c %D%/watch.h %D%/watch.c
