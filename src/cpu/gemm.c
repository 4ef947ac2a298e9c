/* Matrix products: the driver.  Blocking after Goto & van de Geijn 2008 and BLIS (Van Zee & van de
 * Geijn 2015), with tasks instead of nested parallel loops.
 *
 * A region is a list of problems, each cut into blocks of C (gemm_plan.c).  One task computes one
 * block in full, epilogue included:
 *
 *     for each strip of `sub` columns                 (one, unless B is too large to stay packed)
 *       for each slice of k, at most KC values        (first A·B, then A2·B2)
 *         pack the strip of B, unless this thread still has it from its last task
 *         pack the rows of A                          (index lists and transposition end here)
 *         for each panel of B, for each panel of A: one tile, C kept in registers over the slice
 *
 *  1. Between slices the chain of an element rests in C as fp32: saving and loading are exact.
 *  2. A thread's packed B is remembered by (region, plan, column block); regions are numbered, so
 *     nothing outlives its region.
 *  3. No allocation but scratch.  Without memory for scratch the product is computed in place,
 *     slowly, with the same fp32 bits.
 */
#include "config.h"

#include "cpu/gemm.h"

#include "base/float_bits.h"
#include "base/mem.h"
#include "base/scratch.h"
#include "base/pool.h"
#include "cpu/cpu.h"
#include "cpu/gemm_plan.h"
#include "cpu/int64.h"

#include <cblas.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { KC = 512 }; /* k values of a slice: a panel of A and one of B stay near the core */

struct region {
    const struct sy_gemm_kernels *kern;
    const struct sy_gemm_opts *opts;
    enum sy_precision precision;
    bool pairs;
    const struct sy__plan *plans;
    int count;
    uint64_t number;
    int64_t threads; /* a guess at what others take: for fetching ahead only */
};

/* One slice of k. */
struct slice {
    const struct sy_mat *a, *b, *dual;
    int64_t k0, kc, lanes; /* lanes: steps of a packed panel */
};

/* The part of C that a task computes. */
struct block {
    const struct sy__plan *plan;
    int64_t r0, rows, c0, cols;
    int32_t column; /* number of the column block */
};

static _Atomic uint64_t regions;

/* What lies packed in this thread's scratch for B. */
static _Thread_local struct {
    uint64_t region;
    const struct sy__plan *plan;
    int32_t column;
} packed_b;

/* ---- slices of k ---- */

static int64_t slices_of(int64_t k)
{
    return ceil_div(k, KC);
}

/* Slices of both terms; one empty slice when there is no k at all, so that C is written. */
static int64_t slice_count(const struct sy_gemm_problem *p)
{
    int64_t n = slices_of(p->k) + slices_of(p->k2);
    return n ? n : 1;
}

/* A slice begins with a block of a storage form, so that none is decoded for two of them. */
static struct slice slice_at(const struct region *r, const struct sy_gemm_problem *p, int64_t i)
{
    struct slice s = {.a = &p->a, .b = &p->b, .dual = p->dual_c ? &p->dual_b : NULL};
    int64_t k = p->k, n = slices_of(k);
    if (i >= n && p->k2 > 0) {
        s.a = &p->a2, s.b = &p->b2;
        i -= n, k = p->k2, n = slices_of(k);
    }
    if (n == 0)
        return s;
    int64_t step = ceil_div(ceil_div(k, n), SY_FORM_VALUES_MAX) * SY_FORM_VALUES_MAX;
    s.k0 = min64(i * step, k);
    s.kc = min64(step, k - s.k0);
    s.lanes = r->pairs ? (s.kc + 1) / 2 : s.kc;
    return s;
}

static int64_t all_lanes(const struct region *r, const struct sy_gemm_problem *p)
{
    int64_t n = 0;
    for (int64_t i = 0; i < slice_count(p); i++)
        n += slice_at(r, p, i).lanes;
    return n;
}

/* ---- packing ---- */

static int64_t b_panels(const struct region *r, int64_t cols)
{
    return ceil_div(cols, r->kern->nr);
}

/* Lanes of a packed slice of B a k step: all panels of both results. */
static int64_t b_width(const struct region *r, const struct sy_gemm_problem *p, int64_t cols)
{
    return b_panels(r, cols) * r->kern->nr * (p->dual_c ? 2 : 1);
}

