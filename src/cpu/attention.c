/* Blocked attention (cpu/attention.h) on the tiles and packing of the matrix product.
 *
 * A task is one key-value head of one sequence, in the forward pass also one CHUNK of queries.  Its
 * keys and values are packed once; queries are taken in groups of ROWS, keys in blocks of BLOCK:
 *
 *     forward      S = Q·K^T (rows x keys that the last row may see), softmax with a running
 *                  maximum, O = fade O + P·V
 *     backward     BLOCK queries x BLOCK keys at a time: S and dP = dO·V^T by groups of ROWS
 *                  queries, P and dS from lse, then dV += P^T·dO and dK += dS^T·Q by groups of ROWS
 *                  keys, dQ += dS·K by groups of ROWS queries
 *
 *  1. Of a block above the diagonal nothing is computed; of one that the diagonal cuts, whole
 *     groups.  What lies in a group and is not seen has P = 0, and zeros do not change a chain.
 *  2. Every sum runs in an order that shapes and masks alone decide: the heads of a group
 *     ascending, queries ascending, keys ascending.
 *  3. Without memory for scratch a task leaves its outputs as they are, and the call says so.
 *  4. Scratch slots PACK_A, PACK_B and GEMM: not from inside an epilogue of a grouped product.
 *
 * Source: Dao et al. 2022 (FlashAttention), algorithms 1 and 4; Dao 2023, section 3.1.
 */
#include "cpu/attention.h"

#include "base/mem.h"
#include "base/scratch.h"
#include "base/pool.h"
#include "cpu/cpu.h"
#include "cpu/gemm_int.h"
#include "cpu/kern_attn.h"
#include "cpu/kern_map.h"
#include "cpu/int64.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum {
    ROWS = 32,   /* queries, or keys, of a group */
    BLOCK = 256, /* keys of a block; backward also queries */
    CHUNK = 512, /* queries of a forward task */
    LD = BLOCK + 16 /* of score buffers: not a power of two */
};

/* What the tasks of a call share. */
struct work {
    const struct sy_attn *a;
    atomic_bool failed;
};

/* ---- one head's operands ---- */

struct head {
    const struct sy_attn *a;
    const struct sy_gemm_kernels *gemm;
    const struct sy_attn_kernels *attn;
    bool pairs;
    int64_t b, g; /* sequence, key-value head */
    int64_t keys; /* that exist */
};

static struct head head_of(const struct sy_attn *a, int64_t b, int64_t g)
{
    struct head x = {.a = a, .gemm = sy_cpu()->gemm, .attn = sy_cpu()->attn, .b = b, .g = g};
    x.pairs = a->precision == SY_PREC_BF16 && x.gemm->pairs;
    x.keys = a->len ? max64(min64(a->len[b], a->s), 0) : a->s;
    return x;
}

/* Keys that query t may see: the first so many (documents aside).  Grows with t. */
static int64_t limit_of(const struct head *x, int64_t t)
{
    const struct sy_attn *a = x->a;
    if (a->mask == SY_ATTN_FULL)
        return x->keys;
    int64_t n = x->keys - a->t + t + 1;
    if (a->mask == SY_ATTN_PREFIX)
        n = max64(n, a->prefix[x->b]);
    return max64(min64(n, x->keys), 0);
}

/* Of (H, 2 reach - 1) by distance: where the keys from k0 on are for query t of head h. */
static int64_t bias_at(const struct head *x, int64_t h, int64_t t, int64_t k0)
{
    const struct sy_attn *a = x->a;
    const int64_t position = a->mask == SY_ATTN_FULL ? t : t + x->keys - a->t;
    return h * (2 * a->reach - 1) + a->reach - 1 + k0 - position;
}

/* The view of query t of head h on the keys from k0 on. */
static struct sy_attn_view view_of(const struct head *x, int64_t h, int64_t t, int64_t k0)
{
    const struct sy_attn *a = x->a;
    struct sy_attn_view v = {.scale = a->scale, .limit = limit_of(x, t) - k0};
    if (a->bias) {
        const int64_t at = bias_at(x, h, t, k0);
        v.bias = a->bias + at;
        if (a->dbias)
            v.dbias = a->dbias + x->b * a->h * (2 * a->reach - 1) + at;
    }
    if (a->doc) {
        v.doc_k = (a->doc_k ? a->doc_k : a->doc) + x->b * a->s + k0;
        v.doc = a->doc[x->b * a->t + t];
    }
    return v;
}

