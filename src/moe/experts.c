/* The experts of a layer: all tokens through their K experts, forward and backward.
 *
 *     slot s holds token n = rows[s] for expert e:
 *     g = Wgate x[n]   u = Wup x[n]   h = act(g) u   y = Wdown h
 *     (plain experts: g = Wup x[n], h = act(g))
 *     out[n] = sum over k of gate[n,k] y[pos[n,k]]
 *
 * Forward: a grouped product with two results (g, u) whose A rows are picked by `rows` while
 * packing and whose epilogue makes h; a grouped product for y; a sum per token.  g and u are kept.
 *
 * Backward, with s the gate of a slot and d = dout[n]:
 *     t = Wdown' d        dgate = <t, h>       hs = s h      dg = s t u act'(g)     du = s t act(g)
 *     dWdown += d hs'     dWgate += dg x'      dWup += du x'
 *     dx[n] = sum over k of Wgate' dg + Wup' du
 *
 * One grouped product gives t; its epilogue turns t into hs, g into dg and u into du where they lie
 * (row kernel expert_back).  All gradients of weights are one grouped product; experts without
 * slots get zeros.
 *
 *  1. Parallel regions: two grouped products and one sum forward, three and one backward.
 *  2. No gathered copy of x or dout.  Workspace: (R,F) and (R,C) forward, one (R, max(C,F))
 *     backward.
 *  3. Sums over tokens run in slot order, sums over choices in the order of k: same bits for any
 *     number of threads.
 *
 * Source: Gale et al. 2022 (MegaBlocks: dropless, grouped); the fusion is ours. */
#include "moe/experts_int.h"

#include "cpu/cpu.h"
#include "cpu/kern_row.h"
#include "ops/activation.h"
#include "ops/build.h"

#include <string.h>

enum { WHOLE_MAX = 4096 }; /* columns of a whole row in a product's task (cpu/gemm.h) */

/* Inputs and outputs in the order of their rows in ops.def.  GATE is the optional projection of
 * gated experts; GATES are what the router gives a choice. */
enum { X, GATES, ROWS, POS, OFFSETS, UP, DOWN, GATE };
enum { OUT, G, U };
enum { B_DOUT, B_X, B_GATES, B_ROWS, B_POS, B_OFFSETS, B_G, B_U, B_UP, B_DOWN, B_GATE, B_INPUTS };
enum { DX, DGATES, DUP, DDOWN, DGATE, DG, DU };

/* ---- shapes ---- */

static int want_weight(struct sy_infer *x, int i, int64_t e, int64_t rows, int64_t cols)
{
    const struct sy_tensor *w = x->in[i];
    char name[24];
    if (sy__want_weight(x, X, i) || sy__want_ndim(x, i, 3))
        return -1;
    if (w->shape[0] == e && w->shape[1] == rows && w->shape[2] == cols)
        return 0;
    return sy__shape_error(x, "%s must be (%lld, %lld, %lld)", sy_op_input_name(x->op, i, name),
                           (long long)e, (long long)rows, (long long)cols);
}

static int check_shapes(struct sy_infer *x)
{
    const struct sy_tensor *tokens = x->in[X], *gates = x->in[GATES], *pos = x->in[POS];
    if (sy__want_float(x, X) || sy__want_ndim(x, X, 2) || sy__same_dtype(x, X, GATES) ||
        sy__want_ndim(x, GATES, 2) || sy__want_index(x, ROWS, 1) || sy__want_index(x, POS, 2) ||
        sy__want_index(x, OFFSETS, 1) || sy__want_ndim(x, UP, 3))
        return -1;
    if (gates->shape[0] != tokens->shape[0] || !sy_tensor_same_shape(gates, pos))
        return sy__shape_error(x, "gates and pos must be (N, K) with N of x");
    const int64_t e = x->in[OFFSETS]->shape[0] - 1, f = x->in[UP]->shape[1], c = tokens->shape[1];
    if (e < 1)
        return sy__shape_error(x, "offsets must have one entry more than there are experts");
    return sy__want_activation(x) || want_weight(x, UP, e, f, c) ||
                   want_weight(x, DOWN, e, c, f) ||
                   (x->in[GATE] && want_weight(x, GATE, e, f, c))
               ? -1
               : 0;
}

