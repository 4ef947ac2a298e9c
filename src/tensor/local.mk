# tensor: add a source or header as  libtensor_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libtensor.a
sy_libs += libtensor.a
libtensor_a_SOURCES = %D%/tensor.h %D%/tensor.c %D%/dtype.c
libtensor_a_SOURCES += %D%/init.c %D%/init.h
libtensor_a_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS)
pkginclude_HEADERS += include/switchyard/tensor.h include/switchyard/dtype.h
