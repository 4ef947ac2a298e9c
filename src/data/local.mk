# data: add a source or header as  libdata_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libdata.a
sy_libs += libdata.a
libdata_a_SOURCES =
libdata_a_CPPFLAGS = $(AM_CPPFLAGS) $(PCRE2_CFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
