# command: subcommands of the program
switchyard_SOURCES += %D%/command.h %D%/command.c
