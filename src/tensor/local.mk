# tensor: add a source or header as  libtensor_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libtensor.a
sy_libs += libtensor.a
libtensor_a_SOURCES =
libtensor_a_SOURCES += %D%/dtype.c
pkginclude_HEADERS += include/switchyard/dtype.h
libtensor_a_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS)
