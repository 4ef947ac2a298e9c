# tui: add a source or header as  libtui_a_SOURCES += %D%/name.c %D%/name.h
# screen.c alone sees curses.
noinst_LIBRARIES += libtui.a
sy_libs += libtui.a
libtui_a_CPPFLAGS = $(AM_CPPFLAGS) $(NCURSES_CFLAGS)
libtui_a_SOURCES = %D%/grid.h %D%/grid.c %D%/dump.c %D%/theme.h %D%/theme.c %D%/panel.h \
    %D%/panel.c %D%/panel_keys.def %D%/panel_keys.c
libtui_a_SOURCES += %D%/ticks.h %D%/ticks.c %D%/canvas.h %D%/canvas.c %D%/frame.h %D%/frame.c \
    %D%/plot.h %D%/plot_int.h %D%/plot.c %D%/axis.c %D%/strip_chart.c %D%/heatmap.h %D%/heatmap.c
libtui_a_SOURCES += %D%/panel_int.h %D%/feed.h %D%/feed.c %D%/layout.c %D%/views.c %D%/experts_view.c \
    %D%/process_memory.c %D%/status_line.c %D%/panel_actions.c
libtui_a_SOURCES += %D%/trace_view.c
libtui_a_SOURCES += %D%/screen.h %D%/screen.c %D%/sgr.h %D%/sgr.c %D%/scroll.h %D%/scroll_int.h %D%/scroll.c %D%/scroll_view.c \
    %D%/input.h %D%/input.c
libtui_a_SOURCES += %D%/visible_range.c
libtui_a_SOURCES += %D%/marks.c
libtui_a_SOURCES += %D%/experts_menu.c
libtui_a_SOURCES += %D%/run_series.c %D%/losses.c %D%/over_time_view.c
