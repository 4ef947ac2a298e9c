/* A mixture in pieces, for experts that a user writes: gather, products by expert, combine.
 *
 *     moe_gather   xs[s] = x[rows[s]]                               (R,C)
 *     moe_matmul   y[s] = w[e] xs[s] for the slots s of expert e    (R,O), w (E,O,C)
 *     moe_combine  out[n] = sum over k of gates[n,k] y[pos[n,k]]    (N,C)
 *
 * Their gradients are the same three things the other way round.  Slots without a token give zeros
 * and take none. Sums run in slot order (gather's gradient) or in the order of k: no atomics.
 */
#include "moe/moe_int.h"

#include "cpu/cpu.h"
#include "cpu/kern_row.h"
#include "ops/build.h"

#include <string.h>

static bool is_f64(const struct sy_tensor *t)
{
    return t->dtype == SY_F64;
}

/* ---- moe_gather (x (N,C), rows (R)) -> (R,C) ---- */

int sy__infer_moe_gather(struct sy_infer *x)
{
    if (sy__want_float(x, 0) || sy__want_ndim(x, 0, 2) || sy__want_index(x, 1, 1))
        return -1;
    sy__meta(&x->out[0], x->in[0]->dtype, 2, x->in[1]->shape[0], x->in[0]->shape[1]);
    return 0;
}

struct gather {
    const void *x;
    void *y;
    const int32_t *index; /* k of them for each row of y */
    const void *weight;   /* (rows, k) or NULL */
    int64_t c, k;
    bool f64;
};

static void gather_f64(const struct gather *g, int64_t r)
{
    double *y = (double *)g->y + r * g->c;
    memset(y, 0, (size_t)g->c * sizeof *y);
    for (int64_t j = r * g->k; j < (r + 1) * g->k; j++)
        for (int64_t i = 0; g->index[j] >= 0 && i < g->c; i++)
            y[i] += (g->weight ? ((const double *)g->weight)[j] : 1.0) *
                    ((const double *)g->x)[g->index[j] * g->c + i];
}

static void gather_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct gather *g = ctx;
    const float *weight = g->weight;
    for (int64_t r = begin; g->f64 && r < end; r++)
        gather_f64(g, r);
    if (!g->f64)
        sy_cpu()->row->gather_sum((float *)g->y + begin * g->c, g->c, g->x, g->c,
                                  g->index + begin * g->k, weight ? weight + begin * g->k : NULL,
                                  g->k, end - begin, g->c, false);
}

int sy__run_moe_gather(const struct sy_run *x)
{
    const int64_t n = x->in[0]->shape[0], r = x->in[1]->shape[0], c = x->in[0]->shape[1];
    const int32_t *rows = sy_data(x->in[1]);
    for (int64_t s = 0; s < r; s++)
        if (rows[s] >= n)
            return sy_err_set(x->err, SY_E_RANGE,
                              "moe_gather: rows: slot %lld holds token %d of %lld", (long long)s,
                              rows[s], (long long)n);
    struct gather g = {sy_data(x->in[0]), sy_data(x->out[0]), rows, NULL, c, 1, is_f64(x->in[0])};
    sy__parallel(r, sy__row_grain(c), gather_rows, &g);
    return 0;
}

int sy__vjp_moe_gather(struct sy_vjp *x)
{
    struct sy_attrs a = {.i = {x->in[0]->shape[0]}};
    x->din[0] = sy_b_apply(SY_OP_MOE_SCATTER_, &a, 2, x->dout[0], x->in[1]);
    return 0;
}

/* ---- MOE_SCATTER (dy (R,C), rows (R); n) -> (N,C): sums the slots of each token ---- */

int sy__infer_moe_scatter(struct sy_infer *x)
{
    sy__meta(&x->out[0], x->in[0]->dtype, 2, x->attrs->i[0], x->in[0]->shape[1]);
    x->scratch = (size_t)(x->attrs->i[0] + 1 + x->in[1]->shape[0]) * sizeof(int32_t);
    return 0;
}

