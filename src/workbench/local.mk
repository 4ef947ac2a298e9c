# workbench: the terminal's loop, over tui and repl; used by prompt and cli.
noinst_LIBRARIES += libworkbench.a
sy_libs += libworkbench.a
libworkbench_a_SOURCES = %D%/workbench.h %D%/workbench.c %D%/workbench_int.h %D%/client.c %D%/compose.c %D%/key_actions.c %D%/child.c %D%/screen_commands.c \
    %D%/capture.h %D%/capture.c %D%/signals.h %D%/signals.c
libworkbench_a_SOURCES += %D%/state.c