/* Weights of query t of head h at keys k0 .. k0+n-1, or their gradients: what is dropped is 0. */
static void drop_weights(const struct head *x, float *s, int64_t h, int64_t t, int64_t k0,
                         int64_t n)
{
    const struct sy_attn *a = x->a;
    const int64_t row = (x->b * a->h + h) * a->t + t, wide = ceil_div(a->s, 64) * 64;
    if (a->rate > 0)
        sy_cpu()->map->dropout(s, s, &a->drop, (uint64_t)(row * wide + k0), a->rate, n);
}

/* Tokens as stored rows of one head's matrix. */
static struct sy_mat tokens(const float *base, int64_t ld, int64_t row0, int64_t column)
{
    return (struct sy_mat){.data = base + row0 * ld + column, .ld = ld};
}

static int64_t lanes_of(const struct head *x, int64_t k)
{
    return x->pairs ? (k + 1) / 2 : k;
}

static int64_t panels_of(const struct head *x, int64_t n)
{
    return ceil_div(n, x->gemm->nr);
}

/* Lanes that hold k steps of n columns as an operand B; of n rows as an operand A. */
static int64_t b_size(const struct head *x, int64_t k, int64_t n)
{
    return lanes_of(x, k) * panels_of(x, n) * x->gemm->nr;
}

static int64_t a_size(const struct head *x, int64_t k, int64_t n)
{
    return lanes_of(x, k) * ceil_div(n, x->gemm->mr) * x->gemm->aw;
}

static int a_step(const struct head *x, int64_t n)
{
    return (int)ceil_div(n, ceil_div(n, x->gemm->mr));
}

/* Stored rows p0.. become lanes, k runs along them; or stored rows k0.. become steps. */
static void pack_b(const struct head *x, uint32_t *dst, const struct sy_mat *m, bool along_k,
                   int64_t n, int64_t k)
{
    const struct sy__strip s = {m, along_k, 0, n, 0, k};
    x->gemm->pack[x->a->precision](dst, x->gemm->nr, x->gemm->nr, &s);
}

static void pack_a(const struct head *x, uint32_t *dst, const struct sy_mat *m, bool along_k,
                   int64_t n, int64_t k)
{
    const struct sy__strip s = {m, along_k, 0, n, 0, k};
    x->gemm->pack[x->a->precision](dst, x->gemm->aw, a_step(x, n), &s);
}

/* c (rows, cols) (+)= A panels · B panels over `k`, where panels of B are b_k values of k long and
 * start at b_at. */
static void multiply(const struct head *x, int64_t k, const uint32_t *ap, const uint32_t *bp,
                     int64_t b_k, int64_t b_at, float *c, int64_t ldc, int64_t rows, int64_t cols,
                     bool load)
{
    const int nr = x->gemm->nr, step = a_step(x, rows);
    const int64_t lanes = lanes_of(x, k), panel = lanes_of(x, b_k) * nr;
    const sy__tile_fn tile = x->gemm->tile[x->a->precision];
    bp += lanes_of(x, b_at) * nr;
    for (int64_t j = 0; j < cols; j += nr, bp += panel) {
        const uint32_t *at = ap;
        for (int64_t i = 0; i < rows; i += step, at += lanes * x->gemm->aw)
            tile(lanes, at, bp, c + i * ldc + j, ldc, (int)min64(step, rows - i),
                 (int)min64(nr, cols - j), load, NULL);
    }
}

/* ---- forward ---- */

struct forward {
    uint32_t *k, *v; /* packed, all keys: k in panels of keys, v in blocks of BLOCK keys */
    uint32_t *q, *p; /* packed rows */
    float *s;        /* (ROWS, LD) */
};

static bool forward_scratch(const struct head *x, struct forward *f)
{
    const int64_t d = x->a->d, blocks = ceil_div(x->keys, BLOCK);
    const int64_t k = b_size(x, d, x->keys), v = blocks * b_size(x, BLOCK, d);
    const int64_t q = a_size(x, d, ROWS), p = a_size(x, BLOCK, ROWS);
    f->k = sy_scratch(SY_SCRATCH_PACK_B, (size_t)(k + v + 1) * sizeof *f->k);
    f->q = sy_scratch(SY_SCRATCH_PACK_A, (size_t)(q + p) * sizeof *f->q);
    f->s = sy_scratch(SY_SCRATCH_GEMM, (size_t)(ROWS * LD) * sizeof *f->s);
    if (!f->k || !f->q || !f->s)
        return false;
    f->v = f->k + k;
    f->p = f->q + q;
    return true;
}

