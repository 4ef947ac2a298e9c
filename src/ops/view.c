/* Views (no computation: strides over the same storage), copies, casts, pad and cat. */
#include "ops/build.h"
#include "ops/ops_int.h"

#include "base/float_bits.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Integer attributes in the order of ops.def: of cast; of what takes a list (its length, then its
 * numbers); of narrow and slice; of select; of pad and cat. */
enum { DTYPE };
enum { LENGTH, LIST };
enum { DIM, FIRST, COUNT, STEP };
enum { AT = 1 };
enum { BEFORE = 1, AFTER };

/* ---- shared by many rows ---- */

int sy__infer_like(struct sy_infer *x)
{
    sy_meta_like(&x->out[0], x->in[0]);
    return 0;
}

int sy__run_none(const struct sy_run *x)
{
    (void)x;
    return 0;
}

void sy__cost_none(struct sy_cost *c)
{
    (void)c;
}

/* A map counts no multiply-adds: only the bytes it moves. */
void sy__cost_map(struct sy_cost *c)
{
    const struct sy_node *n = c->node;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            c->bytes += (double)sy_tensor_bytes(n->in[i]);
    for (int i = 0; i < n->nout; i++)
        c->bytes += (double)sy_tensor_bytes(n->out[i]);
}

void sy__cost_copy(struct sy_cost *c)
{
    sy__cost_map(c);
}

int sy__vjp_identity(struct sy_vjp *x)
{
    x->din[0] = x->dout[0];
    return 0;
}

/* ---- copies ---- */

struct copying {
    const char *from;
    char *to;
    size_t size;
};

#define COPY_STRIDED(T)                                                                            \
    do {                                                                                           \
        const T *p = (const T *)(const void *)c->from + s->offset[0];                              \
        T *q = (T *)(void *)c->to + s->at;                                                         \
        for (int64_t i = 0; i < s->n; i++)                                                         \
            q[i] = p[i * s->stride[0]];                                                            \
    } while (0)

static void copy_span(void *ctx, const struct sy__span *s)
{
    const struct copying *c = ctx;
    int64_t size = (int64_t)c->size;
    if (s->stride[0] == 1) {
        memcpy(c->to + s->at * size, c->from + s->offset[0] * size, (size_t)(s->n * size));
        return;
    }
    switch (size) {
    case 1:
        COPY_STRIDED(uint8_t);
        break;
    case 2:
        COPY_STRIDED(uint16_t);
        break;
    case 4:
        COPY_STRIDED(uint32_t);
        break;
    default:
        COPY_STRIDED(uint64_t);
        break;
    }
}

/* Transposed planes, whose last dimension is strided and the one before is not, go in square tiles:
 * a cache line read once serves TILE rows. */
#define TILE 16

struct plane_copy {
    const struct copying *c;
    const struct sy__iter *it;
    int64_t strips; /* of TILE rows, in a plane */
};

#define COPY_TILES(T)                                                                              \
    for (int64_t j0 = 0; j0 < cols; j0 += TILE)                                                    \
        for (int64_t i = i0; i < i1; i++)                                                          \
            for (int64_t j = j0; j < cols && j < j0 + TILE; j++)                                   \
                ((T *)(void *)to)[i * cols + j] = ((const T *)(const void *)from)[i + j * stride];

/* Task unit: a strip of one plane. */
static void copy_strips(void *ctx, int64_t begin, int64_t end)
{
    const struct plane_copy *p = ctx;
    const struct sy__iter *it = p->it;
    int n = it->ndim;
    int64_t rows = it->shape[n - 2], cols = it->shape[n - 1], stride = it->stride[0][n - 1];
    for (int64_t u = begin; u < end; u++) {
        int64_t plane = u / p->strips, rest = plane, offset = 0;
        for (int d = n - 3; d >= 0; d--) {
            offset += rest % it->shape[d] * it->stride[0][d];
            rest /= it->shape[d];
        }
        int64_t i0 = u % p->strips * TILE, i1 = i0 + TILE < rows ? i0 + TILE : rows;
        const char *from = p->c->from + offset * (int64_t)p->c->size;
        char *to = p->c->to + plane * rows * cols * (int64_t)p->c->size;
        switch (p->c->size) {
        case 1:
            COPY_TILES(uint8_t) break;
        case 2:
            COPY_TILES(uint16_t) break;
        case 4:
            COPY_TILES(uint32_t) break;
        default:
            COPY_TILES(uint64_t) break;
        }
    }
}

