# io: add a source or header as  libio_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libio.a
sy_libs += libio.a
libio_a_SOURCES =
libio_a_CPPFLAGS = $(AM_CPPFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