/* Bytes of `count` elements, rounded up to a cache line. */
static size_t line_bytes(int64_t count, size_t size)
{
    return ((size_t)count * size + 63) & ~(size_t)63;
}

int sy__infer_moe_experts(struct sy_infer *x)
{
    if (check_shapes(x))
        return -1;
    const enum sy_dtype dtype = x->in[X]->dtype;
    const size_t size = sy_dtype_size(dtype);
    const int64_t r = x->in[ROWS]->shape[0], e = x->in[UP]->shape[0];
    const int64_t f = x->in[UP]->shape[1], c = x->in[UP]->shape[2];
    sy_meta_like(&x->out[OUT], x->in[X]);
    sy__meta(&x->out[G], dtype, 2, r, f);
    if (x->in[GATE])
        sy__meta(&x->out[U], dtype, 2, r, f);
    else
        sy__meta(&x->out[U], dtype, 1, 1, 0); /* plain experts: stands for nothing */
    x->always = 1 << G | 1 << U;
    x->scratch = line_bytes(e, sizeof(struct sy_gemm_problem)) + line_bytes(r * f, size) +
                 line_bytes(r * c, size);
    return 0;
}

int sy__infer_moe_experts_backward(struct sy_infer *x)
{
    struct sy_tensor *const *in = x->in;
    const enum sy_dtype dtype = in[B_X]->dtype;
    const size_t size = sy_dtype_size(dtype);
    const int64_t r = in[B_ROWS]->shape[0], e = in[B_UP]->shape[0], f = in[B_UP]->shape[1],
                  c = in[B_UP]->shape[2];
    static const int like[] = {[DX] = B_X, [DGATES] = B_GATES, [DUP] = B_UP, [DDOWN] = B_DOWN,
                               [DGATE] = B_GATE, [DG] = B_G, [DU] = B_U};
    for (int i = DX; i <= DU; i++)
        if (in[like[i]])
            sy_meta_like(&x->out[i], in[like[i]]);
    for (int i = DUP; i <= DGATE; i++) /* a packed weight is only read: stands for nothing */
        if (in[like[i]] && sy__is_packed(in[like[i]]))
            sy__meta(&x->out[i], dtype, 1, 1, 0);
    if (!in[B_GATE])
        sy__meta(&x->out[DGATE], dtype, 1, 1, 0);
    x->reuse[DG] = 1 + B_G;
    x->reuse[DU] = 1 + B_U;
    x->always = 1 << DG | (in[B_GATE] ? 1 << DU : 0);
    x->scratch = line_bytes(3 * e, sizeof(struct sy_gemm_problem)) +
                 line_bytes(r * (c > f ? c : f), size) + 2 * line_bytes(r, size);
    return 0;
}

/* in: X to OFFSETS, which stand together in both operations. */
static void dims_of(struct sy__experts *m, const struct sy_run *x, struct sy_tensor *const *in)
{
    m->n = in[X]->shape[0];
    m->c = in[X]->shape[1];
    m->k = in[GATES]->shape[1];
    m->r = in[ROWS]->shape[0];
    m->e = in[OFFSETS]->shape[0] - 1;
    m->x = sy_data(in[X]);
    m->gates = sy_data(in[GATES]);
    m->rows = sy_data(in[ROWS]);
    m->pos = sy_data(in[POS]);
    m->offsets = sy_data(in[OFFSETS]);
    m->used = m->offsets[m->e];
    m->act = (int)x->attrs->i[0];
    m->precision = (enum sy_precision)x->attrs->precision;
}

