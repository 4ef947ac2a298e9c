# desk: the terminal's loop, over tui and repl; used by prompt and command.
noinst_LIBRARIES += libdesk.a
sy_libs += libdesk.a
libdesk_a_SOURCES = %D%/desk.h %D%/desk.c %D%/desk_int.h %D%/client.c %D%/compose.c %D%/keys.c %D%/child.c %D%/command.c \
    %D%/capture.h %D%/capture.c %D%/signals.h %D%/signals.c