struct scatter {
    const void *dy;
    void *dx;
    const int32_t *first, *slot; /* slots of token n: slot[first[n]] .. slot[first[n + 1]] */
    int64_t c;
    bool f64;
};

static void scatter_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct scatter *s = ctx;
    for (int64_t n = begin; n < end; n++) {
        struct gather g = {.x = s->dy,
                           .index = s->slot + s->first[n],
                           .c = s->c,
                           .k = s->first[n + 1] - s->first[n],
                           .f64 = s->f64};
        g.y = s->f64 ? (void *)((double *)s->dx + n * s->c) : (void *)((float *)s->dx + n * s->c);
        gather_rows(&g, 0, 1);
    }
}

int sy__run_moe_scatter(const struct sy_run *x)
{
    const int64_t n = x->attrs->i[0], r = x->in[1]->shape[0], c = x->in[0]->shape[1];
    const int32_t *rows = sy_data(x->in[1]);
    int32_t *first = x->scratch, *slot = first + n + 1;
    memset(first, 0, (size_t)(n + 1) * sizeof *first);
    for (int64_t s = 0; s < r; s++)
        if (rows[s] >= 0)
            first[rows[s] + 1]++;
    for (int64_t i = 0; i < n; i++)
        first[i + 1] += first[i];
    for (int64_t s = 0; s < r; s++)
        if (rows[s] >= 0)
            slot[first[rows[s]]++] = (int32_t)s; /* first[i] is now where i + 1 begins */
    memmove(first + 1, first, (size_t)n * sizeof *first);
    first[0] = 0;
    struct scatter ctx = {sy_data(x->in[0]), sy_data(x->out[0]), first, slot, c, is_f64(x->in[0])};
    sy__parallel(n, sy__row_grain(2 * c), scatter_rows, &ctx);
    return 0;
}

/* ---- moe_matmul (x (R,C), offsets (E+1), w (E,O,C)) -> (R,O) ---- */

static size_t problem_bytes(int64_t experts)
{
    return (size_t)experts * sizeof(struct sy_gemm_problem);
}

/* Inputs as in ops.def: of the product, and of its gradients in x and in w. */
enum { X, OFFSETS, W };
enum { DX_DY, DX_OFFSETS, DX_W };
enum { DW_DY, DW_X, DW_OFFSETS };

int sy__infer_moe_matmul(struct sy_infer *x)
{
    if (sy__want_float(x, X) || sy__want_ndim(x, X, 2) || sy__want_index(x, OFFSETS, 1) ||
        sy__want_weight(x, X, W) || sy__want_ndim(x, W, 3))
        return -1;
    if (x->in[W]->shape[2] != x->in[X]->shape[1])
        return sy__shape_error(x, "w must be (E, O, C) with C of x");
    if (x->in[OFFSETS]->shape[0] != x->in[W]->shape[0] + 1)
        return sy__shape_error(x, "offsets must have one entry more than w has experts");
    sy__meta(&x->out[0], x->in[X]->dtype, 2, x->in[X]->shape[0], x->in[W]->shape[1]);
    x->scratch = problem_bytes(x->in[W]->shape[0]);
    return 0;
}

/* A product for each expert.  by_slots: C's rows are slots (else C is (E, m, n) and k runs over
 * slots). */
struct grouped {
    const void *a, *b;
    const struct sy_tensor *w; /* b's tensor, by_slots: f32 or packed */
    void *c;
    int64_t m, n, k; /* the one that counts slots is not used */
    bool by_slots, b_trans;
    const int32_t *offsets;
    int64_t experts;
};