static void weights_of(struct sy__experts *m, const struct sy_tensor *up,
                       const struct sy_tensor *down, const struct sy_tensor *gate)
{
    m->f = up->shape[1];
    m->t_act = gate ? gate : up;
    m->t_mul = gate ? up : NULL;
    m->t_down = down;
    m->w_act = sy_data(m->t_act);
    m->w_mul = gate ? sy_data(up) : NULL;
    m->w_down = sy_data(down);
}

/* The matrix of expert e, f32 or packed. */
static struct sy_mat weight(const struct sy_tensor *w, int64_t e, bool trans)
{
    return sy__mat(w, e * w->stride[0], w->stride[1], trans);
}

static void *carve(char **at, int64_t count, size_t size)
{
    void *p = *at;
    *at += line_bytes(count, size);
    return p;
}

/* ---- forward ---- */

/* Slots of expert e: first and number. */
static int64_t slots(const struct sy__experts *m, int64_t e, int64_t *first)
{
    *first = m->offsets[e];
    return m->offsets[e + 1] - m->offsets[e];
}

static const float *row(const void *p, int64_t r, int64_t ld)
{
    return (const float *)p + r * ld;
}
static float *out_row(void *p, int64_t r, int64_t ld)
{
    return (float *)p + r * ld;
}

/* h = act(g) u over the block that has just been computed. */
static void activate(void *ctx, int e, int64_t row0, int64_t rows, int64_t col0, int64_t cols)
{
    const struct sy__experts *m = ctx;
    const int64_t at = (m->offsets[e] + row0) * m->f + col0;
    sy_cpu()->row->glu[m->act]((float *)m->h + at, m->f, (float *)m->g + at, m->f,
                               m->w_mul ? (float *)m->u + at : NULL, m->f, rows, cols);
}

static void hidden(struct sy__experts *m)
{
    for (int64_t e = 0; e < m->e; e++) {
        int64_t first, count = slots(m, e, &first);
        m->problem[e] = (struct sy_gemm_problem){
            .m = count,
            .n = m->f,
            .k = m->c,
            .a = {.data = m->x, .ld = m->c, .rows = m->rows + first},
            .b = weight(m->t_act, e, true),
            .c = out_row(m->g, first, m->f),
            .ldc = m->f};
        if (m->w_mul) {
            m->problem[e].dual_b = weight(m->t_mul, e, true);
            m->problem[e].dual_c = out_row(m->u, first, m->f);
        }
    }
    struct sy_gemm_opts opts = {.precision = m->precision, .done = activate, .ctx = m};
    sy_gemm_grouped(m->problem, (int)m->e, &opts);
}

static void down(struct sy__experts *m)
{
    for (int64_t e = 0; e < m->e; e++) {
        int64_t first, count = slots(m, e, &first);
        m->problem[e] = (struct sy_gemm_problem){
            .m = count,
            .n = m->c,
            .k = m->f,
            .a = {.data = row(m->h, first, m->f), .ld = m->f},
            .b = weight(m->t_down, e, true),
            .c = out_row(m->y, first, m->c),
            .ldc = m->c};
    }
    struct sy_gemm_opts opts = {.precision = m->precision};
    sy_gemm_grouped(m->problem, (int)m->e, &opts);
}

struct sum {
    const struct sy__experts *m;
    const float *from, *weight;
    float *to;
};

static void sum_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct sum *s = ctx;
    const int64_t c = s->m->c, k = s->m->k;
    sy_cpu()->row->gather_sum(s->to + begin * c, c, s->from, c, s->m->pos + begin * k,
                              s->weight ? s->weight + begin * k : NULL, k, end - begin, c, false);
}

/* to (N,C) = for each token the sum over k of its slots' rows in from, times weight (N,K) (NULL).
 */
