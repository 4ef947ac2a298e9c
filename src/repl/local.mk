# repl: add a source or header as  librepl_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += librepl.a
sy_libs += librepl.a
librepl_a_SOURCES = %D%/editor.h %D%/editor_int.h %D%/wake.c %D%/plain_editor.c %D%/readline_editor.c %D%/complete.c \
    %D%/highlight.h %D%/highlight.c %D%/editor_keys.c %D%/line.h %D%/line.c %D%/tell.h %D%/tell.c
librepl_a_SOURCES += %D%/history.c %D%/search.c %D%/guard.c
librepl_a_CPPFLAGS = $(AM_CPPFLAGS) $(READLINE_CFLAGS)
librepl_a_SOURCES += %D%/keymap.c %D%/keymap_int.h
librepl_a_SOURCES += %D%/editor.c