static void grouped_f64(const struct grouped *g)
{
    const double *a = g->a, *b = g->b;
    double *c = g->c;
    for (int64_t e = 0; e < g->experts; e++) {
        const int64_t s = g->offsets[e], count = g->offsets[e + 1] - s;
        if (g->by_slots)
            sy_gemm_f64(count, g->n, g->k, a + s * g->k, g->k, false, b + e * g->n * g->k,
                        g->b_trans ? g->k : g->n, g->b_trans, c + s * g->n, g->n, false);
        else
            sy_gemm_f64(g->m, g->n, count, a + s * g->m, g->m, true, b + s * g->n, g->n, false,
                        c + e * g->m * g->n, g->n, false);
    }
}

static void grouped_f32(const struct grouped *g, const struct sy_run *x)
{
    struct sy_gemm_problem *p = x->scratch;
    const float *a = g->a, *b = g->b;
    float *c = g->c;
    for (int64_t e = 0; e < g->experts; e++) {
        const int64_t s = g->offsets[e], count = g->offsets[e + 1] - s;
        if (g->by_slots)
            p[e] = (struct sy_gemm_problem){
                .m = count,
                .n = g->n,
                .k = g->k,
                .a = {.data = a + s * g->k, .ld = g->k},
                .b = sy__mat(g->w, e * g->w->stride[0], g->w->stride[1], g->b_trans),
                .c = c + s * g->n,
                .ldc = g->n};
        else
            p[e] = (struct sy_gemm_problem){.m = g->m,
                                            .n = g->n,
                                            .k = count,
                                            .a = {.data = a + s * g->m, .ld = g->m, .trans = true},
                                            .b = {.data = b + s * g->n, .ld = g->n},
                                            .c = c + e * g->m * g->n,
                                            .ldc = g->n};
    }
    struct sy_gemm_opts opts = {.precision = (enum sy_precision)x->attrs->precision};
    sy_gemm_grouped(p, (int)g->experts, &opts);
}

static int run_grouped(const struct grouped *g, const struct sy_run *x)
{
    const struct sy_tensor *y = x->out[0];
    const size_t size = sy_dtype_size(y->dtype);
    const size_t used = (size_t)(g->offsets[g->experts] * g->n) * size;
    if (g->by_slots)
        memset((char *)g->c + used, 0, sy_tensor_bytes(y) - used);
    if (is_f64(y))
        grouped_f64(g);
    else
        grouped_f32(g, x);
    return 0;
}

int sy__run_moe_matmul(const struct sy_run *x)
{
    const struct sy_tensor *w = x->in[W];
    struct grouped g = {.a = sy_data(x->in[X]),
                        .b = sy_data(w),
                        .w = w,
                        .c = sy_data(x->out[0]),
                        .n = w->shape[1],
                        .k = w->shape[2],
                        .by_slots = true,
                        .b_trans = true,
                        .offsets = sy_data(x->in[OFFSETS]),
                        .experts = w->shape[0]};
    struct sy__routing routing = {
        .offsets = g.offsets, .slots = x->in[X]->shape[0], .experts = g.experts};
    return sy__check_routing(x, "moe_matmul", &routing) ? -1 : run_grouped(&g, x);
}

int sy__vjp_moe_matmul(struct sy_vjp *x)
{
    if (x->want[X])
        x->din[X] = sy_b_apply(SY_OP_MOE_MATMUL_DX_, NULL, 3, x->dout[0], x->in[OFFSETS], x->in[W]);
    if (x->want[W])
        x->din[W] = sy_b_apply(SY_OP_MOE_MATMUL_DW_, NULL, 3, x->dout[0], x->in[X], x->in[OFFSETS]);
    return 0;
}

/* MOE_MATMUL_DX (dy (R,O), offsets, w (E,O,C)) -> (R,C) */
int sy__infer_moe_matmul_dx(struct sy_infer *x)
{
    sy__meta(&x->out[0], x->in[DX_DY]->dtype, 2, x->in[DX_DY]->shape[0], x->in[DX_W]->shape[2]);
    x->scratch = problem_bytes(x->in[DX_W]->shape[0]);
    return 0;
}