static void forward_pack(const struct head *x, struct forward *f)
{
    const struct sy_attn *a = x->a;
    const struct sy_mat k = tokens(a->k, a->ldk, x->b * a->s, x->g * a->d);
    pack_b(x, f->k, &k, false, x->keys, a->d);
    for (int64_t at = 0; at < x->keys; at += BLOCK) {
        const struct sy_mat v = tokens(a->v, a->ldv, x->b * a->s + at, x->g * a->d);
        pack_b(x, f->v + at / BLOCK * b_size(x, BLOCK, a->d), &v, true, a->d,
               min64(BLOCK, x->keys - at));
    }
}

/* One group of queries against one block of keys; o is faded and added to. */
static void forward_block(const struct head *x, const struct forward *f, int64_t h, int64_t t0,
                          int64_t rows, int64_t k0, float *o, float *top, float *sum)
{
    const struct sy_attn *a = x->a;
    const int64_t have = min64(BLOCK, x->keys - k0),
                  n = min64(have, limit_of(x, t0 + rows - 1) - k0);
    multiply(x, a->d, f->q, f->k + k0 * lanes_of(x, a->d), a->d, 0, f->s, LD, rows, n, false);
    for (int64_t i = 0; i < rows; i++) {
        const struct sy_attn_view v = view_of(x, h, t0 + i, k0);
        const float fade = x->attn->forward(f->s + i * LD, n, &v, &top[i], &sum[i]);
        drop_weights(x, f->s + i * LD, h, t0 + i, k0, n);
        if (k0 > 0 && fade != 1.0f)
            x->attn->scale(o + i * a->ldo, a->d, fade);
    }
    const struct sy_mat p = {.data = f->s, .ld = LD};
    pack_a(x, f->p, &p, false, rows, n);
    multiply(x, n, f->p, f->v + k0 / BLOCK * b_size(x, BLOCK, a->d), have, 0, o, a->ldo, rows, a->d,
             k0 > 0);
}

static void forward_rows(const struct head *x, const struct forward *f, int64_t h, int64_t t0,
                         int64_t rows)
{
    const struct sy_attn *a = x->a;
    const int64_t token = x->b * a->t + t0, limit = limit_of(x, t0 + rows - 1);
    const struct sy_mat q = tokens(a->q, a->ldq, token, h * a->d);
    float *o = a->o + token * a->ldo + h * a->d, top[ROWS], sum[ROWS] = {0};
    for (int i = 0; i < ROWS; i++)
        top[i] = -INFINITY;
    pack_a(x, f->q, &q, false, rows, a->d);
    for (int64_t k0 = 0; k0 < limit; k0 += BLOCK)
        forward_block(x, f, h, t0, rows, k0, o, top, sum);
    for (int64_t i = 0; i < rows; i++) {
        if (sum[i] == 0) /* nothing seen; NaN among the scores makes the sum NaN */
            memset(o + i * a->ldo, 0, (size_t)a->d * sizeof *o);
        else
            x->attn->divide(o + i * a->ldo, a->d, sum[i]);
        if (a->lse)
            a->lse[(x->b * a->h + h) * a->t + t0 + i] = x->attn->lse(top[i], sum[i]);
    }
}

/* Tasks are numbered from the last chunk down: under a causal mask it is the longest. */
static void forward_task(void *ctx, int64_t task)
{
    struct work *work = ctx;
    const struct sy_attn *a = work->a;
    const int64_t heads = a->b * a->g, chunk = ceil_div(a->t, CHUNK) - 1 - task / heads;
    const struct head x = head_of(a, task % heads / a->g, task % heads % a->g);
    const int64_t share = a->h / a->g, end = min64((chunk + 1) * CHUNK, a->t);
    struct forward f;
    if (!forward_scratch(&x, &f)) {
        atomic_store(&work->failed, true);
        return;
    }
    forward_pack(&x, &f);
    for (int64_t h = x.g * share; h < (x.g + 1) * share; h++)
        for (int64_t t = chunk * CHUNK; t < end; t += ROWS)
            forward_rows(&x, &f, h, t, min64(ROWS, end - t));
}

bool sy_attention(const struct sy_attn *a)
{
    struct work work = {a, false};
    if (a->b > 0 && a->t > 0 && a->g > 0)
        sy_pool_run(a->b * a->g * ceil_div(a->t, CHUNK), forward_task, &work);
    return !atomic_load(&work.failed);
}

/* ---- backward ---- */

