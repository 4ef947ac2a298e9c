/* Matrix product: cutting problems into tasks (see cpu/gemm.c for what a task does).
 *
 *  1. A task is a block of C with all of k.  Blocks are wide and low: a task packs its few rows of
 *     A once for all its columns, and the wide block of B stays packed in the thread's scratch for
 *     the tasks that follow (they are numbered down a column of blocks).
 *  2. Packing costs about PACK columns' worth of multiply-adds for each packed row, and the same
 *     for each packed column; `work` counts it, so narrow blocks do not look cheap.
 *  3. A region is cut into some TASKS tasks if they stay large enough to be worth a task, whatever
 *     the number of threads; regions of a few tasks are rounded up to a multiple of 24, which
 *     2, 3, 4, 6, 8 and 12 threads divide evenly.
 */
#include "cpu/gemm_plan.h"

#include "cpu/int64.h"

enum {
    PACK = 48,
    TASKS = 96,
    EVEN = 24,
    FEW = 96,
    WIDE = 512,              /* columns of a resident block */
    STREAM = 256,            /* columns packed at a time otherwise */
    RESIDENT_LANES = 1 << 20 /* 4 MiB */
};
static const double MIN_WORK = 0.5e6, MAX_WORK = 16e6; /* multiply-adds of a task */

struct shape {
    int64_t m, n, k, copies; /* copies: 2 for a dual product */
};

static struct shape shape_of(const struct sy_gemm_problem *p)
{
    return (struct shape){p->m, p->n, p->k + p->k2, p->dual_c ? 2 : 1};
}

/* Multiply-adds of a block of C, packing counted in. */
static double block_work(const struct shape *s, int64_t rows, int64_t cols)
{
    const double wide = (double)(cols * s->copies);
    return ((double)rows * (wide + PACK) + PACK * wide / 4) * (double)(s->k + 16);
}

/* Columns: as wide as a resident block may be. */
static void cut_columns(struct sy__plan *plan, const struct shape *s, int64_t lanes, bool whole)
{
    const int64_t fit =
        RESIDENT_LANES / (max64(lanes, 1) * s->copies) / SY_GEMM_COLS * SY_GEMM_COLS;
    const int64_t wide = min64(fit, WIDE / s->copies);
    plan->resident = wide >= 128 / s->copies;
    plan->sub = plan->resident ? wide : STREAM / s->copies;
    plan->col_blocks = whole ? 1 : (int32_t)ceil_div(s->n, plan->sub);
    if (whole)
        plan->resident = s->n <= max64(fit, SY_GEMM_COLS);
    if (whole && plan->resident)
        plan->sub = s->n;
}

static void cut_rows(struct sy__plan *plan, const struct shape *s, double target,
                     const struct sy_gemm_kernels *kern)
{
    const int64_t cols = ceil_div(s->n, plan->col_blocks);
    const double row = block_work(s, 1, cols) - block_work(s, 0, cols);
    /* without a resident B, each task packs its own: worth some rows; and where rows of A are
     * stored columns, a few of them are a few bytes of each line that packing reads */
    const int64_t least = !plan->resident ? 8 * kern->mr : plan->p->a.trans ? FEW : kern->mr;
    int64_t rows = max64((int64_t)(target / row), least);
    plan->row_blocks = (int32_t)ceil_div(s->m, min64(rows, s->m));
}

/* Few tasks: round up to an even number of them, first by rows, then by columns. */
static void cut_finer(struct sy__plan *plan, const struct shape *s, double total, bool whole,
                      const struct sy_gemm_kernels *kern)
{
    int64_t tasks = (int64_t)plan->row_blocks * plan->col_blocks;
    if (tasks >= 2 * EVEN || total < 2 * MIN_WORK)
        return;
    int64_t want = min64(ceil_div(tasks, EVEN) * EVEN, (int64_t)(total / MIN_WORK));
    if (plan->resident && s->m >= 8 * kern->mr) {
        const int64_t least = plan->p->a.trans ? FEW / 2 : kern->mr / 2 + 1;
        int64_t rows = min64(ceil_div(want, plan->col_blocks), s->m / least);
        plan->row_blocks = (int32_t)max64(rows, plan->row_blocks);
    }
    tasks = (int64_t)plan->row_blocks * plan->col_blocks;
    if (!whole && tasks < want / 2)
        plan->col_blocks =
            (int32_t)min64(ceil_div(want, plan->row_blocks), ceil_div(s->n, 2 * SY_GEMM_COLS));
}

/* Rows of a block: whole tiles, the most even number of them; what is left over goes into the last
 * block.  A tile of full height is the fastest a row, so blocks of 42 rows beat blocks of 37. */
static void set_row_step(struct sy__plan *plan, const struct shape *s, int64_t mr)
{
    int64_t rows = ceil_div(s->m, plan->row_blocks), tiles = (rows + mr / 2) / mr;
    if (plan->row_blocks > 1 && tiles > 0)
        rows = tiles * mr;
    plan->row_step = rows;
    plan->row_blocks = (int32_t)ceil_div(s->m, rows);
}

/* Shell sort by falling work; equal ones stay in an order that depends on nothing else. */
static void sort_plans(struct sy__plan *v, int n)
{
    for (int gap = n / 2; gap > 0; gap /= 2)
        for (int i = gap; i < n; i++) {
            struct sy__plan x = v[i];
            int j = i;
            for (; j >= gap && v[j - gap].work < x.work; j -= gap)
                v[j] = v[j - gap];
            v[j] = x;
        }
}

int64_t sy__plan(struct sy__plan *plans, const struct sy_gemm_problem *p, int count,
                 const struct sy_gemm_opts *opts, const struct sy_gemm_kernels *kern)
{
    const bool whole = opts && opts->whole_rows;
    const bool pairs = opts && opts->precision == SY_PREC_BF16 && kern->pairs;
    double total = 0;
    for (int i = 0; i < count; i++) {
        struct shape s = shape_of(&p[i]);
        total += s.m && s.n ? block_work(&s, s.m, s.n) : 0;
    }
    double target = total / TASKS;
    target = target < MIN_WORK ? MIN_WORK : target > MAX_WORK ? MAX_WORK : target;
    target *= pairs ? 2 : 1;
    for (int i = 0; i < count; i++) {
        struct sy__plan *plan = &plans[i];
        struct shape s = shape_of(&p[i]);
        *plan = (struct sy__plan){.p = &p[i], .index = i};
        if (s.m <= 0 || s.n <= 0)
            continue;
        cut_columns(plan, &s, pairs ? (s.k + 1) / 2 : s.k, whole);
        cut_rows(plan, &s, target, kern);
        if (count == 1)
            cut_finer(plan, &s, total, whole, kern);
        set_row_step(plan, &s, kern->mr);
        if (plan->row_blocks == 1) {
            plan->resident = false;
            plan->sub = SY_GEMM_COLS;
        }
        plan->tasks = (int64_t)plan->row_blocks * plan->col_blocks;
        plan->work = block_work(&s, plan->row_step, ceil_div(s.n, plan->col_blocks));
    }
    if (count > 1)
        sort_plans(plans, count);
    int64_t next = 0;
    for (int i = 0; i < count; i++) {
        plans[i].first = next;
        next += plans[i].tasks;
    }
    return next;
}