static void pack(const struct region *r, uint32_t *dst, int width, int step,
                 const struct sy__strip *strip)
{
    if (strip->mat->packed.form != SY_FORM_F32)
        sy__pack_decoded(r->kern, r->precision, dst, width, step, strip);
    else
        r->kern->pack[r->precision](dst, width, step, strip);
}

static void pack_b(const struct region *r, const struct slice *s, int64_t c0, int64_t cols,
                   uint32_t *dst)
{
    const int nr = r->kern->nr;
    const struct sy_mat *mats[2] = {s->b, s->dual};
    for (int i = 0; i < 2 && mats[i]; i++, dst += b_panels(r, cols) * nr * s->lanes) {
        const struct sy__strip strip = {mats[i], !mats[i]->trans, c0, cols, s->k0, s->kc};
        pack(r, dst, nr, nr, &strip);
    }
}

/* Rows of one panel of A: panels of nearly one height, since a tile of 2 rows costs more than it
 * computes. */
static int panel_rows(const struct region *r, int64_t rows)
{
    return (int)ceil_div(rows, ceil_div(rows, r->kern->mr));
}

static void pack_a(const struct region *r, const struct slice *s, int64_t r0, int64_t rows,
                   uint32_t *dst)
{
    const struct sy__strip strip = {s->a, s->a->trans, r0, rows, s->k0, s->kc};
    pack(r, dst, r->kern->aw, panel_rows(r, rows), &strip);
}

static int64_t a_width(const struct region *r, int64_t rows)
{
    return ceil_div(rows, panel_rows(r, rows)) * r->kern->aw;
}

/* ---- asking for memory ahead ---- */

/* Operands are often cold, and their rows short or scattered, which the CPU does not foresee.  So
 * while a slice is multiplied, the stored elements of the next one are asked for: each tile gets a
 * share of their lines, beside the lines of C that the next tile will write. */
struct ahead {
    struct sy__strip strip[3];
    int64_t row_lines[3]; /* of each */
    int strips, at;      /* the strip, */
    int64_t row, line;   /* its stored row and the line of it that come next */
    int64_t lines, tiles; /* that are left */
};

enum { LINE = 64 };

static int64_t strip_rows(const struct sy__strip *s)
{
    return s->along_k ? s->kc : s->np;
}

/* Lines of one stored row of a strip, however it is aligned. */
static int64_t row_lines(const struct sy__strip *s)
{
    const int64_t n = s->along_k ? s->np : s->kc;
    if (s->mat->packed.form == SY_FORM_F32)
        return n * (int64_t)sizeof(float) / LINE + 1;
    const struct sy_form_row *f = &sy_forms[s->mat->packed.form];
    return n * (int64_t)f->bytes / f->values / LINE + 1;
}

/* Where stored row `row` of a strip begins. */
static const char *row_at(const struct sy__strip *s, int64_t row)
{
    const struct sy_mat *m = s->mat;
    const int64_t r = (s->along_k ? s->k0 : s->p0) + row, col = s->along_k ? s->p0 : s->k0;
    if (m->packed.form == SY_FORM_F32)
        return (const char *)(sy__mat_row(m, r) + col);
    const struct sy_form_row *f = &sy_forms[m->packed.form];
    const int64_t at = m->first + (m->rows ? (int64_t)m->rows[r] : r) * m->ld + col;
    return (const char *)m->packed.data + at / f->values * (int64_t)f->bytes;
}

static void ahead_add(struct ahead *a, const struct sy_mat *m, bool along_k, int64_t p0, int64_t np,
                      const struct slice *s)
{
    struct sy__strip *strip = &a->strip[a->strips];
    *strip = (struct sy__strip){m, along_k, p0, np, s->k0, s->kc};
    if (np <= 0 || s->kc <= 0)
        return;
    a->row_lines[a->strips++] = row_lines(strip);
    a->lines += strip_rows(strip) * row_lines(strip);
}

