# bind: add a source or header as  libbind_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libbind.a
sy_libs += libbind.a
libbind_a_SOURCES =
libbind_a_CPPFLAGS = $(AM_CPPFLAGS) $(LUA_CFLAGS)
libbind_a_SOURCES += %D%/embedded.h
nodist_libbind_a_SOURCES = %D%/embedded_lua.c