static void combine(const struct sy__experts *m, float *to, const float *from, const float *weight)
{
    struct sum s = {m, from, weight, to};
    sy__parallel(m->n, sy__row_grain(m->c * (m->k + 1)), sum_rows, &s);
}

int sy__run_moe_experts(const struct sy_run *x)
{
    struct sy__experts m = {0};
    char *at = x->scratch;
    dims_of(&m, x, x->in);
    weights_of(&m, x->in[UP], x->in[DOWN], x->in[GATE]);
    struct sy__routing routing = {m.rows, m.pos, m.offsets, m.r, m.e, m.n, m.n * m.k};
    if (sy__check_routing(x, "moe_experts", &routing))
        return -1;
    const size_t size = sy_dtype_size(x->in[X]->dtype);
    m.problem = carve(&at, m.e, sizeof *m.problem);
    m.h = carve(&at, m.r * m.f, size);
    m.y = carve(&at, m.r * m.c, size);
    m.out = sy_data(x->out[OUT]);
    m.g = sy_data(x->out[G]);
    m.u = x->in[GATE] ? sy_data(x->out[U]) : NULL;
    const size_t used = (size_t)(m.used * m.f) * size, rest = (size_t)((m.r - m.used) * m.f) * size;
    memset((char *)m.g + used, 0, rest); /* slots that a capacity left unused */
    memset(m.u ? (char *)m.u + used : sy_data(x->out[U]), 0, m.u ? rest : size);
    if (size == sizeof(double)) {
        sy__experts_f64(&m);
        return 0;
    }
    hidden(&m);
    down(&m);
    combine(&m, m.out, m.y, m.gates);
    return 0;
}

/* ---- backward ---- */

/* Rows of t are complete: t becomes hs, g and u become dg and du. */
static void turn_rows(const struct sy__experts *m, int64_t s, int64_t rows)
{
    sy_cpu()->row->expert_back[m->act](
        (float *)m->dgate_slot + s, out_row(m->h, s, m->f), m->f, out_row(m->g, s, m->f), m->f,
        m->u ? out_row(m->u, s, m->f) : NULL, m->f, (float *)m->gate_slot + s, rows, m->f);
}

static void turn_block(void *ctx, int e, int64_t row0, int64_t rows, int64_t col0, int64_t cols)
{
    const struct sy__experts *m = ctx;
    (void)col0;
    (void)cols;
    turn_rows(m, m->offsets[e] + row0, rows);
}

static void turn_range(void *ctx, int64_t begin, int64_t end)
{
    turn_rows(ctx, begin, end - begin);
}

static void hidden_back(struct sy__experts *m)
{
    const bool whole = m->f <= WHOLE_MAX;
    for (int64_t e = 0; e < m->e; e++) {
        int64_t first, count = slots(m, e, &first);
        m->problem[e] =
            (struct sy_gemm_problem){.m = count,
                                     .n = m->f,
                                     .k = m->c,
                                     .a = {.data = m->dout, .ld = m->c, .rows = m->rows + first},
                                     .b = weight(m->t_down, e, false),
                                     .c = out_row(m->h, first, m->f),
                                     .ldc = m->f};
    }
    struct sy_gemm_opts opts = {.precision = m->precision,
                                .whole_rows = whole,
                                .done = whole ? turn_block : NULL,
                                .ctx = m};
    sy_gemm_grouped(m->problem, (int)m->e, &opts);
    if (!whole)
        sy__parallel(m->used, sy__row_grain(3 * m->f), turn_range, m);
}

/* dW (to[e], rows x cols) = left' · right over the slots of e; right's (or left's) rows by index
 * where they are tokens. */