int sy__run_moe_matmul_dx(const struct sy_run *x)
{
    const struct sy_tensor *w = x->in[DX_W];
    struct grouped g = {.a = sy_data(x->in[DX_DY]),
                        .b = sy_data(w),
                        .w = w,
                        .c = sy_data(x->out[0]),
                        .n = w->shape[2],
                        .k = w->shape[1],
                        .by_slots = true,
                        .offsets = sy_data(x->in[DX_OFFSETS]),
                        .experts = w->shape[0]};
    return run_grouped(&g, x);
}

/* MOE_MATMUL_DW (dy (R,O), x (R,C), offsets) -> (E,O,C) */
int sy__infer_moe_matmul_dw(struct sy_infer *x)
{
    const int64_t experts = x->in[DW_OFFSETS]->shape[0] - 1;
    sy__meta(&x->out[0], x->in[DW_DY]->dtype, 3, experts, x->in[DW_DY]->shape[1]);
    x->out[0].shape[2] = x->in[DW_X]->shape[1];
    x->scratch = problem_bytes(experts);
    return 0;
}

int sy__run_moe_matmul_dw(const struct sy_run *x)
{
    struct grouped g = {.a = sy_data(x->in[DW_DY]),
                        .b = sy_data(x->in[DW_X]),
                        .c = sy_data(x->out[0]),
                        .m = x->in[DW_DY]->shape[1],
                        .n = x->in[DW_X]->shape[1],
                        .offsets = sy_data(x->in[DW_OFFSETS]),
                        .experts = x->in[DW_OFFSETS]->shape[0] - 1};
    return run_grouped(&g, x);
}

/* w is (E,O,C), in weight's place of the inputs; rows: slots. */
static double grouped_flops(const struct sy_tensor *rows, const struct sy_tensor *w)
{
    return 2.0 * (double)rows->shape[0] * (double)w->shape[1] * (double)w->shape[2];
}

void sy__cost_moe_matmul(struct sy_cost *c)
{
    c->flops = grouped_flops(c->node->in[X], c->node->in[W]);
}
void sy__cost_moe_matmul_dw(struct sy_cost *c)
{
    c->flops = grouped_flops(c->node->in[DW_DY], c->node->out[0]);
}

/* ---- moe_combine (y (R,C), gates (N,K), pos (N,K)) -> (N,C) ---- */

/* Inputs and outputs as in ops.def; of its backward (B_) as well. */
enum { Y, GATES, POS };
enum { B_DOUT, B_Y, B_GATES, B_POS, B_INPUTS };
enum { DY, DGATES };

int sy__infer_moe_combine(struct sy_infer *x)
{
    if (sy__want_float(x, Y) || sy__want_ndim(x, Y, 2) || sy__same_dtype(x, Y, GATES) ||
        sy__want_ndim(x, GATES, 2) || sy__want_index(x, POS, 2))
        return -1;
    if (!sy_tensor_same_shape(x->in[GATES], x->in[POS]))
        return sy__shape_error(x, "gates and pos differ");
    sy__meta(&x->out[0], x->in[Y]->dtype, 2, x->in[GATES]->shape[0], x->in[Y]->shape[1]);
    return 0;
}

int sy__run_moe_combine(const struct sy_run *x)
{
    const int64_t n = x->in[GATES]->shape[0], k = x->in[GATES]->shape[1], c = x->in[Y]->shape[1];
    struct sy__routing routing = {
        .pos = sy_data(x->in[POS]), .slots = x->in[Y]->shape[0], .nk = n * k};
    struct gather g = {.x = sy_data(x->in[Y]),
                       .y = sy_data(x->out[0]),
                       .index = routing.pos,
                       .weight = sy_data(x->in[GATES]),
                       .c = c,
                       .k = k,
                       .f64 = is_f64(x->in[Y])};
    if (sy__check_routing(x, "moe_combine", &routing))
        return -1;
    sy__parallel(n, sy__row_grain(c * (k + 1)), gather_rows, &g);
    return 0;
}

