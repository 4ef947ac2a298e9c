# repl: add a source or header as  librepl_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += librepl.a
sy_libs += librepl.a
librepl_a_SOURCES =
librepl_a_CPPFLAGS = $(AM_CPPFLAGS) $(READLINE_CFLAGS)
