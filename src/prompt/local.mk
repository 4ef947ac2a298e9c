# prompt: the loop that carries lines from repl to bind; its archive stands before both.
noinst_LIBRARIES += libprompt.a
sy_libs += libprompt.a
libprompt_a_SOURCES = %D%/prompt.h %D%/prompt_int.h %D%/prompt.c %D%/complete.c %D%/session.c \
    %D%/screen_commands.c
libprompt_a_SOURCES += %D%/signals.c %D%/evaluate.c
