/* CPU detection and the kernel table.
 *
 * Every hot loop of the engine sits in a kernel family: one struct of function pointers a family,
 * one instance an ISA.  `ref` is the specification in plain C and runs on any x86-64 (or any other
 * machine); `avx2` and `avx512` overlay it.  Selection happens once, at first use: the best set
 * that the CPU has, or SWITCHYARD_CPU=ref|avx2|avx512 (an unknown or unavailable name is an error
 * line at start-up, see sy_cpu_init).
 *
 * Exactness: every fp32 kernel gives the same bits in every set.
 *  1. GEMM: each output element is one chain of fused multiply-adds over k, ascending.
 *  2. Everything else: no FMA (compiled with -ffp-contract=off), reductions over 16 virtual lanes
 *     (lane j takes elements j, j+16, ...) combined by one fixed tree (8, 4, 2, 1), our own exp,
 *     log, tanh, ... of the same operation sequence everywhere.  Written once with 16-wide vector
 *     types in src/cpu/kern/, compiled once for each ISA.
 */
#ifndef SY_CPU_CPU_H
#define SY_CPU_CPU_H

#include "switchyard/err.h"

struct sy_gemm_kernels; /* cpu/gemm_int.h: micro-kernels and packing */
struct sy_map_kernels;  /* cpu/kern_map.h: elementwise maps */
struct sy_row_kernels;  /* cpu/kern_row.h: softmax, norms, reductions, cross entropy, SwiGLU rows */
struct sy_attn_kernels; /* cpu/kern_attn.h: rows of blocked attention */
struct sy_form_kernels; /* cpu/storage_form.h: decoding of storage forms */
struct sy_optim_kernels; /* cpu/kern_optim.h: optimizers' passes, sums of squares, finite checks */

struct sy_kernels {
    const char *name; /* "ref", "avx2", "avx512" */
    const struct sy_gemm_kernels *gemm;
    const struct sy_map_kernels *map;
    const struct sy_row_kernels *row;
    const struct sy_optim_kernels *optim;
    const struct sy_attn_kernels *attn;
    const struct sy_form_kernels *form;
};

/* Choose the kernel set.  Called once by the program before anything else, so that a wrong
 * SWITCHYARD_CPU is reported; without it the first sy_cpu() chooses silently.  Errors: NAME,
 * UNSUPPORTED. */
int sy_cpu_init(struct sy_err *err);
const struct sy_kernels *sy_cpu(void);
/* Tests: force a set by name; UNSUPPORTED where the CPU lacks it.  Not while anything runs. */
int sy_cpu_force(const char *name, struct sy_err *err);

/* By what bf16 products are made: "vdpbf16ps" (which flushes denormals), or "fp32" FMAs over the
 * rounded operands, as all other sets do.  The one thing in which sets differ: bf16 runs are not
 * the same across it. */
const char *sy_cpu_bf16(void);

/* Peak of the FMA units in FLOP/s, measured now on the pool's threads (registers only, ~20 ms):
 * fp32, or bf16 dot products where the CPU has them (else the fp32 figure). */
double sy_cpu_peak(int bf16);

#endif
