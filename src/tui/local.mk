# tui: add a source or header as  libtui_a_SOURCES += %D%/name.c %D%/name.h
# screen.c alone sees curses.
noinst_LIBRARIES += libtui.a
sy_libs += libtui.a
libtui_a_CPPFLAGS = $(AM_CPPFLAGS)
libtui_a_SOURCES = %D%/grid.h %D%/grid.c %D%/look.h %D%/look.c %D%/panel.h %D%/panel.c \
    %D%/panel.c %D%/keys.def %D%/keys.c