static void weight_problem(const struct sy__experts *m, struct sy_gemm_problem *p, int64_t e,
                           struct sy_mat left, struct sy_mat right, void *to)
{
    int64_t first, count = slots(m, e, &first);
    struct sy_mat *side[2] = {&left, &right};
    for (int i = 0; i < 2; i++) {
        bool tokens = side[i]->ld == 0;
        side[i]->ld = tokens ? m->c : m->f;
        side[i]->rows = tokens ? m->rows + first : NULL;
        side[i]->data += tokens ? 0 : first * m->f;
    }
    left.trans = true;
    *p = (struct sy_gemm_problem){.m = left.ld,
                                  .n = right.ld,
                                  .k = count,
                                  .a = left,
                                  .b = right,
                                  .c = out_row(to, e, m->f * m->c),
                                  .ldc = right.ld};
}

static void weights_back(struct sy__experts *m)
{
    const struct sy_mat x = {.data = m->x}, dout = {.data = m->dout}; /* ld 0: tokens, by index */
    const struct sy_mat hs = {.data = m->h, .ld = 1}, dg = {.data = m->g, .ld = 1},
                        du = {.data = m->u, .ld = 1};
    int count = 0;
    for (int64_t e = 0; e < m->e; e++) {
        if (m->dw_down)
            weight_problem(m, &m->problem[count++], e, dout, hs, m->dw_down);
        if (m->dw_act)
            weight_problem(m, &m->problem[count++], e, dg, x, m->dw_act);
        if (m->dw_mul)
            weight_problem(m, &m->problem[count++], e, du, x, m->dw_mul);
    }
    struct sy_gemm_opts opts = {.precision = m->precision};
    sy_gemm_grouped(m->problem, count, &opts);
}

/* hs is no longer needed: its place takes the gradient of each slot's input. */
static void input_back(struct sy__experts *m)
{
    m->y = m->h;
    for (int64_t e = 0; e < m->e; e++) {
        int64_t first, count = slots(m, e, &first);
        m->problem[e] =
            (struct sy_gemm_problem){.m = count,
                                     .n = m->c,
                                     .k = m->f,
                                     .a = {.data = row(m->g, first, m->f), .ld = m->f},
                                     .b = weight(m->t_act, e, false),
                                     .c = out_row(m->y, first, m->c),
                                     .ldc = m->c};
        if (m->w_mul) {
            m->problem[e].k2 = m->f;
            m->problem[e].a2 = (struct sy_mat){.data = row(m->u, first, m->f), .ld = m->f};
            m->problem[e].b2 = weight(m->t_mul, e, false);
        }
    }
    struct sy_gemm_opts opts = {.precision = m->precision};
    sy_gemm_grouped(m->problem, (int)m->e, &opts);
    combine(m, m->dx, m->y, NULL);
}

static void gates_to_slots(const struct sy__experts *m)
{
    const float *gates = m->gates;
    float *slot = m->gate_slot;
    memset(slot, 0, (size_t)m->r * sizeof *slot);
    for (int64_t i = 0; i < m->n * m->k; i++)
        if (m->pos[i] >= 0)
            slot[m->pos[i]] = gates[i];
}

static void slots_to_gates(const struct sy__experts *m)
{
    const float *slot = m->dgate_slot;
    float *dgates = m->dgates;
    for (int64_t i = 0; dgates && i < m->n * m->k; i++)
        dgates[i] = m->pos[i] >= 0 ? slot[m->pos[i]] : 0.0f;
}

struct copy {
    char *to;
    const char *from;
};

static void copy_range(void *ctx, int64_t begin, int64_t end)
{
    const struct copy *c = ctx;
    memcpy(c->to + begin, c->from + begin, (size_t)(end - begin));
}

/* g and u are turned where they lie, or in a copy when the plan did not give us their place. */
static void *in_place(const struct sy_tensor *from, const struct sy_tensor *to)
{
    struct copy c = {sy_data(to), sy_data(from)};
    if (c.to != c.from)
        sy__parallel((int64_t)sy_tensor_bytes(from), 1 << 18, copy_range, &c);
    return c.to;
}

static void *data_of(const struct sy_tensor *t)
{
    return t ? sy_data(t) : NULL;
}