static void copy_planes(const struct sy__iter *it, const struct copying *c)
{
    int64_t rows = it->shape[it->ndim - 2], cols = it->shape[it->ndim - 1];
    struct plane_copy p = {c, it, (rows + TILE - 1) / TILE};
    int64_t planes = rows && cols ? it->total / (rows * cols) : 0;
    sy__parallel(planes * p.strips, SY_GRAIN / (TILE * (cols + 1)) + 1, copy_strips, &p);
}

void sy__copy_dense(const struct sy_tensor *t, void *to)
{
    struct sy__iter it;
    struct copying c = {sy_data(t), to, sy_dtype_size(t->dtype)};
    struct sy_tensor *in[1];
    memcpy(in, &t, sizeof t); /* the iterator only reads it */
    sy__iter_init(&it, t->ndim, t->shape, 1, in);
    if (it.ndim > 1 && it.stride[0][it.ndim - 1] > 1 && it.stride[0][it.ndim - 2] == 1)
        copy_planes(&it, &c);
    else
        sy__iter_run(&it, SY_GRAIN, copy_span, &c);
}

int sy__run_copy(const struct sy_run *x)
{
    sy__copy_dense(x->in[0], sy_data(x->out[0]));
    return 0;
}

/* ---- cast ---- */

/* Toward zero; what the type cannot hold becomes its nearest value, NaN becomes 0. */
static int64_t to_int(double v, double low, double high)
{
    if (isnan(v))
        return 0;
    if (v >= high)
        return high >= 0x1p63 ? INT64_MAX : (int64_t)high;
    return v <= low ? (int64_t)low : (int64_t)v;
}

