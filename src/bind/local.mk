# bind: add a source or header as  libbind_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libbind.a
sy_libs += libbind.a
libbind_a_SOURCES =
libbind_a_CPPFLAGS = $(AM_CPPFLAGS) $(LUA_CFLAGS)
libbind_a_SOURCES += %D%/embedded.h
nodist_libbind_a_SOURCES = %D%/embedded_lua.c
libbind_a_SOURCES += %D%/bind_int.h %D%/state.h %D%/state.c %D%/interrupt.h %D%/interrupt.c \
    %D%/error.c %D%/options.c %D%/host.h %D%/host.c %D%/doc.c
libbind_a_SOURCES += %D%/job.h %D%/job_int.h %D%/job.c %D%/job_lua.c %D%/shell.h %D%/shell.c \
    %D%/chunk.h %D%/chunk_int.h %D%/chunk.c %D%/typed.c
libbind_a_SOURCES += %D%/engine.h %D%/engine.c %D%/ops.c %D%/tensor.c %D%/make.c %D%/print.c %D%/write.c \
    %D%/tensor_file.c %D%/tokenizer.c %D%/data.c %D%/data_make.c %D%/data.h %D%/watch.c
libbind_a_SOURCES += %D%/model_file.c
libbind_a_SOURCES += %D%/strict.c
libbind_a_SOURCES += %D%/frozen.c
libbind_a_SOURCES += %D%/handle.h %D%/handle.c %D%/trace.c %D%/train.c %D%/run.h %D%/run_int.h %D%/run.c \
    %D%/run_told.c %D%/run_all.c %D%/rescue.c \
    %D%/tool.c %D%/progress.h %D%/progress.c
libbind_a_SOURCES += %D%/checkpoint.c %D%/why.c
libbind_a_SOURCES += %D%/store_int.h %D%/store.c %D%/store_read.c %D%/look.h %D%/look.c
