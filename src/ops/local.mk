# ops: add a source or header as  libops_a_SOURCES += %D%/name.c %D%/name.h
# The op table, here, lists moe's operations, and moe calls ops: hence moe, ops, moe in the link.
noinst_LIBRARIES += libops.a
sy_libs += libops.a libmoe.a
libops_a_SOURCES = %D%/op.h %D%/ops.def %D%/ops_int.h %D%/build.h %D%/op_table.c %D%/apply.c
libops_a_SOURCES += %D%/iter.c %D%/view.c %D%/elementwise.c %D%/elementwise_loops.c %D%/reduce.c \
    %D%/matmul.c %D%/lines.c %D%/softmax.c %D%/order.c %D%/index.c %D%/random.c %D%/linalg.c \
    %D%/linalg_type.h
# The plain loops here are worth vectorizing.
libops_a_CFLAGS = $(base_cflags) $(SY_KERN_OPT)
libops_a_SOURCES += %D%/vector_f64.h
libops_a_SOURCES += %D%/activation.h %D%/activation.c %D%/cache.c %D%/attention.c %D%/loss.c %D%/norm.c %D%/rope.c
libops_a_SOURCES += %D%/attention_f64.h %D%/attention_f64.c
libops_a_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS)
