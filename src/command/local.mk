# command: subcommands of the program
switchyard_SOURCES += %D%/command.h %D%/command.c %D%/watch.h %D%/watch.c
