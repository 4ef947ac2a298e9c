# cpu: detection, kernel tables and GEMM driver (baseline ISA), and the kernels themselves.
#
#   libcpu_a_SOURCES += %D%/name.c          baseline code
#   kern_sources += %D%/kern/name.c         compiled for every ISA with -DSY_ISA=ref|avx2|avx512
#   libkern_avx512_a_SOURCES += ...         hand-written for one ISA (likewise _ref, _avx2)
#   libkern_avx512bf16_a_SOURCES += ...     needs vdpbf16ps
#
# config.h says which exist: SY_HAVE_AVX2, SY_HAVE_AVX512, SY_HAVE_AVX512BF16.  Kernels carry -O3:
# gcc 12 leaves a shared kernel source unvectorized at -O2.
kern_sources = %D%/kern/activation.c %D%/kern/attn.c %D%/kern/map.c %D%/kern/norm.c %D%/kern/optim.c %D%/kern/rope.c \
    %D%/kern/route.c %D%/kern/row.c %D%/kern/xent.c \
    %D%/kern/isa.h %D%/kern/map_math.h %D%/kern/philox.h \
    %D%/kern/row_int.h %D%/kern/vec.h %D%/kern/vec_math.h
kern_sources += %D%/kern/storage_form.c
kern_cflags = $(base_cflags) -Wno-psabi $(SY_KERN_OPT)
kern_libs = libkern_ref.a

noinst_LIBRARIES += libcpu.a libkern_ref.a
libcpu_a_SOURCES = %D%/attention.c %D%/cpu.c %D%/gemm.c %D%/gemm_int.h %D%/gemm_plan.c %D%/gemm_plan.h %D%/int64.h \
    %D%/kern_attn.h %D%/kern_map.c %D%/kern_map.h %D%/kern_optim.h %D%/kern_row.h \
    %D%/math.c %D%/math.h %D%/attention.h %D%/cpu.h %D%/gemm.h
libcpu_a_SOURCES += %D%/storage_form.c %D%/storage_form.h %D%/gemm_decode.c
libcpu_a_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS)

libkern_ref_a_SOURCES = $(kern_sources) %D%/ref/gemm_ref.c
libkern_ref_a_CPPFLAGS = $(AM_CPPFLAGS) -DSY_ISA=ref
libkern_ref_a_CFLAGS = $(kern_cflags)

if AVX2
noinst_LIBRARIES += libkern_avx2.a
kern_libs += libkern_avx2.a
libkern_avx2_a_SOURCES = $(kern_sources) %D%/avx2/gemm_avx2.c
libkern_avx2_a_CPPFLAGS = $(AM_CPPFLAGS) -DSY_ISA=avx2
libkern_avx2_a_CFLAGS = $(kern_cflags) $(SY_AVX2_FLAGS)
endif

if AVX512
noinst_LIBRARIES += libkern_avx512.a
kern_libs += libkern_avx512.a
libkern_avx512_a_SOURCES = $(kern_sources) %D%/avx512/gemm512.h %D%/avx512/pack512.h \
    %D%/avx512/tile512.h %D%/avx512/gemm_avx512.c %D%/avx512/gemm_avx512_round.c
libkern_avx512_a_CPPFLAGS = $(AM_CPPFLAGS) -DSY_ISA=avx512
libkern_avx512_a_CFLAGS = $(kern_cflags) $(SY_AVX512_FLAGS)
endif

if AVX512BF16
noinst_LIBRARIES += libkern_avx512bf16.a
kern_libs += libkern_avx512bf16.a
libkern_avx512bf16_a_SOURCES = %D%/avx512/gemm_avx512bf16.c
libkern_avx512bf16_a_CPPFLAGS = $(AM_CPPFLAGS) -DSY_ISA=avx512
libkern_avx512bf16_a_CFLAGS = $(kern_cflags) $(SY_AVX512BF16_FLAGS)
endif

# The kernels may call back into libcpu (shared packing helpers), hence it stands on both sides.
sy_libs += libcpu.a $(kern_libs) libcpu.a
