# base: add a source or header as  libbase_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libbase.a
sy_libs += libbase.a
libbase_a_SOURCES = \
    %D%/assert.c %D%/clock.c %D%/dir.c %D%/err.c %D%/file.c %D%/hash.c %D%/json.c %D%/machine.c %D%/mem.c %D%/pool.c \
    %D%/rng.c %D%/str.c %D%/thread.c %D%/utf8.c \
    %D%/assert.h %D%/clock.h %D%/dir.h %D%/file.h %D%/hash.h %D%/json.h %D%/machine.h %D%/mem.h %D%/pool.h \
    %D%/rng.h %D%/number.h %D%/str.h %D%/thread.h %D%/utf8.h
pkginclude_HEADERS += include/switchyard/err.h
libbase_a_SOURCES += %D%/wait.c %D%/wait.h
libbase_a_SOURCES += %D%/bus.c %D%/bus.h %D%/mapping.c %D%/mapping.h
libbase_a_SOURCES += %D%/grow.c %D%/grow.h
libbase_a_SOURCES += %D%/scratch.h %D%/scratch.c %D%/sanitize.h %D%/sanitize.c
pkginclude_HEADERS += include/switchyard/series.h include/switchyard/derived.h
libbase_a_SOURCES += %D%/series.c %D%/derived.c
libbase_a_SOURCES += %D%/float_bits.h %D%/reals.h %D%/find.h %D%/find.c
libbase_a_SOURCES += %D%/cells.c %D%/cells.h
