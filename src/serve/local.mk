# serve: add a source or header as  libserve_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libserve.a
sy_libs += libserve.a
libserve_a_SOURCES = %D%/server.h %D%/server_int.h %D%/server.c %D%/client.c %D%/socket.h %D%/socket.c
