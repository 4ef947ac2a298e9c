# run: add a source or header as  librun_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += librun.a
sy_libs += librun.a
librun_a_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS) $(ZSTD_CFLAGS)
librun_a_SOURCES = %D%/metrics.h %D%/metrics.c %D%/names.h %D%/names.c
librun_a_SOURCES += %D%/store.h %D%/store_int.h %D%/store.c %D%/place.c %D%/shm.c %D%/schema.c %D%/flush.c %D%/read.c \
    %D%/list.c %D%/lock.h %D%/lock.c %D%/codec.h %D%/codec.c
librun_a_SOURCES += %D%/board.h %D%/source_int.h %D%/board.c %D%/stored.c \
    %D%/pyramid.h %D%/pyramid.c
librun_a_SOURCES += %D%/differ.h %D%/differ.c
librun_a_SOURCES += %D%/attic.h %D%/attic.c
librun_a_SOURCES += %D%/journal.c %D%/events.c
pkginclude_HEADERS += include/switchyard/journal.h include/switchyard/events.h
librun_a_SOURCES += %D%/folder.c %D%/folder_int.h %D%/series_list.c %D%/queue.c
librun_a_SOURCES += %D%/runs_table.c %D%/runs_table.h
