# run: add a source or header as  librun_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += librun.a
sy_libs += librun.a
librun_a_SOURCES = %D%/metrics.h %D%/metrics.c
