/* Inside cpu: how one problem is cut into tasks.  A function of shapes and kernel set only. */
#ifndef SY_CPU_GEMM_PLAN_H
#define SY_CPU_GEMM_PLAN_H

#include "cpu/gemm_int.h"

struct sy__plan {
    const struct sy_gemm_problem *p;
    int32_t index;        /* in the caller's list */
    int32_t row_blocks, col_blocks;
    int64_t row_step;     /* rows of a block, the last one may have fewer */
    int64_t first, tasks; /* numbers in the queue */
    int64_t sub;          /* columns packed at a time */
    bool resident;        /* a block of B is packed whole and kept from task to task */
    double work;          /* of one task, in multiply-adds */
};

/* Fill plans[0..count) with first and tasks, largest task first; returns the number of tasks. */
int64_t sy__plan(struct sy__plan *plans, const struct sy_gemm_problem *p, int count,
                 const struct sy_gemm_opts *opts, const struct sy_gemm_kernels *kern);

#endif