/* Hand out up to n lines as runs; returns how many runs. */
static int ahead_runs(struct ahead *a, struct sy__fetch *fetch, int64_t n)
{
    int runs = 0;
    for (; n > 0 && runs < SY__RUNS; runs++) {
        const struct sy__strip *s = &a->strip[a->at];
        const char *base = row_at(s, a->row);
        const int64_t all = a->row_lines[a->at], take = min64(n, all - a->line);
        fetch->run[runs].at = base + a->line * LINE;
        fetch->run[runs].end = base + (a->line + take) * LINE;
        a->line += take, a->lines -= take, n -= take;
        if (a->line < all)
            continue;
        a->line = 0;
        if (++a->row == strip_rows(s))
            a->row = 0, a->at++;
    }
    return runs;
}

/* One tile's share of the lines that are left, at most one a step. */
static int ahead_share(struct ahead *a, struct sy__fetch *fetch, int64_t steps)
{
    if (a->tiles <= 0 || a->lines <= 0)
        return 0;
    return ahead_runs(a, fetch, min64(ceil_div(a->lines, a->tiles--), steps));
}

/* ---- one task ---- */

/* c[rows x cols] (+)= packed A slice · packed B slice. */
static void multiply(const struct region *r, const struct slice *s, const uint32_t *a,
                     const uint32_t *b, float *c, int64_t ldc, int64_t rows, int64_t cols,
                     bool load, struct ahead *ahead)
{
    const int nr = r->kern->nr, aw = r->kern->aw, mr = panel_rows(r, rows);
    const sy__tile_fn tile = r->kern->tile[r->precision];
    struct sy__fetch fetch;
    for (int64_t j = 0; j < cols; j += nr, b += nr * s->lanes) {
        const uint32_t *ap = a;
        for (int64_t i = 0; i < rows; i += mr, ap += aw * s->lanes) {
            const bool below = i + mr < rows, beside = j + nr < cols;
            fetch.c = below ? c + (i + mr) * ldc + j : beside ? c + j + nr : c;
            fetch.c_rows = below ? min64(mr, rows - i - mr) : min64(mr, rows);
            const int n = ahead_share(ahead, &fetch, s->lanes);
            fetch.run[n].at = (const char *)ap;
            fetch.run[n].end = NULL;
            tile(s->lanes, ap, b, c + i * ldc + j, ldc, (int)min64(mr, rows - i),
                 (int)min64(nr, cols - j), load, &fetch);
        }
    }
}

static void multiply_both(const struct region *r, const struct block *b, const struct slice *s,
                          const uint32_t *ap, const uint32_t *bp, int64_t c0, int64_t cols,
                          bool load, struct ahead *ahead)
{
    const struct sy_gemm_problem *p = b->plan->p;
    const int64_t at = b->r0 * p->ldc + c0;
    ahead->tiles = ceil_div(b->rows, panel_rows(r, b->rows)) * b_panels(r, cols);
    ahead->tiles *= p->dual_c ? 2 : 1;
    multiply(r, s, ap, bp, p->c + at, p->ldc, b->rows, cols, load, ahead);
    if (p->dual_c)
        multiply(r, s, ap, bp + b_panels(r, cols) * r->kern->nr * s->lanes, p->dual_c + at, p->ldc,
                 b->rows, cols, load, ahead);
}

/* Whether B's block is already packed; from now on it will be. */
static bool keep_b(const struct region *r, const struct block *b)
{
    const bool kept = b->plan->resident && packed_b.region == r->number &&
                      packed_b.plan == b->plan && packed_b.column == b->column;
    packed_b.region = b->plan->resident ? r->number : 0;
    packed_b.plan = b->plan;
    packed_b.column = b->column;
    return kept;
}

/* What the step after slice i of the strip at column c will pack. */
static struct ahead ahead_of(const struct region *r, const struct block *b, int64_t i, int64_t c,
                             int64_t sub, bool have_b)
{
    const struct sy_gemm_problem *p = b->plan->p;
    struct ahead a = {.strips = 0};
    const bool last = i + 1 == slice_count(p);
    const struct slice s = slice_at(r, p, last ? 0 : i + 1);
    if (last)
        c += sub;
    if (!have_b && c < b->cols) {
        ahead_add(&a, s.b, !s.b->trans, b->c0 + c, min64(sub, b->cols - c), &s);
        if (s.dual)
            ahead_add(&a, s.dual, !s.dual->trans, b->c0 + c, min64(sub, b->cols - c), &s);
    }
    /* the rows of A of the next slice, or of the task that this thread will probably take next */
    const int64_t r0 = b->r0 + (last ? r->threads * b->rows : 0);
    if (r0 < p->m && (last ? c >= b->cols : c == 0))
        ahead_add(&a, s.a, s.a->trans, r0, min64(b->rows, p->m - r0), &s);
    return a;
}