/* A block of queries against a block of keys, of one query head. */
struct backward {
    uint32_t *kt, *vt, *k;       /* packed keys: columns of S, columns of dP, steps of dQ */
    uint32_t *q, *d_o;           /* packed queries: steps of dK and dV */
    uint32_t *rows, *rows2;      /* packed A operands */
    float *p, *ds;               /* (BLOCK, LD) */
    int64_t t0, queries, k0, keys;
    int64_t h;
};

static bool backward_scratch(const struct head *x, struct backward *f)
{
    const int64_t d = x->a->d, kt = b_size(x, d, BLOCK), k = b_size(x, BLOCK, d);
    const int64_t rows = max64(a_size(x, d, ROWS), a_size(x, BLOCK, ROWS));
    f->kt = sy_scratch(SY_SCRATCH_PACK_B, (size_t)(2 * kt + 3 * k) * sizeof *f->kt);
    f->rows = sy_scratch(SY_SCRATCH_PACK_A, (size_t)(2 * rows) * sizeof *f->rows);
    f->p = sy_scratch(SY_SCRATCH_GEMM, (size_t)(2 * BLOCK * LD) * sizeof *f->p);
    if (!f->kt || !f->rows || !f->p)
        return false;
    f->vt = f->kt + kt;
    f->k = f->vt + kt;
    f->q = f->k + k;
    f->d_o = f->q + k;
    f->rows2 = f->rows + rows;
    f->ds = f->p + BLOCK * LD;
    return true;
}

static void backward_pack_keys(const struct head *x, struct backward *f)
{
    const struct sy_attn *a = x->a;
    const int64_t token = x->b * a->s + f->k0, column = x->g * a->d;
    const struct sy_mat k = tokens(a->k, a->ldk, token, column);
    const struct sy_mat v = tokens(a->v, a->ldv, token, column);
    pack_b(x, f->kt, &k, false, f->keys, a->d);
    pack_b(x, f->vt, &v, false, f->keys, a->d);
    pack_b(x, f->k, &k, true, a->d, f->keys);
}

static void backward_pack_queries(const struct head *x, struct backward *f)
{
    const struct sy_attn *a = x->a;
    const int64_t token = x->b * a->t + f->t0, column = f->h * a->d;
    const struct sy_mat q = tokens(a->q, a->ldq, token, column);
    const struct sy_mat d_o = tokens(a->d_o, a->ldo, token, column);
    pack_b(x, f->q, &q, true, a->d, f->queries);
    pack_b(x, f->d_o, &d_o, true, a->d, f->queries);
}

/* Keys of the block that the group of queries from t on needs. */
static int64_t keys_needed(const struct head *x, const struct backward *f, int64_t t, int64_t rows)
{
    return max64(min64(limit_of(x, t + rows - 1) - f->k0, f->keys), 0);
}

/* P and dS of a group of queries, and its share of dQ. */
static void backward_rows(const struct head *x, const struct backward *f, int64_t at, int64_t rows)
{
    const struct sy_attn *a = x->a;
    const int64_t t = f->t0 + at, n = keys_needed(x, f, t, rows), token = x->b * a->t + t;
    const int64_t column = f->h * a->d;
    const struct sy_mat q = tokens(a->q, a->ldq, token, column);
    const struct sy_mat d_o = tokens(a->d_o, a->ldo, token, column);
    float *p = f->p + at * LD, *ds = f->ds + at * LD;
    pack_a(x, f->rows, &q, false, rows, a->d);
    multiply(x, a->d, f->rows, f->kt, a->d, 0, p, LD, rows, n, false);
    pack_a(x, f->rows2, &d_o, false, rows, a->d);
    multiply(x, a->d, f->rows2, f->vt, a->d, 0, ds, LD, rows, n, false);
    for (int64_t i = 0; i < rows; i++) {
        const struct sy_attn_view v = view_of(x, f->h, t + i, f->k0);
        const int64_t o_at = (token + i) * a->ldo + column;
        drop_weights(x, ds + i * LD, f->h, t + i, f->k0, n);
        x->attn->backward(p + i * LD, ds + i * LD, n, &v,
                          a->lse[(x->b * a->h + f->h) * a->t + t + i],
                          x->attn->dot(a->o + o_at, a->d_o + o_at, a->d));
        drop_weights(x, p + i * LD, f->h, t + i, f->k0, n);
    }
    const struct sy_mat m = {.data = ds, .ld = LD};
    pack_a(x, f->rows, &m, false, rows, n);
    multiply(x, n, f->rows, f->k, f->keys, 0, a->dq + token * a->lddq + column, a->lddq, rows, a->d,
             true);
}

