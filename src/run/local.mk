# run: add a source or header as  librun_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += librun.a
sy_libs += librun.a
librun_a_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS) $(ZSTD_CFLAGS)
librun_a_SOURCES = %D%/metrics.h %D%/metrics.c %D%/names.h %D%/names.c
librun_a_SOURCES += %D%/store.h %D%/store_int.h %D%/store.c %D%/run_directory.c %D%/shm.c %D%/schema.c %D%/flush.c %D%/read.c \
    %D%/list.c %D%/lock.h %D%/lock.c %D%/series_codec.h %D%/series_codec.c
librun_a_SOURCES += %D%/source.h %D%/source_int.h %D%/source.c %D%/source_stored.c \
    %D%/pyramid.h %D%/pyramid.c
librun_a_SOURCES += %D%/config_diff.h %D%/config_diff.c
librun_a_SOURCES += %D%/packed_rows.h %D%/packed_rows.c
librun_a_SOURCES += %D%/sql.h %D%/sql_int.h %D%/sql.c %D%/sql_table.c %D%/sql_views.c
librun_a_SOURCES += %D%/journal.c %D%/events.c
pkginclude_HEADERS += include/switchyard/journal.h include/switchyard/events.h
librun_a_SOURCES += %D%/run_files.c %D%/run_files_int.h %D%/series_list.c %D%/queue.c %D%/nearest.c
librun_a_SOURCES += %D%/runs_table.c %D%/runs_table.h
librun_a_SOURCES += %D%/runs_tree.c %D%/runs_tree.h
librun_a_SOURCES += %D%/run_state.c
pkginclude_HEADERS += include/switchyard/run_state.h
