# Benchmarks, built by `make bench`:  EXTRA_PROGRAMS += %D%/name   (its source is name.c; the engine
# is linked by default).  Scripts:  EXTRA_DIST += %D%/name.sh
EXTRA_DIST += %D%/peers/moe_torch.py %D%/peers/nanogpt.py
EXTRA_PROGRAMS += %D%/gemm
%C%_gemm_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS)
EXTRA_PROGRAMS += %D%/bpe
EXTRA_PROGRAMS += %D%/kern
EXTRA_PROGRAMS += %D%/layers