/* Where w's gradient goes; NULL: it is not wanted, or w is only read. */
static void *gradient_of(const struct sy_tensor *w, const struct sy_tensor *dw)
{
    return w && !sy__is_packed(w) ? data_of(dw) : NULL;
}

int sy__run_moe_experts_backward(const struct sy_run *x)
{
    struct sy__experts m = {0};
    const bool gated = x->in[B_GATE] != NULL;
    char *at = x->scratch;
    dims_of(&m, x, x->in + B_X);
    weights_of(&m, x->in[B_UP], x->in[B_DOWN], x->in[B_GATE]);
    const size_t size = sy_dtype_size(x->in[B_X]->dtype);
    m.problem = carve(&at, 3 * m.e, sizeof *m.problem);
    m.h = carve(&at, m.r * (m.c > m.f ? m.c : m.f), size);
    m.gate_slot = carve(&at, m.r, size);
    m.dgate_slot = carve(&at, m.r, size);
    m.dout = sy_data(x->in[B_DOUT]);
    m.dx = data_of(x->out[DX]);
    m.dgates = data_of(x->out[DGATES]);
    m.dw_down = gradient_of(m.t_down, x->out[DDOWN]);
    m.dw_act = gradient_of(m.t_act, x->out[gated ? DGATE : DUP]);
    m.dw_mul = gradient_of(m.t_mul, x->out[DUP]);
    m.g = in_place(x->in[B_G], x->out[DG]);
    m.u = gated ? in_place(x->in[B_U], x->out[DU]) : NULL;
    if (size == sizeof(double)) {
        sy__experts_backward_f64(&m);
        return 0;
    }
    gates_to_slots(&m);
    hidden_back(&m);
    slots_to_gates(&m);
    if (m.dw_down || m.dw_act || m.dw_mul)
        weights_back(&m);
    if (m.dx)
        input_back(&m);
    return 0;
}

/* ---- gradient and cost ---- */

int sy__vjp_moe_experts(struct sy_vjp *x)
{
    struct sy_tensor *const *in = x->in;
    struct sy_tensor *d[SY_MAX_OUT];
    struct sy_tensor *back[B_INPUTS] = {
        [B_DOUT] = x->dout[OUT], [B_X] = in[X],       [B_GATES] = in[GATES],
        [B_ROWS] = in[ROWS],     [B_POS] = in[POS],   [B_OFFSETS] = in[OFFSETS],
        [B_G] = x->out[G],       [B_U] = x->out[U],   [B_UP] = in[UP],
        [B_DOWN] = in[DOWN],     [B_GATE] = in[GATE],
    };
    if (!x->dout[OUT])
        return 0; /* g and u are not for use */
    if (sy_b_apply_all(SY_OP_MOE_EXPERTS_BACKWARD_, x->attrs, back, B_INPUTS, d))
        return -1;
    x->din[X] = d[DX];
    x->din[GATES] = d[DGATES];
    x->din[UP] = d[DUP];
    x->din[DOWN] = d[DDOWN];
    x->din[GATE] = in[GATE] ? d[DGATE] : NULL;
    return 0;
}

/* Multiply-adds as if every slot were in use: that is what the shape says. */
static double products(const struct sy_tensor *rows, const struct sy_tensor *up, bool gated)
{
    return 2.0 * (gated ? 3 : 2) * (double)rows->shape[0] * (double)up->shape[1] *
           (double)up->shape[2];
}

void sy__cost_moe_experts(struct sy_cost *c)
{
    struct sy_tensor *const *in = c->node->in;
    c->flops = products(in[ROWS], in[UP], in[GATE] != NULL);
}

void sy__cost_moe_experts_backward(struct sy_cost *c)
{
    struct sy_tensor *const *in = c->node->in;
    c->flops = 2 * products(in[B_ROWS], in[B_UP], in[B_GATE] != NULL);
}