/* dK and dV of a group of keys, from the queries that may see one of them. */
static void backward_keys(const struct head *x, const struct backward *f, int64_t at, int64_t keys)
{
    const struct sy_attn *a = x->a;
    int64_t first = 0;
    while (first < f->queries &&
           keys_needed(x, f, f->t0 + first, min64(ROWS, f->queries - first)) <= at)
        first += ROWS;
    const int64_t n = f->queries - first, token = x->b * a->s + f->k0 + at, column = x->g * a->d;
    if (n <= 0)
        return;
    /* every group from `first` on has computed these keys, since limits only grow; but the keys at
     * the end of this group that an early group left out must read as zero */
    const struct sy_mat p = {.data = f->p + first * LD + at, .ld = LD, .trans = true};
    const struct sy_mat ds = {.data = f->ds + first * LD + at, .ld = LD, .trans = true};
    pack_a(x, f->rows, &p, true, keys, n);
    multiply(x, n, f->rows, f->d_o, f->queries, first, a->dv + token * a->lddv + column, a->lddv,
             keys, a->d, true);
    pack_a(x, f->rows, &ds, true, keys, n);
    multiply(x, n, f->rows, f->q, f->queries, first, a->dk + token * a->lddk + column, a->lddk,
             keys, a->d, true);
}

static void zero_rows(float *base, int64_t ld, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++)
        memset(base + i * ld, 0, (size_t)n * sizeof *base);
}

static void zero_tail(const struct head *x, const struct backward *f, int64_t at, int64_t rows)
{
    const int64_t n = keys_needed(x, f, f->t0 + at, rows),
                  end = min64(ceil_div(n, ROWS) * ROWS, f->keys);
    for (int64_t i = at; i < at + rows; i++) {
        memset(f->p + i * LD + n, 0, (size_t)(end - n) * sizeof *f->p);
        memset(f->ds + i * LD + n, 0, (size_t)(end - n) * sizeof *f->ds);
    }
}

static void backward_block(const struct head *x, struct backward *f)
{
    if (keys_needed(x, f, f->t0 + f->queries - 1, 1) == 0)
        return;
    backward_pack_queries(x, f);
    for (int64_t i = 0; i < f->queries; i += ROWS) {
        const int64_t rows = min64(ROWS, f->queries - i);
        if (keys_needed(x, f, f->t0 + i, rows) == 0)
            continue;
        backward_rows(x, f, i, rows);
        zero_tail(x, f, i, rows);
    }
    for (int64_t i = 0; i < f->keys; i += ROWS)
        backward_keys(x, f, i, min64(ROWS, f->keys - i));
}

static void backward_task(void *ctx, int64_t task)
{
    struct work *work = ctx;
    const struct sy_attn *a = work->a;
    const struct head x = head_of(a, task / a->g, task % a->g);
    const int64_t share = a->h / a->g, h0 = x.g * share;
    float *dq = a->dq + x.b * a->t * a->lddq + h0 * a->d;
    float *dk = a->dk + x.b * a->s * a->lddk + x.g * a->d;
    float *dv = a->dv + x.b * a->s * a->lddv + x.g * a->d;
    struct backward f;
    if (!backward_scratch(&x, &f)) {
        atomic_store(&work->failed, true);
        return;
    }
    zero_rows(dq, a->lddq, a->t, share * a->d);
    zero_rows(dk, a->lddk, a->s, a->d);
    zero_rows(dv, a->lddv, a->s, a->d);
    if (a->bias)
        zero_rows(a->dbias + (x.b * a->h + h0) * (2 * a->reach - 1), 2 * a->reach - 1, share,
                  2 * a->reach - 1);
    for (f.k0 = 0; f.k0 < x.keys; f.k0 += BLOCK) {
        f.keys = min64(BLOCK, x.keys - f.k0);
        backward_pack_keys(&x, &f);
        for (f.h = h0; f.h < h0 + share; f.h++)
            for (f.t0 = 0; f.t0 < a->t; f.t0 += BLOCK) {
                f.queries = min64(BLOCK, a->t - f.t0);
                backward_block(&x, &f);
            }
    }
}

bool sy_attention_backward(const struct sy_attn *a)
{
    struct work work = {a, false};
    if (a->b > 0 && a->g > 0 && a->t + a->s > 0)
        sy_pool_run(a->b * a->g, backward_task, &work);
    return !atomic_load(&work.failed);
}
