# moe: add a source or header as  libmoe_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libmoe.a
sy_libs += libmoe.a
libmoe_a_SOURCES =