static bool any_packed(const struct sy_gemm_problem *p)
{
    return (p->a.packed.form | p->b.packed.form | p->a2.packed.form | p->b2.packed.form |
            p->dual_b.packed.form) != SY_FORM_F32;
}

/* A resident B is packed once and kept; else strip by strip, and A is packed whole when there is
 * more than one strip. */
static bool run_block(const struct region *r, const struct block *b)
{
    const struct sy_gemm_problem *p = b->plan->p;
    const bool resident = b->plan->resident;
    const int64_t sub = resident ? b->cols : min64(b->plan->sub, b->cols);
    const int64_t slices = slice_count(p), lanes = all_lanes(r, p), width = b_width(r, p, sub);
    const int64_t a_lanes = b->cols > sub ? lanes : KC;
    uint32_t *bp = sy_scratch(SY_SCRATCH_PACK_B,
                              (size_t)(width * (resident ? lanes : KC)) * sizeof(uint32_t));
    uint32_t *ap = sy_scratch(SY_SCRATCH_PACK_A,
                              (size_t)(a_width(r, b->rows) * a_lanes) * sizeof(uint32_t));
    if (!ap || !bp || (any_packed(p) && !sy__decode_scratch()))
        return false;
    const bool have_b = keep_b(r, b);
    for (int64_t c = 0; c < b->cols; c += sub) {
        const int64_t cols = min64(sub, b->cols - c);
        uint32_t *a_at = ap, *b_at = bp;
        for (int64_t i = 0; i < slices; i++) {
            const struct slice s = slice_at(r, p, i);
            struct ahead ahead = ahead_of(r, b, i, c, sub, have_b);
            if (c == 0)
                pack_a(r, &s, b->r0, b->rows, a_at);
            if (!have_b)
                pack_b(r, &s, b->c0 + c, cols, b_at);
            multiply_both(r, b, &s, a_at, b_at, b->c0 + c, cols, i > 0 || p->accumulate, &ahead);
            a_at += b->cols > sub ? a_width(r, b->rows) * s.lanes : 0;
            b_at += resident ? width * s.lanes : 0;
        }
    }
    return true;
}

/* ---- without scratch ---- */

static float element(const struct sy_mat *m, bool swap, int64_t i, int64_t j, bool bf16)
{
    const int64_t row = m->trans != swap ? j : i, col = m->trans != swap ? i : j;
    float f;
    if (m->packed.form != SY_FORM_F32) {
        const int64_t stored = m->rows ? (int64_t)m->rows[row] : row;
        sy_form_decode(&f, &m->packed, m->first + stored * m->ld + col, 1);
    } else
        f = sy__mat_row(m, row)[col];
    return bf16 ? sy_float_of(sy__bf16_bits(sy_bits_of(f))) : f;
}

static float chain(const struct sy_mat *a, const struct sy_mat *b, int64_t k, int64_t i, int64_t j,
                   bool bf16, float acc)
{
    for (int64_t x = 0; x < k; x++)
        acc = fmaf(element(a, false, i, x, bf16), element(b, false, x, j, bf16), acc);
    return acc;
}

static void run_in_place(const struct region *r, const struct block *b)
{
    const struct sy_gemm_problem *p = b->plan->p;
    const bool bf16 = r->precision == SY_PREC_BF16;
    for (int64_t i = b->r0; i < b->r0 + b->rows; i++)
        for (int64_t j = b->c0; j < b->c0 + b->cols; j++) {
            float *c = p->c + i * p->ldc + j;
            *c = chain(&p->a, &p->b, p->k, i, j, bf16, p->accumulate ? *c : 0.0f);
            *c = chain(&p->a2, &p->b2, p->k2, i, j, bf16, *c);
            float *d = p->dual_c ? p->dual_c + i * p->ldc + j : NULL;
            if (d)
                *d = chain(&p->a, &p->dual_b, p->k, i, j, bf16, p->accumulate ? *d : 0.0f);
        }
}

/* ---- queue ---- */