static double load_element(enum sy_dtype dtype, const void *p, int64_t i)
{
    switch (dtype) {
    case SY_F32:
        return (double)((const float *)p)[i];
    case SY_F64:
        return ((const double *)p)[i];
    case SY_BF16:
        return (double)sy_float_of_bf16(((const uint16_t *)p)[i]);
    case SY_I32:
        return ((const int32_t *)p)[i];
    case SY_I64:
        return (double)((const int64_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

static void store_element(enum sy_dtype dtype, void *p, int64_t i, double v)
{
    switch (dtype) {
    case SY_F32:
        ((float *)p)[i] = (float)v;
        break;
    case SY_F64:
        ((double *)p)[i] = v;
        break;
    case SY_BF16:
        ((uint16_t *)p)[i] = sy_bf16_of((float)v);
        break;
    case SY_I32:
        ((int32_t *)p)[i] = (int32_t)to_int(v, INT32_MIN, INT32_MAX);
        break;
    case SY_I64:
        ((int64_t *)p)[i] = to_int(v, -0x1p63, 0x1p63);
        break;
    case SY_U8:
        ((uint8_t *)p)[i] = (uint8_t)to_int(v, 0, 255);
        break;
    default:
        ((uint8_t *)p)[i] = v != 0;
        break;
    }
}

struct casting {
    enum sy_dtype from_type, to_type;
    const void *from;
    void *to;
};

static bool is_int(enum sy_dtype d)
{
    return d == SY_I32 || d == SY_I64 || d == SY_U8 || d == SY_BOOL;
}

/* Integers to i64 without a detour through double. */
static void cast_ints(const struct casting *c, const struct sy__span *s)
{
    for (int64_t i = 0; i < s->n; i++)
        ((int64_t *)c->to)[s->at + i] =
            sy__index_at(c->from_type, c->from, s->offset[0] + i * s->stride[0]);
}

static void cast_span(void *ctx, const struct sy__span *s)
{
    const struct casting *c = ctx;
    if (c->to_type == SY_I64 && is_int(c->from_type)) {
        cast_ints(c, s);
    } else if (c->from_type == SY_BF16 && c->to_type == SY_F32) {
        for (int64_t i = 0; i < s->n; i++)
            ((float *)c->to)[s->at + i] =
                sy_float_of_bf16(((const uint16_t *)c->from)[s->offset[0] + i * s->stride[0]]);
    } else if (c->from_type == SY_F32 && c->to_type == SY_BF16) {
        for (int64_t i = 0; i < s->n; i++)
            ((uint16_t *)c->to)[s->at + i] =
                sy_bf16_of(((const float *)c->from)[s->offset[0] + i * s->stride[0]]);
    } else {
        for (int64_t i = 0; i < s->n; i++)
            store_element(c->to_type, c->to, s->at + i,
                          load_element(c->from_type, c->from, s->offset[0] + i * s->stride[0]));
    }
}

/* ---- cast to and from stored dtypes: f32 at the other end ---- */

static int infer_stored(struct sy_infer *x, enum sy_dtype from, enum sy_dtype to)
{
    const struct sy_tensor *t = x->in[0];
    const int64_t block = sy_dtype_block(to), last = t->ndim ? t->shape[t->ndim - 1] : 1;
    if (from == to)
        return 0;
    if (from != SY_F32 && to != SY_F32)
        return sy_err_set(x->err, SY_E_DTYPE, "cast: from %s to %s goes by f32: "
                          ":cast(\"f32\"):cast(\"%s\")", sy_dtype_name(from), sy_dtype_name(to),
                          sy_dtype_name(to));
    if (last % block)
        return sy__shape_error(x, "%s lies in blocks of %lld: the last dimension is no multiple",
                               sy_dtype_name(to), (long long)block);
    if (t->requires_grad && !sy_context()->no_grad)
        return sy_err_set(x->err, SY_E_DTYPE, "cast: no gradient goes through %s, and x wants one: "
                          "x:detach() has none", sy_dtype_name(to));
    return 0;
}

/* Whole rows of x, one at a time: of any view whose last dimension is a run, and of others by
 * single elements. */
static void decode_row(const struct sy_tensor *t, const struct sy_packed *p, int64_t at, float *to)
{
    const int64_t n = t->ndim ? t->shape[t->ndim - 1] : 1;
    const int64_t step = t->ndim ? t->stride[t->ndim - 1] : 1;
    if (step == 1)
        sy_form_decode(to, p, t->offset + at, n);
    else
        for (int64_t i = 0; i < n; i++)
            sy_form_decode(to + i, p, t->offset + at + i * step, 1);
}

/* Where row r (of all but the last dimension) begins, in elements from t's first. */
static int64_t row_start(const struct sy_tensor *t, int64_t r)
{
    int64_t at = 0;
    for (int d = t->ndim - 2; d >= 0; r /= t->shape[d--])
        at += r % t->shape[d] * t->stride[d];
    return at;
}

struct unpacking {
    const struct sy_tensor *from;
    struct sy_packed packed;
    float *to;
    int64_t n;
};

static void unpack_rows(void *ctx, int64_t begin, int64_t end)
{
    const struct unpacking *u = ctx;
    for (int64_t r = begin; r < end; r++)
        decode_row(u->from, &u->packed, row_start(u->from, r), u->to + r * u->n);
}

static int run_decode(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0];
    struct unpacking u = {t, sy_packed(t), sy_data(x->out[0]), t->ndim ? t->shape[t->ndim - 1] : 1};
    sy__parallel(u.n ? sy_tensor_count(t) / u.n : 0, SY_GRAIN / (u.n + 1) + 1, unpack_rows, &u);
    return 0;
}

static int run_encode(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0], *y = x->out[0];
    const int64_t n = sy_tensor_count(t);
    const struct sy_packed p = sy_packed(y);
    const bool strided = !sy_tensor_contiguous(t);
    float *copy = strided ? sy_alloc((size_t)(n ? n : 1) * sizeof *copy) : NULL;
    if (strided && !copy)
        return sy_err_set(x->err, SY_E_MEMORY, "cast: out of memory: %lld bytes wanted",
                          (long long)n * 4);
    if (strided)
        sy__copy_dense(t, copy);
    const float *from = strided ? copy : sy_data(t);
    unsigned char *beside = sy_data(y);
    const int64_t bad = sy_form_encode(p.form, from, n, sy_data(y),
                                       p.beside ? beside + (p.beside - p.data) : NULL);
    const double v = bad < n ? (double)from[bad] : 0;
    sy_free(copy);
    if (bad < n)
        return sy_err_set(x->err, SY_E_NUMERIC, "cast: %s cannot hold %g (element %lld)",
                          sy_dtype_name(y->dtype), v, (long long)bad + 1);
    return 0;
}

int sy__infer_cast(struct sy_infer *x)
{
    int64_t to = x->attrs->i[DTYPE];
    if (to < 0 || to >= SY_DTYPE_COUNT)
        return sy_err_set(x->err, SY_E_DTYPE, "cast: no dtype has the number %lld", (long long)to);
    if ((sy_dtype_stored((enum sy_dtype)to) || sy_dtype_stored(x->in[0]->dtype)) &&
        infer_stored(x, x->in[0]->dtype, (enum sy_dtype)to))
        return -1;
    sy_meta_like(&x->out[0], x->in[0]);
    x->out[0].dtype = (enum sy_dtype)to;
    return 0;
}

/* A stored tensor of its own from another: bytes, if it is one whole. */
static int run_copy_stored(const struct sy_run *x)
{
    const struct sy_tensor *t = x->in[0], *y = x->out[0];
    const struct sy_packed from = sy_packed(t), to = sy_packed(y);
    const struct sy_form_row *f = &sy_forms[from.form];
    const int64_t blocks = sy_tensor_count(t) / f->values, first = t->offset / f->values;
    unsigned char *data = sy_data(y);
    if (!sy_tensor_contiguous(t) || t->offset % f->values)
        return sy_err_set(x->err, SY_E_SHAPE,
                          "cast: a view of %s that is not whole blocks in order cannot be copied",
                          sy_dtype_name(t->dtype));
    memcpy(data, from.data + first * (int64_t)f->bytes, (size_t)blocks * f->bytes);
    if (f->beside)
        memcpy(data + (to.beside - to.data), from.beside + first * (int64_t)f->beside,
               (size_t)blocks * f->beside);
    return 0;
}

int sy__run_cast(const struct sy_run *x)
{
    struct sy__iter it;
    struct casting c = {x->in[0]->dtype, x->out[0]->dtype, sy_data(x->in[0]), sy_data(x->out[0])};
    if (sy_dtype_stored(c.from_type) && c.from_type == c.to_type)
        return run_copy_stored(x);
    if (sy_dtype_stored(c.from_type) || sy_dtype_stored(c.to_type))
        return sy_dtype_stored(c.from_type) ? run_decode(x) : run_encode(x);
    if (c.from_type == c.to_type)
        return sy__run_copy(x);
    sy__iter_init(&it, x->out[0]->ndim, x->out[0]->shape, 1, x->in);
    sy__iter_run(&it, SY_GRAIN, cast_span, &c);
    return 0;
}

int sy__vjp_cast(struct sy_vjp *x)
{
    struct sy_attrs a = {.i = {[DTYPE] = x->in[0]->dtype}};
    x->din[0] = sy_b_apply(SY_OP_CAST_, &a, 1, x->dout[0]);
    return 0;
}

/* ---- views ---- */

static int view_of(struct sy_infer *x, const char *what)
{
    if (x->attrs->i[LENGTH] < 0 || x->attrs->i[LENGTH] > SY_MAX_DIMS)
        return sy_err_set(x->err, SY_E_RANGE, "%s: %lld dimensions: at most %d are possible", what,
                          (long long)x->attrs->i[LENGTH], SY_MAX_DIMS);
    x->out[0].dtype = x->in[0]->dtype;
    x->out[0].ndim = (int)x->attrs->i[LENGTH];
    x->view_offset = x->in[0]->offset;
    return 0;
}

static const char *list_text(const struct sy_attrs *a, char *out, size_t n)
{
    return sy_shape_text((int)a->i[LENGTH], a->i + LIST, out, n);
}

/* Fill in the size written -1, so that the product is `count`. */
static int solve_shape(struct sy_infer *x, int64_t count)
{
    struct sy_meta *m = &x->out[0];
    int free_dim = -1;
    size_t known = 1;
    bool bad = false;
    for (int d = 0; d < m->ndim; d++) {
        int64_t n = m->shape[d] = x->attrs->i[LIST + d];
        if (n == -1 && free_dim < 0)
            free_dim = d;
        else if (n < 0 || sy_mul_size(known, (size_t)n, &known))
            bad = true;
    }
    if (!bad && free_dim >= 0 && known && count % (int64_t)known == 0)
        m->shape[free_dim] = count / (int64_t)known;
    else if (bad || free_dim >= 0 || (int64_t)known != count) {
        char want[128], have[128];
        return sy_err_set(x->err, SY_E_SHAPE,
                          "view: shape %s does not hold the %lld elements of %s",
                          list_text(x->attrs, want, sizeof want), (long long)count,
                          sy_shape_text(x->in[0]->ndim, x->in[0]->shape, have, sizeof have));
    }
    return 0;
}

int sy__infer_reshape(struct sy_infer *x)
{
    if (view_of(x, "view") || solve_shape(x, sy_tensor_count(x->in[0])))
        return -1;
    int64_t dense = 1;
    for (int d = x->out[0].ndim - 1; d >= 0; d--) {
        x->view_stride[d] = dense;
        dense *= x->out[0].shape[d];
        x->attrs->i[LIST + d] = x->out[0].shape[d];
    }
    return 0;
}

int sy__vjp_reshape(struct sy_vjp *x)
{
    x->din[0] = sy_b_reshape_like(x->dout[0], x->in[0]);
    return 0;
}

int sy__infer_expand(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    struct sy_meta *m = &x->out[0];
    char want[128], have[128];
    if (view_of(x, "expand"))
        return -1;
    int extra = m->ndim - t->ndim;
    bool fits = extra >= 0;
    for (int d = 0; fits && d < m->ndim; d++) {
        int64_t own = d < extra ? 1 : t->shape[d - extra], n = x->attrs->i[LIST + d];
        m->shape[d] = n == -1 && d >= extra ? own : n;
        fits = m->shape[d] >= 0 && (own == 1 || own == m->shape[d]);
        x->view_stride[d] = d < extra || own == 1 ? 0 : t->stride[d - extra];
    }
    if (!fits)
        return sy_err_set(x->err, SY_E_SHAPE, "expand: %s does not broadcast to %s",
                          sy_shape_text(t->ndim, t->shape, have, sizeof have),
                          list_text(x->attrs, want, sizeof want));
    memcpy(x->attrs->i + LIST, m->shape, sizeof m->shape);
    return 0;
}

int sy__vjp_expand(struct sy_vjp *x)
{
    x->din[0] = sy_b_sum_to(x->dout[0], x->in[0]);
    return 0;
}

int sy__infer_permute(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    char text[128];
    unsigned seen = 0;
    if (view_of(x, "permute"))
        return -1;
    if (x->attrs->i[LENGTH] != t->ndim)
        return sy_err_set(x->err, SY_E_SHAPE, "permute: %lld dimensions given: the tensor is %s",
                          (long long)x->attrs->i[LENGTH],
                          sy_shape_text(t->ndim, t->shape, text, sizeof text));
    for (int d = 0; d < t->ndim; d++) {
        int64_t *from = &x->attrs->i[LIST + d];
        if (sy__dim(x, from, t))
            return -1;
        if (seen & 1u << *from)
            return sy_err_set(x->err, SY_E_RANGE, "permute: dimension %lld is given twice",
                              (long long)*from + 1);
        seen |= 1u << *from;
        x->out[0].shape[d] = t->shape[*from];
        x->view_stride[d] = t->stride[*from];
    }
    return 0;
}

int sy__vjp_permute(struct sy_vjp *x)
{
    int back[SY_MAX_DIMS] = {0};
    for (int d = 0; d < x->in[0]->ndim; d++)
        back[x->attrs->i[LIST + d]] = d;
    x->din[0] = sy_b_permute(x->dout[0], back);
    return 0;
}

int sy__infer_narrow(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    int64_t *dim = &x->attrs->i[DIM], first = x->attrs->i[FIRST], n = x->attrs->i[COUNT];
    char text[128];
    if (sy__dim(x, dim, t))
        return -1;
    if (first < 0 || n < 0 || first > t->shape[*dim] || n > t->shape[*dim] - first)
        return sy_err_set(
            x->err, SY_E_RANGE,
            "narrow: %lld elements from the %lld-th along dimension %lld: the tensor is %s",
            (long long)n, (long long)first + 1, (long long)*dim + 1,
            sy_shape_text(t->ndim, t->shape, text, sizeof text));
    sy_meta_like(&x->out[0], t);
    x->out[0].shape[*dim] = n;
    memcpy(x->view_stride, t->stride, sizeof x->view_stride);
    x->view_offset = t->offset + first * t->stride[*dim];
    return 0;
}

int sy__vjp_narrow(struct sy_vjp *x)
{
    int64_t dim = x->attrs->i[DIM], first = x->attrs->i[FIRST], n = x->attrs->i[COUNT];
    struct sy_attrs a = {
        .i = {[DIM] = dim, [BEFORE] = first, [AFTER] = x->in[0]->shape[dim] - first - n}};
    x->din[0] = sy_b_apply(SY_OP_PAD_, &a, 1, x->dout[0]);
    return 0;
}

int sy__infer_slice(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    int64_t *dim = &x->attrs->i[DIM], first = x->attrs->i[FIRST], n = x->attrs->i[COUNT],
            step = x->attrs->i[STEP];
    char text[128];
    if (sy__dim(x, dim, t))
        return -1;
    int64_t size = t->shape[*dim];
    if (step < 1 || first < 0 || n < 0 || first > size ||
        (n > 0 && (n - 1) > (size - 1 - first) / step))
        return sy_err_set(x->err, SY_E_RANGE,
                          "slice: %lld elements from the %lld-th along dimension %lld, every %lld: "
                          "the tensor is %s",
                          (long long)n, (long long)first + 1, (long long)*dim + 1, (long long)step,
                          sy_shape_text(t->ndim, t->shape, text, sizeof text));
    sy_meta_like(&x->out[0], t);
    x->out[0].shape[*dim] = n;
    memcpy(x->view_stride, t->stride, sizeof x->view_stride);
    x->view_stride[*dim] *= step;
    x->view_offset = t->offset + first * t->stride[*dim];
    return 0;
}

int sy__infer_select(struct sy_infer *x)
{
    const struct sy_tensor *t = x->in[0];
    int64_t *dim = &x->attrs->i[DIM], at = x->attrs->i[AT];
    char text[128];
    if (sy__dim(x, dim, t))
        return -1;
    if (at < 0 || at >= t->shape[*dim])
        return sy_err_set(x->err, SY_E_RANGE,
                          "select: no element %lld along dimension %lld: the tensor is %s",
                          (long long)at + 1, (long long)*dim + 1,
                          sy_shape_text(t->ndim, t->shape, text, sizeof text));
    struct sy_meta *m = &x->out[0];
    m->dtype = t->dtype;
    m->ndim = 0;
    for (int d = 0; d < t->ndim; d++)
        if (d != *dim) {
            x->view_stride[m->ndim] = t->stride[d];
            m->shape[m->ndim++] = t->shape[d];
        }
    x->view_offset = t->offset + at * t->stride[*dim];
    return 0;
}

int sy__vjp_select(struct sy_vjp *x)
{
    const struct sy_tensor *t = x->in[0];
    int64_t dim = x->attrs->i[DIM], at = x->attrs->i[AT], shape[SY_MAX_DIMS];
    struct sy_attrs around = {
        .i = {[DIM] = dim, [BEFORE] = at, [AFTER] = t->shape[dim] - at - 1}};
    memcpy(shape, t->shape, sizeof shape);
    shape[dim] = 1;
    x->din[0] = sy_b_apply(SY_OP_PAD_, &around, 1, sy_b_reshape(x->dout[0], t->ndim, shape));
    return 0;
}

/* dy with step - 1 zeros behind each element along dim, then zeros before and after. */
int sy__vjp_slice(struct sy_vjp *x)
{
    const struct sy_tensor *t = x->in[0];
    const int64_t *a = x->attrs->i;
    const int64_t dim = a[DIM], first = a[FIRST], n = a[COUNT], step = a[STEP];
    struct sy__lines l = sy__lines_of(t->ndim, t->shape, dim);
    int64_t apart[4] = {l.outer, n, 1, l.inner}, line[3] = {l.outer, n * step, l.inner};
    int64_t there = n * step < l.n - first ? n * step : l.n - first;
    struct sy_attrs spread = {.i = {[DIM] = 2, [BEFORE] = 0, [AFTER] = step - 1}};
    struct sy_attrs cut = {.i = {[DIM] = 1, [FIRST] = 0, [COUNT] = there}};
    struct sy_attrs around = {.i = {[DIM] = 1, [BEFORE] = first, [AFTER] = l.n - first - there}};
    struct sy_tensor *g = sy_b_apply(SY_OP_PAD_, &spread, 1, sy_b_reshape(x->dout[0], 4, apart));
    g = sy_b_apply(SY_OP_NARROW_, &cut, 1, sy_b_reshape(g, 3, line));
    x->din[0] = sy_b_reshape_like(sy_b_apply(SY_OP_PAD_, &around, 1, g), t);
    return 0;
}

/* ---- pad and cat ---- */

int sy__infer_pad(struct sy_infer *x)
{
    int64_t *a = x->attrs->i;
    if (sy__dim(x, &a[DIM], x->in[0]))
        return -1;
    if (a[BEFORE] < 0 || a[AFTER] < 0)
        return sy_err_set(x->err, SY_E_RANGE,
                          "pad: before is %lld, after is %lld, must be at least 0",
                          (long long)a[BEFORE], (long long)a[AFTER]);
    sy_meta_like(&x->out[0], x->in[0]);
    x->out[0].shape[a[DIM]] += a[BEFORE] + a[AFTER];
    return 0;
}

/* Blocks of `bytes` each, one an outer index, side by side in the rows of y. */
struct blocks {
    const char *from;
    char *to;
    size_t before, bytes, row; /* in y: zeros or others' bytes before; own; the whole row */
    bool fill;                 /* zero what is not ours */
};

static void place_blocks(void *ctx, int64_t begin, int64_t end)
{
    const struct blocks *b = ctx;
    for (int64_t o = begin; o < end; o++) {
        char *row = b->to + (size_t)o * b->row;
        if (b->fill) {
            memset(row, 0, b->before);
            memset(row + b->before + b->bytes, 0, b->row - b->before - b->bytes);
        }
        memcpy(row + b->before, b->from + (size_t)o * b->bytes, b->bytes);
    }
}

static void place_along(const struct sy_tensor *t, const struct sy_tensor *y, int64_t dim,
                        int64_t before, bool fill)
{
    struct sy__lines l = sy__lines_of(t->ndim, t->shape, dim);
    size_t unit = (size_t)l.inner * sy_dtype_size(t->dtype);
    struct blocks b = {sy_data(t),
                       sy_data(y),
                       (size_t)before * unit,
                       (size_t)l.n * unit,
                       (size_t)y->shape[dim] * unit,
                       fill};
    int64_t grain = (int64_t)(131072 / (b.row + 1)) + 1;
    sy__parallel(l.outer, grain, place_blocks, &b);
}

int sy__run_pad(const struct sy_run *x)
{
    place_along(x->in[0], x->out[0], x->attrs->i[DIM], x->attrs->i[BEFORE], true);
    return 0;
}

static struct sy_tensor *slice(struct sy_tensor *t, int64_t dim, int64_t first, int64_t n)
{
    struct sy_attrs a = {.i = {[DIM] = dim, [FIRST] = first, [COUNT] = n}};
    return sy_b_apply(SY_OP_NARROW_, &a, 1, t);
}

int sy__vjp_pad(struct sy_vjp *x)
{
    int64_t dim = x->attrs->i[DIM];
    x->din[0] = slice(x->dout[0], dim, x->attrs->i[BEFORE], x->in[0]->shape[dim]);
    return 0;
}

int sy__infer_cat(struct sy_infer *x)
{
    const struct sy_tensor *a = x->in[0], *b = x->in[1];
    int64_t *dim = &x->attrs->i[DIM];
    if (sy__dim(x, dim, a))
        return -1;
    bool fits = a->ndim == b->ndim;
    for (int d = 0; fits && d < a->ndim; d++)
        fits = d == *dim || a->shape[d] == b->shape[d];
    if (!fits)
        return sy__shape_error(x, "shapes differ beside dimension %lld", (long long)*dim + 1);
    sy_meta_like(&x->out[0], a);
    x->out[0].shape[*dim] += b->shape[*dim];
    return 0;
}

int sy__run_cat(const struct sy_run *x)
{
    int64_t dim = x->attrs->i[DIM];
    place_along(x->in[0], x->out[0], dim, 0, false);
    place_along(x->in[1], x->out[0], dim, x->in[0]->shape[dim], false);
    return 0;
}

int sy__vjp_cat(struct sy_vjp *x)
{
    int64_t dim = x->attrs->i[DIM], na = x->in[0]->shape[dim], nb = x->in[1]->shape[dim];
    if (x->want[0])
        x->din[0] = slice(x->dout[0], dim, 0, na);
    if (x->want[1])
        x->din[1] = slice(x->dout[0], dim, na, nb);
    return 0;
}
