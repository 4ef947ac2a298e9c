# moe: add a source or header as  libmoe_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libmoe.a
sy_libs += libmoe.a
libmoe_a_SOURCES = %D%/moe_int.h %D%/experts_int.h %D%/dispatch.c %D%/load.c %D%/experts.c \
    %D%/experts_f64.c %D%/combine.c
libmoe_a_SOURCES += %D%/admit.c
libmoe_a_SOURCES += %D%/assign.c
libmoe_a_SOURCES += %D%/check.c
libmoe_a_SOURCES += %D%/sinkhorn.c