static const struct sy__plan *plan_of(const struct region *r, int64_t task)
{
    int lo = 0, hi = r->count - 1;
    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;
        if (r->plans[mid].first <= task)
            lo = mid;
        else
            hi = mid - 1;
    }
    return &r->plans[lo];
}

static struct block block_of(const struct sy__plan *plan, int64_t task)
{
    const struct sy_gemm_problem *p = plan->p;
    const int64_t i = (task - plan->first) % plan->row_blocks;
    const int64_t j = (task - plan->first) / plan->row_blocks;
    const int64_t panels = ceil_div(p->n, SY_GEMM_COLS);
    struct block b = {.plan = plan, .column = (int32_t)j};
    b.r0 = i * plan->row_step;
    b.rows = min64(plan->row_step, p->m - b.r0);
    b.c0 = panels * j / plan->col_blocks * SY_GEMM_COLS;
    b.cols = min64(panels * (j + 1) / plan->col_blocks * SY_GEMM_COLS, p->n) - b.c0;
    return b;
}

static void run_task(void *ctx, int64_t task)
{
    const struct region *r = ctx;
    const struct block b = block_of(plan_of(r, task), task);
    if (!run_block(r, &b))
        run_in_place(r, &b);
    if (r->opts && r->opts->done)
        r->opts->done(r->opts->ctx, b.plan->index, b.r0, b.rows, b.c0, b.cols);
}

static struct region region_of(const struct sy__plan *plans, int count,
                               const struct sy_gemm_opts *opts)
{
    struct region r = {.kern = sy_cpu()->gemm, .opts = opts, .plans = plans, .count = count};
    r.precision = opts ? opts->precision : SY_PREC_FP32;
    r.pairs = r.precision == SY_PREC_BF16 && r.kern->pairs;
    r.threads = sy_pool_threads();
    r.number = atomic_fetch_add_explicit(&regions, 1, memory_order_relaxed) + 1;
    return r;
}

void sy_gemm(const struct sy_gemm_problem *p, const struct sy_gemm_opts *opts)
{
    struct sy__plan plan;
    struct region r = region_of(&plan, 1, opts);
    int64_t tasks = sy__plan(&plan, p, 1, opts, r.kern);
    if (tasks == 1)
        run_task(&r, 0);
    else if (tasks > 1)
        sy_pool_run(tasks, run_task, &r);
}

/* Calls `done` with the caller's problem number although sub-lists are planned apart: used only
 * when there is no memory for the list of plans. */
static void run_singly(const struct sy_gemm_problem *p, int count, const struct sy_gemm_opts *opts)
{
    for (int i = 0; i < count; i++) {
        struct sy__plan plan;
        struct region r = region_of(&plan, 1, opts);
        int64_t tasks = sy__plan(&plan, p + i, 1, opts, r.kern);
        plan.index = i;
        sy_pool_run(tasks, run_task, &r);
    }
}

void sy_gemm_grouped(const struct sy_gemm_problem *p, int count, const struct sy_gemm_opts *opts)
{
    if (count <= 0)
        return;
    struct sy__plan *plans = sy_scratch(SY_SCRATCH_GEMM, (size_t)count * sizeof *plans);
    if (!plans) {
        run_singly(p, count, opts);
        return;
    }
    struct region r = region_of(plans, count, opts);
    int64_t tasks = sy__plan(plans, p, count, opts, r.kern);
    if (tasks > 0)
        sy_pool_run(tasks, run_task, &r);
}

/* ---- float64 ---- */

void sy_gemm_f64(int64_t m, int64_t n, int64_t k, const double *a, int64_t lda, bool ta,
                 const double *b, int64_t ldb, bool tb, double *c, int64_t ldc, bool accumulate)
{
    if (m <= 0 || n <= 0)
        return;
    if (k <= 0) {
        for (int64_t i = 0; !accumulate && i < m; i++)
            memset(c + i * ldc, 0, (size_t)n * sizeof *c);
        return;
    }
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
    extern void openblas_set_num_threads(int n);
    openblas_set_num_threads(1);
#endif
    cblas_dgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                (int)m, (int)n, (int)k, 1.0, a, (int)lda, b, (int)ldb, accumulate ? 1.0 : 0.0, c,
                (int)ldc);
}
