# io: add a source or header as  libio_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libio.a
sy_libs += libio.a
libio_a_SOURCES =
libio_a_SOURCES += %D%/array.c %D%/element.c %D%/folder.c %D%/folder.h %D%/in.c %D%/io_int.h %D%/kind.c %D%/npy.c %D%/out.c %D%/safetensors.c \
    %D%/safetensors_int.h %D%/safetensors_write.c %D%/sys.c %D%/sys.h %D%/whole.c
pkginclude_HEADERS += include/switchyard/io.h
libio_a_CPPFLAGS = $(AM_CPPFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
