# tui: add a source or header as  libtui_a_SOURCES += %D%/name.c %D%/name.h
# screen.c alone sees curses.
noinst_LIBRARIES += libtui.a
sy_libs += libtui.a
libtui_a_CPPFLAGS = $(AM_CPPFLAGS) $(NCURSES_CFLAGS)
libtui_a_SOURCES = %D%/grid.h %D%/grid.c %D%/dump.c %D%/look.h %D%/look.c %D%/panel.h \
    %D%/panel.c %D%/keys.def %D%/keys.c
libtui_a_SOURCES += %D%/ticks.h %D%/ticks.c %D%/canvas.h %D%/canvas.c %D%/frame.h %D%/frame.c \
    %D%/plot.h %D%/plot_int.h %D%/plot.c %D%/axis.c %D%/strip.c %D%/heatmap.h %D%/heatmap.c
libtui_a_SOURCES += %D%/panel_int.h %D%/feed.h %D%/feed.c %D%/layout.c %D%/views.c %D%/heat.c \
    %D%/memory.c %D%/bars.c %D%/pane.c
libtui_a_SOURCES += %D%/screen.h %D%/screen.c %D%/sgr.h %D%/sgr.c %D%/scroll.h %D%/scroll_int.h %D%/scroll.c %D%/scroll_view.c \
    %D%/input.h %D%/input.c
libtui_a_SOURCES += %D%/x_window.c