int sy__vjp_moe_combine(struct sy_vjp *x)
{
    struct sy_tensor *d[SY_MAX_OUT];
    struct sy_tensor *in[B_INPUTS] = {
        [B_DOUT] = x->dout[0], [B_Y] = x->in[Y], [B_GATES] = x->in[GATES], [B_POS] = x->in[POS]};
    if (sy_b_apply_all(SY_OP_MOE_COMBINE_BACKWARD_, NULL, in, B_INPUTS, d))
        return -1;
    x->din[Y] = d[DY];
    x->din[GATES] = d[DGATES];
    return 0;
}

/* ---- MOE_COMBINE_BACKWARD (dout (N,C), y (R,C), gates, pos) -> dy (R,C), dgates (N,K) ---- */

int sy__infer_moe_combine_backward(struct sy_infer *x)
{
    sy_meta_like(&x->out[DY], x->in[B_Y]);
    sy_meta_like(&x->out[DGATES], x->in[B_GATES]);
    x->scratch = (size_t)x->in[B_Y]->shape[0] * sizeof(int32_t);
    return 0;
}

struct uncombine {
    const void *dout, *y, *gates;
    void *dy, *dgates;    /* NULL: not wanted */
    const int32_t *owner; /* moe_int.h */
    int64_t c, k;
    bool f64;
};

static void uncombine_f64(const struct uncombine *u, int64_t s)
{
    const int32_t i = u->owner[s];
    const double *d = (const double *)u->dout + i / u->k * u->c,
                 *y = (const double *)u->y + s * u->c;
    double dgate = 0;
    for (int64_t j = 0; j < u->c; j++) {
        dgate += d[j] * y[j];
        if (u->dy)
            ((double *)u->dy)[s * u->c + j] = ((const double *)u->gates)[i] * d[j];
    }
    if (u->dgates)
        ((double *)u->dgates)[i] = dgate;
}

static void uncombine_f32(const struct uncombine *u, int64_t s)
{
    const struct sy_row_kernels *row = sy_cpu()->row;
    const int32_t i = u->owner[s], token = (int32_t)(i / u->k);
    const float *dout = u->dout;
    if (u->dgates)
        row->dot((float *)u->dgates + i, dout + token * u->c, u->c, (const float *)u->y + s * u->c,
                 u->c, 1, u->c);
    if (u->dy)
        row->gather_sum((float *)u->dy + s * u->c, u->c, dout, u->c, &token,
                        (const float *)u->gates + i, 1, 1, u->c, false);
}

static void uncombine_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct uncombine *u = ctx;
    const size_t size = u->f64 ? sizeof(double) : sizeof(float), row = (size_t)u->c * size;
    for (int64_t s = begin; s < end; s++)
        if (u->owner[s] < 0) {
            if (u->dy)
                memset((char *)u->dy + (size_t)s * row, 0, row);
        } else if (u->f64)
            uncombine_f64(u, s);
        else
            uncombine_f32(u, s);
}

int sy__run_moe_combine_backward(const struct sy_run *x)
{
    const int64_t r = x->in[B_Y]->shape[0], c = x->in[B_Y]->shape[1], k = x->in[B_GATES]->shape[1];
    struct uncombine u = {.dout = sy_data(x->in[B_DOUT]),
                          .y = sy_data(x->in[B_Y]),
                          .gates = sy_data(x->in[B_GATES]),
                          .owner = x->scratch,
                          .c = c,
                          .k = k,
                          .f64 = is_f64(x->in[B_Y])};
    u.dy = x->out[DY] ? sy_data(x->out[DY]) : NULL;
    u.dgates = x->out[DGATES] ? sy_data(x->out[DGATES]) : NULL;
    sy__slot_owners(x->scratch, r, sy_data(x->in[B_POS]), sy_tensor_count(x->in[B_POS]));
    if (u.dgates)
        memset(u.dgates, 0, sy_tensor_bytes(x->out[DGATES])); /* dropped choices */
    sy__parallel(r, sy__row_grain(3 * c), uncombine_rows, &u);
    return 0;
}
